# SPDX-License-Identifier: MIT
"""One raw-socket server that behaves badly in named ways, each way on its own loopback port.

A behaviour is a function that gets a Peer (one accepted connection). BEHAVIOURS is the table of
all of them; Server.url(name) opens a listener for one on first use. A behaviour that runs out of
peer (OSError) has simply ended; any other exception is our own bug and fails the test run.
"""

import contextlib
import gzip
import selectors
import socket
import ssl
import struct
import threading
import time
import zlib

BEHAVIOURS = {}

LINGER_RESET = struct.pack("ii", 1, 0)
DRIP_SECONDS = 0.04


def behaviour(function):
    BEHAVIOURS[function.__name__] = function
    return function


class Peer:
    """One connection of the daemon to us."""

    def __init__(self, sock, server, name):
        self.sock = sock
        self.server = server
        self.name = name
        self.sent = 0

    def request(self):
        """Reads one request head; returns it, b"" at end of file."""
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = self.sock.recv(65536)
            if not chunk:
                return b""
            head += chunk
        self.server.requests[self.name].append(head)
        return head

    def receive(self):
        """What comes next; a behaviour ends where the peer went."""
        chunk = self.sock.recv(65536)
        if not chunk:
            raise ConnectionAbortedError
        return chunk

    def send(self, *parts):
        for part in parts:
            data = part if isinstance(part, bytes) else part.encode()
            self.sock.sendall(data)
            self.sent += len(data)

    def answer(self, body=b"ok", status="200 OK", headers=()):
        """A well-formed answer with a length."""
        body = body if isinstance(body, bytes) else body.encode()
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        self.send("\r\n".join(lines) + "\r\n\r\n", body)

    def drip(self, data, seconds=DRIP_SECONDS):
        """One byte at a time."""
        for index in range(len(data)):
            self.send(data[index:index + 1])
            self.pause(seconds)

    def pause(self, seconds):
        self.server.stopping.wait(seconds)
        if self.server.stopping.is_set():
            raise ConnectionAbortedError

    def flood(self, piece):
        """The same bytes for as long as the peer takes them."""
        while not self.server.stopping.is_set():
            self.send(piece)

    def hold(self):
        """Says nothing until the peer goes."""
        while self.sock.recv(65536):
            pass

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        self.sock.close()


class Server:
    """Accepts for all behaviours in one thread; serves each connection in its own."""

    def __init__(self):
        self.stopping = threading.Event()
        self.requests = {}     # name -> request heads
        self.connections = {}  # name -> accepted connections
        self.most_sent = {}    # name -> most bytes written to one connection
        self.failures = []
        self._ports = {}
        self._lock = threading.Lock()
        self._live = set()
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def listen(self, name, function=None, tls=None, host="127.0.0.1", backlog=512, port=0):
        """Opens a listener that behaves as BEHAVIOURS[name] or as function; returns its port."""
        function = function or BEHAVIOURS[name]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A small buffer keeps "bytes sent" close to "bytes the peer took".
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        listener.bind((host, port))
        self._add(listener, backlog, name, function, tls)
        return listener.getsockname()[1]

    def listen_unix(self, name, path, function):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        self._add(listener, 512, name, function, None)

    def _add(self, listener, backlog, name, function, tls):
        listener.listen(backlog)
        listener.setblocking(False)
        self.requests.setdefault(name, [])
        self.connections.setdefault(name, 0)
        self.most_sent.setdefault(name, 0)
        self._selector.register(listener, selectors.EVENT_READ, (name, function, tls))
        self._wake.send(b".")

    def listen_as(self, name, function, **options):
        """listen(), with the port also known to url()."""
        self._ports[name] = self.listen(name, function, **options)
        return self._ports[name]

    def port(self, name):
        if name not in self._ports:
            self._ports[name] = self.listen(name)
        return self._ports[name]

    def url(self, name, path="/"):
        return f"http://127.0.0.1:{self.port(name)}{path}"

    def _accept(self):
        while not self.stopping.is_set():
            for key, _ in self._selector.select(0.2):
                if key.data is None:
                    self._woken.recv(64)
                    continue
                with contextlib.suppress(OSError):
                    sock, _ = key.fileobj.accept()
                    self._serve_in_thread(sock, *key.data)

    def _serve_in_thread(self, sock, name, function, tls):
        with self._lock:
            self.connections[name] += 1
            self._live.add(sock)
        threading.Thread(target=self._serve, args=(sock, name, function, tls),
                         daemon=True).start()

    def _serve(self, sock, name, function, tls):
        sock.setblocking(True)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(sock, self, name)
        try:
            if tls:
                peer.sock = tls.wrap_socket(sock, server_side=True)
            function(peer)
        except OSError:
            pass  # the peer went away: how most attacks end
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append((name, repr(error)))
        finally:
            with self._lock:
                self._live.discard(sock)
                self.most_sent[name] = max(self.most_sent[name], peer.sent)
            with contextlib.suppress(OSError):
                peer.sock.close()
            with contextlib.suppress(OSError):
                sock.close()

    def close(self):
        self.stopping.set()
        self._wake.send(b".")
        self._thread.join()
        with self._lock:
            for sock in self._live:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._wake.close()
        assert not self.failures, f"the hostile server itself failed: {self.failures}"

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.close()


def replies(name, data, then="close"):
    """Adds a behaviour that answers one request with these bytes and then closes, holds or
    resets."""
    def function(peer):
        peer.request()
        peer.send(data)
        if then != "close":
            getattr(peer, then)()
    function.__name__ = name
    return behaviour(function)


# ---- healthy ----


@behaviour
def healthy(peer):
    """A plain, correct HTTP/1.1 server with keep-alive."""
    while peer.request():
        peer.answer()


def answering(body=b"ok", status="200 OK", headers=()):
    """A behaviour of its own that answers every request well-formed."""
    def function(peer):
        while peer.request():
            peer.answer(body, status, headers)
    return function


# ---- E1: bodies without end ----

OK_HEAD = b"HTTP/1.1 200 OK\r\n"
BLOCK = b"x" * 16384


@behaviour
def endless_chunked(peer):
    peer.request()
    peer.send(OK_HEAD, "Transfer-Encoding: chunked\r\n\r\n")
    peer.flood(b"4000\r\n" + BLOCK + b"\r\n")


@behaviour
def endless_until_close(peer):
    peer.request()
    peer.send(OK_HEAD, "\r\n")
    peer.flood(BLOCK)


@behaviour
def endless_length_huge(peer):
    peer.request()
    peer.send(OK_HEAD, "Content-Length: 9223372036854775807\r\n\r\n")
    peer.flood(BLOCK)


@behaviour
def endless_length_overflow(peer):
    peer.request()
    peer.send(OK_HEAD, "Content-Length: 9223372036854775808\r\n\r\n")
    peer.flood(BLOCK)


@behaviour
def endless_chunk_of_one(peer):
    """The cap must count bytes of the body, and the framing must not eat the CPU."""
    peer.request()
    peer.send(OK_HEAD, "Transfer-Encoding: chunked\r\n\r\n")
    peer.flood(b"1\r\nx\r\n" * 2000)


# ---- E2: slow drips ----


@behaviour
def drip_status_line(peer):
    peer.request()
    peer.drip(b"HTTP/1.1 200 " + b"O" * 1000)


@behaviour
def drip_header(peer):
    peer.request()
    peer.send(OK_HEAD)
    peer.drip(b"X-Slow: " + b"a" * 1000)


@behaviour
def drip_body(peer):
    peer.request()
    peer.send(OK_HEAD, "Content-Length: 1000\r\n\r\n")
    peer.drip(b"b" * 1000)


@behaviour
def drip_chunk_size(peer):
    peer.request()
    peer.send(OK_HEAD, "Transfer-Encoding: chunked\r\n\r\n")
    peer.drip(b"0" * 1000)


@behaviour
def drip_trailer(peer):
    peer.request()
    peer.send(OK_HEAD, "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
    peer.drip(b"X-Late: " + b"t" * 1000)


# ---- E3: encodings ----


def bomb(wbits, megabytes=1024):
    """A stream that inflates to a GiB: a MiB of zeros that depends on nothing before it, again and
    again. It ends without the sum that nobody should come to see."""
    packer = zlib.compressobj(9, wbits=wbits)
    head = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + again * (megabytes - 1)


def zstd_bomb(megabytes=1024):
    """The same in zstd: each four bytes say 128 KiB of zeros."""
    block = (1 << 1 | (128 << 10) << 3).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x38" + block * (8 * megabytes)


def brotli_bomb(megabytes=1024):
    """The same in brotli: what libbrotlienc makes of a MiB of zeros and a flush, then of the next."""
    return (bytes.fromhex("abffff074002201e0b24f7fec100")
            + bytes.fromhex("faff7f002400e2b00074ef1f0c") * (megabytes - 1))


BROTLI_OK = bytes.fromhex("8b00806f6b03")
ZSTD_OK = bytes.fromhex("28b52ffd2002110000") + b"ok"


def stacked_gzip(levels, payload=b"ok"):
    for _ in range(levels):
        payload = gzip.compress(payload)
    return payload


def encoded(name, encoding, body):
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    replies(name, head.encode() + body)


encoded("gzip_good", "gzip", gzip.compress(b"ok"))
encoded("gzip_bomb", "gzip", bomb(31))
encoded("gzip_bomb_twice", "gzip, gzip", gzip.compress(bomb(31)))
encoded("deflate_bomb", "deflate", bomb(15))
encoded("brotli_good", "br", BROTLI_OK)
encoded("brotli_bomb", "br", brotli_bomb())
encoded("brotli_bomb_twice", "br, gzip", gzip.compress(brotli_bomb()))
encoded("brotli_truncated", "br", BROTLI_OK[:-2])
encoded("brotli_garbage", "br", b"this is not brotli at all")
encoded("brotli_goes_on", "br", BROTLI_OK + b"more")
encoded("zstd_good", "zstd", ZSTD_OK)
encoded("zstd_bomb", "zstd", zstd_bomb())
encoded("zstd_garbage", "zstd", b"this is not zstd at all")
encoded("gzip_five_deep", "gzip, gzip, gzip, gzip, gzip", stacked_gzip(5))
encoded("gzip_six_deep", "gzip, gzip, gzip, gzip, gzip, gzip", stacked_gzip(6))
encoded("encodings_many", ", ".join(["gzip"] * 500), stacked_gzip(1))
encoded("gzip_truncated", "gzip", gzip.compress(b"ok" * 1000)[:-12])
encoded("gzip_goes_on", "gzip", gzip.compress(b"ok") + b"more")
encoded("gzip_garbage", "gzip", b"this is not gzip at all")
encoded("gzip_bad_crc", "gzip", gzip.compress(b"ok")[:-8] + b"\0" * 8)
encoded("encoding_unknown", "x-rot13", b"bx")


# ---- E4: redirects ----


def redirecting(location, status="302 Found"):
    data = location if isinstance(location, bytes) else location.encode("utf-8")
    def function(peer):
        while peer.request():
            peer.send(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nLocation: ", data, "\r\n\r\n")
    return function


@behaviour
def redirect_loop(peer):
    while peer.request():
        peer.answer(b"", "302 Found", ["Location: /again"])


@behaviour
def redirect_chain(peer):
    """/N leads to /N-1; /0 is the goal."""
    while head := peer.request():
        left = int(head.split()[1].rpartition(b"/")[2] or 0)
        if left == 0:
            peer.answer()
        else:
            peer.answer(b"", "307 Temporary Redirect", [f"Location: /{left - 1}"])


replies("redirect_without_location", b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")
replies("redirect_empty_location",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation:\r\n\r\n")
replies("redirect_long_location",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /" + b"a" * 65000 + b"\r\n\r\n")


# ---- E7: header floods and broken heads ----


@behaviour
def header_flood(peer):
    peer.request()
    peer.send(OK_HEAD)
    peer.flood(b"X-Flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 200)


@behaviour
def header_line_endless(peer):
    peer.request()
    peer.send(OK_HEAD, "X-Long: ")
    peer.flood(b"a" * 16384)


@behaviour
def status_line_endless(peer):
    peer.request()
    peer.send("HTTP/1.1 200 ")
    peer.flood(b"O" * 16384)


@behaviour
def headers_tiny_endless(peer):
    peer.request()
    peer.send(OK_HEAD)
    peer.flood(b"a:\r\n" * 4096)


@behaviour
def trailers_endless(peer):
    peer.request()
    peer.send(OK_HEAD, "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
    peer.flood(b"X-Trailer: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 200)


@behaviour
def continue_endless(peer):
    peer.request()
    peer.flood(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


@behaviour
def early_hints_endless(peer):
    peer.request()
    peer.flood(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" * 100)


@behaviour
def garbage_endless(peer):
    peer.request()
    peer.flood(bytes(range(256)) * 64)


replies("header_one_megabyte",
        OK_HEAD + b"X-Big: " + b"a" * (1 << 20) + b"\r\nContent-Length: 2\r\n\r\nok")
replies("headers_40_kib", OK_HEAD + (b"X-Part: " + b"a" * 1000 + b"\r\n") * 40
        + b"Content-Length: 2\r\n\r\nok")
replies("headers_hundred_thousand", OK_HEAD + b"X-N: 1\r\n" * 100_000 + b"\r\n")
replies("header_with_nul", OK_HEAD + b"X-Nul: a\0b\r\nContent-Length: 2\r\n\r\nok")
replies("header_bare_lf", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
replies("header_bare_cr", OK_HEAD + b"X-Cr: a\rb\r\nContent-Length: 2\r\n\r\nok")
replies("header_folded", OK_HEAD + b"X-Fold: a\r\n b\r\nContent-Length: 2\r\n\r\nok")
replies("header_without_colon", OK_HEAD + b"no colon here\r\nContent-Length: 2\r\n\r\nok")
replies("header_not_utf8", OK_HEAD + b"X-Bytes: \xff\xfe\x80\r\nContent-Length: 2\r\n\r\nok")
replies("no_status_line", b"just a text without any head\r\n\r\n")
replies("http_9_9", b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\nok")
replies("http_0_9", b"<html>hello</html>")
replies("status_000", b"HTTP/1.1 000 Zero\r\nContent-Length: 2\r\n\r\nok")
replies("status_99", b"HTTP/1.1 99 Low\r\nContent-Length: 2\r\n\r\nok")
replies("status_600", b"HTTP/1.1 600 High\r\nContent-Length: 2\r\n\r\nok")
replies("status_999", b"HTTP/1.1 999 Higher\r\nContent-Length: 2\r\n\r\nok")
replies("status_1000", b"HTTP/1.1 1000 Highest\r\nContent-Length: 2\r\n\r\nok")
replies("status_negative", b"HTTP/1.1 -200 No\r\nContent-Length: 2\r\n\r\nok")
replies("status_text", b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok")
replies("ssh_banner", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
replies("switching_protocols",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "hold")
replies("length_negative", OK_HEAD + b"Content-Length: -5\r\n\r\nok")
replies("length_text", OK_HEAD + b"Content-Length: two\r\n\r\nok")
replies("length_twice_differs",
        OK_HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok")
replies("length_and_chunked",
        OK_HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
replies("chunk_size_bad", OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n")
replies("chunk_size_overflow",
        OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nok\r\n0\r\n\r\n")
replies("chunk_size_negative",
        OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n")
replies("transfer_encoding_unknown", OK_HEAD + b"Transfer-Encoding: rot13\r\n\r\nok")


# ---- E9: streams, as a plain http check sees them ----


@behaviour
def sse_endless(peer):
    peer.request()
    peer.send(OK_HEAD, "Content-Type: text/event-stream\r\n\r\n")
    while True:
        peer.send(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
        peer.pause(DRIP_SECONDS)


@behaviour
def sse_comments_endless(peer):
    peer.request()
    peer.send(OK_HEAD, "Content-Type: text/event-stream\r\n\r\n")
    while True:
        peer.send(b":\n")
        peer.pause(DRIP_SECONDS)


@behaviour
def sse_then_silence(peer):
    peer.request()
    peer.send(OK_HEAD, "Content-Type: text/event-stream\r\n\r\ndata: {}\n\n")
    peer.hold()


@behaviour
def body_then_silence(peer):
    peer.request()
    peer.send(OK_HEAD, "Content-Length: 10\r\n\r\nhello")
    peer.hold()


# ---- E11: connections cut at each stage ----


@behaviour
def reset_at_accept(peer):
    peer.reset()


@behaviour
def close_at_accept(peer):
    del peer  # closed by the server when we return


@behaviour
def reset_after_request(peer):
    peer.request()
    peer.reset()


@behaviour
def close_after_request(peer):
    peer.request()


replies("reset_mid_header", OK_HEAD + b"X-Half: ye", "reset")
replies("close_mid_header", OK_HEAD + b"X-Half: ye")
replies("reset_mid_body", OK_HEAD + b"Content-Length: 10\r\n\r\nhello", "reset")
replies("close_mid_body", OK_HEAD + b"Content-Length: 10\r\n\r\nhello")
replies("close_mid_chunk", OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\nhello")
replies("close_before_last_chunk", OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")


@behaviour
def reset_after_reply(peer):
    """A complete answer is an answer, however rudely the line is dropped after it."""
    peer.request()
    peer.answer(headers=["Connection: close"])
    with contextlib.suppress(OSError):
        peer.sock.settimeout(0.3)
        peer.sock.recv(1)
    peer.reset()


@behaviour
def keep_alive_then_close(peer):
    """Promises keep-alive and closes behind the answer: the next check must not suffer."""
    peer.request()
    peer.answer(headers=["Connection: keep-alive", "Keep-Alive: timeout=60"])


@behaviour
def keep_alive_then_reset(peer):
    peer.request()
    peer.answer(headers=["Connection: keep-alive", "Keep-Alive: timeout=60"])
    peer.pause(0.05)
    peer.reset()


@behaviour
def keep_alive_then_408(peer):
    """As servers do that time out an idle connection: an answer nobody asked for."""
    peer.request()
    peer.answer(headers=["Connection: keep-alive"])
    peer.pause(0.05)
    peer.answer(b"", "408 Request Timeout", ["Connection: close"])


# ---- E16: TCP tricks ----


@behaviour
def silent(peer):
    """Accepts, reads, never answers."""
    peer.hold()


@behaviour
def never_reads(peer):
    """Zero window: what is sent to us goes nowhere."""
    peer.server.stopping.wait()


@behaviour
def answers_before_request(peer):
    peer.answer()
    peer.hold()


class FullBacklog:
    """A listener whose queue is full: a SYN to it is dropped, as from a black hole."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)
        self._settle()

    def _settle(self):
        """Until a further connect hangs."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            probe = socket.socket()
            probe.settimeout(0.2)
            try:
                probe.connect(("127.0.0.1", self.port))
                self.fillers.append(probe)
            except OSError:
                probe.close()
                return
        raise AssertionError("the backlog does not fill")

    def close(self):
        for sock in [self.listener, *self.fillers]:
            sock.close()


# ---- E12: TLS ----


def server_context(certificate, key, minimum=None, maximum=None, alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def read_client_hello(peer):
    peer.sock.recv(4096)


@behaviour
def tls_plaintext(peer):
    """Plain HTTP where TLS is expected."""
    read_client_hello(peer)
    peer.answer(b"plain", "400 Bad Request")


@behaviour
def tls_garbage(peer):
    read_client_hello(peer)
    peer.send(b"\x16\x03\x03\x00\x20" + b"\xa5" * 32)
    peer.hold()


@behaviour
def tls_oversized_record(peer):
    read_client_hello(peer)
    peer.send(b"\x16\x03\x03\xff\xff" + b"\xa5" * 65535)
    peer.hold()


@behaviour
def tls_alert(peer):
    read_client_hello(peer)
    peer.send(b"\x15\x03\x03\x00\x02\x02\x28")


@behaviour
def tls_stall(peer):
    """Takes the ClientHello and says nothing."""
    read_client_hello(peer)
    peer.hold()


@behaviour
def tls_drip(peer):
    read_client_hello(peer)
    peer.drip(b"\x16\x03\x03\x20\x00" + b"\xa5" * 1000)


@behaviour
def tls_reset(peer):
    read_client_hello(peer)
    peer.reset()


@behaviour
def tls_close(peer):
    read_client_hello(peer)
