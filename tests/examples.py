"""How many examples a test tries: all of them in `make proof`, a quarter in `make test`."""

from __future__ import annotations

from typing import Final

from hypothesis import settings

EXAMPLES: Final = 100 if settings.default is None else settings.default.max_examples

FULL: Final = EXAMPLES >= 100
"""Whether pytest was told `--hypothesis-profile=full`."""


def some_of(count: int) -> int:
    """The profile's share of `count`."""
    return count if FULL else max(1, count * EXAMPLES // 100)
