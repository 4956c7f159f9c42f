# SPDX-License-Identifier: MIT
"""Hostile JSON in bodies that are asserted on (E8)."""

import json

import pytest

from attacks import Attack, attack_round
from harness import http_endpoint, last_of
from hostile import answering

EXPECT = {"expect": {"json": {"/status": "ok"}}}
GOOD = '"status":"ok"'

# name -> (body, right reasons). All are smaller than the body cap.
BODIES = {
    "good": ('{"status":"ok"}', "ok"),
    "good_spaced": (' \t\r\n{ "status" : "ok" }\r\n', "ok"),
    "good_unicode": ('{"a":"\u00e9\U0001f600","status":"ok"}', "ok"),
    "good_escaped": ('{"\\u0073tatus":"\\u006fk"}', "ok"),
    "good_numbers": ('{"a":[0,-0,1.5e3,-1E-2,123456789012345678],"status":"ok"}', "ok"),
    "wrong_value": ('{"status":"bad"}', "assert_json"),
    "wrong_type": ('{"status":[ "ok" ]}', "assert_json"),
    "missing": ('{"other":1}', "assert_json"),
    "null": ("null", "assert_json"),
    "number": ("5", "assert_json"),
    "empty": ("", "json_invalid"),
    "blank": (" \n", "json_invalid"),
    "cut": ('{"status":"ok"', "json_invalid"),
    "cut_string": ('{"status":"ok', "json_invalid"),
    "trailing": ('{"status":"ok"} x', "json_invalid"),
    "two_documents": ('{"status":"ok"}{"status":"bad"}', "json_invalid"),
    "trailing_comma": ('{"status":"ok",}', "json_invalid"),
    "comment": ('{"status":"ok"/* no */}', "json_invalid"),
    "single_quotes": ("{'status':'ok'}", "json_invalid"),
    "bare_key": ('{status:"ok"}', "json_invalid"),
    "nan": ('{"a":NaN,"status":"ok"}', "json_invalid"),
    "infinity": ('{"a":-Infinity,"status":"ok"}', "json_invalid"),
    "hex": ('{"a":0x10,"status":"ok"}', "json_invalid"),
    "leading_zero": ('{"a":01,"status":"ok"}', "json_invalid"),
    "plus": ('{"a":+1,"status":"ok"}', "json_invalid"),
    "dot": ('{"a":.5,"status":"ok"}', "json_invalid"),
    "capital_true": ('{"a":True,"status":"ok"}', "json_invalid"),
    "bom": ('\ufeff{"status":"ok"}', "ok|json_invalid"),
    "utf16": ('{"status":"ok"}'.encode("utf-16"), "json_invalid"),
    "nul_inside": (b'{"status":"ok"\0}', "json_invalid"),
    "nul_after": (b'{"status":"ok"}\0', "json_invalid"),
    "nul_in_string": (b'{"a":"x\0y","status":"ok"}', "json_invalid"),
    "control_in_string": (b'{"a":"x\x01y","status":"ok"}', "json_invalid"),
    "invalid_utf8": (b'{"a":"\xff\xfe","status":"ok"}', "json_invalid"),
    "overlong_utf8": (b'{"a":"\xc0\xaf","status":"ok"}', "json_invalid"),
    "lone_surrogate": ('{"a":"\\ud800","status":"ok"}', "ok|json_invalid"),
    "bad_escape": ('{"a":"\\x41","status":"ok"}', "json_invalid"),
    "escaped_nul": ('{"a":"\\u0000","status":"ok"}', "ok|json_invalid"),
    "duplicate_bad_last": ('{"status":"ok","status":"bad"}', "assert_json|json_invalid"),
    "html": ("<html>503 upstream</html>", "json_invalid"),
    "depth_60": ("[" * 60 + "]" * 60, "assert_json"),
    "depth_70": ("[" * 70 + "]" * 70, "json_invalid"),
    "depth_30000": ("[" * 30_000 + "]" * 30_000, "json_invalid"),
    "depth_30000_open": ("[" * 30_000, "json_invalid"),
    "depth_objects": ('{"a":' * 10_000 + "1" + "}" * 10_000, "json_invalid"),
    "huge_exponent": ('{"a":1e999999,%s}' % GOOD, "ok|json_invalid"),
    "huge_negative_exponent": ('{"a":1e-999999999999,%s}' % GOOD, "ok|json_invalid"),
    "long_integer": ('{"a":%s,%s}' % ("9" * 60_000, GOOD), "ok|json_invalid"),
    "long_fraction": ('{"a":0.%s,%s}' % ("1" * 60_000, GOOD), "ok|json_invalid"),
    "many_keys": ("{%s,%s}" % (",".join(f'"k{n}":{n}' for n in range(5000)), GOOD), "ok"),
    "colliding_keys": ("{%s,%s}" % (",".join('"%s":1' % ("\\u0000" * n) for n in range(100)),
                                    GOOD), "ok|json_invalid"),
    "many_elements": ('{"a":[%s],%s}' % (",".join("1" * 25_000), GOOD), "ok"),
    "long_string": ('{"a":"%s",%s}' % ("x" * 60_000, GOOD), "ok"),
    "past_the_cap": ('{"a":"%s",%s}' % ("x" * 70_000, GOOD), "body_too_large"),
}


@pytest.fixture(scope="module")
def played(server):
    attacks = [Attack(f"json-{name}", reasons, extra=EXPECT)
               for name, (_, reasons) in BODIES.items()]
    for name, (body, _) in BODIES.items():
        server.listen_as(f"json-{name}", answering(body))
    with attack_round(server, attacks) as result:
        yield result


@pytest.mark.parametrize("name", BODIES)
def test_json_body_is_judged(played, name):
    played.assert_attack(Attack(f"json-{name}", BODIES[name][1]))


def test_pointers_reach_into_arrays_and_escapes(server, start):
    body = {"data": [{"id": "a"}, {"id": "b"}], "a/b": {"c~d": True}, "n": 3, "z": None}
    server.listen_as("pointers", answering(json.dumps(body)))
    wanted = {
        "index": ({"/data/1/id": "b"}, "ok"),
        "some": ({"/data/*/id": "b"}, "ok"),
        "none": ({"/data/*/id": "c"}, "assert_json"),
        "escaped": ({"/a~1b/c~0d": True}, "ok"),
        "number": ({"/n": 3}, "ok"),
        "number_wrong": ({"/n": 4}, "assert_json"),
        "past": ({"/data/7/id": "b"}, "assert_json"),
    }
    daemon = start({"endpoints": [http_endpoint(name, server.url("pointers"),
                                                expect={"json": json_expected})
                                  for name, (json_expected, _) in wanted.items()]})
    listed = daemon.wait_checked()
    assert {name: last_of(listed[name])["reason"] for name in wanted} == \
        {name: reason for name, (_, reason) in wanted.items()}
