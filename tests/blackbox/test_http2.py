# SPDX-License-Identifier: MIT
"""HTTP/2 servers that misbehave frame by frame (E13), over TLS with ALPN and in clear."""

import struct

import pytest

from attacks import Attack, attack_round
from h2 import (CONTINUATION, DATA, END_HEADERS, END_STREAM, ACK, GOAWAY, HEADERS, PING, PREFACE,
                PUSH, RST_STREAM, SETTINGS, STATUS_200, WINDOW, frame, literal)
from harness import PATIENCE, PATIENT, http_endpoint, last_of, limits_for
from hostile import server_context


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


def greeted(peer):
    """Switches the protocol when asked to, reads the client's preface and sends our settings."""
    seen = b""
    while len(seen) < 4:
        seen += peer.receive()
    if seen.startswith(b"GET "):
        while b"\r\n\r\n" not in seen:
            seen += peer.receive()
        peer.send(SWITCHING)
        seen = seen.partition(b"\r\n\r\n")[2]
    while len(seen) < len(PREFACE):
        seen += peer.receive()
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
FLOOD = f"protocol_error|{LATE}"  # late if the machine is too busy for a flood worth the name

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
    "ping_flood": (floods(frame(PING, 0, 0, b"8 bytes!") * 100), FLOOD),
    "settings_flood": (floods(frame(SETTINGS) * 100), FLOOD),
    "window_flood": (floods(frame(WINDOW, 0, 0, struct.pack(">I", 1)) * 100), FLOOD),
    "empty_data_flood": (floods(frame(DATA, 0, 1) * 100, OK_HEAD), FLOOD),
    "continuation_flood": (floods(frame(CONTINUATION, 0, 1, BIG), frame(HEADERS, 0, 1, STATUS_200)),
                           "header_too_large|protocol_error"),
    "tiny_headers_flood": (floods(frame(HEADERS, END_HEADERS, 1, literal(b"a", b"b")) * 100,
                                  OK_HEAD), f"header_too_large|{BROKEN}"),
    "endless_data_of_one": (floods(frame(DATA, 0, 1, b"x") * 1000, OK_HEAD), "body_too_large"),
    "endless_data": (floods(frame(DATA, 0, 1, b"x" * 16000), OK_HEAD), "body_too_large"),
    "endless_informational": (floods(frame(HEADERS, END_HEADERS, 1, literal(b":status", b"103"))),
                              f"header_too_large|{BROKEN}"),
}


TRANSPORTS = ["tls", "direct", "upgrade"]


def h2_endpoint(name, transport, server, pki, function, **more):
    """An endpoint of its own server that speaks HTTP/2 over this transport."""
    tls = server_context(*pki.good, alpn=["h2"]) if transport == "tls" else None
    port = server.listen(f"{name}_{transport}", function, tls=tls)
    if tls:
        more["tls"] = {"ca_file": pki.ca}
    return http_endpoint(name, f"{'https' if tls else 'http'}://localhost:{port}/",
                         http_version="2-direct" if transport == "direct" else "2", **more)


@pytest.fixture(scope="module", params=TRANSPORTS)
def played(request, server, pki):
    endpoints = [h2_endpoint(name, request.param, server, pki, function, timeout=limits_for(right))
                 for name, (function, right) in SERVERS.items()]
    with attack_round(server, [], endpoints=endpoints) as result:
        yield result


@pytest.mark.parametrize("name", SERVERS)
def test_http2_server_gets_its_reason(played, name):
    played.assert_attack(Attack(name, SERVERS[name][1]))


def test_flood_of_frames_does_not_hold_the_loop(played):
    """libcurl alone would read on for as long as there is something to read."""
    stall = played.daemon.metric("modelhealth_loop_stall_max_seconds")
    assert stall < 0.1 * PATIENCE + played.daemon.starved_seconds(), f"the loop stood still for {stall:.3f} s"


def large_body(size):
    """An honest server that sends a megabyte as fast as it can, in frames of that size."""
    def function(peer):
        greeted(peer)
        peer.send(OK_HEAD)
        at_once = max(1, 16384 // size)
        for _ in range(1000000 // size // at_once):
            peer.send(frame(DATA, 0, 1, b"x" * size) * at_once)
        peer.send(frame(DATA, END_STREAM, 1, b"x" * size))
        peer.hold()
    return function


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_large_body_is_no_flood(start, server, pki, transport):
    """With these sizes libcurl would keep a part of the last frames to itself."""
    sizes = [1, 100, 1000, 1025, 5000, 16384]
    daemon = start({"endpoints": [
        h2_endpoint(f"body_in_{size}", transport, server, pki, large_body(size),
                    max_body_bytes="2MiB", timeout=PATIENT) for size in sizes]})
    for name, endpoint in daemon.wait_checked().items():
        assert last_of(endpoint)["reason"] == "ok", f"{name}: {last_of(endpoint)}"


def refuses_early(peer):
    """Answers in full before the request has come, and stops the rest of it, as HAProxy does."""
    if peer.sock.selected_alpn_protocol() == "h2":
        greeted(peer)
        head = frame(HEADERS, END_HEADERS, 1,
                     literal(b":status", b"429") + literal(b"content-length", b"4"))
        peer.send(head + frame(DATA, END_STREAM, 1, b"slow")
                  + frame(RST_STREAM, 0, 1, struct.pack(">I", 8)))
    else:
        peer.send(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nslow")
    peer.hold()


def test_an_answer_before_the_end_of_the_request_counts(start, server, pki):
    """Over HTTP/2 libcurl would drop it."""
    port = server.listen("early", refuses_early,
                         tls=server_context(*pki.good, alpn=["h2", "http/1.1"]))
    daemon = start({"endpoints": [
        http_endpoint("early", f"https://localhost:{port}/", method="POST", body="x" * 70000,
                      timeout=PATIENT, tls={"ca_file": pki.ca})]})
    last = last_of(daemon.wait_checked()["early"])
    assert (last["reason"], last["http_status"]) == ("rate_limited", 429), last


@pytest.mark.parametrize("version, verdict", [("1.1", "down"), ("2", "up"), ("auto", "up")])
def test_version_is_what_was_asked_for(start, server, pki, version, verdict):
    """Against a server that speaks h2 and nothing else."""
    port = server.listen("choosy", SERVERS["good"][0],
                         tls=server_context(*pki.good, alpn=["h2"]))
    daemon = start({"endpoints": [
        http_endpoint("choosy", f"https://localhost:{port}/", http_version=version,
                      timeout=PATIENT, tls={"ca_file": pki.ca})]})
    last = daemon.wait_checked()["choosy"]["checks"][0]["last"]
    assert last["verdict"] == verdict, last
