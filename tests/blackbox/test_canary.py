# SPDX-License-Identifier: MIT
"""Canaries against a scripted model server: what each answer means, what is sent and what is not."""

import contextlib
import email.utils
import json
import re
import socketserver
import tempfile
import threading
import time
import types

import pytest

from harness import last_of, run_daemon, wait_until

CHAT = {
    "path": "/v1/chat/completions",
    "body": '{"model":"${model}","messages":[{"role":"user","content":"${prompt}"}],'
            '"max_tokens":${max_tokens},"stream":true,"stream_options":{"include_usage":true}}',
    "framing": "sse",
    "text": ["/choices/0/delta/content"],
    "reasoning": ["/choices/0/delta/reasoning_content"],
    "finish": ["/choices/0/finish_reason"],
    "sentinel": "[DONE]",
    "error": ["/error"],
    "prompt_tokens": "/usage/prompt_tokens",
    "completion_tokens": "/usage/completion_tokens",
    "model": "/model",
}
PLAIN = {
    "path": "/v1/chat/completions",
    "body": '{"model":"${model}","messages":[{"role":"user","content":"${prompt}"}]}',
    "framing": "json",
    "text": ["/choices/0/message/content"],
    "finish": ["/choices/0/finish_reason"],
    "prompt_tokens": "/usage/prompt_tokens",
    "completion_tokens": "/usage/completion_tokens",
    "model": "/model",
}
LINES = {
    "path": "/api/generate",
    "body": '{"model":"${model}","prompt":"${prompt}","options":{"num_predict":${max_tokens}}}',
    "framing": "ndjson",
    "text": ["/response"],
    "finish": ["/done"],
    "error": ["/error"],
    "prompt_tokens": "/prompt_eval_count",
    "completion_tokens": "/eval_count",
    "model": "/model",
}
EMBED = {
    "path": "/v1/embeddings",
    "body": '{"model":"${model}","input":"${prompt}"}',
    "framing": "json",
    "embedding": "/data/0/embedding",
    "prompt_tokens": "/usage/prompt_tokens",
}
INFER = {"path": "/v2/models/${model}/infer", "framing": "json", "require": ["/outputs/0/name"],
         "error": ["/error"]}


# ---- the server ----


def head(status, content_type="application/json", **more):
    lines = [f"HTTP/1.1 {status} Status", f"Content-Type: {content_type}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def document(value, status=200, **more):
    """One JSON answer."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return [head(status, Content_Length=len(body), **more) + body]


def event(value):
    return b"data: " + (value.encode() if isinstance(value, str) else json.dumps(value).encode()) \
        + b"\n\n"


def delta(text=None, finish=None, **more):
    part = {} if text is None else {"content": text}
    return event({"model": "m", "choices": [{"index": 0, "delta": part, "finish_reason": finish}],
                  **more})


ROLE = event({"model": "m", "choices": [{"delta": {"role": "assistant", "content": ""}}]})
USAGE = event({"model": "m", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 4}})
DONE = event("[DONE]")
SSE = head(200, "text/event-stream")


def stream(*words, pause=0.0, tail=None):
    """A good stream of these words; tail replaces what follows them."""
    script = [SSE + ROLE]
    for word in words:
        script += [pause, delta(word)]
    return script + (tail if tail is not None else [delta(finish="stop") + USAGE + DONE])


class Forever(list):
    """A script whose last piece repeats until the client has gone."""


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(20)
        data = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in data:
                data += self.request.recv(65536) or self.quit()
            top, _, body = data.partition(b"\r\n\r\n")
            length = re.search(rb"(?im)^content-length: *(\d+)", top)
            while len(body) < int(length.group(1) if length else 0):
                body += self.request.recv(65536) or self.quit()
            path = top.split()[1].decode()
            self.server.seen.append(types.SimpleNamespace(
                method=top.split()[0].decode(), path=path, head=top.decode(),
                body=body.decode(), at=time.monotonic()))
            self.play(self.server.choose(path, body.decode()))

    def quit(self):
        raise OSError("the client has gone")

    def play(self, script):
        for piece in script:
            self.step(piece)
        while isinstance(script, Forever):
            for piece in script[-2:]:
                self.step(piece)

    def step(self, piece):
        if isinstance(piece, bytes):
            self.request.sendall(piece)
        else:
            # waits, but not beyond the client
            self.request.settimeout(piece or 0.0001)
            with contextlib.suppress(TimeoutError):
                if not self.request.recv(1):
                    self.quit()
            self.request.settimeout(20)


class Model(socketserver.ThreadingTCPServer):
    """answers: {path: script, or function of the request's body that gives one}."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.seen = []
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def choose(self, path, body):
        script = self.answers.get(path, document({"error": "no such path"}, 404))
        return script(body) if callable(script) else script

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self):
        self.shutdown()
        self.server_close()
        self.thread.join()


@pytest.fixture
def serve():
    """serve(answers) runs a scripted server until the end of the test; a bare script answers every
    dialect of this file."""
    running = []

    def start_model(answers):
        if not isinstance(answers, dict):
            answers = {path: answers for path in
                       ("/v1/chat/completions", "/api/generate", "/v1/embeddings")}
        running.append(Model(answers))
        return running[-1]
    yield start_model
    for model in running:
        model.close()


# ---- asking ----


def endpoint(server, dialect=CHAT, /, **canary):
    return {"name": "m", "type": "canary", "url": server.url, "models": ["m"],
            "checks": {"canary": {"modes": {"the-mode": dialect}, **canary}}}


def write(tree):
    file = tempfile.NamedTemporaryFile("w", suffix=".yaml")
    json.dump({"status": {"listen": ["127.0.0.1:0"]}, **tree}, file)
    file.flush()
    return file


def once(server, dialect=CHAT, /, **canary):
    """The result of one run."""
    with write({"endpoints": [endpoint(server, dialect, **canary)]}) as file:
        done = run_daemon("--config", file.name, "--once", "m", "--output", "json")
    assert done.returncode in (0, 1), done.stderr
    return types.SimpleNamespace(
        **json.loads(done.stdout)["endpoints"][0]["checks"][0]["last"])


def ask(serve, script, dialect=CHAT, /, **canary):
    return once(serve(script), dialect, **canary)


def expect(result, reason, verdict, *words):
    assert (result.reason, result.verdict) == (reason, verdict), result.detail
    for word in words:
        assert word in result.detail, result.detail


FAST = {"timeout": {"first_token": "400ms", "idle": "300ms", "total": "5s"}}


# ---- good answers ----


def test_good_stream_tells_tokens_and_times(serve):
    model = serve(stream("Ready", " to", " go", " on", pause=0.05))
    result = once(model)
    expect(result, "ok", "up")
    assert result.tokens["source"] == "reported"
    assert (result.tokens["prompt"], result.tokens["completion"]) == (7, 4)
    assert 0.04 < result.tokens["inter_token_mean_seconds"] < 0.2
    assert 0.04 < result.timings["first_token_seconds"] < 0.5
    assert result.timings["first_byte_seconds"] < result.timings["first_token_seconds"]
    (request,) = model.seen
    sent = json.loads(request.body)
    assert re.fullmatch(r"[0-9a-f]{8} Reply with the word ready\.", sent["messages"][0]["content"])
    assert (sent["model"], sent["max_tokens"]) == ("m", 16)
    assert re.search(r"(?im)^content-type: application/json\r?$", request.head)


def test_nonces_differ_and_prompts_are_escaped(serve):
    model = serve(stream("x", "y"))
    with write({"endpoints": [dict(endpoint(model, prompt='say "a\\b"\n', max_tokens=3), name=name)
                              for name in ("a", "b")]}) as file:
        run_daemon("--config", file.name, "--once")
    prompts = {json.loads(seen.body)["messages"][0]["content"] for seen in model.seen}
    assert len(prompts) == 2
    assert {prompt[8:] for prompt in prompts} == {' say "a\\b"\n'}


def test_document_and_lines(serve):
    answer = {"model": "m", "choices": [{"message": {"content": "ready now"},
                                         "finish_reason": "stop"}],
              "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    result = ask(serve, document(answer), PLAIN, expect={"text": "ready"})
    expect(result, "ok", "up")
    assert result.tokens["completion"] == 2
    lines = [json.dumps({"model": "m", "response": word, "done": False}).encode() + b"\n"
             for word in ("one", " two")]
    last = json.dumps({"model": "m", "response": "", "done": True, "prompt_eval_count": 5,
                       "eval_count": 2}).encode() + b"\n"
    script = [head(200, "application/x-ndjson"), lines[0], 0.05, lines[1], last]
    result = ask(serve, script, LINES, expect={"text": {"equals": "one two"}, "usage": True})
    expect(result, "ok", "up")
    assert "first_token_seconds" in result.timings


# ---- broken streams ----


@pytest.mark.parametrize("tail, reason", [
    ([], "stream_truncated"),
    ([DONE], "stream_truncated"),
    ([event({"error": {"message": "engine died", "code": 500}}), DONE], "stream_error"),
])
def test_broken_stream(serve, tail, reason):
    expect(ask(serve, stream("a", " b", tail=tail)), reason, "down")


def test_done_alone_is_no_answer(serve):
    result = ask(serve, [SSE + DONE])
    assert result.verdict == "down" and result.reason in ("stream_truncated", "degenerate_output")


def test_connection_cut_inside_a_stream_is_truncation(serve):
    chunked = head(200, "text/event-stream", Transfer_Encoding="chunked")
    part = delta("a") + delta(" b")
    script = [chunked, f"{len(part):x}\r\n".encode() + part + b"\r\n"]
    expect(ask(serve, script), "stream_truncated", "down")


def test_error_document_instead_of_a_stream(serve):
    result = ask(serve, document({"error": {"message": "backend lost"}}))
    expect(result, "stream_error", "down", "backend lost")


# ---- timeouts ----


def test_stall_after_tokens_is_idle_although_pings_come(serve):
    script = Forever(stream("a", " b", " c", tail=[b": ping\n\n", 0.05]))
    result = ask(serve, script, **FAST)
    expect(result, "timeout_idle", "down", "no text for 300ms after 3 tokens")
    assert 0.25 < result.timings["total_seconds"] < 1
    assert result.tokens["completion"] == 3 and "first_token_seconds" in result.timings


def test_pings_are_no_first_token(serve):
    result = ask(serve, Forever([SSE + ROLE, b": ping\n\n", 0.05]), **FAST)
    expect(result, "timeout_first_token", "down", "no text within 400ms")
    assert 0.35 < result.timings["total_seconds"] < 1.5


def test_silence_is_timeout_first_token(serve):
    result = ask(serve, [3], **FAST)
    expect(result, "timeout_first_token", "down")
    assert result.timings["total_seconds"] < 1.5


def test_endless_answer_is_timeout_total(serve):
    script = Forever([SSE, delta("a"), 0.02])
    result = ask(serve, script, timeout={"first_token": "1s", "idle": "1s", "total": "1s"})
    expect(result, "timeout_total", "down")


def test_slow_headers_of_a_stream_are_allowed_first_token(serve):
    """The first byte of a busy server comes with its first token."""
    script = [0.6, *stream("a", "b")]
    result = ask(serve, script, timeout={"first_byte": "200ms", "first_token": "5s", "total": "9s"})
    expect(result, "ok", "up")


# ---- wrong answers ----


def test_wrong_answer_and_its_severity(serve):
    model = serve(stream("I", " am", " sorry"))
    expect(once(model, expect={"text": {"matches": "(?i)ready"}}), "wrong_answer", "down",
           "I am sorry")
    expect(once(model, expect={"text": {"contains": "ready", "severity": "degraded"}}),
           "wrong_answer", "degraded")
    expect(once(model, expect={"text": {"not_matches": "sorry"}}), "wrong_answer", "down")
    expect(once(model, expect={"text": {"equals": "I am sorry"}}), "ok", "up")


def test_json_answer(serve):
    model = serve(stream("```json\n", '{"answer": ', "4}", "\n```"))
    expect(once(model, expect={"text": {"json": {"/answer": 4}}}), "ok", "up")
    expect(once(model, expect={"text": {"json": {"/answer": 5}}}), "wrong_answer", "down")
    expect(ask(serve, stream("four"), expect={"text": {"json": {"/answer": 4}}}),
           "wrong_answer", "down")


def test_degenerate_output_can_be_allowed(serve):
    model = serve(stream(*["!"] * 40))
    expect(once(model), "degenerate_output", "down")
    expect(once(model, expect={"refuse_degenerate": False}), "ok", "up")


def test_finish_usage_and_model(serve):
    model = serve(stream("a", "b", tail=[delta(finish="length") + DONE]))
    expect(once(model), "ok", "up")
    expect(once(model, expect={"finish": ["stop"]}), "wrong_answer", "down", "length")
    expect(once(model, expect={"finish": ["stop", "length"]}), "ok", "up")
    expect(once(model, expect={"usage": True}), "wrong_answer", "down", "count of tokens")
    expect(once(model, model="other"), "ok", "up")
    expect(once(model, model="other", check_model=True), "model_drift", "degraded", "other")


def test_slow_answers(serve):
    model = serve(stream("a", "b", "c", "d", pause=0.06))
    expect(once(model, ttft={"degraded": "10ms"}), "slow", "degraded", "first token took")
    expect(once(model, ttft={"degraded": "10ms", "down": "20ms"}), "slow", "down")
    expect(once(model, inter_token={"degraded": "20ms"}), "slow", "degraded", "p95")
    expect(once(model, tokens_per_second={"degraded_below": 1000}), "slow", "degraded",
           "tokens/s, limit 1000")
    expect(once(model, tokens_per_second={"down_below": 1000}), "slow", "down")
    expect(once(model, ttft={"degraded": "5s"}, inter_token={"down": "5s"},
                tokens_per_second={"down_below": 0.5}), "ok", "up")


# ---- refusals ----


@pytest.mark.parametrize("status, reason, verdict", [
    (401, "auth_failed", "unknown"), (403, "auth_failed", "unknown"), (400, "bad_probe", "unknown"),
    (404, "bad_probe", "unknown"), (422, "bad_probe", "unknown"), (500, "server_error", "down"),
    (302, "http_status", "down")])
def test_status_by_itself(serve, status, reason, verdict):
    result = ask(serve, document({"error": {"message": "the words of it"}}, status))
    expect(result, reason, verdict, str(status), "the words of it")


def test_rules_come_before_the_status(serve):
    model = serve(document({"error": {"type": "insufficient_quota"}}, 429))
    errors = [{"status": 429, "json": {"/error/type": "insufficient_quota"},
               "reason": "quota_exhausted"}]
    expect(once(model), "rate_limited", "degraded")
    expect(once(model, errors=errors), "quota_exhausted", "down")
    expect(once(model, errors=errors, rules=[{"status": 429, "reason": "overloaded"}]),
           "overloaded", "degraded")
    expect(ask(serve, stream("a", "b"), rules=[{"status": 200, "reason": "draining"}]),
           "draining", "not_ready")


@pytest.mark.parametrize("more, body", [
    ({"Retry_After": 2}, {}),
    ({"retry_after_ms": 2000, "Retry_After": 90}, {}),
    ({"Retry_After": "date"}, {}),
    ({}, {"error": {"details": [{"@type": "x"}, {"retryDelay": "2s"}]}}),
])
def test_next_try_waits_as_long_as_the_server_asks(serve, start, more, body):
    def answer(_):
        headers = dict(more)
        if headers.get("Retry_After") == "date":
            headers["Retry_After"] = email.utils.formatdate(time.time() + 3, usegmt=True)
        return document(body, 429, **headers)
    model = serve(answer)
    daemon = start({"endpoints": [endpoint(model, interval="1s", fast_interval="1s", jitter="0s",
                                           down_interval="1s")]})
    wait_until(lambda: len(model.seen) >= 2, 15, "the second request")
    assert last_of(daemon.endpoint("m"))["reason"] == "rate_limited"
    assert 1.7 < model.seen[1].at - model.seen[0].at < 5


def test_stream_options_are_left_out_where_they_are_refused(serve, start):
    def answer(body):
        if "stream_options" in body:
            return document({"detail": "unknown field stream_options"}, 422)
        return stream("a", "b")
    model = serve(answer)
    daemon = start({"endpoints": [endpoint(model, interval="1s", jitter="0s")]})
    wait_until(lambda: len(model.seen) >= 4, 15, "three runs")
    assert last_of(daemon.endpoint("m"))["reason"] == "ok"
    assert ["stream_options" in seen.body for seen in model.seen[:4]] == [True] + [False] * 3
    assert all(json.loads(seen.body)["stream"] for seen in model.seen)


# ---- embeddings ----


def vector(*numbers):
    return document({"data": [{"embedding": numbers}], "usage": {"prompt_tokens": 3}})


def test_embedding_limits(serve):
    model = serve(vector(0.6, 0.8, 0))
    expect(once(model, EMBED), "ok", "up")
    expect(once(model, EMBED, expect={"embedding": {"dimension": 4}}), "embedding_mismatch",
           "down", "dimension 3, expected 4")
    expect(once(model, EMBED, expect={"embedding": {"golden": [6, 8, 0]}}), "ok", "up")
    expect(once(model, EMBED, expect={"embedding": {"golden": [0, 0, 1]}}), "embedding_mismatch",
           "down", "cosine 0.0000")
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("[0.0, 1.0, 0.0]\n")
        file.flush()
        golden = {"golden": "${file:" + file.name + "}", "min_cosine": 0.9}
        expect(once(model, EMBED, expect={"embedding": golden}), "embedding_mismatch", "down",
               "cosine 0.8000")
    expect(ask(serve, vector(0, 0), EMBED), "embedding_mismatch", "down", "norm 0")
    expect(ask(serve, vector(0.01, -0.02), EMBED), "ok", "up")  # not all servers normalise
    assert ask(serve, vector(), EMBED).verdict == "down"


def test_first_embedding_is_the_golden_one(serve, start):
    answers = iter([vector(1, 0), vector(1, 0.01), vector(0, 1)])
    current = []

    def answer(_):
        current.append(next(answers, vector(0, 1)))
        return current[-1]
    model = serve(answer)
    daemon = start({"endpoints": [endpoint(model, EMBED, interval="1s", jitter="0s")]})
    wait_until(lambda: (last_of(daemon.endpoint("m")) or {}).get("reason") == "embedding_mismatch",
               15, "the mismatch")
    assert len(model.seen) == 3
    assert len({seen.body for seen in model.seen}) == 1, "the same text each time"


# ---- looking before asking ----

LOADED = {"path": "/api/ps", "ids": "/models/*/name"}


def test_cold_model_is_not_asked(serve):
    model = serve({"/api/ps": document({"models": [{"name": "other"}]}),
                   "/v1/chat/completions": stream("a", "b")})
    expect(once(model, loaded=LOADED), "cold", "up", "not in memory")
    assert [seen.path for seen in model.seen] == ["/api/ps"]
    expect(once(model, loaded=LOADED, wake="allowed"), "ok", "up")
    assert [seen.path for seen in model.seen[1:]] == ["/v1/chat/completions"]


def test_loaded_model_is_asked(serve):
    model = serve({"/api/ps": document({"models": [{"name": "m:latest"}]}),
                   "/v1/chat/completions": stream("a", "b")})
    expect(once(model, loaded=LOADED), "ok", "up")
    assert [seen.path for seen in model.seen] == ["/api/ps", "/v1/chat/completions"]


def test_failed_look_asks_nothing(serve):
    model = serve({"/api/ps": document({"error": "locked"}, 500)})
    expect(once(model, loaded=LOADED), "server_error", "down")
    model = serve({"/api/ps": document(b"<html>")})
    expect(once(model, loaded=LOADED), "json_invalid", "down")
    assert len(model.seen) == 1


# ---- zero inputs ----

METADATA = {"path": "/v2/models/${model}"}
INPUTS = {"name": "m", "inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [-1, 4]},
                                  {"name": "text", "datatype": "BYTES", "shape": [-1]}]}
ZEROS = {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [0, 0, 0, 0]},
                    {"name": "text", "datatype": "BYTES", "shape": [1], "data": [""]}]}


def test_input_is_made_of_the_metadata_once(serve, start):
    fine = document({"outputs": [{"name": "OUTPUT0", "data": [0.5]}]})
    model = serve({"/v2/models/m": document(INPUTS),
                   "/v2/models/m/infer": lambda _: document({"error": "reloaded"}, 400)
                   if len(model.seen) == 4 else fine})
    start({"endpoints": [endpoint(model, INFER, metadata=METADATA, interval="1s", jitter="0s",
                                  fast_interval="1s", down_interval="1s")]})
    wait_until(lambda: len(model.seen) >= 6, 20, "a new look at the metadata")
    assert [seen.path.rpartition("/")[2] for seen in model.seen[:6]] == \
        ["m", "infer", "infer", "infer", "m", "infer"]
    assert json.loads(model.seen[1].body) == ZEROS


def test_useless_metadata(serve):
    model = serve({"/v2/models/m": document({"name": "m", "inputs": []})})
    expect(once(model, INFER, metadata=METADATA), "bad_probe", "unknown", "names no inputs")
    model = serve({"/v2/models/m": document(INPUTS), "/v2/models/m/infer": document({})})
    assert once(model, INFER, metadata=METADATA).verdict == "down"


# ---- on the command line ----


def test_once_with_a_name_draws_the_phases(serve):
    model = serve(stream("a", " b", " c", " d", pause=0.05))
    with write({"endpoints": [endpoint(model), dict(endpoint(model), name="other")]}) as file:
        alone = run_daemon("--config", file.name, "--once", "m")
        everything = run_daemon("--config", file.name, "--once")
        as_json = run_daemon("--config", file.name, "--once", "m", "--output", "json")
    assert alone.returncode == 0 and "canary of m: ok\n" in alone.stdout
    assert alone.stdout.splitlines()[0].endswith(": 1 endpoint, 1 up")
    rows = re.findall(r"(?m)^  (connect|first byte|first token|tokens|end) +([0-9.]+) ms  \|( *[=.]*)$",
                      alone.stdout)
    assert [name for name, _, _ in rows] == ["connect", "first byte", "first token", "tokens", "end"]
    took = {name: float(figure) for name, figure, _ in rows}
    assert took["first token"] > 40 and 120 < took["tokens"] < took["end"]
    assert "4 tokens (server's count), prompt 7" in alone.stdout
    assert "\033" not in alone.stdout and max(map(len, alone.stdout.splitlines())) <= 80
    assert "canary of" not in everything.stdout + as_json.stdout


def test_once_of_a_failure_shows_the_wait(serve):
    model = serve([3])
    with write({"endpoints": [endpoint(model, **FAST)]}) as file:
        done = run_daemon("--config", file.name, "--once", "m")
    assert done.returncode == 1
    assert "canary of m: timeout_first_token, no text within 400ms" in done.stdout
    assert re.search(r"(?m)^  end +4\d\d\.\d ms  \| *\.{40,}$", done.stdout)


def test_check_estimates_what_inferences_cost():
    model = types.SimpleNamespace(url="http://127.0.0.1:1")
    tight = {"interval": "1m", "budget": {"requests": "100/1d"}, "prompt": "x" * 30}
    wide = {"interval": "1h", "max_tokens": 66, "prompt": "x" * 30,
            "budget": {"tokens": "1000000/1d"}}
    with write({"endpoints": [dict(endpoint(model, **tight), name="tight"),
                              dict(endpoint(model, **wide), name="wide")]}) as file:
        done = run_daemon("--config", file.name, "--check")
    assert done.stdout.splitlines()[1:] == [
        "inferences a day, at most:",
        "  tight/canary: 100 requests, about 5000 tokens (its budget)",
        "  wide/canary: 24 requests, about 2400 tokens",
        "  total: 124 requests, about 7400 tokens"]


# ---- configuration ----


@pytest.mark.parametrize("change, words", [
    ({"modes": {"a": CHAT, "b": PLAIN}}, "mode is missing: expected one of a, b"),
    ({"modes": {"chat": CHAT}, "mode": "chta"}, 'got "chta" (did you mean chat?)'),
    ({"modes": {"a": {**CHAT, "text": ["choices/0"]}}}, "expected a JSON pointer"),
    ({"modes": {"a": {**CHAT, "fraiming": "sse"}}}, "did you mean framing?"),
    ({"modes": {"a": {**CHAT, "body": "${promt}"}}}, "did you mean ${prompt}?"),
    ({"loaded": {**LOADED, "body": '{"name":"${modle}"}'}}, "did you mean ${model}?"),
    ({"modes": {"a": INFER}}, "mode a has no body"),
    ({"modes": None}, "modes"),
    ({"expect": {"embedding": {"min_cosine": 2}}}, "from -1 to 1"),
    ({"expect": {"embedding": {"golden": ["x"]}}}, "numbers"),
    ({"expect": {"embedding": {"golden": "[0x10, 1]"}}}, "numbers"),
    ({"expect": {"embedding": {"min_norm": "0x1"}}}, "expected a number"),
    ({"tokens_per_second": {"down_below": "fast"}}, "expected a number"),
])
def test_mistakes_are_named(change, words):
    model = types.SimpleNamespace(url="http://127.0.0.1:1")
    with write({"endpoints": [endpoint(model, CHAT, **change)]}) as file:
        done = run_daemon("--config", file.name, "--check")
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_modes_of_outer_levels_are_added(serve):
    model = serve({"/outer": stream("a", "b"), "/inner": stream("a", "b")})
    tree = {"defaults": {"modes": {"x": {**CHAT, "path": "/outer"},
                                   "y": {**CHAT, "path": "/outer"}}},
            "endpoints": [endpoint(model, mode="x", modes={"y": {**CHAT, "path": "/inner"}}),
                          dict(endpoint(model, mode="y", modes={"y": {**CHAT, "path": "/inner"}}),
                               name="n")]}
    with write(tree) as file:
        assert run_daemon("--config", file.name, "--once").returncode == 0
        dump = run_daemon("--config", file.name, "--dump-config").stdout
    assert sorted(seen.path for seen in model.seen) == ["/inner", "/outer"]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(dump)
        file.flush()
        assert run_daemon("--config", file.name, "--check").returncode == 0
        assert run_daemon("--config", file.name, "--dump-config").stdout == dump


def test_mode_that_needs_a_model_says_so():
    model = types.SimpleNamespace(url="http://127.0.0.1:1")
    tree = endpoint(model)
    del tree["models"]
    with write({"endpoints": [tree]}) as file:
        done = run_daemon("--config", file.name, "--check")
    assert done.returncode == 2 and "set models: [ NAME ]" in done.stderr, done.stderr
