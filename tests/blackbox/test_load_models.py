# SPDX-License-Identifier: MIT
"""The load and models checks against a scripted model server."""

import http.server
import json
import pathlib
import threading
import time
import urllib.parse

import pytest

from harness import closed_port, run_daemon, wait_until

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "data" / "fixtures"

VLLM_ROLES = {
    "running": ["vllm:num_requests_running"],
    "waiting": ["vllm:num_requests_waiting"],
    "kv_usage": ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"],
    "progress": ["vllm:generation_tokens_total", "vllm:prompt_tokens_total"],
    "ttft": ["vllm:time_to_first_token_seconds"],
}


def recorded(name):
    """The body of a recorded answer."""
    return (FIXTURES / name).read_bytes().split(b"\r\n\r\n", 1)[1]


class ModelServer(http.server.ThreadingHTTPServer):
    """Answers each path with what routes says: a body, (status, body), or a function of the query
    that returns one of these. Keeps the requested targets."""

    daemon_threads = True

    def __init__(self):
        self.routes = {}
        self.asked = []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        path, _, query = self.path.partition("?")
        answer = self.server.routes.get(path, (404, b"not found"))
        if callable(answer):
            answer = answer(dict(urllib.parse.parse_qsl(query)))
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass  # the client has had enough

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ModelServer() as running:
        yield running
        running.shutdown()


def check_of(daemon, name):
    """The JSON of endpoint a's check, once it has a result."""
    for check in daemon.endpoint("a")["checks"]:
        if check["name"] == name:
            return check
    raise AssertionError(f"no check {name}")


def wait_reason(daemon, check, reason, seconds=10):
    """The check's JSON when its last result has that reason."""
    seen = []

    def is_there():
        found = check_of(daemon, check)
        seen.append(found["last"] and (found["last"]["reason"], found["last"]["detail"]))
        return found if found["last"] and found["last"]["reason"] == reason else None
    try:
        return wait_until(is_there, seconds, f"{check} {reason}")
    except AssertionError as error:
        raise AssertionError(f"{error}; seen {sorted(set(map(str, seen)))}") from None


def load_config(server, **more):
    """One endpoint that has a load check of one second."""
    endpoint_keys = {key: more.pop(key) for key in ("stall_after",) if key in more}
    check = {"kind": "load", "path": "/metrics", "interval": "1s", "roles": VLLM_ROLES,
             "retries": {"attempts": 0},
             "timeout": {"connect": "1s", "first_byte": "1s", "idle": "1s", "total": "3s"}, **more}
    return {"endpoints": [{"name": "a", "type": "http", "url": server.url, **endpoint_keys,
                           "checks": {"load": check}}]}


def models_config(server, models, **more):
    check = {"kind": "models", "interval": "1s", "retries": {"attempts": 0},
             "list": {"path": "/v1/models", "ids": "/data/*/id",
                      "context_length": "/data/*/max_model_len"}, **more}
    return {"endpoints": [{"name": "a", "type": "http", "url": server.url, "models": models,
                           "checks": {"models": check}}]}


def models_endpoints(server, cases):
    """One endpoint for each name: (its answer, the wanted models, more keys of the check)."""
    endpoints = []
    for name, (answer, wanted, more) in cases.items():
        server.routes[f"/{name}/v1/models"] = answer
        (endpoint,) = models_config(server, wanted, **more)["endpoints"]
        endpoints.append({**endpoint, "name": name, "url": f"{server.url}/{name}"})
    return {"endpoints": endpoints}


def lasts(daemon, cases):
    """{name: last result} of the first checks."""
    return {name: found["checks"][0]["last"]
            for name, found in daemon.wait_checked(list(cases)).items()}


def model_list(*ids, **more):
    return json.dumps({"object": "list", "data": [{"id": name, **more} for name in ids]})


# ---- load ----


def test_counters_that_stand_still_under_work_are_a_stall(start, server):
    server.routes["/metrics"] = recorded("vllm.metrics.stalled_t0.http")
    daemon = start(load_config(server, stall_after="2s",
                               overloaded={"waiting": {"above": 1000}}))
    assert wait_reason(daemon, "load", "ok")["last"]["load"]["running"] == 2
    server.routes["/metrics"] = recorded("vllm.metrics.stalled_t1.http")
    check = wait_reason(daemon, "load", "stalled")
    assert check["last"]["verdict"] == "down"
    assert "5 waiting, no progress for" in check["last"]["detail"]
    # It shows at once: the time was the hysteresis.
    assert check["state"] == "down"
    assert daemon.endpoint("a")["state"] == "down"
    # That metrics then fail for once says nothing new.
    good = server.routes["/metrics"]
    failures = iter([(500, "")])
    server.routes["/metrics"] = lambda _: next(failures, good)
    assert wait_reason(daemon, "load", "server_error")["state"] == "down"
    server.routes["/metrics"] = recorded("vllm.metrics.saturated.http").replace(
        b"256.0", b"2.0").replace(b"0.987", b"0.5")
    assert wait_reason(daemon, "load", "ok")["state"] == "up"


def test_a_busy_server_that_advances_is_overloaded_and_never_stalled(start, server):
    tokens = iter(range(130000, 140000, 7))

    def saturated(_):
        return recorded("vllm.metrics.saturated.http").replace(b"130000.0",
                                                               str(next(tokens)).encode())
    server.routes["/metrics"] = saturated
    daemon = start(load_config(server, stall_after="1s", overloaded={"waiting": {"for": "3s"}}))
    check = wait_reason(daemon, "load", "overloaded")
    assert check["last"]["verdict"] == "degraded" and check["state"] == "degraded"
    assert "87 waiting, more than 0 for" in check["last"]["detail"]
    assert check["last"]["load"]["full"] is True
    # Before its time had passed it was fine, and it was never a stall.
    reasons = daemon.results_total("a")
    assert reasons["ok"] >= 3 and set(reasons) == {"ok", "overloaded"}
    server.routes["/metrics"] = recorded("vllm.metrics.idle.http")
    assert wait_reason(daemon, "load", "ok")["state"] == "up"


def test_a_counter_that_falls_is_a_restart_and_no_stall(start, server):
    tokens = iter(range(900, 0, -1))
    server.routes["/metrics"] = lambda _: (
        "vllm:num_requests_running 1\nvllm:generation_tokens_total %d\n" % next(tokens))
    daemon = start(load_config(server, stall_after="1s"))
    daemon.wait_checked(["a"], checks=5)
    assert set(daemon.results_total("a")) == {"ok"}


def test_a_failed_scrape_is_not_death(start, server):
    server.routes["/metrics"] = (500, '{"error":{"message":"engine is busy"}}')
    daemon = start(load_config(server))
    check = wait_reason(daemon, "load", "server_error")
    assert check["last"]["verdict"] == "unknown"
    assert check["last"]["detail"] == "status 500: engine is busy"
    daemon.wait_checked(["a"], checks=4)
    assert daemon.endpoint("a")["state"] != "down"


def test_a_slow_scrape_is_not_death(start, server):
    server.routes["/metrics"] = lambda _: time.sleep(2) or "vllm:num_requests_running 1\n"
    daemon = start(load_config(server))
    assert wait_reason(daemon, "load", "timeout_headers")["last"]["verdict"] == "unknown"
    assert daemon.endpoint("a")["state"] != "down"


def test_a_refused_scrape_is_not_death(start, server):
    held, port = closed_port()
    with held:
        daemon = start(load_config(server, port=port))
        assert wait_reason(daemon, "load", "connect_refused")["last"]["verdict"] == "unknown"
        assert server.asked == []


def test_metrics_that_are_switched_off_are_feature_off(start, server):
    off = recorded("llamacpp.metrics.disabled.http")
    (endpoint,) = load_config(server, errors=[{"status": 404, "reason": "model_missing"}]
                              )["endpoints"]
    endpoints = []
    for status in (404, 405, 501):
        server.routes[f"/{status}"] = (status, off)
        check = {**endpoint["checks"]["load"], "path": f"/{status}"}
        endpoints.append({**endpoint, "name": f"a{status}", "checks": {"load": check}})
    daemon = start({"endpoints": endpoints})
    for name, last in lasts(daemon, [item["name"] for item in endpoints]).items():
        assert last["reason"] == "feature_off"
        assert f"status {name[1:]}: This server does not support metrics" in last["detail"]


def test_metrics_without_any_of_ours_are_feature_off(start, server):
    server.routes["/metrics"] = "# TYPE a counter\na 1\nb 2\n"
    daemon = start(load_config(server))
    check = wait_reason(daemon, "load", "feature_off")
    assert "none of the metrics in roles is among the 2" in check["last"]["detail"]
    server.routes["/metrics"] = "<html>please log in</html>"
    wait_until(lambda: "holds no metrics" in check_of(daemon, "load")["last"]["detail"])


def test_rules_come_before_everything(start, server):
    server.routes["/metrics"] = (503, '{"error":{"message":"Loading model"}}')
    daemon = start(load_config(server, rules=[{"status": 503, "reason": "loading"}]))
    assert wait_reason(daemon, "load", "loading")["last"]["verdict"] == "unknown"


def test_five_megabytes_are_read_and_more_is_refused(start, server):
    line = 'vllm:time_to_first_token_seconds_bucket{le="0.%06d",model_name="demo"} 1.0\n'
    lines = "".join(line % number for number in range(65_000))
    assert 4.5e6 < len(lines) < 5 * 1024 * 1024
    server.routes["/metrics"] = lines + "vllm:num_requests_running 3\n"
    daemon = start(load_config(server))
    assert wait_reason(daemon, "load", "ok")["last"]["load"]["running"] == 3
    server.routes["/metrics"] = lines * 2
    check = wait_reason(daemon, "load", "body_too_large")
    assert check["last"]["verdict"] == "unknown"
    daemon.assert_loop_never_stalled()


def test_selectors_see_labels_as_they_are_meant(start, server):
    server.routes["/metrics"] = (
        'jobs{state="wait\\"ing\\\\\\n,}",} 4 1700000000000\njobs{state="other"} 9\n'
        ':lead:ing 1e1 # {trace="x"} 1\n')
    daemon = start(load_config(server, roles={
        "waiting": ['jobs{state="wait\\"ing\\\\\\n,}"}'], "running": ":lead:ing"}))
    load = wait_reason(daemon, "load", "ok")["last"]["load"]
    assert (load["waiting"], load["running"]) == (4, 10)


@pytest.mark.parametrize("roles,problem", [
    ({"running": ["a b"]}, 'running[0]: expected the name of a metric'),
    ({"running": ['a{b="c"']}, 'running[0]: expected the name of a metric'),
    ({}, "roles names no metric"), ({"runing": ["a"]}, "did you mean running?")])
def test_bad_roles_are_refused_at_load(server, tmp_path, roles, problem):
    path = tmp_path / "bad.yaml"
    path.write_text(json.dumps(load_config(server, roles=roles)))
    path.chmod(0o600)
    done = run_daemon("--check", "--config", str(path))
    assert done.returncode != 0 and problem in done.stdout + done.stderr


# ---- models ----


def test_wanted_models_are_there_under_their_names(start, server):
    server.routes["/v1/models"] = recorded("vllm.models.ok.http")
    daemon = start(models_config(server, ["demo-8b"]))
    assert wait_reason(daemon, "models", "ok")["state"] == "up"


def test_a_missing_model_is_named_beside_those_served(start, server):
    server.routes["/v1/models"] = recorded("openai.models.ok.http")
    daemon = start(models_config(server, ["gpt-4o-mini", "gpt-9", "gpt-10"]))
    check = wait_reason(daemon, "models", "model_missing")
    assert check["last"]["verdict"] == "down"
    assert check["last"]["detail"] == (
        "not served: gpt-9, gpt-10; served: gpt-4o-mini, text-embedding-3-small")


def test_an_empty_list_is_a_failure(start, server):
    server.routes["/v1/models"] = '{"object":"list","data":[]}'
    daemon = start(models_config(server, []))
    assert wait_reason(daemon, "models", "model_missing")["last"]["verdict"] == "down"


def test_a_store_may_be_empty_but_must_be_one(start, server):
    listed = {"path": "/v1/models", "ids": "/data/*/id", "may_be_empty": True}
    server.routes["/v1/models"] = '{"data":[]}'
    daemon = start(models_config(server, [], list=listed))
    wait_reason(daemon, "models", "ok")
    server.routes["/v1/models"] = '{"error":"no such path"}'
    wait_reason(daemon, "models", "model_missing")


def test_aliases_and_prefixes_mean_the_same_model(start, server):
    names = {"tag": ("llama3.2", "llama3.2:latest"), "prefix": ("gemini-f", "models/gemini-f"),
             "org": ("demo-8b", "org/demo-8b"), "file": ("demo", "/models/demo.gguf")}
    cases = {name: (model_list("other", served), [wanted], {})
             for name, (wanted, served) in names.items()}
    daemon = start(models_endpoints(server, cases))
    assert {last["reason"] for last in lasts(daemon, cases).values()} == {"ok"}


def test_adapters_are_aliases_where_the_profile_says_so(start, server):
    server.routes["/v1/models"] = model_list("base", aliases=["tuned", "tuned-2"])
    listed = {"path": "/v1/models", "ids": "/data/*/id", "aliases": ["/data/*/aliases/*"]}
    daemon = start(models_config(server, ["tuned-2"], list=listed))
    wait_reason(daemon, "models", "ok")


PAGED = {"path": "/v1/models?limit=1", "ids": "/data/*/id", "next": "/last_id",
         "next_parameter": "after_id", "more": "/has_more"}


def pages(names):
    """One model a page; the cursor needs escaping."""
    def answer(query):
        at = names.index(query["after_id"]) + 1 if "after_id" in query else 0
        return json.dumps({"data": [{"id": names[at]}], "has_more": at + 1 < len(names),
                           "last_id": names[at]})
    return answer


def test_pages_are_followed_to_the_wanted_model(start, server):
    names = ["a&b=c", "d e/ü", "third", "fourth"]
    server.routes["/v1/models"] = pages(names)
    daemon = start(models_config(server, ["third"], list=PAGED))
    wait_reason(daemon, "models", "ok")
    assert server.asked[:3] == ["/v1/models?limit=1", "/v1/models?limit=1&after_id=a%26b%3Dc",
                                "/v1/models?limit=1&after_id=d%20e%2F%C3%BC"]
    assert not any("third" in asked for asked in server.asked)


def test_all_pages_are_read_before_a_model_is_missing(start, server):
    server.routes["/v1/models"] = pages(["a", "b", "c"])
    daemon = start(models_config(server, ["d"], list=PAGED))
    wait_reason(daemon, "models", "model_missing")
    assert server.asked[2] == "/v1/models?limit=1&after_id=b"


def pages_of_a_check(server):
    """How many pages the first check asked for, once the second has begun."""
    first = PAGED["path"]
    wait_until(lambda: server.asked.count(first) >= 2, what="a second check")
    return server.asked.index(first, 1)


def test_endless_pages_end(start, server):
    server.routes["/v1/models"] = pages([f"m{number}" for number in range(1000)])
    daemon = start(models_config(server, ["m999"], list=PAGED))
    wait_reason(daemon, "models", "bad_probe")
    assert pages_of_a_check(server) == 20


def test_a_server_without_paging_gives_its_page_twice_at_most(start, server):
    server.routes["/v1/models"] = '{"data":[{"id":"a"}],"has_more":true,"last_id":"a"}'
    daemon = start(models_config(server, ["b"], list=PAGED))
    wait_reason(daemon, "models", "model_missing")
    assert pages_of_a_check(server) == 2


STATES = {"path": "/v1/models", "ids": "/data/*/id", "state": "/data/*/status/value",
          "failure": "/data/*/status/failed", "ready": ["loaded"], "loading": ["loading"],
          "cold": ["unloaded", "sleeping"]}


def test_states_are_told_apart(start, server):
    expected = {"a": ("ok", "up"), "b": ("model_missing", "down"), "c": ("cold", "up"),
                "d": ("loading", "not_ready")}
    cases = {name: (recorded("llamacpp.router_models.ok.http"), [f"{name}:Q4"], {"list": STATES})
             for name in expected}
    daemon = start(models_endpoints(server, cases))
    for name, last in lasts(daemon, cases).items():
        assert (last["reason"], last["verdict"]) == expected[name]
        assert name == "a" or f"{name}:Q4" in last["detail"]


def test_drift_shows_before_and_after_and_is_forgotten_in_time(start, server):
    server.routes["/v1/models"] = model_list("demo-8b", max_model_len=8192)
    daemon = start(models_config(server, ["demo-8b"], drift_hold="3s"))
    wait_reason(daemon, "models", "ok")
    server.routes["/v1/models"] = model_list("demo-8b", max_model_len=4096)
    last = wait_reason(daemon, "models", "model_drift")["last"]
    assert last["verdict"] == "degraded"
    assert last["detail"] == "demo-8b: context length 8192 -> 4096"
    wait_reason(daemon, "models", "ok")
    assert daemon.results_total("a")["model_drift"] >= 3


def test_drift_of_a_server_of_which_nothing_is_wanted_is_that_of_its_ids(start, server):
    server.routes["/v1/models"] = model_list("demo-8b")
    daemon = start(models_config(server, []))
    wait_reason(daemon, "models", "ok")
    server.routes["/v1/models"] = model_list("demo-70b")
    last = wait_reason(daemon, "models", "model_drift")["last"]
    assert last["detail"] == "models demo-8b -> demo-70b"


def test_an_error_in_a_200_is_what_the_rules_say(start, server):
    server.routes["/v1/models"] = recorded("lmstudio.unknown_endpoint.200.http")
    daemon = start(models_config(server, ["m"], rules=[
        {"json": {"/error": {"exists": True}}, "reason": "bad_probe"}]))
    last = wait_reason(daemon, "models", "bad_probe")["last"]
    assert "Unexpected endpoint" in last["detail"]


def test_what_is_no_list_has_its_reason(start, server):
    answers = {
        "html": ("<html>log in</html>", "json_invalid"), "empty": ("", "json_invalid"),
        "key": ((401, '{"error":"Unauthorized"}'), "auth_failed"),
        "broken": ((503, ""), "server_error"), "limited": ((429, ""), "rate_limited"),
        "lost": ((404, "no"), "http_status"), "large": ("x" * 3_000_000, "body_too_large")}
    cases = {name: (answer, ["m"], {}) for name, (answer, _) in answers.items()}
    daemon = start(models_endpoints(server, cases))
    assert {name: last["reason"] for name, last in lasts(daemon, cases).items()} == {
        name: reason for name, (_, reason) in answers.items()}
