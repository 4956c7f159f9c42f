# SPDX-License-Identifier: MIT
"""Hostile and broken configuration (Y1-Y8)."""

import os
import pathlib
import re
import resource
import shutil

import pytest

from harness import (PATIENCE, assert_no_sanitizer, http_endpoint, run_daemon, wait_until)

GOOD = """\
status: {{ listen: [ "unix:{directory}/s" ] }}
endpoints:
  - name: chat-a
    type: http
    url: http://127.0.0.1:9/
"""

MARKER = "m4rk3r-0f-4-s3cr3t"

# An error line: file, line, column, what.
ERROR = re.compile(r"^(.+?):(\d+):(\d+): (.+)$")
# A file that cannot be read has no lines.
UNREADABLE = re.compile(r"^.+: cannot read the file: .+$", re.MULTILINE)


class Directory:
    """A private directory with configuration files."""

    def __init__(self, path):
        self.path = str(path)

    def write(self, name, content, mode=0o600):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes)
                       else content.encode("utf-8", "surrogateescape"))
        os.chmod(path, mode)
        return path

    def check(self, content=None, **options):
        """Runs --check; returns (exit code, all text, error lines as tuples)."""
        if content is not None:
            self.write("main.yaml", content)
        done = run_daemon("--check", "--config", os.path.join(self.path, "main.yaml"), **options)
        text = done.stdout + done.stderr
        assert_no_sanitizer(text)
        errors = [match.groups() for match in map(ERROR.match, text.splitlines()) if match]
        return done.returncode, text, errors


@pytest.fixture
def files(tmp_path):
    tmp_path.chmod(0o700)
    return Directory(tmp_path)


def good(files):
    return GOOD.format(directory=files.path)


def endpoint(*lines):
    """A file with one endpoint that has these further lines."""
    return "".join(["endpoints:\n", "  - name: chat-a\n", "    type: http\n",
                    "    url: http://127.0.0.1:9/\n", *(f"    {line}\n" for line in lines)])


def cpu_of_children():
    """Seconds; unlike those of the clock, they do not depend on who else is at work here."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def assert_rejected(files, content, *needles, line=None, seconds=2.0):
    before = cpu_of_children()
    code, text, errors = files.check(content)
    took = cpu_of_children() - before
    assert code == 2, f"exit {code}: {text}"
    assert all(row.startswith((files.path, "there are more")) for row in text.splitlines()), text
    assert errors or UNREADABLE.search(text), f"no file:line:column in {text!r}"
    for needle in needles:
        assert re.search(needle, text), f"{needle!r} is not in {text!r}"
    if line:
        assert line in [int(error[1]) for error in errors], text
    assert took <= seconds * PATIENCE
    assert len(text) < 64 << 10
    return text


def test_good_file_passes(files):
    code, text, _ = files.check(good(files))
    assert code == 0, text


def test_first_file_watches_nothing_and_its_samples_are_good(files):
    first = pathlib.Path(__file__).parents[2] / "config/first.yaml"
    code, text, _ = files.check(first.read_text())
    assert code == 0 and "0 endpoints" in text, text
    files.write("credentials/keys_chat", MARKER)
    samples = re.sub(r"^  #(- |  )", r"  \1", first.read_text(), flags=re.MULTILINE)
    code, text, _ = files.check(samples, env={"CREDENTIALS_DIRECTORY": f"{files.path}/credentials"})
    assert code == 0 and f"{samples.count('- name:')} endpoints" in text, text


# ---- Y1, Y2, Y3: bombs ----


def billion_laughs():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for number in range(1, 10):
        before, name = chr(96 + number), chr(97 + number)
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines) + "\n"


DEEP = 100_000
BOMBS = {
    "billion_laughs": billion_laughs,
    "anchor": lambda: "endpoints: &all []\nother: *all\n",
    "many_anchors": lambda: "".join(f"a{n}: &a{n} 1\n" for n in range(100_000)),
    "deep_flow_list": lambda: "endpoints: " + "[" * DEEP,
    "deep_flow_map": lambda: "endpoints: " + "{a: " * DEEP,
    "deep_block_list": lambda: "endpoints:\n" + "- " * DEEP + "x\n",
    "deep_question": lambda: "? " * DEEP + "x\n",
    "deep_indent": lambda: "".join(" " * n + "a:\n" for n in range(2000)),
    "deep_closed": lambda: "endpoints: " + "[" * DEEP + "]" * DEEP,
    "scalar_50_mb": lambda: "endpoints: " + "x" * (50 << 20),
    "file_5_mb": lambda: "# comment\n" * (512 << 10),
    "many_keys": lambda: "".join(f"k{n}: 1\n" for n in range(50_000)),
    "many_errors": lambda: "endpoints:\n" + "  - {name: a, type: http, bad: 1}\n" * 5000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_rejected_quickly(files, name):
    # Each of 50,000 keys is unknown, and what was meant is looked for.
    assert_rejected(files, BOMBS[name](), seconds=1.0 if name == "many_keys" else 0.05)


def test_bomb_costs_little_memory(files):
    """The whole process in 64 MiB of heap; sanitizers reserve too much to be measured this way."""
    if os.environ.get("MODELHEALTH_TEST_PATIENCE", "1") != "1":
        pytest.skip("a sanitizer reserves address space of its own")
    files.write("main.yaml", BOMBS["billion_laughs"]())
    limit = 64 << 20
    done = run_daemon("--check", "--config", f"{files.path}/main.yaml", preexec_fn=lambda:
                      resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)))
    assert done.returncode == 2, done.stderr


@pytest.mark.parametrize("make", [
    lambda files: "/dev/zero", lambda files: "/dev/null", lambda files: files.path,
    lambda files: f"{files.path}/missing.yaml",
    lambda files: fifo(files)], ids=["zero", "null", "directory", "missing", "fifo"])
def test_what_is_no_regular_file_is_rejected_without_waiting(files, make):
    path = make(files)
    done = run_daemon("--check", "--config", path)
    assert done.returncode == 2, done.stderr
    assert path in done.stderr + done.stdout


def fifo(files):
    path = f"{files.path}/fifo"
    os.mkfifo(path)
    return path


# ---- Y4: what is not our language ----

# name -> (text, line of the error or None, what the message must say)
WRONG = {
    "empty": ("", None, []),
    "only_comment": ("# nothing\n", None, []),
    "scalar_root": ("hello\n", 1, []),
    "list_root": ("- a\n", 1, []),
    "unknown_root_key": ("endpoint: []\n", 1, ["endpoint", r"did you mean.*endpoints"]),
    "unknown_key": (endpoint("intervall: 5s"), 5, ["intervall", r"did you mean.*interval"]),
    "unknown_nested": (endpoint("timeout: { conect: 1s }"), 5,
                       [r"endpoints\[0\]\.timeout", r"did you mean.*connect"]),
    "duplicate_key": (endpoint("interval: 5s", "interval: 6s"), 6, ["interval", "twice|duplicate"]),
    "duplicate_root": ("endpoints: []\nendpoints: []\n", 2, ["endpoints"]),
    "duplicate_endpoint": (endpoint() + endpoint()[len("endpoints:\n"):], 5, ["chat-a"]),
    "wrong_type_map": (endpoint("timeout: 5s"), 5, ["timeout"]),
    "wrong_type_list": (endpoint("headers: [ a ]"), 5, ["headers"]),
    "wrong_type_scalar": (endpoint("interval: [ 5s ]"), 5, ["interval"]),
    "wrong_type_bool": (endpoint("reuse: maybe"), 5, ["reuse"]),
    "endpoints_map": ("endpoints: { a: b }\n", 1, ["endpoints"]),
    "missing_url": ("endpoints:\n  - name: chat-a\n    type: http\n", 2, ["url"]),
    "missing_name": ("endpoints:\n  - type: http\n    url: http://127.0.0.1/\n", 2, ["name"]),
    "unknown_type": ("endpoints:\n  - name: a\n    type: htpp\n    url: http://127.0.0.1/\n", 3,
                     ["htpp", r"did you mean.*http"]),
    "raw_nul": (endpoint("labels: { a: a\0b }"), None, []),
    "escaped_nul": (endpoint('labels: { a: "a\\0b" }'), 5, []),
    "invalid_utf8": (endpoint("labels: { a: \udcff\udcfe }"), None, []),
    "latin1": (endpoint("labels: { a: caf\udce9 }"), None, []),
    "utf16": ("\udcff\udcfee\0n\0d\0", None, []),
    "tab_indent": ("endpoints:\n\t- name: a\n", 2, []),
    "control_character": (endpoint('labels: { a: "a\\x07b" }'), 5, []),
    "tag": (endpoint("labels: { a: !!python/object:os.system x }"), 5, []),
    "local_tag": (endpoint("labels: { a: !secret x }"), 5, []),
    "two_documents": (endpoint() + "---\n" + endpoint(), None, []),
    "merge_key": (endpoint("<<: { interval: 5s }"), 5, []),
    "complex_key": ("? [ a, b ]\n: c\n", None, []),
    "unclosed_quote": (endpoint('group: "abc'), None, []),
    "unclosed_flow": (endpoint("timeout: { connect: 1s"), None, []),
    "bad_indent": ("endpoints:\n  - name: a\n   type: http\n", None, []),
    "name_with_slash": ("endpoints:\n  - { name: a/b, type: http, url: 'http://127.0.0.1/' }\n", 2,
                        ["name"]),
    "name_with_newline": ('endpoints:\n  - { name: "a\\nb", type: http, url: "http://h/" }\n', 2,
                          ["name"]),
    "name_empty": ("endpoints:\n  - { name: '', type: http, url: 'http://127.0.0.1/' }\n", 2,
                   ["name"]),
    "name_long": (f"endpoints:\n  - {{ name: {'a' * 5000}, type: http, url: 'http://h/' }}\n", 2,
                  ["name"]),
    "url_scheme": ("endpoints:\n  - { name: a, type: http, url: 'ftp://127.0.0.1/' }\n", 2,
                   ["url"]),
    "url_no_host": ("endpoints:\n  - { name: a, type: http, url: 'http:///x' }\n", 2, ["url"]),
    "url_port": ("endpoints:\n  - { name: a, type: http, url: 'http://h:99999/' }\n", 2, ["url"]),
    "url_crlf": ('endpoints:\n  - { name: a, type: http, url: "http://h/\\r\\nX: 1" }\n', 2,
                 ["url"]),
    "header_crlf": (endpoint('headers: { X-A: "a\\r\\nX-B: b" }'), 5, ["headers"]),
    "header_name": (endpoint('headers: { "X A": b }'), 5, ["headers"]),
    "header_twice": (endpoint("headers: { Accept: a, accept: b }"), 5, ["Accept", "line 5"]),
    "header_of_ours": (endpoint('headers: { content-length: "5" }'), 5, ["content-length"]),
    "method_space": (endpoint('method: "GET /"'), 5, ["method"]),
    "method_case": (endpoint("method: get"), 5, ["did you mean GET"]),
    "no_section": (endpoint("timeout: 10s"), 5, ["connect, first_byte", "total"]),
    "latency_limits": (endpoint("expect: { latency: { degraded: 2s, down: 1s } }"), 5,
                       ["degraded", "less than"]),
    "expiry_limits": (endpoint("expect: { cert_expires_in: { degraded: 1d, down: 14d } }")
                      .replace("http:/", "https:/"), 5, ["degraded", "more than"]),
    "size_limits": (endpoint("expect: { size: { min: 10, max: 5 } }"), 5, ["min", "max"]),
    "path_blank": (endpoint('path: "/a b"'), 5, ["path", "%20"]),
    "url_at_in_password": (endpoint().replace("//", "//me:p@ss@"), 4, ["%40"]),
    "url_bare_ipv6": (endpoint().replace("127.0.0.1:9", "::1"), 4, ["IPv6"]),
    "tcp_path": (endpoint().replace("http\n", "tcp\n").replace("http://127.0.0.1:9/",
                                                              "tcp://127.0.0.1:9/db"), 4,
                 ["tcp://host:port"]),
    "bad_regex": (endpoint("expect: { body: { matches: '(' } }"), 5, ["matches"]),
    "bad_pointer": (endpoint("expect: { json: { status: ok } }"), 5, ["json"]),
    "bad_status": (endpoint("expect: { status: [ 999 ] }"), 5, ["status"]),
    "bad_status_range": (endpoint("expect: { status: [ 299-200 ] }"), 5, ["status"]),
    "bad_listen": ("status: { listen: [ nonsense ] }\n" + endpoint(), 1, ["listen"]),
    "bad_deny": ("deny_addresses: [ 10.0.0.0/99 ]\n" + endpoint(), 1, ["deny_addresses"]),
    "allowed_host_port": ("status: { allowed_hosts: [ 'health.internal:80' ] }\n" + endpoint(), 1,
                          ["allowed_hosts", "without scheme and port"]),
    "deny_nothing": ("deny_addresses:\n" + endpoint(), 1, ["deny_addresses"]),
    "body_nothing": (endpoint("expect: { body: }"), 5, ["body"]),
    "body_empty": (endpoint('expect: { body: { contains: "" } }'), 5, ["contains"]),
    "unknown_witness": ("self_check: { witnesses: [ nobody ] }\n" + endpoint(), 1, ["nobody"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_file_is_rejected_with_its_place(files, name):
    text, line, needles = WRONG[name]
    assert_rejected(files, text, *needles, line=line)


def test_all_errors_of_a_file_are_shown_at_once(files):
    text = assert_rejected(files, endpoint("interval: 5", "rise: many", "nonsense: 1",
                                           "timeout: { total: never }"))
    lines = {int(match.group(2)) for match in map(ERROR.match, text.splitlines()) if match}
    assert {5, 6, 7, 8} <= lines


def test_wrong_value_hides_no_other_mistake(files):
    """What values say together and what the system says of them comes with what each says alone."""
    lines = ["expect: { status: 2xx }", "interval: 5", "method: GET /", "proxy: proxy:3128",
             "unix_socket: here", "redirects: 1", "tls: { ca_file: /none.pem }", "port: 0"]
    text = assert_rejected(files, endpoint(*lines).replace("http://", "http//"))
    found = [int(match.group(2)) for match in map(ERROR.match, text.splitlines()) if match]
    assert found == [4, 5, 6, 7, 8, 9, 11, 12], text


def test_wrong_value_makes_no_other_mistake_up(files):
    lines = ["models: { a: b }", 'body: "${model} ${name}"', "variables: { name: [ a ] }",
             "access_key: [ a ]", "secret_key: b", "interval: often", "fast_interval: 1h",
             "tls: { cert_file: [ a ], key_file: /b }"]
    text = assert_rejected(files, endpoint(*lines).replace("http://", "https://"))
    found = [int(match.group(2)) for match in map(ERROR.match, text.splitlines()) if match]
    assert found == [5, 7, 8, 10, 12], text


WRONG_KINDS = """
endpoints:
  - name: canary
    type: vllm
    url: http://127.0.0.1:1
    models: [ m ]
    checks:
      canary:
        max_tokens: 0
        mode: chatt
        ttft: { degraded: 5s, down: 1s }
        inter_token: { degraded: 5s, down: 1s }
        tokens_per_second: { degraded_below: 1, down_below: 10 }
        expect: { embedding: { min_cosine: 7 } }
      models:
        drift_hold: 5
        list: { next: /next, path: v1 }
      load:
        max_body_bytes: x
        path: metrics
  - name: grpc
    type: grpc
    url: http://127.0.0.1:1
    method: modelready
    service: "${who}"
    http_version: "1.1"
    headers: { te: x }
    reasons: { servin: ok, not_serving: fine }
  - name: route
    type: scenario
    steps:
      - { name: one, url: "http://127.0.0.1:1", max_body_bytes: x, capture: { BAD: /0 }, expect: { latency: { degraded: 5s, down: 1s } } }
      - { name: two, url: "http://127.0.0.1:1", capture: { v: 0 }, path: "//x" }
      - { name: two, body: "a${v}${late}" }
      - { name: four, url: "ftp://127.0.0.1:1", endpoint: canary, body: "${nobody}" }
      - { name: five, url: "http://127.0.0.1:1", path: "/${v}" }
"""
WRONG_KINDS_ARE_TOLD = [
    '8:21: endpoints[0].checks.canary.max_tokens: expected a whole number of at least 1, got "0"',
    "9:15: endpoints[0].checks.canary.mode: expected one of chat, chat_json, completion, "
    'responses, embeddings, rerank; got "chatt" (did you mean chat?)',
    '10:27: endpoints[0].checks.canary.ttft.degraded: must be less than ttft.down',
    '11:34: endpoints[0].checks.canary.inter_token.degraded: must be less than inter_token.down',
    "12:46: endpoints[0].checks.canary.tokens_per_second.degraded_below: must be more than "
    "tokens_per_second.down_below",
    '13:44: endpoints[0].checks.canary.expect.embedding.min_cosine: expected a number from -1 to 1',
    '15:21: endpoints[0].checks.models.drift_hold: expected a duration like 500ms, got "5" '
    "(did you mean 5s?)",
    '16:36: endpoints[0].checks.models.list.path: expected a path that begins with one /',
    '18:25: endpoints[0].checks.load.max_body_bytes: expected a size like 64KiB, got "x"',
    '19:15: endpoints[0].checks.load.path: expected a path that begins with one /',
    "23:13: endpoints[1].method: expected one of health, model_ready, server_live, "
    'server_ready; got "modelready" (did you mean model_ready?)',
    '25:19: endpoints[1].http_version: gRPC needs HTTP/2',
    '27:14: endpoints[1].reasons: a server cannot say "servin" (did you mean serving?)',
    '27:14: endpoints[1].reasons: not_serving: "fine" is not a reason',
    '31:65: endpoints[2].steps[0].max_body_bytes: expected a size like 64KiB, got "x"',
    '31:77: endpoints[2].steps[0].capture: "BAD" cannot be a name: expected lower case '
    "letters, digits and _, and neither prompt nor model",
    '31:121: endpoints[2].steps[0].expect.latency.degraded: must be less than expect.latency.down',
    '32:58: endpoints[2].steps[1].capture: v: expected a JSON pointer like /data/0/id, got "0"',
    '32:74: endpoints[2].steps[1].path: expected a path that begins with one /',
    '33:17: endpoints[2].steps[2].name: another step is called two too',
    '34:59: endpoints[2].steps[3].endpoint: a step has either a url or an endpoint',
]


def test_wrong_value_hides_no_mistake_of_any_kind(files):
    _, text, _ = files.check(WRONG_KINDS.lstrip())
    assert [line.split(":", 1)[1] for line in text.splitlines()] == WRONG_KINDS_ARE_TOLD


# What looks like a mistake, but only because a value beside it is bad; only those are told.
ONLY_BAD_VALUES = """
endpoints:
  - { name: a, type: vllm, url: "http://127.0.0.1:1", models: { a: b }, checks: { canary: {
      modes: { x: { path: [ a ] } }, mode: x, loaded: { path: /v1/models, ids: { a: b } } } } }
  - { name: b, type: grpc, url: "http://127.0.0.1:1", method: model_ready, model: [ a ] }
  - { name: c, type: load, url: "http://127.0.0.1:1", roles: { running: { a: b } } }
  - { name: d, type: models, url: "http://127.0.0.1:1", list: { path: [ a ], ids: /a } }
  - { name: e, type: scenario, steps: [ { name: s, url: [ a ], capture: { v: /0 } },
      { name: t, url: "http://127.0.0.1:1", path: "/${v}" } ] }
  - { name: f, type: scenario, steps: many }
  - { name: g, type: canary, url: "http://127.0.0.1:1", modes: [ a ] }
  - { name: h, type: canary, url: [ a ], modes: { x: { path: /, require: [ /a ] } } }
"""


def test_wrong_value_makes_no_mistake_of_any_kind_up(files):
    _, text, errors = files.check(ONLY_BAD_VALUES.lstrip())
    assert [int(error[1]) for error in errors] == [2, 3, 3, 4, 5, 6, 7, 9, 10, 11], text


def test_mistakes_beside_a_wrong_type_are_shown_at_once(files):
    text = assert_rejected(files, endpoint("interval: 5", "retries: 3", "nonsense: 1",
                                           "timeout: { conect: 1s }").replace("http\n", "htp\n"))
    found = [int(match.group(2)) for match in map(ERROR.match, text.splitlines()) if match]
    assert found == [3, 5, 6, 7, 8], text


def test_all_errors_of_all_files_are_shown_at_once(files):
    files.write("endpoints.d/a.yaml", endpoint("interval: 5"))
    files.write("endpoints.d/b.yaml", endpoint("nonsense: 1").replace("chat-a", "chat-b"))
    text = assert_rejected(files, "include: [ endpoints.d/*.yaml ]\nbad: 1\n")
    for place in ("main.yaml:2:", "a.yaml:5:", "b.yaml:5:"):
        assert place in text


# ---- Y5: numbers ----

DURATIONS_BAD = ["0s", "-1s", "5", "1e400", "1e3s", "0x10s", "1_000s", "60", "1.5.5s", "s", "''",
                 "1s1s1s1s", "99999999999999999999s", "nan", ".inf", "5 s m", "5S", "1m 30x",
                 "no", "off", "~"]
DURATIONS_GOOD = ["1s", "60s", "1500ms", "1m30s", "1h30m", "1d"]
WHOLE_BAD = ["-1", "0", "1.5", "1e2", "0x10", "0b1", "1_000", "65536", "99999999999999999999",
             "two", "''", "nan", ".inf", "+5", "~"]


@pytest.mark.parametrize("text", DURATIONS_BAD)
def test_bad_duration_is_rejected(files, text):
    assert_rejected(files, endpoint(f"interval: {text}"), r"endpoints\[0\]\.interval", line=5)


@pytest.mark.parametrize("text", DURATIONS_GOOD)
def test_good_duration_is_taken(files, text):
    code, output, _ = files.check(endpoint(f"interval: {text}", "timeout: { total: 900ms }"))
    assert code == 0, output


@pytest.mark.parametrize("text", WHOLE_BAD)
def test_bad_count_is_rejected(files, text):
    assert_rejected(files, endpoint(f"rise: {text}"), r"endpoints\[0\]\.rise", line=5)


@pytest.mark.parametrize("word", ["no", "off", "on", "yes", "true", "y", "n", "1e3", "0x10"])
def test_a_text_is_a_text(files, word):
    """The Norway problem: no scalar turns into something else behind the operator's back."""
    code, output, _ = files.check(
        f"groups: {{ {word}: {{}} }}\n" + endpoint(f"group: {word}", f"labels: {{ a: {word} }}"))
    assert code == 0, output


def test_duration_without_unit_suggests_one(files):
    assert_rejected(files, endpoint("interval: 5"), r"5s", r"duration")


# ---- Y6: includes ----


def include_main():
    return "include: [ endpoints.d/*.yaml ]\n"


def test_include_loop_is_rejected(files):
    files.write("endpoints.d/a.yaml", "include: [ ../endpoints.d/*.yaml ]\n")
    code, text, _ = files.check(include_main())
    assert code == 2 and text


def test_file_that_two_patterns_include_is_told_as_such(files):
    files.write("conf.d/a.yaml", endpoint())
    assert_rejected(files, "include: [ conf.d/*.yaml, conf.d/a.yaml ]\n", "included more than once")


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602, 0o777])
def test_file_that_others_may_write_is_rejected(files, mode):
    files.write("endpoints.d/a.yaml", endpoint(), mode)
    code, text, _ = files.check(include_main())
    assert code == 2 and "a.yaml" in text


def test_include_that_is_a_directory_is_rejected(files):
    os.makedirs(f"{files.path}/endpoints.d/a.yaml")
    code, text, _ = files.check(include_main())
    assert code == 2 and "a.yaml" in text


def test_include_that_is_a_fifo_does_not_hang(files):
    os.makedirs(f"{files.path}/endpoints.d")
    os.mkfifo(f"{files.path}/endpoints.d/a.yaml")
    code, text, _ = files.check(include_main())
    assert code == 2 and "a.yaml" in text


def test_named_include_that_is_missing_is_rejected(files):
    code, text, _ = files.check("include: [ absent.yaml ]\n" + endpoint())
    assert code == 2 and "absent.yaml" in text


def test_one_address_stands_for_a_list_of_it(files):
    code, text, _ = files.check("deny_addresses: 10.0.0.0/8\n" + endpoint())
    assert code == 0, text


def test_glob_without_a_match_is_fine(files):
    os.makedirs(f"{files.path}/endpoints.d")
    code, text, _ = files.check(include_main() + endpoint())
    assert code == 0 and "1 endpoint, 1 check in 1 file\n" in text, text
    files.write("endpoints.d/b.yaml", endpoint().replace("chat-a", "chat-b"))
    code, text, _ = files.check()
    assert code == 0 and "2 endpoints, 2 checks in 2 files\n" in text, text


def test_glob_in_a_missing_directory_is_rejected(files):
    code, text, _ = files.check(include_main() + endpoint())
    assert code == 2 and "endpoints.d" in text


def test_included_endpoints_are_checked_against_each_other(files):
    files.write("endpoints.d/a.yaml", endpoint())
    files.write("endpoints.d/b.yaml", endpoint())
    code, text, _ = files.check(include_main())
    assert code == 2 and "chat-a" in text and "b.yaml" in text


# ---- Y7: secrets ----

SECRET_FILES = {
    "empty": (b"", False),
    "newline_only": (b"\n", False),
    "one_newline": (MARKER.encode() + b"\n", True),
    "two_lines": (MARKER.encode() + b"\n" + MARKER.encode() + b"\n", False),
    "crlf_inside": (MARKER.encode() + b"\r\nX-Evil: 1", False),
    "nul": (MARKER.encode() + b"\0", False),
    "escape": (MARKER.encode() + b"\x1b[31m", False),
    "two_megabytes": (MARKER.encode() * (1 << 17), False),
}


@pytest.mark.parametrize("name", SECRET_FILES)
def test_secret_file_is_judged_without_showing_it(files, name):
    content, fine = SECRET_FILES[name]
    path = files.write("key", content)
    code, text, _ = files.check(endpoint(f"headers: {{ x-api-key: '${{file:{path}}}' }}"))
    assert code == (0 if fine else 2), text
    assert MARKER not in text
    assert fine or path in text


def test_paths_of_tls_are_relative_to_their_file(files, pki):
    """The daemon of systemd is at home in /, whoever tries its configuration is elsewhere."""
    shutil.copy(pki.ca, os.path.join(files.path, "ca.pem"))
    files.write("endpoints.d/a.yaml", endpoint("tls: { ca_file: ../ca.pem }")
                .replace("http://", "https://"))
    code, text, _ = files.check("include: [ endpoints.d/*.yaml ]\n", cwd="/")
    assert code == 0, text


def test_missing_secret_file_is_named(files):
    code, text, _ = files.check(endpoint("headers: { x-api-key: '${file:/no/such/key}' }"))
    assert code == 2 and "/no/such/key" in text


def test_missing_environment_variable_is_named(files):
    code, text, _ = files.check(endpoint("headers: { x-api-key: '${env:MH_NO_SUCH}' }"))
    assert code == 2 and "MH_NO_SUCH" in text


def test_credential_comes_from_systemd(files):
    files.write("credentials/chat-key", MARKER)
    content = endpoint("headers: { x-api-key: '${credential:chat-key}' }")
    code, text, _ = files.check(content, env={"CREDENTIALS_DIRECTORY":
                                              f"{files.path}/credentials"})
    assert code == 0, text
    code, text, _ = files.check(content)
    assert code == 2 and "CREDENTIALS_DIRECTORY" in text


@pytest.mark.parametrize("name", ["../chat-key", "/etc/passwd", "a/b", "", "."])
def test_credential_name_is_no_path(files, name):
    files.write("chat-key", MARKER)
    files.write("credentials/x", "x")
    code, text, _ = files.check(endpoint(f"headers: {{ x-api-key: '${{credential:{name}}}' }}"),
                                env={"CREDENTIALS_DIRECTORY": f"{files.path}/credentials"})
    assert code == 2, text
    assert MARKER not in text


def test_dump_config_hides_secrets(files):
    path = files.write("key", MARKER)
    files.write("main.yaml", endpoint(
        f"headers: {{ x-api-key: '${{file:{path}}}', Authorization: 'Bearer {MARKER}' }}")
        .replace("http://127.0.0.1:9/", f"http://user:{MARKER}@127.0.0.1:9/?key={MARKER}"))
    done = run_daemon("--dump-config", "--config", f"{files.path}/main.yaml")
    assert done.returncode == 0, done.stderr
    assert MARKER not in done.stdout + done.stderr
    assert "***" in done.stdout


def test_dumped_config_loads_again(files):
    files.write("main.yaml", good(files))
    first = run_daemon("--dump-config", "--config", f"{files.path}/main.yaml")
    assert first.returncode == 0, first.stderr
    code, text, _ = files.check(first.stdout)
    assert code == 0, text
    second = run_daemon("--dump-config", "--config", f"{files.path}/main.yaml")
    assert second.stdout == first.stdout


def test_dumped_texts_mean_the_same_again(files):
    """What needs no quotes in a block needs them between braces, and $${ stays what it is."""
    text = endpoint("headers: { X-A: '$${env:HOME}' }", "labels: { a: '$${x}' }",
                    "models: [ '$${y}', plain ]", "body: '$${z} ${name}'",
                    "variables: { name: '$${v}' }", "expect:", "  body:",
                    "    contains: hello, world ] }", "    matches: ^[a-z]{2,3}, $",
                    "  header: { X-B: '$${env:NONE}' }", "  json:", "    /a: 'x, y'", "    /b: x, y",
                    "    /c: ${env:WEIRD}", "    /d: -1.50", "    /e: null", "    /f: a b")
    environment = {"WEIRD": "q, r: s # t"}
    path = files.write("main.yaml", text)
    first = run_daemon("--dump-config", "--config", path, env=environment)
    assert first.returncode == 0, first.stderr
    for part in ('"$${env:HOME}"', '"hello, world ] }"', '/a: "x, y"', '/d: -1.50', '/f: a b'):
        assert part in first.stdout
    files.write("main.yaml", first.stdout)
    second = run_daemon("--dump-config", "--config", path)
    assert (second.stdout, second.stderr) == (first.stdout, "")


# ---- Y8: a bad reload changes nothing ----


def fingerprint(daemon):
    """What must not change: names, states, and the counts of checks may only grow."""
    return {name: (item["state"], item["since"], item["url"] if "url" in item else None)
            for name, item in daemon.endpoints().items()}


def test_bad_reload_changes_nothing(server, start):
    config = {"endpoints": [http_endpoint("well", server.url("healthy")),
                            http_endpoint("gone", "http://127.0.0.1:1/")]}
    daemon = start(config)
    daemon.wait_checked()
    wait_until(lambda: daemon.endpoint("gone")["state"] == "down", 5, "down")
    before = fingerprint(daemon)
    generation = daemon.status_json()["config"]["generation"]
    checks = daemon.endpoint("well")["checks"][0]["window"]["checks"]
    bad = {**{name: make for name, make in BOMBS.items() if name != "scalar_50_mb"},
           **{name: (lambda text=text: text) for name, (text, _, _) in WRONG.items()}}
    for number, (name, make) in enumerate(sorted(bad.items())):
        daemon.write_text(make())
        answer = daemon.request("POST", "/-/reload")
        assert answer.status >= 400, f"{name}: {answer.status}"
        assert b"modelhealthd.yaml" in answer.body, f"{name}: {answer.body[:300]!r}"
        assert daemon.metric("modelhealth_config_last_reload_success") == 0
        assert daemon.metric("modelhealth_config_reload_failures_total") == number + 1
    assert daemon.status_json()["config"]["last_reload_error"]
    assert fingerprint(daemon) == before
    assert daemon.status_json()["config"]["generation"] == generation
    wait_until(lambda: daemon.endpoint("well")["checks"][0]["window"]["checks"] > checks, 5,
               "checks going on")
    daemon.write_config(config)
    assert daemon.request("POST", "/-/reload").status == 200
    assert daemon.metric("modelhealth_config_last_reload_success") == 1
    assert fingerprint(daemon) == before
    daemon.assert_loop_never_stalled()


def test_bad_file_at_start_is_an_error_not_a_daemon(files):
    files.write("main.yaml", endpoint("nonsense: 1"))
    done = run_daemon("--config", f"{files.path}/main.yaml")
    assert done.returncode == 2, done.stderr
    assert "nonsense" in done.stderr
