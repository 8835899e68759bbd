"""
The headline figures with which every report begins, and which of its two parts comes first.

The figures of a load run are rate, errors, percentiles and SLOs. Those of a capacity run are its interval and the
limiting SLO, and those of every other run the statuses of the requirements. The other part comes below.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from ..judge.measured_results import CapacityResult, ListingCost, LoadResult, MediaResult, PollingEstimate, SloResult
from ..judge.verdict import Verdict
from . import summary
from .figure_cells import format_number, percentage, percentile_ms
from .load_tables import response_times

MEASURING_COMMANDS: Final = frozenset({"load", "capacity", "estimate"})

SHOWN_PERCENTILES: Final = ("50", "95", "99")

MAX_SLOS: Final = 6
"""How many SLOs the headline shows; the table has all of them."""

_SLO_ORDER: Final = ("violated", "not_checked", "met")
_SLO_STYLES: Final = {"violated": "fail", "not_checked": "not_checked", "met": "met"}


class HeadlineFigure(NamedTuple):
    """A figure, and what it means."""

    number: str
    text: str
    style: str = ""
    """The status that it shows, by the name of its colour; empty for most."""


def leads_with_measurements(verdict: Verdict) -> bool:
    """Whether a run's measurements come before its requirements."""
    return verdict.command in MEASURING_COMMANDS and bool(measured_figures(verdict))


def headline_figures(verdict: Verdict) -> list[HeadlineFigure]:
    """The headline figures of a run."""
    return measured_figures(verdict) if leads_with_measurements(verdict) else conformance_figures(verdict)


def measured_figures(verdict: Verdict) -> list[HeadlineFigure]:
    """The figures of a run's measurements; empty if it measured nothing."""
    return [
        *(() if verdict.load is None else _load_figures(verdict.load)),
        *(() if verdict.capacity is None else _capacity_figures(verdict.capacity)),
        *(() if verdict.cost is None else _cost_figures(verdict.cost)),
        *(() if verdict.media is None else _media_figures(verdict.media)),
        *(() if verdict.estimate is None else _estimate_figures(verdict.estimate)),
    ]


def conformance_figures(verdict: Verdict) -> list[HeadlineFigure]:
    """The figures about requirements."""
    seen = verdict.coverage
    observed = [each for each in verdict.requirements if each.status not in ("not_checked", "not_applicable")]
    rows = Counter(summary.status_text(each) for each in verdict.requirements)
    styles = {summary.status_text(each): summary.status_style(each) for each in verdict.requirements}
    shown = [
        text for text in summary.STATUS_ORDER if rows[text] and text not in ("not checked", "met", "not applicable")
    ]
    violated = [HeadlineFigure(f"{rows[text]}", text, styles[text]) for text in shown]
    return [
        *(violated or [HeadlineFigure("0", "requirements violated", "met")]),
        HeadlineFigure(f"{len(observed)} of {len(verdict.requirements)}", "requirements observed"),
        HeadlineFigure(f"{seen.exchanges - seen.errors:,}", "responses judged"),
        HeadlineFigure(f"{seen.connections:,}", "connections seen"),
        HeadlineFigure(f"{seen.fields_seen:,} of {seen.fields_documented:,}", "documented fields seen"),
        HeadlineFigure(f"{seen.counters_grew:,}", "counters that grew"),
    ]


def _load_figures(load: LoadResult) -> list[HeadlineFigure]:
    planned = f", of {format_number(load.planned_per_s)} planned" if load.planned_per_s is not None else ""
    times = response_times(load.latency)
    percentiles = () if times is None else [each for each in SHOWN_PERCENTILES if each in times.percentiles]
    return [
        HeadlineFigure(f"{format_number(load.offered_per_s)}/s", f"requests offered{planned}"),
        HeadlineFigure(
            percentage(load.errors, load.sent), "without a complete response", "fail" if load.errors else ""
        ),
        *(
            HeadlineFigure(f"{percentile_ms(times, each)} ms", f"p{each} of response time")
            for each in percentiles
            if times is not None
        ),
        *_slo_figures(load.slos),
    ]


def _slo_figures(slos: list[SloResult]) -> list[HeadlineFigure]:
    ordered = sorted(slos, key=lambda each: _SLO_ORDER.index(each.status))
    figures = [
        HeadlineFigure(each.status.replace("_", " "), f"{each.slo}, actual {each.actual}", _SLO_STYLES[each.status])
        for each in ordered[:MAX_SLOS]
    ]
    more = len(slos) - MAX_SLOS
    return [*figures, HeadlineFigure(f"{more:,} more", "SLOs, in the table")] if more > 0 else figures


def _capacity_figures(found: CapacityResult) -> list[HeadlineFigure]:
    low, high = found.interval
    passed = HeadlineFigure(f"{format_number(low)}/s", "highest rate that passed")
    figures = [passed if low else HeadlineFigure("none", "of the rates that were tried passed")]
    if high is not None:
        figures.append(HeadlineFigure(f"{format_number(high)}/s", "lowest rate that failed"))
    if found.limited_by:
        figures.append(
            HeadlineFigure(found.limited_by, "what ended the search" if found.at_least else "what limits it")
        )
    return figures


def _cost_figures(found: ListingCost) -> list[HeadlineFigure]:
    if found.per_connection_us is None or not found.points:
        return []
    largest = max(point.connections for point in found.points)
    return [
        HeadlineFigure(f"{format_number(found.per_connection_us / 1000)} ms", "of a listing, for each connection"),
        HeadlineFigure(format_number(largest), "connections at most"),
    ]


def _media_figures(found: MediaResult) -> list[HeadlineFigure]:
    return [HeadlineFigure(found.result, f"on the media, polled at {format_number(found.rate)} requests/s")]


def _estimate_figures(found: PollingEstimate) -> list[HeadlineFigure]:
    plan = f"for {summary.count_with_noun(found.pollers, 'poller')}, every {found.interval_s:g} s"
    return [HeadlineFigure(f"{format_number(found.mbit_per_s)} Mbit/s", plan)]
