# SPDX-License-Identifier: MIT
"""First, do no harm: a small model server that somebody uses, watched at a merciless pace.

The simulator behaves as a real one with three threads for HTTP and one slot: a request that waits
for the slot keeps its thread, even after its client has left, and is computed at its turn. Two such
requests of a monitor, and /health is dead for everybody for as long as the stream lasts.
"""

import threading
import time

import pytest

from harness import wait_until
from models import Reader, check_of, model_endpoint

TIMEOUTS = {"connect": "300ms", "first_byte": "300ms", "first_token": "300ms", "idle": "300ms",
            "total": "600ms"}
CANARY = {"interval": "500ms"}
LONG = ",slots=1,ttft=5ms,gap=20ms,tokens=100000"
HEALTH_SECONDS = 1


def merciless(url, name="a", **more):
    return model_endpoint(name, url, interval=0.25, timeout=TIMEOUTS, fall=3,
                          canary={**CANARY, **more})


class Bystander:
    """Asks /health over and over on fresh connections, as a load balancer would, and notes what the
    simulator tells of itself."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.answers, self.failures, self.shown = 0, [], []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopped.wait(0.03):
            began = time.monotonic()
            try:
                assert self.simulator.get("/health", timeout=HEALTH_SECONDS).status == 200
                self.answers += 1
            except (OSError, AssertionError) as error:
                self.failures.append((time.monotonic() - began, error))
            self.shown.append(self.simulator.show())

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.stopped.set()
        self.thread.join()

    def most(self, what):
        return max(shown[what] for shown in self.shown)

    def least(self, what):
        return min(shown[what] for shown in self.shown)


def states_within(daemon, seconds):
    said = set()
    end = time.monotonic() + seconds

    def note():
        item = daemon.endpoint("a")
        said.add((item["state"], item["reason"]))
        return time.monotonic() > end
    wait_until(note, seconds + 5)
    return said


def ask(daemon):
    """For a check of all tiers now."""
    wait_until(lambda: daemon.request("POST", "/api/v1/endpoints/a/check").status < 300, 3,
               "a check on demand")  # at most one a second


NEVER_DOWN = {("up", "ok"), ("degraded", "overloaded")}


def test_a_small_server_in_use_does_not_notice_us(simulate, start):
    simulator = simulate(f",threads=3{LONG}")
    daemon = start({"endpoints": [merciless(simulator.url)]})
    wait_until(lambda: check_of(daemon.endpoint("a"), "canary")["state"] == "up", what="a canary")
    with Reader(simulator):
        wait_until(lambda: simulator.show()["running"] == 1, what="the stream")
        before = simulator.show()["chats_total"]
        with Bystander(simulator) as bystander:
            said = states_within(daemon, 6)
        asked = simulator.show()["chats_total"] - before
        assert not bystander.failures and bystander.answers > 50
        # The reader has the slot. One question of ours waits, is given up and stays in the queue.
        assert bystander.most("waiting") == bystander.most("most_waiting") == 1
        assert asked == 1
        # The reader, the question that was given up, and the bystander's answer or ours, at times.
        assert bystander.least("connections") <= 2
        assert said <= NEVER_DOWN
    # Nobody is served now, and we ask again.
    wait_until(lambda: simulator.show()["chats_total"] > before + 2, 5, "another canary")
    wait_until(lambda: daemon.endpoint("a")["state"] == "up", 5, "up")
    assert simulator.show()["most_waiting"] == 1


def test_a_server_that_notices_who_left_never_has_two_of_ours(simulate, start):
    """Without a queue of the forsaken we may ask again; still one by one, for all endpoints."""
    simulator = simulate(LONG)
    daemon = start({"endpoints": [merciless(simulator.url, name) for name in "abc"]})
    with Reader(simulator), Bystander(simulator) as bystander:
        said = states_within(daemon, 4)
        assert simulator.show()["chats_total"] > 2
    assert not bystander.failures
    assert bystander.most("most_waiting") == 1
    assert said <= NEVER_DOWN | {("unknown", "never_checked")}


def test_a_full_server_is_not_asked_at_all(simulate, start):
    simulator = simulate(f",threads=4{LONG}")
    with Reader(simulator), Reader(simulator):
        wait_until(lambda: simulator.show()["waiting"] == 1, what="a full server")
        daemon = start({"endpoints": [merciless(simulator.url)]})
        said = states_within(daemon, 3)
        assert simulator.show()["chats_total"] == 2
        assert said <= NEVER_DOWN | {("unknown", "never_checked")}


def test_the_harm_that_one_question_does_is_not_held_against_the_server(simulate, start):
    """With two threads one question is enough: it holds the last of them, so that our own /health
    gets no answer while the server works for somebody else."""
    simulator = simulate(f",threads=2{LONG}")
    daemon = start({"endpoints": [merciless(simulator.url, interval="20s")]})
    ask(daemon)
    wait_until(lambda: check_of(daemon.endpoint("a"), "canary")["state"] == "up", what="a canary")
    with Reader(simulator):
        wait_until(lambda: simulator.show()["running"] == 1, what="the stream")
        ask(daemon)
        wait_until(lambda: simulator.show()["waiting"] == 1, 5, "our question")
        said = states_within(daemon, 4)
        # It did hold the last thread, or there is nothing to see here.
        with pytest.raises(TimeoutError):
            simulator.get("/health", timeout=HEALTH_SECONDS)
    assert "down" not in {state for state, _ in said}, said
    wait_until(lambda: daemon.endpoint("a")["state"] == "up", 5, "up")
