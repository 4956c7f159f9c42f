# SPDX-License-Identifier: MIT
"""HTTP/2 servers that misbehave frame by frame (E13), over TLS with ALPN."""

import struct

import pytest

from attacks import Attack, attack_round
from harness import http_endpoint
from hostile import server_context

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = \
    0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STATUS_200 = b"\x88"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + \
        struct.pack(">I", stream) + payload


def literal(name, value):
    """A header without indexing; lengths below 127 take one byte."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def greeted(peer):
    """Reads the client's preface and sends our settings."""
    seen = b""
    while len(seen) < len(PREFACE):
        seen += peer.sock.recv(65536)
    peer.send(frame(SETTINGS), frame(SETTINGS, ACK))


def sends(*frames, then="hold"):
    """A behaviour: greet, send these, then hold or close."""
    def function(peer):
        greeted(peer)
        peer.send(*frames)
        if then == "hold":
            peer.hold()
    return function


def floods(piece, *first):
    def function(peer):
        greeted(peer)
        peer.send(*first)
        peer.flood(piece)
    return function


def silence(peer):
    peer.hold()


def garbage(peer):
    peer.send(b"\x00" * 300 + b"this is no frame")
    peer.hold()


def http_1_answer(peer):
    """h2 was agreed on, HTTP/1.1 is spoken."""
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    peer.hold()


OK_HEAD = frame(HEADERS, END_HEADERS, 1, STATUS_200)
BIG = literal(b"x-fill", b"f" * 120) * 60

BROKEN = "protocol_error|conn_reset"
LATE = "timeout_headers|timeout_idle|timeout_total"

SERVERS = {
    "good": (sends(OK_HEAD, frame(DATA, END_STREAM, 1, b"ok")), "ok"),
    "good_then_goaway": (sends(OK_HEAD, frame(DATA, END_STREAM, 1, b"ok"),
                               frame(GOAWAY, 0, 0, struct.pack(">II", 1, 0))), "ok"),
    "silence": (silence, LATE),
    "garbage": (garbage, BROKEN),
    "http_1_answer": (http_1_answer, BROKEN),
    "settings_only": (sends(), LATE),
    "goaway": (sends(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0))), f"{BROKEN}|{LATE}"),
    "goaway_error": (sends(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 11)), then="close"), BROKEN),
    "reset_stream": (sends(frame(RST_STREAM, 0, 1, struct.pack(">I", 2))), BROKEN),
    "refused_stream": (sends(frame(RST_STREAM, 0, 1, struct.pack(">I", 7))), f"{BROKEN}|{LATE}"),
    "reset_mid_body": (sends(OK_HEAD, frame(DATA, 0, 1, b"half"),
                             frame(RST_STREAM, 0, 1, struct.pack(">I", 2))), BROKEN),
    "close_mid_body": (sends(OK_HEAD, frame(DATA, 0, 1, b"half"), then="close"), BROKEN),
    "body_then_silence": (sends(OK_HEAD, frame(DATA, 0, 1, b"half")), "timeout_idle"),
    "frame_too_large": (sends(frame(DATA, 0, 1, b"x" * 65536)), BROKEN),
    "stream_of_nobody": (sends(frame(HEADERS, END_HEADERS, 99, STATUS_200)), f"{BROKEN}|{LATE}"),
    "push": (sends(frame(PUSH, END_HEADERS, 1, struct.pack(">I", 2) + STATUS_200)), BROKEN),
    "bad_hpack": (sends(frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff")), BROKEN),
    "no_status": (sends(frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(b"a", b"b"))), BROKEN),
    "ping_flood": (floods(frame(PING, 0, 0, b"8 bytes!") * 100), f"{BROKEN}|{LATE}"),
    "settings_flood": (floods(frame(SETTINGS) * 100), f"{BROKEN}|{LATE}"),
    "window_flood": (floods(frame(WINDOW, 0, 0, struct.pack(">I", 1)) * 100), f"{BROKEN}|{LATE}"),
    "empty_data_flood": (floods(frame(DATA, 0, 1) * 100, OK_HEAD), f"{BROKEN}|{LATE}"),
    "continuation_flood": (floods(frame(CONTINUATION, 0, 1, BIG), frame(HEADERS, 0, 1, STATUS_200)),
                           f"header_too_large|{BROKEN}"),
    "endless_data": (floods(frame(DATA, 0, 1, b"x" * 16000), OK_HEAD), "body_too_large"),
    "endless_informational": (floods(frame(HEADERS, END_HEADERS, 1, literal(b":status", b"103"))),
                              f"header_too_large|{BROKEN}"),
}


@pytest.fixture(scope="module")
def played(server, pki):
    context = server_context(*pki.good, alpn=["h2"])
    endpoints = []
    for name, (function, _) in SERVERS.items():
        port = server.listen(name, function, tls=context)
        endpoints.append(http_endpoint(name, f"https://localhost:{port}/", http_version="2",
                                       tls={"ca_file": pki.ca}))
    with attack_round(server, [], endpoints=endpoints) as result:
        yield result


@pytest.mark.parametrize("name", SERVERS)
def test_http2_server_gets_its_reason(played, name):
    played.assert_attack(Attack(name, SERVERS[name][1]))


@pytest.mark.parametrize("version, verdict", [("1.1", "down"), ("2", "up"), ("auto", "up")])
def test_version_is_what_was_asked_for(start, server, pki, version, verdict):
    """Against a server that speaks h2 and nothing else."""
    port = server.listen("choosy", SERVERS["good"][0],
                         tls=server_context(*pki.good, alpn=["h2"]))
    daemon = start({"endpoints": [
        http_endpoint("choosy", f"https://localhost:{port}/", http_version=version,
                      tls={"ca_file": pki.ca})]})
    last = daemon.wait_checked()["choosy"]["checks"][0]["last"]
    assert last["verdict"] == verdict, last
