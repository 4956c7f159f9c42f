# SPDX-License-Identifier: MIT
"""What every black-box test stands on: the daemon under test, its clients and its fake neighbours.

Nothing here sleeps to wait: wait_until() polls a condition up to a deadline. Everything lives in
one short-named temporary directory per daemon (unix socket paths end at 107 bytes).
"""

import collections
import contextlib
import fcntl
import http.client
import json
import math
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

# Under ASan everything is a few times slower; limits that are about hanging, not about speed,
# are stretched by this.
PATIENCE = float(os.environ.get("MODELHEALTH_TEST_PATIENCE", "1"))

# Longest loop turn we accept next to any attack (O2: 500 ms under sanitizers).
STALL_MAX_SECONDS = 0.5

STOP_SECONDS = 5
SANITIZER_MARKS = ("Sanitizer", "runtime error:")

POLL_SECONDS = 0.02

# With no right to a core the daemon is closed to us as well: its /proc to a user who is not root,
# its memory to LeakSanitizer. One byte is too little for a core, and a right.
if hard_limit := resource.getrlimit(resource.RLIMIT_CORE)[1]:
    resource.setrlimit(resource.RLIMIT_CORE, (1, hard_limit))


class Timeout(AssertionError):
    """A condition did not come true before its deadline."""


def wait_until(condition, seconds=10, what="condition"):
    """Returns the first true value of condition(); fails after `seconds`, of which a time when this
    machine stood still, and with it what is waited for, counts but one."""
    left = seconds * PATIENCE
    while True:
        began = time.monotonic()
        value = condition()
        if value:
            return value
        if left <= 0:
            raise Timeout(f"{what} not seen within {seconds * PATIENCE:g} s")
        time.sleep(POLL_SECONDS)
        left -= min(time.monotonic() - began, 1)


# Datagram sockets at the numbers that free_port() gave away: nobody else gives them away meanwhile.
CLAIMS = collections.deque(maxlen=200)


def free_port(host="127.0.0.1"):
    """A port that was free a moment ago, below those that outgoing connections get: one of these
    could take it before the server does. So could another test: each claims its own."""
    for port in random.sample(range(10000, 30000), 100):
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with socket.socket() as sock, contextlib.suppress(OSError):
            claim.bind((host, port))
            sock.bind((host, port))
            CLAIMS.append(claim)
            return port
        claim.close()
    raise OSError(f"no free port on {host}")


def closed_port():
    """A port where nothing listens, held bound so that nobody else takes it."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


# ---- the status port as a client ----


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    """One HTTP answer, read to its end."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode("utf-8")

    @property
    def json(self):
        return json.loads(self.body)


def request(connection, method, path, headers=None, body=None):
    try:
        connection.request(method, path, body=body, headers=headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def raw_exchange(address, data, seconds=5):
    """Sends bytes as they are and returns all that comes back until close or silence."""
    received = b""
    with socket.create_connection(address, timeout=seconds) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(data)
        with contextlib.suppress(OSError):
            while chunk := sock.recv(65536):
                received += chunk
    return received


def raw_status(reply):
    """The status code of a raw HTTP answer; None for a connection closed without one."""
    match = re.match(rb"HTTP/1\.[01] (\d{3})", reply)
    return int(match.group(1)) if match else None


# ---- metrics ----

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)",?')
ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


def unescape_label(text):
    return re.sub(r"\\.", lambda match: ESCAPES[match.group(0)], text)


def parse_metrics(text):
    """{name: [(labels, value)]}; fails on a line that is no exposition format."""
    samples = {}
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        assert match, f"not a Prometheus sample: {line!r}"
        name, labels, value = match.groups()
        pairs = LABEL.findall(labels or "")
        rebuilt = ",".join(f'{key}="{text}"' for key, text in pairs)
        assert rebuilt == (labels or "").rstrip(","), f"labels do not parse: {line!r}"
        samples.setdefault(name, []).append(
            ({key: unescape_label(text) for key, text in pairs}, float(value)))
    return samples


# ---- fake neighbours ----


class DatagramSink:
    """A bound unix datagram socket that keeps what arrives (NOTIFY_SOCKET, the journal)."""

    def __init__(self, path, receive=True):
        self.path = path
        self.messages = []
        self.times = []
        self._receive = receive
        self._stop = threading.Event()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(path)
        self._thread = threading.Thread(target=self._run, daemon=True)
        if receive:
            self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            ready, _, _ = select.select([self._sock], [], [], 0.1)
            if ready:
                self.times.append(time.monotonic())
                self.messages.append(self._sock.recv(1 << 18))

    def resume(self):
        """Starts to read a sink that was made with receive=False."""
        self._thread.start()

    def close(self):
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._sock.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


class Manager(DatagramSink):
    """A notify socket of a service manager that keeps descriptors (FDSTORE=1) for the next process."""

    def __init__(self, path):
        self.stored = {}
        super().__init__(path)

    def _run(self):
        while not self._stop.is_set():
            ready, _, _ = select.select([self._sock], [], [], 0.1)
            if ready:
                message, fds, _, _ = socket.recv_fds(self._sock, 1 << 18, 8)
                self._obey(parse_notify(message), fds)
                self.times.append(time.monotonic())
                self.messages.append(message)

    def _obey(self, fields, fds):
        name = fields.get("FDNAME", "stored")
        if fields.get("FDSTOREREMOVE") == "1":
            self.drop(name)
        if fields.get("FDSTORE") == "1":
            self.stored.setdefault(name, []).extend(fds)

    def drop(self, name):
        for fd in self.stored.pop(name, []):
            os.close(fd)

    def items(self):
        return [(name, fd) for name, fds in self.stored.items() for fd in fds]

    def close(self):
        super().close()
        for name in list(self.stored):
            self.drop(name)


def parse_notify(message):
    """A notify datagram as a dict."""
    return dict(line.split("=", 1) for line in message.decode().splitlines() if "=" in line)


def parse_journal(message):
    """A native journal datagram as [(field, value bytes)], exactly as journald would read it."""
    fields = []
    rest = message
    while rest:
        line, _, rest = rest.partition(b"\n")
        if not line:
            continue
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8:8 + size], rest[8 + size:]
            assert rest[:1] == b"\n", "binary journal field does not end with a newline"
            rest = rest[1:]
        assert re.fullmatch(rb"[A-Z0-9][A-Z0-9_]*", name), f"journal field name {name!r}"
        fields.append((name.decode(), value))
    return fields


# ---- the daemon ----


def binary():
    path = os.environ.get("MODELHEALTHD")
    assert path, "set MODELHEALTHD to the binary under test"
    return os.path.abspath(path)


def clean_environment(**more):
    """What programs need of our environment; no notify socket, journal stream, proxy, trust store or
    resolver option of whoever started us."""
    keep = re.compile(r"(PATH|HOME|TMPDIR|TZ|LANG|LC_\w+|MALLOC_\w+|[A-Z]+SAN_OPTIONS)")
    kept = {key: value for key, value in os.environ.items() if keep.fullmatch(key)}
    # AddressSanitizer would take the right to a core away.
    kept["ASAN_OPTIONS"] = ":".join(filter(None, [kept.get("ASAN_OPTIONS"), "disable_coredump=0"]))
    kept.update({key: str(value) for key, value in more.items() if value is not None})
    return kept


def run_daemon(*args, timeout=20, **options):
    """Runs the binary to its end; for --check, --once and the like."""
    environment = clean_environment(**options.pop("env", {}))
    return subprocess.run([binary(), *args], capture_output=True, text=True,
                          errors="surrogateescape", timeout=timeout * PATIENCE,
                          env=environment, check=False, **options)


def assert_no_sanitizer(text):
    for mark in SANITIZER_MARKS:
        assert mark not in text, f"sanitizer report:\n{text}"


class handing_over:
    """Descriptors on their way to a new process as $LISTEN_FDS, by way of a shell that renumbers
    them and knows its own process id."""

    ABOVE = 200  # out of the way of the numbers that they get

    def __init__(self, inherit):
        self.inherit = inherit
        self.fds = []
        self.wrapper = []

    def __enter__(self):
        if not self.inherit:
            return self
        self.fds = [fcntl.fcntl(item, fcntl.F_DUPFD, self.ABOVE) for _, item in self.inherit]
        moves = " ".join(f"{3 + i}<&{fd} {fd}<&-" for i, fd in enumerate(self.fds))
        names = ":".join(name for name, _ in self.inherit)
        self.wrapper = ["bash", "-c", f"exec {moves}; export LISTEN_PID=$$"
                        f" LISTEN_FDS={len(self.fds)} LISTEN_FDNAMES={names}; exec \"$@\"", "bash"]
        return self

    def __exit__(self, kind, value, traceback):
        for fd in self.fds:
            os.close(fd)


def stolen_seconds():
    """What the host of this virtual machine gave to others, so far."""
    with open("/proc/stat", encoding="ascii") as file:
        return int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


class Daemon:
    """A running modelhealthd with a config file, a unix and a TCP status listener.

    `config` is the YAML tree without `status`; `status` adds keys beside `listen`.
    """

    def __init__(self, config, *args, env=None, rlimits=None, wrapper=(), status=None,
                 log_to=None, journal=False, inherit=(), manager=False):
        self.directory = tempfile.mkdtemp(prefix="mh-")
        self.config_path = os.path.join(self.directory, "modelhealthd.yaml")
        self.socket_path = os.path.join(self.directory, "status.sock")
        self.port = free_port()
        self.status = status or {}
        self.args = args
        self.env = env or {}
        self.rlimits = rlimits or {}
        self.wrapper = list(wrapper)
        self.log_to = log_to  # a descriptor instead of the file that stderr() reads
        self.journal = journal  # say, as systemd does, that stderr is the journal
        self.inherit = inherit  # [(name, socket or descriptor)] as from a service manager
        self.process = None
        self.manager = manager  # one that keeps descriptors from process to process
        self.notify = None
        self.stopped = False
        self.write_config(config)

    # -- configuration --

    def write_config(self, config):
        """Replaces the file at once, as an editor that renames would."""
        tree = dict(config)
        tree["status"] = {"listen": [f"127.0.0.1:{self.port}", f"unix:{self.socket_path}"],
                          **self.status}
        # JSON is YAML, and Python writes it a hundred times faster.
        self.write_text(json.dumps(tree, ensure_ascii=False, indent=1) + "\n")

    def write_text(self, text):
        temporary = self.config_path + ".new"
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.chmod(temporary, 0o600)
        os.rename(temporary, self.config_path)

    def file(self, name, content, mode=0o600):
        """A file beside the configuration; returns its path."""
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(path, mode)
        return path

    # -- life --

    def start(self, ready_seconds=10):
        if not self.notify:
            kind = Manager if self.manager else DatagramSink
            self.notify = kind(os.path.join(self.directory, "notify.sock"))
        environment = clean_environment(NOTIFY_SOCKET=self.notify.path, **self.env)
        self.stolen_before = stolen_seconds()
        given = [*self.inherit, *(self.notify.items() if self.manager else [])]
        with open(self.stderr_path, "wb") as stderr, handing_over(given) as handed:
            if self.journal:
                status = os.fstat(stderr.fileno())
                environment["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
            self.process = subprocess.Popen(
                self.wrapper + handed.wrapper
                + [binary(), "--config", self.config_path, *self.args],
                env=environment, stdin=subprocess.DEVNULL, stdout=stderr,
                stderr=self.log_to or stderr, pass_fds=handed.fds,
                preexec_fn=self._limit if self.rlimits else None)
        if ready_seconds:
            self.wait_ready(ready_seconds)
        return self

    def again(self, ready_seconds=10):
        """The next process, after stop() or kill()."""
        self.process, self.stopped = None, False
        self.notify.messages.clear()
        return self.start(ready_seconds)

    def kill(self):
        """SIGKILL, at whatever it is."""
        self.process.kill()
        self.process.wait()
        self.stopped = True

    def _limit(self):
        for which, limit in self.rlimits.items():
            resource.setrlimit(which, (limit, limit))

    def wait_ready(self, seconds=10):
        def ready():
            assert self.process.poll() is None, (
                f"ended with {self.process.returncode} before READY:\n{self.stderr()}")
            return self.notified("READY") == "1"
        wait_until(ready, seconds, "READY=1")

    @property
    def stderr_path(self):
        return os.path.join(self.directory, "stderr")

    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM; asserts a clean, quick end without sanitizer reports."""
        if self.stopped or not self.process:
            return
        self.stopped = True
        died_alone = self.process.poll() is not None
        started = time.monotonic()
        if not died_alone:
            self.signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"no end within {STOP_SECONDS} s of SIGTERM:\n{self.stderr()}")
        finally:
            self.stop_seconds = time.monotonic() - started
        log = self.stderr()
        assert_no_sanitizer(log)
        assert not died_alone, f"died with {self.process.returncode}:\n{log}"
        assert self.process.returncode == 0, f"exit {self.process.returncode}:\n{log}"

    def close(self):
        try:
            self.stop()
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if self.notify:
                self.notify.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.close()

    # -- what it says --

    def notified(self, key):
        """The newest value of one notify variable, None when it was never sent."""
        for message in reversed(list(self.notify.messages)):
            fields = parse_notify(message)
            if key in fields:
                return fields[key]
        return None

    @property
    def tcp(self):
        return ("127.0.0.1", self.port)

    def request(self, method, path, headers=None, body=None, timeout=10):
        """Over the unix socket."""
        return request(UnixConnection(self.socket_path, timeout * PATIENCE), method, path,
                       headers, body)

    def tcp_request(self, method, path, headers=None, body=None, timeout=10):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=timeout * PATIENCE)
        return request(connection, method, path, headers, body)

    def get(self, path):
        answer = self.request("GET", path)
        assert answer.status == 200, f"GET {path}: {answer.status} {answer.body[:300]!r}"
        return answer

    def endpoints(self):
        """{name: endpoint JSON} of the whole list."""
        return {item["name"]: item for item in self.get("/api/v1/endpoints").json["endpoints"]}

    def endpoint(self, name):
        return self.get(f"/api/v1/endpoints/{name}").json

    def status_json(self):
        return self.get("/api/v1/status").json

    def metrics(self):
        return parse_metrics(self.get("/metrics").text)

    def metric(self, name, **labels):
        """The sum of the samples that carry these labels; None without one."""
        values = [value for found, value in self.metrics().get(name, [])
                  if labels.items() <= found.items()]
        return sum(values) if values else None

    def results_by_reason(self):
        """{endpoint: {reason: count}} of all settled checks."""
        totals = {}
        for labels, value in self.metrics().get("modelhealth_check_results_total", []):
            if value:
                reasons = totals.setdefault(labels["endpoint"], {})
                reasons[labels["reason"]] = reasons.get(labels["reason"], 0) + int(value)
        return totals

    def results_total(self, endpoint):
        """{reason: count} of one endpoint's settled checks."""
        return self.results_by_reason().get(endpoint, {})

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) * 1024

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def cpu_seconds(self):
        """Used so far, in user mode and in the kernel."""
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def starved_seconds(self):
        """How long this machine kept it from running since its start: it was ready and others ran,
        or the whole machine did not. What a bound on its time must allow for."""
        with contextlib.suppress(FileNotFoundError):
            with open(f"/proc/{self.pid}/schedstat", encoding="ascii") as file:
                return int(file.read().split()[1]) / 1e9 + stolen_seconds() - self.stolen_before
        return 0

    def signals(self, what):
        """The numbers in a set of /proc/PID/status: SigIgn, SigBlk or SigCgt."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            mask = int(re.search(rf"{what}:\s+(\w+)", file.read()).group(1), 16)
        return {number for number in range(1, 65) if mask & 1 << (number - 1)}

    def sanitizer_bytes(self):
        """What a sanitizer takes besides. AddressSanitizer holds back what is freed and pads what is
        allocated, so that no bound is worth anything there; 0 in an ordinary build."""
        with open(f"/proc/{self.pid}/maps", encoding="utf-8", errors="replace") as file:
            return math.inf if "libasan" in file.read() else 0

    def wait_checked(self, names=None, checks=1, seconds=15):
        """Waits until each named endpoint (all without names) has that many results; returns
        {name: endpoint JSON} of all."""
        wanted = list(names if names is not None else self.endpoints())

        def missing():
            totals = self.results_by_reason()
            return [name for name in wanted if sum(totals.get(name, {}).values()) < checks]
        try:
            wait_until(lambda: not missing(), seconds, f"{checks} results of every endpoint")
        except Timeout as error:
            raise Timeout(f"{error}: missing {missing()}\n{self.stderr()[-2000:]}") from None
        return self.endpoints()

    def check_now(self, name):
        """An on-demand check; returns when its result is in."""
        before = self.endpoint(name)["checks"][0]["last"]
        answer = self.request("POST", f"/api/v1/endpoints/{name}/check")
        assert answer.status in (200, 202, 204), f"{answer.status} {answer.body!r}"
        wait_until(lambda: self.endpoint(name)["checks"][0]["last"] != before, 15,
                   f"on-demand result of {name}")
        return self.endpoint(name)

    # -- what must hold next to every attack --

    def assert_loop_never_stalled(self):
        stall = self.metric("modelhealth_loop_stall_max_seconds")
        assert stall is not None, "no modelhealth_loop_stall_max_seconds in /metrics"
        assert stall < STALL_MAX_SECONDS + self.starved_seconds(), f"the loop stood still for {stall:.3f} s"

    def assert_canaries_well(self, canaries):
        """Every canary was checked at its pace and never had but good results. One slot may be lost
        to this machine, on which their server and the daemon wait for the same processors."""
        totals, listed = self.results_by_reason(), self.endpoints()
        for name in canaries:
            assert set(totals[name]) == {"ok"}, f"{name}: {totals[name]}"
            assert listed[name]["state"] == "up", f"{name}: {listed[name]['state']}"
            assert check_of(listed[name])["overruns_total"] <= 1, f"{name}: slots were missed"


SHORT = {"connect": "600ms", "first_byte": "600ms", "idle": "500ms", "total": "800ms"}

# For what is not about time: this machine may be busy.
PATIENT = {limit: f"{5 * PATIENCE:g}s" for limit in SHORT}

# Reasons that say which limit was reached.
REACHED = {"connect_timeout": "connect", "dns_timeout": "connect", "timeout_headers": "first_byte",
           "timeout_idle": "idle", "timeout_total": "total"}


def limits_for(reasons):
    """Time limits where these reasons, separated by "|", are right: short are those that a right
    answer reaches. The others, as long as the total may be, have no say in it however busy this
    machine is."""
    reached = {REACHED.get(reason) for reason in reasons.split("|")}
    others = SHORT if "total" in reached else PATIENT
    return {limit: SHORT[limit] if limit in reached else others["total"] for limit in SHORT}


def http_endpoint(name, url, **more):
    """An http endpoint with the short times of these tests."""
    timeout = dict(SHORT)
    timeout.update(more.pop("timeout", {}))
    return {"name": name, "type": "http", "url": url, "interval": "1s", "timeout": timeout,
            "retries": {"attempts": 0}, **more}


def tcp_endpoint(name, url, **more):
    endpoint = http_endpoint(name, url, **more)
    endpoint["type"] = "tcp"
    del endpoint["timeout"]["first_byte"]
    return endpoint


CANARIES = [f"canary-{number}" for number in range(5)]


def canary_endpoints(url):
    """Healthy endpoints that run beside an attack."""
    return [http_endpoint(name, f"{url}?{name}", timeout=PATIENT) for name in CANARIES]


def check_of(endpoint):
    """The only check of an http or tcp endpoint."""
    assert len(endpoint["checks"]) == 1, endpoint
    return endpoint["checks"][0]


def last_of(endpoint):
    return check_of(endpoint)["last"]
