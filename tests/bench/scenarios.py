# SPDX-License-Identifier: MIT
"""Checks at an even pace, and the daemon's life: each function fills its rows."""

import pathlib
import re
import subprocess
import time

from processes import Broken, cpu_seconds, rss_mb

CHANGED_BY_RELOAD = 10  # every tenth endpoint
TLS_HEADER = pathlib.Path(__file__).resolve().parents[2] / "include/modelhealth/io/tls.h"


def fresh(bench):
    bench.beside_raw("fresh", bench.load)


def reuse(bench):
    bench.beside_raw("reuse", bench.load, ["--reuse"], extra="  reuse: true\n")


def full_share(interval):
    """Of all handshakes: a session is renewed by the first check after a time that is spread
    evenly over the second half of its longest life."""
    longest = int(re.search(r"TLS_RESUME_MAX_SECONDS = (\d+)", TLS_HEADER.read_text()).group(1))
    return min(1, interval / (0.75 * longest + interval / 2))


def tls(bench):
    """A window is shorter than the life of a session, so both kinds of handshake are measured
    (who asserts the certificate never resumes) and weighed by their real share."""
    def run(name, expect=""):
        bench.rows[name] = bench.run_daemon(
            name, url=bench.tls_url, extra=bench.tls_defaults, expect=expect)
        return bench.rows[name]["cpu_us_per_check"]

    resumed = run("tls_resumed")
    full = run("tls_full", ", cert_expires_in: { down: 1h }")
    share = full_share(bench.load.interval)
    bench.rows["tls"] = {"cpu_us_per_check": (1 - share) * resumed + share * full,
                         "full_percent": share * 100}


def growth(bench):
    """The same rate from ever more endpoints, each asked the more seldom."""
    bench.beside_raw("growth_small", bench.small)
    bench.rows["growth_middle"] = bench.run_daemon("growth_middle")
    bench.rows["growth_large"] = bench.run_daemon("growth_large", bench.load.times(5, 5))


def many(bench):
    """Ten times the endpoints, nearly as often; without scrapes, of hundreds of MB each."""
    load = bench.load.times(10, 1.5)
    with bench.daemon("many", load) as daemon:
        start = daemon.start()
        bench.warm_up(daemon, load)
        row = bench.window(daemon, load)
    bench.rows["many"] = {**row, "start_ms": start * 1e3, "offered": load.rate,
                          "reached": row["rate"] / load.rate}


def blackholes(bench):
    simulator = bench.simulator
    ports = {0: simulator.hang_port, 10: simulator.vanish_port}

    def port(i):
        return ports.get(i % 20, simulator.port)

    bench.rows["blackholes"] = bench.run_daemon(
        "blackholes", url=lambda i: bench.plain_url(i).replace(str(simulator.port), str(port(i))),
        holes=sum(port(i) != simulator.port for i in range(bench.load.endpoints)))


def render(bench):
    """Each large answer once a second, while the checks go on."""
    for path in ("/metrics", "/api/v1/endpoints"):
        name = "render_" + path.rpartition("/")[2]
        with bench.daemon(name, bench.load) as daemon:
            daemon.start()
            seconds = []

            def ask():
                began = time.monotonic()
                status, body = daemon.get(path)
                seconds.append(time.monotonic() - began)
                if status != 200 or len(body) == 0:
                    raise Broken(f"GET {path} gave {status}")
                time.sleep(max(0, 1 - seconds[-1]))

            bench.warm_up(daemon, bench.load)
            row = bench.scraped_window(daemon, bench.load, during=ask)
            row["answer_ms_max"] = max(seconds) * 1e3
            row["answer_cpu_ms"] = cost_of(daemon, path) * 1e3
        bench.rows[name] = row


def cost_of(daemon, path):
    """CPU seconds of one answer: what the daemon uses around it above what it uses without."""
    times = 5
    pid = daemon.process.pid
    began = time.monotonic()
    cpu = cpu_seconds(pid)
    for _ in range(times):
        daemon.get(path)
    elapsed = time.monotonic() - began
    busy = cpu_seconds(pid) - cpu
    cpu = cpu_seconds(pid)
    time.sleep(elapsed)
    return max(0, busy - (cpu_seconds(pid) - cpu)) / times


def life(bench):
    """Start, --check, and a reload that changes every tenth endpoint."""
    with bench.daemon("life", bench.load) as daemon:
        began = time.monotonic()
        subprocess.run([daemon.binary, "--check", "--config", daemon.config], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        row = {"check_ms": (time.monotonic() - began) * 1e3, "start_ms": daemon.start() * 1e3}
        bench.warm_up(daemon, bench.load)
        bench.write_config(daemon.directory, bench.load, bench.plain_url, changed=CHANGED_BY_RELOAD)
        began = time.monotonic()
        status, body = daemon.request("POST", "/-/reload")
        row["reload_ms"] = (time.monotonic() - began) * 1e3
        if status != 200:
            raise Broken(f"reload gave {status}: {body}")
        time.sleep(2 * bench.settle_seconds)
        row["turn_max_ms"] = daemon.status()["self"]["loop_stall_max_seconds"] * 1e3
        row["rss_mb"] = rss_mb(daemon.process.pid)
    bench.rows["life"] = row
