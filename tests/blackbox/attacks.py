# SPDX-License-Identifier: MIT
"""Tables of attacks, and one daemon that meets a whole table at once next to healthy canaries."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
import contextlib
import re

from harness import (CANARIES, PATIENCE, REACHED, Daemon, canary_endpoints, http_endpoint, last_of,
                     limits_for, wait_until)

SOURCE = Path(__file__).resolve().parents[2]

# The total timeout of http_endpoint(), that of limits_for(), what a result may take beyond it.
TOTAL_SECONDS = 0.8
PATIENT_SECONDS = 5 * PATIENCE
SLACK_SECONDS = 0.3


@lru_cache
def reasons():
    """{token: verdict} of the product's closed table."""
    text = (SOURCE / "include/modelhealth/core/reason.def").read_text(encoding="utf-8")
    rows = re.findall(r'^REASON\(\w+,\s*"(\w+)",\s*\w+,\s*VERDICT_(\w+),', text, re.MULTILINE)
    assert rows
    return {token: verdict.lower() for token, verdict in rows}


@dataclass(frozen=True)
class Attack:
    """One row: a behaviour of the hostile server and what the daemon must make of it."""
    name: str                  # of the endpoint; the behaviour too unless `behaviour` is given
    reasons: str               # right answers, separated by "|"
    behaviour: str = ""
    path: str = "/"
    extra: dict = field(default_factory=dict)  # keys of the endpoint
    at_least: float = 0        # seconds a check must have taken
    at_most: float = None      # by its limits, unless it says less
    detail: str = ""           # must occur in the detail

    def __str__(self):
        return self.name

    def url(self, server):
        return server.url(self.behaviour or self.name, self.path)

    def endpoint(self, server):
        return http_endpoint(self.name, self.url(server),
                             **{"timeout": limits_for(self.reasons), **self.extra})

    def longest(self):
        """Seconds that a check may take."""
        if self.at_most is not None:
            return self.at_most
        in_time = set(self.reasons.split("|")).isdisjoint(REACHED)
        return (PATIENT_SECONDS if in_time else TOTAL_SECONDS) + SLACK_SECONDS


class Round:
    """A running daemon and what it made of every attack."""

    def __init__(self, daemon, checks=2, seconds=20):
        self.daemon = daemon
        self.rss_before = daemon.rss_bytes()
        self.endpoints = daemon.wait_checked(checks=checks, seconds=seconds)

    def last(self, name):
        return last_of(self.endpoints[name])

    def assert_attack(self, attack):
        """One result after the other had one of the right reasons, in time, with clean text."""
        totals = self.daemon.results_total(attack.name)
        right = set(attack.reasons.split("|"))
        assert right <= set(reasons()), f"the table names unknown reasons: {right}"
        last = self.last(attack.name)
        assert set(totals) <= right, f"{attack.name}: {totals}, last {last}"
        assert last["reason"] in right
        assert last["verdict"] == reasons()[last["reason"]]
        assert attack.detail in (last["detail"] or "")
        total = last["timings"]["total_seconds"]
        most = attack.longest() + self.daemon.starved_seconds()
        assert attack.at_least <= total <= most, f"{attack.name} took {total} s: {last}"
        assert_clean_text(last["detail"] or "")


# Joiners (U+200B to U+200D) stay: scripts and emoji need them, and they only join.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"
                     r"\ufeff\ufffe\uffff]")


def assert_clean_text(text, limit=256):
    """Text from a peer: one line, bounded, without control or direction characters."""
    found = CONTROL.search(text)
    assert not found, f"{found.group(0)!r} in {text!r}"
    assert len(text.encode()) <= limit, f"{len(text.encode())} bytes: {text!r}"


@contextlib.contextmanager
def attack_round(server, attacks, endpoints=(), more=None, checks=2, seconds=20, **options):
    """Runs one daemon against the table; at the end it must have borne all of it."""
    config = {
        "endpoints": [attack.endpoint(server) for attack in attacks] + list(endpoints)
        + canary_endpoints(server.url("healthy")),
        **(more or {}),
    }
    with Daemon(config, **options) as daemon:
        daemon.start()
        yield Round(daemon, checks, seconds)
        # One more look at the canaries after everything has been thrown.
        daemon.wait_checked(CANARIES, checks + 1)
        daemon.assert_canaries_well(CANARIES)
        daemon.assert_loop_never_stalled()
        wait_until(lambda: daemon.metric("modelhealth_checks_lost_total") == 0, 1,
                   "modelhealth_checks_lost_total of 0")
