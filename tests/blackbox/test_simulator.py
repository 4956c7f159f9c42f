# SPDX-License-Identifier: MIT
"""modelhealth-sim: each fault as a client sees it, the pace of a stream, and the counters."""

import http.client
import json
import os
import re
import socket
import subprocess
import time

import pytest

from harness import PATIENCE, Answer, free_port, request, wait_until

MODEL = "sim-8b"


class Simulator:
    """A running modelhealth-sim with one server named sut and a control port."""

    def __init__(self, settings=""):
        self.port, self.control = free_port(), free_port()
        self.process = subprocess.Popen(
            [os.environ["MODELHEALTH_SIM"], "--control", f"127.0.0.1:{self.control}",
             "--listen", f"127.0.0.1:{self.port},name=sut{settings}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert "ready" in self.process.stdout.readline(), self.process.stderr.read()

    def connection(self, timeout=5):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * PATIENCE)

    def get(self, path, timeout=5):
        return request(self.connection(timeout), "GET", path)

    def chat(self, **more):
        return request(self.connection(), "POST", "/v1/chat/completions",
                       body=json.dumps({"model": MODEL, "messages": [], **more}))

    def order(self, query):
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=5)
        return request(connection, "POST", f"/_sim/fault?{query}")

    def show(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=5)
        return request(connection, "GET", "/_sim").json["servers"][0]

    def metric(self, name):
        match = re.search(rf"^{name}\{{[^}}]*\}} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return float(match.group(1))

    def close(self):
        self.process.terminate()
        _, errors = self.process.communicate(timeout=10 * PATIENCE)
        assert self.process.returncode == 0, errors
        assert "Sanitizer" not in errors and "runtime error" not in errors, errors


def start_chat(simulator):
    connection = simulator.connection()
    connection.request("POST", "/v1/chat/completions",
                       body=json.dumps({"model": MODEL, "messages": []}))
    return connection


@pytest.fixture
def simulate():
    running = []

    def start(settings=""):
        running.append(Simulator(settings))
        return running[-1]

    yield start
    for simulator in running:
        simulator.close()


def events(answer):
    return [line[len("data: "):] for line in answer.text.splitlines() if line.startswith("data: ")]


def test_plain_answers_follow_the_settings(simulate):
    simulator = simulate(",status=418,body=teapot,header=X-Pot: tea,delay=50ms,jitter=20ms")
    began = time.monotonic()
    answer = simulator.get("/health")
    assert (answer.status, answer.text, answer.headers["X-Pot"]) == (418, "teapot", "tea")
    assert time.monotonic() - began >= 0.05
    assert simulator.get("/v1/models").json["data"][0]["id"] == MODEL


def test_a_delayed_answer_costs_no_cpu(simulate):
    sim = simulate(",delay=1500ms")

    def cpu_seconds():
        with open(f"/proc/{sim.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = cpu_seconds()
    assert sim.get("/health").status == 200
    assert cpu_seconds() - before < 0.5


def test_connections_are_kept_until_they_idle(simulate):
    simulator = simulate(",idle=100ms")
    connection = simulator.connection()
    for _ in range(2):
        connection.request("GET", "/health")
        Answer(connection.getresponse())
    assert simulator.show()["accepted_total"] == 1
    wait_until(lambda: simulator.show()["connections"] == 0, 5, "idle close")


def test_a_stream_has_the_pace_of_the_script(simulate):
    simulator = simulate(",ttft=100ms,gap=30ms,tokens=4")
    connection = simulator.connection()
    began = time.monotonic()
    connection.request("POST", "/v1/chat/completions", body=json.dumps(
        {"model": MODEL, "stream": True, "stream_options": {"include_usage": True}}))
    response = connection.getresponse()
    assert response.headers["Content-Type"].startswith("text/event-stream")
    first = response.readline()
    assert time.monotonic() - began >= 0.1
    rest = response.read().decode()
    assert time.monotonic() - began >= 0.1 + 3 * 0.03
    chunks = [json.loads(line[6:]) for line in (first.decode() + rest).splitlines()
              if line.startswith("data: {")]
    deltas = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert "".join(delta["delta"]["content"] for delta in deltas) == "Ready. I am a"
    assert deltas[-1]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    assert rest.rstrip().endswith("data: [DONE]")


def test_max_tokens_ends_an_answer_early(simulate):
    answer = simulate(",ttft=0,gap=0").chat(max_tokens=2).json
    assert answer["choices"][0]["message"]["content"] == "Ready. I"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 2


def test_counters_advance_with_the_tokens(simulate):
    simulator = simulate(",ttft=0,gap=0,tokens=5")
    simulator.chat()
    simulator.chat(stream=True)
    assert simulator.metric("vllm:generation_tokens_total") == 10
    assert simulator.metric("vllm:time_to_first_token_seconds_count") == 2
    assert simulator.metric("vllm:num_requests_running") == 0


def test_chats_beyond_the_slots_wait_and_get_their_turn(simulate):
    simulator = simulate(",slots=1,ttft=300ms,gap=0,tokens=1")
    connections = [simulator.connection() for _ in range(3)]
    for connection in connections:
        connection.request("POST", "/v1/chat/completions", body=json.dumps({"model": MODEL}))
    wait_until(lambda: simulator.metric("vllm:num_requests_waiting") == 2, 5, "a queue of two")
    assert simulator.metric("vllm:num_requests_running") == 1
    for connection in connections:
        assert Answer(connection.getresponse()).status == 200


def test_a_chat_whose_client_left_gives_its_slot_back(simulate):
    simulator = simulate(",slots=1,fault=stall")
    connections = [simulator.connection() for _ in range(2)]
    for connection in connections:
        connection.request("POST", "/v1/chat/completions", body=json.dumps({"model": MODEL}))
    wait_until(lambda: simulator.metric("vllm:num_requests_waiting") == 1, 5, "a queue of one")
    tokens = simulator.metric("vllm:generation_tokens_total")
    connections[0].close()
    wait_until(lambda: simulator.metric("vllm:num_requests_waiting") == 0, 5, "the slot")
    assert simulator.metric("vllm:num_requests_running") == 1
    assert simulator.metric("vllm:generation_tokens_total") == tokens


def test_few_threads_are_all_that_is_served(simulate):
    simulator = simulate(",threads=2,slots=1,ttft=300ms,gap=0,tokens=1")
    held = [socket.create_connection(("127.0.0.1", simulator.port)) for _ in range(2)]
    wait_until(lambda: simulator.show()["connections"] == 2, what="both threads busy")
    with pytest.raises(TimeoutError):
        simulator.get("/health", timeout=0.2)
    for sock in held:
        sock.close()
    assert simulator.get("/health").status == 200


def test_a_server_with_threads_begins_what_a_client_gave_up(simulate):
    simulator = simulate(",threads=3,slots=1,ttft=500ms,gap=0,tokens=1")
    first = start_chat(simulator)
    wait_until(lambda: simulator.show()["running"] == 1, what="the first chat")
    start_chat(simulator).close()
    wait_until(lambda: simulator.show()["waiting"] == 1, what="the second chat")
    assert Answer(first.getresponse()).status == 200
    # Nobody waits for it any more, and still it has the slot.
    wait_until(lambda: simulator.show()["running"] == 1, what="the chat of nobody")
    wait_until(lambda: simulator.show()["running"] == 0, what="its end")


@pytest.mark.parametrize("fault, status", [("error", 500), ("loading", 503), ("rate_limit", 429)])
def test_faults_that_replace_the_answer(simulate, fault, status):
    answer = simulate(f",fault={fault}").get("/health")
    assert answer.status == status
    assert (answer.headers["Retry-After"] == "5") == (fault == "rate_limit")


@pytest.mark.parametrize("fault, error", [
    ("freeze", TimeoutError), ("garbage", http.client.BadStatusLine), ("hang", TimeoutError),
    ("refuse", ConnectionRefusedError), ("reset", ConnectionResetError),
    ("slow", TimeoutError), ("truncate", http.client.IncompleteRead), ("vanish", TimeoutError)])
def test_faults_that_break_the_connection(simulate, fault, error):
    simulator = simulate()
    assert simulator.order(f"name={fault}&server=sut").status == 200
    assert simulator.show()["faults"] == [fault]
    with pytest.raises(error):
        simulator.get("/health", timeout=0.5 / PATIENCE)
    simulator.order("name=none")
    assert simulator.get("/health").status == 200


def test_drip_sends_the_answer_in_small_pieces(simulate):
    simulator = simulate(",fault=drip")
    began = time.monotonic()
    assert simulator.get("/health").text == '{"status":"ok"}'
    assert time.monotonic() - began >= 1


def test_streams_break_half_way(simulate):
    simulator = simulate(",ttft=0,gap=0,tokens=4")
    simulator.order("name=truncate")
    with pytest.raises(http.client.IncompleteRead):
        simulator.chat(stream=True)
    simulator.order("name=truncate&set=off")
    simulator.order("name=stream_error")
    answer = simulator.chat(stream=True)
    assert answer.status == 200
    assert "error" in json.loads(events(answer)[-2])


def test_another_model_refuses_the_old_name(simulate):
    simulator = simulate(",ttft=0,gap=0")
    simulator.order("name=wrong_model")
    assert simulator.get("/v1/models").json["data"][0]["id"] != MODEL
    assert simulator.chat().status == 404


def test_a_schedule_switches_on_and_off(simulate):
    simulator = simulate(",fault=error at 200ms for 300ms every 1s")
    for _ in range(2):
        wait_until(lambda: simulator.get("/health").status == 500, 5, "the fault")
        wait_until(lambda: simulator.get("/health").status == 200, 5, "its end")


def test_an_order_for_a_time_ends_by_itself(simulate):
    simulator = simulate()
    simulator.order("name=error&for=200ms")
    assert simulator.get("/health").status == 500
    wait_until(lambda: simulator.get("/health").status == 200, 5, "the end of the fault")


@pytest.mark.parametrize("query", ["", "name=flood", "name=hang&for=5", "name=hang&set=on",
                                   "name=hang&server=nobody"])
def test_wrong_orders_are_refused_and_change_nothing(simulate, query):
    simulator = simulate()
    assert simulator.order(query).status == 400
    assert simulator.show()["faults"] == []


def test_bad_requests_get_an_answer_and_the_door(simulate):
    simulator = simulate()
    for data, status in [(b"nonsense\r\n\r\n", b"400"), (b"A" * 9000, b"413"),
                         (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"501")]:
        with socket.create_connection(("127.0.0.1", simulator.port), timeout=5) as sock:
            sock.sendall(data)
            assert sock.recv(64).split(b" ")[1] == status
    assert simulator.chat(model="other").status == 404
    assert request(simulator.connection(), "POST", "/v1/chat/completions", body="{").status == 400


def test_requests_that_come_during_an_answer_wait_for_its_end(simulate):
    """The buffer moves under the answer that is being generated."""
    simulator = simulate(",ttft=200ms,gap=0")
    body = json.dumps({"model": MODEL, "messages": ["x" * 30000]}).encode()
    post = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", simulator.port), timeout=5 * PATIENCE) as sock:
        sock.sendall(post + b"\r\n" + body)
        wait_until(lambda: simulator.metric("vllm:num_requests_running") == 1, 5, "the first chat")
        sock.sendall((post + b"\r\n" + body + post + b"Connection: close\r\n\r\n" + body))
        received = b""
        while chunk := sock.recv(65536):
            received += chunk
    assert received.count(b"HTTP/1.1 200 OK") == received.count(b'"finish_reason":"stop"') == 3


def test_all_errors_of_a_file_are_told(tmp_path):
    path = tmp_path / "sim.yaml"
    path.write_text("seed: x\nservers:\n  - { listen: '10.0.0.1:80', fault: [ hang, flood ] }\n"
                    "  - { name: a }\n")
    done = subprocess.run([os.environ["MODELHEALTH_SIM"], "--config", path], text=True,
                          capture_output=True, check=False)
    assert done.returncode == 2
    assert re.findall(r":(\d+:\d+): (\w+)", done.stderr) == [
        ("1:7", "seed"), ("3:45", "fault"), ("4:5", "a")]
