# SPDX-License-Identifier: MIT
"""Endpoints of model servers with every tier, and clients of those servers that are not us."""

import http.client
import json
import socket
import threading

from simulator import MODEL

def model_endpoint(name, url, interval, timeout, fall=2, live=None, canary=None, **more):
    """The checks of type vllm, often; live and canary are keys of those, more of the endpoint."""
    often = {"interval": f"{interval}s", "fast_interval": f"{interval}s", "timeout": timeout}
    return {
        "name": name, "type": "vllm", "url": url, "models": [MODEL], "rise": 1, "fall": fall,
        "degraded_rise": 1, "degraded_fall": fall, "retries": {"attempts": 0}, **more,
        "checks": {
            "live": {**often, **(live or {})},
            "models": often,
            # After a question that got no answer it alone tells when to ask again.
            "load": {**often, "interval": "250ms", "fast_interval": "250ms",
                     "overloaded": {"waiting": {"for": "1s"}}},
            "canary": {**often, "max_tokens": 2,
                       "budget": {"tokens": "1000000/1d", "requests": "100000/1d"},
                       **(canary or {})},
        },
    }


def check_of(endpoint, name):
    """One check in an endpoint's JSON."""
    return next(check for check in endpoint["checks"] if check["name"] == name)


class Reader:
    """A client that is not us: one long stream, read to its end or until it is closed."""

    def __init__(self, simulator):
        self.connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=60)
        self.connection.request("POST", "/v1/chat/completions", body=json.dumps(
            {"model": MODEL, "messages": [], "stream": True}))
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            while self.connection.sock and self.connection.sock.recv(65536):
                pass
        except OSError:
            pass  # closed

    def close(self):
        self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.close()
