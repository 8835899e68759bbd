"""The page's sections about measurements: the tables, and charts of the same figures."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Final

from ..judge.measured_results import CapacityResult, LatencyDistribution, ListingCost, LoadResult, TimelineRow
from ..judge.verdict import Verdict
from . import charts
from . import html_elements as html
from .charts import ChartLine, percentile_position
from .figure_cells import NO_FIGURE, MeasurementSection, MeasurementTable, format_ms, format_number, percentile_ms
from .load_tables import clock_time
from .measurement_tables import step_times

NO_CHARTS_NOTE: Final = f"Charts need the extra '{charts.CHARTS_EXTRA}': pip install pygal"

MAX_TIME_TICKS: Final = 5
"""The most labels of a time axis: more would overlap."""

_STEP_STYLES: Final = {"passed": "pass", "failed": "fail", "void": "inconclusive"}


def measurement_content(section: MeasurementSection, verdict: Verdict) -> list[html.HtmlContent]:
    """A section's charts and tables."""
    return [
        html.element("p", section.warning, class_="warning") if section.warning else None,
        _chart_list(section.name, verdict),
        *(_table(table) for table in section.tables),
    ]


def _table(table: MeasurementTable) -> html.HtmlContent:
    right = table.numeric
    rows = [html.table_row(*row, right=right) for row in table.rows]
    shown = html.data_table(table.title, table.columns, rows, right=right)
    note = html.small_note(table.note) if table.note else None
    return html.folded_details(f"{table.title} as a table", shown, note) if table.folded else [shown, note]


def _chart_list(name: str, verdict: Verdict) -> html.HtmlContent:
    """The charts of a section; a note instead if they can't be drawn."""
    if name not in ("load", "capacity", "cost"):
        return None
    if not charts.charts_available():
        return html.small_note(NO_CHARTS_NOTE)
    figures: list[html.SafeHtml | None] = []
    if name == "load" and verdict.load is not None:
        figures = [_percentiles(verdict.load.latency), *_timeline(verdict.load)]
    elif name == "capacity" and verdict.capacity is not None:
        figures = [_capacity_chart(verdict.capacity)]
    elif name == "cost" and verdict.cost is not None:
        figures = [_cost_chart(verdict.cost)]
    shown = [figure for figure in figures if figure is not None]
    return html.element("div", shown, class_="charts") if shown else None


# Latency.


def _percentiles(latency: Sequence[LatencyDistribution]) -> html.SafeHtml | None:
    times = [each for each in latency if each.kind == "response" and each.count and not each.includes_failures]
    if not times:
        return None
    lines = [ChartLine(each.target, percentile_curve(each)) for each in times]
    worst = max(times, key=lambda each: each.percentiles.get("99", 0))
    p99_ms = percentile_ms(worst, "99")
    highest = "" if p99_ms == NO_FIGURE else f"The highest p99 is that of {worst.target}: {p99_ms} ms. "
    return charts.percentile_chart(
        "percentiles",
        lines,
        title="Response time by percentile",
        about=f"{highest}The longest response took {format_ms(max(each.max for each in times))} ms.",
    )


def percentile_curve(latency: LatencyDistribution) -> list[tuple[float, float]]:
    """The times at each percentile, from the buckets if there are any; the last point is the longest time."""
    if not latency.buckets:
        known = sorted((float(percent), us) for percent, us in latency.percentiles.items())
        return [(percentile_position(percent), us / 1000) for percent, us in known if percent < 100]
    points = []
    seen = 0
    for upper_us, count in latency.buckets:
        points.append((percentile_position(100 * seen / latency.count), min(upper_us, latency.max) / 1000))
        seen += count
    return list(charts.thin_points(points, 0.02))


# The timeline of a run.


def _timeline(load: LoadResult) -> list[html.SafeHtml | None]:
    # An incomplete last row would look like a drop.
    rows = [each for each in load.timeline if each.from_s + each.lasts_s <= load.lasted_s + 0.5]
    if len(rows) < 2:
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
    ticks = _clock_ticks(load, rows)
    time_axis = "s" if ticks is None else "time of day, UTC"
    return [
        charts.line_chart(
            "over-time",
            [line("longest", ms("max_us")), line("p99", ms("p99_us")), line("p50", ms("p50_us"))],
            title="Response time over time",
            about=f"From second {rows[0].from_s} to {rows[-1].from_s + rows[-1].lasts_s}.",
            axes=charts.Axes(time_axis, "ms", ticks),
        ),
        charts.line_chart(
            "traffic",
            [line("responses", rates), line("errors", errors)],
            title="Responses and errors a second",
            about=f"Between {min(rates):,.4g} and {max(rates):,.4g} responses a second, at most {max(errors):,.4g} "
            f"errors.",
            axes=charts.Axes(time_axis, "a second", ticks, zero=True),
        ),
        charts.line_chart(
            "sizes",
            [line("mean size", sizes)],
            title="Mean size of a response",
            about=f"Between {min(known):,.4g} and {max(known):,.4g} kB.",
            axes=charts.Axes(time_axis, "kB", ticks, zero=True),
        )
        if known
        else None,
    ]


def _clock_ticks(load: LoadResult, rows: Sequence[TimelineRow]) -> list[tuple[float, str]] | None:
    """Labels of the time axis by the wall clock; None if that is unknown."""
    first_s, last_s = rows[0].from_s, rows[-1].from_s
    step_s = max(1, math.ceil((last_s - first_s) / MAX_TIME_TICKS))
    ticks = [(float(at_s), clock_time(load, at_s)) for at_s in range(first_s, last_s + 1, step_s)]
    return [(at_s, text) for at_s, text in ticks if text is not None] or None


# Capacity.


def _capacity_chart(found: CapacityResult) -> html.SafeHtml | None:
    windows, outcomes = defaultdict[float, list[float]](list), dict[float, str]()
    for step in found.steps:
        times = step_times(step)
        of_step = [] if times is None or "99" not in times.percentiles else [times.percentiles["99"]]
        if in_windows := step.window_p99_us or of_step:
            windows[step.rate] += (us / 1000 for us in in_windows)
            outcomes[step.rate] = step.outcome
    if not windows:
        return None
    points = {rate: median(windows[rate]) for rate in sorted(windows)}
    lines = [ChartLine("median window", [*points.items()])]
    if any(len(each) > 1 for each in windows.values()):
        lines.append(ChartLine("best window", [(rate, min(windows[rate])) for rate in points]))
        lines.append(ChartLine("worst window", [(rate, max(windows[rate])) for rate in points]))
    lines += [
        ChartLine(outcome, own, dots=True, colour=f"color-{_STEP_STYLES[outcome]}")
        for outcome in ("passed", "failed", "void")
        if (own := [(rate, ms) for rate, ms in points.items() if outcomes[rate] == outcome])
    ]
    return charts.line_chart(
        "capacity-curve",
        lines,
        title="p99 of response time by rate",
        about=f"{len(points)} rates between {format_number(min(points))} and {format_number(max(points))} requests a "
        "second were tried; at each, windows of all targets together spread between the best and the worst.",
        axes=charts.Axes("requests a second", "ms"),
    )


# The cost of a listing.


def _cost_chart(found: ListingCost) -> html.SafeHtml | None:
    points = sorted(found.points, key=lambda point: point.connections)
    if not points:
        return None
    lines = [ChartLine("measured", [(float(point.connections), point.time_us / 1000) for point in points], dots=True)]
    if found.constant_us is not None:
        lines.append(ChartLine("fit", [(float(point.connections), point.fit_us / 1000) for point in points]))
    return charts.line_chart(
        "cost-curve",
        lines,
        title="Time of a listing by number of connections",
        about=found.statement,
        axes=charts.Axes("connections", "ms", zero=True),
    )
