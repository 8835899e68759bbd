"""
The unstable levels of a simulated connection: the current one, and how often each was found.

The server finds a level at regular intervals and counts it in the same step, so the current level has always been
counted. The levels of a connection follow a pattern that is repeated, so that the counts at any age can be looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Final

from .counter_increments import CounterValues, Increments, add_counts, increments_in_group
from .sample_template import ColumnSource

INSTABILITY_LEVELS: Final = (0, 1, 2, 3)

INSTABILITY_INCREMENTS: Final[tuple[Increments, ...]] = (
    increments_in_group("network_status", unstable_level=1),
    *(increments_in_group("network_status", **{f"total_unstable_level{level}": 1}) for level in INSTABILITY_LEVELS),
)
"""The increments of the columns of `instability_source`: the level, and how often each was found."""

_PATTERN_LENGTH: Final = 24


def instability_source(random: Random, *, every_ns: int, unstable: bool) -> ColumnSource:
    """The level and the counts as a function of age; all are 0 before the first level was found."""
    pattern = _draw_level_pattern(random) if unstable else [int(random.random() < 0.1) for _ in range(_PATTERN_LENGTH)]
    found: list[CounterValues] = [tuple(int(level == known) for known in INSTABILITY_LEVELS) for level in pattern]
    counts = list(accumulate(found, add_counts, initial=(0,) * len(INSTABILITY_LEVELS)))

    def source(age_ns: int) -> Sequence[int]:
        rounds, place = divmod(age_ns // every_ns, _PATTERN_LENGTH)
        level = pattern[place - 1] if place or rounds else 0
        return [level, *(rounds * whole + part for whole, part in zip(counts[-1], counts[place], strict=True))]

    return source


def _draw_level_pattern(random: Random) -> list[int]:
    """Draw a pattern that goes up and down through all levels, and stays at each for one or two steps."""
    tour = [0, 1, 2, 3, 2, 1]
    levels: list[int] = []
    while len(levels) < _PATTERN_LENGTH:
        for level in tour:
            levels += [level] * random.choice((1, 1, 1, 2))
    return levels[:_PATTERN_LENGTH]
