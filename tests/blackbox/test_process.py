# SPDX-License-Identifier: MIT
"""The process itself: options, exit codes, systemd, signals, the guard of our own network."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import time

import pytest

from harness import (PATIENCE, Daemon, binary, closed_port, http_endpoint, parse_notify, run_daemon,
                     wait_until)
from hostile import FullBacklog, answering

# ---- options ----


def test_version_and_help():
    version = run_daemon("--version")
    assert version.returncode == 0 and re.search(r"\d+\.\d+\.\d+", version.stdout)
    usage = run_daemon("--help")
    assert usage.returncode == 0
    for option in ("--config", "--check", "--once", "--dump-config", "--reload", "--log-format",
                   "--log-level", "--version"):
        assert option in usage.stdout


@pytest.mark.parametrize("arguments", [
    ["--nonsense"], ["stray"], ["--config"], ["--log-level", "loud"], ["--log-format", "xml"],
    ["--check", "--once"], ["--once", "--output", "xml"]], ids=" ".join)
def test_wrong_usage_is_named(arguments):
    done = run_daemon(*arguments)
    assert done.returncode == 2
    assert done.stderr.strip() and not done.stdout


def test_missing_config_is_named():
    done = run_daemon("--config", "/no/such/file.yaml")
    assert done.returncode == 2 and "/no/such/file.yaml" in done.stderr


def run_into(stdout, *arguments):
    return subprocess.run([binary(), *arguments], stdout=stdout, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False)


@pytest.mark.parametrize("mode", [["--check"], ["--dump-config"], ["--help"], ["--list-types"],
                                  ["--once"], ["--once", "--output", "json"], ["--version"]],
                         ids=" ".join)
def test_output_that_cannot_be_written_is_an_error(tmp_path, held, mode):
    """What a script keeps of it must not be half an answer that passes for a whole one."""
    path = write_config(tmp_path, [http_endpoint("gone", f"http://127.0.0.1:{held}/")])
    with open("/dev/full", "wb") as full:
        done = run_into(full, "--config", path, *mode)
    assert done.returncode == 71, done.stderr
    assert done.stderr == ("modelhealthd: cannot write to standard output: "
                           "No space left on device\n")


@pytest.mark.parametrize("mode", [["--once"], ["--once", "--output", "json"]], ids=" ".join)
def test_who_reads_no_further_gets_the_exit_code_of_the_states(tmp_path, held, mode):
    path = write_config(tmp_path, [http_endpoint("gone", f"http://127.0.0.1:{held}/")])
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = run_into(write_end, "--config", path, *mode)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, "")


# ---- --once ----


@pytest.fixture(scope="module")
def held():
    sock, port = closed_port()
    yield port
    sock.close()


def write_config(tmp_path, endpoints):
    path = tmp_path / "modelhealthd.yaml"
    path.write_text(json.dumps({"endpoints": endpoints}))
    path.chmod(0o600)
    return str(path)


@pytest.fixture(scope="module")
def targets(server, held):
    """One endpoint per kind of outcome."""
    server.listen_as("forbidden", answering(b"", "403 Forbidden"))
    return {
        "up": http_endpoint("fine", server.url("healthy")),
        "degraded": http_endpoint("slow", server.url("healthy"),
                                  expect={"latency": {"degraded": "1us"}}),
        "down": http_endpoint("gone", f"http://127.0.0.1:{held}/"),
        "unknown": http_endpoint("key", server.url("forbidden")),
    }


def test_once_gives_all_results_as_json(targets, tmp_path):
    path = write_config(tmp_path, list(targets.values()))
    done = run_daemon("--once", "--output", "json", "--config", path)
    listed = json.loads(done.stdout)["endpoints"]
    assert [item["state"] for item in listed] == ["up", "degraded", "down", "unknown"]
    assert done.returncode != 0


def test_once_gives_all_results_as_a_table(targets, tmp_path):
    path = write_config(tmp_path, list(targets.values()))
    started = time.monotonic()
    done = run_daemon("--once", "--config", path)
    assert time.monotonic() - started <= 5 * PATIENCE, "one round needs no waiting for schedules"
    for endpoint, state in zip(targets.values(), targets):
        assert re.search(rf"^.*{endpoint['name']}.*{state}.*$", done.stdout, re.MULTILINE), \
            done.stdout
    assert "\x1b" not in done.stdout


def test_once_exit_code_is_that_of_the_worst_state(targets, tmp_path):
    codes = {state: run_daemon("--once", "--config",
                               write_config(tmp_path, [targets[state]])).returncode
             for state in targets}
    assert codes["up"] == 0
    assert codes["down"] == 1, codes
    worst = run_daemon("--once", "--config", write_config(tmp_path, list(targets.values())))
    assert worst.returncode == codes["down"]
    assert run_daemon("--once", "--config", write_config(tmp_path, [])).returncode in (0, 2)


def test_once_needs_no_listener(server, tmp_path, held):
    """It may run beside the daemon with the same file."""
    del held
    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = tmp_path / "modelhealthd.yaml"
        path.write_text(json.dumps({
            "status": {"listen": [f"127.0.0.1:{taken.getsockname()[1]}"]},
            "endpoints": [http_endpoint("fine", server.url("healthy"))]}))
        path.chmod(0o600)
        assert run_daemon("--once", "--config", str(path)).returncode == 0


def test_interrupted_round_shows_what_is_known(server, tmp_path, held):
    """As timeout(1) ends it in a script: which endpoint hung is what one wants to know."""
    patient = {"connect": "30s", "first_byte": "30s", "idle": "30s", "total": "30s"}
    path = write_config(tmp_path, [
        http_endpoint("gone", f"http://127.0.0.1:{held}/"),
        http_endpoint("hung", server.url("silent"), timeout=patient, interval="1m")])
    process = subprocess.Popen([binary(), "--config", path, "--once", "--output", "json",
                                "--log-level", "debug"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    assert "endpoint gone: check live: down (connect_refused" in line
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "interrupted after 1 of 2 checks" in error
    assert {item["name"]: item["reason"] for item in json.loads(out)["endpoints"]} == {
        "gone": "connect_refused", "hung": "never_checked"}


# ---- start, notify, watchdog ----


def test_ready_is_sent_when_the_listeners_answer(server, start):
    daemon = start({"endpoints": [http_endpoint("fine", server.url("healthy"))]})
    assert daemon.get("/healthz").status == 200
    assert daemon.tcp_request("GET", "/healthz").status == 200
    wait_until(lambda: daemon.notified("STATUS"), 5, "a STATUS line")
    wait_until(lambda: "1 up" in (daemon.notified("STATUS") or ""), 10, "STATUS of the states")


def test_watchdog_is_fed_at_half_its_time(server, start):
    daemon = start({"endpoints": [http_endpoint("fine", server.url("healthy"))]},
                   env={"WATCHDOG_USEC": "1000000"})

    def pings():
        return [at for at, message in zip(list(daemon.notify.times), list(daemon.notify.messages))
                if parse_notify(message).get("WATCHDOG") == "1"]
    wait_until(lambda: len(pings()) >= 6, 10, "six watchdog pings")
    gaps = [later - earlier for earlier, later in zip(pings(), pings()[1:])]
    assert max(gaps) <= 1.0, gaps


def test_taken_port_is_a_clear_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = tmp_path / "modelhealthd.yaml"
        path.write_text(json.dumps({"status": {"listen": [f"127.0.0.1:{port}"]},
                                    "endpoints": []}))
        path.chmod(0o600)
        done = run_daemon("--config", str(path))
    assert done.returncode not in (0, 2)
    assert str(port) in done.stderr and "in use" in done.stderr


def test_stale_unix_socket_is_replaced_and_a_living_one_is_not(server, tmp_path, start):
    daemon = start({"endpoints": [http_endpoint("fine", server.url("healthy"))]})
    second = run_daemon("--config", daemon.config_path)
    assert second.returncode not in (0, 2) and second.stderr.strip()
    assert daemon.get("/healthz").status == 200
    daemon.signal(signal.SIGKILL)
    daemon.process.wait()
    daemon.stopped = True
    assert stat.S_ISSOCK(os.stat(daemon.socket_path).st_mode)
    third = Daemon({"endpoints": []})
    third.status = {"listen": [f"unix:{daemon.socket_path}"]}
    third.socket_path = daemon.socket_path
    third.write_config({"endpoints": [http_endpoint("fine", server.url("healthy"))]})
    with third:
        third.start()
        assert third.get("/healthz").status == 200


def test_socket_file_is_gone_after_the_end(server, start):
    daemon = start({"endpoints": [http_endpoint("fine", server.url("healthy"))]})
    daemon.stop()
    assert not os.path.exists(daemon.socket_path)


# ---- the end ----

BUSY = ["silent", "drip_header", "drip_body", "endless_chunked", "sse_then_silence", "healthy",
        "redirect_loop", "never_reads"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_end_under_load_is_quick_and_calls_nobody_down(server, start, number):
    slow = {"connect": "20s", "first_byte": "20s", "idle": "20s", "total": "20s"}
    daemon = start({"limits": {"per_host": 512}, "endpoints": [
        http_endpoint(f"{name}-{copy}", server.url(name), timeout=slow, fall=1)
        for name in BUSY for copy in range(10)]})
    wait_until(lambda: daemon.status_json()["self"]["checks_in_flight"] >= 40, 10, "40 checks")
    client = socket.create_connection(daemon.tcp)
    client.sendall(b"GET /metrics HT")
    said = daemon.stderr()
    started = time.monotonic()
    daemon.signal(number)
    daemon.process.wait(5)
    assert time.monotonic() - started <= 5
    assert daemon.process.returncode == 0
    client.close()
    wait_until(lambda: daemon.notified("STOPPING") == "1", 5, "STOPPING=1")
    assert "down" not in daemon.stderr()[len(said):]
    daemon.stopped = True


def test_second_signal_ends_at_once(server, start):
    """The first one gives a client that is being served a second to finish."""
    daemon = start({"endpoints": [http_endpoint("fine", server.url("healthy"))]})
    with socket.create_connection(daemon.tcp) as client:
        client.sendall(b"GET /metrics HT")
        wait_until(lambda: daemon.status_json()["self"]["http_clients"] == 2, 5, "the client")
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: daemon.notified("STOPPING") == "1", 5, "STOPPING=1")
        asked = time.monotonic()
        daemon.signal(signal.SIGTERM)
        daemon.process.wait(5)
        assert time.monotonic() - asked <= 0.5
    daemon.stopped = True


def test_sigpipe_is_ignored(server, start):
    daemon = start({"endpoints": [http_endpoint("fine", server.url("healthy"))]})
    daemon.signal(signal.SIGPIPE)
    daemon.wait_checked(checks=2)


def test_closed_stderr_does_no_harm(server):
    """The reader of our log has gone: writing to it fails for ever."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with Daemon({"endpoints": [http_endpoint("gone", "http://127.0.0.1:1/", fall=1),
                               http_endpoint("fine", server.url("healthy"))]},
                log_to=write_end) as daemon:
        daemon.start()
        daemon.wait_checked(checks=2)
        assert daemon.endpoint("gone")["state"] == "down"
    os.close(write_end)


def test_no_standard_descriptors_at_all_do_no_harm(tmp_path):
    """What we open must not get the number of standard error: our log would go there."""
    config = tmp_path / "config.yaml"
    config.write_text("status: { listen: [ 127.0.0.1:0 ] }\nendpoints:\n"
                      "  - { name: gone, type: http, url: http://127.0.0.1:1/ }\n")
    os.chmod(config, 0o600)
    shell = subprocess.run(
        ["sh", "-c", '"$0" --config "$1" <&- >&- 2>&- & '
         # until it obeys SIGTERM
         'for i in $(seq 500); do grep -q "^SigCgt:.*[4-7c-f]...$" /proc/$!/status && break; '
         'sleep 0.01; done; '
         'readlink /proc/$!/fd/0 /proc/$!/fd/1 /proc/$!/fd/2; kill $!; wait $!',
         binary(), str(config)], capture_output=True, text=True, check=False, timeout=30)
    assert shell.stdout.split() == ["/dev/null"] * 3
    assert shell.returncode == 0


def test_too_few_descriptors_to_start_are_named(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("status: { listen: [ 127.0.0.1:0 ] }\n")
    os.chmod(config, 0o600)
    for limit in range(6, 9):
        ended = subprocess.run(["sh", "-c", 'ulimit -n "$2"; exec "$0" --config "$1"',
                                binary(), str(config), str(limit)],
                               capture_output=True, text=True, check=False, timeout=30)
        assert ended.returncode in (2, 71), (limit, ended.stderr)
        assert "Too many open files" in ended.stderr, (limit, ended.stderr)


def test_full_pipe_at_stderr_never_blocks(server):
    """Nobody reads our log: records are dropped, checks go on."""
    read_end, write_end = os.pipe()
    with Daemon({"endpoints": [http_endpoint("gone", "http://127.0.0.1:1/", fall=1),
                               http_endpoint("fine", server.url("healthy"))]},
                "--log-level", "debug", log_to=write_end) as daemon:
        os.set_blocking(write_end, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write_end, b"x" * 4096)
        os.set_blocking(write_end, True)
        daemon.start()
        daemon.wait_checked(checks=3)
        daemon.assert_loop_never_stalled()
        daemon.assert_canaries_well(["fine"])
    os.close(write_end)
    os.close(read_end)


# ---- the guard of our own network ----


def test_lost_network_of_ours_freezes_all_states(server, start):
    """All witnesses fail to be reached at once: one message, no endpoint is called down."""
    hole = FullBacklog()
    url = f"http://127.0.0.1:{hole.port}/"
    daemon = start({"self_check": {"witnesses": ["witness"]}, "limits": {"per_host": 512},
                    "endpoints": [
        http_endpoint("witness", url, fall=1),
        *[http_endpoint(f"behind-{number}", f"{url}{number}", fall=1) for number in range(5)],
        http_endpoint("local", server.url("healthy"))]})
    wait_until(lambda: daemon.metric("modelhealth_self_offline") == 1, 10, "self_offline")
    daemon.wait_checked(["witness"], 3)
    listed = daemon.endpoints()
    assert listed["local"]["state"] == "up"
    for number in range(5):
        totals = daemon.results_total(f"behind-{number}")
        assert listed[f"behind-{number}"]["state"] != "down" or totals["connect_timeout"] == 1
    assert daemon.stderr().count("our own network") == 1
    port = hole.port
    hole.close()
    server.listen("healthy", port=port)
    wait_until(lambda: daemon.metric("modelhealth_self_offline") == 0, 10, "online again")
    wait_until(lambda: all(item["state"] == "up" for item in daemon.endpoints().values()), 10,
               "all up")
    assert daemon.stderr().count("our own network") == 2, daemon.stderr()
