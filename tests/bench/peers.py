# SPDX-License-Identifier: MIT
"""Other checkers beside modelhealthd: same targets, same pace, one after the other.

All are measured in the same way: CPU and memory by the kernel, checks by what the simulator was
asked, as far as a verdict came of it. A peer whose program is not installed is left out.
"""

import contextlib
import csv
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse

from bench import address, milliseconds
from processes import cpu_seconds, free_ports, get_local, rss_mb, stop, wait_until

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
TIMEOUT = 5  # seconds, unless the interval is shorter


class Peer:
    """One or more processes; wrong() tells how many endpoints they hold for bad."""

    packages = {}  # program: package of Debian

    @staticmethod
    def verdicts(asked, seconds):
        """Of so many requests in the seconds until now."""
        del seconds
        return asked

    def __init__(self, bench, name, load):
        self.directory = bench.directory / name
        self.directory.mkdir()
        self.log = open(self.directory / "log", "w")
        self.load = load
        self.processes = []

    def __enter__(self):
        return self

    def run(self, program, *arguments):
        process = subprocess.Popen([shutil.which(program, path=PATH), *arguments],
                                   cwd=self.directory, stdout=self.log, stderr=self.log)
        self.processes.append(process)
        return process

    def __exit__(self, *_):
        with contextlib.ExitStack() as stack:  # each, whatever the others do
            stack.callback(self.log.close)
            for process in self.processes:
                stack.callback(stop, process)

    @classmethod
    def missing(cls):
        return [package for program, package in cls.packages.items()
                if not shutil.which(program, path=PATH)]


class HAProxy(Peer):
    """Its health checks of HTTP: status and a piece of the body, on one thread as ours."""

    packages = {"haproxy": "haproxy"}

    def __init__(self, bench, name, load, is_tls=False):
        super().__init__(bench, name, load)
        simulator = bench.simulator
        how = f"check inter {milliseconds(load.interval)} rise 1 fall 3"
        if is_tls:
            how += (f" ssl verify required ca-file {simulator.certificate} verifyhost sim.test"
                    " check-ssl check-sni sim.test sni str(sim.test)")
        port = simulator.tls_port if is_tls else simulator.port
        lines = [
            "global", "  nbthread 1", "  maxconn 100", f"  stats socket {self.directory}/stats",
            "defaults", "  mode http", "  timeout connect 2s", "  timeout client 5s",
            "  timeout server 5s", f"  timeout check {TIMEOUT}s",
            "frontend nobody", f"  bind unix@{self.directory}/nobody", "  default_backend endpoints",
            "backend endpoints", "  option httpchk",
            "  http-check send meth GET uri /health ver HTTP/1.1 hdr Host bench hdr Connection close",
            "  http-check expect status 200", '  http-check expect string "status":"ok"',
            f"  default-server {how}",
            *(f"  server e{i} {address(i)}:{port}" for i in range(load.endpoints))]
        (self.directory / "haproxy.cfg").write_text("\n".join(lines).replace('"', r"\"") + "\n")

    def start(self):
        process = self.run("haproxy", "-db", "-f", "haproxy.cfg")
        wait_until(lambda: self.stats() is not None, process, "haproxy did not start")

    def stats(self):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"{self.directory}/stats")
            sock.sendall(b"show stat\n")
            text = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
        return [row for row in csv.DictReader(text.lstrip("# ").splitlines())
                if row["pxname"] == "endpoints" and row["svname"] != "BACKEND"]

    def wrong(self):
        """Who was asked says L7OK; UP alone is what it assumes before."""
        return sum(row["check_status"].lstrip("* ") != "L7OK" for row in self.stats())


class Blackbox(Peer):
    """blackbox_exporter, and the Prometheus that has it probe and keeps what it says."""

    packages = {"prometheus": "prometheus",
                "prometheus-blackbox-exporter": "prometheus-blackbox-exporter"}

    def __init__(self, bench, name, load):
        super().__init__(bench, name, load)
        self.port, self.prometheus_port = free_ports(2)
        timeout = min(TIMEOUT, load.interval)
        (self.directory / "blackbox.yml").write_text(json.dumps({"modules": {"health": {
            "prober": "http", "timeout": milliseconds(timeout), "http": {
                "valid_status_codes": [200], "follow_redirects": False,
                "preferred_ip_protocol": "ip4",
                "fail_if_body_not_matches_regexp": ['"status": *"ok"']}}}}))
        (self.directory / "prometheus.yml").write_text(json.dumps({"scrape_configs": [{
            "job_name": "blackbox", "metrics_path": "/probe", "params": {"module": ["health"]},
            "scrape_interval": milliseconds(load.interval), "scrape_timeout": milliseconds(timeout),
            "static_configs": [{"targets": [bench.plain_url(i) for i in range(load.endpoints)]}],
            "relabel_configs": [
                {"source_labels": ["__address__"], "target_label": "__param_target"},
                {"source_labels": ["__param_target"], "target_label": "instance"},
                {"target_label": "__address__", "replacement": f"127.0.0.1:{self.port}"}]}]}))

    def start(self):
        exporter = self.run("prometheus-blackbox-exporter", "--config.file=blackbox.yml",
                            f"--web.listen-address=127.0.0.1:{self.port}")
        wait_until(lambda: get_local(self.port, "/-/healthy")[0] == 200, exporter,
                   "blackbox_exporter did not start")
        prometheus = self.run("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                              f"--web.listen-address=127.0.0.1:{self.prometheus_port}")
        wait_until(lambda: get_local(self.prometheus_port, "/-/ready")[0] == 200, prometheus,
                   "prometheus did not start")

    def query(self, words):
        path = "/api/v1/query?query=" + urllib.parse.quote(words)
        result = json.loads(get_local(self.prometheus_port, path)[1])["data"]["result"]
        return int(result[0]["value"][1]) if result else 0

    def wrong(self):
        return self.load.endpoints - self.query("sum(probe_success)")

    def verdicts(self, asked, seconds):
        """Under load it asks and asks, and is too late to tell."""
        return min(asked, self.query(f"sum(sum_over_time(probe_success[{milliseconds(seconds)}]))"))


def measure(bench, load, pids, wrong, verdicts):
    """Over the seconds of a window, by what the simulator was asked and came to a verdict."""
    asked = bench.simulator.requests_total()
    wait_until(lambda: bench.simulator.requests_total() > asked, bench.simulator.process,
               "nothing was asked", step=0.1)  # Prometheus begins five seconds late
    time.sleep(2 * load.interval + bench.settle_seconds)
    checks, cpu, began = bench.simulator.requests_total(), sum(map(cpu_seconds, pids)), time.monotonic()
    time.sleep(bench.options.seconds)
    checks = bench.simulator.requests_total() - checks
    cpu = sum(map(cpu_seconds, pids)) - cpu
    elapsed = time.monotonic() - began
    checks = verdicts(checks, elapsed)
    return {
        "endpoints": load.endpoints,
        "interval_s": load.interval,
        "checks": checks,
        "rate": checks / elapsed,
        "reached": checks / elapsed / load.rate,
        "cpu_us_per_check": cpu / checks * 1e6 if checks else 0,
        "rss_mb": sum(map(rss_mb, pids)),
        "wrong": wrong(),
    }


def run_daemon(bench, name, load, **settings):
    with bench.daemon(name, load, **settings) as daemon:
        daemon.start()

        def wrong():
            endpoints = daemon.status()["endpoints"]
            return endpoints["total"] - endpoints["up"]

        bench.rows[name] = measure(bench, load, [daemon.process.pid], wrong, Peer.verdicts)


def run_peer(bench, kind, name, load, *arguments):
    if kind.missing():
        bench.left_out[name] = f"Debian's {' and '.join(kind.missing())} is not installed"
        return
    with kind(bench, name, load, *arguments) as peer:
        peer.start()
        pids = [process.pid for process in peer.processes]
        bench.rows[name] = measure(bench, load, pids, peer.wrong, peer.verdicts)


def peers(bench):
    for name, load in (("small", bench.small), ("large", bench.load)):
        run_daemon(bench, f"peers_{name}_ours", load)
        run_peer(bench, HAProxy, f"peers_{name}_haproxy", load)
        run_peer(bench, Blackbox, f"peers_{name}_blackbox", load)
    calm = bench.small.times(1 / 5, 1)  # the server's side of a handshake costs as much as ours
    run_daemon(bench, "peers_tls_ours", calm, url=bench.tls_url, extra=bench.tls_defaults)
    run_peer(bench, HAProxy, "peers_tls_haproxy", calm, True)
