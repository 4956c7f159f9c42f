# SPDX-License-Identifier: MIT
"""States outlive their process: in memory that the service manager keeps, and in the file between a
stop and the next start (C1, C3, C5)."""

import glob
import http.server
import os
import random
import signal
import subprocess
import threading

import pytest

from harness import PATIENCE, PATIENT, check_of, closed_port, http_endpoint, tcp_endpoint, wait_until
from models import check_of as check_named, model_endpoint

RECORD = 80  # bytes: the header, the last record once more, then the records


class Toggle:
    """An HTTP server that answers with whatever `status` is."""

    def __init__(self):
        toggle = self
        self.status = 200
        self.asked = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                toggle.asked += 1
                self.send_response(toggle.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def toggle():
    server = Toggle()
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def one(toggle, **more):
    timing = {"interval": "2s", "fast_interval": "2s", "rise": 2, "fall": 3, "timeout": PATIENT, **more}
    return {"endpoints": [http_endpoint("a", toggle.url, **timing)]}


def state_of(daemon, name="a"):
    return daemon.endpoint(name)["state"]


def wait_state(daemon, state, name="a"):
    wait_until(lambda: state_of(daemon, name) == state, 20, f"{name} {state}")


def wait_all_up(daemon):
    """Not only checked: a busy machine may be late with the first answers."""
    wait_until(lambda: {item["state"] for item in daemon.endpoints().values()} == {"up"}, 20, "all up")


def restored(daemon):
    return daemon.metric("modelhealth_state_checks_restored")


def dropped(daemon):
    return daemon.metric("modelhealth_state_records_dropped")


# ---- killed ----


def test_third_failure_counts_with_the_two_before_the_kill(toggle, start):
    daemon = start(one(toggle), manager=True)
    wait_state(daemon, "up")
    toggle.status = 500
    wait_until(lambda: check_of(daemon.endpoint("a"))["streak"]["bad"] == 2, 20, "two failures")
    assert state_of(daemon) == "up"
    daemon.kill()
    daemon.again()
    assert restored(daemon) == 1 and dropped(daemon) == 0
    wait_state(daemon, "down")
    assert daemon.results_total("a") == {"server_error": 1}
    assert check_of(daemon.endpoint("a"))["streak"]["bad"] == 3


def test_nothing_is_told_and_nothing_moves_when_nothing_has_changed(toggle, start):
    toggle.status = 500
    daemon = start(one(toggle, interval="500ms", fast_interval="500ms"), manager=True)
    wait_state(daemon, "down")
    before = daemon.endpoint("a")
    daemon.kill()
    daemon.again()
    after = daemon.endpoint("a")
    for key in ("state", "reason", "since", "flapping", "evidence", "decided_by"):
        assert after[key] == before[key], key
    assert after["checks"][0]["state"] == "down"
    # ready at once: there is no first round to wait for
    assert daemon.get("/readyz").status == 200
    daemon.wait_checked()
    assert daemon.endpoint("a")["since"] == before["since"]
    log = daemon.stderr()
    assert "1 checks go on where they were" in log
    assert "down" not in log.replace("0 down", ""), log
    assert daemon.metric("modelhealth_check_results_total", endpoint="a") < 3


def test_flapping_goes_on(toggle, start):
    daemon = start(one(toggle, interval="100ms", fast_interval="100ms", rise=1, fall=1),
                   manager=True)

    def flip():
        toggle.status = 500 if check_of(daemon.endpoint("a"))["state"] == "up" else 200
        return daemon.endpoint("a")["flapping"]
    wait_until(flip, 20, "flapping")
    daemon.kill()
    toggle.status = 200
    daemon.again()
    assert daemon.endpoint("a")["flapping"]
    wait_until(lambda: not daemon.endpoint("a")["flapping"], 20, "settled")
    assert daemon.stderr().count("no longer flapping") == 1


def test_budget_that_is_spent_stays_spent(simulate, start):
    sim = simulate(",ttft=5ms,gap=2ms")
    config = {"endpoints": [model_endpoint(
        "a", sim.url, 0.3, {"connect": "2s", "first_byte": "2s", "total": "3s"},
        canary={"budget": {"requests": "2/1d"}})]}
    daemon = start(config, manager=True)

    def is_spent():
        return check_named(daemon.endpoint("a"), "canary")["suppressed"] == "budget"
    wait_until(is_spent, 20, "the budget used up")
    asked = sim.show()["chats_total"]
    for _ in range(2):
        daemon.kill()
        daemon.again()
        wait_until(is_spent, 20, "the budget still used up")
        wait_until(lambda: check_named(daemon.endpoint("a"), "live")["window"]["checks"] >= 3,
                   20, "three rounds")
    assert sim.show()["chats_total"] == asked
    assert "is used up" not in daemon.stderr(), "said once in its window"


def test_kill_at_any_moment_loses_nothing(toggle, start):
    """C1: the third failure was long ago; any other beginning of `since` would be a lost state."""
    many = {"endpoints": [http_endpoint(f"e{i}", toggle.url, interval="100ms", fall=2)
                          for i in range(40)]}
    toggle.status = 500
    daemon = start(many, manager=True)
    wait_until(lambda: {e["state"] for e in daemon.endpoints().values()} == {"down"}, 20, "down")
    since = {name: item["since"] for name, item in daemon.endpoints().items()}
    for seed in range(12):
        moment = random.Random(seed).uniform(0, 0.3)
        threading.Event().wait(moment)  # not waiting for anything: the moment is the test
        daemon.kill()
        daemon.again()
        now = daemon.endpoints()
        assert {name: item["since"] for name, item in now.items()} == since
        assert {item["state"] for item in now.values()} == {"down"}
        assert restored(daemon) == 40 and dropped(daemon) == 0


def test_states_grow_and_shrink_with_reloads(toggle, start):
    def config(n):
        return {"endpoints": [http_endpoint(f"e{i}", toggle.url, interval="1s") for i in range(n)]}
    daemon = start(config(3), manager=True)
    for n in (300, 5, 120):
        daemon.write_config(config(n))
        assert daemon.request("POST", "/-/reload").status == 200
        wait_all_up(daemon)
        since = {name: item["since"] for name, item in daemon.endpoints().items()}
        daemon.kill()
        daemon.again()
        assert restored(daemon) == n and dropped(daemon) == 0
        assert {name: item["since"] for name, item in daemon.endpoints().items()} == since
    assert len(daemon.notify.items()) == 1, "one descriptor for ever"


def test_changed_configuration_takes_up_what_is_still_true(toggle, start):
    endpoints = [http_endpoint(name, toggle.url + name, interval="300ms")
                 for name in ("same", "moved", "gone", "renamed", "slower")]
    daemon = start({"endpoints": endpoints}, manager=True)
    wait_all_up(daemon)
    before = daemon.endpoints()
    daemon.kill()
    endpoints[1]["url"] = toggle.url + "elsewhere"
    endpoints[3]["name"] = "named-anew"
    endpoints[4]["interval"] = "5s"
    del endpoints[2]
    daemon.write_config({"endpoints": endpoints})
    daemon.again()
    after = daemon.endpoints()
    assert restored(daemon) == 2  # same and slower
    assert dropped(daemon) == 6   # three checks and their endpoints
    for name in ("same", "slower"):
        assert after[name]["since"] == before[name]["since"]
    for name in ("moved", "named-anew"):
        assert after[name]["state"] == "unknown"
    daemon.wait_checked()


# ---- stopped ----


def test_stop_and_start_go_through_the_file(toggle, start, folder):
    toggle.status = 500
    daemon = start(one(toggle, interval="300ms", fast_interval="300ms"),
                   env={"STATE_DIRECTORY": folder})
    wait_state(daemon, "down")
    before = daemon.endpoint("a")
    daemon.stop()
    path = os.path.join(folder, "state")
    assert os.listdir(folder) == ["state"]
    assert os.stat(path).st_mode & 0o777 == 0o600
    with open(path, "rb") as file:
        assert b"127.0.0.1" not in file.read()
    daemon.again()
    assert os.listdir(folder) == [], "an old one must never be taken later"
    after = daemon.endpoint("a")
    assert (after["state"], after["reason"], after["since"]) == \
        (before["state"], before["reason"], before["since"])
    assert "kept by the state directory" in daemon.stderr()


def test_memory_goes_before_the_file(toggle, start, folder):
    """After a restart by the service manager both are there."""
    daemon = start(one(toggle, interval="300ms", fast_interval="300ms"), manager=True,
                   env={"STATE_DIRECTORY": folder})
    wait_state(daemon, "up")
    since = daemon.endpoint("a")["since"]
    daemon.stop()
    assert os.listdir(folder) == ["state"]
    daemon.again()
    assert os.listdir(folder) == []
    assert "kept by the service manager" in daemon.stderr()
    assert daemon.endpoint("a")["since"] == since


def test_start_that_fails_leaves_the_states_for_the_next(toggle, start, folder):
    daemon = start(one(toggle, interval="300ms", fast_interval="300ms"),
                   env={"STATE_DIRECTORY": folder})
    wait_state(daemon, "up")
    since = daemon.endpoint("a")["since"]
    daemon.stop()
    good = open(daemon.config_path, encoding="utf-8").read()
    daemon.write_text(good.replace(f"127.0.0.1:{daemon.port}", "192.0.2.1:1"))
    daemon.again(ready_seconds=0)
    assert daemon.process.wait(20) != 0
    daemon.write_text(good)
    daemon.again()
    assert daemon.endpoint("a")["since"] == since


def test_killed_while_it_saves_leaves_a_whole_file_or_none(toggle, start, folder):
    """C1: SIGTERM, and SIGKILL a little later."""
    sock, port = closed_port()
    config = {"endpoints": [tcp_endpoint(f"e{i}", f"tcp://127.0.0.1:{port}", interval="200ms")
                            for i in range(300)]}
    daemon = start(config, env={"STATE_DIRECTORY": folder})
    daemon.wait_checked(seconds=20)
    whole = 0
    for seed in range(6):
        daemon.signal(signal.SIGTERM)
        threading.Event().wait(random.Random(seed).uniform(0, 0.02))  # the moment is the test
        daemon.kill()
        left = set(os.listdir(folder))
        assert left <= {"state", "state.new"}, left
        daemon.again()
        whole += "state" in left
        assert restored(daemon) == (300 if "state" in left else 0)
        assert "cannot be used" not in daemon.stderr()
        daemon.wait_checked(seconds=20)
    sock.close()
    assert whole > 0


# ---- damaged ----


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:]


DAMAGES = {
    "empty": lambda data: b"",
    "one_byte": lambda data: data[:1],
    "half_a_header": lambda data: data[:RECORD // 2],
    "header_alone": lambda data: data[:RECORD],
    "no_records": lambda data: data[:2 * RECORD],
    "half_a_record": lambda data: data[:2 * RECORD + RECORD // 2],
    "one_byte_less": lambda data: data[:-1],
    "one_byte_more": lambda data: data + b"x",
    "foreign_version": lambda data: flip(data, 8),
    "bit_in_the_header": lambda data: flip(data, 20),
    "bit_in_a_record": lambda data: flip(data, len(data) - 3),
    "zeros": lambda data: bytes(len(data)),
    "noise": lambda data: random.Random(1).randbytes(len(data)),
    "text": lambda data: b"endpoints: []\n" * 40,
}


def test_damaged_file_is_set_aside_and_said_once(toggle, start, folder):
    """C3. Every length and every bit are the matter of test_ledger."""
    path = os.path.join(folder, "state")
    daemon = start(one(toggle, interval="300ms", fast_interval="300ms"),
                   env={"STATE_DIRECTORY": folder})
    wait_state(daemon, "up")
    daemon.stop()
    with open(path, "rb") as file:
        good = file.read()
    for name, damage in DAMAGES.items():
        with open(path, "wb") as file:
            file.write(damage(good))
        os.chmod(path, 0o600)
        daemon.again()
        aside = glob.glob(path + ".corrupt.*")
        assert len(aside) == 1 and not os.path.exists(path), name
        with open(aside[0], "rb") as file:
            assert file.read() == damage(good), name
        os.unlink(aside[0])
        assert daemon.stderr().count("cannot be used") == 1, (name, daemon.stderr())
        assert restored(daemon) == 0, name
        wait_state(daemon, "up")
        daemon.stop()


@pytest.mark.parametrize("kind", ["directory", "fifo", "writable", "dangling"])
def test_no_file_of_ours(toggle, start, folder, kind):
    path = os.path.join(folder, "state")
    if kind == "directory":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "writable":
        with open(path, "wb") as file:
            file.write(b"x" * 800)
        os.chmod(path, 0o666)
    else:
        os.symlink("/nonexistent/state", path)
    daemon = start(one(toggle), env={"STATE_DIRECTORY": folder})
    wait_state(daemon, "up")
    assert "cannot be used" in daemon.stderr() or kind == "dangling"
    daemon.stop()
    assert os.path.isfile(path) and not os.path.islink(path)


def test_damaged_memory_begins_afresh_and_damaged_records_alone_are_dropped(toggle, start):
    config = {"endpoints": [http_endpoint(f"e{i}", toggle.url, interval="500ms")
                            for i in range(10)]}
    daemon = start(config, manager=True)
    daemon.wait_checked()
    daemon.kill()
    (_, fd), = daemon.notify.items()
    size = os.fstat(fd).st_size
    # All that was written is in the upper part: the first area was taken before there were results.
    memory = os.pread(fd, size, 0)
    at = next(offset for offset in range(2 * RECORD, size, RECORD)
              if memory[offset:offset + RECORD] not in (bytes(RECORD), memory[RECORD:2 * RECORD]))
    os.pwrite(fd, b"\xff" * 8, at + 30)
    daemon.again()
    assert restored(daemon) == 9 and dropped(daemon) in (1, 2)  # with its endpoint or check
    assert "cannot be used" not in daemon.stderr()
    daemon.wait_checked()
    daemon.kill()
    os.pwrite(fd, random.Random(2).randbytes(RECORD), 0)
    daemon.again()
    assert restored(daemon) == 0
    assert daemon.stderr().count("cannot be used") == 1
    daemon.wait_checked()
    daemon.kill()
    daemon.again()
    assert restored(daemon) == 10, "it is as good as new"


def test_stored_descriptor_that_is_no_memory(toggle, start):
    daemon = start(one(toggle), manager=True)
    wait_state(daemon, "up")
    daemon.kill()
    daemon.notify.drop("state")
    pipe, other = os.pipe()
    os.close(other)
    daemon.notify.stored["state"] = [pipe]
    daemon.again()
    assert daemon.stderr().count("cannot be used") == 1
    wait_until(lambda: len(daemon.notify.items()) == 1, 5, "a new memory in its place")
    wait_state(daemon, "up")
    daemon.kill()
    daemon.again()
    assert restored(daemon) == 1


def test_key_that_is_refused_from_the_start_is_told_once(toggle, start, folder):
    """Its state is the one it begins with; its reason is news."""
    toggle.status = 401
    config = one(toggle, interval="200ms", fast_interval="200ms",
                 rules=[{"status": 401, "reason": "auth_failed"}])
    daemon = start(config, env={"STATE_DIRECTORY": folder})
    daemon.wait_checked(checks=3)
    assert daemon.stderr().count("endpoint a: we cannot tell its state (auth_failed") == 1
    daemon.stop()
    daemon.again()
    daemon.wait_checked(checks=3)
    assert "endpoint a:" not in daemon.stderr()


def test_start_that_fails_keeps_what_it_found_in_memory(toggle, start, folder):
    """The service manager forgets it when it gives up: by a bad configuration at once."""
    config = one(toggle)
    daemon = start(config, env={"STATE_DIRECTORY": folder}, manager=True)
    wait_state(daemon, "up")
    since = daemon.endpoint("a")["since"]
    daemon.kill()
    daemon.write_config({**config, "endpoint": []})
    for _ in range(2):
        daemon.again(ready_seconds=0)
        assert daemon.process.wait(10) == 2
        daemon.notify.drop("state")
    daemon.write_config(config)
    daemon.again()
    assert restored(daemon) == 1
    assert daemon.endpoint("a")["since"] == since
    assert not os.path.exists(f"{folder}/state")


def test_stop_saves_before_it_waits_for_a_load_under_way(toggle, start, folder):
    """A load may hang, on a network file system say, and then the service manager kills us."""
    daemon = start(one(toggle), env={"STATE_DIRECTORY": folder})
    wait_state(daemon, "up")
    many = {"endpoints": [tcp_endpoint(f"e{i}", "tcp://127.0.0.1:1", interval="1h")
                          for i in range(10000)]}

    def is_seen_to():
        """States on the disk, and a load still under way; a busy machine may look too late."""
        daemon.write_config(many)
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: daemon.notified("RELOADING") == "1", 10, "a load under way")
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: os.path.exists(f"{folder}/state"), 10, "states on the disk")
        return daemon.threads() == 2

    def once_more():
        daemon.process.wait(10 * PATIENCE)
        daemon.stopped = True
        daemon.write_config(one(toggle))
        daemon.again()
    assert any(is_seen_to() or once_more() for _ in range(5))


# ---- nowhere to go ----


def test_directory_that_cannot_be_written_costs_the_states_alone(toggle, start):
    daemon = start(one(toggle), env={"STATE_DIRECTORY": "/sys/kernel"})
    wait_state(daemon, "up")
    daemon.stop()
    assert daemon.stderr().count("states cannot be saved") == 1


def mounted(command):
    """A wrapper with mounts of its own; skips where that is not possible."""
    wrapper = ["unshare", "--mount", "sh", "-c", f'{command} && exec "$@"', "sh"]
    if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount anything")
    return wrapper


def test_full_disk_costs_the_states_alone(toggle, start, folder):
    """R6: a file system of one page."""
    config = {"endpoints": [http_endpoint(f"e{i}", toggle.url, interval="500ms")
                            for i in range(60)]}
    daemon = start(config, env={"STATE_DIRECTORY": folder},
                   wrapper=mounted(f"mount -t tmpfs -o size=4k none {folder}"))
    daemon.wait_checked()
    daemon.stop()
    assert "states cannot be saved (No space left on device)" in daemon.stderr()


def test_read_only_directory_is_said_at_the_start(toggle, start, folder):
    daemon = start(one(toggle, interval="300ms", fast_interval="300ms"),
                   env={"STATE_DIRECTORY": folder})
    wait_state(daemon, "up")
    since = daemon.endpoint("a")["since"]
    assert daemon.metric("modelhealth_state_save_failures_total") == 0
    daemon.stop()
    daemon.wrapper = mounted(f"mount --bind {folder} {folder}"
                             f" && mount -o remount,bind,ro {folder}")
    daemon.again()
    assert daemon.endpoint("a")["since"] == since, "it can be read all the same"
    assert "the state directory cannot be written (Read-only file system)" in daemon.stderr()
    assert daemon.metric("modelhealth_state_save_failures_total") == 1
    wait_state(daemon, "up")
    daemon.stop()
    assert "states cannot be saved (Read-only file system)" in daemon.stderr()


def test_without_a_service_manager_nothing_is_kept(toggle, start):
    daemon = start(one(toggle))
    wait_state(daemon, "up")
    daemon.kill()
    daemon.again()
    assert restored(daemon) == 0 and dropped(daemon) == 0
    assert "go on where" not in daemon.stderr()
    wait_state(daemon, "up")
