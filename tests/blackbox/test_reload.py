# SPDX-License-Identifier: MIT
"""Reload: by diff, under load, in a storm (D1-D4)."""

import signal
import threading
import time

import pytest

from harness import (CANARIES, PATIENCE, canary_endpoints, http_endpoint, parse_notify, run_daemon,
                     wait_until)
from hostile import answering, server_context

MANY = 300


def many(server, changed=()):
    """MANY endpoints; the path of those in `changed` is another."""
    return {"limits": {"per_host": 512}, "endpoints": canary_endpoints(server.url("healthy")) + [
        http_endpoint(f"endpoint-{number}",
                      server.url("healthy", f"/{'new' if number in changed else 'old'}"),
                      interval="3s")
        for number in range(MANY)]}


def reload_now(daemon):
    answer = daemon.request("POST", "/-/reload")
    assert answer.status == 200, answer.body


def generation(daemon):
    return daemon.status_json()["config"]["generation"]


def test_many_reloads_under_load_lose_nothing(server, start):
    """D1: a tenth changes each time; the rest keeps state, streaks and schedule. A hundred reloads
    leave no descriptor open and no memory behind."""
    daemon = start(many(server))
    before = daemon.wait_checked(seconds=20)
    since = {name: item["since"] for name, item in before.items()}
    fds = daemon.fds()
    for round_number in range(100):
        tenth = range(round_number % 10, MANY // 2, 5)
        daemon.write_config(many(server, set(tenth) if round_number < 99 else set()))
        began = time.monotonic()
        reload_now(daemon)
        assert time.monotonic() - began <= 0.3 * PATIENCE
        if round_number == 9:
            rss = daemon.rss_bytes()
    after = daemon.endpoints()
    untouched = CANARIES + [f"endpoint-{number}" for number in range(MANY // 2, MANY)]
    assert set(after) == set(before)
    for name in untouched:
        assert after[name]["since"] == since[name], name
        assert after[name]["checks"][0]["window"]["checks"] >= \
            before[name]["checks"][0]["window"]["checks"]
    daemon.wait_checked(seconds=20)
    daemon.assert_canaries_well(untouched)
    daemon.assert_loop_never_stalled()
    assert generation(daemon) == 101
    wait_until(lambda: daemon.fds() <= fds + 2, 5, "descriptors given back")
    assert daemon.rss_bytes() <= rss * 1.01 + daemon.sanitizer_bytes()


STAGES = ["silent", "drip_status_line", "drip_header", "drip_body", "drip_chunk_size",
          "sse_then_silence", "never_reads", "endless_chunked", "reset_after_request",
          "healthy", "redirect_loop", "keep_alive_then_close"]


def staged(server, tls_port, number):
    """Endpoints whose checks hang in every stage; the names change with `number`."""
    slow = {"connect": "5s", "first_byte": "5s", "idle": "5s", "total": "5s"}
    urls = {stage: server.url(stage) for stage in STAGES}
    urls["tls_stall"] = f"https://127.0.0.1:{tls_port}/"
    urls["tls_drip"] = f"https://127.0.0.1:{server.port('tls_drip')}/"
    urls["name"] = "http://a-name-that-hangs-or-not.invalid/"
    urls["name_tls"] = "https://another.invalid/"
    return [http_endpoint(f"{stage}-{number}", url, timeout=slow, redirects=3, reuse=True,
                          retries={"attempts": 3, "backoff": "10ms"})
            for stage, url in urls.items()]


def test_endpoint_removed_in_the_middle_of_its_check(server, start):
    """D2: whatever stage a check is in, its endpoint may go; a late result reaches nobody."""
    tls_port = server.port("tls_stall")
    daemon = start({"endpoints": canary_endpoints(server.url("healthy"))})
    for number in range(25):
        daemon.write_config({"endpoints": canary_endpoints(server.url("healthy"))
                             + staged(server, tls_port, number)})
        reload_now(daemon)
        assert f"silent-{number}" in daemon.endpoints()
        for name in daemon.endpoints():
            if name not in CANARIES:
                daemon.request("POST", f"/api/v1/endpoints/{name}/check")
        if number % 2:
            wait_until(lambda: daemon.status_json()["self"]["checks_in_flight"] >= 5, 5,
                       "checks in flight")
    daemon.write_config({"endpoints": canary_endpoints(server.url("healthy"))})
    reload_now(daemon)
    assert set(daemon.endpoints()) == set(CANARIES)
    daemon.wait_checked(CANARIES, 3)
    assert set(daemon.endpoints()) == set(CANARIES)
    daemon.assert_canaries_well(CANARIES)
    daemon.assert_loop_never_stalled()
    assert daemon.metric("modelhealth_checks_lost_total") == 0


def test_storm_of_hangups_ends_with_the_last_file(server, start):
    """D3: fifty SIGHUPs while the file changes; the last one wins, and in a second three are done."""
    daemon = start({"endpoints": canary_endpoints(server.url("healthy"))})
    began = time.monotonic()
    for number in range(50):
        daemon.write_config({"endpoints": canary_endpoints(server.url("healthy"))
                             + [http_endpoint(f"storm-{number}", server.url("healthy"))]})
        daemon.signal(signal.SIGHUP)
    stormed = time.monotonic() - began
    wait_until(lambda: "storm-49" in daemon.endpoints(), 10, "the last configuration")
    assert set(daemon.endpoints()) == {*CANARIES, "storm-49"}
    assert 2 <= daemon.metric("modelhealth_config_reloads_total") <= 2 + stormed // 0.5
    daemon.wait_checked()
    daemon.assert_canaries_well(CANARIES)
    daemon.assert_loop_never_stalled()


def test_hangup_during_the_start_is_a_reload_after_it(server, start):
    """D3: it neither ends the daemon nor is it lost; the file may have changed since it was read."""
    daemon = start({"endpoints": []})
    daemon.stop()
    daemon.write_config({"endpoints": [
        http_endpoint(f"endpoint-{number}", server.url("healthy"), interval="1h")
        for number in range(3000)]})
    daemon.again(ready_seconds=0)
    wait_until(lambda: signal.SIGPIPE in daemon.signals("SigIgn"), 5, "the daemon's own code")
    daemon.signal(signal.SIGHUP)
    daemon.wait_ready()
    wait_until(lambda: generation(daemon) == 2, 10, "a reload")


def test_storm_without_end_does_not_keep_a_configuration_from_being_live(server, start):
    """D3: hangups come faster than a large file is read; still the file gets its turn."""
    endpoints = [http_endpoint(f"endpoint-{number}", server.url("healthy"), interval="1h")
                 for number in range(3000)]
    daemon = start({"endpoints": endpoints})
    daemon.write_config({"endpoints": endpoints[1:]})

    def is_live():
        daemon.signal(signal.SIGHUP)
        return generation(daemon) >= 3

    wait_until(is_live, 20, "a reload in the middle of the storm")


def test_storm_of_requests_is_answered_and_every_load_of_it_counts(server, start):
    """D3: requests come faster than a large file is read. Each is answered by a load that began
    after it, and none of these loads is thrown away for those who came later."""
    endpoints = [http_endpoint(f"endpoint-{number}", server.url("healthy"), interval="1h")
                 for number in range(3000)]
    daemon = start({"endpoints": endpoints})
    answers = []

    def ask():
        answers.append(daemon.request("POST", "/-/reload").json["generation"])

    threads = []
    for number in range(40):
        daemon.write_config({"endpoints": endpoints[:2000] + [
            http_endpoint(f"storm-{number}", server.url("healthy"), interval="1h")]})
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(answers) == 40
    assert "storm-39" in daemon.endpoints()
    assert 3 <= generation(daemon) <= 41
    daemon.assert_loop_never_stalled()


def test_half_written_file_changes_nothing(server, start):
    daemon = start({"endpoints": canary_endpoints(server.url("healthy"))})
    whole = open(daemon.config_path, encoding="utf-8").read()
    for size in range(1, len(whole), max(1, len(whole) // 25)):
        daemon.write_text(whole[:size] + "\n  - {")
        daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.metric("modelhealth_config_reload_failures_total"), 5,
               "a failed reload")
    assert set(daemon.endpoints()) == set(CANARIES)
    assert generation(daemon) == 1
    daemon.write_text(whole)
    reload_now(daemon)
    assert generation(daemon) == 2


def test_new_secret_is_used_from_the_next_check(server, start):
    """D4, also when only the file behind ${file:} has changed."""
    server.listen_as("keyed", answering())
    daemon = start({"endpoints": [http_endpoint("keyed", server.url("keyed"))]})
    key = daemon.file("key", "first-key\n")
    daemon.write_config({"endpoints": [http_endpoint("keyed", server.url("keyed"), headers={
        "x-api-key": "${file:%s}" % key})]})
    reload_now(daemon)
    wait_until(lambda: any(b"first-key" in head for head in list(server.requests["keyed"])), 5,
               "the first key")
    daemon.file("key", "second-key\n")
    reload_now(daemon)
    seen = len(server.requests["keyed"])
    wait_until(lambda: len(server.requests["keyed"]) >= seen + 2, 5, "two more checks")
    assert all(b"second-key" in head for head in server.requests["keyed"][seen + 1:])


def test_reload_keeps_a_down_endpoint_down(server, start):
    """A streak and its time are not forgotten because another endpoint was added."""
    config = {"endpoints": [http_endpoint("gone", "http://127.0.0.1:1/")]}
    daemon = start(config)
    wait_until(lambda: daemon.endpoint("gone")["state"] == "down", 5, "down")
    daemon.wait_checked(checks=3)
    before = daemon.endpoint("gone")
    config["endpoints"].append(http_endpoint("well", server.url("healthy")))
    daemon.write_config(config)
    reload_now(daemon)
    after = daemon.endpoint("gone")
    assert (after["state"], after["since"]) == ("down", before["since"])
    assert after["checks"][0]["streak"]["bad"] >= before["checks"][0]["streak"]["bad"]


def test_changed_url_starts_afresh(server, start):
    daemon = start({"endpoints": [http_endpoint("moved", "http://127.0.0.1:1/", fall=1)]})
    wait_until(lambda: daemon.endpoint("moved")["state"] == "down", 5, "down")
    daemon.write_config({"endpoints": [http_endpoint("moved", server.url("healthy"), fall=1)]})
    reload_now(daemon)
    wait_until(lambda: daemon.endpoint("moved")["state"] == "up", 5, "up under its new address")
    assert set(daemon.results_total("moved")) == {"ok"}


# ---- how reloads are asked for and told ----


def test_reload_command_waits_and_tells_the_outcome(server, start):
    daemon = start({"endpoints": [http_endpoint("one", server.url("healthy"))]})
    daemon.write_config({"endpoints": [http_endpoint("two", server.url("healthy"))]})
    done = run_daemon("--reload", "--config", daemon.config_path)
    assert done.returncode == 0, done.stderr
    assert set(daemon.endpoints()) == {"two"}
    listen = f"status: {{ listen: [ 'unix:{daemon.socket_path}' ] }}\n"
    daemon.write_text(listen + "endpoints:\n  - nonsense: 1\n")
    done = run_daemon("--reload", "--config", daemon.config_path)
    assert done.returncode == 2
    assert f"{daemon.config_path}:3:5: endpoints[0].nonsense" in done.stderr
    assert not done.stderr.endswith("\n\n")
    assert set(daemon.endpoints()) == {"two"}
    assert daemon.metric("modelhealth_config_last_reload_success") == 0


def test_reload_command_needs_none_of_the_credentials(server, start):
    """An operator's shell has no $CREDENTIALS_DIRECTORY; the daemon judges its file itself."""
    daemon = start({"endpoints": [http_endpoint("one", server.url("healthy"))]},
                   env={"MH_KEY": "a-key"})
    daemon.write_config({"endpoints": [http_endpoint("two", server.url("healthy"), headers={
        "x-api-key": "${env:MH_KEY}"})]})
    done = run_daemon("--reload", "--config", daemon.config_path)
    assert done.returncode == 0, done.stderr
    assert set(daemon.endpoints()) == {"two"}


@pytest.mark.parametrize("text", ["endpoints: [", "status: { listen: [ 'unix:/other' ] }\n- x\n",
                                  "status: { listen: [ 'unix:/no/such/socket' ] }\nnonsense: 1\n"])
def test_reload_in_a_unit_tells_the_daemon_of_a_file_without_its_socket(server, start, text):
    """What cannot even be parsed is refused by the daemon too, so that log and metrics know."""
    daemon = start({"endpoints": [http_endpoint("one", server.url("healthy"))]})
    daemon.write_text(text)
    done = run_daemon("--reload", "--config", daemon.config_path,
                      env={"RUNTIME_DIRECTORY": daemon.directory})
    assert done.returncode == 2
    assert f"{daemon.config_path}:" in done.stderr
    assert daemon.metric("modelhealth_config_last_reload_success") == 0
    assert "configuration refused" in daemon.stderr()
    assert set(daemon.endpoints()) == {"one"}


def test_reload_command_without_a_daemon_says_so(tmp_path):
    path = tmp_path / "modelhealthd.yaml"
    path.write_text(f"status: {{ listen: [ 'unix:{tmp_path}/s' ] }}\nendpoints: []\n")
    path.chmod(0o600)
    done = run_daemon("--reload", "--config", str(path))
    assert done.returncode == 3, done.stderr
    assert done.stderr.strip()


@pytest.mark.parametrize("way", ["SIGHUP", "POST", "--reload"])
def test_reload_is_announced_to_systemd(server, start, way):
    """RELOADING=1 with its time first, READY=1 after; a failed reload ends in READY too."""
    daemon = start({"endpoints": [http_endpoint("one", server.url("healthy"))]})
    for good in (True, False):
        seen = len(daemon.notify.messages)
        if not good:
            listen = f"status: {{ listen: [ 'unix:{daemon.socket_path}' ] }}\n"
            daemon.write_text(listen + "endpoints:\n  - nonsense: 1\n")
        if way == "SIGHUP":
            daemon.signal(signal.SIGHUP)
        elif way == "POST":
            daemon.request("POST", "/-/reload")
        else:
            run_daemon("--reload", "--config", daemon.config_path)

        def told():
            fields = [parse_notify(message) for message in list(daemon.notify.messages)[seen:]]
            starts = [n for n, field in enumerate(fields) if field.get("RELOADING") == "1"]
            ends = [n for n, field in enumerate(fields) if field.get("READY") == "1"]
            return starts and ends and starts[0] < ends[-1] and fields[starts[0]]
        announced = wait_until(told, 5, "RELOADING and then READY")
        assert int(announced["MONOTONIC_USEC"]) > 0


def test_tls_material_changes_with_a_reload(server, start, pki):
    port = server.listen_as("tls", answering(), tls=server_context(*pki.good))
    url = f"https://localhost:{port}/"
    daemon = start({"endpoints": [http_endpoint("tls", url, fall=1, rise=1)]})
    wait_until(lambda: daemon.endpoint("tls")["reason"] == "tls_verify_failed", 5, "mistrust")
    daemon.write_config({"endpoints": [http_endpoint("tls", url, fall=1, rise=1,
                                                     tls={"ca_file": pki.ca})]})
    reload_now(daemon)
    wait_until(lambda: daemon.endpoint("tls")["state"] == "up", 5, "trust")
