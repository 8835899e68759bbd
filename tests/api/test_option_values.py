"""Times and sizes are read as people write them, and nothing else is guessed at."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.api.option_values import parse_duration, parse_integer, parse_interval, parse_rate, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10.0),
        ("0.5", 0.5),
        ("90s", 90.0),
        ("5m", 300.0),
        ("1.5m", 90.0),
        ("2h", 7200.0),
        ("20ms", 0.02),
        ("250us", 0.00025),
    ],
)
def test_times(text: str, seconds: float) -> None:
    """Seconds, unless a letter says otherwise."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "count"), [("1", 1), ("65536", 65536), ("2K", 2048), ("3M", 3 << 20), ("2G", 2 << 30)]
)
def test_sizes(text: str, count: int) -> None:
    """Bytes, unless a letter says otherwise."""
    assert parse_size(text) == count


@pytest.mark.parametrize("read", [parse_duration, parse_size])
@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1e3", "inf", "nan", "10 s", "5d", "1_000", "\u0661", "10S", "s", "ms", "1ns", "2G\n"]
)
def test_anything_else_is_refused(read: Callable[[str], float], text: str) -> None:
    """The message repeats what was given."""
    with pytest.raises(UsageError, match=r"must be a (time|size) greater than 0"):
        read(text)


def test_an_interval_may_be_nothing() -> None:
    """However many digits it has; an empty text is no interval."""
    assert [parse_interval(text) for text in ("0", "0.0", "0s", "00ms", "2s")] == [0, 0, 0, 0, 2]
    with pytest.raises(UsageError, match="must be 0, or a time"):
        parse_interval("")


@pytest.mark.parametrize("text", ["0", "257", "two", "1.5", "\u00b2", "", "1_0", "-1", "9" * 30])
def test_integers_have_limits(text: str) -> None:
    """The message names both."""
    with pytest.raises(UsageError, match=r"must be an integer from 1 to 256"):
        parse_integer(text, 1, 256)


def test_integers() -> None:
    """At the limits, and where there is only one."""
    assert [parse_integer("1", 1, 256), parse_integer("256", 1, 256), parse_integer("-7", -10)] == [1, 256, -7]
    with pytest.raises(UsageError, match="'0' must be an integer of 1 or more"):
        parse_integer("0", 1)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast", "1e7", ""])
def test_rates_are_greater_than_0(text: str) -> None:
    """And there is a most."""
    with pytest.raises(UsageError, match="must be a rate greater than 0"):
        parse_rate(text)
