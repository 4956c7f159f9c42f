# SPDX-License-Identifier: MIT
"""Name servers that hang, lie and flap (E15), in a network of our own."""

import pytest

import namespace
from attacks import CONTROL
from harness import (PATIENCE, PATIENT, Daemon, http_endpoint, last_of, limits_for, tcp_endpoint,
                     wait_until)

REASONS = {
    "alias": "ok",
    "denied": "address_denied",
    "denied6": "address_denied",
    "dual": "ok",
    "empty": "dns_not_found|dns_failed",
    "garbage": "dns_failed|dns_timeout",
    "good": "ok",
    "half": "ok",
    "hang": "dns_timeout",
    "loop": "dns_failed|dns_not_found|dns_timeout",
    "many": "ok",
    "nxdomain": "dns_not_found",
    "pointer": "dns_failed|dns_timeout",
    "refused": "dns_failed",
    "servfail": "dns_failed",
    "truncated": "dns_timeout|dns_failed",
    "wrongid": "dns_timeout",
    "zerottl": "ok",
}

HUNG = [f"hang-{number}" for number in range(100)]
CANARIES = {"canary-name": "good.test", "canary-address": "127.0.0.1"}


def url(host):
    return f"http://{host}:{namespace.HTTP_PORT}/"


@pytest.fixture(scope="module")
def network():
    reason = namespace.missing()
    if reason:
        pytest.skip(reason)
    with namespace.opened() as running:
        yield running


@pytest.fixture(scope="module")
def played(network):
    endpoints = [http_endpoint(name, url(f"{name}.test"), timeout=limits_for(right))
                 for name, right in {**REASONS, **dict.fromkeys(HUNG, "dns_timeout")}.items()]
    endpoints += [http_endpoint(name, url(host), timeout=PATIENT)
                  for name, host in CANARIES.items()]
    endpoints += [http_endpoint(name, url(f"{name}.test"), rise=1, fall=1)
                  for name in ("rebind", "flap")]
    endpoints.append(tcp_endpoint("tcp", f"tcp://hang-tcp.test:{namespace.HTTP_PORT}"))
    with Daemon({"endpoints": endpoints}, wrapper=network.wrapper()) as daemon:
        daemon.start()
        daemon.listed = daemon.wait_checked(checks=3, seconds=30)
        yield daemon
        daemon.assert_canaries_well(CANARIES)
        daemon.assert_loop_never_stalled()


@pytest.mark.parametrize("name", REASONS)
def test_name_server_fault_has_its_reason(played, name):
    endpoint = played.listed[name]
    right = set(REASONS[name].split("|"))
    assert set(played.results_total(name)) <= right, last_of(endpoint)
    assert not CONTROL.search(last_of(endpoint)["detail"] or "")


def test_hung_names_end_at_the_connect_timeout(played):
    waits = []
    for name in HUNG:
        last = last_of(played.listed[name])
        assert last["reason"] == "dns_timeout"
        waits.append(last["timings"]["total_seconds"])
    # What the resolver has just given up is refused at once, for a second.
    assert 0.55 <= max(waits) <= 0.9 + played.starved_seconds(), waits
    assert last_of(played.listed["tcp"])["reason"] == "dns_timeout"


@pytest.fixture(scope="module")
def connected(network):
    """Names of which not every address answers."""
    places = {
        "fifth": ("fifth.test", namespace.HTTP_PORT),
        "refused6": ("dual.test", namespace.HTTP_PORT),
        "silent6": ("dual.test", namespace.HOLE_PORT),
    }
    timeout = {"connect": "2s", "first_byte": "2s", "idle": "2s", "total": "5s"}
    endpoints = [http_endpoint(name, f"http://{host}:{port}/", timeout=timeout)
                 for name, (host, port) in places.items()]
    endpoints += [tcp_endpoint(f"{name}-tcp", f"tcp://{host}:{port}", timeout=timeout)
                  for name, (host, port) in places.items()]
    with Daemon({"endpoints": endpoints}, wrapper=network.wrapper()) as daemon:
        daemon.start()
        daemon.listed = daemon.wait_checked(checks=2, seconds=30)
        yield daemon


@pytest.mark.parametrize("name, soonest, latest", [
    # Five that refuse cost five refusals, not a wait for libcurl's timers.
    ("fifth", 0, 0.1),
    ("refused6", 0, 0.1),
    # The other family gets its turn when the first has been silent for 200 ms.
    ("silent6", 0.19, 0.4),
])
@pytest.mark.parametrize("kind", ["", "-tcp"])
def test_the_next_address_is_tried_at_once(connected, name, kind, soonest, latest):
    last = last_of(connected.listed[name + kind])
    assert last["reason"] == "ok", last
    most = latest * PATIENCE + connected.starved_seconds()
    assert soonest <= last["timings"]["connect_seconds"] <= most


def test_hung_names_grow_no_threads(played):
    with open(f"/proc/{played.pid}/status", encoding="ascii") as file:
        threads = next(int(line.split()[1]) for line in file if line.startswith("Threads:"))
    assert threads <= 4


def test_rebinding_to_a_denied_address_reaches_nobody(played, network):
    wait_until(lambda: played.endpoint("rebind")["reason"] == "address_denied", 10,
               "address_denied after rebinding")
    assert network.report()["connections"]["sentinel"] == 0


def test_flapping_name_is_seen_both_ways(played):
    wait_until(lambda: {"ok", "dns_not_found"} <= set(played.results_total("flap")), 15,
               "both sides of a flapping name")


def test_names_are_cached_for_their_ttl(played, network):
    """`good` lives for 60 s and two endpoints ask for it every second."""
    assert played.results_total("good")["ok"] >= 3
    assert network.report()["asked"]["good.test"] <= 4
