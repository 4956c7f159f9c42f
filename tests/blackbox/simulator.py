# SPDX-License-Identifier: MIT
"""modelhealth-sim as a neighbour of the daemon: one server, and the port that controls it."""

import http.client
import json
import os
import re
import subprocess

from harness import PATIENCE, assert_no_sanitizer, free_port, request

MODEL = "sim-8b"


class Simulator:
    """A running modelhealth-sim with one server named sut and a control port."""

    def __init__(self, settings="", *options):
        self.port, self.control = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [os.environ["MODELHEALTH_SIM"], *options, "--control", f"127.0.0.1:{self.control}",
             "--listen", f"127.0.0.1:{self.port},name=sut{settings}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert "ready" in self.process.stdout.readline(), self.process.stderr.read()

    def connection(self, timeout=5):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * PATIENCE)

    def get(self, path, timeout=5):
        return request(self.connection(timeout), "GET", path)

    def chat(self, **more):
        return request(self.connection(), "POST", "/v1/chat/completions",
                       body=json.dumps({"model": MODEL, "messages": [], **more}))

    def order(self, query):
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=5)
        return request(connection, "POST", f"/_sim/fault?{query}")

    def show(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=5)
        return request(connection, "GET", "/_sim").json["servers"][0]

    def metric(self, name):
        match = re.search(rf"^{name}\{{[^}}]*\}} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return float(match.group(1))

    def close(self):
        if self.process.poll() is not None:
            return
        self.process.terminate()
        _, errors = self.process.communicate(timeout=10 * PATIENCE)
        assert self.process.returncode == 0, errors
        assert_no_sanitizer(errors)
