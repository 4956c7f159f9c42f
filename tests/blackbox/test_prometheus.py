# SPDX-License-Identifier: MIT
"""A real Prometheus with our alert rules against servers that fail: what fires, what does not, and
whether every query of the dashboard finds what it asks for.

A minute of the rules is 0.3 s here, so that nothing takes long."""

import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.parse
from http.client import HTTPConnection

import pytest

import certs
from harness import (Daemon, Timeout, clean_environment, free_port, http_endpoint, request, wait_until)
from models import model_endpoint
from simulator import Simulator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lint"))
import monitoring  # noqa: E402: what the lints know of the dashboard

MINUTE_MS = 300
SCRAPE_MS = 250
ALERTS_SECONDS = 30

CONFIG = """
global: {{ scrape_interval: {every}ms, scrape_timeout: {every}ms, evaluation_interval: {every}ms }}
rule_files: [ rules.yml ]
scrape_configs:
  - job_name: modelhealthd
    static_configs: [ {{ targets: [ "127.0.0.1:{port}" ] }} ]
"""

# endpoint: (alert, severity)
WANTED = {
    "frozen": ("ModelEndpointDown", "critical"),
    "gone": ("ModelEndpointDown", "critical"),
    "locked": ("ModelProbeRefused", "warning"),
    "loading": ("ModelEndpointNotReady", "warning"),
    "slow": ("ModelEndpointDegraded", "warning"),
    "full": ("ModelEndpointOverloaded", "warning"),
    "thrifty": ("ModelCheckBudgetSpent", "warning"),
    "aging": ("ModelCertificateExpiring", "critical"),
}

# These tell of the machine, not of what is done here.
SLOW_MACHINE = {"ModelhealthdLate", "ModelhealthdLoopStalls", "ModelhealthdPaused"}

# Queries that find nothing: these servers do not tell their times, and nobody restarts the daemon.
EMPTY = {'panel "First token and time between tokens, all clients"', "annotation Starts"}


def hasty(rules):
    """The rules with every minute and hour shortened."""
    def shorten(match):
        minutes = int(match.group(1)) * (60 if match.group(2) == "h" else 1)
        return f"{minutes * MINUTE_MS}ms"
    return re.sub(r"(?<=[ \[])(\d+)([mh])(?=[\]\n])", shorten, rules)


class Prometheus:
    """The program of Debian's package, on a free port, with its data in a folder that is deleted."""

    def __init__(self, watched_port):
        self.directory = tempfile.mkdtemp(prefix="mh-prom-")
        self.port = free_port()
        folder = pathlib.Path(self.directory)
        (folder / "rules.yml").write_text(hasty(monitoring.read(monitoring.RULES)))
        (folder / "prometheus.yml").write_text(CONFIG.format(every=SCRAPE_MS, port=watched_port))
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"],
            env=clean_environment(), stdout=self.log, stderr=self.log)

    def get(self, path, **query):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        answer = request(connection, "GET", f"{path}?{urllib.parse.urlencode(query)}").json
        assert answer["status"] == "success", answer
        return answer["data"]

    def ask(self, expression):
        return self.get("/api/v1/query", query=expression)["result"]

    def firing(self):
        """{(alert, endpoint or None, severity): summary}"""
        try:
            alerts = self.get("/api/v1/alerts")["alerts"]
        except (OSError, ValueError):
            return {}  # not up yet
        return {(alert["labels"]["alertname"], alert["labels"].get("endpoint"),
                 alert["labels"]["severity"]): alert["annotations"]["summary"]
                for alert in alerts if alert["state"] == "firing"}

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()
        shutil.rmtree(self.directory)


def certificate_of_a_day(directory):
    certs.openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                  "-nodes", "-days", "1", "-subj", "/CN=sim.test", "-addext",
                  "subjectAltName=DNS:sim.test,IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem")
    return f"{directory}/cert.pem", f"{directory}/key.pem"


@pytest.fixture(scope="module")
def world():
    """Servers with a fault each, the daemon that watches them, and the Prometheus that watches it."""
    for program in ("prometheus", "openssl"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    directory = tempfile.mkdtemp(prefix="mh-cert-")
    certificate, key = certificate_of_a_day(directory)
    ports = {name: free_port() for name in [*WANTED, "well"]}
    settings = {"frozen": ",fault=stall", "locked": ",fault=unauthorized", "full": ",fault=overload",
                "aging": f",tls_certificate={certificate},tls_key={key}"}
    listens = [option for name, port in ports.items() if name not in ("gone", "loading")
               for option in ("--listen", f"127.0.0.1:{port},name={name}{settings.get(name, '')}")]

    def model(name, **more):
        return model_endpoint(name, f"http://127.0.0.1:{ports[name]}", 0.5, {
            "connect": "1s", "first_byte": "1s", "first_token": "500ms", "total": "2s"}, **more)

    def page(name, scheme="http", **more):
        return http_endpoint(name, f"{scheme}://127.0.0.1:{ports[name]}/health", interval="500ms",
                             fast_interval="500ms", fall=2, degraded_fall=2, **more)

    simulator = Simulator("", *listens)
    daemon = Daemon({"endpoints": [
        model("well", group="chat"), model("frozen"), model("locked"), model("full"),
        page("gone", retries={"attempts": 1, "backoff": "10ms"}),
        page("loading", refused_is_loading=True),
        page("slow", expect={"latency": {"degraded": "1us"}}),
        model("thrifty", canary={"budget": {"requests": "2/1d"}}),
        page("aging", "https", tls={"ca_file": certificate}),
    ]})
    prometheus = None
    try:
        daemon.start()
        prometheus = Prometheus(daemon.port)
        yield daemon, prometheus
    finally:
        if prometheus:
            prometheus.close()
        daemon.close()
        simulator.close()
        shutil.rmtree(directory)


def test_each_fault_raises_its_own_alert_and_no_other(world):
    daemon, prometheus = world
    daemon.write_text("endpoints: 7\n")
    daemon.signal(signal.SIGHUP)
    wanted = {(alert, name, severity) for name, (alert, severity) in WANTED.items()}
    wanted.add(("ModelhealthdReloadFailed", None, "warning"))
    try:
        wait_until(lambda: wanted <= set(prometheus.firing()), ALERTS_SECONDS, "the alerts")
    except Timeout:
        missing = wanted - set(prometheus.firing())
        states = {name: (seen["state"], seen["reason"]) for name, seen in daemon.endpoints().items()}
        raise AssertionError(f"missing {missing}; states {states}") from None
    assert set(firing := prometheus.firing()) - wanted <= {
        alert for alert in firing if alert[0] in SLOW_MACHINE}
    assert "frozen is down: timeout_first_token (check canary); " in firing[
        "ModelEndpointDown", "frozen", "critical"]


def test_every_query_of_the_dashboard_finds_something(world):
    daemon, prometheus = world
    daemon.signal(signal.SIGHUP)  # refused once more
    missing = set()

    def all_find():
        missing.clear()
        for where, expression in monitoring.dashboard_expressions(monitoring.dashboard()):
            if not prometheus.ask(monitoring.substituted(expression)):
                missing.add(where)
        return missing <= EMPTY
    try:
        wait_until(all_find, 10, "results")
    except Timeout:
        raise AssertionError(f"nothing found by {missing - EMPTY}") from None
    assert missing == EMPTY


def test_prometheus_is_given_openmetrics(world):
    """Only there a counter is called without the suffix of its samples."""
    _, prometheus = world
    wait_until(lambda: prometheus.get("/api/v1/metadata", metric="modelhealth_checks"), 10, "a scrape")
    about = prometheus.get("/api/v1/metadata", metric="modelhealth_checks")["modelhealth_checks"][0]
    assert about["type"] == "counter"
    assert prometheus.get("/api/v1/metadata", metric="modelhealth_checks_total") == {}
    wait_until(lambda: prometheus.ask("modelhealth_checks_total > 0"), 10, "a sample")
    assert prometheus.ask("up == 0") == []


def test_openmetrics_is_what_its_reference_parser_takes(world):
    parser = pytest.importorskip("prometheus_client.openmetrics.parser",
                                 reason="python3-prometheus-client is not installed")
    daemon, _ = world
    answer = daemon.request("GET", "/metrics", {"Accept": "application/openmetrics-text;version=1.0.0"})
    assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = {family.name: family for family in parser.text_string_to_metric_families(answer.text)}
    text = daemon.request("GET", "/metrics", {"Accept": "text/plain;version=0.0.4"})
    assert text.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    announced = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text.text, re.MULTILINE))
    assert {name: family.type for name, family in families.items()} == {
        name.removesuffix("_total") if kind == "counter" else name: kind
        for name, kind in announced.items()}
    assert families["modelhealth_check_duration_seconds"].samples
