"""
What a run measured, as verdict.json tells it, and the tables that a person reads.

The figures stand once, in `verdict.Load`; the tables are made from that. Several processes hand in their measures as
plain values, and what is told of them is what one process would have told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ..judge.verdict import Latency, Load, Section, TimelineRow
from .histogram import Histogram
from .http import Traffic
from .metrics import Metrics

PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0, 99.9, 99.99)

SHOWN: Final = ("50", "90", "99", "99.9", "99.99")
"""Of those the ones in the table."""

TIMELINE_ROWS: Final = 600

SHOWN_ROWS: Final = 60

CONNECTING: Final = "(connecting)"
"""In place of a target, for what belongs to none."""

BUSY: Final = 0.9
"""Share of a core from which on a generator has none to spare."""

NOTICEABLE_US: Final = 1000
"""Delays of our own below this are never called a bottleneck."""


@dataclass(slots=True)
class Measures:
    """All figures of a run, or of one process of it."""

    metrics: Metrics = field(default_factory=Metrics)
    traffic: Traffic = field(default_factory=Traffic)
    lasted_s: float = 0.0
    """Until no more was sent."""
    due: int | None = None
    """Requests that the schedule had due by then."""
    cpu_share: float = 0.0
    """Of one core; of several processes the busiest's."""
    processes: int = 0
    """How many have been added."""

    def dump(self) -> dict[str, Any]:  # Any: plain values
        """The state as plain values, for a message."""
        return {
            "metrics": self.metrics.dump(), "traffic": self.traffic.dump(), "lasted_s": self.lasted_s, "due": self.due,
            "cpu_share": self.cpu_share,
        }  # fmt: skip

    def add_dump(self, state: Mapping[str, Any], *, same_clock: bool = True) -> None:  # Any: as above
        """
        Add what another process measured.

        Raises:
            KeyError, TypeError, ValueError: It is no such state.
        """
        self.metrics.add_dump(state["metrics"], same_clock=same_clock)
        self.traffic.add_dump(state["traffic"])
        self.lasted_s = max(self.lasted_s, float(state["lasted_s"]))
        if state["due"] is not None:
            self.due = (self.due or 0) + int(state["due"])
        self.cpu_share = max(self.cpu_share, float(state["cpu_share"]))
        self.processes += 1

    def add_metrics(self, metrics: Metrics) -> None:
        """Add what was worked out for a process that never told."""
        self.metrics.add_dump(metrics.dump())

    def bottleneck(self) -> str | None:
        """How the generator held the run up; None where it did not."""
        if self.cpu_share > BUSY:
            return f"it took {self.cpu_share:.0%} of a core"
        late = self.metrics.overslept.percentile(99) or 0
        delay, service = (self.metrics.whole(kind).percentile(99) or 0 for kind in ("generator delay", "service"))
        if max(late, delay) > max(service, NOTICEABLE_US):
            return (
                f"at its 99th percentile it woke up {late / 1000:g} ms late, and read answers {delay / 1000:g} ms late"
            )
        return None

    def load(
        self, *, scenario: str, model: Literal["open", "closed"], planned_per_s: float | None, processes: int = 1
    ) -> Load:
        """
        Tell it as verdict.json does.

        Args:
            scenario: Its name.
            model: Whether requests were due by a schedule, or by the answers before.
            planned_per_s: Where there is no schedule, how much was to be sent; None if that cannot be told.
            processes: How many there were to be.
        """
        metrics, lasted_s = self.metrics, max(self.lasted_s, 0.001)
        return Load(
            scenario=scenario,
            model=model,
            planned_per_s=round(self.due / lasted_s, 3) if self.due is not None else planned_per_s,
            offered_per_s=round(metrics.sent / lasted_s, 3),
            lasted_s=round(lasted_s, 3),
            due=self.due,
            sent=metrics.sent,
            judged=metrics.judged,
            errors=metrics.errors,
            abandoned=metrics.abandoned,
            bytes_sent=self.traffic.sent_bytes,
            bytes_received=self.traffic.received_bytes,
            connections=self.traffic.connects,
            processes=processes,
            generator_limited=self.bottleneck(),
            latency=[*latencies(metrics), *_connecting(self.traffic)],
            timeline=timeline(metrics),
        )


def latencies(metrics: Metrics) -> list[Latency]:
    """The times of each target."""
    return [
        _latency(name, kind, times)
        for name in sorted(metrics.times)
        for kind, times in metrics.times[name].items()
        if times.count
    ]


def _connecting(traffic: Traffic) -> list[Latency]:
    kinds = {"connect": traffic.connect, "tls": traffic.tls}
    return [_latency(CONNECTING, kind, times) for kind, times in kinds.items() if times.count]


def _latency(target: str, kind: str, times: Histogram) -> Latency:
    return Latency(
        target=target,
        kind=kind,  # type: ignore[arg-type]  # one of them
        count=times.count,
        percentiles={f"{percent:g}": times.percentile(percent) or 0 for percent in PERCENTILES},
        max=times.max_us,
        buckets=times.buckets,
    )


def timeline(metrics: Metrics) -> list[TimelineRow]:
    """The run by second, or by several; response times, warm-up included."""
    step_s, seconds = metrics.rows(TIMELINE_ROWS)
    return [
        TimelineRow(
            from_s=each.from_s, lasts_s=step_s, answers=each.answers, errors=each.errors, bytes=each.bytes,
            p50_us=each.response.percentile(50), p99_us=each.response.percentile(99),
            max_us=each.response.max_us if each.response.count else None,
        )
        for each in seconds
    ]  # fmt: skip


# Tables.


def sections(measures: Measures, load: Load) -> list[Section]:
    """Latency, traffic and timeline for a person; all of it stands in `load` as well."""
    return [_latency_section(load), _traffic_section(measures, load), _timeline_section(measures.metrics)]


def _latency_section(load: Load) -> Section:
    rows: list[list[str | int | float | None]] = [
        [each.target, each.kind, each.count, *(each.percentiles[percent] / 1000 for percent in SHOWN), each.max / 1000]
        for each in load.latency
    ]
    columns = ["target", "time", "count", *(f"p{percent} ms" for percent in SHOWN), "max ms"]
    note = (
        "Response time counts from the schedule, service time from sending; generator delay and lateness are our own. "
        "Percentiles are at most 1/128 too high."
    )
    return Section(title="Latency", columns=columns, rows=rows, note=note)


def _traffic_section(measures: Measures, load: Load) -> Section:
    seconds = load.lasted_s

    def rate(count: int) -> float:
        return round(count / seconds, 1)

    return Section(
        title="Traffic",
        columns=["what", "count", "a second"],
        rows=[
            ["due", load.due, None if load.due is None else rate(load.due)],
            ["sent", load.sent, rate(load.sent)],
            ["judged", load.judged, rate(load.judged)],
            ["errors", load.errors, None],
            ["abandoned", load.abandoned, None],
            ["bytes sent", load.bytes_sent, rate(load.bytes_sent)],
            ["bytes received", load.bytes_received, rate(load.bytes_received)],
            ["connections made", load.connections, None],
            ["processes", load.processes, None],
            ["CPU of the generator, cores", None, round(measures.cpu_share, 2)],
        ],
        note="Sent is the sum of judged, errors and abandoned.",
    )


def _timeline_section(metrics: Metrics) -> Section:
    step_s, seconds = metrics.rows(SHOWN_ROWS)
    rows: list[list[str | int | float | None]] = [
        [each.from_s, each.answers, each.errors, each.bytes, *_shown(each.response)] for each in seconds
    ]
    columns = ["from s", "answers", "errors", "body bytes", "p50 ms", "p99 ms", "max ms"]
    note = f"Each row is {step_s} s, by arrival; response times, warm-up included."
    return Section(title="Timeline", columns=columns, rows=rows, note=note)


def _shown(times: Histogram) -> list[float | None]:
    found = (times.percentile(50), times.percentile(99), times.max_us if times.count else None)
    return [None if us is None else us / 1000 for us in found]
