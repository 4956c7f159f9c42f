# SPDX-License-Identifier: MIT
"""Streams of tokens: hundreds at once over the network, and the reading alone."""

import datetime
import json
import re
import subprocess
import time

from bench import address
from figures import percentile
from processes import Broken, Daemon, Running, cpu_seconds, free_ports, get_local, rss_mb, stop

TOKENS_PER_ENDPOINT = 20  # to be parsed: as many as take some tenths of a second by default
PARSED = re.compile(r"(?m)^(\w+) +(one event|16 KiB|byte)\b.*? (\d+) +[\d.]+$")


class ModelServer(Running):
    """A farm of models that stream 100 tokens a second and write down when."""

    TTFT, GAP = 0.05, 0.01

    def __init__(self, build, directory, tokens):
        (self.port,) = free_ports(1)
        self.chats = directory / "chats"
        self.process = subprocess.Popen(
            [build / "src/app/modelhealth-sim", "--quiet", "--chats", self.chats, "--listen",
             f"127.0.0.0/8:{self.port},ttft={self.TTFT * 1e3:.0f}ms,gap={self.GAP * 1e3:.0f}ms,"
             f"tokens={tokens}"],
            stdout=subprocess.PIPE, text=True)
        if "ready" not in self.process.stdout.readline():
            raise Broken("modelhealth-sim did not start")

    def tokens_total(self):
        text = get_local(self.port, "/metrics")[1]
        return float(re.search(r"(?m)^vllm:generation_tokens_total\S* (\S+)$", text).group(1))

    def lines(self):
        """{host: [what it was asked]}; the process must have ended."""
        chats = {}
        for line in self.chats.read_text().splitlines():
            chat = json.loads(line)
            chats.setdefault(chat["host"], []).append(chat)
        return chats


def write_canaries(directory, load, count, tokens, port):
    """Streams that run as long as five sixths of the interval."""
    body = ('{"model":"sim-8b","messages":[{"role":"user","content":"${prompt}"}],'
            '"max_tokens":${max_tokens},"stream":true,"stream_options":{"include_usage":true}}')
    mode = {"path": "/v1/chat/completions", "framing": "sse", "body": body, "error": ["/error"],
            "text": ["/choices/0/delta/content"], "finish": ["/choices/0/finish_reason"],
            "sentinel": "[DONE]", "prompt_tokens": "/usage/prompt_tokens",
            "completion_tokens": "/usage/completion_tokens"}
    (directory / "modelhealthd.yaml").write_text(json.dumps({
        "status": {"listen": [f"unix:{directory}/status.sock"]},
        "defaults": {
            "interval": f"{load.interval}s", "retries": {"attempts": 0},
            "timeout": {"total": f"{load.interval * 3 + 1}s"}, "modes": {"chat": mode},
            "max_tokens": tokens, "expect": {"refuse_degenerate": False},
            "budget": {"tokens": "4000000000/1d", "requests": "1000000/1d"}},
        "endpoints": [{"name": f"e{i:06}", "type": "canary", "url": f"http://{address(i)}:{port}"}
                      for i in range(count)]}))


def compare_streams(daemon, model):
    """How far the newest figures of each endpoint are from the model's own, in seconds."""
    monotonic = time.time() - time.monotonic()
    endpoints = json.loads(daemon.get("/api/v1/endpoints")[1])["endpoints"]
    stop(daemon.process)
    stop(model.process)
    chats = model.lines()
    first, mean, longest = [], [], []
    for endpoint in endpoints:
        last = endpoint["checks"][0]["last"]
        if not last or last["reason"] != "ok":
            continue
        at = datetime.datetime.fromisoformat(last["at"].replace("Z", "+00:00")).timestamp()
        host = endpoint["url"].split("/")[2]
        chat = min(chats[host], key=lambda chat: abs(chat["last_at"] - (at - monotonic)))
        tokens = last["tokens"]
        first.append(abs(last["timings"]["first_token_seconds"]
                         - (chat["first_at"] - chat["asked_at"])))
        mean.append(abs(tokens["inter_token_mean_seconds"]
                        - (chat["last_at"] - chat["first_at"]) / (chat["tokens"] - 1)))
        longest.append(abs(tokens["inter_token_max_seconds"] - chat["gap_max"]))
    return endpoints, first, mean, longest


def streams(bench):
    """So many streams at once, compared with when the model says that it sent."""
    load, seconds = bench.load, bench.options.seconds
    directory = bench.directory / "streams"
    directory.mkdir()
    count = min(bench.options.streams, load.endpoints) * 6 // 5
    tokens = max(2, int((load.interval * 5 / 6 - ModelServer.TTFT) / ModelServer.GAP))
    with ModelServer(bench.build, directory, tokens) as model, Daemon(bench.build, directory) as daemon:
        write_canaries(directory, load, count, tokens, model.port)
        daemon.start()
        bench.warm_up(daemon, load)
        time.sleep(load.interval)
        got, cpu = model.tokens_total(), cpu_seconds(daemon.process.pid)
        time.sleep(seconds)
        got = model.tokens_total() - got
        cpu = cpu_seconds(daemon.process.pid) - cpu
        rss = rss_mb(daemon.process.pid)
        endpoints, first, mean, longest = compare_streams(daemon, model)
    bench.rows["streams"] = {
        "tokens_per_second": got / seconds,
        "cpu_ms_per_1000_tokens": cpu / got * 1e6 if got else 0,
        "compared": len(first),
        "first_token_error_p99_ms": percentile(first, 0.99) * 1e3,
        "inter_token_error_p99_ms": percentile(mean, 0.99) * 1e3,
        "longest_gap_error_p99_ms": percentile(longest, 0.99) * 1e3,
        "rss_mb": rss,
        "wrong": sum(endpoint["state"] != "up" for endpoint in endpoints),
    }


def parsing(bench):
    """Without a network: a row for each dialect, a figure for each way in which the bytes are cut."""
    output = subprocess.run(
        [bench.build / "tests/bench/stream", str(bench.load.endpoints * TOKENS_PER_ENDPOINT)],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    for dialect, cut, rate in PARSED.findall(output):
        row = bench.rows.setdefault(f"parse_{dialect}", {})
        row["tokens_per_second_by_" + cut.split()[-1].lower()] = float(rate)
