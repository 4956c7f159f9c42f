# SPDX-License-Identifier: MIT
"""Requests signed with AWS Signature Version 4, against a server that computes the signature by
itself as Amazon documents it, the doubly encoded path of all services but S3 included."""

import calendar
import hashlib
import hmac
import http.server
import json
import threading
import time
import urllib.parse

import pytest

from harness import http_endpoint, last_of, run_daemon

KEYS = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
REGION = "us-east-1"
CONVERSED = {"output": {"message": {"role": "assistant", "content": [{"text": "OK"}]}},
             "stopReason": "end_turn",
             "usage": {"inputTokens": 9, "outputTokens": 1, "totalTokens": 10}}


def signature(secret, method, target, headers, body, scope, signed):
    """RFC-style steps of AWS Signature Version 4."""
    path, _, query = target.partition("?")
    service = scope.split("/")[2]
    canonical = "\n".join([
        method, path if service == "s3" else urllib.parse.quote(path, safe="/-_.~"),
        "&".join(sorted(query.split("&"))),
        *[f"{name}:{' '.join(headers[name].split())}" for name in signed], "",
        ";".join(signed), hashlib.sha256(body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers 200 to a right signature, else 403 with the words of the real service."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def judge(self, body):
        words = self.headers.get("authorization", "")
        if not words.startswith("AWS4-HMAC-SHA256 "):
            return "Missing Authentication Token"
        parts = dict(part.split("=", 1) for part in words.split(" ", 1)[1].split(", "))
        key, scope = parts["Credential"].split("/", 1)
        if key not in KEYS:
            return "The security token included in the request is invalid."
        at = calendar.timegm(time.strptime(self.headers["x-amz-date"], "%Y%m%dT%H%M%SZ"))
        if abs(time.time() + self.server.skew - at) > 300:
            return "Signature expired: it is now earlier than the request, by the server's clock"
        signed = parts["SignedHeaders"].split(";")
        if not {"host", "x-amz-date"} <= set(signed) or signed != sorted(signed):
            return "SignedHeaders are wrong"
        if "x-amz-security-token" in self.headers and "x-amz-security-token" not in signed:
            return "the session token is not signed"
        want = signature(KEYS[key], self.command, self.path, self.headers, body, scope, signed)
        if not hmac.compare_digest(want, parts["Signature"]):
            return "The request signature we calculated does not match the signature you provided."
        return None

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        error = self.judge(body)
        self.server.seen.append((self.path, dict(self.headers.items()), error))
        reply = json.dumps({"message": error} if error else CONVERSED).encode()
        self.send_response(403 if error else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_POST = answer


@pytest.fixture
def amazon():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen = []
    server.skew = 0
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def endpoint(name, server, **more):
    keys = {"models": [MODEL], "method": "POST", "path": "/model/${model}/converse",
            "body": '{"messages":[{"role":"user","content":[{"text":"hi"}]}]}',
            "headers": {"Content-Type": "application/json"},
            "variables": {"region": REGION}, "sigv4": "aws:amz:${region}:bedrock",
            "access_key": "AKIDEXAMPLE", "secret_key": KEYS["AKIDEXAMPLE"]}
    keys.update(more)
    return http_endpoint(name, f"http://127.0.0.1:{server.server_port}",
                         **{key: value for key, value in keys.items() if value is not None})


SIGNED = {
    "bedrock": {},
    "token": {"session_token": "FwoGZXIvYXdzEBYaDE=="},
    "get": {"method": "GET", "body": None, "path": "/foundation-models?byProvider=x"},
    "s3": {"sigv4": "aws:amz:eu-west-1:s3", "path": "/bucket/a%3Ab", "method": "GET",
           "body": None},
    "arn": {"models": ["arn:aws:bedrock:us-east-1:1:inference-profile/us.x-v1:0"]},
    "no-type": {"headers": None},
    "more-headers": {"headers": {"content-type": "application/json", "Accept": "*/*",
                                 "X-Amzn-Bedrock-Trace": "ENABLED"}},
}


def test_the_server_computes_the_same_signature(start, amazon):
    daemon = start({"endpoints": [endpoint(name, amazon, **more)
                                  for name, more in SIGNED.items()]})
    listed = daemon.wait_checked()
    for name in SIGNED:
        assert last_of(listed[name])["reason"] == "ok", (last_of(listed[name]), amazon.seen)
    paths = {path for path, _, _ in amazon.seen}
    assert f"/model/{MODEL.replace(':', '%3A')}/converse" in paths
    assert any("%2Fus.x-v1%3A0/converse" in path for path in paths)


def test_a_wrong_key_and_a_wrong_clock_are_ours(start, amazon):
    daemon = start({"endpoints": [
        endpoint("wrong", amazon, secret_key="not this one"),
        endpoint("unsigned", amazon, access_key=None, secret_key=None)]})
    listed = daemon.wait_checked()
    assert last_of(listed["wrong"])["reason"] == "auth_failed"
    assert last_of(listed["unsigned"])["reason"] == "auth_failed"
    assert all("authorization" not in {name.lower() for name in headers}
               for _, headers, error in amazon.seen if error == "Missing Authentication Token")


def test_a_wrong_clock_is_told(start, amazon):
    amazon.skew = 3600
    daemon = start({"endpoints": [endpoint("clock", amazon, errors=[
        {"status": 403, "reason": "auth_failed"}])]})
    last = last_of(daemon.wait_checked()["clock"])
    assert last["reason"] == "auth_failed"
    assert "Signature expired" in last["detail"]
    assert amazon.seen[-1][2].startswith("Signature expired")


def test_bedrock_is_asked_by_its_profile(start, amazon):
    daemon = start({"endpoints": [{
        "name": "bedrock", "type": "bedrock", "models": [MODEL], "variables": {"region": REGION},
        "url": f"http://127.0.0.1:{amazon.server_port}", "access_key": "AKIDEXAMPLE",
        "secret_key": KEYS["AKIDEXAMPLE"], "session_token": "token"}]})
    last = last_of(daemon.wait_checked()["bedrock"])
    assert last["reason"] == "ok", (last, amazon.seen)
    path, _, error = amazon.seen[0]
    assert path == f"/model/{MODEL.replace(':', '%3A')}/converse" and error is None


def test_no_secret_is_shown(start, amazon):
    daemon = start({"endpoints": [endpoint("bedrock", amazon, session_token="TOKENMARK12345")]})
    daemon.wait_checked()
    dump = run_daemon("--config", daemon.config_path, "--dump-config")
    shown = dump.stdout + daemon.stderr() + daemon.get("/api/v1/endpoints/bedrock").text + \
        daemon.get("/metrics").text
    for secret in [*KEYS, *KEYS.values(), "TOKENMARK12345"]:
        assert secret not in shown


@pytest.mark.parametrize("more, words", [
    ({"sigv4": "aws:amz"}, "expected provider, region and service"),
    ({"sigv4": "aws:amz:us-east-1:"}, "expected provider, region and service"),
    ({"access_key": None}, "access_key and secret_key need each other"),
    ({"api_key": "x"}, "either signed or carry a key"),
])
def test_configuration_errors_say_what_is_wrong(tmp_path, amazon, more, words):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"endpoints": [endpoint("a", amazon, **more)]}))
    path.chmod(0o600)
    done = run_daemon("--config", str(path), "--check")
    assert done.returncode == 2
    assert words in done.stderr + done.stdout, done
