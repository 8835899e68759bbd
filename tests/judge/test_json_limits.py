"""Bodies beyond our own limits are not judged, and accused of no MUST."""

from __future__ import annotations

import json

import pytest

from sora_stats_harness.api.exchange import Request

from .build import MS, Talk, ask, connection, list_all

HUGE = b"9" * 5000
DEEP = b"[" * 150 + b"]" * 150


@pytest.mark.parametrize("value", [HUGE, DEEP], ids=["digits", "levels"])
def test_a_body_beyond_our_limits_is_a_should_and_its_json_is_not_checked(value: bytes) -> None:
    """In one connection, and in an element of a listing."""
    one = json.dumps(connection(sctp__odd=0)).encode().replace(b'"odd": 0', b'"odd": ' + value)
    talk = Talk()
    talk.add(ask(), 0, MS, one)
    talk.add(list_all(), 2 * MS, 3 * MS, b"[" + one + b"]")
    result = talk.end()
    assert talk.told() == ["http.json_limits"] * 2
    assert "http.json" in result.unusable
    assert result.checked["http.json"] == 0


def test_another_element_that_is_no_json_is_a_must_all_the_same() -> None:
    """A limit hides nothing."""
    one = json.dumps(connection(sctp__odd=0)).encode()
    talk = Talk()
    broken = b'{"a": "\\ud800"}'
    talk.add(list_all(), 0, MS, b"[" + one.replace(b'"odd": 0', b'"odd": ' + HUGE) + b"," + broken + b"]")
    assert talk.told() == ["http.json"]


@pytest.mark.parametrize(
    ("request_", "written", "place"),
    [(ask(), b"%b", ()), (list_all(), b"[{},%b]", (1,)), (list_all(), b"%b", ())],
    ids=["one connection", "a listing", "a listing that is none"],
)
def test_a_repeated_key_is_named_by_its_field_and_its_place(
    request_: Request, written: bytes, place: tuple[int, ...]
) -> None:
    """The field is the same in every connection."""
    one = json.dumps(connection()).encode().replace(b'"dtls": {', b'"dtls": {"total_sent_dtls": 1, ')
    talk = Talk()
    talk.add(request_, 0, MS, written % one)
    [(field, pointer)] = [
        (each.field, each.pointer) for each in talk.findings if each.requirement == "http.duplicate_key"
    ]
    assert (field, pointer) == ("/dtls/total_sent_dtls", "/".join(("", *map(str, place), "dtls", "total_sent_dtls")))
