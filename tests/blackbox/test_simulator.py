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

from harness import PATIENCE, Answer, request, wait_until
from simulator import MODEL


def start_chat(simulator):
    connection = simulator.connection()
    connection.request("POST", "/v1/chat/completions",
                       body=json.dumps({"model": MODEL, "messages": []}))
    return connection


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


@pytest.mark.parametrize("fault, status", [
    ("error", 500), ("loading", 503), ("overload", 503), ("quota", 429), ("rate_limit", 429),
    ("unauthorized", 401)])
def test_faults_that_replace_the_answer(simulate, fault, status):
    simulator = simulate(f",fault={fault}")
    answer = simulator.get("/health")
    assert answer.status == simulator.chat().status == status
    assert "message" in answer.json["error"]
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


def stream(simulator):
    """The chunks of one whole stream, and what it ends with."""
    data = events(simulator.chat(stream=True))
    is_done = bool(data) and data[-1] == "[DONE]"
    return [json.loads(text) for text in data[:len(data) - is_done]], is_done


def text_of(chunks):
    return "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks if chunk["choices"])


def test_streams_that_end_well_and_say_too_little(simulate):
    simulator = simulate(",ttft=0,gap=0,tokens=4")
    simulator.order("name=done_only")
    assert stream(simulator) == ([], True)
    assert simulator.chat().json["choices"] == []
    simulator.order("name=done_only&set=off")
    simulator.order("name=no_finish")
    chunks, is_done = stream(simulator)
    assert not is_done and text_of(chunks) == "Ready. I am a"
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)
    assert simulator.chat().json["choices"][0]["finish_reason"] is None


@pytest.mark.parametrize("fault, text", [("degenerate", "! ! ! !"),
                                         ("wrong_text", "Colourless green ideas sleep")])
def test_streams_that_say_something_else(simulate, fault, text):
    simulator = simulate(f",ttft=0,gap=0,tokens=4,fault={fault}")
    chunks, is_done = stream(simulator)
    assert is_done and text_of(chunks) == text
    assert simulator.chat().json["choices"][0]["message"]["content"] == text


def test_pings_are_no_tokens_and_give_way_to_them(simulate):
    simulator = simulate(",ttft=0,gap=0,tokens=2,fault=ping")
    connection = simulator.connection()
    connection.request("POST", "/v1/chat/completions",
                       body=json.dumps({"model": MODEL, "stream": True}))
    response = connection.getresponse()
    assert b'"role":"assistant"' in response.readline()
    assert [response.readline() for _ in range(6)] == [b"\n", b":\n"] * 3
    assert simulator.metric("vllm:generation_tokens_total") == 0
    simulator.order("name=none")
    assert b"[DONE]" in response.read()
    assert simulator.metric("vllm:generation_tokens_total") == 2


def test_slow_tokens_come_two_a_second(simulate):
    simulator = simulate(",ttft=0,gap=0,tokens=2,fault=slow_tokens")
    began = time.monotonic()
    assert simulator.chat(stream=True).status == 200
    assert 0.5 <= time.monotonic() - began < 1.4 * PATIENCE


def test_a_long_prompt_takes_its_time(simulate):
    simulator = simulate(",ttft=0,gap=0,tokens=1,prefill=1ms")
    began = time.monotonic()
    usage = simulator.chat(messages=["x" * 2000]).json["usage"]
    assert time.monotonic() - began >= usage["prompt_tokens"] / 1000 >= 0.5


def test_spared_paths_answer_whatever_is_wrong(simulate):
    simulator = simulate(",spare=/health,spare=/metrics,delay=10ms")
    for fault in ("error", "hang", "reset", "garbage", "slow", "truncate", "freeze", "drip"):
        simulator.order("name=none")
        simulator.order(f"name={fault}")
        began = time.monotonic()
        assert simulator.get("/health").text == '{"status":"ok"}'
        assert simulator.get("/metrics").status == 200
        assert time.monotonic() - began < 1 * PATIENCE
    simulator.order("name=none")
    simulator.order("name=error")
    assert simulator.get("/v1/models").status == simulator.chat().status == 500


def embed(simulator, text):
    answer = request(simulator.connection(), "POST", "/v1/embeddings",
                     body=json.dumps({"model": MODEL, "input": text}))
    assert answer.status == 200
    return [item["embedding"] for item in answer.json["data"]]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_embeddings_follow_the_text(simulate):
    simulator = simulate(",ttft=0,dimension=256")
    [first] = embed(simulator, "the quick brown fox jumps over the lazy dog")
    assert len(first) == 256 and abs(cosine(first, first) - 1) < 1e-5
    again, near, far = embed(simulator, ["the quick brown fox jumps over the lazy dog",
                                         "the quick brown fox jumps over the lazy cat",
                                         "nothing of this sort"])
    assert again == first
    assert 0.8 < cosine(first, near) < 1
    assert abs(cosine(first, far)) < 0.3
    assert simulator.metric("vllm:prompt_tokens_total") > 0


def test_embeddings_fail_as_chats_do(simulate):
    simulator = simulate(",ttft=0,dimension=64")
    [right] = embed(simulator, "right")
    simulator.order("name=wrong_text")
    assert abs(cosine(right, embed(simulator, "right")[0])) < 0.5
    simulator.order("name=degenerate")
    assert embed(simulator, "right") == [[0] * 64]
    simulator.order("name=stall")
    connection = simulator.connection(timeout=0.3 / PATIENCE)
    connection.request("POST", "/v1/embeddings", body=json.dumps({"model": MODEL, "input": "x"}))
    with pytest.raises(TimeoutError):
        connection.getresponse()


def test_finished_chats_are_told(simulate, tmp_path):
    path = tmp_path / "chats"
    simulator = simulate(",ttft=30ms,gap=20ms,tokens=3", "--chats", str(path))
    began = time.monotonic()
    simulator.chat(stream=True)
    ended = time.monotonic()
    simulator.close()
    [chat] = [json.loads(line) for line in path.read_text().splitlines()]
    assert chat["host"] == f"127.0.0.1:{simulator.port}" and chat["tokens"] == 3
    # What is due is counted from the beginning of the turn, a little before it is asked.
    assert began <= chat["asked_at"] <= chat["first_at"] - 0.029
    assert chat["first_at"] + 0.035 <= chat["last_at"] <= ended
    assert 0.015 <= chat["gap_max"] <= chat["last_at"] - chat["first_at"]


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
