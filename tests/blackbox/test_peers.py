# SPDX-License-Identifier: MIT
"""Real servers from Debian: nginx with TLS and HTTP/2, HAProxy, and promtool as our reader."""

import os
import shutil
import tempfile

import pytest

import foreign
from harness import (free_port, http_endpoint, last_of, raw_exchange, raw_status, tcp_endpoint)

NGINX = """
  log_format protocol '$server_protocol $request_uri';
  server {{
    listen 127.0.0.1:{plain};
    location = /health {{ default_type application/json; return 200 '{{"status":"ok"}}'; }}
    location = /moved {{ return 301 /health; }}
    location = /missing {{ return 404; }}
    location = /secret {{ auth_basic "x"; auth_basic_user_file "{directory}/none"; }}
    location = /busy {{ return 503; }}
    location = /limited {{ return 429; }}
    location = /page {{ gzip on; gzip_types *; gzip_min_length 1; alias "{directory}/page"; }}
  }}
  server {{
    listen 127.0.0.1:{tls} ssl http2;
    ssl_certificate "{certificate}";
    ssl_certificate_key "{key}";
    access_log "{directory}/protocol.log" protocol;
    location / {{ return 200 'ok over tls'; }}
  }}
"""

HAPROXY = """
global
  maxconn 200
defaults
  mode http
  retries 0
  timeout connect 1s
  timeout client 2s
  timeout server 2s
frontend front
  bind 127.0.0.1:{front}
  default_backend one
backend one
  server real 127.0.0.1:{real}
frontend dead
  bind 127.0.0.1:{dead}
  default_backend none
backend none
  server gone 127.0.0.1:1
frontend plain
  mode tcp
  bind 127.0.0.1:{tcp}
  default_backend plain
backend plain
  mode tcp
  server real 127.0.0.1:{real}
"""


STATUS_BEHIND = """
defaults
  mode http
  timeout connect 1s
  timeout client 2s
  timeout server 2s
  option httpchk
  http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host localhost
  http-check expect status 200
frontend front
  bind 127.0.0.1:{front}
  default_backend us
backend us
  server us 127.0.0.1:{us} check inter 200ms
"""


@pytest.fixture(scope="module")
def directory():
    path = tempfile.mkdtemp(prefix="mh-peer-")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def nginx(directory, pki):
    ports = {"plain": free_port(), "tls": free_port()}
    with open(os.path.join(directory, "page"), "w", encoding="ascii") as file:
        file.write("hello " * 2000)
    servers = NGINX.format(directory=directory, certificate=pki.good[0], key=pki.good[1], **ports)
    with foreign.nginx(directory, servers) as peer:
        peer.wait_port(ports["plain"])
        yield ports


@pytest.fixture(scope="module")
def haproxy(directory, nginx):
    ports = {"front": free_port(), "dead": free_port(), "tcp": free_port()}
    with foreign.haproxy(directory, HAPROXY.format(real=nginx["plain"], **ports)) as peer:
        peer.wait_port(ports["front"])
        yield ports


PATIENT = {"timeout": {"connect": "3s", "first_byte": "3s", "idle": "3s", "total": "3s"}}


def test_nginx_answers_are_judged(start, nginx, pki):
    base = f"http://127.0.0.1:{nginx['plain']}"
    endpoints = {
        "json": ("/health", {"expect": {"json": {"/status": "ok"}}}, "ok"),
        "reused": ("/health", {"reuse": True}, "ok"),
        "moved": ("/moved", {}, "http_status|redirect_refused"),
        "followed": ("/moved", {"redirects": 1, "expect": {"json": {"/status": "ok"}}}, "ok"),
        "missing": ("/missing", {}, "http_status|bad_probe"),
        "wanted": ("/missing", {"expect": {"status": [404]}}, "ok"),
        "secret": ("/secret", {}, "auth_failed"),
        "busy": ("/busy", {}, "server_error"),
        "limited": ("/limited", {}, "rate_limited"),
        "head": ("/health", {"method": "HEAD"}, "ok"),
        "page": ("/page", {"expect": {"body": {"contains": "hello hello"}}}, "ok"),
        "small": ("/page", {"max_body_bytes": 1000}, "body_too_large"),
    }
    daemon = start({"endpoints": [
        http_endpoint(name, base + path, **more, **PATIENT)
        for name, (path, more, _) in endpoints.items()]})
    daemon.wait_checked(checks=2)
    for name, (_, _, reasons) in endpoints.items():
        endpoint = daemon.endpoint(name)
        assert last_of(endpoint)["reason"] in reasons.split("|"), endpoint
    daemon.assert_loop_never_stalled()


@pytest.mark.parametrize("version, seen", [("1.1", "HTTP/1.1"), ("2", "HTTP/2.0")])
def test_nginx_over_tls_speaks_both_versions(start, nginx, directory, pki, version, seen):
    name = f"tls-{version[0]}"
    daemon = start({"endpoints": [
        http_endpoint(name, f"https://localhost:{nginx['tls']}/{name}", http_version=version,
                      tls={"ca_file": pki.ca}, expect={"body": {"contains": "ok over tls"},
                                                       "cert_expires_in": {"down": "1d"}},
                      **PATIENT)]})
    last = last_of(daemon.wait_checked()[name])
    assert last["reason"] == "ok", last
    assert last["timings"]["tls_seconds"] > 0
    with open(os.path.join(directory, "protocol.log"), encoding="ascii") as file:
        assert f"{seen} /{name}\n" in file.read()


def test_haproxy_in_front(start, haproxy):
    daemon = start({"endpoints": [
        http_endpoint("through", f"http://127.0.0.1:{haproxy['front']}/health",
                      expect={"json": {"/status": "ok"}}, **PATIENT),
        http_endpoint("dead", f"http://127.0.0.1:{haproxy['dead']}/health", **PATIENT),
        tcp_endpoint("tcp", f"tcp://127.0.0.1:{haproxy['tcp']}", timeout=PATIENT["timeout"])]})
    listed = daemon.wait_checked(seconds=20)
    assert last_of(listed["through"])["reason"] == "ok"
    assert last_of(listed["dead"])["reason"] == "server_error"
    assert last_of(listed["dead"])["http_status"] == 503
    assert last_of(listed["tcp"])["reason"] == "ok"


def test_haproxy_checks_our_status_port(start, directory, nginx):
    """A load balancer that health-checks and forwards to us gets answers it can use."""
    daemon = start({"endpoints": [
        http_endpoint("through", f"http://127.0.0.1:{nginx['plain']}/health", **PATIENT)]})
    front = free_port()
    with foreign.haproxy(directory, STATUS_BEHIND.format(front=front, us=daemon.port)) as peer:
        peer.wait_port(front)
        reply = raw_exchange(("127.0.0.1", front), b"GET /api/v1/status HTTP/1.1\r\n"
                             b"Host: localhost\r\nConnection: close\r\n\r\n")
        assert raw_status(reply) == 200, reply[:300]


def test_promtool_accepts_our_metrics(start, server, promtool):
    """With every kind of state, hostile labels and after a reload."""
    labels = {"team": 'se"arch\\ \u00e9', "tier": "1"}
    daemon = start({"groups": {"chat": {}}, "endpoints": [
        http_endpoint("up", server.url("healthy"), labels=labels, group="chat"),
        http_endpoint("down", "http://127.0.0.1:1/", fall=1),
        http_endpoint("slow", server.url("healthy"), expect={"latency": {"degraded": "1us"}}),
        http_endpoint("late", server.url("silent"), interval="1h")]})
    daemon.wait_checked(["up", "down", "slow"], 2)
    promtool.check(daemon.get("/metrics").text)
    assert daemon.request("POST", "/-/reload").status == 200
    promtool.check(daemon.get("/metrics").text)
    states = {(labels["endpoint"], labels["state"]): value
              for labels, value in daemon.metrics()["modelhealth_endpoint_state"]}
    assert states[("up", "up")] == 1 and states[("up", "down")] == 0
    assert states[("down", "down")] == 1
