# SPDX-License-Identifier: MIT
"""The schema that editors check with: good for what ships, and against the mistakes that are made.

It may be looser than the loader, never stricter in what people write. The validator knows the
keywords that the schema uses, and fails on any other.
"""

import json
import pathlib
import re

import pytest
import yaml

from harness import run_daemon

ROOT = pathlib.Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "config/modelhealthd.schema.json").read_text(encoding="utf-8"))
TYPES = {"array": list, "boolean": bool, "integer": int, "null": type(None), "number": (int, float),
         "object": dict, "string": str}


def is_type(value, name):
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def resolve(schema):
    while "$ref" in schema:
        target = SCHEMA
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema


def holds(value, schema):
    if isinstance(schema, bool):
        return schema
    schema = resolve(schema)
    is_number = is_type(value, "number")
    rules = {
        "$defs": lambda rule: True, "$schema": lambda rule: True, "description": lambda rule: True,
        "title": lambda rule: True,
        "additionalProperties": lambda rule: not isinstance(value, dict) or all(
            holds(value[key], rule) for key in value if key not in schema.get("properties", ())),
        "anyOf": lambda rule: any(holds(value, part) for part in rule),
        "enum": lambda rule: value in rule,
        "items": lambda rule: not isinstance(value, list) or all(holds(v, rule) for v in value),
        "maxItems": lambda rule: not isinstance(value, list) or len(value) <= rule,
        "maximum": lambda rule: not is_number or value <= rule,
        "minItems": lambda rule: not isinstance(value, list) or len(value) >= rule,
        "minimum": lambda rule: not is_number or value >= rule,
        "pattern": lambda rule: not isinstance(value, str) or re.search(rule, value),
        "properties": lambda rule: not isinstance(value, dict) or all(
            holds(value[key], rule[key]) for key in value if key in rule),
        "propertyNames": lambda rule: not isinstance(value, dict) or all(
            holds(key, rule) for key in value),
        "required": lambda rule: not isinstance(value, dict) or all(key in value for key in rule),
        "type": lambda rule: any(
            is_type(value, name) for name in ([rule] if isinstance(rule, str) else rule)),
    }
    return all(rules[keyword](rule) for keyword, rule in schema.items())


def endpoint(line):
    return ("endpoints:\n  - name: a\n    type: http\n"
            + ("" if line.startswith("url:") else "    url: http://h:1/\n") + f"    {line}\n")


def loads(text, tmp_path):
    path = tmp_path / "main.yaml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return run_daemon("--check", "--config", str(path)).returncode == 0


@pytest.mark.parametrize("name", ["first.yaml", "modelhealthd.yaml", "quickstart.yaml"])
def test_schema_takes_what_ships(name):
    assert holds(yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8")), SCHEMA)


@pytest.mark.parametrize("line", [
    "interval: 5s", "jitter: 0", "interval: 1m30s", "rate: 60/1m", "max_body_bytes: 1024",
    "max_body_bytes: 64KiB", "expect: { status: 204 }", "expect: { status: [ 200-299, 404 ] }",
    "expect: { status: { in: [ 500 ], severity: degraded } }", "labels: { team_1: search }",
    "expect: { body: ok }", "expect: { json: { /a: 1 } }", "reuse: true", "models: llama",
    "timeout: { connect: 2s }", "redirects: 3", "headers: { Accept: text/plain }",
    "api_key: 12345", "tls: { verify: false }"])
def test_schema_takes_what_the_loader_takes(line, tmp_path):
    assert loads(endpoint(line), tmp_path)
    assert holds(yaml.safe_load(endpoint(line)), SCHEMA)


@pytest.mark.parametrize("line", [
    "interval: 10", "interval: soon", "intervall: 10s", "timeout: 10s", "timeout: { total: 5 }",
    "retries: 3", "rate: 60", "rate: 60/m", "rise: 0", "rise: two", "redirects: 4", "reuse: 1",
    "max_body_bytes: -1", "max_body_bytes: 64KB", "url: h:8000", "url: /health",
    "expect: { status: 600 }", "expect: { status: 2xx }", "expect: { latency: 1s }",
    "expect: { bdy: x }", "labels: { a-b: x }", "labels: { __a: x }", "on_limit: ignore",
    "init: UP"])
def test_schema_refuses_the_mistakes_that_people_make(line, tmp_path):
    assert not loads(endpoint(line), tmp_path)
    assert not holds(yaml.safe_load(endpoint(line)), SCHEMA)
