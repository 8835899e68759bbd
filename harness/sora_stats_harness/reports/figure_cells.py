"""Formats figures as the cells of tables, and defines these tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..judge.measured_results import LatencyDistribution
from ..judge.requirements import REQUIREMENTS
from ..judge.verdict import RequirementStatus

NO_FIGURE: Final = "-"

STRENGTH_NOTE: Final = (
    "A fault in a larger share than the stated one, of all targets or of one, would have been seen, with 95 % "
    "confidence."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementTable:
    """A table of formatted cells."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    keys: int = 1  # how many columns at the left name the row
    texts: Sequence[int] = ()
    """The columns with words; all others except the keys have numbers, and are right-aligned."""
    optional: Sequence[int] = ()  # columns that a narrow display leaves out first, in this order
    folded: bool = False  # shown only in the page, folded, since it is long
    note: str = ""

    @property
    def numeric(self) -> list[int]:
        """The right-aligned columns."""
        return [place for place in range(self.keys, len(self.columns)) if place not in self.texts]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementSection:
    """The figures about one topic: a title that states the result, and tables."""

    name: str
    title: str
    warning: str = ""
    """Why the figures may be misleading."""
    tables: Sequence[MeasurementTable] = ()


def format_number(value: float | None) -> str:
    """
    A number with four digits, or all digits before the point if there are more.

    >>> format_number(12345), format_number(0.25), format_number(12345.6), format_number(None)
    ('12,345', '0.25', '12,346', '-')
    """
    if value is None:
        return NO_FIGURE
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def format_ms(us: float | None) -> str:
    """Microseconds as milliseconds."""
    return NO_FIGURE if us is None else format_number(us / 1000)


def percentile_ms(times: LatencyDistribution, percent: str) -> str:
    """A percentile in milliseconds; a dash if there are too few times for it: p99 takes 100, p99.9 takes 1,000."""
    return format_ms(times.percentiles.get(percent))


def percentage(part: int, whole: int) -> str:
    return f"{100 * part / whole:,.3g} %" if whole else NO_FIGURE


def without_empty_columns(table: MeasurementTable) -> MeasurementTable:
    """The same table without empty columns."""
    kept = [
        place
        for place in range(len(table.columns))
        if place < table.keys or any(row[place] not in ("", NO_FIGURE) for row in table.rows)
    ]
    places = {before: after for after, before in enumerate(kept)}
    return replace(
        table,
        columns=[table.columns[place] for place in kept],
        rows=[[row[place] for place in kept] for row in table.rows],
        texts=[places[place] for place in table.texts if place in places],
        optional=[places[place] for place in table.optional if place in places],
    )


def format_share(share: float) -> str:
    """
    A share in percent, with two significant digits.

    >>> format_share(0.000998), format_share(1.0), format_share(0.00000123)
    ('0.1 %', '100 %', '0.00012 %')
    """
    percent = share * 100
    return f"{float(f'{percent:.2g}'):.10f}".rstrip("0").rstrip(".") + " %"


def strength_text(row: RequirementStatus) -> str:
    """What a met requirement excludes: `> 0.024 % of comparable pairs (GetStatsClient > 0.05 %)`."""
    if row.excludes_above is None:
        return ""
    rule = REQUIREMENTS.get(row.id)
    text = f"> {format_share(row.excludes_above)} of {rule.unit if rule else 'checks'}"
    targets = [f"{name} > {format_share(each.excludes_above)}" for name, each in row.by_target.items()]
    if len(targets) == 1:
        targets = list(row.by_target)
    return f"{text} ({', '.join(targets)})" if targets else text
