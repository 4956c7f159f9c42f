# SPDX-License-Identifier: MIT
"""Scarce descriptors and a journal that does not read (R2, R3, R7)."""

import errno
import os
import re
import resource
import socket
import time

import pytest

import namespace
from harness import (PATIENCE, Daemon, DatagramSink, http_endpoint, last_of, parse_journal,
                     tcp_endpoint, wait_until)
from hostile import answering


def test_fd_limit_of_64_checks_all_endpoints_without_false_down(server, start):
    """R3: concurrency is cut to what the limit allows; nobody is called down for our poverty."""
    server.listen_as("crowded", answering())
    daemon = start({"endpoints": [
        http_endpoint(f"endpoint-{number}", server.url("crowded", f"/{number}"),
                      timeout={"connect": "5s", "first_byte": "5s", "idle": "5s", "total": "5s"},
                      interval="2s")
        for number in range(200)], "limits": {"per_host": 512}},
        rlimits={resource.RLIMIT_NOFILE: 64})
    daemon.wait_checked(checks=2, seconds=30)
    wrong = {name: totals for name, totals in daemon.results_by_reason().items()
             if set(totals) != {"ok"}}
    assert not wrong
    log = daemon.stderr()
    assert log.count("descriptor") <= 2, log
    assert daemon.get("/healthz").status == 200


@pytest.mark.parametrize("limit", [6, 8, 10, 12, 16, 24])
def test_hopeless_fd_limit_is_a_clear_error_or_no_problem(server, limit):
    """However low the limit is: it runs and checks, or it says why it cannot."""
    daemon = Daemon({"endpoints": [http_endpoint("well", server.url("healthy"))]},
                    rlimits={resource.RLIMIT_NOFILE: limit})
    daemon.start(ready_seconds=0)
    try:
        wait_until(lambda: daemon.notified("READY") or daemon.process.poll() is not None, 10,
                   "READY or an end")
        if daemon.process.poll() is not None:
            assert daemon.process.returncode > 0
            assert "open files" in daemon.stderr()
            daemon.stopped = True
    finally:
        daemon.close()


def test_running_out_of_descriptors_is_unknown_never_down(server, start):
    """R2: the limit shrinks under the daemon's feet; results are local_fds and heal by
    themselves."""
    daemon = start({"endpoints": [
        http_endpoint(f"endpoint-{number}", server.url("healthy", f"/{number}"), fall=1)
        for number in range(10)]})
    daemon.wait_checked()
    soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    stay_connected = socket.socket(socket.AF_UNIX)
    stay_connected.connect(daemon.socket_path)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (daemon.fds() - 1, hard))
    # The daemon cannot take a client now, so what it feels is read afterwards; the server sees
    # that no check arrives for a while.
    arrived = server.connections["healthy"]
    quiet_since = time.monotonic()

    def quiet_long_enough():
        nonlocal arrived, quiet_since
        if server.connections["healthy"] != arrived:
            arrived, quiet_since = server.connections["healthy"], time.monotonic()
        return time.monotonic() - quiet_since >= 1.5
    wait_until(quiet_long_enough, 10, "a time without checks")
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))
    stay_connected.close()
    for name in daemon.endpoints():
        totals = daemon.results_total(name)
        assert set(totals) <= {"ok", "local_fds", "cancelled"}, totals
        assert totals.get("local_fds"), "the shortage was not felt"
    wait_until(lambda: all(item["state"] == "up" for item in daemon.endpoints().values()), 10,
               "all up again")
    assert daemon.stderr().count("\n") <= 100, "a line per failure floods the log"


SHORTAGES = [
    *[("socket", name, "local_fds") for name in ("EMFILE", "ENFILE")],
    *[("socket", name, "local_memory") for name in ("ENOBUFS", "ENOMEM")],
    *[("socket", name, "local_network") for name in ("EACCES", "EPERM", "EAFNOSUPPORT")],
    *[("connect", name, "local_memory") for name in ("ENOBUFS", "ENOMEM")],
    *[("connect", name, "local_network") for name in ("EACCES", "EPERM", "ENETDOWN")],
    ("connect", "EADDRNOTAVAIL", "local_ports"),
    ("so_error", "EADDRNOTAVAIL", "local_ports"),
    *[("so_error", name, "local_memory") for name in ("ENOBUFS", "ENOMEM")],
    ("so_error", "ENETDOWN", "local_network"),
    *[("send", name, "local_memory") for name in ("ENOBUFS", "ENOMEM")],
    *[("send", name, "local_network") for name in ("EACCES", "EPERM")],
    *[("epoll_ctl", name, "local_memory") for name in ("ENOMEM", "ENOSPC")],
]


def short_of(call, error, port, file):
    """The environment of a daemon for which this call fails while the file exists."""
    library = file.with_name("shortage.so")  # LD_PRELOAD takes no path with a space in it
    library.symlink_to(os.environ["MODELHEALTH_SHORTAGE"])
    return {"LD_PRELOAD": str(library), "SHORTAGE_FILE": str(file), "SHORTAGE_CALL": call,
            "SHORTAGE_PORT": str(port), "SHORTAGE_ERRNO": str(getattr(errno, error))}


@pytest.mark.skipif("MODELHEALTH_SHORTAGE" not in os.environ, reason="a build with sanitizers")
@pytest.mark.parametrize("call, error, reason", SHORTAGES)
def test_a_system_call_that_fails_here_is_unknown_never_down(server, start, tmp_path, call, error,
                                                            reason):
    """R2: whatever this host lacks, and wherever it is felt first."""
    port = server.port("healthy")
    shortage = tmp_path / "shortage"
    url = f"http://127.0.0.1:{port}/"
    feeling = {
        "fresh": http_endpoint("fresh", url, fall=1, interval="200ms"),
        "kept": http_endpoint("kept", url, fall=1, interval="200ms", reuse=True),
        "tcp": tcp_endpoint("tcp", f"tcp://127.0.0.1:{port}", fall=1, interval="200ms",
                            send="GET / HTTP/1.0\r\n\r\n")}
    if call not in ("send", "epoll_ctl"):
        del feeling["kept"]  # which never makes that call
    daemon = start({"endpoints": list(feeling.values())},
                   env=short_of(call, error, port, shortage))
    daemon.wait_checked()
    shortage.touch()
    for name in feeling:
        wait_until(lambda name=name: reason in daemon.results_total(name), 5, f"{reason} of {name}")
        assert daemon.endpoint(name)["state"] == "unknown"
    shortage.unlink()
    wait_until(lambda: all(item["state"] == "up" for item in daemon.endpoints().values()), 10,
               "all up again")
    for name in feeling:
        assert set(daemon.results_total(name)) <= {"ok", reason}


@pytest.mark.skipif("MODELHEALTH_SHORTAGE" not in os.environ, reason="a build with sanitizers")
def test_a_name_server_that_cannot_be_watched_is_unknown_never_down(journal_space, tmp_path):
    shortage = tmp_path / "shortage"
    config = {"endpoints": [http_endpoint("name", f"http://zerottl.test:{namespace.HTTP_PORT}/",
                                          fall=1)]}
    with Daemon(config, env=short_of("epoll_ctl", "ENOMEM", 1, shortage),
                wrapper=journal_space.wrapper()) as daemon:
        daemon.start()
        daemon.wait_checked()
        shortage.touch()
        wait_until(lambda: "local_memory" in daemon.results_total("name"), 5, "local_memory")
        last = last_of(daemon.endpoint("name"))
        assert last["detail"] == "zerottl.test: Cannot allocate memory"
        assert last["timings"]["total_seconds"] < 0.3 * PATIENCE
        shortage.unlink()
        wait_until(lambda: daemon.endpoint("name")["state"] == "up", 5, "up again")
        assert set(daemon.results_total("name")) <= {"ok", "local_memory"}


@pytest.mark.skipif("MODELHEALTH_SHORTAGE" not in os.environ, reason="a build with sanitizers")
def test_clients_that_cannot_be_watched_are_let_go_at_once(server, tmp_path):
    """And the status port, whose listener cannot be watched either, comes back by itself."""
    shortage = tmp_path / "shortage"
    daemon = Daemon({"endpoints": [http_endpoint("well", server.url("healthy"))]})
    daemon.env = short_of("epoll_ctl", "ENOMEM", daemon.port, shortage)
    with daemon:
        daemon.start()
        daemon.wait_checked()
        shortage.touch()
        clients = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(20)]
        clients[0].settimeout(3 * PATIENCE)
        assert clients[0].recv(1) == b""
        shortage.unlink()
        assert daemon.tcp_request("GET", "/healthz").status == 200
        for client in clients:
            client.close()
        assert daemon.stderr().count("\n") <= 20, "a line per failure floods the log"
        daemon.assert_canaries_well(["well"])


@pytest.fixture
def journal_space():
    """A private /run whose journal socket is ours."""
    reason = namespace.missing()
    if reason:
        pytest.skip(reason)
    with namespace.opened() as space:
        # Only the mounts: the network stays the test's own.
        space.mounts = space.wrapper("--mount")
        yield space


def flipping(state):
    def function(peer):
        peer.request()
        state["n"] += 1
        peer.answer(status="200 OK" if state["n"] // 20 % 2 else "500 Oops")
    return function


def test_journal_that_stops_reading_never_blocks(server, start, journal_space):
    """R7: records are dropped and counted; the loop does not wait for journald."""
    state = {"n": 0}
    port = server.listen_as("flipping", flipping(state))
    sink = DatagramSink(f"{journal_space.directory}/socket", receive=False)
    daemon = start({"limits": {"per_host": 512}, "endpoints": [
        http_endpoint(f"flipping-{number}", f"http://127.0.0.1:{port}/", rise=1, fall=1)
        for number in range(20)] + [http_endpoint("well", server.url("healthy"))]},
        "--log-level", "debug", wrapper=journal_space.mounts, journal=True)
    wait_until(lambda: daemon.metric("modelhealth_log_dropped_total"), 15, "dropped records")
    daemon.wait_checked(["well"], 3)
    daemon.assert_loop_never_stalled()
    daemon.assert_canaries_well(["well"])
    sink.resume()
    wait_until(lambda: any(b"dropped" in message for message in list(sink.messages)), 15,
               "a record that tells of the dropped ones")
    daemon.stop()
    sink.close()


def test_journal_records_carry_the_promised_fields(server, start, journal_space):
    held = server.listen_as("refusing", answering(b"", "500 Oops"))
    sink = DatagramSink(f"{journal_space.directory}/socket")
    daemon = start({"endpoints": [http_endpoint("refusing", f"http://127.0.0.1:{held}/"),
                                  http_endpoint("well", server.url("healthy"))]},
                   wrapper=journal_space.mounts, journal=True)
    daemon.wait_checked()

    def change():
        for message in list(sink.messages):
            record = dict(parse_journal(message))
            if record.get("ENDPOINT") == b"refusing" and "STATE" in record:
                return record
        return None
    record = wait_until(change, 5, "the record of the change of state")
    assert record["STATE"] == b"down"
    assert record["REASON"] == b"server_error"
    assert record["CHECK"]
    assert len(record["MESSAGE_ID"]) == 32
    assert record["SYSLOG_IDENTIFIER"] == b"modelhealthd"
    assert b"refusing" in record["MESSAGE"]
    daemon.stop()
    sink.close()


def test_debug_tells_each_attempt_in_words_and_fields(server, start, journal_space):
    """What is said of a check is the same in the journal, on the console and in its last result."""
    sink = DatagramSink(f"{journal_space.directory}/socket")
    config = {"endpoints": [
        http_endpoint("reset", server.url("reset_after_request"), interval="2s",
                      retries={"attempts": 1, "backoff": "50ms"}),
        http_endpoint("well", server.url("healthy"))]}
    daemon = start(config, "--log-level", "debug", wrapper=journal_space.mounts, journal=True)

    def two_attempts():
        records = [dict(parse_journal(message)) for message in list(sink.messages)]
        told = [record for record in records if record["PRIORITY"] == b"7"
                and record.get("ENDPOINT") == b"reset"]
        return told if len(told) >= 2 else None
    attempts = wait_until(two_attempts, 10, "both attempts in the journal")
    assert [record["ATTEMPTS"] for record in attempts[:2]] == [b"1", b"2"]
    assert b"tried again in" in attempts[0]["MESSAGE"]
    assert b"next in" in attempts[1]["MESSAGE"]
    for record in attempts:
        assert (record["VERDICT"], record["REASON"]) == (b"down", b"conn_reset")
        assert len(record["MESSAGE_ID"]) == 32
        assert int(record["DURATION_USEC"]) > 0
        assert b"endpoint reset: check live: down (conn_reset" in record["MESSAGE"]
    daemon.stop()
    sink.close()
    console = start(config, "--log-level", "debug")
    console.wait_checked()
    log = console.stderr()
    assert re.search(r"debug: endpoint well: check live: up \(ok\) in [0-9.]+ ms, attempt 1; "
                     r"next in [0-9.]+ m?s\n", log), log
    assert len(re.findall(r"endpoint reset: check live: down .* attempt 1; tried again", log)) >= 1


def test_quiet_healthy_system_logs_nothing_per_check(server, start):
    daemon = start({"endpoints": [http_endpoint(f"well-{number}", server.url("healthy"))
                                  for number in range(5)]})
    daemon.wait_checked(checks=2)
    before = daemon.stderr()
    daemon.wait_checked(checks=5)
    assert daemon.stderr() == before
