# SPDX-License-Identifier: MIT
"""Hostile bodies: endless, slow, compressed bombs, streams without end (E1-E3, E9)."""

import pytest

from attacks import Attack, TOTAL_SECONDS, attack_round
from harness import PATIENCE, http_endpoint, last_of

SLOW = {"at_least": TOTAL_SECONDS - 0.05}

ENDLESS = [
    Attack("endless_chunked", "body_too_large"),
    Attack("endless_until_close", "body_too_large"),
    Attack("endless_length_huge", "body_too_large"),
    Attack("endless_length_overflow", "body_too_large|protocol_error"),
    Attack("endless_chunk_of_one", "body_too_large"),
]

DRIPS = [
    Attack("drip_status_line", "timeout_total", **SLOW),
    Attack("drip_header", "timeout_total", **SLOW),
    Attack("drip_body", "timeout_total", **SLOW),
    Attack("drip_chunk_size", "timeout_total|protocol_error"),
    Attack("drip_trailer", "timeout_total", **SLOW),
]

# We ask for identity; what comes encoded nevertheless is either decoded under the cap or refused.
REFUSED = "body_too_large|decode_error"
BOMBS = [
    Attack("gzip_bomb", REFUSED),
    Attack("gzip_bomb_twice", REFUSED),
    Attack("deflate_bomb", REFUSED),
    Attack("brotli_bomb", REFUSED),
    Attack("brotli_bomb_twice", REFUSED),
    Attack("zstd_bomb", REFUSED),
]
ENCODINGS = BOMBS + [
    Attack("gzip_good", "ok|decode_error"),
    Attack("gzip_five_deep", "ok|decode_error"),
    Attack("gzip_six_deep", "decode_error"),
    Attack("encodings_many", "decode_error"),
    # libcurl 7.88 does not tell when a compressed stream ends too early.
    Attack("gzip_truncated", "ok|decode_error|conn_reset"),
    Attack("gzip_garbage", "decode_error"),
    Attack("gzip_bad_crc", "decode_error"),
    Attack("gzip_goes_on", "decode_error"),
    Attack("brotli_good", "ok|decode_error"),
    Attack("brotli_truncated", "ok|decode_error|conn_reset"),
    Attack("brotli_garbage", "decode_error"),
    Attack("brotli_goes_on", "decode_error"),
    Attack("zstd_good", "ok|decode_error"),
    Attack("zstd_garbage", "decode_error"),
    Attack("encoding_unknown", "decode_error"),
]

STREAMS = [
    Attack("sse_endless", "timeout_total", **SLOW),
    Attack("sse_comments_endless", "timeout_total", **SLOW),
    Attack("sse_then_silence", "timeout_idle", at_least=0.45, at_most=0.75),
    Attack("body_then_silence", "timeout_idle", at_least=0.45, at_most=0.75),
]

ATTACKS = ENDLESS + DRIPS + ENCODINGS + STREAMS

COPIES = 10
BODY_CAP = 65536
# What may lie in socket buffers of both sides when the daemon hangs up.
BUFFERED = 4 << 20


@pytest.fixture(scope="module")
def played(server):
    with attack_round(server, ATTACKS) as result:
        yield result


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_hostile_body_ends_with_its_reason(played, attack):
    played.assert_attack(attack)


@pytest.mark.parametrize("attack", ENDLESS, ids=str)
def test_endless_body_is_hung_up_at_the_cap(played, server, attack):
    assert server.most_sent[attack.name] <= BODY_CAP + BUFFERED
    assert played.last(attack.name)["timings"]["total_seconds"] <= \
        TOTAL_SECONDS + played.daemon.starved_seconds()


def test_bombs_cost_little_memory_and_time(server):
    """A GiB each, in a MiB or less: no more than the cap of it is ever unpacked."""
    copies = [Attack(f"{attack.name}-{number}", attack.reasons, behaviour=attack.name)
              for attack in BOMBS for number in range(COPIES)]
    with attack_round(server, copies) as result:
        for attack in copies:
            result.assert_attack(attack)
        checks = sum(sum(result.daemon.results_total(attack.name).values()) for attack in copies)
        assert result.daemon.cpu_seconds() / checks <= 0.05 * PATIENCE
        grown = result.daemon.rss_bytes() - result.rss_before
        assert grown <= (16 << 20) + len(copies) * 96 * 1024 + result.daemon.sanitizer_bytes()


def test_an_encoding_that_a_header_asks_for_is_decoded(server, start):
    names = ["gzip_good", "brotli_good", "zstd_good"]
    asked = {"Accept-Encoding": "gzip, br, zstd"}
    daemon = start({"endpoints": [
        http_endpoint(name, server.url(name), headers=asked, expect={"body": {"matches": "^ok$"}})
        for name in names] + [http_endpoint("bomb", server.url("brotli_bomb"), headers=asked)]})
    daemon.wait_checked()
    for name in names:
        assert last_of(daemon.endpoint(name))["reason"] == "ok", last_of(daemon.endpoint(name))
        heads = list(server.requests[name])  # another daemon's are among them
        assert any(b"Accept-Encoding: gzip, br, zstd\r\n" in head for head in heads)
    assert last_of(daemon.endpoint("bomb"))["reason"] == "body_too_large"


def test_many_endless_bodies_at_once_cost_little_memory(server):
    copies = [Attack(f"{attack.name}-{number}", attack.reasons, behaviour=attack.name)
              for attack in ENDLESS for number in range(COPIES)]
    with attack_round(server, copies) as result:
        for attack in copies:
            result.assert_attack(attack)
        # 16 MiB for all of it and 96 KiB for each hostile check in flight.
        grown = result.daemon.rss_bytes() - result.rss_before
        assert grown <= (16 << 20) + len(copies) * 96 * 1024 + result.daemon.sanitizer_bytes()


def test_many_slow_drips_all_end_at_the_deadline(server):
    drips = [Attack(f"{attack.name}-{number}", attack.reasons, behaviour=attack.name)
             for attack in DRIPS for number in range(COPIES)]
    with attack_round(server, drips) as result:
        for attack in drips:
            result.assert_attack(attack)
