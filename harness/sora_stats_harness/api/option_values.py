"""
Reads times, sizes and numbers as people write them in options and configurations.

Each function takes a text and returns a value, or raises an error that says what the text must be; the caller puts the
option's name in front of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from .errors import UsageError, suggest_nearest

_SECONDS_PER_UNIT: Final = {"": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES_PER_UNIT: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

FAIL_ON_LEVELS: Final = ("must", "proven", "habit")
"""The levels that `--fail-on` takes: findings of this level and above fail a run."""
SEVERITY_LEVELS: Final = (*FAIL_ON_LEVELS, "info")
"""The levels that a requirement may be given."""


def parse_duration(text: str) -> float:
    """
    Read a time in seconds, greater than 0: `10`, `0.5`, `90s`, `5m`, `1h`, `20ms`, `200us`.

    >>> parse_duration("1.5m")
    90.0
    """
    parts = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(us|ms|[smh]?)", text)
    if parts is None or float(parts[1]) == 0:
        raise UsageError(f"{text!r} must be a time greater than 0: seconds, or a number with us, ms, s, m or h")
    return float(parts[1]) * _SECONDS_PER_UNIT[parts[2]]


def parse_interval(text: str) -> float:
    """Read a time in seconds that may be 0."""
    if re.fullmatch(r"0+(\.0+)?(us|ms|[smh]?)", text):
        return 0.0
    try:
        return parse_duration(text)
    except UsageError:
        raise UsageError(f"{text!r} must be 0, or a time: seconds, or a number with us, ms, s, m or h") from None


def parse_choice(text: str, choices: Sequence[str]) -> str:
    """Take one of a few words."""
    if text not in choices:
        raise UsageError(f"{text!r} must be one of {', '.join(choices)}{suggest_nearest(text, choices)}")
    return text


def parse_size(text: str) -> int:
    """
    Read a size in bytes, greater than 0: `65536`, `500M`, `2G` (powers of 1024).

    >>> parse_size("2K")
    2048
    """
    parts = re.fullmatch(r"([0-9]+)([KMG]?)", text)
    if parts is None or int(parts[1]) == 0:
        raise UsageError(f"{text!r} must be a size greater than 0: bytes, or a number with K, M or G")
    return int(parts[1]) * _BYTES_PER_UNIT[parts[2]]


def parse_integer(text: str, least: int, most: int | None = None) -> int:
    """
    Read an integer within limits.

    >>> parse_integer("2", 1, 256)
    2
    """
    if re.fullmatch(r"-?[0-9]{1,18}", text) and least <= int(text) and (most is None or int(text) <= most):
        return int(text)
    limits = f"of {least:,} or more" if most is None else f"from {least:,} to {most:,}"
    raise UsageError(f"{text!r} must be an integer {limits}")


def parse_percent(text: str, least: float, most: float) -> float:
    """
    Read a percentage within limits, with or without its sign, as a share.

    >>> parse_percent("10%", 0, 100)
    0.1
    """
    number = text.removesuffix("%").strip()
    value = float(number) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", number) else -1.0
    if not least <= value <= most:
        raise UsageError(f"{text!r} must be a percentage from {least:g} to {most:g}")
    return round(value / 100, 12)


def parse_rate(text: str) -> float:
    """Read a rate in requests per second, greater than 0."""
    value = float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?", text) else 0.0
    if not 0 < value <= 1e6:
        raise UsageError(f"{text!r} must be a rate greater than 0, in requests per second")
    return value
