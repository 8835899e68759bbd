"""
The tables of a run's measurements, with formatted cells: every report prints these, and computes nothing.

So a figure has the same value in all reports. A section has a title that states the result, and tables that consist of
text only.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..judge.measured_results import (
    ALL_TARGETS,
    CapacityResult,
    CapacityStepResult,
    LatencyDistribution,
    ListingCost,
    MediaResult,
    PollingEstimate,
)
from ..judge.verdict import Verdict
from .figure_cells import (
    NO_FIGURE,
    MeasurementSection,
    MeasurementTable,
    format_ms,
    format_number,
    percentile_ms,
    without_empty_columns,
)
from .load_tables import load_section, response_times


def measurement_sections(verdict: Verdict) -> list[MeasurementSection]:
    """All measurements of a run; empty if it measured nothing."""
    sections = []
    if verdict.load is not None:
        sections.append(load_section(verdict.load))
    if verdict.capacity is not None:
        sections.append(_capacity_section(verdict.capacity))
    if verdict.cost is not None:
        sections.append(_cost_section(verdict.cost))
    if verdict.media is not None:
        sections.append(_media_section(verdict.media))
    if verdict.estimate is not None:
        sections.append(_estimate_section(verdict.estimate))
    return sections


# A capacity search.


def _capacity_section(found: CapacityResult) -> MeasurementSection:
    return MeasurementSection(
        name="capacity", title=f"Capacity: {_capacity_sentence(found)}", tables=[_step_table(found.steps)]
    )


def _capacity_sentence(found: CapacityResult) -> str:
    low, high = found.interval
    slos = ", ".join(found.slos) or "every SLO"
    if found.at_least or high is None:
        return f"at least {format_number(low)} requests/s keep {slos}" if low else "nothing is known"
    why = f": {found.limited_by}" if found.limited_by else ""
    if not low:
        return f"no rate that was tried keeps {slos}, {format_number(high)} requests/s do not{why}"
    return f"{format_number(low)} requests/s keep {slos}, {format_number(high)} do not{why}"


def step_times(step: CapacityStepResult) -> LatencyDistribution | None:
    """The response times of a step, over all targets and the whole step."""
    return response_times(step.latency)


def _step_table(steps: Sequence[CapacityStepResult]) -> MeasurementTable:
    rows = []
    for step in steps:
        times, slowest = step_times(step), _slowest_target(step)
        rows.append(
            (
                format_number(step.rate),
                step.outcome,
                f"{step.windows_passed} of {step.windows}",
                format_number(step.windows_void),
                f"{step.completed:,} of {step.due:,}" if step.due else NO_FIGURE,
                *(NO_FIGURE if times is None else percentile_ms(times, each) for each in ("50", "99")),
                format_ms(None if times is None else times.max),
                NO_FIGURE if slowest is None else f"{slowest.target} {percentile_ms(slowest, '99')}",
                NO_FIGURE if step.backlog_per_s is None else format_number(round(step.backlog_per_s[1], 2)),
                step.reason or "",
            )
        )
    return without_empty_columns(
        MeasurementTable(
            name="steps",
            title="Rates in the order in which they were tried",
            columns=(
                "requests/s",
                "outcome",
                "windows",
                "void",
                "in time",
                "p50 ms",
                "p99 ms",
                "max ms",
                "slowest p99 ms",
                "backlog/s",
                "reason",
            ),
            rows=rows,
            texts=(1, 8, 10),
            optional=(8, 3, 5, 7, 9),
            note="A rate passes if every SLO is kept. Times are response times of complete responses over the whole "
            "step, for all targets and for the target with the highest p99, if there are enough times; each window is judged "
            "by its own times. A request without a response in time counts against each SLO, and has no time here.",
        )
    )


def _slowest_target(step: CapacityStepResult) -> LatencyDistribution | None:
    """The target with the highest p99, if several have enough times for one."""
    parts = [
        each
        for each in step.latency
        if each.kind == "response" and each.target != ALL_TARGETS and not each.includes_failures
    ]
    shown = [each for each in parts if percentile_ms(each, "99") != NO_FIGURE]
    return max(shown, key=lambda each: each.percentiles["99"]) if len(parts) > 1 and shown else None


# The cost of a listing, the effect of polling on the media, the cost of polling.


def _cost_section(found: ListingCost) -> MeasurementSection:
    table = MeasurementTable(
        name="sizes",
        title="Service time of a listing by number of connections",
        columns=("connections", "responses", "median ms", "longest ms", "body bytes", "fit ms", "off by %"),
        rows=[
            (
                format_number(point.connections),
                format_number(point.responses),
                format_ms(point.time_us),
                format_ms(point.high_us),
                format_number(point.bytes),
                format_ms(point.fit_us),
                format_number(round(point.residual * 100, 1)),
            )
            for point in found.points
        ],
    )
    return MeasurementSection(name="cost", title=f"Cost of a listing: {found.statement}", tables=[table])


def _media_section(found: MediaResult) -> MeasurementSection:
    table = MeasurementTable(
        name="quantities",
        title=f"Media while polled at {format_number(found.rate)} requests/s, and while quiet",
        columns=("quantity", "unit", "quiet", "polled", "difference from", "to", "result"),
        rows=[
            (
                each.quantity,
                each.unit,
                format_number(float(each.quiet)),
                format_number(float(each.polled)),
                *(map(format_number, each.difference) if each.difference is not None else (NO_FIGURE, NO_FIGURE)),
                each.result,
            )
            for each in found.quantities
        ],
        texts=(1, 6),
        note=f"Means over connections; {found.confidence:.0%} intervals.",
    )
    return MeasurementSection(name="media", title=f"Media: {found.statement}", tables=[table])


def _estimate_section(found: PollingEstimate) -> MeasurementSection:
    plan = f"{found.pollers:,} pollers, every {found.interval_s:g} s"
    table = MeasurementTable(
        name="polling",
        title="Measured, and worked out from that",
        columns=("what", "value", "of"),
        rows=[
            ("connections", format_number(found.connections), ""),
            ("bytes of a response's body", format_number(found.response_bytes), f"median of {found.responses}"),
            ("time of a response, ms", format_ms(found.time_us), f"median; longest {format_ms(found.longest_us)}"),
            ("planned: Mbit/s", format_number(found.mbit_per_s), plan),
            (
                "planned: share of the interval with a request open, %",
                format_number(found.open_share * 100),
                "of one poller",
            ),
            (
                "shortest interval of one poller, s",
                format_number(found.longest_us / 1e6),
                "its own polls don't overlap",
            ),
            (
                "shortest interval of all, s",
                format_number(found.shortest_interval_s),
                "no two polls overlap, one after another",
            ),
        ],
        texts=(2,),
        note="Times include connecting, which a poller with a kept connection avoids. With so few responses the "
        "longest time is not a bound; `sora-harness load --scenario scrape` verifies it.",
    )
    title = f"Estimate: {format_number(found.mbit_per_s)} Mbit/s for {plan}"
    return MeasurementSection(name="estimate", title=title, tables=[table])
