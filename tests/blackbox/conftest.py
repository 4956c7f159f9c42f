# SPDX-License-Identifier: MIT
"""Fixtures of the black-box tests."""

import shutil
import subprocess
import tempfile
import types

import pytest

import certs
from harness import Daemon
from hostile import Server
from simulator import Simulator


@pytest.fixture(scope="session")
def pki():
    """Certificates good and bad, made with openssl(1): see certs.py."""
    if not shutil.which("openssl"):
        pytest.skip("openssl(1) is not installed")
    directory = tempfile.mkdtemp(prefix="mh-pki-")
    yield certs.make(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def server():
    """The hostile server, with its healthy behaviour for the canaries."""
    with Server() as running:
        yield running


@pytest.fixture
def start():
    """start(config, …) runs a daemon that is stopped, and checked to end well, after the test."""
    running = []

    def start_daemon(config, *args, **options):
        ready_seconds = options.pop("ready_seconds", 10)
        daemon = Daemon(config, *args, **options)
        running.append(daemon)
        return daemon.start(ready_seconds)

    yield start_daemon
    errors = []
    for daemon in running:
        try:
            daemon.close()
        except AssertionError as error:
            errors.append(error)
    if errors:
        raise errors[0]


@pytest.fixture(scope="session")
def promtool():
    """promtool(text) fails the test when `promtool check metrics` finds anything."""
    path = shutil.which("promtool")
    if not path:
        pytest.skip("promtool (package prometheus) is not installed")

    def check(text):
        done = subprocess.run([path, "check", "metrics"], input=text, capture_output=True,
                              text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return types.SimpleNamespace(check=check)


@pytest.fixture
def simulate():
    """simulate(settings, option …) runs a simulator that is stopped after the test."""
    running = []

    def start(settings="", *options):
        running.append(Simulator(settings, *options))
        return running[-1]

    yield start
    for simulator in running:
        simulator.close()
