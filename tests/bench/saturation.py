# SPDX-License-Identifier: MIT
"""How much one core does, and what comes beyond.

The daemon has a processor of its own, the simulator the others. A number of endpoints, each asked
as often as the configuration allows, offers a rate; halving finds the highest that is held, from
twice the goal down. Half as much again and twice of it are offered then: what is done must stay,
and what is not done must be counted as skipped. Where core_percent stays well below 100 the
simulator was the slower one: then more could be held, but what a check costs is right.
"""

from typing import NamedTuple

from bench import MIN_INTERVAL, Load
from processes import pin

HELD_SHARE = 0.99  # of the offered rate
HELD_LATE_MS = 10  # p99 of the starts
MIN_ENDPOINTS = 1000  # of the whole benchmark; with less it is only tried whether this works


class Mode(NamedTuple):
    name: str
    goal: int  # checks a second
    url: str  # method of Bench
    extra: str


def modes(bench):
    return [Mode("fresh", 10000, bench.plain_url, ""),
            Mode("reuse", 25000, bench.plain_url, "  reuse: true\n"),
            Mode("tls", 2000, bench.tls_url, bench.tls_defaults)]


def offer(bench, mode, name, rate):
    """The row of that rate. A short window is enough: it holds thousands of checks."""
    load = Load(max(1, round(rate * MIN_INTERVAL)), MIN_INTERVAL)
    with bench.daemon(f"saturation_{mode.name}_{name}", load, mode.url, mode.extra) as daemon:
        daemon.start()
        pin(daemon.process, sorted(bench.processors)[:1])
        bench.warm_up(daemon, load)
        row = bench.scraped_window(daemon, load, seconds=bench.options.seconds / 4)
    row["offered"] = load.rate
    row["reached"] = row["rate"] / load.rate
    row["accounted"] = (row["rate"] + row["skipped_per_s"]) / load.rate
    return row


def is_held(row):
    return row["reached"] >= HELD_SHARE and row["late_p99_ms"] <= HELD_LATE_MS


def highest_held(bench, mode):
    scale = min(1, bench.load.endpoints / MIN_ENDPOINTS)
    low, high = 0, 2 * mode.goal * scale
    held = None
    for step in range(bench.options.halvings):
        row = offer(bench, mode, f"step_{step}", (low + high) / 2)
        if is_held(row):
            low, held = row["offered"], {**row, "held": row["offered"]}
        else:
            high = row["offered"]
    return held or {**row, "held": 0}


def search(bench, mode):
    name = f"most_{mode.name}"
    most = bench.rows[name] = highest_held(bench, mode)
    for factor in (1.5, 2):
        row = offer(bench, mode, f"x{factor}", factor * (most["held"] or most["rate"]))
        row["of_held"] = row["rate"] / (most["held"] or most["rate"])
        bench.rows[f"{name}_x{factor}"] = row


def saturation(bench):
    simulator = bench.simulator.process
    pin(simulator, sorted(bench.processors)[1:] or bench.processors)
    try:
        for mode in modes(bench):
            search(bench, mode)
    finally:
        pin(simulator, bench.processors)
