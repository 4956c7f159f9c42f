# SPDX-License-Identifier: MIT
"""What all scenarios share: how much is watched, the daemon's configuration, one measurement."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import time
from typing import NamedTuple

from figures import Metrics, quantile
from processes import Broken, Daemon, Simulator, cpu_seconds, rss_mb, wait_until

ENDPOINTS_PER_FILE = 5000
MIN_INTERVAL = 0.1  # what the configuration allows
MORE_SCRAPES = 3  # tries, when one fails
BASE_MB = 15  # of memory without endpoints


class Load(NamedTuple):
    """What is watched, and how often."""

    endpoints: int
    interval: float  # seconds

    def times(self, endpoints, interval):
        return Load(max(1, round(self.endpoints * endpoints)),
                    max(MIN_INTERVAL, self.interval * interval))

    @property
    def rate(self):
        return self.endpoints / self.interval


def milliseconds(seconds):
    return f"{seconds * 1e3:.0f}ms"


def address(index):
    number = (127 << 24) + (1 << 16) + index
    return socket.inet_ntoa(number.to_bytes(4, "big"))


def scrape(daemon):
    """Where there is more to do than one core can, hundreds of MB may not be ready in time."""
    for _ in range(MORE_SCRAPES):
        with contextlib.suppress(Broken, OSError, http.client.HTTPException):
            return Metrics(daemon.lines("/metrics"))
    return Metrics(daemon.lines("/metrics"))


class Bench:
    """rows: a dictionary of figures for each; scenarios fill them."""

    def __init__(self, options, directory):
        self.options = options
        self.build = options.build
        self.directory = directory
        self.load = Load(options.endpoints, options.interval)
        # A tenth as many, ten times as often.
        self.small = self.load.times(1 / 10, 1 / 10)
        # The daemon looks at its own loop once a second.
        self.settle_seconds = min(1, options.interval)
        self.processors = os.sched_getaffinity(0)
        self.simulator = Simulator(self.build, directory)
        self.rows = {}
        self.left_out = {}  # row: why it was not measured

    def plain_url(self, index):
        return f"http://{address(index)}:{self.simulator.port}/health"

    def tls_url(self, index):
        return f"https://{address(index)}:{self.simulator.tls_port}/health"

    @property
    def tls_defaults(self):
        return f"  tls: {{ ca_file: '{self.simulator.certificate}', server_name: sim.test }}\n"

    def write_config(self, directory, load, url, extra="", changed=0, expect=""):
        """One endpoint an address; url(index) says where. Changes every changed-th, if not 0."""
        (directory / "conf.d").mkdir(exist_ok=True)
        (directory / "modelhealthd.yaml").write_text(
            f"status: {{ listen: [ 'unix:{directory}/status.sock' ] }}\n"
            f"defaults:\n  interval: {milliseconds(load.interval)}\n"
            f"  timeout: {{ connect: 2s, first_byte: 5s, total: 8s }}\n"
            f"  retries: {{ attempts: 0 }}\n{extra}"
            f"include: [ 'conf.d/*.yaml' ]\n")
        for first in range(0, load.endpoints, ENDPOINTS_PER_FILE):
            lines = ["endpoints:"]
            for i in range(first, min(first + ENDPOINTS_PER_FILE, load.endpoints)):
                query = "?changed" if changed and i % changed == 0 else ""
                lines.append(f"  - {{ name: e{i:06}, type: http, url: '{url(i)}{query}', "
                             f"expect: {{ status: [ 200 ], json: {{ /status: ok }}{expect} }} }}")
            (directory / f"conf.d/{first:06}.yaml").write_text("\n".join(lines) + "\n")

    def daemon(self, name, load, url=None, extra="", expect=""):
        directory = self.directory / name
        directory.mkdir()
        self.write_config(directory, load, url or self.plain_url, extra, expect=expect)
        return Daemon(self.build, directory)

    def warm_up(self, daemon, load):
        """One round, and until every endpoint has its first verdict."""
        time.sleep(load.interval + self.settle_seconds)
        wait_until(lambda: daemon.status()["self"]["first_round_done"], daemon.process,
                   "modelhealthd did not end its first round", step=0.1)

    def window(self, daemon, load, holes=0, during=None, seconds=None):
        """Measures for the given seconds while during() is called over and over."""
        seconds = seconds or self.options.seconds
        during = during or (lambda: time.sleep(min(1, seconds)))
        checks, cpu = daemon.checks_total(), cpu_seconds(daemon.process.pid)
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            during()
        status = daemon.status()
        elapsed = time.monotonic() - began
        checks = status["self"]["checks_total"] - checks
        cpu = cpu_seconds(daemon.process.pid) - cpu
        rss = rss_mb(daemon.process.pid)
        endpoints = status["endpoints"]
        return {
            "endpoints": load.endpoints,
            "interval_s": load.interval,
            "checks": checks,
            "rate": checks / elapsed,
            "cpu_us_per_check": cpu / checks * 1e6 if checks else 0,
            "core_percent": cpu / elapsed * 100,
            "late_max_ms": status["self"]["lateness_max_seconds"] * 1e3,
            "turn_max_ms": status["self"]["loop_stall_max_seconds"] * 1e3,
            "queued": status["self"]["checks_queued"],
            "rss_mb": rss,
            "kib_per_endpoint": max(0, rss - BASE_MB) * 1024 / load.endpoints,
            "wrong": abs(endpoints["down"] - holes) + abs(endpoints["up"] + holes - endpoints["total"]),
        }

    def scraped_window(self, daemon, load, **how):
        """With what only /metrics tells. Our own large scrapes stay outside of the time in which
        CPU and checks are counted."""
        before, began = scrape(daemon), time.monotonic()
        time.sleep(self.settle_seconds)
        row = self.window(daemon, load, **how)
        after = scrape(daemon)
        elapsed = time.monotonic() - began
        lateness = "modelhealth_check_lateness_seconds_bucket"
        skipped = "modelhealth_check_overruns_total"
        return {
            **row,
            "late_p50_ms": quantile(before, after, lateness, 0.50) * 1e3,
            "late_p99_ms": quantile(before, after, lateness, 0.99) * 1e3,
            "skipped_per_s": (after.values[skipped] - before.values[skipped]) / elapsed,
        }

    def run_daemon(self, name, load=None, url=None, extra="", holes=0, expect=""):
        load = load or self.load
        with self.daemon(name, load, url, extra, expect) as daemon:
            start = daemon.start()
            self.warm_up(daemon, load)
            row = self.scraped_window(daemon, load, holes=holes)
        return {**row, "start_ms": start * 1e3}

    def run_raw(self, load, *arguments):
        output = subprocess.run(
            [self.build / "tests/bench/raw", "--port", str(self.simulator.port),
             "--endpoints", str(load.endpoints), "--interval", milliseconds(load.interval),
             "--time", milliseconds(self.options.seconds), "--warm-up", milliseconds(load.interval),
             *arguments],
            check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(output)

    def beside_raw(self, name, load, raw_arguments=(), **settings):
        """Raw, daemon, raw: what else goes on here then weighs on both."""
        before = self.run_raw(load, *raw_arguments)
        row = self.run_daemon(name, load, **settings)
        after = self.run_raw(load, *raw_arguments)
        raw = {figure: (before[figure] + after[figure]) / 2 for figure in before}
        row["x_raw"] = row["cpu_us_per_check"] / max(raw["cpu_us_per_check"], 1e-9)
        self.rows[f"raw_{name}"] = raw
        self.rows[name] = row


@contextlib.contextmanager
def open_bench(options, directory):
    bench = Bench(options, directory)
    with bench.simulator:
        yield bench
