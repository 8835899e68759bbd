"""The tables of a load run: for all reports, and for Locust's page during the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from ..judge.measured_results import (
    ALL_TARGETS,
    REPORTED_PERCENTILES,
    FailureCount,
    LatencyDistribution,
    LoadResult,
    TargetTraffic,
)
from .figure_cells import (
    NO_FIGURE,
    MeasurementSection,
    MeasurementTable,
    format_ms,
    format_number,
    percentage,
    percentile_ms,
    without_empty_columns,
)


def response_times(latency: Iterable[LatencyDistribution]) -> LatencyDistribution | None:
    """The response times of complete responses, for all targets together."""
    parts = [each for each in latency if each.kind == "response" and not each.includes_failures]
    whole = next((each for each in parts if each.target == ALL_TARGETS), None)
    return whole or (parts[0] if len(parts) == 1 else None)


def load_section(load: LoadResult) -> MeasurementSection:
    """All figures of a load run."""
    planned = f" of {format_number(load.planned_per_s)} planned" if load.planned_per_s is not None else ""
    title = f"Load: {format_number(load.offered_per_s)} requests/s offered{planned}"
    times = response_times(load.latency)
    if times is not None and (p99_ms := percentile_ms(times, "99")) != NO_FIGURE:
        title += f", p99 {p99_ms} ms"
    tables = [_slo_table(load), _traffic_table(load)] if load.slos else [_traffic_table(load)]
    if load.targets:
        tables.append(without_empty_columns(target_table(load.targets)))
    if load.latency:
        tables.append(without_empty_columns(latency_table(load.latency)))
    if load.failures:
        tables.append(failure_table(load.failures, load.sent))
    if load.timeline:
        tables.append(_timeline_table(load))
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

    received = load.bytes_received
    per_response = round(received / load.judged) if load.judged and received is not None else None
    rows = [
        row("due", load.due),
        row("sent", load.sent),
        row("judged", load.judged),
        row("errors", load.errors),
        row("abandoned", load.abandoned),
        row("bytes sent", load.bytes_sent),
        row("bytes received", load.bytes_received),
        ("body and head of a response, bytes", format_number(per_response), NO_FIGURE),
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
        "abandoned request was open when the run ended.",
    )


def _slo_table(load: LoadResult) -> MeasurementTable:
    return without_empty_columns(
        MeasurementTable(
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
    )


def target_table(targets: Sequence[TargetTraffic]) -> MeasurementTable:
    """What happened to the requests for each target, and for all targets."""
    sums = [sum(values) for values in zip(*map(_traffic_numbers, targets), strict=True)]
    rows = [(each.target, *_traffic_numbers(each), each.per_s) for each in targets]
    if len(rows) > 1:
        rows.insert(0, (ALL_TARGETS, *sums, sum(each.per_s for each in targets)))
    requests = sum(sums[:2])
    return MeasurementTable(
        name="targets",
        title="Requests by target",
        columns=("target", "requests", "share", "requests/s", "responses", "status 5xx", "errors", "body bytes"),
        rows=[
            (
                target,
                format_number(responses + errors),
                percentage(responses + errors, requests),
                format_number(per_s),
                *map(format_number, (responses, server_errors, errors, size)),
            )
            for target, responses, errors, server_errors, size, per_s in rows
        ],
        optional=(7, 4),
    )


def _traffic_numbers(each: TargetTraffic) -> tuple[int, int, int, int]:
    return each.responses, each.errors, each.server_errors, each.bytes


def latency_table(latency: Sequence[LatencyDistribution]) -> MeasurementTable:
    """Times by target and kind."""
    return MeasurementTable(
        name="latency",
        title="Times in ms",
        columns=("target", "time", "count", "min", "mean", *(f"p{each}" for each in REPORTED_PERCENTILES), "max"),
        rows=[
            (
                each.target,
                f"{each.kind}, errors included" if each.includes_failures else each.kind,
                format_number(each.count),
                format_ms(each.min),
                format_ms(each.mean),
                *(percentile_ms(each, percent) for percent in REPORTED_PERCENTILES),
                format_ms(each.max),
            )
            for each in latency
        ],
        keys=2,
        optional=(10, 3, 6, 4, 9),
        note="Response time counts from the schedule, service time from sending; receive delay and send delay are "
        "the harness's own. A percentile is at most 1/128 too high, and shown only where there are enough times for "
        "it: 100 for p99.",
    )


def failure_table(failures: Sequence[FailureCount], sent: int) -> MeasurementTable:
    """Errors and responses of status 500 and above, and whose failure they are."""
    errors = sum(each.count for each in failures if not each.code.startswith("status "))
    failing = sum(each.count for each in failures) - errors
    title = f"{errors:,} of {sent:,} requests without a complete response"
    return MeasurementTable(
        name="errors",
        title=title + (f", {failing:,} responses of status 5xx" if failing else ""),
        columns=("target", "error", "count", "share", "whose", "the first one"),
        rows=[
            (each.target, each.code, format_number(each.count), percentage(each.count, sent), each.whose, each.detail)
            for each in failures
        ],
        keys=2,
        texts=(4, 5),
        note="Whose: the generator's if its own machine could not send; else that of the server or the network.",
    )


def clock_time(load: LoadResult, at_s: float) -> str | None:
    """
    The wall-clock time of a second of the timeline, in UTC; None if it is unknown.

    >>> load = LoadResult(scenario="", model="open", planned_per_s=None, offered_per_s=0, lasted_s=0, sent=0, judged=0,
    ...     errors=0, abandoned=0, bytes_sent=0, bytes_received=0, began_at="2026-11-24T03:14:59.250Z")
    >>> clock_time(load, 61)
    '03:16:00'
    """
    if load.began_at is None:
        return None
    return f"{datetime.fromisoformat(load.began_at) + timedelta(seconds=at_s):%H:%M:%S}"


def _timeline_table(load: LoadResult) -> MeasurementTable:
    return without_empty_columns(
        MeasurementTable(
            name="timeline",
            title="Timeline",
            columns=("from s", "UTC", "lasts s", "responses", "errors", "body bytes", "p50 ms", "p99 ms", "max ms"),
            rows=[
                (
                    format_number(each.from_s),
                    clock_time(load, each.from_s) or NO_FIGURE,
                    *map(format_number, (each.lasts_s, each.responses, each.errors, each.bytes)),
                    *map(format_ms, (each.p50_us, each.p99_us, each.max_us)),
                )
                for each in load.timeline
            ],
            texts=(1,),
            folded=True,
            note="By arrival; response times, and how long requests without a complete response waited; warm-up "
            "included.",
        )
    )
