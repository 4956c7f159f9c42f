# SPDX-License-Identifier: MIT
"""The goals: a table, and what the rows make of it."""

from typing import NamedTuple


class Goal(NamedTuple):
    row: str
    figure: str
    words: str
    most: float = None  # either this …
    least: float = None  # … or this
    over: str = None  # the row by whose same figure this one's is divided
    above: str = None  # the row whose same figure is taken away

    def rows(self):
        return [row for row in (self.row, self.over, self.above) if row]

    def value(self, rows):
        value = rows[self.row][self.figure]
        if self.over:
            return value / max(rows[self.over][self.figure], 1e-9)
        return value - rows[self.above][self.figure] if self.above else value

    def is_met(self, value):
        return value <= self.most if self.least is None else value >= self.least

    def bound(self):
        return f"at most {self.most}" if self.least is None else f"at least {self.least}"


CPU = "cpu_us_per_check"

GOALS = [
    Goal("fresh", CPU, "CPU of a fresh check, x raw (bound)", over="raw_fresh", most=1.5),
    Goal("fresh", CPU, "CPU of a fresh check, x raw", over="raw_fresh", most=1.2),
    Goal("fresh", "late_p99_ms", "p99 lateness, ms (bound)", most=5),
    Goal("fresh", "late_p99_ms", "p99 lateness, ms", most=2),
    Goal("fresh", "late_max_ms", "longest lateness, ms", most=20),
    Goal("fresh", "turn_max_ms", "longest turn of the loop, ms (bound)", most=20),
    Goal("fresh", "rss_mb", "memory, MB (bound)", most=60),
    Goal("fresh", "rss_mb", "memory, MB", most=50),
    Goal("fresh", "wrong", "endpoints judged wrongly", most=0),
    Goal("reuse", CPU, "CPU of a check on a kept connection, x raw", over="raw_reuse", most=1.5),
    Goal("reuse", "wrong", "endpoints judged wrongly on kept connections", most=0),
    Goal("tls", CPU, "CPU of a fresh TLS check, renewals included, us (bound)", most=600),
    Goal("tls", CPU, "CPU of a fresh TLS check, renewals included, us", most=500),
    Goal("tls_resumed", "wrong", "endpoints judged wrongly over TLS", most=0),
    Goal("blackholes", "wrong", "endpoints judged wrongly beside black holes", most=0),
    Goal("blackholes", "late_p99_ms", "black holes delay starts, p99 ms", above="fresh", most=5),
    Goal("render_metrics", "late_p99_ms", "/metrics every second delays starts, p99 ms",
         above="fresh", most=5),
    Goal("render_metrics", "answer_cpu_ms", "/metrics, CPU ms", most=150),
    Goal("render_metrics", "turn_max_ms", "longest turn while /metrics renders, ms", most=5),
    Goal("render_endpoints", "late_p99_ms", "/api/v1/endpoints delays starts, p99 ms",
         above="fresh", most=5),
    Goal("life", "start_ms", "start, ms", most=1000),
    Goal("life", "check_ms", "--check, ms", most=1000),
    Goal("life", "reload_ms", "reload, ms", most=300),
    Goal("life", "turn_max_ms", "longest turn with a reload, ms", most=20),
    Goal("streams", "wrong", "streams judged wrongly", most=0),
    Goal("streams", "first_token_error_p99_ms", "first token beside the model's own, p99 ms", most=2),
    Goal("streams", "inter_token_error_p99_ms", "time between tokens, p99 ms", most=2),
    *(Goal(f"parse_{dialect}", f"tokens_per_second_by_{cut}",
           f"{dialect}: tokens parsed a second of one core, {words}", least=1e6)
      for dialect in ("chat", "messages", "ollama")
      for cut, words in (("event", "one event a read"), ("kib", "16 KiB a read"))),
    Goal("growth_small", CPU, "CPU of a fresh check, a tenth of the endpoints, x raw",
         over="raw_growth_small", most=1.2),
    Goal("growth_middle", CPU, "CPU of a check with 10 times the endpoints at the same rate, x",
         over="growth_small", most=1.2),
    Goal("growth_large", CPU, "CPU of a check with 50 times the endpoints at the same rate, x",
         over="growth_small", most=1.2),
    *(Goal(f"growth_{size}", "wrong", f"endpoints judged wrongly, growth {size}", most=0)
      for size in ("small", "middle", "large")),
    Goal("many", "reached", "10 times the endpoints every 15 s: rate, x what they should have",
         least=0.99),
    Goal("many", "kib_per_endpoint", "10 times the endpoints: memory of each above 15 MB, KiB", most=4),
    Goal("many", "wrong", "10 times the endpoints: judged wrongly", most=0),
    Goal("most_fresh", "held", "one core holds so many fresh checks a second", least=10000),
    Goal("most_reuse", "held", "one core holds so many checks a second on kept connections",
         least=25000),
    Goal("most_tls", CPU, "CPU of a fresh TLS check at the highest rate held, sessions resumed, us",
         most=500),
    *(Goal(f"most_{mode}_x{factor}", figure, f"{mode}, offered {factor} x what is held: {words}", **bound)
      for mode in ("fresh", "reuse", "tls") for factor in (1.5, 2)
      for figure, words, bound in (
          ("of_held", "still done, x", {"least": 0.9}),
          ("accounted", "done or counted as skipped, x", {"least": 0.9}),
          ("wrong", "judged wrongly", {"most": 0}))),
    *(Goal(f"peers_{size}_blackbox", CPU,
           f"blackbox_exporter and Prometheus, {size}: CPU of a check, x ours",
           over=f"peers_{size}_ours", least=least) for size, least in (("small", 8), ("large", 30))),
    *(Goal(f"peers_{size}_blackbox", "rss_mb",
           f"blackbox_exporter and Prometheus, {size}: memory, x ours",
           over=f"peers_{size}_ours", least=least) for size, least in (("large", 40),)),
    *(Goal(f"peers_{size}_ours", CPU, f"CPU of a check, {size}, x HAProxy",
           over=f"peers_{size}_haproxy", most=most)
      for size, most in (("small", 1), ("large", 1), ("tls", 1.2))),
    *(Goal(f"peers_{size}_ours", "wrong", f"endpoints judged wrongly beside peers, {size}", most=0)
      for size in ("small", "large", "tls")),
]


def judge(rows):
    """Yields (goal, value) for each goal whose rows were measured."""
    for goal in GOALS:
        if all(row in rows for row in goal.rows()):
            yield goal, goal.value(rows)
