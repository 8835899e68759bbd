"""
Compiles a simulated connection's statistics to a function of its age, so that a sample takes about 50 us.

Under load the simulator makes thousands of samples a second, so as much as possible is computed when a connection
joins. Each leaf is a constant in a template, a column, or a weighted sum of columns, and a sample is a few list
comprehensions over C functions. A plain loop over events and increments took 160 us.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter, mul
from random import Random
from typing import Any, Final

ColumnSource = Callable[[int], Sequence[int]]
"""Several columns at once, as a function of the connection's age in nanoseconds."""

LeafValue = int | str | bool

ColumnPicker = Callable[[Sequence[int]], Sequence[int]]

FIXED_POINT_BITS: Final = 40
"""The binary places of flows. These are fixed-point numbers, which are exact, so the same on every machine."""

TEAR_MOMENTS: Final = 4
"""The number of moments at which the leaves of a torn sample are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTemplate:
    """One object of the response: constants in the edition's order, and the columns of the other leaves."""

    parent: int
    """The index of the part that contains this one; -1 for the connection object."""
    name: str
    template: dict[str, LeafValue]
    keys: tuple[str, ...]
    indices: tuple[int, ...]
    pick: ColumnPicker


def make_column_picker(indices: Sequence[int]) -> ColumnPicker:
    """Make a function that selects columns: `itemgetter`, extended to zero columns and to one column as a tuple."""
    if not indices:
        return lambda _: ()
    if len(indices) == 1:
        only = indices[0]
        return lambda columns: (columns[only],)
    return itemgetter(*indices)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleTemplate:
    """
    Everything needed to make samples of one connection.

    Columns are numbered: flows, then sources, then plain sums, then multiples, then weighted sums.
    """

    flows: tuple[tuple[int, int], ...]
    """Phase and rate per nanosecond, both scaled by 2**FIXED_POINT_BITS."""
    sources: tuple[ColumnSource, ...]
    sums: tuple[tuple[ColumnPicker, int], ...]
    """Which columns to add up, and a constant."""
    scaled: tuple[tuple[int, int, int], ...]
    """Which column to multiply by what, and a constant."""
    weighted: tuple[tuple[ColumnPicker, tuple[int, ...], int], ...]
    """Which columns to add up with which weights, and a constant."""
    parts: tuple[GroupTemplate, ...]
    """Parents before children; the connection object is the first."""
    stamps: tuple[tuple[int, str], ...]
    """Part and key of each leaf with the time of the sample."""

    def column_values(self, age_ns: int) -> list[int]:
        """Every column at one age."""
        columns = [(phase + rate * age_ns) >> FIXED_POINT_BITS for phase, rate in self.flows]
        for source in self.sources:
            columns += source(age_ns)
        columns += [
            *[sum(pick(columns), constant) for pick, constant in self.sums],
            *[columns[index] * weight + constant for index, weight, constant in self.scaled],
            *[sum(map(mul, weights, pick(columns)), constant) for pick, weights, constant in self.weighted],
        ]
        return columns

    def consistent_sample(self, age_ns: int, timestamp: str) -> dict[str, Any]:  # Any: a response is nested JSON
        """A sample with all leaves read at the same moment."""
        columns = self.column_values(age_ns)
        made: list[dict[str, Any]] = []
        for part in self.parts:
            group: dict[str, Any] = part.template.copy()
            group.update(zip(part.keys, part.pick(columns), strict=True))
            if made:
                made[part.parent][part.name] = group
            made.append(group)
        return self._set_timestamps(made, timestamp)

    def torn_sample(self, ages_ns: Sequence[int], timestamp: str, random: Random) -> dict[str, Any]:
        """A sample with each leaf read at one of the ages, which `random` chooses."""
        moments = [self.column_values(age_ns) for age_ns in ages_ns]
        made: list[dict[str, Any]] = []
        for part in self.parts:
            group: dict[str, Any] = part.template.copy()
            chosen = random.choices(moments, k=len(part.keys))
            for key, index, columns in zip(part.keys, part.indices, chosen, strict=True):
                group[key] = columns[index]
            if made:
                made[part.parent][part.name] = group
            made.append(group)
        return self._set_timestamps(made, timestamp)

    def _set_timestamps(self, made: list[dict[str, Any]], timestamp: str) -> dict[str, Any]:
        for part, key in self.stamps:
            made[part][key] = timestamp
        return made[0]
