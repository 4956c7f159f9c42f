# SPDX-License-Identifier: MIT
"""The processes of the benchmark: how they start and always end, and what the kernel says of them."""

import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time

START_SECONDS = 60
STOP_SECONDS = 30
TICK = os.sysconf("SC_CLK_TCK")


class Broken(Exception):
    """A scenario could not be measured; the words say why."""


def free_ports(count):
    """Below the range that outgoing connections take, or one of those could hold it."""
    ports = []
    for port in random.sample(range(10000, 30000), 1000):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise Broken("no free ports between 10000 and 30000")


def threads(pid):
    return [int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def cpu_seconds(pid):
    """User and system time of all threads, as precise as the kernel keeps it."""
    try:
        return sum(int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
                   for task in threads(pid)) / 1e9
    except OSError:  # a kernel without schedstat, or a thread that ended
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK


def rss_mb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


def pin(process, processors):
    for task in threads(process.pid):
        os.sched_setaffinity(task, processors)


def stop(process):
    """Waits for the end, too; a second Ctrl-C meanwhile does not leave it behind."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(timeout=STOP_SECONDS)
    except BaseException:
        process.kill()
        process.wait()
        raise


def wait_until(is_true, process, what, seconds=START_SECONDS, step=0.002):
    """Polls while the process lives; what = the words when it never became true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if is_true():
                return
        time.sleep(step)
    raise Broken(what)


def get(connection, path, method="GET"):
    """One request on a connection that ends with it: status and body."""
    with contextlib.closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def get_local(port, path):
    return get(http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS), path)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=START_SECONDS)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Running:
    """A process for the length of a with block."""

    process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            stop(self.process)


class Simulator(Running):
    """One process with a plain and a TLS farm, and two kinds of black holes."""

    def __init__(self, build, directory):
        self.port, self.tls_port, self.hang_port, self.vanish_port, self.control = free_ports(5)
        self.certificate = directory / "certificate.pem"
        key = directory / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "30", "-subj", "/CN=sim.test", "-addext",
             "subjectAltName=DNS:sim.test", "-keyout", key, "-out", self.certificate],
            check=True, stderr=subprocess.DEVNULL)
        everywhere = "127.0.0.0/8"
        self.process = subprocess.Popen(
            [build / "src/app/modelhealth-sim", "--quiet", "--control", f"127.0.0.1:{self.control}",
             "--listen", f"{everywhere}:{self.port}",
             "--listen", f"{everywhere}:{self.tls_port},tls_certificate={self.certificate},tls_key={key}",
             "--listen", f"{everywhere}:{self.hang_port},fault=hang",
             "--listen", f"{everywhere}:{self.vanish_port},fault=vanish"],
            stdout=subprocess.PIPE, text=True)
        if "ready" not in self.process.stdout.readline():
            raise Broken("modelhealth-sim did not start")

    def requests_total(self):
        servers = json.loads(get_local(self.control, "/_sim")[1])["servers"]
        return sum(server["requests_total"] for server in servers)


class Daemon(Running):
    """modelhealthd on the configuration in a folder of its own."""

    def __init__(self, build, directory):
        self.binary = build / "src/app/modelhealthd"
        self.directory = directory
        self.config = directory / "modelhealthd.yaml"
        self.socket = directory / "status.sock"

    def start(self):
        """Returns the seconds from exec to the first answer of the status port."""
        log = self.directory / "log"
        began = time.monotonic()
        with open(log, "w") as output:
            self.process = subprocess.Popen(
                [self.binary, "--config", self.config], stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: self.get("/healthz")[0] == 200, self.process, "modelhealthd did not start")
        except Broken as error:
            raise Broken(f"{error}:\n{log.read_text()[-2000:]}") from None
        return time.monotonic() - began

    def request(self, method, path):
        return get(UnixConnection(self.socket), path, method)

    def get(self, path):
        return self.request("GET", path)

    def status(self):
        return json.loads(self.get("/api/v1/status")[1])

    def checks_total(self):
        return self.status()["self"]["checks_total"]

    def lines(self, path):
        """Those of a large answer, one after the other."""
        connection = UnixConnection(self.socket)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != 200:
                raise Broken(f"GET {path} gave {response.status}")
            for line in response:
                yield line.decode()
            if response.length:
                raise Broken(f"GET {path} was cut off")


def end_by_exception(signal_number, _):
    """So that every with block is left: for SIGTERM, as Python does itself for Ctrl-C."""
    sys.exit(128 + signal_number)


def end_cleanly_on_signals():
    signal.signal(signal.SIGTERM, end_by_exception)
    signal.signal(signal.SIGHUP, end_by_exception)
