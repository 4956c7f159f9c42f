# SPDX-License-Identifier: MIT
"""Checks longer than their interval, and the first round of many (L1, L2)."""

import collections
import signal
import threading
import time

from harness import PATIENCE, http_endpoint, wait_until
from hostile import Server, answering

OVERRUN_SECONDS = 1.0


class Clock:
    """Remembers when each request came and how many were being served at once."""

    def __init__(self, busy_seconds=0):
        self.busy_seconds = busy_seconds
        self.starts = []
        self.at_once = 0
        self.most_at_once = 0
        self.lock = threading.Lock()

    def behave(self, peer):
        while peer.request():
            with self.lock:
                self.starts.append(time.monotonic())
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
            # Counted out before the answer: the next request may come at once after it.
            try:
                peer.pause(self.busy_seconds)
            finally:
                with self.lock:
                    self.at_once -= 1
            peer.answer()


def test_check_longer_than_its_interval_never_overlaps(server, start):
    clock = Clock(OVERRUN_SECONDS)
    server.listen_as("long", clock.behave)
    patient = {"connect": "5s", "first_byte": "5s", "idle": "5s", "total": "5s"}
    daemon = start({"endpoints": [
        http_endpoint("long", server.url("long"), timeout=patient, interval="400ms"),
        http_endpoint("well", server.url("healthy"))]})
    daemon.wait_checked(["long"], 4, seconds=20)
    assert clock.most_at_once == 1
    assert daemon.metric("modelhealth_check_overruns_total", endpoint="long") >= 3
    assert daemon.metric("modelhealth_check_overruns_total", endpoint="well") == 0
    # Missed slots are skipped, kept ones are kept: starts lie on a grid of 0.4 s, 1.2 s apart.
    gaps = [later - earlier for earlier, later in zip(clock.starts, clock.starts[1:])]
    assert all(1.1 <= gap <= 1.7 for gap in gaps), gaps
    daemon.assert_canaries_well(["well"])


def test_rate_does_not_drift(server, start):
    """Twelve checks that each take half their interval start on a grid."""
    clock = Clock(0.1)
    server.listen_as("steady", clock.behave)
    daemon = start({"endpoints": [http_endpoint("steady", server.url("steady"),
                                                interval="200ms")]})
    daemon.wait_checked(checks=12, seconds=20)
    first = clock.starts[0]
    for number, at in enumerate(clock.starts):
        assert abs(at - first - number * 0.2) <= 0.15, clock.starts


def test_first_round_is_spread(start):
    """2,000 endpoints at 4 s: no second gets a fifth more than its share."""
    clock = Clock()
    with Server() as server:
        server.listen_as("many", clock.behave)
        daemon = start({"endpoints": [
            {**http_endpoint(f"endpoint-{number}", server.url("many", f"/{number}")),
             "interval": "4s"} for number in range(2000)],
            "limits": {"concurrency": 512, "per_host": 512}})
        started = time.monotonic()
        daemon.wait_checked(seconds=20)
        first = clock.starts[0]
        seconds = collections.Counter(int(at - first) for at in clock.starts[:2000])
        assert max(seconds.values()) <= 1.2 * 2000 / 4, seconds
        assert first - started <= 1
        assert daemon.get("/readyz").status == 200
        daemon.stop()


def test_ready_comes_before_the_first_round(start, server):
    """READY must not wait for thousands of targets, nor take long to have read of them."""
    port = server.port("silent")
    daemon = start({"endpoints": []})
    daemon.stop()
    daemon.write_config({"endpoints": [
        {**http_endpoint(f"endpoint-{number}", f"http://127.0.0.1:{port}/"), "interval": "10s"}
        for number in range(10000)]})
    started = time.monotonic()
    daemon.again()
    assert time.monotonic() - started <= 1 * PATIENCE + daemon.starved_seconds()
    assert daemon.get("/healthz").status == 200
    assert daemon.request("GET", "/readyz").status == 503


def test_concurrency_per_host_is_kept(server, start):
    clock = Clock(0.15)
    port = server.listen_as("narrow", clock.behave)
    daemon = start({"limits": {"per_host": 2}, "endpoints": [
        http_endpoint(f"narrow-{number}", f"http://127.0.0.1:{port}/{number}")
        for number in range(8)]})
    daemon.wait_checked(checks=2)
    assert clock.most_at_once == 2
    for number in range(8):
        assert set(daemon.results_total(f"narrow-{number}")) == {"ok"}


def test_waiting_for_a_slot_is_not_charged_to_the_target(server, start):
    clock = Clock(0.3)
    port = server.listen_as("one-slot", clock.behave)
    daemon = start({"limits": {"per_host": 1}, "endpoints": [
        {**http_endpoint(f"queued-{number}", f"http://127.0.0.1:{port}/{number}"),
         "interval": "2500ms"} for number in range(8)]})
    listed = daemon.wait_checked(seconds=15)
    lasts = [listed[f"queued-{number}"]["checks"][0]["last"] for number in range(8)]
    assert all(last["reason"] == "ok" for last in lasts)
    assert all(last["timings"]["total_seconds"] < 0.75 for last in lasts)
    assert clock.most_at_once == 1


def test_retries_are_made_only_for_transient_reasons(server, start):
    server.listen_as("bad", answering(b"", "404 Not Found"))
    retries = {"attempts": 2, "backoff": "50ms", "max_backoff": "100ms"}
    daemon = start({"endpoints": [
        http_endpoint("transient", server.url("reset_after_request"), retries=retries,
                      interval="2s"),
        http_endpoint("lasting", server.url("bad"), retries=retries, interval="2s")]})
    daemon.wait_checked()
    transient = daemon.endpoint("transient")["checks"][0]
    lasting = daemon.endpoint("lasting")["checks"][0]
    assert (transient["attempts"], transient["retries_total"]) == (3, 2)
    assert (lasting["attempts"], lasting["retries_total"]) == (1, 0)
    assert server.connections["reset_after_request"] == 3


def test_failing_endpoint_is_asked_faster_until_it_is_sure(server, start):
    """At 2 s between checks three failures would take 4 s; a change under way is faster."""
    answers = {"now": "200 OK"}

    def wavering(peer):
        peer.request()
        if answers["now"] != "200 OK":
            answers.setdefault("first_failure", time.monotonic())
        peer.answer(status=answers["now"])
    server.listen_as("wavering", wavering)
    daemon = start({"endpoints": [http_endpoint("wavering", server.url("wavering"),
                                                interval="2s", fast_interval="300ms", fall=3)]})
    daemon.wait_checked()
    answers["now"] = "500 Oops"
    wait_until(lambda: daemon.endpoint("wavering")["state"] == "down", 10, "down at a fast pace")
    assert 0.5 <= time.monotonic() - answers["first_failure"] <= 2


def test_stopped_process_makes_no_burst_and_calls_nobody_down(server, start):
    """SIGSTOP for two seconds, as a paused machine: missed slots are skipped, not made up for."""
    clock = Clock()
    server.listen_as("paused", clock.behave)
    daemon = start({"limits": {"per_host": 512}, "endpoints": [
        http_endpoint(f"paused-{number}", server.url("paused", f"/{number}"), interval="500ms")
        for number in range(40)]})
    daemon.wait_checked(checks=2)
    daemon.signal(signal.SIGSTOP)
    quiet_from = time.monotonic()
    wait_until(lambda: time.monotonic() - quiet_from > 2, 10, "two seconds")
    resumed_after = len(clock.starts)
    daemon.signal(signal.SIGCONT)
    done = {name: sum(reasons.values()) for name, reasons in daemon.results_by_reason().items()}
    wait_until(lambda: all(sum(reasons.values()) >= done[name] + 4 for name, reasons
                           in daemon.results_by_reason().items()), 10, "four more rounds")
    after = clock.starts[resumed_after:]
    first_half_second = [at for at in after if at - after[0] < 0.5]
    assert len(first_half_second) <= 2 * 40 + 4, "missed checks were made up for"
    for name, reasons in daemon.results_by_reason().items():
        assert set(reasons) <= {"ok", "stale"}, f"{name}: {reasons}"
        assert daemon.endpoint(name)["state"] == "up"
    assert daemon.metric("modelhealth_pauses_total") == 1


def test_check_that_was_under_way_in_a_pause_is_stale(server, start):
    """T5: its deadline passed while we were stopped; that is no timeout of the target's."""
    asked = threading.Event()

    def silent(peer):
        peer.request()
        asked.set()
        peer.hold()
    server.listen_as("never", silent)
    daemon = start({"endpoints": [http_endpoint("never", server.url("never"), interval="1h", fall=1)]})
    assert asked.wait(10)
    daemon.signal(signal.SIGSTOP)
    quiet_from = time.monotonic()
    wait_until(lambda: time.monotonic() - quiet_from > 2.5, 10, "its deadline and more")
    daemon.signal(signal.SIGCONT)
    daemon.wait_checked()
    endpoint = daemon.endpoint("never")
    assert (endpoint["state"], endpoint["reason"]) == ("unknown", "stale")
    assert "paused (timeout_" in endpoint["detail"]
    assert dict(daemon.results_total("never")) == {"stale": 1}
