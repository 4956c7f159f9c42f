# SPDX-License-Identifier: MIT
"""Servers that repeat the key that they were sent: no output may show it."""

import http.server
import json
import threading

import pytest

KEY = "m4rk3r-0f-4-s3cr3t"
PROXY_KEY = "4n0th3r-s3cr3t-0f-0urs"


class Tattler(http.server.BaseHTTPRequestHandler):
    """Tells all that it was sent, in the words of an error and as the name of a model."""

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = f"{self.headers['Authorization']} and {self.headers['X-Proxy-Key']}"
        status, reply = 401, {"error": {"message": f"I do not know {told}"}}
        if self.path == "/list":
            status, reply = 200, {"data": [{"id": told}]}
        elif self.path == "/assert":
            status, reply = 200, {"got": told}
        body = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


@pytest.fixture
def tattler():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tattler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


CHECKS = {
    "http": {"kind": "http", "path": "/x", "rules": [{"status": 401, "reason": "auth_failed"}]},
    "asserts": {"kind": "http", "path": "/assert", "expect": {"json": {"/got": "this"}}},
    "models": {"kind": "models", "list": {"path": "/list", "ids": "/data/*/id"}},
    "refused": {"kind": "models", "list": {"path": "/v1/models", "ids": "/data/*/id"}},
    "load": {"kind": "load", "path": "/metrics", "roles": {"running": ["x"]}},
    "canary": {"kind": "canary",
               "modes": {"chat": {"path": "/chat", "body": "{}", "text": ["/text"]}}},
}


def test_a_repeated_key_is_shown_nowhere(start, tattler):
    secrets = {"MH_KEY": KEY, "MH_PROXY_KEY": PROXY_KEY}
    shared = {"type": "http", "url": tattler, "models": ["m"], "api_key": "${env:MH_KEY}",
              "headers": {"X-Proxy-Key": "${env:MH_PROXY_KEY}"}, "interval": "1s"}
    endpoints = [{"name": name, **shared, "checks": {name: check}}
                 for name, check in CHECKS.items()]
    endpoints.append({"name": "scenario", "type": "scenario", "interval": "1s",
                      "steps": [{"name": "one", "endpoint": "http", "path": "/x",
                                 "rules": CHECKS["http"]["rules"]}]})
    daemon = start({"endpoints": endpoints}, env=secrets)
    names = [*CHECKS, "scenario"]
    found = daemon.wait_checked(names)
    for name in names:
        detail = found[name]["checks"][0]["last"]["detail"]
        assert "***" in detail, f"{name}: {detail}"
        assert KEY not in detail and PROXY_KEY not in detail, f"{name}: {detail}"
    with open(daemon.stderr_path, encoding="utf-8") as log:
        text = log.read()
    assert "***" in text
    assert KEY not in text and PROXY_KEY not in text
