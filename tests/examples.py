"""How many examples a test tries: all of them in `make proof`, a quarter in `make test`."""

from __future__ import annotations

from typing import Final

from hypothesis import settings

FULL: Final = settings.default is not None and settings.default.max_examples >= 100
"""Whether pytest was told `--hypothesis-profile=full`."""


def some_of(count: int) -> int:
    """A quarter of `count` in a quick run."""
    return count if FULL else max(1, count // 4)
