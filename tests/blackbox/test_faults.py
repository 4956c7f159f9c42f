# SPDX-License-Identifier: MIT
"""Each fault of a model server, from its beginning to its end, as the daemon sees it.

Every fault has a simulated server of its own that an endpoint with all tiers watches. All faults
begin at once, so that the whole takes a few seconds: each must be found within fall x interval and
a timeout, under its name and no other, and be over soon after it ends. /health says 200 all the
time, unless the fault is one of the whole process: "200 but dead". And a busy server has no fault.
"""

import contextlib
import time
import types

import pytest

from harness import PATIENCE, Daemon, free_port, wait_until
from models import Reader, check_of, model_endpoint
from simulator import Simulator

INTERVAL, FALL = 1, 2
TIMEOUTS = {"connect": "500ms", "first_byte": "600ms", "first_token": "600ms", "idle": "700ms",
            "total": "900ms"}
SLACK = 0.7  # our polling, and what else this machine does

DEGRADED, DOWN, NOT_READY, UNKNOWN = "degraded", "down", "not_ready", "unknown"

# fault: state, reasons, how long one check takes to find it
FAULTS = {
    "degenerate": (DOWN, {"degenerate_output"}, 0),
    "degenerate-embeddings": (DOWN, {"embedding_mismatch"}, 0),
    "done_only": (DOWN, {"stream_truncated"}, 0),
    "drip": (DOWN, {"timeout_headers", "timeout_first_token", "timeout_total"}, 0.9),
    "error": (DOWN, {"server_error"}, 0),
    "freeze": (DOWN, {"timeout_idle"}, 0.7),
    "garbage": (DOWN, {"protocol_error"}, 0),
    "hang": (DOWN, {"timeout_headers", "timeout_first_token"}, 0.6),
    "loading": (NOT_READY, {"loading"}, 0),
    "no_finish": (DOWN, {"stream_truncated"}, 0),
    "overload": (DEGRADED, {"overloaded"}, 0),
    "ping": (DOWN, {"timeout_first_token"}, 0.6),
    "quota": (DOWN, {"quota_exhausted"}, 0),
    "rate_limit": (DEGRADED, {"rate_limited"}, 5),  # we wait for as long as it asks us to
    "refuse": (DOWN, {"connect_refused"}, 0),
    "reset": (DOWN, {"conn_reset"}, 0),
    "slow": (DOWN, {"timeout_headers", "timeout_first_token"}, 0.6),
    "slow_tokens": (DEGRADED, {"slow"}, 0.5),
    "stall": (DOWN, {"timeout_first_token"}, 0.6),
    "stall-embeddings": (DOWN, {"timeout_first_token"}, 0.6),
    "stream_error": (DOWN, {"stream_error"}, 0),
    "truncate": (DOWN, {"stream_truncated", "conn_reset"}, 0),
    "unauthorized": (UNKNOWN, {"auth_failed"}, 0),
    "vanish": (DOWN, {"connect_timeout"}, 0.5),
    "wrong_model": (DOWN, {"model_missing"}, 0),
    "wrong_text": (DOWN, {"wrong_answer"}, 0),
    "wrong_text-embeddings": (DOWN, {"embedding_mismatch"}, 0),
}

# Those of the whole process, which no path is spared from.
OF_THE_PROCESS = {"loading", "refuse", "vanish"}

CANARY = {"expect": {"text": {"contains": "Ready"}}, "inter_token": {"degraded": "300ms"}}
LONG_CANARY = {"max_tokens": 16}  # a repeated token needs room
EMBEDDINGS_CANARY = {"mode": "embeddings",
                     "expect": {"embedding": {"dimension": 384, "min_cosine": 0.7}}}
CANARIES = {"degenerate": LONG_CANARY, "degenerate-embeddings": EMBEDDINGS_CANARY,
            "stall-embeddings": EMBEDDINGS_CANARY, "wrong_text-embeddings": EMBEDDINGS_CANARY}


class Farm(Simulator):
    """One server a fault, each at a loopback address of its own."""

    def __init__(self):
        port = free_port()
        listens = []
        self.urls = {}
        for i, fault in enumerate(FAULTS, 1):
            spared = "" if fault in OF_THE_PROCESS else ",spare=/health,spare=/metrics"
            self.urls[fault] = f"http://127.0.9.{i}:{port}"
            listens += ["--listen", f"127.0.9.{i}:{port},name={fault},ttft=5ms,gap=5ms{spared}"]
        super().__init__("", *listens)

    def switch(self, more=""):
        for fault in FAULTS:
            name = fault.partition("-")[0]
            assert self.order(f"name={name}&server={fault}{more}").status == 200


def endpoint_of(fault, url):
    """vLLM listens when it has loaded; others say so with a 503, which all checks understand but
    its live one."""
    says = [{"status": 503, "json": {"/error/message": "Loading model"}, "reason": "loading"}]
    more = {"live": {"rules": says}} if fault == "loading" else {}
    return model_endpoint(fault, url, interval=INTERVAL, timeout=TIMEOUTS, fall=FALL,
                          canary=CANARIES.get(fault, CANARY), **more)


def is_found(fault, item):
    state, reasons, _ = FAULTS[fault]
    return item["state"] == state and item["reason"] in reasons


def has_settled(item):
    return all(check["state"] == "up" for check in item["checks"])


def watch(daemon, told, field, is_it, seconds):
    """Notes when each endpoint first became it, and all that it said until all did."""
    began = time.monotonic()
    def note():
        now = time.monotonic() - began
        for fault, item in daemon.endpoints().items():
            row = told[fault]
            said = getattr(row, field + "_by_way_of")
            if (item["state"], item["reason"]) not in said:
                said.append((item["state"], item["reason"]))
            row.live.add(check_of(item, "live")["state"])
            if getattr(row, field) is None and is_it(fault, item):
                setattr(row, field, now)
        return all(getattr(row, field) is not None for row in told.values())
    with contextlib.suppress(AssertionError):
        wait_until(note, seconds)  # what is missing then fails its own test


@pytest.fixture(scope="module")
def story():
    """Of each fault: when it was found and over, in seconds, and what the endpoint said."""
    told = {fault: types.SimpleNamespace(found=None, found_by_way_of=[], over=None,
                                         over_by_way_of=[], live=set()) for fault in FAULTS}
    farm = Farm()
    endpoints = [endpoint_of(fault, url) for fault, url in farm.urls.items()]
    with contextlib.closing(farm), Daemon({"endpoints": endpoints}) as daemon:
        daemon.start()
        wait_until(lambda: all(map(has_settled, daemon.endpoints().values())), 10, "all up")
        farm.switch()
        watch(daemon, told, "found", is_found, 10)
        farm.switch("&set=off")
        watch(daemon, told, "over", lambda _, item: item["state"] == "up", 10)
    return told


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_in_time(story, fault):
    row = story[fault]
    assert row.found is not None, row.found_by_way_of
    assert row.found <= (FALL * INTERVAL + FAULTS[fault][2] + SLACK) * PATIENCE


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_has_its_name_and_no_other(story, fault):
    state, reasons, _ = FAULTS[fault]
    wrong = [(found, reason) for found, reason in story[fault].found_by_way_of
             if found != "up" and not (found == state and reason in reasons)]
    assert not wrong


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - OF_THE_PROCESS))
def test_health_was_well_all_the_time(story, fault):
    assert story[fault].live == {"up"}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_end_of_a_fault_is_seen(story, fault):
    row = story[fault]
    assert row.over is not None, row.over_by_way_of
    assert row.over <= (2 * INTERVAL + FAULTS[fault][2] + SLACK) * PATIENCE, row.over_by_way_of


# ---- stalls and work ----

WATCHED = dict(interval=INTERVAL, timeout=TIMEOUTS, fall=FALL)


def states_within(daemon, seconds):
    """Every (state, reason) that endpoint a has within this time."""
    said = set()
    end = time.monotonic() + seconds * PATIENCE

    def note():
        item = daemon.endpoint("a")
        said.add((item["state"], item["reason"]))
        return time.monotonic() > end
    wait_until(note, 2 * seconds + 1)
    return said


def test_counters_tell_a_stall_without_a_question(simulate, start):
    """Others wait, nothing moves, and no canary of ours is needed to know."""
    simulator = simulate(",slots=1,fault=stall")
    endpoint = model_endpoint("a", simulator.url, stall_after="1s", **WATCHED)
    del endpoint["checks"]["canary"]
    daemon = start({"endpoints": [endpoint]})
    wait_until(lambda: daemon.endpoint("a")["state"] == "up", what="an idle server")
    with Reader(simulator), Reader(simulator):
        wait_until(lambda: daemon.endpoint("a")["reason"] == "stalled", 3, "the stall")
        assert daemon.endpoint("a")["state"] == "down"
        assert daemon.endpoint("a")["evidence"] == "counters"
    wait_until(lambda: daemon.endpoint("a")["state"] == "up", 3, "its end")


@pytest.mark.parametrize("health", ["healthy", "late"])
@pytest.mark.parametrize("readers", [1, 3])
def test_a_busy_server_is_never_down(simulate, start, readers, health):
    """All slots taken by others who get their tokens; then even /health may come too late."""
    spared = "/metrics" if health == "late" else "/health"
    simulator = simulate(f",slots=1,tokens=100000,ttft=5ms,gap=20ms,spare={spared}"
                         ",spare=/v1/chat/completions,spare=/v1/models")
    daemon = start({"endpoints": [model_endpoint("a", simulator.url, **WATCHED)]})
    wait_until(lambda: has_settled(daemon.endpoint("a")), what="an idle server")
    with contextlib.ExitStack() as stack:
        for _ in range(readers):
            stack.enter_context(Reader(simulator))
        if health == "late":
            simulator.order("name=slow")
        said = states_within(daemon, 8)
        assert said <= {("up", "ok"), ("degraded", "overloaded")}, said
        assert ("degraded", "overloaded") in said
        simulator.order("name=none")
    wait_until(lambda: daemon.endpoint("a")["state"] == "up", 5, "an idle server again")
