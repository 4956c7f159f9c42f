# SPDX-License-Identifier: MIT
"""Types of servers: own profiles in a folder, taken at reload, and what is said of wrong ones."""

import http.server
import threading

import pytest

from harness import check_of, last_of, run_daemon, wait_until

PROFILE = """\
about: a server of our own
checks:
  live:
    kind: http
    path: /state
    interval: 200ms
    rules:
      - {{ status: 503, json: {{ /error/message: warming up }}, reason: {reason} }}
"""


class Server(http.server.BaseHTTPRequestHandler):
    """Says what it is doing, with status 503."""

    def do_GET(self):  # pylint: disable=invalid-name
        body = b'{"error":{"message":"warming up"}}'
        self.server.paths.append(self.path)
        self.send_response(503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):  # pylint: disable=arguments-differ
        pass


@pytest.fixture
def peer():
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    listener.paths = []
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    yield listener
    listener.shutdown()
    listener.server_close()
    thread.join()


@pytest.fixture
def folder(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)


def test_own_profile_is_followed_and_reloaded(peer, folder, start):
    write(folder, "ours.yaml", PROFILE.format(reason="loading"))
    daemon = start({"endpoints": [{
        "name": "a", "type": "ours",
        "url": f"http://127.0.0.1:{peer.server_port}/base/v1"}]}, "--profiles", str(folder))
    daemon.wait_checked()
    last = last_of(daemon.endpoint("a"))
    assert last["reason"] == "loading"
    assert last["detail"] == "status 503: warming up"
    assert set(peer.paths) == {"/base/state"}

    write(folder, "ours.yaml", PROFILE.format(reason="overloaded"))
    assert daemon.request("POST", "/-/reload").status == 200
    wait_until(lambda: last_of(daemon.endpoint("a"))["reason"] == "overloaded",
               10, "the changed rule")

    write(folder, "ours.yaml", PROFILE.format(reason="overlaoded"))
    refused = daemon.request("POST", "/-/reload")
    assert refused.status != 200
    assert "ours.yaml:8:70: checks.live.rules[0].reason: expected a reason like" in refused.text
    assert "(did you mean overloaded?)" in refused.text
    assert check_of(daemon.endpoint("a"))["name"] == "live"


def check(folder, config):
    write(folder, "main.yaml", config)
    done = run_daemon("--check", "--config", str(folder / "main.yaml"),
                      "--profiles", str(folder / "profiles"))
    return done.returncode, done.stdout + done.stderr


def test_check_reports_a_wrong_profile_that_nobody_uses(folder):
    (folder / "profiles").mkdir()
    write(folder, "profiles/ours.yaml", "about: x\nchecks: { live: { kind: htpp } }\n")
    code, said = check(folder, "endpoints: []\n")
    assert code == 2
    assert said.startswith(f"{folder}/profiles/ours.yaml:2:25: checks.live.kind: expected one of")
    assert "did you mean http?" in said


def test_a_folder_that_is_not_there_holds_no_profiles_unless_it_is_named(folder):
    code, said = check(folder, "endpoints: []\n")
    assert code == 2
    assert "--profiles: expected a directory" in said


def test_types_are_listed():
    done = run_daemon("--list-types")
    assert done.returncode == 0
    listed = dict(line.split("\t") for line in done.stdout.splitlines())
    assert "vLLM" in listed["vllm"]
    assert "http" in listed
