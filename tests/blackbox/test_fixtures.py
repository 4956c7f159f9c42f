# SPDX-License-Identifier: MIT
"""Every recorded answer of a model server gets the verdict that tests/data/fixtures/INDEX.tsv
gives it, through the real binary and the shipped profiles, however the bytes are cut.

Each recording is served on a port of its own. Which check of which profile must judge it follows
from its method and path, which are those that the profile asks for; a recording that no check asks
for (/version) is asked by a plain http check of the same type.
"""

import asyncio
import csv
import json
import pathlib
import random
import re
import threading

import pytest
import yaml

from harness import PATIENCE, run_daemon

ROOT = pathlib.Path(__file__).parents[2]
RECORDINGS = ROOT / "tests/data/fixtures"
PROFILES = ROOT / "config/profiles"

# The words of INDEX.tsv in ours.
REASONS = {
    "ready": {"ok"},
    "alive": {"ok"},
    "loading": {"loading", "grpc_not_serving"},
    "cold": {"cold"},
    "sleeping": {"asleep"},
    "draining": {"draining"},
    "overloaded": {"overloaded", "rate_limited"},
    "quota": {"quota_exhausted"},
    "degraded": {"server_degraded"},
    "dead": {"server_error", "grpc_status"},
    "error_in_stream": {"stream_error", "stream_truncated", "degenerate_output"},
    "model_missing": {"model_missing"},
    "auth": {"auth_failed"},
    "bad_probe": {"bad_probe"},
    "feature_off": {"feature_off"},
    "unexpected": {"json_invalid"},
}

TYPES = {
    "azure": "azure_openai",
    "generic": "openai_compatible",
}

# Recordings of a path that the profile does not ask for, judged by this check all the same.
JUDGED_BY = {
    "lmstudio.unknown_endpoint.200": "live",
    "sglang.health.starting_or_failed": "ready",
    "llamacpp.router_models.ok": "models",
}

# Two scrapes make a stall: tests of the load check replay these.
PAIRS = {"vllm.metrics.stalled_t0", "vllm.metrics.stalled_t1"}

# Enough for every variable that a profile uses.
VARIABLES = {"sample": "[1.0]", "route": "predict", "resource": "r", "region": "eu-west-1"}

# What is asked before an inference: which models are in memory, and what their inputs are.
IN_MEMORY = {
    "models": [{"name": "M", "loaded_instances": [{"id": "M"}]}],
    "data": [{"id": "M", "status": {"value": "loaded"}}],
    "loaded_models": [{"id": "M"}],
}


def type_of(name):
    if name.startswith("kserve."):
        return "kserve_" + name.split(".")[1]
    if name.startswith("llamacpp.router"):
        return "llamacpp_router"
    prefix = name.split(".")[0]
    return TYPES.get(prefix, prefix)


def merge(under, over):
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return {**under, **{key: merge(under.get(key), value) for key, value in over.items()}}


def load_profile(name):
    """A profile with what it takes from the one it is like."""
    profile = yaml.safe_load((PROFILES / f"{name}.yaml").read_text())
    if "like" not in profile:
        return profile
    return merge(load_profile(profile["like"]), profile)


def fits(template, path):
    pattern = re.escape(template.split("?")[0])
    pattern = re.sub(r"\\\$\\\{[a-z_]+\\\}", "[^/:]+", pattern)
    return re.fullmatch(pattern, path.split("?")[0]) is not None


def pick_mode(modes, raw):
    """The mode whose framing is that of the answer; what asks for a stream gets errors as JSON."""
    head = raw.split(b"\r\n\r\n")[0].lower()
    is_stream = b"event-stream" in head or b"ndjson" in head or b" 200" not in head
    body = raw.split(b"\r\n\r\n", 1)[-1]
    wanted = {"sse", "ndjson"} if is_stream or body.startswith(b'{"error') else {"json", "any"}
    for mode, dialect in modes.items():
        if dialect["framing"] in wanted:
            return mode
    return next(iter(modes))


def find_check(profile, method, path, raw):
    """(name, overrides) of the check that would ask this; None when none does."""
    for name, check in profile["checks"].items():
        kind = check.get("kind")
        if kind == "canary":
            modes = {mode: dialect for mode, dialect in check["modes"].items()
                     if method == "POST" and fits(dialect["path"], path)}
            if modes:
                return name, {"mode": pick_mode(modes, raw), "wake": "allowed"}
        elif kind == "models":
            if fits(check["list"]["path"], path) and check["list"].get("method", "GET") == method:
                return name, {}
        elif kind in ("http", "load"):
            if fits(check.get("path", "/"), path) and check.get("method", "GET") == method:
                return name, {}
    return None


class Case:
    def __init__(self, row):
        self.file, self.method, path, self.verdict = row["file"], row["method"], row["path"], row["verdict"]
        self.name, self.suffix = self.file.rsplit(".", 1)
        self.path = re.sub(r"^:\d+", "", path)
        self.type = type_of(self.name)
        self.raw = (RECORDINGS / self.file).read_bytes()
        self.profile = load_profile(self.type)
        self.port = None

    def check(self):
        if self.suffix == "h2":
            return "live", {"kind": "grpc"}
        if self.suffix == "resp":
            return "live", {}
        if self.name in JUDGED_BY:
            return JUDGED_BY[self.name], {}
        found = find_check(self.profile, self.method, self.path, self.raw)
        return found or ("recorded", {"kind": "http", "method": self.method, "path": self.path})

    def endpoint(self):
        name, overrides = self.check()
        scheme = "tcp" if self.suffix == "resp" else "http"
        checks = {other: {"enabled": False} for other in self.profile["checks"]}
        checks[name] = {"enabled": True, "retries": {"attempts": 0}, **overrides}
        kind = self.profile["checks"].get(name, {}).get("kind")
        if kind in ("http", "load"):
            checks[name]["port"] = self.port
        if kind == "load" and self.verdict == "overloaded":
            checks[name]["overloaded"] = {"waiting": {"above": 0, "for": "0s"}}
        if kind == "models":
            checks[name]["list"] = {"port": self.port}
        endpoint = {"name": self.name, "type": self.type, "checks": checks,
                    "url": f"{scheme}://127.0.0.1:{self.port}"}
        if scheme == "http":
            endpoint["variables"] = VARIABLES
        if kind != "models":
            endpoint["models"] = ["M"]
        if "sigv4" in self.profile:
            checks[name].update(access_key="AKID", secret_key="secret")
        return endpoint


def read_index():
    with open(RECORDINGS / "INDEX.tsv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [Case(row) for row in rows
            if row["path"] != "CLIENT" and row["file"].rsplit(".", 1)[0] not in PAIRS]


# ---- the server ----


def whole(data, seed):
    return [data]


def single_bytes(data, seed):
    return [data[i:i + 1] for i in range(len(data))]


def random_cuts(data, seed):
    cuts = random.Random(seed)
    places = sorted(cuts.sample(range(1, len(data)), min(len(data) - 1, cuts.randint(1, 12))))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)])]


def answer_json(document):
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def answer_to(case, first_line):
    """The recording, or what the check wants to know before it asks."""
    method, path = (first_line.split() + [b"", b""])[:2]
    if case.suffix != "http" or method.decode() == case.method or method == b"POST":
        return case.raw
    if b"/v2/models/" in path:
        return (RECORDINGS / "triton.metadata.ok.http").read_bytes()
    return answer_json(IN_MEMORY)


class Replay:
    """One loopback port a recording."""

    def __init__(self, cases, cut):
        self.cases, self.cut = cases, cut
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    async def _serve(self, case, reader, writer):
        try:
            first_line = await reader.read(65536)
            for number, piece in enumerate(self.cut(answer_to(case, first_line), case.name)):
                writer.write(piece)
                await writer.drain()
                if number % 16 == 15:
                    await asyncio.sleep(0)
            if case.suffix == "h2":
                await asyncio.wait_for(reader.read(), 5)
        except (OSError, asyncio.TimeoutError):
            pass
        finally:
            writer.close()

    async def _listen(self):
        for case in self.cases:
            def serve(reader, writer, case=case):
                return self._serve(case, reader, writer)
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            case.port = server.sockets[0].getsockname()[1]

    def __enter__(self):
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result(10)
        return self

    def __exit__(self, kind, value, traceback):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


def judge(cases, tmp_path):
    """{endpoint: reason of its only check}"""
    config = tmp_path / "replay.yaml"
    config.write_text(json.dumps({
        "defaults": {"timeout": {"total": f"{int(10 * PATIENCE)}s"}},
        "endpoints": [case.endpoint() for case in cases],
    }))
    done = run_daemon("--config", str(config), "--once", "--output", "json", timeout=60 * PATIENCE)
    assert done.returncode in (0, 1), done.stderr
    answer = json.loads(done.stdout)
    return {endpoint["name"]: endpoint["checks"][0] for endpoint in answer["endpoints"]}


@pytest.mark.parametrize("cut", [whole, single_bytes, random_cuts], ids=lambda cut: cut.__name__)
def test_recorded_answers_get_their_verdict(cut, tmp_path):
    cases = read_index()
    with Replay(cases, cut):
        results = judge(cases, tmp_path)
    wrong = []
    for case in cases:
        result = results[case.name]["last"]
        if result["reason"] not in REASONS[case.verdict]:
            wrong.append(f"{case.name}: {case.verdict} expected, got {result['reason']} "
                         f"({result.get('detail', '')})")
    assert not wrong, f"{len(wrong)} of {len(cases)}\n" + "\n".join(wrong)


def test_every_recording_is_of_a_shipped_profile():
    for case in read_index():
        assert (PROFILES / f"{case.type}.yaml").exists(), case.file
