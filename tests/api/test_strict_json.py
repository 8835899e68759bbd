"""JSON is read strictly: what lenient parsers let pass is told apart, with its place."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sora_stats_harness.api.strict_json import MAX_DEPTH, MAX_DIGITS, JsonLimitError, StrictJsonError, parse_strict_json


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xef\xbb\xbf{}", "begins with a byte order mark"),
        (b'["\xff"]', "not UTF-8 at byte 2"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[1,]", "Expecting value at character 3"),
        (b"{} {}", "Extra data at character 3"),
        (b'["\\ud800"]', "a string contains half of a surrogate pair"),
        (b'["\\uD800"]', "a string contains half of a surrogate pair"),
        (b'{"\\ud800":1}', "a string contains half of a surrogate pair"),
        (b'{"a":"\\ud800","a":1}', "a string contains half of a surrogate pair"),
    ],
    ids=range(11),
)
def test_what_is_no_strict_json_is_told_apart(body: bytes, fault: str) -> None:
    """In one line, with its place; a value that a repeated key hides must be JSON as well."""
    with pytest.raises(StrictJsonError) as raised:
        parse_strict_json(body)
    assert str(raised.value) == fault
    assert not isinstance(raised.value, JsonLimitError)


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        (b"9" * (MAX_DIGITS + 1), f"a number of {MAX_DIGITS + 1} digits"),
        (b"1." + b"9" * MAX_DIGITS, f"a number of {MAX_DIGITS + 2} digits"),
        (b"1e" + b"9" * 19, "a number whose exponent has more than 18 digits"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper than 100"),
        (b"[" * 20_000 + b"]" * 20_000, "nested deeper than 100"),
    ],
    ids=range(5),
)
def test_what_exceeds_our_limits_is_no_fault_of_json(body: bytes, limit: str) -> None:
    """RFC 8259 sets none."""
    with pytest.raises(JsonLimitError) as raised:
        parse_strict_json(body)
    assert str(raised.value) == limit


@pytest.mark.parametrize("large", [b"9" * 5000, b"1." + b"9" * 5000, b"[" * 150 + b"]" * 150])
@pytest.mark.parametrize("broken", [b"nul", b"NaN", b'"\\ud800"'])
def test_no_limit_hides_a_fault(large: bytes, broken: bytes) -> None:
    """What stands after a number that is too long is looked at as well."""
    with pytest.raises(StrictJsonError) as raised:
        parse_strict_json(b"[" + large + b"," + broken + b"]")
    assert not isinstance(raised.value, JsonLimitError)


def test_numbers_keep_how_they_were_written() -> None:
    """An integer is one only where it has neither a fraction nor an exponent."""
    value = parse_strict_json(b"[1,1.0,1e3]").value
    assert value == [1, Decimal("1.0"), Decimal("1E+3")]
    assert [type(each) for each in value] == [int, Decimal, Decimal]


def test_all_repeated_keys_are_given_with_their_places() -> None:
    """In whatever objects, also where another one hides them."""
    document = parse_strict_json(b'{"a":[{"b":1,"b":2}],"c":{"d":1,"d":1},"c":3}')
    assert set(document.duplicates) == {("a", 0, "b"), ("c",), ("c", "d")}


def test_the_depth_counts_what_a_value_stands_in() -> None:
    """A value may be as deep as the whole document allows."""
    body = b"[" * 99 + b"]" * 99
    assert parse_strict_json(body, depth=1).value
    with pytest.raises(StrictJsonError, match="nested deeper"):
        parse_strict_json(body, depth=2)
