# SPDX-License-Identifier: MIT
"""Hostile heads, cut connections and TCP tricks (E7, E11, E16)."""

import pytest

from attacks import Attack, attack_round
from harness import closed_port, http_endpoint, tcp_endpoint, wait_until
from hostile import FullBacklog

LARGE = "header_too_large"
BROKEN = "protocol_error"
CUT = "conn_reset"

FLOODS = [
    Attack("header_flood", LARGE),
    Attack("header_line_endless", LARGE),
    Attack("status_line_endless", f"{LARGE}|{BROKEN}"),
    Attack("headers_tiny_endless", LARGE),
    Attack("trailers_endless", LARGE),
    Attack("continue_endless", f"{LARGE}|{BROKEN}"),
    Attack("early_hints_endless", f"{LARGE}|{BROKEN}"),
    Attack("garbage_endless", BROKEN),
    Attack("header_one_megabyte", LARGE),
    Attack("headers_40_kib", LARGE),
    Attack("headers_hundred_thousand", LARGE),
]

# Some of these a lenient reader may take for a good answer; what counts is a verdict in time.
HEADS = [
    Attack("header_with_nul", BROKEN),
    Attack("header_bare_lf", f"ok|{BROKEN}"),
    Attack("header_bare_cr", f"ok|{BROKEN}"),
    Attack("header_folded", f"ok|{BROKEN}"),
    Attack("header_without_colon", f"ok|{BROKEN}"),
    Attack("header_not_utf8", "ok"),
    Attack("no_status_line", BROKEN),
    Attack("http_9_9", BROKEN),
    Attack("http_0_9", BROKEN),
    Attack("status_000", f"{BROKEN}|http_status"),
    Attack("status_99", f"{BROKEN}|http_status"),
    Attack("status_600", f"{BROKEN}|http_status"),
    Attack("status_999", f"{BROKEN}|http_status"),
    Attack("status_1000", BROKEN),
    Attack("status_negative", BROKEN),
    Attack("status_text", BROKEN),
    Attack("ssh_banner", BROKEN),
    Attack("switching_protocols", f"{BROKEN}|http_status|timeout_idle|timeout_headers"
                                  "|timeout_total"),
    Attack("length_negative", BROKEN),
    Attack("length_text", BROKEN),
    Attack("length_twice_differs", f"{BROKEN}|ok|{CUT}"),
    Attack("length_and_chunked", f"ok|{BROKEN}"),
    Attack("chunk_size_bad", BROKEN),
    Attack("chunk_size_overflow", BROKEN),
    Attack("chunk_size_negative", BROKEN),
    Attack("transfer_encoding_unknown", f"{BROKEN}|decode_error|ok"),
]

CUTS = [
    Attack("reset_at_accept", CUT),
    Attack("close_at_accept", CUT),
    Attack("reset_after_request", CUT),
    Attack("close_after_request", CUT),
    Attack("reset_mid_header", CUT),
    Attack("close_mid_header", CUT),
    Attack("reset_mid_body", CUT),
    Attack("close_mid_body", CUT),
    Attack("close_mid_chunk", CUT),
    Attack("close_before_last_chunk", CUT),
    Attack("reset_after_reply", "ok"),
]

TRICKS = [
    Attack("silent", "timeout_headers", at_least=0.55, at_most=0.9),
    Attack("answers_before_request", "ok|protocol_error"),
    Attack("never_reads", "timeout_total|timeout_idle|timeout_headers",
           extra={"method": "POST", "body": "x" * 1_000_000}),
]

REUSED = [
    Attack("keep_alive_then_close", "ok", extra={"reuse": True}),
    Attack("keep_alive_then_reset", "ok", extra={"reuse": True}),
    Attack("keep_alive_then_408", "ok", extra={"reuse": True}),
]

ATTACKS = FLOODS + HEADS + CUTS + TRICKS + REUSED


@pytest.fixture(scope="module")
def played(server):
    with attack_round(server, ATTACKS, checks=3) as result:
        yield result


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_hostile_head_ends_with_its_reason(played, attack):
    played.assert_attack(attack)


@pytest.mark.parametrize("attack", FLOODS, ids=str)
def test_header_flood_is_hung_up_at_the_cap(played, server, attack):
    assert played.last(attack.name)["reason"]
    assert server.most_sent[attack.name] <= (32 << 10) + (4 << 20)


def test_a_kept_connection_is_really_reused(server, start):
    daemon = start({"endpoints": [http_endpoint("kept", server.url("healthy", "/kept"),
                                                reuse=True)]})
    daemon.wait_checked(checks=3)
    last = daemon.endpoint("kept")["checks"][0]["last"]
    assert last["reused"] is True
    assert "connect_seconds" not in last["timings"] or last["timings"]["connect_seconds"] == 0


def test_connections_that_die_between_checks_make_nobody_down(server, start):
    """E11: a thousand checks that each find the connection of the one before dead."""
    ways = [attack.name for attack in REUSED]
    daemon = start({"limits": {"per_host": 64}, "endpoints": [
        http_endpoint(f"{way}-{number}", server.url(way), reuse=True, interval="100ms", fall=1)
        for way in ways for number in range(7)]})
    daemon.wait_checked(checks=1000 // 21 + 1, seconds=30)
    results = daemon.results_by_reason()
    assert all(set(reasons) == {"ok"} for reasons in results.values()), results
    assert sum(reasons["ok"] for reasons in results.values()) >= 1000
    assert all(server.connections[way] >= 300 for way in ways), server.connections


def test_connections_are_fresh_by_default(played):
    assert all(played.last(name)["reused"] is False
               for name in played.endpoints if name.startswith("canary"))


@pytest.fixture(scope="module")
def holes():
    """{name: port} of addresses where no connection comes about."""
    held, refused = closed_port()
    backlog = FullBacklog()
    yield {"refused": refused, "black_hole": backlog.port}
    held.close()
    backlog.close()


REFUSALS = [
    ("refused", "connect_refused", 0, 0.3),
    ("black_hole", "connect_timeout", 0.55, 0.9),
]


@pytest.mark.parametrize("kind", ["http", "tcp"])
@pytest.mark.parametrize("hole, reason, at_least, at_most", REFUSALS)
def test_no_connection_has_its_own_reason(start, server, holes, kind, hole, reason, at_least,
                                          at_most):
    make, scheme = {"http": (http_endpoint, "http"), "tcp": (tcp_endpoint, "tcp")}[kind]
    target = make("target", f"{scheme}://127.0.0.1:{holes[hole]}")
    daemon = start({"endpoints": [target, http_endpoint("well", server.url("healthy"))]})
    daemon.wait_checked()
    last = daemon.endpoint("target")["checks"][0]["last"]
    assert last["reason"] == reason
    assert at_least <= last["timings"]["total_seconds"] <= at_most + daemon.starved_seconds()


def test_a_server_that_returns_is_seen_again(server, start):
    """down needs `fall` failures in a row, up needs `rise` good results."""
    held, port = closed_port()
    daemon = start({"endpoints": [http_endpoint("back", f"http://127.0.0.1:{port}/", rise=2,
                                                fall=2)]})
    wait_until(lambda: daemon.endpoint("back")["state"] == "down", 10, "down")
    held.close()
    server.listen("healthy", port=port)
    wait_until(lambda: daemon.endpoint("back")["state"] == "up", 10, "up again")
    assert daemon.endpoint("back")["checks"][0]["streak"]["good"] >= 2
