# SPDX-License-Identifier: MIT
"""Sockets that a service manager holds: used by address, never closed, never missed by a client."""

import contextlib
import http.client
import os
import socket
import stat
import threading
import time

import pytest

from harness import Daemon, UnixConnection, free_port, raw_exchange, raw_status, request, wait_until

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
RELOAD = b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def tcp():
    """A listening TCP socket of the "service manager"."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as sock:
        yield sock


def listen_unix(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    os.chmod(path, 0o600)
    sock.listen(64)
    return sock


def held_daemon(tcp, config=None, **options):
    """A daemon whose two configured addresses are bound by the service manager already."""
    daemon = Daemon(config or {"endpoints": []}, **options)
    daemon.port = tcp.getsockname()[1]
    daemon.write_config(config or {"endpoints": []})
    unix = listen_unix(daemon.socket_path)
    daemon.inherit = [("modelhealthd.socket", tcp), ("modelhealthd.socket", unix)]
    return daemon, unix


def test_configured_addresses_use_the_sockets_that_are_there(tcp):
    daemon, unix = held_daemon(tcp)
    with unix, daemon:
        inode = os.stat(daemon.socket_path).st_ino
        daemon.start()
        assert daemon.tcp_request("GET", "/healthz").status == 200
        assert daemon.get("/healthz").text == "ok\n"
        assert os.stat(daemon.socket_path).st_ino == inode
        assert f"listening on 127.0.0.1:{daemon.port}, a socket of the service manager" \
            in daemon.stderr()
        daemon.stop()
        assert stat.S_ISSOCK(os.stat(daemon.socket_path).st_mode), "the file is the manager's"


def test_the_unix_socket_has_its_right_to_ask_and_the_port_has_not(tcp):
    daemon, unix = held_daemon(tcp)
    with unix, daemon:
        daemon.start()
        assert daemon.request("POST", "/-/reload").status == 200
        assert daemon.tcp_request("POST", "/-/reload").status == 403


def test_further_sockets_are_served_beside_the_configured(tcp):
    with Daemon({"endpoints": []}, inherit=[("web", tcp)]) as daemon:
        daemon.start()
        assert raw_status(raw_exchange(tcp.getsockname(), REQUEST)) == 200
        assert daemon.tcp_request("GET", "/healthz").status == 200
        assert daemon.get("/healthz").status == 200


def test_a_reload_never_closes_an_inherited_socket(tcp):
    daemon, unix = held_daemon(tcp)
    with unix, daemon:
        daemon.start()
        held, daemon.port = daemon.port, free_port()  # the address leaves the configuration ...
        daemon.write_config({"endpoints": []})
        assert daemon.request("POST", "/-/reload").status == 200
        assert daemon.tcp_request("GET", "/healthz").status == 200
        assert raw_status(raw_exchange(("127.0.0.1", held), REQUEST)) == 200
        gone, daemon.port = daemon.port, held  # ... and comes back
        daemon.write_config({"endpoints": []})
        assert daemon.request("POST", "/-/reload").status == 200
        assert daemon.tcp_request("GET", "/healthz").status == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", gone), timeout=1)


def test_an_address_in_the_way_of_an_inherited_socket_is_explained(tcp):
    daemon, unix = held_daemon(tcp)
    with unix, daemon:
        daemon.start()
        with open(daemon.config_path, encoding="utf-8") as file:
            text = file.read()
        daemon.write_text(text.replace(f"127.0.0.1:{daemon.port}", f"0.0.0.0:{daemon.port}"))
        answer = daemon.request("POST", "/-/reload")
        assert answer.status == 422
        assert (f"cannot listen on 0.0.0.0:{daemon.port}: the service manager listens on "
                f"127.0.0.1:{daemon.port} already; change modelhealthd.socket too") in answer.text
        assert daemon.tcp_request("GET", "/healthz").status == 200


def test_guards_hold_on_inherited_sockets(tcp):
    daemon, unix = held_daemon(tcp)
    with unix, daemon:
        daemon.start()
        assert raw_status(raw_exchange(daemon.tcp, b"GET / HTTP/1.1\r\n\r\n")) == 400
        evil = b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        assert raw_status(raw_exchange(daemon.tcp, evil)) == 421


def test_what_is_no_listener_is_closed_and_harms_nothing(tcp):
    ours, theirs = socket.socketpair()
    with ours, Daemon({"endpoints": []}, inherit=[("pair", theirs), ("web", tcp)]) as daemon:
        daemon.start()
        theirs.close()
        ours.settimeout(5)
        assert ours.recv(1) == b"", "nobody holds the other end any more"
        assert raw_status(raw_exchange(tcp.getsockname(), REQUEST)) == 200


def test_sockets_meant_for_another_process_are_not_taken(tcp):
    port = tcp.getsockname()[1]
    daemon = Daemon({"endpoints": []}, env={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    with daemon:
        daemon.start()
        assert daemon.get("/healthz").status == 200
        assert str(port) not in daemon.stderr()


class Clients:
    """Asks again and again from a few threads; keeps every outcome."""

    def __init__(self, port):
        self.port = port
        self.outcomes = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def _run(self):
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                self.outcomes.append(request(connection, "GET", "/healthz").status)
            except (OSError, http.client.HTTPException) as error:
                self.outcomes.append(repr(error))
            time.sleep(0.002)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, value, traceback):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_no_client_is_refused_or_cut_off_by_a_restart(tcp):
    with Clients(tcp.getsockname()[1]) as clients:
        for _ in range(5):
            before = len(clients.outcomes)
            with Daemon({"endpoints": []}, inherit=[("web", tcp)]) as daemon:
                daemon.start()
                wait_until(lambda: len(clients.outcomes) > before + 20, what="clients served")
        with Daemon({"endpoints": []}, inherit=[("web", tcp)]) as daemon:
            daemon.start()  # serves those who still wait
            wait_until(lambda: len(clients.outcomes) > before + 40, what="the last clients served")
            clients.__exit__(None, None, None)
    assert set(clients.outcomes) == {200}


@contextlib.contextmanager
def half_asked(tcp):
    """A running daemon and a client that has sent it half a request."""
    daemon, unix = held_daemon(tcp)
    with unix, daemon, socket.create_connection(("127.0.0.1", daemon.port)) as client:
        daemon.start()
        client.sendall(REQUEST[:10])
        wait_until(lambda: daemon.metric("modelhealth_http_clients") >= 2, what="the client counted")
        yield daemon, client


def test_a_stop_waits_for_clients_a_second_and_no_longer(tcp):
    with half_asked(tcp) as (daemon, idle):
        daemon.stop()
        assert 0.9 < daemon.stop_seconds < 3
        with contextlib.suppress(ConnectionResetError):
            assert idle.recv(1) == b""


def test_a_client_that_is_slow_to_ask_is_served_during_the_stop(tcp):
    with half_asked(tcp) as (daemon, slow):
        stopping = threading.Thread(target=daemon.stop)
        stopping.start()
        wait_until(lambda: daemon.notified("STOPPING") == "1", what="STOPPING=1")
        slow.sendall(REQUEST[10:])
        slow.settimeout(5)
        assert raw_status(slow.recv(65536)) == 200
        stopping.join()


def test_a_reload_that_is_asked_for_during_the_stop_is_refused(tcp):
    """It would keep the end waiting for a configuration that nobody will use."""
    daemon, unix = held_daemon(tcp)
    with unix, daemon, socket.socket(socket.AF_UNIX) as late:
        daemon.start()
        late.settimeout(5)
        late.connect(daemon.socket_path)
        late.sendall(RELOAD[:10])
        wait_until(lambda: daemon.metric("modelhealth_http_clients") >= 2, what="the client counted")
        stopping = threading.Thread(target=daemon.stop)
        stopping.start()
        wait_until(lambda: daemon.notified("STOPPING") == "1", what="STOPPING=1")
        late.sendall(RELOAD[10:])
        answer = late.recv(65536)
        assert raw_status(answer) == 422 and b"modelhealthd is stopping" in answer
        stopping.join()
        assert daemon.notified("RELOADING") is None


def test_a_unix_client_waits_for_the_successor(tcp):
    daemon, unix = held_daemon(tcp)
    with unix, daemon:
        connection = UnixConnection(daemon.socket_path, 20)
        connection.request("GET", "/healthz")  # before there is anybody
        daemon.start()
        assert connection.getresponse().status == 200
        connection.close()
