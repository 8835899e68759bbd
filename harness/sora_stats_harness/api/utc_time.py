"""Formats wall-clock times in UTC as RFC 3339 has them."""

from __future__ import annotations

import time
from functools import lru_cache


def format_utc_ns(wall_ns: int) -> str:
    """
    Format a time since 1970, to the microsecond.

    >>> format_utc_ns(1500000000)
    '1970-01-01T00:00:01.500000Z'
    """
    second, rest = divmod(wall_ns, 1_000_000_000)
    return f"{_format_second(second)}.{str(1_000_000 + rest // 1000)[1:]}Z"  # takes half as long as ":06d"


@lru_cache(100)
def _format_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
