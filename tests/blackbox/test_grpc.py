# SPDX-License-Identifier: MIT
"""The grpc kind: recorded and hostile HTTP/2 servers, grpcio's own server, nginx in front of it."""

import concurrent.futures
import contextlib
import json
import os
import shutil
import struct
import tempfile
from pathlib import Path

import pytest

import foreign
from attacks import Attack, attack_round, reasons
from h2 import (ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS,
                STATUS_200, frame, literal, read_request)
from harness import free_port, last_of, limits_for, run_daemon
from hostile import server_context

FIXTURES = Path(__file__).resolve().parents[1] / "data/fixtures"


def grpc_endpoint(name, url, **more):
    return {"name": name, "type": "grpc", "url": url, "interval": "1s", "timeout": {
        "connect": "800ms", "first_byte": "800ms", "idle": "800ms", "total": "800ms"}, **more}


# ---- what servers send ----

TYPE = literal(b"content-type", b"application/grpc")
HEAD = frame(HEADERS, END_HEADERS, 1, STATUS_200 + TYPE)


def hello(*frames):
    return frame(SETTINGS) + frame(SETTINGS, ACK) + b"".join(frames)


def message(body, flag=0, length=None):
    return bytes([flag]) + struct.pack(">I", len(body) if length is None else length) + body


def data(body, flags=0):
    return frame(DATA, flags, 1, body)


def trailers(*fields):
    return frame(HEADERS, END_HEADERS | END_STREAM, 1, b"".join(
        literal(name, value) for name, value in fields))


def only(*fields):
    """An answer without a message: the trailers are the headers."""
    return hello(frame(HEADERS, END_HEADERS | END_STREAM, 1, STATUS_200 + TYPE + b"".join(
        literal(name, value) for name, value in fields)))


def status(code):
    return trailers((b"grpc-status", code))


def http(code, *more):
    return hello(frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(b":status", code) +
                       b"".join(more)))


SERVING = message(b"\x08\x01")
GOOD = hello(HEAD, data(SERVING), status(b"0"))
LAST_0 = struct.pack(">II", 0, 0)

# name: (bytes of the server, right reasons, what the detail holds)
ANSWERS = {
    "serving": (GOOD, "ok", ""),
    "not_serving": (hello(HEAD, data(message(b"\x08\x02")), status(b"0")), "grpc_not_serving",
                    "not_serving"),
    "health_unknown": (hello(HEAD, data(message(b"")), status(b"0")), "grpc_not_serving",
                       "health_unknown"),
    "service_unknown": (hello(HEAD, data(message(b"\x08\x03")), status(b"0")), "model_missing", ""),
    "nobody_knows": (hello(HEAD, data(message(b"\x08\x63")), status(b"0")), "grpc_not_serving",
                     "99"),
    "other_fields": (hello(HEAD, data(message(b"\x12\x03abc\x08\x01")), status(b"0")), "ok", ""),
    "split": (hello(HEAD, *[data(SERVING[i:i + 1]) for i in range(len(SERVING))], status(b"0")),
              "ok", ""),
    "serving_then_error": (hello(HEAD, data(SERVING), status(b"13")), "grpc_status", "internal"),
    "no_trailers": (hello(HEAD, data(SERVING, END_STREAM)), "protocol_error", "no grpc-status"),
    "junk_status": (hello(HEAD, data(SERVING), status(b"fine")), "protocol_error", "fine"),
    "empty_status": (hello(HEAD, data(SERVING), status(b"")), "protocol_error", "grpc-status"),
    "negative_status": (hello(HEAD, data(SERVING), status(b"-1")), "protocol_error", "-1"),
    "future_status": (only((b"grpc-status", b"77")), "grpc_status", "77"),
    "no_message": (hello(HEAD, status(b"0")), "protocol_error", "no message"),
    "trailers_only_ok": (only((b"grpc-status", b"0")), "protocol_error", "no message"),
    "not_found": (only((b"grpc-status", b"5")), "model_missing", "not_found"),
    "forbidden": (only((b"grpc-status", b"7")), "auth_failed", ""),
    "unauthenticated": (only((b"grpc-status", b"16"), (b"grpc-message", b"bad%20key")),
                        "auth_failed", "bad key"),
    "exhausted": (only((b"grpc-status", b"8")), "overloaded", ""),
    "unimplemented": (only((b"grpc-status", b"12")), "feature_off", ""),
    "invalid": (only((b"grpc-status", b"3")), "bad_probe", ""),
    "deadline": (only((b"grpc-status", b"4")), "grpc_status", "deadline_exceeded"),
    "hurtful_message": (only((b"grpc-status", b"14"),
                             (b"grpc-message", b"a%0Ab%1b[31m%E2%80%AE%ff%zz<b>")),
                        "grpc_status", "<b>"),
    "huge_length": (hello(HEAD, data(message(b"\x08\x01", length=0xffffffff))), "protocol_error",
                    "longer than"),
    "long_length": (hello(HEAD, data(message(b"\x08\x01", length=65537))), "protocol_error",
                    "longer than"),
    "short_message": (hello(HEAD, data(message(b"\x08", length=2)), status(b"0")),
                      "protocol_error", "cut off"),
    "compressed": (hello(HEAD, data(message(b"\x08\x01", flag=1)), status(b"0")),
                   "protocol_error", "compressed"),
    "bad_flag": (hello(HEAD, data(b"\x07" + SERVING[1:]), status(b"0")), "protocol_error",
                 "no gRPC frame"),
    "two_messages": (hello(HEAD, data(SERVING + SERVING), status(b"0")), "protocol_error",
                     "more than one"),
    "bad_protobuf": (hello(HEAD, data(message(b"\x0a\xff")), status(b"0")), "protocol_error", ""),
    "html": (hello(frame(HEADERS, END_HEADERS, 1, STATUS_200 + literal(b"content-type",
                                                                       b"text/html")),
                   data(b"<html></html>", END_STREAM)), "protocol_error", "no gRPC frame"),
    "http_401": (http(b"401"), "auth_failed", ""),
    "http_404": (http(b"404"), "feature_off", ""),
    "http_429": (http(b"429"), "rate_limited", ""),
    "http_502": (http(b"502"), "server_error", ""),
    "http_503_with_status": (http(b"503", literal(b"grpc-status", b"8")), "overloaded", ""),
    "goaway": (hello(frame(GOAWAY, 0, 0, LAST_0)), "draining", "GOAWAY"),
    "goaway_calm": (hello(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 11))), "overloaded", ""),
    "goaway_error": (hello(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 2))), "grpc_status",
                     "unavailable"),
    "goaway_but_answered": (hello(frame(GOAWAY, 0, 0, struct.pack(">II", 1, 0)), HEAD,
                                  data(SERVING), status(b"0")), "ok|draining", ""),
    "refused": (hello(frame(RST_STREAM, 0, 1, struct.pack(">I", 7))), "grpc_status",
                "unavailable"),
    "reset_internal": (hello(frame(RST_STREAM, 0, 1, struct.pack(">I", 2))), "grpc_status",
                       "internal"),
    "reset_cancel": (hello(frame(RST_STREAM, 0, 1, struct.pack(">I", 8))), "grpc_status",
                     "cancelled"),
    "reset_calm": (hello(frame(RST_STREAM, 0, 1, struct.pack(">I", 11))), "overloaded", ""),
    "reset_after_message": (hello(HEAD, data(SERVING), frame(RST_STREAM, 0, 1,
                                                             struct.pack(">I", 2))),
                            "grpc_status", "internal"),
    "silent_after_message": (hello(HEAD, data(SERVING)), "timeout_idle|timeout_total", ""),
    "http_1": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "protocol_error|conn_reset", ""),
}


def answers(reply, piece=1 << 20):
    """A behaviour: read the request, send these bytes in pieces, hold."""
    def function(peer):
        read_request(peer.sock)
        for i in range(0, len(reply), piece):
            peer.send(reply[i:i + piece])
        peer.hold()
    return function


@pytest.fixture(scope="module")
def played(server):
    endpoints = []
    for name, (reply, right, _) in ANSWERS.items():
        port = server.listen(name, answers(reply))
        endpoints.append(grpc_endpoint(name, f"grpc://127.0.0.1:{port}", timeout=limits_for(right)))
    with attack_round(server, [], endpoints=endpoints) as result:
        yield result


@pytest.mark.parametrize("name", ANSWERS)
def test_grpc_answer_gets_its_reason(played, name):
    _, right, detail = ANSWERS[name]
    played.assert_attack(Attack(name, right, detail=detail))


def test_a_refused_call_is_asked_once(start, server):
    """libcurl by itself would ask six times."""
    port = server.listen("once", answers(ANSWERS["refused"][0]))
    daemon = start({"endpoints": [grpc_endpoint("once", f"http://127.0.0.1:{port}",
                                                interval="1h")]})
    assert last_of(daemon.wait_checked()["once"])["reason"] == "grpc_status"
    assert server.connections["once"] <= 2


# ---- recorded servers ----

RECORDED = {
    "grpc_health.goaway.h2": "draining",
    "grpc_health.msg_then_error.h2": "grpc_status",
    "grpc_health.not_serving.h2": "loading",
    "grpc_health.split_data.h2": "ok",
    "grpc_health.unavailable.h2": "grpc_status",
    "grpc_health.unimplemented.h2": "feature_off",
}


def test_recorded_servers_byte_by_byte_and_whole(start, server):
    endpoints = []
    for name in RECORDED:
        reply = (FIXTURES / name).read_bytes()
        for piece in (1, 7, 1 << 20):
            port = server.listen(f"{name}-{piece}", answers(reply, piece))
            endpoints.append({**grpc_endpoint(f"{name}-{piece}", f"http://127.0.0.1:{port}"),
                              "type": "grpc_health"})
    daemon = start({"endpoints": endpoints})
    listed = daemon.wait_checked()
    for name, right in RECORDED.items():
        for piece in (1, 7, 1 << 20):
            last = last_of(listed[f"{name}-{piece}"])
            assert last["reason"] == right, (name, piece, last)


def test_the_request_is_that_of_the_protocol(start, server):
    seen = []

    def function(peer):
        seen.append(read_request(peer.sock))
        peer.send(GOOD)
        peer.hold()

    port = server.listen("request", function)
    daemon = start({"endpoints": [grpc_endpoint("request", f"grpc://127.0.0.1:{port}",
                                                service="m", interval="1h")]})
    assert last_of(daemon.wait_checked()["request"])["reason"] == "ok"
    bodies = b"".join(payload for kind, payload in seen[0] if kind == DATA)
    assert bodies == b"\0\0\0\0\x03\x0a\x01m"


# ---- grpcio's own server ----

class Recorder:
    """A health service and the inference service of KServe v2, written by hand: grpcio takes bytes
    where there is no generated code."""

    HEALTH = {"": b"\x08\x01", "ModelService": b"\x08\x01", "busy": b"\x08\x02", "odd": b""}

    def __init__(self, grpc):
        self.grpc = grpc
        self.metadata = {}
        self.remaining = []
        self.models = []

    def check(self, request, context):
        self.metadata = dict(context.invocation_metadata())
        self.remaining.append(context.time_remaining())
        name = request[2:].decode()
        if name == "locked" and self.metadata.get("authorization") != "Bearer sesame":
            context.abort(self.grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        if name not in {**self.HEALTH, "locked": b""}:
            context.abort(self.grpc.StatusCode.NOT_FOUND, "unknown service \u20ac")
        return self.HEALTH.get(name, b"\x08\x01")

    def model_ready(self, request, context):
        self.models.append(request)
        return b"\x08\x01" if b"resnet" in request else b""

    def handler(self, function):
        return self.grpc.unary_unary_rpc_method_handler(function)

    def install(self, server):
        def bool_true(request, context):
            return b"\x08\x01"
        server.add_generic_rpc_handlers((
            self.grpc.method_handlers_generic_handler(
                "grpc.health.v1.Health", {"Check": self.handler(self.check)}),
            self.grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {
                "ServerLive": self.handler(bool_true),
                "ServerReady": self.handler(lambda request, context: b"\x08\x00"),
                "ModelReady": self.handler(self.model_ready)}),
        ))


@pytest.fixture(scope="module")
def real(pki):
    grpc = pytest.importorskip("grpc", reason="python3-grpcio is not installed")
    recorder = Recorder(grpc)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    recorder.install(server)
    recorder.port = server.add_insecure_port("127.0.0.1:0")
    with open(pki.good[1], "rb") as key, open(pki.good[0], "rb") as certificate:
        recorder.tls_port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(
            [(key.read(), certificate.read())]))
    server.start()
    yield recorder
    server.stop(0).wait()


def test_a_real_health_service(start, real):
    url = f"grpc://127.0.0.1:{real.port}"
    endpoints = {
        "whole": ({}, "ok"),
        "service": ({"service": "ModelService"}, "ok"),
        "busy": ({"service": "busy"}, "grpc_not_serving"),
        "busy-loading": ({"service": "busy", "reasons": {"not_serving": "loading"}}, "loading"),
        "odd": ({"service": "odd"}, "grpc_not_serving"),
        "missing": ({"service": "nothing"}, "model_missing"),
        "locked": ({"service": "locked"}, "auth_failed"),
        "key": ({"service": "locked", "api_key": "sesame"}, "ok"),
        "wrong-key": ({"service": "locked", "api_key": "open"}, "auth_failed"),
        "header": ({"service": "locked", "headers": {"authorization": "Bearer sesame"}}, "ok"),
        "template": ({"service": "${model}", "models": ["ModelService"]}, "ok"),
        "live": ({"method": "server_live"}, "ok"),
        "ready": ({"method": "server_ready"}, "grpc_not_serving"),
        "model": ({"method": "model_ready", "models": ["resnet"]}, "ok"),
        "other-model": ({"method": "model_ready", "model": "bert"}, "grpc_not_serving"),
        "call": ({"call": "/inference.GRPCInferenceService/ServerLive"}, "ok"),
        "no-such-call": ({"call": "/a.B/C"}, "feature_off"),
        "no-such-call-is-fine": ({"call": "/a.B/C", "reasons": {"unimplemented": "ok"}}, "ok"),
    }
    daemon = start({"endpoints": [grpc_endpoint(name, url, **more)
                                  for name, (more, _) in endpoints.items()]})
    listed = daemon.wait_checked()
    for name, (_, right) in endpoints.items():
        assert last_of(listed[name])["reason"] == right, (name, last_of(listed[name]))
    assert "unknown service \u20ac" in last_of(listed["missing"])["detail"]
    assert real.metadata["user-agent"].startswith("modelhealthd/")
    assert all(0 < left <= 0.8 for left in real.remaining)
    assert b"\x0a\x06resnet" in real.models


def test_a_real_health_service_over_tls(start, real, pki):
    tls = {"ca_file": pki.ca}
    daemon = start({"endpoints": [
        grpc_endpoint("grpcs", f"grpcs://localhost:{real.tls_port}", tls=tls),
        grpc_endpoint("https", f"https://localhost:{real.tls_port}", tls=tls),
        grpc_endpoint("stranger", f"grpcs://localhost:{real.tls_port}"),
        grpc_endpoint("plain", f"grpc://127.0.0.1:{real.tls_port}")]})
    listed = daemon.wait_checked()
    assert last_of(listed["grpcs"])["reason"] == "ok"
    assert last_of(listed["grpcs"])["timings"]["tls_seconds"] > 0
    assert last_of(listed["https"])["reason"] == "ok"
    assert last_of(listed["stranger"])["reason"] == "tls_verify_failed"
    assert last_of(listed["plain"])["reason"] in ("conn_reset", "protocol_error", "grpc_status")


# ---- nginx in front ----

NGINX = """
  server {{
    listen 127.0.0.1:{plain} http2;
    location / {{ grpc_pass grpc://127.0.0.1:{backend}; }}
  }}
  server {{
    listen 127.0.0.1:{tls} ssl http2;
    ssl_certificate "{certificate}";
    ssl_certificate_key "{key}";
    location / {{ grpc_pass grpc://127.0.0.1:{backend}; }}
  }}
  server {{
    listen 127.0.0.1:{dead} http2;
    location / {{ grpc_pass grpc://127.0.0.1:1; }}
  }}
"""


@contextlib.contextmanager
def nginx_in_front(backend, pki):
    ports = {"plain": free_port(), "tls": free_port(), "dead": free_port()}
    servers = NGINX.format(certificate=pki.good[0], key=pki.good[1], backend=backend, **ports)
    with (tempfile.TemporaryDirectory(prefix="mh-grpc-") as directory,
          foreign.nginx(directory, servers) as peer):
        peer.wait_port(ports["plain"])
        yield ports


def test_nginx_in_front_of_a_real_server(start, real, pki):
    with nginx_in_front(real.port, pki) as ports:
        daemon = start({"endpoints": [
            grpc_endpoint("plain", f"grpc://127.0.0.1:{ports['plain']}"),
            grpc_endpoint("tls", f"grpcs://localhost:{ports['tls']}", tls={"ca_file": pki.ca}),
            grpc_endpoint("missing", f"grpc://127.0.0.1:{ports['plain']}", service="nothing"),
            grpc_endpoint("dead", f"grpc://127.0.0.1:{ports['dead']}")]})
        listed = daemon.wait_checked()
        assert last_of(listed["plain"])["reason"] == "ok", listed["plain"]
        assert last_of(listed["tls"])["reason"] == "ok", listed["tls"]
        assert last_of(listed["missing"])["reason"] == "model_missing"
        assert last_of(listed["dead"])["reason"] in ("server_error", "grpc_status")


# ---- the configuration ----

@pytest.mark.parametrize("more, words", [
    ({"http_version": "1.1"}, "gRPC needs HTTP/2"),
    ({"reasons": {"not_servin": "loading"}}, "did you mean not_serving?"),
    ({"reasons": {"serving": "fine"}}, "\"fine\" is not a reason"),
    ({"method": "model_ready"}, "needs a model"),
    ({"headers": {"TE": "x"}}, "sets te itself"),
    ({"call": "a.B/C"}, "begins with one /"),
    ({"service": "${nobody}"}, "nobody"),
])
def test_configuration_errors_say_what_is_wrong(more, words):
    directory = tempfile.mkdtemp(prefix="mh-grpc-")
    try:
        path = os.path.join(directory, "c.yaml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"endpoints": [grpc_endpoint("a", "grpc://127.0.0.1:1", **more)]}, file)
        os.chmod(path, 0o600)
        done = run_daemon("--config", path, "--check")
        assert done.returncode == 2, done
        assert words in done.stderr + done.stdout, done
    finally:
        shutil.rmtree(directory)


def test_every_reason_in_this_file_exists():
    for _, right, _ in ANSWERS.values():
        assert set(right.split("|")) <= set(reasons())


def test_hostile_server_over_tls(start, server, pki):
    port = server.listen("tls-goaway", answers(ANSWERS["goaway"][0]),
                         tls=server_context(*pki.good, alpn=["h2"]))
    daemon = start({"endpoints": [grpc_endpoint("goaway", f"grpcs://localhost:{port}",
                                                tls={"ca_file": pki.ca})]})
    assert last_of(daemon.wait_checked()["goaway"])["reason"] == "draining"
