# SPDX-License-Identifier: MIT
"""Attackers on the status port (H1-H13)."""

import contextlib
import os
import re
import resource
import selectors
import socket
import threading
import time

import pytest

from harness import (CANARIES, PATIENCE, Daemon, UnixConnection, canary_endpoints, http_endpoint,
                     raw_exchange, raw_status, wait_until)
from hostile import answering

REQUEST_DEADLINE_SECONDS = 10
CLIENTS_MAX = 256
CLIENTS_PER_SOURCE_MAX = 32
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def daemon(server):
    config = {"groups": {"chat": {}}, "endpoints": canary_endpoints(server.url("healthy"))
              + [http_endpoint("chat-a", server.url("healthy"), group="chat",
                               labels={"team": "search"})]}
    with Daemon(config) as running:
        running.start()
        running.wait_checked()
        yield running
        running.wait_checked(CANARIES, 3)
        running.assert_canaries_well(CANARIES)
        running.assert_loop_never_stalled()


def send(daemon, text, seconds=5):
    data = text if isinstance(text, bytes) else text.encode("latin-1")
    return raw_exchange(daemon.tcp, data, seconds * PATIENCE)


def head(path="/healthz", *more, method="GET", host="localhost", version="HTTP/1.1"):
    return "\r\n".join([f"{method} {path} {version}", f"Host: {host}", *more]) + "\r\n\r\n"


def assert_refused(reply, *codes):
    """A closed connection, with or without one of these answers, but never a good one."""
    status = raw_status(reply)
    assert status in codes or (status is None and not reply), reply[:300]
    assert reply.count(b"HTTP/1.1 ") <= 1, reply[:600]


# ---- what good clients get ----


@pytest.mark.parametrize("path, kind", [
    ("/", "text/plain"), ("/healthz", "text/plain"), ("/readyz", "text/plain"),
    ("/metrics", "text/plain"), ("/api/v1/status", "application/json"),
    ("/api/v1/endpoints", "application/json"),
    ("/api/v1/endpoints/chat-a", "application/json")])
def test_answer_has_the_guarding_headers(daemon, path, kind):
    answer = daemon.tcp_request("GET", path, {"Accept": "*/*", "User-Agent": "curl/7.88.1"})
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(kind)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/endpoints", "/no/such"])
def test_head_has_the_length_and_no_body(daemon, path):
    full = daemon.tcp_request("GET", path)
    reply = send(daemon, head(path, "Connection: close", method="HEAD"))
    assert raw_status(reply) == full.status
    assert reply.endswith(b"\r\n\r\n"), "HEAD was answered with a body"
    assert int(re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", reply).group(1)) > 0


def test_filters_select(daemon):
    def names(query):
        return [item["name"] for item in daemon.get(f"/api/v1/endpoints{query}").json["endpoints"]]
    assert names("?group=chat") == ["chat-a"]
    assert names("?label=team%3Dsearch") == ["chat-a"]
    assert len(names("?state=up")) == len(CANARIES) + 1
    assert names("?state=down") == []
    assert daemon.request("GET", "/api/v1/endpoints?state=sideways").status == 400


# ---- H1: slow clients ----


def test_slow_clients_are_cut_while_good_ones_are_served(daemon):
    """500 of them, more than their sources may have: all are gone by the whole-request deadline."""
    ways = {
        "header": (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"a"),
        "line": (b"GET /", b"a"),
        "body": (b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n",
                 b"b"),
        "nothing": (b"", b""),
    }
    selector = selectors.DefaultSelector()
    for number in range(500):
        opening, drop = list(ways.values())[number % len(ways)]
        sock = socket.create_connection(daemon.tcp, 5, source_address=(f"127.0.1.{number % 7}", 0))
        with contextlib.suppress(OSError):  # refused already
            sock.sendall(opening)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, drop)
    started = dripped = time.monotonic()
    good = []
    while selector.get_map():
        asked = time.monotonic()
        assert asked - started <= (REQUEST_DEADLINE_SECONDS + 1) * PATIENCE, (
            f"{len(selector.get_map())} slow clients are still connected")
        assert daemon.tcp_request("GET", "/healthz").status == 200
        good.append(time.monotonic() - asked)
        for key, _ in selector.select(0.02):
            if not receive_some(key.fileobj):
                selector.unregister(key.fileobj)
                key.fileobj.close()
        if asked - dripped < 1:
            continue
        dripped = asked
        for key in list(selector.get_map().values()):
            with contextlib.suppress(OSError):
                key.fileobj.send(key.data)
    assert percentile(good, 99) <= 0.05 * PATIENCE


def percentile(values, percent):
    return sorted(values)[len(values) * percent // 100]


def receive_some(sock):
    """False when the other side has closed."""
    try:
        return bool(sock.recv(65536))
    except BlockingIOError:
        return True
    except OSError:
        return False


@pytest.fixture(name="large", scope="module")
def fixture_large(server):
    """A daemon whose answers are large: 13 MB of metrics, 3 MB of JSON."""
    with Daemon({"defaults": {"interval": "1h"}, "endpoints": [
            {"name": f"endpoint-{number:04}", "type": "http",
             "url": f"http://127.0.0.1:{server.port('healthy')}/"}
            for number in range(3000)]}) as running:
        running.start()
        yield running


def ask_slowly(daemon, path):
    """A client that asks and takes next to nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(daemon.tcp)
    sock.sendall(head(path).encode())
    return sock


def clients(daemon):
    return daemon.status_json()["self"]["http_clients"]


def test_readers_that_never_read_are_cut_and_their_memory_is_bounded(large):
    """Thirty who would like 13 MB each: 400 MB would end the service in its MemoryMax."""
    large.tcp_request("GET", "/metrics")
    before = peak = large.rss_bytes()
    stuck = [ask_slowly(large, "/metrics") for _ in range(30)]
    wait_until(lambda: clients(large) >= 30, 5, "clients")
    deadline = time.monotonic() + (REQUEST_DEADLINE_SECONDS + 5) * PATIENCE
    while clients(large) > 1:
        assert time.monotonic() < deadline, "stuck readers stay"
        peak = max(peak, large.rss_bytes())
    assert peak - before <= 180 * MEGABYTE + large.sanitizer_bytes()
    # Those whose turn never came are told so; nobody is left without a word.
    assert {raw_status(sock.recv(4096)) for sock in stuck} == {200, 503}
    for sock in stuck:
        sock.close()
    large.assert_loop_never_stalled()


# ---- H2: many idle connections ----


def test_idle_connections_are_capped_and_good_clients_come_back(daemon):
    base = daemon.fds()
    idle = []
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        for number in range(min(10000, before[1] - 256)):
            sock = socket.socket()
            sock.setblocking(False)
            sock.bind((f"127.0.2.{number % 200 + 1}", 0))
            sock.connect_ex(daemon.tcp)
            idle.append(sock)
        wait_until(lambda: clients(daemon) >= CLIENTS_MAX, 5, "the port full")
        assert daemon.fds() <= base + CLIENTS_MAX + 8
    finally:
        for sock in idle:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    wait_until(lambda: good_answer(daemon), 1 * PATIENCE, "service after the crowd left")
    wait_until(lambda: daemon.fds() <= base + 2, 5, "descriptors given back")


def good_answer(daemon):
    with contextlib.suppress(OSError):
        return daemon.tcp_request("GET", "/healthz", timeout=1).status == 200
    return False


def test_one_source_cannot_take_all_places(daemon):
    """Not even with those of its clients that are refused and stay."""
    crowd = []
    try:
        for _ in range(CLIENTS_MAX + CLIENTS_PER_SOURCE_MAX):
            sock = socket.create_connection(daemon.tcp, 5, source_address=("127.0.3.1", 0))
            crowd.append(sock)
        began = time.monotonic()
        asked = socket.create_connection(daemon.tcp, 5, source_address=("127.0.3.2", 0))
        with asked:
            asked.sendall(head("/healthz", "Connection: close").encode())
            assert raw_status(asked.recv(4096)) == 200
        assert time.monotonic() - began <= 0.5 * PATIENCE
    finally:
        for sock in crowd:
            sock.close()


# ---- H3: too much of everything ----

OVERSIZED = {
    "long_line": (head("/" + "a" * 9000), (400, 414, 431)),
    "very_long_line": (head("/" + "a" * MEGABYTE), (400, 414, 431)),
    "long_header": (head("/", "X-Long: " + "a" * 9000), (400, 413, 431)),
    "many_headers": (head("/", *[f"X-{number}: 1" for number in range(5000)]), (400, 413, 431)),
    "huge_header": (head("/", "X-Huge: " + "a" * (8 * MEGABYTE)), (400, 413, 431)),
    "huge_body": (head("/-/reload", f"Content-Length: {1 << 30}", method="POST") + "b" * 4096,
                  (400, 403, 405, 413)),
    "get_with_body": (head("/", "Content-Length: 100000") + "b" * 100000, (400, 413)),
    "chunked_body": (head("/-/reload", "Transfer-Encoding: chunked", method="POST")
                     + "ffff\r\n" + "b" * 0xffff + "\r\n0\r\n\r\n", (400, 403, 411, 413, 501)),
    "many_arguments": (head("/api/v1/endpoints?" + "&".join(f"a{n}=1" for n in range(10 ** 6))),
                       (400, 414, 431)),
    "argument_nul": (head("/api/v1/endpoints?state=%00up"), (400,)),
    "path_nul": (head("/api/v1/endpoints/%00"), (400, 404)),
    "bad_escape": (head("/api/v1/endpoints/%zz"), (400, 404)),
    "cut_escape": (head("/api/v1/endpoints/%4"), (400, 404)),
    "argument_bad_escape": (head("/api/v1/endpoints?state=%zz"), (400,)),
    "unknown_argument": (head("/api/v1/endpoints?nobody=knows"), (200, 400)),
    "raw_nul": ("GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 404)),
    "header_nul": (head("/", "X-Nul: a\0b"), (400,)),
    "raw_high_bytes": ("GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 404)),
}


@pytest.mark.parametrize("name", OVERSIZED)
def test_oversized_or_broken_request_is_refused(daemon, name):
    text, codes = OVERSIZED[name]
    before = daemon.rss_bytes()
    reply = send(daemon, text)
    status = raw_status(reply)
    # A server that hangs up on a flood may lose its own answer to the reset.
    assert status in codes or (status is None and len(text) > 8192), reply[:300]
    assert daemon.rss_bytes() - before <= MEGABYTE + daemon.sanitizer_bytes()
    assert daemon.get("/healthz").status == 200


# ---- H4: smuggling ----

POST = "POST /-/reload HTTP/1.1\r\nHost: localhost\r\n"
GET = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

SMUGGLING = {
    "two_lengths": GET + "Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "two_equal_lengths": GET + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "length_list": GET + "Content-Length: 0, 0\r\n\r\n",
    "length_and_chunked": GET + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked_get": GET + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "gzip_chunked": POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked_twice": POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "0\r\n\r\n",
    "chunked_case": POST + "Transfer-Encoding: ChUnKeD\r\n\r\n0\r\n\r\n",
    "chunked_tab": POST + "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
    "chunked_x": POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "encoding_identity": POST + "Transfer-Encoding: identity\r\n\r\n",
    "space_before_colon": GET + "Content-Length : 5\r\n\r\nhello",
    "length_hex": GET + "Content-Length: 0x5\r\n\r\nhello",
    "length_plus": GET + "Content-Length: +5\r\n\r\nhello",
    "length_minus": GET + "Content-Length: -1\r\n\r\n",
    "length_empty": GET + "Content-Length:\r\n\r\n",
    "length_text": GET + "Content-Length: five\r\n\r\n",
    "length_overflow": GET + "Content-Length: 18446744073709551617\r\n\r\n",
    "chunk_size_hex": POST + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "chunk_size_minus": POST + "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "bare_lf_in_head": "GET /healthz HTTP/1.1\nHost: localhost\n\n",
    "folded_header": GET + "X-Fold: a\r\n b\r\n\r\n",
    "folded_first": "GET /healthz HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "no_host": "GET /healthz HTTP/1.1\r\n\r\n",
    "two_hosts": "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "empty_host": "GET /healthz HTTP/1.1\r\nHost:\r\n\r\n",
    "header_no_name": GET + ": value\r\n\r\n",
    "header_no_colon": GET + "nonsense\r\n\r\n",
    "header_bad_name": GET + "X(Y): value\r\n\r\n",
    "upgrade_h2c": GET + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                         "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: 5\r\n\r\n",
    "expect_continue": GET + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_ambiguous_request_is_refused_and_closed(daemon, name):
    reply = send(daemon, SMUGGLING[name])
    assert_refused(reply, 400, 403, 405, 411, 413, 417, 421, 501)
    assert b"/smuggled" not in reply


# ---- H5: paths ----

PATHS = ["/etc/passwd", "/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd",
         "//etc/passwd", "//healthz", "/healthz/", "/./healthz", "/healthz/../metrics",
         "/api/v1/../../metrics", "/metrics%20", "/metrics%0a", "/metrics;x", "/METRICS",
         "/api/v1/endpoints/", "/api/v1/endpoints//", "/api/v1/endpoints/../status",
         "/api/v1/endpoints/..%2fstatus", "/api/v1/endpoints/nobody", "/api/v1/endpoints/chat-a/",
         "/api/v1/endpoints/chat-a/check", "/api/v1/endpoints/chat-a/nothing", "/api/v2/status",
         "/api", "/-", "/-/", "/-/reload/x", "/static/app.js", "/favicon.ico", "/.git/config",
         "\\..\\etc", "*", "healthz", "?healthz"]


@pytest.mark.parametrize("path", PATHS)
def test_only_exact_paths_are_routes(daemon, path):
    assert_refused(send(daemon, head(path, "Connection: close")), 400, 404, 405)


def test_absolute_form_is_no_proxy(daemon, server):
    """A request for another server is not fetched; one that names us may be answered."""
    server.listen_as("proxied", answering())
    assert_refused(send(daemon, head(server.url("proxied"), "Connection: close")),
                   400, 404, 421, 501)
    assert_refused(send(daemon, head("localhost:80", method="CONNECT")), 400, 403, 405, 501)
    assert server.connections["proxied"] == 0


# ---- H6: pipelining without reading ----


def test_pipelined_requests_do_not_pile_up(daemon):
    before = daemon.rss_bytes()
    with socket.create_connection(daemon.tcp, 5) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(1)
        block = head("/metrics").encode() * 1000
        with contextlib.suppress(OSError):
            for _ in range(100):
                sock.sendall(block)
        grown = daemon.rss_bytes() - before
        assert daemon.get("/healthz").status == 200
    assert grown <= MEGABYTE // 2 + daemon.sanitizer_bytes()


# ---- H7: /probe asks nobody we do not know ----

TARGETS = ["http://127.0.0.1:{port}/", "127.0.0.1:{port}", "http%3A%2F%2F127.0.0.1%3A{port}%2F",
           "//127.0.0.1:{port}", "0x7f000001:{port}", "[::1]:{port}", "localhost:{port}",
           "169.254.169.254", "http://169.254.169.254/latest/meta-data/", "chat-a@127.0.0.1:{port}",
           "chat-a%00", "CHAT-A", "", "..", "file:///etc/passwd"]


@pytest.mark.parametrize("target", TARGETS)
def test_probe_knows_configured_names_only(daemon, server, target):
    port = server.listen_as("probed", answering())
    answer = send(daemon, head(f"/probe?target={target.format(port=port)}&module=http",
                               "Connection: close"))
    assert_refused(answer, 400, 404)
    assert server.connections["probed"] == 0


def test_probe_of_a_configured_name_gives_metrics(daemon, promtool):
    check = daemon.endpoint("chat-a")["checks"][0]["name"]
    answer = daemon.get(f"/probe?target=chat-a&module={check}")
    promtool.check(answer.text)
    assert re.search(r"^probe_success 1$", answer.text, re.MULTILINE)
    assert daemon.request("GET", "/probe?target=chat-a&module=nobody").status == 404


# ---- H8: forged posts from a browser ----

BROWSER = {
    "plain": [],
    "form": ["Content-Type: application/x-www-form-urlencoded", "Origin: http://evil.example"],
    "text": ["Content-Type: text/plain", "Origin: null"],
    "multipart": ["Content-Type: multipart/form-data; boundary=x"],
    "cross_site": ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"],
    "same_origin": ["Sec-Fetch-Site: same-origin", "Origin: http://localhost"],
    "json": ["Content-Type: application/json"],
    "override": ["X-HTTP-Method-Override: GET"],
    "cookie": ["Cookie: session=1"],
    "token": ["Authorization: Bearer guess"],
}


@pytest.mark.parametrize("path", ["/-/reload", "/api/v1/endpoints/chat-a/check"])
@pytest.mark.parametrize("shape", BROWSER)
def test_post_over_tcp_changes_nothing(daemon, path, shape):
    before = daemon.metric("modelhealth_config_reloads_total")
    reply = send(daemon, head(path, "Content-Length: 0", "Connection: close", *BROWSER[shape],
                              method="POST"))
    assert_refused(reply, 403, 405)
    assert daemon.metric("modelhealth_config_reloads_total") == before


def test_get_never_changes_anything(daemon):
    before = daemon.metric("modelhealth_config_reloads_total")
    for path in ("/-/reload", "/api/v1/endpoints/chat-a/check"):
        assert daemon.request("GET", path).status in (404, 405)
    assert daemon.metric("modelhealth_config_reloads_total") == before


def test_posts_work_on_the_unix_socket(daemon):
    before = daemon.metric("modelhealth_config_reloads_total")
    answer = daemon.request("POST", "/-/reload")
    assert answer.status == 200, answer.body
    assert daemon.metric("modelhealth_config_reloads_total") == before + 1
    daemon.check_now("chat-a")


# ---- H9: names that are not ours ----

HOSTS = {"localhost": 200, "LOCALHOST": 200, "127.0.0.1": 200, "[::1]": 200, "127.0.0.1:9877": 200,
         "localhost:9877": 200, "10.1.2.3": 200, "evil.example": 421, "localhost.evil.example": 421,
         "127.0.0.1.nip.io": 421, "evil.example:80": 421, "local host": 400, "a/b": 400,
         "127.0.0.1@evil.example": 400, "[::1": 400, "localhost:port": 400}


@pytest.mark.parametrize("host", HOSTS)
def test_host_must_be_ours(daemon, host):
    status = raw_status(send(daemon, head("/healthz", "Connection: close", host=host)))
    if HOSTS[host] == 200:
        assert status == 200
    else:
        assert status in (400, 421)


# ---- H13: other methods, other protocols ----

METHODS = ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "FOO",
           "A" * 100]
PROTOCOLS = {
    "http2_preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "tls_hello": bytes.fromhex("160301002a010000260303") + bytes(32) + b"\0\0\2\x13\1\1\0",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "redis_inline": b"FLUSHALL\r\n",
    "smtp": b"EHLO evil.example\r\n",
    "ssh": b"SSH-2.0-probe\r\n",
    "http_0_9": b"GET /healthz\r\n",
    "http_1_9": b"GET /healthz HTTP/1.9\r\nHost: localhost\r\n\r\n",
    "http_2_0": b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "http_junk": b"GET /healthz HTTP/x.y\r\nHost: localhost\r\n\r\n",
    "spaces": b"GET  /healthz  HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "lower_http": b"GET /healthz http/1.1\r\nHost: localhost\r\n\r\n",
    "garbage": bytes(range(256)) * 8,
}


@pytest.mark.parametrize("method", METHODS)
def test_other_methods_are_refused(daemon, method):
    reply = send(daemon, head("/metrics", "Connection: close", method=method))
    assert_refused(reply, 400, 403, 405, 501)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_other_protocols_are_refused(daemon, name):
    with socket.create_connection(daemon.tcp, 5) as sock:
        sock.sendall(PROTOCOLS[name])
        sock.shutdown(socket.SHUT_WR)
        reply = b""
        with contextlib.suppress(OSError):
            while chunk := sock.recv(65536):
                reply += chunk
    assert_refused(reply, 400, 404, 405, 501, 505)


def test_many_good_clients_at_once_are_all_served(daemon):
    """Twelve clients, each thirty requests: checks and clients do not starve each other."""
    wrong = []

    def client():
        for _ in range(30):
            answer = daemon.request("GET", "/api/v1/endpoints")
            if answer.status != 200 or len(answer.json["endpoints"]) != len(CANARIES) + 1:
                wrong.append(answer.body[:200])
    clients = [threading.Thread(target=client) for _ in range(12)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert not wrong


def test_unix_socket_is_not_for_everyone(daemon):
    mode = os.stat(daemon.socket_path).st_mode & 0o777
    assert mode & 0o007 == 0, f"{mode:o}"
    connection = UnixConnection(daemon.socket_path, 5)
    connection.connect()
    connection.close()
