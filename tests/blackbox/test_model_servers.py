# SPDX-License-Identifier: MIT
"""Model servers with the habits of the real ones (modelservers.py) under the shipped profiles: in
each of their states the daemon says what their operator would, and does them no harm."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

import modelservers
from harness import free_port, run_daemon, wait_until
from modelservers import (KoboldCpp, LlamaRouter, LlamaServer, Ollama, Sglang, Tei, Tgi, Vllm,
                          Whisper)

CHECKS = ("live", "ready", "models", "load", "slots", "canary")
TIMEOUT = {"connect": "1s", "first_byte": "1s", "first_token": "2s", "idle": "1s", "total": "5s"}
HASTE = {"interval": "1s", "jitter": "0s", "timeout": TIMEOUT}

DEFAULTS = {"retries": {"attempts": 0}, **HASTE}


@pytest.fixture
def run():
    """run(server) closes it after the test."""
    with contextlib.ExitStack() as stack:
        def keep(server):
            stack.callback(server.close)
            return server
        yield keep


def endpoint(kind, url, models=("demo",), name="a", **more):
    """What an operator writes, and our haste. One check a second each."""
    named = {"models": list(models)} if models else {}
    return {"name": name, "type": kind, "url": url, **named, **more}


def hasty(*endpoints, **checks):
    """A configuration in which all is checked often; checks changes keys of checks by name."""
    by_name = {name: {**HASTE, **checks.get(name, {})} for name in CHECKS}
    return {"defaults": {**DEFAULTS, "checks": by_name}, "endpoints": list(endpoints)}


def once(*endpoints):
    """{name: endpoint JSON} after one round of all."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump({"status": {"listen": ["127.0.0.1:0"]}, **hasty(*endpoints)}, file)
        file.flush()
        done = run_daemon("--config", file.name, "--once", "--output", "json", timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return {found["name"]: found for found in json.loads(done.stdout)["endpoints"]}


def check_of(found, name):
    (check,) = [check for check in found["checks"] if check["name"] == name]
    return check


def said(found):
    """What an endpoint and its checks say, for messages."""
    return found["state"], found["reason"], {
        check["name"]: (check["last"]["reason"], check["last"]["detail"]) if check["last"]
        else "not asked" for check in found["checks"]}


class Watch:
    """All states of endpoint a that are seen from now on."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.seen = []

    def look(self):
        found = self.daemon.endpoint("a")
        now = found["state"], found["reason"]
        if not self.seen or self.seen[-1] != now:
            self.seen.append(now)
        return found

    def restart(self):
        """Forgets what was seen before, as nothing is known at the start."""
        self.seen.clear()

    def until(self, *states, seconds=15):
        """Waits for one of (state, reason), or a state alone."""
        def is_there():
            found = self.look()
            return found if found["state"] in states or \
                (found["state"], found["reason"]) in states else None
        try:
            return wait_until(is_there, seconds, f"{states}")
        except AssertionError as error:
            raise AssertionError(f"{error}; seen {self.seen}, now {said(self.look())}") from None

    def during(self, seconds):
        """Looks on for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.05)

    def assert_never(self, *states):
        bad = [seen for seen in self.seen if seen[0] in states]
        assert not bad, f"{self.seen}; now {said(self.look())}"


# ---- what one look says ----


def llama(**settings):
    return "llamacpp", LlamaServer(**settings)


def ollama(**settings):
    return "ollama", Ollama(models=["demo:latest", "other:1b"], **settings)


CHAT = {"checks": {"canary": {"mode": "chat"}}}
EMBEDDINGS = {"checks": {"canary": {"mode": "embeddings"}}}

# A body that is no JSON: the mistake is ours, whatever the server says.
OWN = {"path": "/completion", "body": '{"prompt":"${prompt}",}', "framing": "json",
       "text": ["/content"]}

# name: (type and server, keys of the endpoint, state, reason)
LOOKS = {
    "llama": (llama(), {}, "up", "ok"),
    "llama_of_2025": (llama(build="2025"), {}, "up", "ok"),
    "llama_fork": (llama(build="fork"), {}, "up", "ok"),
    "llama_chat": (llama(), CHAT, "up", "ok"),
    "llama_chat_of_2025": (llama(build="2025", finish_word="stop"), CHAT, "up", "ok"),
    "llama_chat_fork": (llama(build="fork"), CHAT, "up", "ok"),
    "llama_url_with_v1": (llama(), {**CHAT, "path": "/v1"}, "up", "ok"),
    "llama_right_key": (llama(key="k"), {"api_key": "k"}, "up", "ok"),
    "llama_wrong_key": (llama(key="k"), {"api_key": "x"}, "unknown", "auth_failed"),
    "llama_no_key": (llama(key="k", build="2025"), {}, "unknown", "auth_failed"),
    "llama_wrong_model": (llama(), {"models": ["other"]}, "down", "model_missing"),
    "llama_path_as_model": (llama(models=["/models/demo.gguf"]), {}, "up", "ok"),
    "llama_without_metrics": (llama(has_metrics=False), {}, "up", "ok"),
    "llama_without_all": (llama(has_metrics=False, has_slots=False), {}, "up", "ok"),
    "llama_loading": (llama(state="loading"), {}, "not_ready", "loading"),
    "llama_loading_in_2025": (llama(state="loading", build="2025"), {}, "not_ready", "loading"),
    "llama_embeds": (llama(embedding=True), EMBEDDINGS, "up", "ok"),
    "llama_embeds_alone": (llama(embedding=True), {}, "unknown", "bad_probe"),
    "llama_bad_json": (llama(), {"checks": {"canary": {"mode": "own", "modes": {"own": OWN}}}},
                       "unknown", "bad_probe"),
    "llama_error_field": (llama(stream_fault="field"), {}, "down", "stream_error"),
    "llama_error_event": (llama(stream_fault="data"), CHAT, "down", "stream_error"),
    "llama_raw_error": (llama(stream_fault="raw"), CHAT, "down", "stream_error"),
    "llama_clean_end": (llama(stream_fault="empty"), CHAT, "down", "stream_truncated"),
    "llama_cut": (llama(stream_fault="cut"), {}, "down", "stream_truncated"),
    "router_cold": (("llamacpp_router", LlamaRouter()), {}, "up", "ok"),
    "router_warm": (("llamacpp_router", LlamaRouter(loaded=["demo"])), {}, "up", "ok"),
    "router_wrong_model": (("llamacpp_router", LlamaRouter()), {"models": ["x"]}, "down",
                           "model_missing"),
    "ollama_cold": (ollama(), {}, "up", "ok"),
    "ollama_warm": (ollama(loaded=["demo:latest"]), {}, "up", "ok"),
    "ollama_other_warm": (ollama(loaded=["other:1b"]), {}, "up", "ok"),
    "ollama_unknown_model": (ollama(), {"models": ["nope"]}, "down", "model_missing"),
    "ollama_full": (ollama(loaded=["demo:latest"], full=True), {}, "degraded", "overloaded"),
    "ollama_breaks": (ollama(loaded=["demo:latest"], breaks=True), {}, "down", "stream_error"),
    "ollama_embeds": (ollama(loaded=["demo:latest"]), EMBEDDINGS, "up", "ok"),
    "ollama_as_openai": (("openai_compatible", Ollama(models=["demo:latest"])), {}, "up", "ok"),
    "kobold": (("openai_compatible", KoboldCpp()), {}, "up", "ok"),
    "vllm": (("vllm", Vllm()), {}, "up", "ok"),
    "vllm_wrong_key": (("vllm", Vllm(key="k")), {"api_key": "x"}, "unknown", "auth_failed"),
    "vllm_wrong_model": (("vllm", Vllm()), {"models": ["x"]}, "down", "model_missing"),
    "vllm_dead": (("vllm", Vllm(is_dead=True)), {}, "down", "server_error"),
    "vllm_embeds": (("vllm", Vllm()), EMBEDDINGS, "up", "ok"),
    "sglang": (("sglang", Sglang()), {}, "up", "ok"),
    "sglang_chat": (("sglang", Sglang()), CHAT, "up", "ok"),
    "sglang_starting": (("sglang", Sglang(state="loading")), {}, "not_ready", "loading"),
    "sglang_full": (("sglang", Sglang(full=True)), {}, "degraded", "overloaded"),
    "sglang_chat_full": (("sglang", Sglang(full=True)), CHAT, "degraded", "overloaded"),
    "sglang_without_metrics": (("sglang", Sglang(has_metrics=False)), {}, "up", "ok"),
    "sglang_wrong_key": (("sglang", Sglang(key="k")), {"api_key": "x"}, "unknown", "auth_failed"),
    "tgi": (("tgi", Tgi()), {}, "up", "ok"),
    "tgi_sick": (("tgi", Tgi(is_sick=True)), {}, "down", "server_error"),
    "tgi_full": (("tgi", Tgi(full=True)), {}, "degraded", "overloaded"),
    "tgi_wrong_key": (("tgi", Tgi(key="k")), {"api_key": "x"}, "unknown", "auth_failed"),
    "tei": (("tei", Tei()), {}, "up", "ok"),
    "tei_sick": (("tei", Tei(is_sick=True)), {}, "down", "server_error"),
    "tei_full": (("tei", Tei(full=True)), {}, "degraded", "overloaded"),
    "tei_wrong_key": (("tei", Tei(key="k")), {"api_key": "x"}, "unknown", "auth_failed"),
    "tei_wrong_model": (("tei", Tei()), {"models": ["x"]}, "down", "model_missing"),
    "whisper": (("http", Whisper()), {"models": [], "path": "/health"}, "up", "ok"),
}


@pytest.fixture(scope="module")
def looks():
    asked = []
    for name, ((kind, server), keys, _, _) in LOOKS.items():
        keys = dict(keys)
        asked.append(endpoint(kind, server.url + keys.pop("path", ""), name=name,
                              **{"models": ["demo"], **keys}))
    yield once(*asked)
    for (_, server), _, _, _ in LOOKS.values():
        server.close()


@pytest.mark.parametrize("name", LOOKS)
def test_one_look(looks, name):
    _, _, state, reason = LOOKS[name]
    found = looks[name]
    assert (found["state"], found["reason"]) == (state, reason), said(found)


def test_looking_loaded_nothing(looks):
    del looks
    for name, ((_, server), _, _, _) in LOOKS.items():
        if name != "ollama_as_openai":  # whose type does not know of loading
            assert getattr(server, "loads", 0) == 0, name


def test_nothing_is_asked_that_a_server_would_refuse(looks):
    """A wrong request shows as bad_probe or feature_off; only where the server is set up so."""
    allowed = {"llama_embeds_alone", "llama_bad_json", "llama_without_metrics", "llama_without_all",
               "sglang_without_metrics"}
    for name, found in looks.items():
        if name in allowed:
            continue
        for check in found["checks"]:
            reason = check["last"]["reason"] if check["last"] else "ok"
            assert reason not in ("bad_probe", "feature_off"), (name, said(found))


def test_cold_models_are_told_as_cold(looks):
    for name in ("ollama_cold", "ollama_other_warm", "router_cold"):
        assert check_of(looks[name], "canary")["last"]["reason"] == "cold", name


# ---- loading ----


@pytest.mark.parametrize("build", ["2025", "2026"])
def test_loading_ends_in_up(start, run, build):
    server = run(LlamaServer(build=build, state="loading"))
    watch = Watch(start(hasty(endpoint("llamacpp", server.url))))
    watch.until(("not_ready", "loading"))
    watch.during(3)
    server.state = "ready"
    watch.until(("up", "ok"))
    watch.assert_never("down", "degraded")
    assert server.inferences <= 3, "and is not flooded then"


def test_loading_for_too_long_is_down(start, run):
    server = run(LlamaServer(state="loading"))
    watch = Watch(start(hasty(endpoint("llamacpp", server.url, startup_grace="2s"))))
    watch.until(("not_ready", "loading"))
    watch.until(("down", "loading_too_long"))
    assert server.inferences == 0


def test_a_load_that_fails_is_a_refused_connection(start, run):
    server = run(LlamaServer(state="loading"))
    watch = Watch(start(hasty(endpoint("llamacpp", server.url))))
    watch.until(("not_ready", "loading"))
    server.refuse()
    watch.until(("down", "connect_refused"))


def test_refused_is_loading_until_it_was_up(start, run):
    server = run(Vllm())
    server.refuse()
    watch = Watch(start(hasty(endpoint("vllm", server.url))))
    watch.until(("not_ready", "loading"))
    server.listen()
    watch.until(("up", "ok"))
    watch.assert_never("down")
    server.refuse()
    watch.until(("down", "connect_refused"))


# ---- frozen and dead ----


def test_a_stopped_process_is_down(start, run):
    child = run(modelservers.Child("LlamaServer"))
    watch = Watch(start(hasty(endpoint("llamacpp", child.url))))
    watch.until(("up", "ok"))
    watch.restart()
    child.freeze()
    found = watch.until("down")
    assert found["reason"] in ("timeout_headers", "timeout_first_token"), said(found)
    watch.assert_never("not_ready", "unknown")
    child.thaw()
    watch.until(("up", "ok"))


@pytest.mark.parametrize("server, kind", [(Ollama, "ollama"), (Vllm, "vllm"), (Tgi, "tgi")])
def test_a_frozen_server_is_down(start, run, server, kind):
    frozen = run(server())
    watch = Watch(start(hasty(endpoint(kind, frozen.url))))
    watch.until("up")
    frozen.state = "frozen"
    assert "timeout" in watch.until("down")["reason"]
    frozen.state = "ready"
    watch.until("up")


def test_a_hung_engine_is_down_though_health_is_200(start, run):
    server = run(LlamaServer(stuck=True, ping_seconds=0.2, has_metrics=False, slots=4))
    watch = Watch(start(hasty(endpoint("llamacpp", server.url))))
    found = watch.until("down")
    assert found["reason"] == "timeout_first_token", said(found)
    assert check_of(found, "live")["last"]["reason"] == "ok"


def test_counters_that_stand_still_are_a_stall(start, run):
    server = run(Vllm(stuck=True))
    server.occupy()
    server.waiting = 2
    keys = {"stall_after": "2s", "checks": {"canary": {"enabled": False}}}
    watch = Watch(start(hasty(endpoint("vllm", server.url, **keys))))
    watch.until(("down", "stalled"))


# ---- busy ----


BUSY = {
    "counters": {},
    "slots_alone": {"has_metrics": False},
    "counters_alone": {"has_slots": False},
    "fork": {"build": "fork", "has_metrics": False, "has_slots": False},
}


@pytest.mark.parametrize("how", BUSY)
def test_a_busy_server_is_not_down_and_not_flooded(start, run, how):
    server = run(LlamaServer(**BUSY[how]))
    watch = Watch(start(hasty(endpoint("llamacpp", server.url))))
    watch.until(("up", "ok"))
    wait_until(lambda: server.inferences > 0, 10, "an inference")
    watch.restart()
    server.occupy()
    before = server.inferences
    queued = 0
    end = time.monotonic() + 7
    while time.monotonic() < end:
        watch.look()
        queued = max(queued, server.waiting)
        time.sleep(0.05)
    server.release()
    watch.assert_never("down", "unknown", "not_ready")
    assert queued <= 1, "one question of ours at most waits in its queue"
    assert server.inferences <= before + 1
    watch.until(("up", "ok"))
    watch.assert_never("down", "unknown", "not_ready")


@pytest.mark.parametrize("how", ["slots_alone", "fork"])
def test_a_server_that_is_busy_when_we_come_is_not_down(start, run, how):
    server = run(LlamaServer(**BUSY[how]))
    server.occupy()
    watch = Watch(start(hasty(endpoint("llamacpp", server.url))))
    watch.until(("degraded", "overloaded"))
    watch.during(5)
    assert watch.seen[-1] == ("degraded", "overloaded"), watch.seen
    assert server.waiting <= 1
    server.release()
    watch.until(("up", "ok"))


# ---- models in memory ----


def test_a_cold_model_stays_cold(start, run):
    server = run(Ollama(models=["demo:latest", "other:1b"]))
    watch = Watch(start(hasty(endpoint("ollama", server.url))))
    watch.until("up")
    watch.during(4)
    watch.assert_never("down", "degraded", "not_ready")
    assert server.loads == 0
    assert server.count("/api/generate") == 0
    server.loaded.append("demo:latest")  # somebody else uses it
    wait_until(lambda: server.count("/api/generate") > 0, 10, "an inference of the warm model")
    server.loaded.clear()
    watch.during(2)
    asked = server.count("/api/generate")
    watch.during(3)
    assert server.count("/api/generate") == asked
    assert server.loads == 0


def test_waking_is_for_those_who_ask_for_it(start, run):
    server = run(Ollama(models=["demo:latest"]))
    config = hasty(endpoint("ollama", server.url), canary={"wake": "allowed"})
    watch = Watch(start(config))
    wait_until(lambda: server.loads == 1, 10, "the load")
    watch.until(("up", "ok"))


def test_a_router_keeps_the_model_in_use(start, run):
    server = run(LlamaRouter(models=["demo", "other"], loaded=["other"]))
    watch = Watch(start(hasty(endpoint("llamacpp_router", server.url))))
    watch.until("up")
    watch.during(4)
    assert (server.loads, server.loaded) == (0, ["other"])


def test_another_model_behind_the_same_name_is_drift(start, run):
    server = run(LlamaServer())
    watch = Watch(start(hasty(endpoint("llamacpp", server.url))))
    wait_until(lambda: check_of(watch.look(), "models")["last"], 10, "the models as they are")
    server.context = 8192
    found = watch.until(("degraded", "model_drift"))
    detail = check_of(found, "models")["last"]["detail"]
    assert "4096" in detail and "8192" in detail, detail


# ---- tokens ----


def test_pings_are_no_tokens(run):
    """The head and comments come at once, the first token when the slot is free."""
    server = run(LlamaServer(ping_seconds=0.05, has_slots=False, has_metrics=False))
    server.occupy()
    timer = threading.Timer(0.7, server.release)
    timer.start()
    found = once(endpoint("llamacpp", server.url))["a"]
    timer.join()
    last = check_of(found, "canary")["last"]
    assert last["reason"] == "ok", said(found)
    assert last["timings"]["first_byte_seconds"] < 0.5 < last["timings"]["first_token_seconds"]
    assert last["tokens"]["completion"] == 4


# ---- genuine servers ----


class Redis:
    """redis-server from the system."""

    def __init__(self, *options):
        self.port = free_port()
        self.directory = tempfile.mkdtemp(prefix="mh-redis-")
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--dir", self.directory, *options], stdout=subprocess.DEVNULL)
        wait_until(self._listens, 10, "redis-server")

    def _listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    @property
    def url(self):
        return f"tcp://127.0.0.1:{self.port}"

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.directory)


@pytest.fixture
def redis(run):
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    return lambda *options: run(Redis(*options))


def test_redis_with_and_without_a_password(redis):
    password = 'p"w\\x'
    is_open, is_closed = redis().url, redis("--requirepass", password).url
    found = once(endpoint("redis", is_open, [], name="open"),
                 endpoint("redis", is_open, [], name="needless", api_key="x"),
                 endpoint("redis", is_closed, [], name="without"),
                 endpoint("redis", is_closed, [], name="wrong", api_key="x"),
                 endpoint("redis", is_closed, [], name="right", api_key=password))
    states = {name: (one["state"], one["reason"]) for name, one in found.items()}
    assert states == {"open": ("up", "ok"), "needless": ("up", "ok"),
                      "without": ("unknown", "auth_failed"), "wrong": ("unknown", "auth_failed"),
                      "right": ("up", "ok")}, {name: said(one) for name, one in found.items()}


def test_a_stopped_redis_is_down(start, redis):
    server = redis()
    watch = Watch(start(hasty(endpoint("redis", server.url, []))))
    watch.until(("up", "ok"))
    server.process.send_signal(signal.SIGSTOP)
    assert watch.until("down")["reason"] in ("timeout_idle", "timeout_headers", "timeout_total")
    server.process.send_signal(signal.SIGCONT)
    watch.until(("up", "ok"))


@pytest.mark.parametrize("words, state, reason", [
    (b"-LOADING Redis is loading the dataset in memory\r\n", "not_ready", "loading"),
    (b"-MASTERDOWN Link with MASTER is down\r\n", "degraded", "server_degraded"),
    (b"-BUSY Redis is busy running a script.\r\n", "degraded", "overloaded"),
])
@pytest.mark.parametrize("key", [None, "pw"])
def test_redis_says_how_it_is(words, state, reason, key):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall((b"+OK\r\n" if key else b"") + words)
                client.recv(1)
        threading.Thread(target=serve, daemon=True).start()
        keys = {"api_key": key} if key else {}
        found = once(endpoint("redis", "tcp://127.0.0.1:%d" % listener.getsockname()[1], [],
                              **keys))["a"]
    assert (found["state"], found["reason"]) == (state, reason), said(found)


NGINX = """
pid "{directory}/pid"; error_log "{directory}/log"; daemon off; worker_processes 1;
events {{ }}
http {{
  access_log off;
  client_body_temp_path "{directory}/1"; proxy_temp_path "{directory}/2";
  fastcgi_temp_path "{directory}/3"; uwsgi_temp_path "{directory}/4"; scgi_temp_path "{directory}/5";
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate "{cert}"; ssl_certificate_key "{key}";
    location / {{ proxy_pass {upstream}; proxy_http_version 1.1; proxy_buffering off; }}
  }}
}}
"""


class Nginx:
    """nginx from the system as a TLS and HTTP/2 front of a server."""

    def __init__(self, upstream, pki):
        self.directory = tempfile.mkdtemp(prefix="mh-nginx-")
        self.port = free_port()
        path = os.path.join(self.directory, "conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(NGINX.format(directory=self.directory, port=self.port, upstream=upstream,
                                    cert=pki.good[0], key=pki.good[1]))
        self.process = subprocess.Popen([nginx_binary(), "-c", path, "-e", "/dev/null"])
        wait_until(self._listens, 10, "nginx")

    _listens = Redis._listens

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.directory)


def nginx_binary():
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_behind_nginx(run, pki, version):
    if not nginx_binary():
        pytest.skip("nginx is not installed")
    fronts = {"llamacpp": LlamaServer(), "vllm": Vllm(), "kobold": KoboldCpp(),
              "ollama": Ollama(models=["demo:latest"], loaded=["demo:latest"])}
    asked = []
    for name, server in fronts.items():
        front = run(Nginx(run(server).url, pki))
        asked.append(endpoint(name if name != "kobold" else "openai_compatible",
                              f"https://localhost:{front.port}", name=name, http_version=version,
                              tls={"ca_file": pki.ca}))
    for name, found in once(*asked).items():
        assert (found["state"], found["reason"]) == ("up", "ok"), (name, said(found))
        assert check_of(found, "canary")["last"]["tokens"]["completion"] > 0


def test_an_upstream_that_is_gone_is_no_wrong_model(run, pki):
    if not nginx_binary():
        pytest.skip("nginx is not installed")
    server = run(Vllm())
    front = run(Nginx(server.url, pki))
    server.refuse()
    found = once(endpoint("vllm", f"https://localhost:{front.port}", tls={"ca_file": pki.ca}))["a"]
    assert (found["state"], found["reason"]) == ("down", "server_error"), said(found)


def test_a_type_that_is_not_that_of_the_server_is_our_mistake(run):
    """Whatever 404 means for a model, a health page that is not there is none of that."""
    found = once(endpoint("qdrant", run(Tei()).url),
                 endpoint("weaviate", run(Vllm()).url, name="b"))
    for one in found.values():
        assert (one["state"], one["reason"]) == ("unknown", "bad_probe"), said(one)
        assert "type" in check_of(one, "live")["last"]["detail"]
