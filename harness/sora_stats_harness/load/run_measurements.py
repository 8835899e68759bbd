"""
All figures of a load run, and their form in verdict.json.

Several processes send their measurements as plain values; the sum is what one process would have measured.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from ..judge.measured_results import (
    ALL_TARGETS,
    REPORTED_PERCENTILES,
    LatencyDistribution,
    LoadResult,
    SloResult,
    TargetTraffic,
    TimelineRow,
    is_percentile_carried,
)
from .histogram import Histogram, merge_histograms
from .request_metrics import FAILED_WAIT, TIME_KINDS, MetricsState, RequestMetrics
from .transport_stats import TransportTotals

if TYPE_CHECKING:
    from .load_session import LoadSession

MAX_TIMELINE_ROWS: Final = 600

CONNECT_LABEL: Final = "(connecting)"
"""Stands for a target, for times of connecting."""

BUSY_CPU_SHARE: Final = 0.9
"""From this share of a core on, the generator is the bottleneck."""

MAX_LOST_SHARE: Final = 0.1
"""The share of the users' time, or of their interval, that may be lost to the generator."""

NOTICEABLE_DELAY_US: Final = 1000
"""The generator's own delays below this are never called a bottleneck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """The plan of a run, as far as its summary needs it."""

    scenario: str
    model: Literal["open", "closed"] = "closed"
    """Whether requests were due by a schedule, or by the previous responses."""
    planned_per_s: float | None = None
    """The planned rate without a schedule; None if unknown."""
    users: int | None = None
    """None if unknown."""
    processes: int = 1


class MeasuredState(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of one process, as a message."""

    metrics: MetricsState
    traffic: TransportTotals
    lasted_s: float
    scheduled: int | None
    cpu_share: float


@dataclass(slots=True)
class RunMeasurements:
    """All figures of a run, or of one of its processes."""

    metrics: RequestMetrics = field(default_factory=RequestMetrics)
    traffic: TransportTotals = field(default_factory=TransportTotals)
    lasted_s: float = 0.0
    """The time until the last request was sent."""
    scheduled: int | None = None
    """How many requests the schedule had due by then."""
    cpu_share: float = 0.0
    """The used share of a core; for several processes that of the busiest one."""

    def state(self) -> MeasuredState:
        """The figures as a message."""
        return MeasuredState(
            metrics=self.metrics.state(),
            traffic=self.traffic,
            lasted_s=self.lasted_s,
            scheduled=self.scheduled,
            cpu_share=self.cpu_share,
        )

    def add(self, state: MeasuredState, *, same_clock: bool = True) -> None:
        """Add what another process measured."""
        self.metrics.add(state.metrics, same_clock=same_clock)
        self.traffic.add(state.traffic)
        self.lasted_s = max(self.lasted_s, state.lasted_s)
        if state.scheduled is not None:
            self.scheduled = (self.scheduled or 0) + state.scheduled
        self.cpu_share = max(self.cpu_share, state.cpu_share)

    def bottleneck(self, plan: LoadPlan) -> str | None:
        """Say how the generator limited the run; None if it did not."""
        metrics = self.metrics
        unsent = [each for each in metrics.failure_counts() if each.whose == "generator"]
        if unsent:
            return f"it could not send {sum(each.count for each in unsent):,} requests: {unsent[0].detail}"
        if self.cpu_share > BUSY_CPU_SHARE:
            return f"it took {self.cpu_share:.0%} of a core"
        late = metrics.ready_user_send_delay.percentile(99) or 0
        delay, service = (metrics.all_operations(kind).percentile(99) or 0 for kind in ("receive delay", "service"))
        if max(late, delay) > max(service, NOTICEABLE_DELAY_US):
            return f"at its 99th percentile it woke up {late / 1000:g} ms late, and read responses {delay / 1000:g} ms late"
        if plan.users is None:
            return None
        if plan.planned_per_s and metrics.turn_delay.count:
            mean_us = metrics.turn_delay.sum_us / metrics.turn_delay.count
            if mean_us > max(MAX_LOST_SHARE * plan.users / plan.planned_per_s * 1e6, NOTICEABLE_DELAY_US):
                return f"on average users woke up {mean_us / 1000:.3g} ms late for their turns"
        if self.lasted_s:
            share = metrics.judging_wait.sum_us / 1e6 / (plan.users * self.lasted_s)
            if share > MAX_LOST_SHARE:
                return f"users waited {share:.0%} of their time for responses to be judged"
        return None

    def to_load_summary(self, plan: LoadPlan, slos: Sequence[SloResult] = ()) -> LoadResult:
        """The summary for verdict.json."""
        metrics, lasted_s = self.metrics, max(self.lasted_s, 0.001)
        return LoadResult(
            scenario=plan.scenario,
            model=plan.model,
            planned_per_s=round(self.scheduled / lasted_s, 3) if self.scheduled is not None else plan.planned_per_s,
            offered_per_s=round(metrics.sent / lasted_s, 3),
            lasted_s=round(lasted_s, 3),
            began_at=None if metrics.began_at_s is None else format_wall_time(metrics.began_at_s),
            due=self.scheduled,
            sent=metrics.sent,
            judged=metrics.judged,
            errors=metrics.errors,
            abandoned=metrics.abandoned,
            bytes_sent=self.traffic.sent_bytes,
            bytes_received=self.traffic.received_bytes,
            connections=self.traffic.connects,
            processes=plan.processes,
            generator_limited=self.bottleneck(plan),
            cpu_cores=round(self.cpu_share, 2) if self.cpu_share else None,
            slos=list(slos),
            targets=summarize_traffic(metrics, lasted_s),
            failures=metrics.failure_counts(),
            latency=[*summarize_latencies(metrics), *_connect_latencies(self.traffic)],
            timeline=build_timeline(metrics),
        )


def summarize_recording(measured: RunMeasurements, plan: LoadPlan, began_at_s: float) -> LoadResult:
    """The summary of a run of which only the exchanges are known, not the connections."""
    return msgspec.structs.replace(
        measured.to_load_summary(plan),
        began_at=format_wall_time(began_at_s),
        bytes_sent=None,
        bytes_received=None,
        connections=None,
    )


class RunStopwatch:
    """Measures how long a process sent, and its share of a core; several tests in a row are added."""

    def __init__(self) -> None:
        self._lasted_s = self._cpu_s = 0.0
        self._since: tuple[float, float] | None = None

    def start(self, begins_ns: int | None = None) -> None:
        """Start, now or at a given time; no effect if it is running."""
        if self._since is None:
            began_s = time.monotonic() if begins_ns is None else begins_ns / 1e9
            self._since = began_s, time.process_time()

    def stop(self, ended_ns: int | None = None) -> None:
        """Stop, now or at a given time."""
        if self._since is not None:
            ended_s = time.monotonic() if ended_ns is None else ended_ns / 1e9
            self._lasted_s += max(0.0, ended_s - self._since[0])
            self._cpu_s += time.process_time() - self._since[1]
            self._since = None

    def measures(self, session: LoadSession) -> RunMeasurements:
        """All measurements of a process."""
        return RunMeasurements(
            metrics=session.metrics,
            traffic=session.traffic.totals(),
            lasted_s=self._lasted_s,
            scheduled=session.scheduled_count(),
            cpu_share=self._cpu_s / self._lasted_s if self._lasted_s else 0.0,
        )


def format_wall_time(at_s: float) -> str:
    """A wall-clock time as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def summarize_traffic(metrics: RequestMetrics, lasted_s: float) -> list[TargetTraffic]:
    """The traffic of each target."""
    return [
        TargetTraffic(
            target=name,
            responses=each.responses,
            errors=each.errors,
            server_errors=each.server_errors,
            bytes=each.bytes,
            per_s=round((each.responses + each.errors) / lasted_s, 3) if lasted_s else 0.0,
        )
        for name, each in sorted(metrics.traffic_by_target().items())
    ]


def summarize_latencies(metrics: RequestMetrics) -> list[LatencyDistribution]:
    """
    The times of all targets together, if there are several, and of each target.

    If a request failed there is a second row of response times, which includes the time that such requests waited.
    """
    by_target = dict(sorted(metrics.times.items()))
    if len(by_target) > 1:
        by_target = {ALL_TARGETS: {kind: metrics.all_operations(kind) for kind in TIME_KINDS}} | by_target
    has_failures = any(kinds[FAILED_WAIT].count for kinds in by_target.values())
    return [
        row for name, kinds in by_target.items() for row in _latency_entries(name, kinds, with_failures=has_failures)
    ]


def summarize_step_latencies(metrics: RequestMetrics) -> list[LatencyDistribution]:
    """The same for one of many steps, without buckets, to save space."""
    return [msgspec.structs.replace(each, buckets=[]) for each in summarize_latencies(metrics)]


def _latency_entries(target: str, kinds: Mapping[str, Histogram], *, with_failures: bool) -> list[LatencyDistribution]:
    rows = [_latency_entry(target, kind, times) for kind, times in kinds.items() if times.count and kind != FAILED_WAIT]
    if with_failures:
        whole = merge_histograms([kinds["response"], kinds[FAILED_WAIT]])
        rows.append(_latency_entry(target, "response", whole, includes_failures=True))
    return rows


def _connect_latencies(traffic: TransportTotals) -> list[LatencyDistribution]:
    kinds = {"connect": traffic.connect_times, "tls": traffic.tls_times}
    return [_latency_entry(CONNECT_LABEL, kind, times) for kind, times in kinds.items() if times.count]


def _latency_entry(target: str, kind: str, times: Histogram, *, includes_failures: bool = False) -> LatencyDistribution:
    return LatencyDistribution(
        target=target,
        kind=kind,  # type: ignore[arg-type]  # one of them
        count=times.count,
        percentiles={
            percent: us
            for percent in REPORTED_PERCENTILES
            if (us := carried_percentile(times, float(percent))) is not None
        },
        min=times.min_us,
        mean=round(times.sum_us / times.count, 1) if times.count else None,
        max=times.max_us,
        includes_failures=includes_failures,
        buckets=times.buckets,
    )


def carried_percentile(times: Histogram, percent: float) -> int | None:
    """A percentile in microseconds; None if there are too few times for it."""
    return times.percentile(percent) if is_percentile_carried(times.count, percent) else None


def build_timeline(metrics: RequestMetrics) -> list[TimelineRow]:
    """The timeline in rows of a second or several, with response times and failed waits, warm-up included."""
    step_s, seconds = metrics.coarse_timeline(MAX_TIMELINE_ROWS)
    return [
        TimelineRow(
            from_s=each.from_s,
            lasts_s=step_s,
            responses=counts.responses,
            errors=counts.errors,
            bytes=counts.bytes,
            p50_us=carried_percentile(counts.response, 50),
            p99_us=carried_percentile(counts.response, 99),
            max_us=counts.response.max_us if counts.response.count else None,
        )
        for each in seconds
        for counts in [each.together]
    ]
