"""
What a load run measured, and what a server bears: charts for the eye, and the same numbers in tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..judge.verdict import Capacity, CapacityStep, Cost, Latency, Load, TimelineRow
from . import charts
from .charts import Line, tail
from .html_parts import folded, pairs, row, small, table
from .markup import Content, Html, element

MISSING: Final = (
    f"Charts are drawn where the extra '{charts.EXTRA}' is installed: pip install 'sora-stats-harness[{charts.EXTRA}]'."
)

_STEPS: Final = {"passed": "pass", "failed": "fail", "void": "unknown"}


def load(measured: Load | None) -> Content:
    """Traffic, latencies and the course of a run."""
    if measured is None:
        return None
    return [
        pairs(_traffic(measured)),
        element(
            "p", element("strong", "The generator was the bottleneck: "), measured.generator_limited, class_="warning"
        )
        if measured.generator_limited
        else None,
        _drawn(_percentiles(measured.latency), *_timeline(measured)),
        _latency_table(measured.latency) if measured.latency else None,
        small(
            "Response time counts from the schedule, service time from sending; generator delay and lateness are the "
            "harness's own. Of fewer answers than a percentile speaks of it is the longest time."
        ),
        folded("Timeline as a table", _timeline_table(measured.timeline)) if measured.timeline else None,
    ]


def _drawn(*figures: Html | None) -> Content:
    if not charts.available():
        return small(MISSING)
    shown = [figure for figure in figures if figure is not None]
    return element("div", shown, class_="charts") if shown else None


def _traffic(load: Load) -> list[tuple[str, Content]]:
    planned = f" of {load.planned_per_s:,.4g} planned" if load.planned_per_s is not None else ""
    processes = f", {load.processes} processes" if load.processes > 1 else ""
    lost = f"{load.errors:,} without a whole answer, {load.abandoned:,} abandoned"
    each = f", {load.bytes_received / load.judged:,.0f} an answer" if load.judged else ""
    return [
        ("scenario", f"{load.scenario}, {load.model} model{processes}"),
        ("rate", f"{load.offered_per_s:,.4g} requests/s offered{planned}, for {load.lasted_s:,.1f} s"),
        ("requests", f"{load.sent:,} sent, {load.judged:,} answers judged, {lost}"),
        ("bytes", f"{load.bytes_sent:,} sent, {load.bytes_received:,} received{each}"),
    ]


# Latency.


def _percentiles(latency: Sequence[Latency]) -> Html | None:
    times = [each for each in latency if each.kind == "response" and each.count]
    if not times or not charts.available():
        return None
    lines = [Line(each.target, curve(each)) for each in times]
    worst = max(times, key=lambda each: each.percentiles.get("99", 0))
    return charts.percentiles(
        "percentiles",
        lines,
        title="Response time by percentile",
        about=f"The highest p99 is that of {worst.target}: {_ms(worst.percentiles.get('99'))} ms; "
        f"the longest response took {_ms(max(each.max for each in times))} ms.",
    )


def curve(latency: Latency) -> list[tuple[float, float]]:
    """The times at each percentile, from the buckets where there are any; the last point is the longest."""
    if not latency.buckets:
        known = sorted((float(percent), us) for percent, us in latency.percentiles.items())
        return [(tail(percent), us / 1000) for percent, us in known if percent < 100]
    points = []
    seen = 0
    for upper_us, count in latency.buckets:
        points.append((tail(100 * seen / latency.count), min(upper_us, latency.max) / 1000))
        seen += count
    return list(charts.thin(points, 0.02))


def _latency_table(latency: Sequence[Latency]) -> Html:
    percents = sorted({percent for each in latency for percent in each.percentiles}, key=float)
    numbers = range(2, len(percents) + 4)
    rows = [
        row(
            each.target, each.kind, f"{each.count:,}", *(_ms(each.percentiles.get(percent)) for percent in percents),
            _ms(each.max),
            right=numbers,
        )
        for each in latency
    ]  # fmt: skip
    columns = ("Target", "Time", "Answers", *(f"p{percent} ms" for percent in percents), "Longest ms")
    return table("Times by target", columns, rows, right=numbers)


def _ms(us: int | None) -> str:
    return "-" if us is None else f"{us / 1000:,.4g}" if us < 1_000_000 else f"{us / 1000:,.0f}"


# The course of a run.


def _timeline(load: Load) -> list[Html | None]:
    # What came in after the last full row would look like a drop.
    rows = [each for each in load.timeline if each.from_s + each.lasts_s <= load.lasted_s + 0.5]
    if len(rows) < 2 or not charts.available():
        return []

    def line(name: str, values: Sequence[float | None]) -> Line:
        points = [(float(each.from_s), value) for each, value in zip(rows, values, strict=True) if value is not None]
        return Line(name, points)

    def ms(name: str) -> list[float | None]:
        found = [getattr(each, name) for each in rows]
        return [None if us is None else us / 1000 for us in found]

    rates = [each.answers / each.lasts_s for each in rows]
    errors = [each.errors / each.lasts_s for each in rows]
    sizes = [each.bytes / each.answers / 1000 if each.answers else None for each in rows]
    known = [size for size in sizes if size is not None]
    return [
        charts.draw(
            "over-time",
            [line("longest", ms("max_us")), line("p99", ms("p99_us")), line("p50", ms("p50_us"))],
            title="Response time over time",
            about=f"From second {rows[0].from_s} to {rows[-1].from_s + rows[-1].lasts_s}.",
            x_title="s",
            y_title="ms",
        ),
        charts.draw(
            "traffic",
            [line("answers", rates), line("errors", errors)],
            title="Answers and errors a second",
            about=f"Between {min(rates):,.4g} and {max(rates):,.4g} answers a second, at most {max(errors):,.4g} errors.",
            x_title="s",
            y_title="a second",
            zero=True,
        ),
        charts.draw(
            "sizes",
            [line("mean size", sizes)],
            title="Mean size of an answer",
            about=f"Between {min(known):,.4g} and {max(known):,.4g} kB.",
            x_title="s",
            y_title="kB",
            zero=True,
        )
        if known
        else None,
    ]


def _timeline_table(rows: Sequence[TimelineRow]) -> Html:
    numbers = range(1, 8)
    cells = [
        row(
            f"{each.from_s:,}", f"{each.lasts_s:,}", f"{each.answers:,}", f"{each.errors:,}", f"{each.bytes:,}",
            _ms(each.p50_us), _ms(each.p99_us), _ms(each.max_us),
            right=numbers,
        )
        for each in rows
    ]  # fmt: skip
    columns = ("From s", "Lasts s", "Answers", "Errors", "Body bytes", "p50 ms", "p99 ms", "Longest ms")
    return table("Timeline", columns, cells, right=numbers)


# Capacity.


def capacity(found: Capacity | None) -> Content:
    """The rates that were tried, and what came of each."""
    if found is None:
        return None
    return [
        element("p", element("strong", _bears(found)), class_="headline"),
        pairs([("limited by", found.limited_by)]) if found.limited_by else None,
        _drawn(_capacity_chart(found)),
        _steps_table(found.steps),
        small(
            "A rate passes where every objective was met. The first number is the highest rate that did, the second the "
            "lowest that did not."
        ),
    ]


def _bears(found: Capacity) -> str:
    """The result in a sentence."""
    low, high = found.interval
    slos = ", ".join(found.slos) or "every objective"
    if found.at_least or high is None:
        return f"At least {low:,.4g} requests/s keep {slos}." if low else "Nothing is known of the capacity."
    if not low:
        return f"No rate that was tried keeps {slos}: {high:,.4g} requests/s do not."
    return f"{low:,.4g} requests/s keep {slos}, {high:,.4g} do not."


def _capacity_chart(found: Capacity) -> Html | None:
    steps = sorted((step for step in found.steps if _p99_us(step) is not None), key=lambda step: step.rate)
    if not steps or not charts.available():
        return None
    points = [(step.rate, (_p99_us(step) or 0) / 1000, step.outcome) for step in steps]
    lines = [Line("p99 of the slowest target", [(rate, ms) for rate, ms, _ in points])]
    lines += [
        Line(outcome, own, dots=True, colour=f"color-{_STEPS[outcome]}")
        for outcome in ("passed", "failed", "void")
        if (own := [(rate, ms) for rate, ms, result in points if result == outcome])
    ]
    return charts.draw(
        "capacity-curve",
        lines,
        title="p99 of response time by rate",
        about=f"{len(points)} rates between {points[0][0]:,.4g} and {points[-1][0]:,.4g} requests a second were tried.",
        x_title="requests a second",
        y_title="ms",
    )


def _p99_us(step: CapacityStep) -> int | None:
    """Of the slowest target."""
    return max((each.percentiles.get("99", 0) for each in step.latency if each.kind == "response"), default=None)


def _steps_table(steps: Sequence[CapacityStep]) -> Html:
    numbers = (2, 3, 4)
    rows = [
        row(
            f"{step.rate:,.4g}", element("span", step.outcome, class_=f"badge {_STEPS[step.outcome]}"), f"{step.windows_passed} of {step.windows}",
            f"{step.completed:,} of {step.due:,}" if step.due else "-", _ms(_p99_us(step)), step.reason or "",
            right=numbers,
        )
        for step in steps
    ]  # fmt: skip
    columns = ("Requests/s", "Outcome", "Windows", "In time", "p99 ms", "Why")
    return table("Rates in the order in which they were tried", columns, rows, right=numbers)


# The cost of a listing.


def cost(found: Cost | None) -> Content:
    """How the time of a listing grows with the number of connections; the numbers are in the command's own table."""
    if found is None:
        return None
    return [element("p", found.statement), _drawn(_cost_chart(found))]


def _cost_chart(found: Cost) -> Html | None:
    points = sorted(found.points, key=lambda point: point.connections)
    if not points or not charts.available():
        return None
    lines = [Line("measured", [(float(point.connections), point.time_us / 1000) for point in points], dots=True)]
    if found.constant_us is not None:
        lines.append(Line("fit", [(float(point.connections), point.fit_us / 1000) for point in points]))
    return charts.draw(
        "cost-curve",
        lines,
        title="Time of a listing by number of connections",
        about=found.statement,
        x_title="connections",
        y_title="ms",
        zero=True,
    )
