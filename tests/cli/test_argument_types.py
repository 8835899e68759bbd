"""Times and sizes are read as people write them, and nothing else is guessed at."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from sora_stats_harness.cli.argument_types import parse_duration, parse_size


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
    with pytest.raises(argparse.ArgumentTypeError, match=r"is no (time|size)"):
        read(text)
