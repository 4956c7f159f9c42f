# SPDX-License-Identifier: MIT
"""What the lints share of the dashboard and the alert rules: where their PromQL stands."""
import json
import re
import sys

from source import ROOT, read

try:
    import yaml
except ImportError:
    print("python3-yaml is not installed")
    sys.exit(77)

DASHBOARD = ROOT / "packaging/grafana/modelhealthd.json"
DOCUMENT = ROOT / "packaging/doc/operating.md"
RULES = ROOT / "packaging/prometheus/modelhealthd.rules.yml"
RULE_TESTS = ROOT / "packaging/prometheus/tests/modelhealthd.test.yml"

# What Grafana puts in place of its own variables, in kind.
GRAFANA = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "6h"}


def dashboard():
    return json.loads(read(DASHBOARD))


def panels(board):
    """Those that show something, rows opened."""
    for panel in board["panels"]:
        yield from panel.get("panels", []) if panel["type"] == "row" else [panel]


def variable_expression(query):
    """PromQL of a variable's query: label_values(METRIC, LABEL) or query_result(EXPRESSION)."""
    if match := re.fullmatch(r"label_values\((.*), \w+\)", query):
        return match.group(1)
    match = re.fullmatch(r"query_result\((.*)\)", query)
    return match.group(1) if match else query


def dashboard_expressions(board):
    """(where, PromQL with Grafana's variables still in it)."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield f'panel "{panel["title"]}"', target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield f'variable {variable["name"]}', variable_expression(variable["definition"])
    for annotation in board["annotations"]["list"]:
        if "expr" in annotation:
            yield f'annotation {annotation["name"]}', annotation["expr"]


def substituted(expression):
    for name, value in GRAFANA.items():
        expression = expression.replace(name, value)
    return re.sub(r"\$(\w+)", ".*", expression)


def alerts():
    return [rule for group in yaml.safe_load(read(RULES))["groups"] for rule in group["rules"]]


def alert_expressions():
    """(where, PromQL): of the alerts, and of what their annotations look up."""
    for alert in alerts():
        yield f'alert {alert["alert"]}', alert["expr"]
        for text in alert["annotations"].values():
            for query in re.findall(r'printf "([^"]*)"', text):
                yield f'annotation of {alert["alert"]}', query.replace("'%s'", "'x'").replace("'", '"')
