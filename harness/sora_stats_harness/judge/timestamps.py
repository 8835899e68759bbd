"""Parses RFC 3339 times in UTC into nanoseconds. Every sample has one, so each minute is parsed only once."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from itertools import takewhile
from typing import Final

from .shape_deviations import is_valid_timestamp

MAX_CACHED_MINUTES: Final = 1000

MICROSECOND_NS: Final = 1_000

MICROSECOND_LENGTH: Final = 27
"""The length of a time with microseconds."""


def parse_timestamp_ns(text: str) -> int | None:
    """
    Nanoseconds since 1970 of a time as documented; None if it is invalid. A leap second counts as the next minute's
    first.

    >>> parse_timestamp_ns("1970-01-01T00:00:01.500000Z")
    1500000000
    >>> parse_timestamp_ns("1970-02-30T00:00:00Z") is None
    True
    """
    if len(text) == MICROSECOND_LENGTH and text[19] == "." and text[26] == "Z" and text.isascii():
        base = _minute_start_ns(text[:17])
        digits = text[17:19] + text[20:26]
        if base is not None and digits.isdecimal() and digits[0] < "6":
            return base + int(digits) * MICROSECOND_NS
    return _parse_slowly(text)


def timestamp_resolution_ns(text: str) -> int:
    """The resolution of a valid time: 1,000 for microseconds, 1,000,000,000 for whole seconds."""
    if len(text) == MICROSECOND_LENGTH:
        return MICROSECOND_NS
    finer: int = 10 ** max(9 - len(_fraction_digits(text)), 0)
    return finer


def _fraction_digits(text: str) -> str:
    """The digits after the decimal point."""
    return "".join(takewhile(str.isdigit, text[20:])) if text[19:20] == "." else ""


@lru_cache(MAX_CACHED_MINUTES)
def _minute_start_ns(minute: str) -> int | None:
    """Nanoseconds since 1970 at the start of a minute, from the text before its seconds; None if it is invalid."""
    return _parse_slowly(f"{minute}00Z") if minute[10] == "T" else None


def _parse_slowly(text: str) -> int | None:
    if not is_valid_timestamp(text):
        return None
    start = datetime.fromisoformat(f"{text[:10]}T{text[11:16]}:00").replace(tzinfo=UTC)
    seconds = int(start.timestamp()) + int(text[17:19])
    return seconds * 1_000_000_000 + int(_fraction_digits(text)[:9].ljust(9, "0"))
