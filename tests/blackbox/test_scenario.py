# SPDX-License-Identifier: MIT
"""The scenario kind: embed, search, chat over three scripted servers, each failing in turn; values
of one answer in the next request; times of each step."""

import http.server
import json
import threading
import time

import pytest

from harness import last_of, run_daemon, wait_until

VECTOR = [0.25, -1.5, 3e-7]
PASSAGE = 'He said "no" \\ and left.\n\u2028{"}],"injected":true,"x":["${prompt}\x7f'


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append((self.path, dict(self.headers.items()), body))
        time.sleep(self.server.delay)
        status, reply = self.server.reply(self.path, body)
        reply = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_POST = answer


class Scripted:
    """A server whose answer is a function of path and body."""

    def __init__(self, reply):
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.reply = reply
        self.http.seen = []
        self.http.delay = 0
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http.server_port}"

    @property
    def seen(self):
        return self.http.seen

    def body(self):
        return json.loads([body for _, _, body in self.seen if body][-1])

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class World:
    """An embedding server, a vector store and a model."""

    def __init__(self):
        self.tei = Scripted(lambda path, body: (200, [VECTOR]))
        self.store = Scripted(lambda path, body: (200, {"result": [
            {"id": "a/b c", "score": 0.9, "payload": {"text": PASSAGE}}]}))
        self.model = Scripted(lambda path, body: (200, {"choices": [
            {"message": {"content": "Paris"}}]}))

    def steps(self):
        return [
            {"name": "embed", "url": self.tei.url, "path": "/embed",
             "body": '{"inputs":"${prompt}"}', "capture": {"vector": "/0"}},
            {"name": "search", "url": self.store.url, "path": "/collections/docs/points/search",
             "body": '{"vector":${vector},"limit":1}',
             "expect": {"json": {"/result/0/score": {"min": 0.2}}},
             "capture": {"passage": "/result/0/payload/text", "id": "/result/0/id"}},
            {"name": "chat", "endpoint": "chat-a", "path": "/v1/chat/completions",
             "cost": "inference",
             "body": '{"model":"${model}","messages":[{"role":"user","content":'
                     '"Use \\"this\\": ${passage} to answer ${prompt}"}],"raw":${passage}}',
             "expect": {"json": {"/choices/0/message/content": {"contains": "Paris"}}}}]

    def config(self, steps=None, **more):
        return {"endpoints": [
            {"name": "rag", "type": "scenario", "interval": "1s", "fast_interval": "1s",
             "timeout": {"total": "900ms"}, "prompt": "Which city?",
             "steps": steps or self.steps(), **more},
            {"name": "chat-a", "type": "http", "url": f"{self.model.url}/health",
             "interval": "1s", "api_key": "sesame-12345", "models": ["m:1"],
             "headers": {"X-Team": "blue"}}]}

    def close(self):
        for server in (self.tei, self.store, self.model):
            server.close()


@pytest.fixture
def world():
    running = World()
    yield running
    running.close()


def rag(daemon):
    return last_of(daemon.wait_checked()["rag"])


def detailed(daemon):
    rag(daemon)
    return daemon.endpoint("rag")["checks"][0]["last"]


def test_values_go_from_step_to_step(start, world):
    world.store.http.delay = 0.1
    last = detailed(start(world.config()))
    assert last["reason"] == "ok", last
    assert world.tei.body()["inputs"].endswith(" Which city?")
    assert world.store.body() == {"vector": VECTOR, "limit": 1}
    asked = world.model.body()
    assert asked["model"] == "m:1"
    assert asked["raw"] == PASSAGE
    assert asked["messages"][0]["content"].startswith(f'Use "this": {PASSAGE} to answer ')
    assert set(asked) == {"model", "messages", "raw"}
    headers = [{name.lower(): value for name, value in headers.items()}
               for _, headers, body in world.model.seen if body][-1]
    assert headers["authorization"] == "Bearer sesame-12345"
    assert headers["x-team"] == "blue"
    assert headers["content-type"] == "application/json"
    for server in (world.tei, world.store):
        assert "sesame" not in str(server.seen[-1][1])
    steps = last["steps"]
    assert [(step["name"], step["status"]) for step in steps] == [
        ("embed", "ok"), ("search", "ok"), ("chat", "ok")]
    assert 0.1 <= steps[1]["seconds"] <= 0.5
    assert steps[0]["seconds"] < 0.1
    assert sum(step["seconds"] for step in steps) <= last["timings"]["total_seconds"] + 0.001


def test_each_run_asks_afresh(start, world):
    daemon = start(world.config())
    daemon.wait_checked(checks=2)
    prompts = [json.loads(body)["inputs"] for _, _, body in world.tei.seen]
    assert len(set(prompts)) == len(prompts)


FAILURES = {
    "embed-500": ("tei", lambda path, body: (500, {"error": "no model"}), "server_error",
                  "step embed: ", 1),
    "embed-json": ("tei", lambda path, body: (200, b"[[0.1,"), "json_invalid", "step embed: ", 1),
    "embed-empty": ("tei", lambda path, body: (200, []), "assert_json", "step embed: nothing at /0",
                    1),
    "embed-null": ("tei", lambda path, body: (200, [None]), "assert_json",
                   "step embed: nothing at /0", 1),
    "search-404": ("store", lambda path, body: (404, {}), "http_status", "step search: ", 2),
    "search-score": ("store", lambda path, body: (200, {"result": [
        {"id": 1, "score": 0.1, "payload": {"text": "x"}}]}), "assert_json", "step search: ", 2),
    "search-nul": ("store", lambda path, body: (200, {"result": [
        {"id": 1, "score": 0.9, "payload": {"text": "a\0b"}}]}), "assert_json", "holds a NUL", 2),
    "search-long": ("store", lambda path, body: (200, {"result": [
        {"id": 1, "score": 0.9, "payload": {"text": "a" * 300000}}]}), "assert_json",
                    "over 256 KiB", 2),
    "chat-401": ("model", lambda path, body: (401, {"error": "key"}), "auth_failed", "step chat: ",
                 3),
    "chat-wrong": ("model", lambda path, body: (200, {"choices": [
        {"message": {"content": "Rome"}}]}), "assert_json", "step chat: ", 3),
}


@pytest.mark.parametrize("name", FAILURES)
def test_the_first_failing_step_is_named(start, world, name):
    server, reply, reason, detail, n = FAILURES[name]
    getattr(world, server).http.reply = reply
    last = detailed(start(world.config()))
    assert last["reason"] == reason, last
    assert detail in last["detail"]
    assert last["detail"].startswith("step ")
    assert [step["status"] for step in last["steps"]] == ["ok"] * (n - 1) + [reason]


def test_a_server_that_is_gone_is_named(start, world):
    steps = world.steps()
    steps[1]["url"] = "http://127.0.0.1:1"
    last = detailed(start(world.config(steps)))
    assert last["reason"] == "connect_refused"
    assert last["detail"].startswith("step search: 127.0.0.1:1")


def test_a_step_has_its_own_time_within_the_checks(start, world):
    world.store.http.delay = 0.5
    steps = world.steps()
    steps[1]["timeout"] = {"total": "200ms"}
    daemon = start(world.config(steps))
    last = detailed(daemon)
    assert last["reason"] in ("timeout_total", "timeout_headers")
    assert last["detail"].startswith("step search: ")
    assert 0.15 <= last["steps"][1]["seconds"] <= 0.45


def test_all_steps_share_the_checks_time(start, world):
    for server in (world.tei, world.store, world.model):
        server.http.delay = 0.4
    last = detailed(start(world.config()))
    assert last["reason"] in ("timeout_total", "timeout_headers")
    assert last["detail"].startswith("step chat: ")
    assert last["timings"]["total_seconds"] <= 1.2


def test_a_slow_step_is_degraded_and_the_rest_is_asked(start, world):
    world.tei.http.delay = 0.15
    steps = world.steps()
    steps[0]["expect"] = {"latency": {"degraded": "100ms"}}
    last = detailed(start(world.config(steps)))
    assert (last["reason"], last["verdict"]) == ("slow", "degraded")
    assert last["detail"].startswith("step embed: ")
    assert len(last["steps"]) == 3


def test_captured_values_in_a_path_cannot_leave_their_segment(start, world):
    world.store.http.reply = lambda path, body: (200, {"id": "../a/b?c=d#e \u20ac"})
    steps = [{"name": "one", "url": world.store.url, "capture": {"id": "/id"}},
             {"name": "two", "url": f"{world.store.url}/base", "path": "/x/${id}/y"}]
    last = detailed(start(world.config(steps)))
    assert last["reason"] == "ok", last
    assert world.store.seen[-1][0] == "/x/..%2Fa%2Fb%3Fc%3Dd%23e%20%E2%82%AC/y"


@pytest.mark.parametrize(("path", "first", "second"), [
    ("/x/${a}/y", "..", ""),
    ("/x/${a}/${b}", ".", "."),
])
def test_captured_values_cannot_lead_up_the_path(start, world, path, first, second):
    world.store.http.reply = lambda path, body: (200, {"a": first, "b": second})
    steps = [{"name": "one", "url": world.store.url, "capture": {"a": "/a", "b": "/b"}},
             {"name": "two", "url": f"{world.store.url}/base", "path": path}]
    last = detailed(start(world.config(steps)))
    assert (last["reason"], last["verdict"]) == ("bad_probe", "unknown")
    assert "lead elsewhere" in last["detail"]
    assert len(world.store.seen) == 1


def test_captured_values_cannot_name_another_host(start, world):
    world.store.http.reply = lambda path, body: (200, {"a": "", "b": "localhost"})
    steps = [{"name": "one", "url": world.store.url, "capture": {"a": "/a", "b": "/b"}},
             {"name": "two", "url": world.store.url, "path": "/${a}/${b}"}]
    last = detailed(start(world.config(steps)))
    assert last["reason"] == "ok", last
    assert len(world.store.seen) == 2
    assert world.store.seen[-1][0].lstrip("/") == "localhost"  # Python drops the second slash


def test_rules_say_what_a_steps_answer_means(start, world):
    world.tei.http.reply = lambda path, body: (424, {"error": "starting"})
    steps = world.steps()
    steps[0]["rules"] = [{"status": 424, "reason": "loading"}]
    last = detailed(start(world.config(steps)))
    assert (last["reason"], last["verdict"]) == ("loading", "not_ready")
    assert last["detail"].startswith("step embed: ")


def test_a_step_without_url_asks_the_endpoints_own(start, world):
    daemon = start({"endpoints": [{
        "name": "rag", "type": "http", "url": world.model.url, "api_key": "k-12345",
        "interval": "1s", "checks": {"live": {}, "talk": {"kind": "scenario", "steps": [
            {"name": "own", "path": "/own"},
            {"name": "stranger", "url": world.tei.url}]}}}]})

    def checked():
        last = [check["last"] for check in daemon.endpoint("rag")["checks"]]
        return all(last) and last
    assert {last["reason"] for last in wait_until(checked)} == {"ok"}
    assert any(path == "/own" and headers.get("Authorization") == "Bearer k-12345"
               for path, headers, _ in world.model.seen)
    assert all("Authorization" not in headers for _, headers, _ in world.tei.seen)


def test_no_secret_is_shown(start, world):
    steps = world.steps()
    steps[0]["headers"] = {"Authorization": "Bearer HIDDENMARK1"}
    steps[1]["api_key"] = "HIDDENMARK2"
    steps[0]["url"] = world.tei.url.replace("//", "//user:HIDDENMARK3@")
    steps[2]["path"] = "/v1/chat/completions"
    daemon = start(world.config(steps))
    rag(daemon)
    dump = run_daemon("--config", daemon.config_path, "--dump-config")
    assert "steps:" in dump.stdout
    shown = dump.stdout + daemon.stderr() + daemon.get("/api/v1/endpoints/rag").text + \
        daemon.get("/metrics").text
    assert "HIDDENMARK" not in shown
    assert "sesame-12345" not in shown


@pytest.mark.parametrize("change, words", [
    (lambda s: s[2].update(endpoint="chat-b"), "no endpoint is called chat-b"),
    (lambda s: s[2].update(url="http://127.0.0.1:1"), "either a url or an endpoint"),
    (lambda s: s[0].pop("url"), "needs a url or an endpoint"),
    (lambda s: s[0].pop("name"), "expected a step with a name"),
    (lambda s: s[1].update(name="embed"), "another step is called embed"),
    (lambda s: s[1].update(body='{"v":${vectr}}'), "did you mean ${vector}"),
    (lambda s: s[0].update(body='{"v":${vector}}'), "vector"),
    (lambda s: s[1].update(body="v=${vector}"), "in a JSON body only"),
    (lambda s: s[1].update(capture={"vector": "/x"}), "captures vector already"),
    (lambda s: s[1].update(capture={"passage": "x"}), "expected a JSON pointer"),
    (lambda s: s[1].update(capture={"Passage": "/x"}), "cannot be a name"),
    (lambda s: s[0].update(bodi="x"), "did you mean body?"),
    (lambda s: s[0].update(cost="tokens"), "cost"),
    (lambda s: s.extend({"name": f"s{i}", "url": "http://127.0.0.1:1"} for i in range(14)),
     "at most 16 steps"),
    (lambda s: s.clear(), "expected a list of steps"),
])
def test_configuration_errors_say_what_is_wrong(tmp_path, world, change, words):
    steps = world.steps()
    change(steps)
    config = world.config(steps)
    config["endpoints"][0]["steps"] = steps
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    done = run_daemon("--config", str(path), "--check")
    assert done.returncode == 2, done
    assert words in done.stderr + done.stdout, done.stderr
