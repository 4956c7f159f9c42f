# SPDX-License-Identifier: MIT
"""Redirects, denied addresses and the way of secrets (E4, E5, E6)."""

import itertools

import pytest

from attacks import Attack, attack_round
from harness import PATIENT, Daemon, http_endpoint, last_of
from hostile import answering, redirecting, server_context

FOLLOW = {"redirects": 3, "timeout": PATIENT}
REFUSED = "redirect_refused"
LONG_AGO = 2  # a refusal is decided at once, without waiting for any timeout: these are 5 s


def follow(name, reasons, **more):
    return Attack(name, reasons, extra=FOLLOW, **more)


REDIRECTS = [
    Attack("not_followed", "http_status", behaviour="redirect_loop"),
    follow("redirect_loop", REFUSED),
    follow("chain_of_three", "ok", behaviour="redirect_chain", path="/3"),
    follow("chain_of_four", REFUSED, behaviour="redirect_chain", path="/4"),
    follow("redirect_without_location", f"{REFUSED}|http_status|protocol_error"),
    follow("redirect_empty_location", f"{REFUSED}|http_status|protocol_error"),
    follow("redirect_long_location", "header_too_large"),
]

# name -> Location; none of these leads anywhere we would go.
LOCATIONS = {
    "to_file": "file:///etc/passwd",
    "to_gopher": "gopher://127.0.0.1:70/",
    "to_data": "data:text/plain,ok",
    "to_javascript": "javascript:alert(1)",
    "to_dict": "dict://127.0.0.1:2628/",
    "to_unix": "unix:/run/dbus/system_bus_socket",
    "to_no_scheme": "://nothing",
    "to_no_host": "http://",
    "to_port_zero": "http://127.0.0.1:0/",
    "to_port_huge": "http://127.0.0.1:65536/",
    "to_space": "http://127.0.0.1 .example/",
    "to_control": b"http://127.0.0.1/\x01\x7f",
    "to_open_bracket": "http://[::1/",
    "to_long_host": "http://" + "a" * 300 + ".example/",
}


@pytest.fixture(scope="module")
def ftp_port(server):
    return server.listen("ftp", answering())


@pytest.fixture(scope="module")
def played(server, ftp_port):
    attacks = list(REDIRECTS)
    locations = {**LOCATIONS, "to_ftp": f"ftp://127.0.0.1:{ftp_port}/"}
    for name, location in locations.items():
        server.listen_as(name, redirecting(location))
        attacks.append(follow(name, ""))
    with attack_round(server, attacks) as result:
        yield result


@pytest.mark.parametrize("attack", REDIRECTS, ids=str)
def test_redirect_ends_with_its_reason(played, attack):
    played.assert_attack(attack)


@pytest.mark.parametrize("name", [*LOCATIONS, "to_ftp"])
def test_redirect_to_nowhere_is_refused(played, name):
    played.assert_attack(Attack(name, f"{REFUSED}|protocol_error|dns_not_found|connect_refused"
                                if name in ("to_port_zero", "to_long_host")
                                else REFUSED, at_most=LONG_AGO))


def test_other_protocols_are_never_spoken(played, server):
    assert played.last("to_ftp")["reason"] == REFUSED
    assert server.connections["ftp"] == 0


# ---- E5: the deny list holds for the address we really connect to ----

# Spellings of 127.0.0.2, where a sentinel listens that must never see a connection.
SPELLINGS = [
    "127.0.0.2", "0x7f000002", "0x7f.0.0.2", "127.0.2", "127.2",
    "2130706434", "017700000002", "0177.0.0.02", "0177.0.2", "0x7F.0x0.0x0.0x2",
    "[::ffff:127.0.0.2]", "[::ffff:7f00:2]", "[0:0:0:0:0:ffff:7f00:0002]",
]

# Addresses that are denied without any configuration: link-local, where clouds keep metadata.
METADATA = [
    "169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518",
    "169.16689662", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[fe80::1]",
    "[fd00:ec2::254]", "169.254.170.2",
]


@pytest.fixture(scope="module")
def denied(server):
    """{endpoint: JSON} with every spelling as URL and as target of a redirect."""
    port = server.listen("sentinel", answering(), host="127.0.0.2")
    endpoints = [http_endpoint("well", server.url("healthy"), timeout=PATIENT)]
    for number, host in enumerate(SPELLINGS):
        target = f"http://{host}:{port}/"
        server.listen_as(f"redirect-{number}", redirecting(target))
        endpoints.append(http_endpoint(f"direct-{number}", target, timeout=PATIENT))
        endpoints.append(http_endpoint(f"via-{number}", server.url(f"redirect-{number}"),
                                       **FOLLOW))
    for number, host in enumerate(METADATA):
        target = f"http://{host}/latest/meta-data/"
        server.listen_as(f"metadata-redirect-{number}", redirecting(target))
        endpoints.append(http_endpoint(f"metadata-{number}", target, timeout=PATIENT))
        endpoints.append(http_endpoint(f"metadata-via-{number}",
                                       server.url(f"metadata-redirect-{number}"), **FOLLOW))
    deny = ["127.0.0.2/32", "169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128"]
    with Daemon({"deny_addresses": deny, "endpoints": endpoints}) as daemon:
        daemon.start()
        listed = daemon.wait_checked(checks=2)
        yield listed
        assert server.connections["sentinel"] == 0
        daemon.assert_canaries_well(["well"])
        daemon.assert_loop_never_stalled()


def assert_denied(endpoint):
    last = last_of(endpoint)
    assert last["reason"] == "address_denied", last
    assert (endpoint["state"], last["verdict"]) == ("unknown", "unknown")
    assert last["timings"]["total_seconds"] <= LONG_AGO


@pytest.mark.parametrize("way", ["direct", "via"])
@pytest.mark.parametrize("number, host", enumerate(SPELLINGS))
def test_denied_address_is_denied_in_every_spelling(denied, way, number, host):
    del host
    assert_denied(denied[f"{way}-{number}"])


@pytest.mark.parametrize("way", ["metadata", "metadata-via"])
@pytest.mark.parametrize("number, host", enumerate(METADATA))
def test_metadata_address_is_denied_in_every_spelling(denied, way, number, host):
    del host
    assert_denied(denied[f"{way}-{number}"])


def test_the_sentinel_sees_no_connection(denied, server):
    assert denied and server.connections["sentinel"] == 0


def test_link_local_addresses_are_denied_by_default(start, server):
    daemon = start({"endpoints": [http_endpoint("metadata", "http://169.254.169.254/"),
                                  http_endpoint("well", server.url("healthy"))]})
    assert_denied(daemon.wait_checked()["metadata"])


# ---- E6: a secret goes to its origin and nowhere else ----

MARKER = "s3cr3t-m4rk3r"
SECRET_HEADERS = ["Authorization", "x-api-key", "api-key", "x-goog-api-key", "Cookie",
                  "X-Our-Own"]
HOPS = ["other_port", "other_host", "other_scheme", "userinfo", "malformed", "same_origin",
        "there_and_back"]


@pytest.fixture(scope="module")
def leaks(server):
    """Endpoints with a secret each, redirected in each way; sinks keep what they are sent."""
    sink = server.listen("sink", answering())
    server.listen("sink_host", answering(), host="127.0.0.3", port=sink)
    endpoints = []
    for hop, header in itertools.product(HOPS, SECRET_HEADERS):
        name = f"{hop}-{header.lower()}"
        port = server.listen_as(name, origin_behaviour(hop, sink))
        value = f"session={MARKER}" if header == "Cookie" else f"Bearer {MARKER}"
        endpoints.append(http_endpoint(name, f"http://127.0.0.1:{port}/start",
                                       headers={header: value}, **FOLLOW))
    with Daemon({"endpoints": endpoints}, "--log-level", "debug") as daemon:
        daemon.start()
        listed = daemon.wait_checked(checks=1)
        outputs = [daemon.get(path).text for path in ("/", "/metrics", "/api/v1/endpoints",
                                                      "/api/v1/status")]
        yield {"endpoints": listed, "outputs": outputs + [daemon.stderr()]}


def origin_behaviour(hop, sink):
    """Answers /start with the hop and everything else as the origin's own page."""
    def function(peer):
        while head := peer.request():
            port = peer.sock.getsockname()[1]
            if not head.startswith(b"GET /start "):
                peer.answer(b"back home")
                continue
            location = {
                "other_port": f"http://127.0.0.1:{sink}/stolen",
                "other_host": f"http://127.0.0.3:{sink}/stolen",
                "other_scheme": f"https://127.0.0.1:{port}/stolen",
                "userinfo": f"http://127.0.0.1:{port}@127.0.0.3:{sink}/stolen",
                "malformed": f"http://127.0.0.1:{port}\\@127.0.0.3:{sink}/stolen",
                "same_origin": f"http://127.0.0.1:{port}/moved",
                "there_and_back": f"http://127.0.0.3:{sink}/bounce?{port}",
            }[hop]
            peer.answer(b"", "302 Found", [f"Location: {location}"])
    return function


@pytest.mark.parametrize("header", SECRET_HEADERS)
@pytest.mark.parametrize("hop", HOPS)
def test_secret_stays_with_its_origin(leaks, server, hop, header):
    name = f"{hop}-{header.lower()}"
    first = [head for head in server.requests[name] if head.startswith(b"GET /start ")]
    assert first and all(MARKER.encode() in head for head in first), "the origin got no secret"
    assert leaks["endpoints"][name]["checks"][0]["last"]["reason"] != "internal"


@pytest.mark.parametrize("sink", ["sink", "sink_host"])
def test_no_foreign_server_sees_a_secret(leaks, server, sink):
    assert leaks["endpoints"]
    for head in server.requests[sink]:
        assert MARKER.encode() not in head, head


@pytest.mark.parametrize("header", SECRET_HEADERS)
def test_secret_follows_a_redirect_inside_its_origin(leaks, server, header):
    name = f"same_origin-{header.lower()}"
    moved = [head for head in server.requests[name] if head.startswith(b"GET /moved ")]
    assert moved and all(MARKER.encode() in head for head in moved)
    assert leaks["endpoints"][name]["state"] == "up"


def test_secret_is_in_no_output(leaks):
    for output in leaks["outputs"]:
        assert MARKER not in output


def test_downgrade_with_a_secret_is_refused(start, server, pki):
    plain = server.listen("downgraded", answering())
    port = server.listen("secure", redirecting(f"http://localhost:{plain}/"),
                         tls=server_context(*pki.good))
    daemon = start({"endpoints": [
        http_endpoint("downgrade", f"https://localhost:{port}/", tls={"ca_file": pki.ca},
                      headers={"Authorization": f"Bearer {MARKER}"}, **FOLLOW)]})
    daemon.wait_checked()
    assert last_of(daemon.endpoint("downgrade"))["reason"] == REFUSED
    assert server.connections["downgraded"] == 0
