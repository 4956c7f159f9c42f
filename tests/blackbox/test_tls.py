# SPDX-License-Identifier: MIT
"""TLS servers that are wrong in every way (E12)."""

import ssl

import pytest

from attacks import Attack, attack_round
from harness import http_endpoint, last_of, limits_for, tcp_endpoint
from hostile import BEHAVIOURS, answering, server_context

VERIFY = "tls_verify_failed"
FAILED = "tls_failed"

# Certificates of a server that otherwise answers 200. The client trusts the test CA.
CERTIFICATES = [
    ("good", "ok"),
    ("expired", "tls_expired"),
    ("future", "tls_expired"),
    ("wrong_host", VERIFY),
    ("no_names", VERIFY),
    ("self_signed", VERIFY),
]

# Behaviours below TLS: what they send is no handshake.
HANDSHAKES = [
    ("tls_plaintext", FAILED),
    ("tls_garbage", FAILED),
    ("tls_oversized_record", FAILED),
    ("tls_alert", FAILED),
    ("tls_stall", "connect_timeout|tls_failed"),
    ("tls_drip", "connect_timeout|tls_failed"),
    ("tls_reset", f"{FAILED}|conn_reset"),
    ("tls_close", f"{FAILED}|conn_reset"),
]


def drip_inside(peer):
    """Each byte in a record of its own."""
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    peer.drip(b"r" * 1000)


@pytest.fixture(scope="module")
def played(server, pki):
    trust = {"tls": {"ca_file": pki.ca}}
    attacks = []
    for name, reasons in CERTIFICATES:
        attacks.append(secure(server, f"cert_{name}", reasons, answering(), trust,
                              tls=server_context(*getattr(pki, name))))
    for name, reasons in HANDSHAKES:
        attacks.append(secure(server, name, reasons, BEHAVIOURS[name], trust))
    attacks.append(secure(server, "untrusted", VERIFY, answering(), {},
                          tls=server_context(*pki.good)))
    attacks.append(secure(server, "not_verified", "ok", answering(),
                          {"tls": {"verify": False}}, tls=server_context(*pki.self_signed)))
    attacks.append(secure(server, "drip_in_records", "timeout_total", drip_inside, trust,
                          tls=server_context(*pki.good)))
    attacks.append(secure(server, "tls_1_2", "ok", answering(), trust,
                          tls=server_context(*pki.good, maximum=ssl.TLSVersion.TLSv1_2)))
    with attack_round(server, [], endpoints=[endpoint for _, endpoint in attacks]) as result:
        result.attacks = {attack.name: attack for attack, _ in attacks}
        yield result


def secure(server, name, reasons, function, extra, tls=None):
    port = server.listen_as(name, function, tls=tls)
    return Attack(name, reasons), http_endpoint(name, f"https://localhost:{port}/",
                                                timeout=limits_for(reasons), **extra)


NAMES = ([f"cert_{name}" for name, _ in CERTIFICATES] + [name for name, _ in HANDSHAKES]
         + ["untrusted", "not_verified", "drip_in_records", "tls_1_2"])


@pytest.mark.parametrize("name", NAMES)
def test_tls_server_gets_its_reason(played, name):
    played.assert_attack(played.attacks[name])


def test_an_unverified_endpoint_says_so(played):
    """Whoever reads the state must see that nobody proved who answered."""
    assert played.endpoints["not_verified"]["tls_verify"] is False


def test_tls_time_is_reported_only_when_there_was_tls(played):
    assert played.last("cert_good")["timings"]["tls_seconds"] > 0
    assert "tls_seconds" not in played.last("canary-0")["timings"]


@pytest.mark.parametrize("minimum, reason", [("1.2", "ok"), ("1.3", "assert_body|tls_failed")])
def test_tls_version_is_asserted(start, server, pki, minimum, reason):
    port = server.listen("old_tls", answering(),
                         tls=server_context(*pki.good, maximum=ssl.TLSVersion.TLSv1_2))
    daemon = start({"endpoints": [
        http_endpoint("old", f"https://localhost:{port}/", tls={"ca_file": pki.ca},
                      expect={"tls_version": minimum})]})
    daemon.wait_checked()
    assert last_of(daemon.endpoint("old"))["reason"] in reason.split("|")


def test_near_expiry_is_degraded_not_down(start, server, pki):
    port = server.listen("dated", answering(), tls=server_context(*pki.good))
    far = 366 * 200
    daemon = start({"endpoints": [
        http_endpoint("dated", f"https://localhost:{port}/", tls={"ca_file": pki.ca},
                      expect={"cert_expires_in": {"degraded": f"{far}d"}})]})
    endpoint = daemon.wait_checked()["dated"]
    assert (endpoint["state"], endpoint["reason"]) == ("degraded", "cert_expiring")


def client_context(pki):
    context = server_context(*pki.good)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pki.ca)
    return context


def test_client_certificate_is_presented(start, server, pki):
    port = server.listen("mutual", answering(), tls=client_context(pki))
    certificate, key = pki.client
    bare = {"ca_file": pki.ca}
    daemon = start({"endpoints": [
        http_endpoint("without", f"https://localhost:{port}/", tls=bare),
        http_endpoint("with", f"https://localhost:{port}/",
                      tls={**bare, "cert_file": certificate, "key_file": key})]})
    listed = daemon.wait_checked()
    assert last_of(listed["with"])["reason"] == "ok"
    assert last_of(listed["without"])["verdict"] == "down"


def test_server_name_overrides_the_host(start, server, pki):
    port = server.listen("named", answering(), tls=server_context(*pki.wrong_host))
    daemon = start({"endpoints": [
        http_endpoint("named", f"https://127.0.0.1:{port}/",
                      tls={"ca_file": pki.ca, "server_name": "other.example"})]})
    assert last_of(daemon.wait_checked()["named"])["reason"] == "ok"


@pytest.mark.parametrize("certificate, reason", [("good", "ok"), ("expired", "tls_expired"),
                                                 ("self_signed", VERIFY)])
def test_tcp_check_verifies_too(start, server, pki, certificate, reason):
    port = server.listen("tcp_tls", lambda peer: peer.hold(),
                         tls=server_context(*getattr(pki, certificate)))
    daemon = start({"endpoints": [
        tcp_endpoint("tcp", f"tls://localhost:{port}", tls={"ca_file": pki.ca})]})
    assert last_of(daemon.wait_checked()["tcp"])["reason"] == reason
