"""
The figures of a run as finished cells: terminal, HTML, JUnit, Markdown and GitHub print these, and compute nothing.

So a figure has one value, wherever it is read. What belongs together is a section, whose title holds the result; its
tables hold text only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ..judge.verdict import (
    ALL_TARGETS,
    CapacityResult,
    CapacityStepResult,
    LatencyDistribution,
    ListingCost,
    LoadResult,
    MediaResult,
    PollingEstimate,
    TimelineRow,
    Verdict,
)

PERCENTILES: Final = ("50", "90", "95", "99", "99.9", "99.99")
NO_FIGURE: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementTable:
    """A table of finished cells."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    keys: int = 1  # columns at the left that name the row
    texts: Sequence[int] = ()
    """The columns that hold words; all others, but for the keys, hold numbers and stand to the right."""
    optional: Sequence[int] = ()  # columns that a narrow display leaves out first, in this order
    folded: bool = False  # shown by the page alone, folded, since it is long
    note: str = ""

    @property
    def numeric(self) -> list[int]:
        """The columns that stand to the right."""
        return [place for place in range(self.keys, len(self.columns)) if place not in self.texts]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementSection:
    """The figures about one question: a title that says the result, and tables."""

    name: str
    title: str
    warning: str = ""
    """Why the figures are not to be trusted as they stand."""
    tables: Sequence[MeasurementTable] = ()


def measurement_sections(verdict: Verdict) -> list[MeasurementSection]:
    """All figures of a run; none of a run that measured nothing."""
    sections = []
    if verdict.load is not None:
        sections.append(_load_section(verdict.load))
    if verdict.capacity is not None:
        sections.append(_capacity_section(verdict.capacity))
    if verdict.cost is not None:
        sections.append(_cost_section(verdict.cost))
    if verdict.media is not None:
        sections.append(_media_section(verdict.media))
    if verdict.estimate is not None:
        sections.append(_estimate_section(verdict.estimate))
    return sections


def key_figures(verdict: Verdict) -> list[tuple[str, str]]:
    """The few figures that a load or capacity run is read for: a number, and what it is."""
    figures: list[tuple[str, str]] = []
    if (load := verdict.load) is not None:
        planned = f", of {format_number(load.planned_per_s)} planned" if load.planned_per_s is not None else ""
        figures += [
            (f"{format_number(load.offered_per_s)}/s", f"requests offered{planned}"),
            (_percentage(load.errors, load.sent), "without a complete response"),
        ]
        if (times := response_times(load.latency)) is not None:
            figures += [
                (f"{percentile_ms(times, each)} ms", f"p{each} of response time") for each in ("50", "95", "99")
            ]
    if (capacity := verdict.capacity) is not None:
        low, high = capacity.interval
        figures.append((f"{format_number(low)}/s", "highest rate that passed"))
        if high is not None:
            why = f": {capacity.limited_by}" if capacity.limited_by else ""
            figures.append((f"{format_number(high)}/s", f"lowest rate that failed{why}"))
    return figures


# Numbers.


def format_number(value: float | None) -> str:
    """
    A number with four digits, or all of them where it has more before the point.

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
    """A percentile in milliseconds; a dash where there are too few times for it: p99 takes 100, p99.9 takes 1,000."""
    if times.count * (100 - float(percent)) < 100 - 1e-9:
        return NO_FIGURE
    return format_ms(times.percentiles.get(percent))


def _percentage(part: int, whole: int) -> str:
    return f"{100 * part / whole:,.3g} %" if whole else NO_FIGURE


def merge_distributions(parts: Sequence[LatencyDistribution], target: str = ALL_TARGETS) -> LatencyDistribution | None:
    """
    Add times up, bucket by bucket.

    Returns:
        The sum, whose percentiles are upper ends of buckets, never above the longest time; None where a part has no
        buckets.
    """
    if not parts or any(not part.buckets for part in parts):
        return None
    if len(parts) == 1 and parts[0].target == target:
        return parts[0]
    counts: Counter[int] = Counter()
    for part in parts:
        counts.update(dict(part.buckets))
    buckets = sorted(counts.items())
    total, longest = counts.total(), max(part.max for part in parts)
    means = [part.mean for part in parts if part.mean is not None]
    shortest = [part.min for part in parts if part.min is not None]
    return LatencyDistribution(
        target=target,
        kind=parts[0].kind,
        count=total,
        percentiles={each: min(_value_at(buckets, total, float(each)), longest) for each in PERCENTILES},
        min=min(shortest) if len(shortest) == len(parts) else None,
        mean=sum(part.count * mean for part, mean in zip(parts, means, strict=True)) / total
        if len(means) == len(parts)
        else None,
        max=longest,
        includes_failures=parts[0].includes_failures,
        buckets=buckets,
    )


def _value_at(buckets: Sequence[tuple[int, int]], total: int, percent: float) -> int:
    wanted, seen = math.ceil(total * percent / 100 - 1e-9), 0
    for upper_us, count in buckets:
        seen += count
        if seen >= wanted:
            return upper_us
    return buckets[-1][0]


def response_times(latency: Iterable[LatencyDistribution]) -> LatencyDistribution | None:
    """The response times of all targets together, of complete responses."""
    parts = [each for each in latency if each.kind == "response" and not each.includes_failures]
    whole = next((each for each in parts if each.target == ALL_TARGETS), None)
    return whole or (parts[0] if len(parts) == 1 else merge_distributions(parts))


# A load run.


def _load_section(load: LoadResult) -> MeasurementSection:
    planned = f" of {format_number(load.planned_per_s)} planned" if load.planned_per_s is not None else ""
    title = f"Load: {format_number(load.offered_per_s)} requests/s offered{planned}"
    if (times := response_times(load.latency)) is not None:
        title += f", p99 {percentile_ms(times, '99')} ms"
    tables = [_slo_table(load), _traffic_table(load)] if load.slos else [_traffic_table(load)]
    if load.latency:
        tables.append(_latency_table(load.latency))
    if load.failures:
        tables.append(_failure_table(load))
    if load.timeline:
        tables.append(_timeline_table(load.timeline))
    return MeasurementSection(
        name="load",
        title=title,
        warning=f"The generator was the bottleneck: {load.generator_limited}" if load.generator_limited else "",
        tables=tables,
    )


def _traffic_table(load: LoadResult) -> MeasurementTable:
    def row(what: str, count: int | None) -> tuple[str, str, str]:
        rate = None if count is None or not load.lasted_s else count / load.lasted_s
        return what, format_number(count), format_number(rate)

    rows = [
        row("due", load.due),
        row("sent", load.sent),
        row("judged", load.judged),
        row("errors", load.errors),
        row("abandoned", load.abandoned),
        row("bytes sent", load.bytes_sent),
        row("bytes received", load.bytes_received),
        ("body and head of a response, bytes", format_number(_per_response(load)), NO_FIGURE),
        row("connections made", load.connections),
        ("processes", format_number(load.processes), NO_FIGURE),
        ("cores of the generator", format_number(load.cpu_cores), NO_FIGURE),
    ]
    return MeasurementTable(
        name="traffic",
        title=f"Scenario {load.scenario}, {load.model} model, {format_number(load.lasted_s)} s",
        columns=("what", "count", "a second"),
        rows=[row for row in rows if row[1] != NO_FIGURE],
        note="Sent is the sum of judged, errors and abandoned. An error is a request without a complete response; an "
        "abandoned one was under way when the run ended.",
    )


def _slo_table(load: LoadResult) -> MeasurementTable:
    return MeasurementTable(
        name="slos",
        title="SLOs",
        columns=("SLO", "result", "actual", "requests", "why it was not checked"),
        rows=[
            (each.slo, each.status.replace("_", " "), each.actual, format_number(each.requests), each.reason or "")
            for each in load.slos
        ],
        texts=(1, 4),
        optional=(4,),
    )


def _per_response(load: LoadResult) -> int | None:
    return round(load.bytes_received / load.judged) if load.judged else None


def _latency_table(latency: Sequence[LatencyDistribution]) -> MeasurementTable:
    rows = [*_sums(latency), *latency]
    return _without_empty_columns(
        MeasurementTable(
            name="latency",
            title="Times in ms",
            columns=("target", "time", "count", "min", "mean", *(f"p{each}" for each in PERCENTILES), "max"),
            rows=[
                (
                    each.target,
                    f"{each.kind}, errors included" if each.includes_failures else each.kind,
                    format_number(each.count),
                    format_ms(each.min),
                    format_ms(each.mean),
                    *(percentile_ms(each, percent) for percent in PERCENTILES),
                    format_ms(each.max),
                )
                for each in rows
            ],
            keys=2,
            optional=(10, 3, 6, 4, 9),
            note="Response time counts from the schedule, service time from sending; receive delay and send delay are "
            "the harness's own. A percentile is at most 1/128 too high, and shown only where there are enough times for "
            "it: 100 for p99.",
        )
    )


def _sums(latency: Sequence[LatencyDistribution]) -> list[LatencyDistribution]:
    """The times of all targets together, kind by kind; none where there is one target only."""
    groups: dict[tuple[str, bool], list[LatencyDistribution]] = {}
    for each in latency:
        groups.setdefault((each.kind, each.includes_failures), []).append(each)
    merged = [merge_distributions(parts) for parts in groups.values() if len(parts) > 1]
    return [each for each in merged if each is not None]


def _without_empty_columns(table: MeasurementTable) -> MeasurementTable:
    kept = [
        place
        for place in range(len(table.columns))
        if place < table.keys or any(row[place] not in ("", NO_FIGURE) for row in table.rows)
    ]
    places = {before: after for after, before in enumerate(kept)}
    return MeasurementTable(
        name=table.name,
        title=table.title,
        columns=[table.columns[place] for place in kept],
        rows=[[row[place] for place in kept] for row in table.rows],
        keys=table.keys,
        texts=[places[place] for place in table.texts if place in places],
        optional=[places[place] for place in table.optional if place in places],
        folded=table.folded,
        note=table.note,
    )


def _failure_table(load: LoadResult) -> MeasurementTable:
    return MeasurementTable(
        name="errors",
        title=f"{load.errors:,} of {load.sent:,} requests without a complete response",
        columns=("target", "error", "count", "share", "the first one"),
        rows=[
            (each.target, each.code, format_number(each.count), _percentage(each.count, load.sent), each.detail)
            for each in load.failures
        ],
        keys=2,
        texts=(4,),
    )


def _timeline_table(rows: Sequence[TimelineRow]) -> MeasurementTable:
    return MeasurementTable(
        name="timeline",
        title="Timeline",
        columns=("from s", "lasts s", "responses", "errors", "body bytes", "p50 ms", "p99 ms", "max ms"),
        rows=[
            (
                *map(format_number, (each.from_s, each.lasts_s, each.responses, each.errors, each.bytes)),
                *map(format_ms, (each.p50_us, each.p99_us, each.max_us)),
            )
            for each in rows
        ],
        folded=True,
        note="By arrival; response times, and how long requests without a complete response waited; warm-up included.",
    )


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
    return _without_empty_columns(
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
            note="A rate passes where every SLO holds. Times are response times of complete responses over the whole "
            "step, of all targets and of the target with the highest p99, where enough times carry one; each window is "
            "judged by its own. A request without a response in time counts against each SLO and has no time here.",
        )
    )


def _slowest_target(step: CapacityStepResult) -> LatencyDistribution | None:
    """The target with the highest p99, among several that have enough times for one."""
    parts = [
        each
        for each in step.latency
        if each.kind == "response" and each.target != ALL_TARGETS and not each.includes_failures
    ]
    shown = [each for each in parts if percentile_ms(each, "99") != NO_FIGURE]
    return max(shown, key=lambda each: each.percentiles["99"]) if len(parts) > 1 and shown else None


# What a listing costs, whether polling hurts the media, what polling will cost.


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
        note="Times include connecting, which a poller that keeps its connection is spared. Of so few responses the "
        "longest is no bound; `sora-harness load --scenario scrape` verifies it.",
    )
    title = f"Estimate: {format_number(found.mbit_per_s)} Mbit/s for {plan}"
    return MeasurementSection(name="estimate", title=title, tables=[table])
