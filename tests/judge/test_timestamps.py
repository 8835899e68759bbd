"""Times of the server, as they stand in responses."""

from __future__ import annotations

import pytest

from sora_stats_harness.judge.timestamps import parse_timestamp_ns, timestamp_resolution_ns

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("1970-01-01T00:01:01.500000Z", 61_500_000_000),
        ("1970-01-01T00:01:01.5Z", 61_500_000_000),
        ("1970-01-01T00:01:01.500000001Z", 61_500_000_001),
        ("1970-01-01t00:01:01z", 61 * SECOND),
        ("1970-01-01T00:01:01+00:00", 61 * SECOND),
        ("1970-01-01T23:59:59.999999Z", 86_399_999_999_000),
        ("1970-01-01T23:59:60.000000Z", 86_400 * SECOND),
        ("1970-01-01T23:59:61.000000Z", None),
        ("1970-01-01T23:58:60.000000Z", None),
        ("1970-01-01T23:60:00.000000Z", None),
        ("1970-13-01T00:00:00.000000Z", None),
        ("1970-02-29T00:00:00.000000Z", None),
        ("1970-01-01T00:01:0x.500000Z", None),
        ("1970-01-01T00:01:01.50000٠Z", None),
        ("1970-01-01 00:01:01.500000Z", None),
    ],
)
def test_a_time_is_read_if_the_calendar_knows_it(text: str, parsed: int | None) -> None:
    """Whichever way it is written; a leap second is the next minute's first."""
    assert parse_timestamp_ns(text) == parsed


@pytest.mark.parametrize(
    ("text", "finest"),
    [
        ("1970-01-01T00:00:00.000000Z", 1000),
        ("1970-01-01T00:00:00.000Z", 1_000_000),
        ("1970-01-01T00:00:00.0000000000Z", 1),
        ("1970-01-01T00:00:00Z", SECOND),
        ("1970-01-01T00:00:00+00:00", SECOND),
    ],
)
def test_a_time_is_as_fine_as_it_is_written(text: str, finest: int) -> None:
    """Digits of a zone are none of a second."""
    assert timestamp_resolution_ns(text) == finest
