# SPDX-License-Identifier: MIT
"""Strings that hurt displays, through every output (E17, H10, H11)."""

import json

import pytest

import namespace
from attacks import CONTROL, assert_clean_text
from harness import (Daemon, DatagramSink, http_endpoint, last_of, parse_journal, parse_metrics,
                     wait_until)
from hostile import answering

# Each stands in the status text, in a header value and in a JSON value that is not as expected.
PAYLOADS = {
    "script": b"<script>alert(1)</script>",
    "image": b"\"><img src=x onerror=alert(1)>",
    "ansi": b"\x1b[31mred\x1b]0;title\x07\x1b[2J",
    "ansi8": b"\xc2\x9b31mcsi",
    "rtl": "\u202egnp.exe\u2066".encode(),
    "zero_width": "a\u200bb\ufeffc".encode(),
    "line_separators": "a\u2028b\u2029c\u0085d".encode(),
    "percent": b"%s%n%x%d%%",
    "newline": b"a\nFAKE=1\nMESSAGE=forged",
    "carriage_return": b"a\rFAKE",
    "tab": b"a\tb",
    "nul": b"a\0b",
    "quote_brace": b"\"}],\"state\":\"up\"",
    "backslash": b"\\\" \\n \\u0000 \\",
    "prometheus": b"\"} 1\nmodelhealth_forged 1\n",
    "yaml": b"- &a [*a, *a] !!python/object",
    "invalid_utf8": b"\xff\xfe\x80\xc0\xaf",
    "cut_utf8": b"\xf0\x9f\x98",
    "surrogate": b"\xed\xa0\x80\xed\xb0\x80",
    "combining": b"Z" + "\u0351".encode() * 500,
    "emoji": "\U0001f469\u200d\U0001f680".encode() * 60,
    "long": b"A" * 5000,
    "shell": b"$(reboot) `reboot` ; rm -rf /",
    "template": b"{{7*7}} ${7*7} <%= 7*7 %>",
    "bell_backspace": b"\x07\x08\x7f\x0c\x0b",
    "csv": b"=cmd|' /C calc'!A0",
}

PLACES = ["status", "header", "json", "body"]


def endpoint_of(server, name, place, payload):
    """An endpoint whose answer brings the payload to the place where a detail would show it."""
    line = payload.replace(b"\n", b" ").replace(b"\r", b" ").replace(b"\0", b" ")
    text = payload.decode("utf-8", "surrogateescape")
    if place == "status":
        def function(peer):
            while peer.request():
                peer.send(b"HTTP/1.1 503 ", line, b"\r\nContent-Length: 0\r\n\r\n")
        expect = {}
    elif place == "header":
        def function(peer):
            while peer.request():
                peer.send(b"HTTP/1.1 200 OK\r\nX-Version: ", line,
                          b"\r\nContent-Length: 0\r\n\r\n")
        expect = {"header": {"x-version": "one"}}
    elif place == "json":
        good = json.dumps({"status": text.encode("utf-8", "replace").decode()})
        function = answering(good.encode())
        expect = {"json": {"/status": "ok"}}
    else:
        function = answering(b"begin " + payload + b" end")
        expect = {"body": {"contains": "what never comes"}}
    server.listen_as(name, function)
    more = {"expect": expect} if expect else {}
    return http_endpoint(name, server.url(name), rise=1, fall=1, **more)


CASES = [(place, name) for place in PLACES for name in PAYLOADS]


@pytest.fixture(scope="module")
def journal():
    """A fake journald in a private /run, None where we may not have one."""
    if namespace.missing():
        yield None
        return
    with namespace.opened() as space:
        sink = DatagramSink(f"{space.directory}/socket")
        sink.wrapper = space.wrapper("--mount")
        yield sink
        sink.close()


@pytest.fixture(scope="module")
def shown(server, journal):
    """Everything the daemon says about the payloads."""
    endpoints = [endpoint_of(server, f"{place}-{name}", place, PAYLOADS[name])
                 for place, name in CASES]
    endpoints.append(http_endpoint("well", server.url("healthy"),
                                   labels={"quote": 'a"b\\c', "markup": "<b>é</b>"}))
    wrapper = journal.wrapper if journal else ()
    with Daemon({"endpoints": endpoints}, wrapper=wrapper, journal=bool(journal)) as daemon:
        daemon.start()
        daemon.listed = daemon.wait_checked(checks=2)
        yield daemon
        daemon.assert_canaries_well(["well"])
        daemon.assert_loop_never_stalled()


@pytest.mark.parametrize("place, name", CASES)
def test_json_detail_is_clean(shown, place, name):
    endpoint = shown.listed[f"{place}-{name}"]
    last = last_of(endpoint)
    assert last["verdict"] == "down", last
    assert_clean_text(last["detail"])
    for failure in endpoint["checks"][0]["last_failures"]:
        assert_clean_text(failure["detail"])


def test_json_is_utf8_without_raw_controls(shown):
    body = shown.get("/api/v1/endpoints").body
    assert not any(byte < 0x20 and byte != 0x0a for byte in body)
    json.loads(body.decode("utf-8", "strict"))


def test_text_table_has_one_line_an_endpoint(shown):
    text = shown.get("/").text
    for place, name in CASES:
        lines = [line for line in text.split("\n") if line.split(" ")[0] == f"{place}-{name}"]
        assert len(lines) == 1
    assert not CONTROL.search(text.replace("\n", " "))


def test_metrics_carry_nothing_from_peers(shown, promtool):
    text = shown.get("/metrics").text
    promtool.check(text)
    for piece in ("modelhealth_forged", "alert(1)", "\x1b", "reboot"):
        assert piece not in text
    names = {labels.get("endpoint") for samples in parse_metrics(text).values()
             for labels, _ in samples}
    assert names <= set(shown.listed) | {None}


def test_labels_of_the_operator_are_escaped(shown):
    assert shown.listed["well"]["labels"] == {"quote": 'a"b\\c', "markup": "<b>é</b>"}


def test_number_of_series_does_not_depend_on_requests(shown):
    before = {name: len(samples) for name, samples in shown.metrics().items()}
    for number in range(200):
        shown.request("GET", f"/no/such/{number}?x={number}",
                      headers={"User-Agent": f"agent-{number}"})
        shown.request("GET", f"/probe?target=nobody-{number}&module=x")
    after = {name: len(samples) for name, samples in shown.metrics().items()}
    # Counters of results that come in meanwhile may add a reason, never a request.
    for name in set(before) | set(after):
        assert after.get(name, 0) - before.get(name, 0) <= len(CASES), name


def test_journal_records_are_not_forged(shown, journal):
    if journal is None:
        pytest.skip(namespace.missing())
    def changes():
        records = [parse_journal(message) for message in list(journal.messages)]
        return [record for record in records if any(name == "ENDPOINT" for name, _ in record)]
    wait_until(lambda: len(changes()) >= len(CASES), 10, "a journal record of every endpoint")
    for record in changes():
        names = [name for name, _ in record]
        assert len(names) == len(set(names)), f"a field twice: {names}"
        assert "FAKE" not in names
        for name, value in record:
            assert not CONTROL.search(value.decode("utf-8", "strict")), (name, value)


def test_stderr_is_clean(start, server):
    """The same on a terminal, in both formats."""
    for form in ("text", "json"):
        endpoints = [endpoint_of(server, f"{form}-{name}", "status", PAYLOADS[name])
                     for name in ("ansi", "newline", "quote_brace", "rtl")]
        daemon = start({"endpoints": endpoints}, "--log-format", form)
        daemon.wait_checked()
        lines = wait_until(lambda: lines_about(daemon, form), 5, "log lines")
        assert len(lines) == 4
        for line in lines:
            assert not CONTROL.search(line)
            if form == "json":
                assert json.loads(line)["endpoint"].startswith("json-")


def lines_about(daemon, prefix):
    lines = [line for line in daemon.stderr().split("\n") if f"{prefix}-" in line]
    return lines if len(lines) >= 4 else None
