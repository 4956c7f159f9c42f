# SPDX-License-Identifier: MIT
"""What a check can be pointed at and what it then sends: methods, bodies, proxies, sockets."""

import os
import select
import socket
import tempfile
import shutil

import pytest

from attacks import Attack, attack_round
from harness import closed_port, http_endpoint, last_of, tcp_endpoint, wait_until
from hostile import answering

PATIENT = {"connect": "3s", "first_byte": "3s", "idle": "3s", "total": "3s"}


def reason_of(daemon, name):
    return last_of(daemon.endpoint(name))["reason"]


# ---- the request ----


def test_request_is_sent_as_configured(server, start):
    seen = {}

    def recording(peer):
        head = peer.request()
        head, _, body = head.partition(b"\r\n\r\n")
        while len(body) < int(header(head, "content-length") or 0):
            body += peer.receive()
        seen[head.split()[1]] = (head, body)
        peer.answer()
    server.listen_as("recording", recording)
    url = server.url("recording", "/base?x=1")
    daemon = start({"endpoints": [
        http_endpoint("get", url),
        http_endpoint("post", server.url("recording", "/post"), method="POST",
                      body='{"ping": "\u00e9"}', headers={"Content-Type": "application/json",
                                                        "X-Twice": "a, b"}),
        http_endpoint("bare-post", server.url("recording", "/bare"), method="POST"),
        http_endpoint("own-path", url, path="/other"),
        http_endpoint("keyed", server.url("recording", "/keyed"), api_key="the-key"),
        http_endpoint("basic", server.url("recording", "/basic").replace("//", "//me:se%20cret@")),
    ]})
    daemon.wait_checked()
    head, body = seen[b"/base?x=1"]
    assert head.startswith(b"GET /base?x=1 HTTP/1.1\r\n") and body == b""
    assert header(head, "accept-encoding") in (None, b"identity")
    assert header(head, "user-agent").startswith(b"modelhealthd/")
    head, body = seen[b"/post"]
    assert head.startswith(b"POST ") and body == '{"ping": "\u00e9"}'.encode()
    assert header(head, "content-type") == b"application/json"
    assert header(head, "x-twice") == b"a, b"
    head, body = seen[b"/bare"]
    assert header(head, "content-length") == b"0" and body == b""
    assert b"/other" in seen
    assert header(seen[b"/keyed"][0], "authorization") == b"Bearer the-key"
    assert header(seen[b"/basic"][0], "authorization") == b"Basic bWU6c2UgY3JldA=="


def header(head, name):
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name.encode():
            return value.strip()
    return None


LIMITS = [
    Attack("small_cap", "body_too_large", behaviour="kilobyte", extra={"max_body_bytes": 1000}),
    Attack("exact_cap", "ok", behaviour="kilobyte", extra={"max_body_bytes": 1024}),
    Attack("status_only", "ok", behaviour="kilobyte",
           extra={"max_body_bytes": 1000, "on_limit": "status_only"}),
    Attack("endless_status_only", "ok", behaviour="endless_chunked",
           extra={"on_limit": "status_only"}),
    Attack("head_of_endless", "ok|conn_reset", behaviour="endless_chunked",
           extra={"method": "HEAD"}),
    Attack("header_cap", "header_too_large", behaviour="kilobyte",
           extra={"max_header_bytes": "1KiB"}),
]


@pytest.fixture(scope="module")
def limited(server):
    server.listen_as("kilobyte", answering(b"x" * 1024, headers=["X-Fill: " + "f" * 1500]))
    with attack_round(server, LIMITS) as result:
        yield result


@pytest.mark.parametrize("attack", LIMITS, ids=str)
def test_limits_decide(limited, attack):
    limited.assert_attack(attack)


# ---- proxies ----


def tunnel(peer, target, first=b""):
    """Joins the peer to 127.0.0.1:target until one of both ends."""
    with socket.create_connection(("127.0.0.1", target)) as other:
        other.sendall(first)
        pair = {peer.sock: other, other: peer.sock}
        while not peer.server.stopping.is_set():
            for ready in select.select(list(pair), [], [], 0.2)[0]:
                data = ready.recv(65536)
                if not data:
                    return
                pair[ready].sendall(data)


def proxy_to(target):
    """An HTTP proxy that sends everybody to one port."""
    def function(peer):
        head = peer.request()
        if head.startswith(b"CONNECT "):
            peer.send("HTTP/1.1 200 Connected\r\n\r\n")
            tunnel(peer, target)
        else:
            tunnel(peer, target, head)
    return function


def socks_to(target):
    def function(peer):
        peer.sock.recv(256)
        peer.send(b"\x05\x00")
        peer.server.requests[peer.name].append(peer.sock.recv(256))
        peer.send(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
        tunnel(peer, target)
    return function


def test_proxy_is_used_when_configured(server, start, pki):
    from_proxy = server.listen_as("behind", answering(b"behind the proxy"))
    port = server.listen("proxy", proxy_to(from_proxy))
    socks = server.listen("socks", socks_to(from_proxy))
    expect = {"expect": {"body": {"contains": "behind the proxy"}}}
    url = "http://model.invalid:1234/path"
    daemon = start({"endpoints": [
        http_endpoint("http", url, proxy=f"http://127.0.0.1:{port}", timeout=PATIENT, **expect),
        http_endpoint("socks", url, proxy=f"socks5h://127.0.0.1:{socks}", timeout=PATIENT,
                      **expect)]})
    daemon.wait_checked()
    assert (reason_of(daemon, "http"), reason_of(daemon, "socks")) == ("ok", "ok")
    heads = server.requests["proxy"]
    assert all(head.startswith((b"GET http://model.invalid:1234/path ",
                                b"CONNECT model.invalid:1234 ")) for head in heads)
    assert b"model.invalid" in server.requests["socks"][0], "the proxy resolves the name"


REFUSALS = [
    ("proxy_407", "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
     "auth_failed"),
    ("proxy_502", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
     "connect_unreachable|server_error"),
    ("proxy_garbage", "what?\r\n\r\n", "protocol_error|conn_reset|connect_unreachable"),
    ("proxy_endless", "HTTP/1.1 200 OK\r\nX: " + "y" * 500_000,
     "header_too_large|protocol_error|conn_reset"),
]


@pytest.mark.parametrize("name, reply, reasons", REFUSALS, ids=[row[0] for row in REFUSALS])
def test_hostile_proxy_has_its_reason(server, start, name, reply, reasons):
    def function(peer):
        peer.request()
        peer.send(reply)
    port = server.listen(name, function)
    daemon = start({"endpoints": [
        http_endpoint(name, "https://model.invalid/", proxy=f"http://127.0.0.1:{port}"),
        http_endpoint("well", server.url("healthy"))]})
    daemon.wait_checked()
    assert reason_of(daemon, name) in reasons.split("|"), last_of(daemon.endpoint(name))
    daemon.assert_canaries_well(["well"])


def test_details_say_when_it_is_the_proxy(server, start):
    """What was dialled is the proxy; only an address in the URL is the target's own."""
    port = server.listen("at_denied_address", answering(), host="127.0.0.9")
    held, closed = closed_port()
    url = "http://model.invalid/"
    denied = "http://169.254.169.254/"
    daemon = start({"deny_addresses": ["169.254.0.0/16", "127.0.0.9"], "endpoints": [
        http_endpoint("denied", url, proxy=f"http://127.0.0.9:{port}"),
        http_endpoint("denied_target", denied, proxy=f"http://127.0.0.1:{port}"),
        http_endpoint("refused", url, proxy=f"http://127.0.0.1:{closed}")]})
    daemon.wait_checked()
    held.close()
    last = {name: last_of(endpoint) for name, endpoint in daemon.endpoints().items()}
    said = {name: (found["reason"], found["detail"]) for name, found in last.items()}
    assert said == {
        "denied": ("address_denied", f"proxy 127.0.0.9:{port}"),
        "denied_target": ("address_denied", "169.254.169.254"),
        "refused": ("connect_refused", f"proxy 127.0.0.1:{closed}: Connection refused")}
    assert server.connections["at_denied_address"] == 0


def test_proxies_of_the_environment_are_never_used(server, start):
    port = server.listen("tempting", answering(b"from the proxy"))
    there = f"http://127.0.0.1:{port}"
    daemon = start({"endpoints": [http_endpoint("plain", server.url("healthy"))]},
                   env={"http_proxy": there, "HTTP_PROXY": there, "all_proxy": there,
                        "ALL_PROXY": there})
    daemon.wait_checked(checks=2)
    assert reason_of(daemon, "plain") == "ok"
    assert server.connections["tempting"] == 0


# ---- sockets ----


@pytest.fixture
def directory():
    path = tempfile.mkdtemp(prefix="mh-sock-")
    yield path
    shutil.rmtree(path)


def test_unix_socket_target(server, start, directory):
    """A model server behind a unix socket; a missing one is refused."""
    path = os.path.join(directory, "target.sock")
    server.listen_unix("unix-target", path, answering(b'{"status":"ok"}'))
    daemon = start({"endpoints": [
        http_endpoint("there", "http://localhost/health", unix_socket=path,
                      expect={"json": {"/status": "ok"}}),
        http_endpoint("missing", "http://localhost/health", unix_socket=f"{path}.not"),
        tcp_endpoint("tcp", "tcp://localhost:1", unix_socket=path)]})
    daemon.wait_checked()
    assert reason_of(daemon, "there") == "ok"
    assert reason_of(daemon, "missing") == "connect_refused"
    assert reason_of(daemon, "tcp") == "ok"


def test_tcp_send_and_expect(server, start):
    def redis(peer):
        if peer.sock.recv(100) == b"PING\r\n":
            peer.send("+PONG\r\n")

    def banner(peer):
        for piece in (b"2", b"20 mail.exam", b"ple ESMTP\r\n"):
            peer.send(piece)
            peer.pause(0.02)
        peer.hold()

    def shouting(peer):
        peer.flood(b"no" * 8192)
    for function in (redis, banner, shouting):
        server.listen_as(function.__name__, function)

    def url(name):
        return f"tcp://127.0.0.1:{server.port(name)}"
    ping = {"send": "PING\r\n"}
    daemon = start({"endpoints": [
        tcp_endpoint("plain", url("redis")),
        tcp_endpoint("right", url("redis"), expect={"contains": "+PONG"}, **ping),
        tcp_endpoint("wrong", url("redis"), expect={"contains": "+NOPE"}, **ping),
        tcp_endpoint("banner", url("banner"), expect={"matches": "^220 .* ESMTP"}),
        tcp_endpoint("mute", url("silent"), expect={"contains": "+PONG"}, **ping),
        tcp_endpoint("cut", url("close_at_accept"), expect={"contains": "+PONG"}, **ping),
        tcp_endpoint("shouting", url("shouting"), expect={"contains": "quiet"})]})
    daemon.wait_checked()
    reasons = {name: reason_of(daemon, name) for name in daemon.endpoints()}
    assert reasons["plain"] == reasons["right"] == reasons["banner"] == "ok"
    assert reasons["wrong"] in ("assert_body", "conn_reset")
    assert reasons["mute"] in ("timeout_idle", "timeout_total", "timeout_headers")
    assert reasons["cut"] in ("conn_reset", "assert_body")
    assert reasons["shouting"] in ("assert_body", "body_too_large")


# ---- secrets ----

MARKER = "m4rk3r-0f-4-s3cr3t"


def test_secrets_are_in_no_output(server, start):
    """In the URL, as key, as header, in the body; with debug logs, failures and a dump."""
    targets = {"well": server.url("healthy"), "cut": server.url("reset_after_request"),
               "gone": "http://127.0.0.1:1/", "loop": server.url("redirect_loop")}
    endpoints = []
    for name, url in targets.items():
        secret_url = url.replace("//", f"//user:{MARKER}@") + f"?key={MARKER}&token={MARKER}"
        endpoints += [
            http_endpoint(f"url-{name}", secret_url, fall=1, redirects=2),
            http_endpoint(f"key-{name}", url, api_key=MARKER, fall=1, redirects=2),
            http_endpoint(f"header-{name}", url, headers={"x-api-key": MARKER}, fall=1)]
    daemon = start({"endpoints": endpoints}, "--log-level", "debug")
    daemon.wait_checked(checks=2)
    for path in ("/", "/metrics", "/api/v1/status", "/api/v1/endpoints"):
        assert MARKER not in daemon.get(path).text, path
    assert MARKER not in daemon.stderr()
    assert all(MARKER.encode() not in message for message in list(daemon.notify.messages))
    with open(f"/proc/{daemon.pid}/cmdline", "rb") as file:
        assert MARKER.encode() not in file.read()


def test_kept_connections_never_cross_credentials(server, start):
    """Endpoints of one host with different keys: no connection carries two of them."""
    keys_of = {}

    def watching(peer):
        while head := peer.request():
            keys_of.setdefault(peer, set()).add(header(head, "x-api-key"))
            peer.answer()
    server.listen_as("shared", watching)
    daemon = start({"limits": {"per_host": 64}, "endpoints": [
        http_endpoint(f"keyed-{number}", server.url("shared"), reuse=True, interval="200ms",
                      headers={"x-api-key": f"key-{number}"}) for number in range(10)]})
    daemon.wait_checked(checks=10)
    assert len(keys_of) >= 10
    assert all(len(keys) == 1 for keys in keys_of.values()), keys_of
    wait_until(lambda: daemon.endpoint("keyed-0")["checks"][0]["last"]["reused"], 5, "reuse")
