"""
Judges one window of time at one rate: whether the server keeps the SLOs in it.

A window is judged by the requests that were due in it. Those that were never sent, or have not ended within the time
that the SLOs allow, count as slower than any limit; otherwise a stall of the server would improve its figures. A window
in which the generator itself was late says nothing, and is void.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from statistics import median, quantiles
from typing import Final

import msgspec

from ...api.exchange import Target
from ..histogram import Histogram, merge_histograms
from ..load_spec import TARGET_BY_NAME
from ..scenarios import RELIST_INTERVAL_S, SCENARIOS
from ..slo import Slo, shortest_limit_us
from .trend import TrendSlope, theil_sen_slope

MAX_OWN_DELAY_DIVISOR: Final = 10
"""The largest delay of the generator itself, as a share of the tightest SLO; beyond it, a window is void."""

MIN_WINDOW_S: Final = 2.0

MAX_WINDOW_S: Final = 60.0
"""The longest window. If even that is too short for a quantile, fewer requests decide, and the result says so."""

MAX_WINDOW_BY_SLO_TIME_S: Final = 20.0
"""The longest window because of an SLO's own time; the backlog shows a slow overload as well."""

WINDOW_TO_SLO_FACTOR: Final = 10
"""How many times as long as the longest SLO a window lasts: a queue needs time to grow."""

MIN_COMPLETED_SHARE: Final = 0.99
"""The least share of the due requests that a step has to complete."""

MIN_BACKLOG_RISE: Final = 5
"""How many more requests may be open at the end than at the beginning, whatever the share: chance at low rates."""

MIN_BACKLOG_SLOPE_SHARE: Final = 0.001
"""A backlog grows if its trend exceeds this share of the rate, and its scatter: near the limit any queue varies."""

CLEAR_FAILURE_SHARE: Final = 0.8
"""If less than this share of a window is completed, no further window is needed."""


class LoadWindow(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One window of one rate, by the requests that were due in it."""

    rate: float
    lasts_s: float
    due: int
    times: Mapping[str, Histogram]
    """Response times of complete responses, by operation."""
    service_times: Mapping[str, Histogram] = {}
    """Service times of the same responses, by operation; empty if the kernel doesn't report times of arrival."""
    server_errors: Mapping[str, int] = {}
    """Responses of status 500 and above, by operation; they are in `times` as well."""
    errors: Mapping[str, int] = {}
    """Requests without a complete response, by operation."""
    unfinished: Mapping[str, int] = {}
    """Requests that were sent and have not ended within the time that the SLOs allow, by operation."""
    findings: tuple[str, ...] = ()
    """MUST requirements that responses violated meanwhile, whenever they were due."""
    receive_delay_p99_us: int = 0
    """The generator's own delay between arrival and reading."""
    send_delay_p99_us: int = 0
    """The generator's own delay between due and sent, if a user was ready."""
    users_exhausted: bool = False
    """Whether requests waited because the limit of requests in flight was reached."""
    max_in_flight: int = 0
    """The limit of requests in flight."""
    backlog: Sequence[tuple[float, float]] = ()
    """(seconds since the step began, requests due and not ended), at even distances."""

    @cached_property
    def all_times(self) -> Histogram:
        """Response times for all operations together."""
        return merge_histograms(self.times.values())

    @cached_property
    def all_service_times(self) -> Histogram:
        """Service times for all operations together."""
        return merge_histograms(self.service_times.values())

    @property
    def completed(self) -> int:
        """Complete responses to the requests that were due in it."""
        return self.all_times.count

    def error_count(self, slo: Slo) -> int:
        """How many of these requests are errors: without a complete response, or with a status of 500 and above."""
        kinds = (self.errors, self.server_errors)
        return sum(count for kind in kinds for name, count in kind.items() if slo.target in (None, name))

    def quantile_us(self, slo: Slo, quantile: float) -> int | None:
        """A quantile of the times that an SLO is about, by the requests that were due; None if it has no response."""
        times = self.all_times if slo.target is None else self.times.get(slo.target)
        rank = max(1, ceil(self.requests_for(slo) * quantile / 100 - 1e-9))
        if times is None or rank > times.count:
            return None
        return times.percentile(100 * rank / times.count) or 0

    def requests_for(self, slo: Slo) -> int:
        """How many of its requests an SLO is about; requests that were never sent have no target."""
        if slo.target is None:
            return self.due
        name = slo.target
        times = self.times.get(name)
        return (times.count if times is not None else 0) + self.errors.get(name, 0) + self.unfinished.get(name, 0)


def merge_windows(parts: Sequence[LoadWindow]) -> LoadWindow:
    """
    Merge the simultaneous windows of several workers.

    Counts are added, times are merged, and the receive delay is the largest one.
    """
    backlog = [
        (max(at_s for at_s, _ in samples), sum(value for _, value in samples))
        for samples in zip(*(part.backlog for part in parts), strict=False)
    ]
    return LoadWindow(
        rate=sum(part.rate for part in parts),
        lasts_s=parts[0].lasts_s,
        due=sum(part.due for part in parts),
        times=_merge_times([part.times for part in parts]),
        service_times=_merge_times([part.service_times for part in parts]),
        server_errors=_add_counts(part.server_errors for part in parts),
        errors=_add_counts(part.errors for part in parts),
        unfinished=_add_counts(part.unfinished for part in parts),
        findings=tuple(finding for part in parts for finding in part.findings),
        receive_delay_p99_us=max(part.receive_delay_p99_us for part in parts),
        send_delay_p99_us=max(part.send_delay_p99_us for part in parts),
        users_exhausted=any(part.users_exhausted for part in parts),
        max_in_flight=sum(part.max_in_flight for part in parts),
        backlog=backlog,
    )


def _merge_times(parts: Sequence[Mapping[str, Histogram]]) -> dict[str, Histogram]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: merge_histograms(part[name] for part in parts if name in part) for name in names}


def _add_counts(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    whole = Counter[str]()
    for part in parts:
        whole.update(part)
    return +whole


def operation_shares(scenario: str, rate: float) -> Mapping[str, float]:
    """
    The share of each operation in the requests of a steady scenario; look-ups of ids are left out.

    They depend on the rate: a listing every two seconds is a larger share of few requests.
    """
    row = SCENARIOS[scenario]
    shares = {TARGET_BY_NAME[name].operation: share for name, share in row.shares.items()}
    if row.is_mixed:
        listing = Target.ALL.operation
        shares[listing] = min(1.0, max(shares[listing], 1 / (RELIST_INTERVAL_S * rate)))
    return shares


def window_length_s(
    rate: float, slos: Sequence[Slo], shares: Mapping[str, float], shortest_s: float = MIN_WINDOW_S
) -> float:
    """The length of a window that the quantiles and times of SLOs need, by the rate and the share of each operation."""
    lasts_s = shortest_s
    for slo in slos:
        if slo.limit_us is not None:
            lasts_s = max(lasts_s, min(WINDOW_TO_SLO_FACTOR * slo.limit_us / 1e6, MAX_WINDOW_BY_SLO_TIME_S))
        share = 1.0 if slo.target is None else shares.get(slo.target, 0.0)
        lasts_s = max(lasts_s, slo.requests_needed / (rate * share) if share > 0 else MAX_WINDOW_S)
    return min(lasts_s, MAX_WINDOW_S)


def void_reason(window: LoadWindow, slos: Sequence[Slo]) -> str | None:
    """Why a window says nothing about the server; None if it does."""
    tightest = shortest_limit_us(tuple(slos))
    if tightest is not None and not _server_alone_violates(window, slos):
        for what, us in (("receive delay", window.receive_delay_p99_us), ("send delay", window.send_delay_p99_us)):
            if us * MAX_OWN_DELAY_DIVISOR > tightest:
                return f"the generator: p99 of its own {what} {_format_time(us)}, an SLO {tightest / 1000:g} ms"
    for slo in slos:
        if slo.target is not None and not window.requests_for(slo):
            return f"no {slo.target} was due"
    return None


def _format_time(us: float) -> str:
    return f"{us / 1000:.3g} ms" if us < 999_500 else f"{us / 1e6:.3g} s"


def _server_alone_violates(window: LoadWindow, slos: Sequence[Slo]) -> bool:
    """
    Whether the server violates an SLO by its own part alone: from sending until the kernel had the response.

    That part contains no send delay and no receive delay. But if the send delay was as long as the SLO, it may have
    made the requests come in bursts, so the result is False.
    """
    for slo in slos:
        if slo.quantile is None or slo.limit_us is None or window.receive_delay_p99_us >= slo.limit_us:
            continue
        times = window.all_service_times if slo.target is None else window.service_times.get(slo.target)
        if times is not None and times.count and (times.percentile(slo.quantile) or 0) >= slo.limit_us:
            return True
    return False


def violated_slos(window: LoadWindow, slos: Sequence[Slo]) -> list[Slo]:
    """The SLOs that a window violates."""
    return [slo for slo in slos if _violates(window, slo)]


def _violates(window: LoadWindow, slo: Slo) -> bool:
    total = window.requests_for(slo)
    if not total:
        return False
    if slo.errors is not None:
        # a slow request is not an error: another SLO, and the backlog, are about that
        bad = window.error_count(slo)
        return bad > 0 and bad >= slo.errors * total
    assert slo.quantile is not None, "an SLO is on errors or on a time"
    assert slo.limit_us is not None, "and a time has a limit"
    reached_us = window.quantile_us(slo, slo.quantile)
    return reached_us is None or reached_us >= slo.limit_us


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogTrend:
    """How the backlog of due but unfinished requests developed over a step."""

    slope: TrendSlope | None
    """Requests per second; None for too few samples."""
    grows: bool
    rise: int
    """How many more requests were open at the end than at the beginning."""
    due: int

    @property
    def falls_behind(self) -> bool:
        """Whether less than 99 percent of the due requests were completed."""
        return self.rise > max((1 - MIN_COMPLETED_SHARE) * self.due, MIN_BACKLOG_RISE)


def backlog_trend(windows: Sequence[LoadWindow]) -> BacklogTrend:
    """The trend of the backlog over the consecutive windows of one step."""
    samples = [sample for window in windows for sample in window.backlog]
    due = sum(window.due for window in windows)
    if not samples:
        return BacklogTrend(slope=None, grows=False, rise=0, due=due)
    rate = windows[0].rate
    slope = theil_sen_slope(samples)
    return BacklogTrend(
        slope=slope,
        grows=slope is not None and _is_growing(samples, slope, rate),
        rise=round(backlog_rise(samples)),
        due=due,
    )


def _is_growing(samples: Sequence[tuple[float, float]], slope: TrendSlope, rate: float) -> bool:
    """Whether a trend is significant: its interval excludes 0, and it exceeds chance and scatter."""
    rise = slope.middle * (samples[-1][0] - samples[0][0])
    rest = [value - slope.middle * at_s for at_s, value in samples]
    lower, _, upper = quantiles(rest, n=4)
    return (
        slope.low > 0 and slope.middle > MIN_BACKLOG_SLOPE_SHARE * rate and rise > max(MIN_BACKLOG_RISE, upper - lower)
    )


def backlog_rise(samples: Sequence[tuple[float, float]]) -> float:
    """How many more requests were open at the end than at the beginning, each as the median of some samples."""
    if not samples:
        return 0.0
    edge = max(1, len(samples) // 10)
    first, last = (median(value for _, value in part) for part in (samples[:edge], samples[-edge:]))
    return last - first


def most_violated_slo(windows: Sequence[LoadWindow], slos: Sequence[Slo]) -> str | None:
    """The SLO that most windows violate; of several the first one given."""
    counts = Counter(slo.text for window in windows for slo in violated_slos(window, slos))
    return max((slo.text for slo in slos if counts[slo.text]), key=lambda text: counts[text], default=None)
