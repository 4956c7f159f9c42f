# SPDX-License-Identifier: MIT
"""HTTP/2 frame by frame, for servers that misbehave."""

import struct

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


def read_request(sock):
    """Reads the client's preface and frames up to the end of its first stream; returns them as
    (kind, payload)."""
    seen = b""
    frames = []
    at = len(PREFACE)
    while True:
        while len(seen) >= at + 9:
            length = int.from_bytes(seen[at:at + 3], "big")
            if len(seen) < at + 9 + length:
                break
            kind, flags = seen[at + 3], seen[at + 4]
            frames.append((kind, seen[at + 9:at + 9 + length]))
            at += 9 + length
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                return frames
        piece = sock.recv(65536)
        if not piece:
            return frames
        seen += piece
