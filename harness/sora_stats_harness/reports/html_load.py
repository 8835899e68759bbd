"""
What a load run measured, and what a server bears: charts for the eye, and the same numbers in tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..judge.verdict import (
    CapacityResult,
    CapacityStepResult,
    LatencyDistribution,
    ListingCost,
    LoadResult,
    TimelineRow,
)
from . import charts
from .charts import ChartLine, percentile_position
from .html_components import data_table, definition_list, folded_details, small_note, table_row
from .html_elements import HtmlContent, SafeHtml, html_element

NO_CHARTS_NOTE: Final = f"Charts are drawn where the extra '{charts.CHARTS_EXTRA}' is installed: pip install 'sora-stats-harness[{charts.CHARTS_EXTRA}]'."

_STEP_STATUSES: Final = {"passed": "pass", "failed": "fail", "void": "inconclusive"}


def load_section(measured: LoadResult | None) -> HtmlContent:
    """Traffic, latencies and the course of a run."""
    if measured is None:
        return None
    return [
        definition_list(_traffic(measured)),
        html_element(
            "p",
            html_element("strong", "The generator was the bottleneck: "),
            measured.generator_limited,
            class_="warning",
        )
        if measured.generator_limited
        else None,
        _charts_note(_percentiles(measured.latency), *_timeline(measured)),
        _latency_table(measured.latency) if measured.latency else None,
        small_note(
            "Response time counts from the schedule, service time from sending; receive delay and send delay are the "
            "harness's own. Of fewer responses than a percentile speaks of it is the longest time."
        ),
        folded_details("Timeline as a table", _timeline_table(measured.timeline)) if measured.timeline else None,
    ]


def _charts_note(*figures: SafeHtml | None) -> HtmlContent:
    if not charts.charts_available():
        return small_note(NO_CHARTS_NOTE)
    shown = [figure for figure in figures if figure is not None]
    return html_element("div", shown, class_="charts") if shown else None


def _traffic(load: LoadResult) -> list[tuple[str, HtmlContent]]:
    planned = f" of {load.planned_per_s:,.4g} planned" if load.planned_per_s is not None else ""
    processes = f", {load.processes} processes" if load.processes > 1 else ""
    lost = f"{load.errors:,} without a complete response, {load.abandoned:,} abandoned"
    each = f", {load.bytes_received / load.judged:,.0f} a response" if load.judged else ""
    return [
        ("scenario", f"{load.scenario}, {load.model} model{processes}"),
        ("rate", f"{load.offered_per_s:,.4g} requests/s offered{planned}, for {load.lasted_s:,.1f} s"),
        ("requests", f"{load.sent:,} sent, {load.judged:,} responses judged, {lost}"),
        ("bytes", f"{load.bytes_sent:,} sent, {load.bytes_received:,} received{each}"),
    ]


# Latency.


def _percentiles(latency: Sequence[LatencyDistribution]) -> SafeHtml | None:
    times = [each for each in latency if each.kind == "response" and each.count]
    if not times or not charts.charts_available():
        return None
    lines = [ChartLine(each.target, percentile_curve(each)) for each in times]
    worst = max(times, key=lambda each: each.percentiles.get("99", 0))
    return charts.percentile_chart(
        "percentiles",
        lines,
        title="Response time by percentile",
        about=f"The highest p99 is that of {worst.target}: {_ms(worst.percentiles.get('99'))} ms; "
        f"the longest response took {_ms(max(each.max for each in times))} ms.",
    )


def percentile_curve(latency: LatencyDistribution) -> list[tuple[float, float]]:
    """The times at each percentile, from the buckets where there are any; the last point is the longest."""
    if not latency.buckets:
        known = sorted((float(percent), us) for percent, us in latency.percentiles.items())
        return [(percentile_position(percent), us / 1000) for percent, us in known if percent < 100]
    points = []
    seen = 0
    for upper_us, count in latency.buckets:
        points.append((percentile_position(100 * seen / latency.count), min(upper_us, latency.max) / 1000))
        seen += count
    return list(charts.thin_points(points, 0.02))


def _latency_table(latency: Sequence[LatencyDistribution]) -> SafeHtml:
    percents = sorted({percent for each in latency for percent in each.percentiles}, key=float)
    numbers = range(2, len(percents) + 4)
    rows = [
        table_row(
            each.target,
            each.kind,
            f"{each.count:,}",
            *(_ms(each.percentiles.get(percent)) for percent in percents),
            _ms(each.max),
            right=numbers,
        )
        for each in latency
    ]
    columns = ("Target", "Time", "Responses", *(f"p{percent} ms" for percent in percents), "Longest ms")
    return data_table("Times by target", columns, rows, right=numbers)


def _ms(us: int | None) -> str:
    return "-" if us is None else f"{us / 1000:,.4g}" if us < 1_000_000 else f"{us / 1000:,.0f}"


# The course of a run.


def _timeline(load: LoadResult) -> list[SafeHtml | None]:
    # What came in after the last full row would look like a drop.
    rows = [each for each in load.timeline if each.from_s + each.lasts_s <= load.lasted_s + 0.5]
    if len(rows) < 2 or not charts.charts_available():
        return []

    def line(name: str, values: Sequence[float | None]) -> ChartLine:
        points = [(float(each.from_s), value) for each, value in zip(rows, values, strict=True) if value is not None]
        return ChartLine(name, points)

    def ms(name: str) -> list[float | None]:
        found = [getattr(each, name) for each in rows]
        return [None if us is None else us / 1000 for us in found]

    rates = [each.responses / each.lasts_s for each in rows]
    errors = [each.errors / each.lasts_s for each in rows]
    sizes = [each.bytes / each.responses / 1000 if each.responses else None for each in rows]
    known = [size for size in sizes if size is not None]
    return [
        charts.line_chart(
            "over-time",
            [line("longest", ms("max_us")), line("p99", ms("p99_us")), line("p50", ms("p50_us"))],
            title="Response time over time",
            about=f"From second {rows[0].from_s} to {rows[-1].from_s + rows[-1].lasts_s}.",
            x_title="s",
            y_title="ms",
        ),
        charts.line_chart(
            "traffic",
            [line("responses", rates), line("errors", errors)],
            title="Responses and errors a second",
            about=f"Between {min(rates):,.4g} and {max(rates):,.4g} responses a second, at most {max(errors):,.4g} errors.",
            x_title="s",
            y_title="a second",
            zero=True,
        ),
        charts.line_chart(
            "sizes",
            [line("mean size", sizes)],
            title="Mean size of a response",
            about=f"Between {min(known):,.4g} and {max(known):,.4g} kB.",
            x_title="s",
            y_title="kB",
            zero=True,
        )
        if known
        else None,
    ]


def _timeline_table(rows: Sequence[TimelineRow]) -> SafeHtml:
    numbers = range(1, 8)
    cells = [
        table_row(
            f"{each.from_s:,}",
            f"{each.lasts_s:,}",
            f"{each.responses:,}",
            f"{each.errors:,}",
            f"{each.bytes:,}",
            _ms(each.p50_us),
            _ms(each.p99_us),
            _ms(each.max_us),
            right=numbers,
        )
        for each in rows
    ]
    columns = ("From s", "Lasts s", "Responses", "Errors", "Body bytes", "p50 ms", "p99 ms", "Longest ms")
    return data_table("Timeline", columns, cells, right=numbers)


# Capacity.


def capacity_section(found: CapacityResult | None) -> HtmlContent:
    """The rates that were tried, and what came of each."""
    if found is None:
        return None
    return [
        html_element("p", html_element("strong", _capacity_sentence(found)), class_="headline"),
        definition_list([("limited by", found.limited_by)]) if found.limited_by else None,
        _charts_note(_capacity_chart(found)),
        _steps_table(found.steps),
        small_note(
            "A rate passes where every objective was met. The first number is the highest rate that did, the second the "
            "lowest that did not."
        ),
    ]


def _capacity_sentence(found: CapacityResult) -> str:
    """The result in a sentence."""
    low, high = found.interval
    slos = ", ".join(found.slos) or "every objective"
    if found.at_least or high is None:
        return f"At least {low:,.4g} requests/s keep {slos}." if low else "Nothing is known of the capacity."
    if not low:
        return f"No rate that was tried keeps {slos}: {high:,.4g} requests/s do not."
    return f"{low:,.4g} requests/s keep {slos}, {high:,.4g} do not."


def _capacity_chart(found: CapacityResult) -> SafeHtml | None:
    steps = sorted((step for step in found.steps if _p99_us(step) is not None), key=lambda step: step.rate)
    if not steps or not charts.charts_available():
        return None
    points = [(step.rate, (_p99_us(step) or 0) / 1000, step.outcome) for step in steps]
    lines = [ChartLine("p99 of the slowest target", [(rate, ms) for rate, ms, _ in points])]
    lines += [
        ChartLine(outcome, own, dots=True, colour=f"color-{_STEP_STATUSES[outcome]}")
        for outcome in ("passed", "failed", "void")
        if (own := [(rate, ms) for rate, ms, result in points if result == outcome])
    ]
    return charts.line_chart(
        "capacity-curve",
        lines,
        title="p99 of response time by rate",
        about=f"{len(points)} rates between {points[0][0]:,.4g} and {points[-1][0]:,.4g} requests a second were tried.",
        x_title="requests a second",
        y_title="ms",
    )


def _p99_us(step: CapacityStepResult) -> int | None:
    """Of the slowest target."""
    return max((each.percentiles.get("99", 0) for each in step.latency if each.kind == "response"), default=None)


def _steps_table(steps: Sequence[CapacityStepResult]) -> SafeHtml:
    numbers = (2, 3, 4)
    rows = [
        table_row(
            f"{step.rate:,.4g}",
            html_element("span", step.outcome, class_=f"badge {_STEP_STATUSES[step.outcome]}"),
            f"{step.windows_passed} of {step.windows}",
            f"{step.completed:,} of {step.due:,}" if step.due else "-",
            _ms(_p99_us(step)),
            step.reason or "",
            right=numbers,
        )
        for step in steps
    ]
    columns = ("Requests/s", "Outcome", "Windows", "In time", "p99 ms", "Why")
    return data_table("Rates in the order in which they were tried", columns, rows, right=numbers)


# The cost of a listing.


def cost_section(found: ListingCost | None) -> HtmlContent:
    """How the time of a listing grows with the number of connections; the numbers are in the command's own table."""
    if found is None:
        return None
    return [html_element("p", found.statement), _charts_note(_cost_chart(found))]


def _cost_chart(found: ListingCost) -> SafeHtml | None:
    points = sorted(found.points, key=lambda point: point.connections)
    if not points or not charts.charts_available():
        return None
    lines = [ChartLine("measured", [(float(point.connections), point.time_us / 1000) for point in points], dots=True)]
    if found.constant_us is not None:
        lines.append(ChartLine("fit", [(float(point.connections), point.fit_us / 1000) for point in points]))
    return charts.line_chart(
        "cost-curve",
        lines,
        title="Time of a listing by number of connections",
        about=found.statement,
        x_title="connections",
        y_title="ms",
        zero=True,
    )
