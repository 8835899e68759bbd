"""
Times and sizes as people write them on a command line.

Each is an argparse type: a text in, a number out, and one line of reason where it is none.
"""

from __future__ import annotations

import argparse
import re
from typing import Final

_SECONDS_PER_UNIT: Final = {"": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES_PER_UNIT: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_duration(text: str) -> float:
    """
    Read a time in seconds, more than nothing: `10`, `0.5`, `90s`, `5m`, `1h`, `20ms`, `200us`.

    >>> parse_duration("1.5m")
    90.0
    """
    parts = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(us|ms|[smh]?)", text)
    if parts is None or float(parts[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: give seconds, or 200us, 20ms, 90s, 5m, 1h")
    return float(parts[1]) * _SECONDS_PER_UNIT[parts[2]]


def parse_size(text: str) -> int:
    """
    Read a size in bytes, more than nothing: `65536`, `500M`, `2G` (powers of 1024).

    >>> parse_size("2K")
    2048
    """
    parts = re.fullmatch(r"([0-9]+)([KMG]?)", text)
    if parts is None or int(parts[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: give bytes, or 500M, 2G")
    return int(parts[1]) * _BYTES_PER_UNIT[parts[2]]
