# SPDX-License-Identifier: MIT
"""Figures out of samples: the metrics of the daemon, and percentiles."""

import re

# Those of the daemon itself and one counter of each check. The rest, millions of lines when there
# are many endpoints, is not looked at.
WANTED = ("modelhealth_check_lateness_seconds_bucket", "modelhealth_check_overruns_total")
SAMPLE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)$')


class Metrics:
    """The samples of one scrape, each name the sum of all its labels but the edges of buckets."""

    def __init__(self, lines):
        self.values, self.edges = {}, {}
        for line in lines:
            match = SAMPLE.match(line) if line.startswith(WANTED) else None
            if not match:
                continue
            name, labels, value = match.groups()
            self.values[name] = self.values.get(name, 0) + float(value)
            edge = re.search(r'le="([^"]+)"', labels or "")
            if edge:
                self.edges.setdefault(name, {})[float(edge.group(1))] = float(value)


def quantile(before, after, name, fraction):
    """As histogram_quantile() of Prometheus, in seconds, over the time between two scrapes."""
    edges = sorted(after.edges[name])
    counts = [after.edges[name][edge] - before.edges[name][edge] for edge in edges]
    rank = fraction * counts[-1]
    for i, edge in enumerate(edges):
        if counts[i] < rank:
            continue
        low = edges[i - 1] if i > 0 else 0.0
        below = counts[i - 1] if i > 0 else 0.0
        if edge == float("inf") or counts[i] == below:
            return low
        return low + (edge - low) * (rank - below) / (counts[i] - below)
    return 0.0


def percentile(values, fraction):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else 0.0
