"""
What runs measure, as verdict.json has it: load, capacity, what a listing costs, whether polling hurts the media.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

SloStatus = Literal["met", "violated", "not_checked"]


ALL_TARGETS: Final = "all targets"
"""In place of a target, for all of them together."""


REPORTED_PERCENTILES: Final = ("50", "90", "95", "99", "99.9", "99.99")


def is_percentile_carried(count: int, percent: float) -> bool:
    """Whether so many times have a percentile: p99 speaks of one time in a hundred, and takes that many."""
    return count * (100 - percent) >= 100 - 1e-9


class LatencyDistribution(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of time of one target, in microseconds."""

    target: str
    """Its operation; `ALL_TARGETS` for all of several together, `(connecting)` for the times of making connections."""
    kind: Literal["response", "service", "receive delay", "send delay", "connect", "tls"]
    count: int
    percentiles: dict[str, int]
    """By percent: those of 50, 90, 95, 99, 99.9 and 99.99 that so many times carry."""
    min: int | None = None
    mean: float | None = None
    max: int
    includes_failures: bool = False
    """Whether a request without a complete response counts, with the time that it waited."""
    buckets: list[tuple[int, int]] = []
    """(upper bound in us, count), ascending, empty ones left out; the last one's bound may be above the maximum."""


class TargetTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the requests for one target, warm-up included."""

    target: str
    responses: int
    """Complete ones."""
    errors: int
    server_errors: int
    """Responses of status 500 and above, which are among the complete ones."""
    bytes: int
    """Of bodies."""
    per_s: float
    """Requests a second, over the whole run."""


class FailureCount(msgspec.Struct, frozen=True, kw_only=True):
    """The requests that ended without a complete response for one reason, or with one status of 500 and above."""

    target: str
    code: str
    """As `api.exchange.ErrorCode` has it, or `status 503`."""
    count: int
    whose: Literal["server", "generator"]
    """Who is to blame: the server and the way to it, or the machine that sends."""
    detail: str
    """Of the first one."""


class SloResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one SLO."""

    slo: str
    """As it was given, such as `p99<50ms`."""
    target: str | None
    """An operation; None for all requests."""
    status: SloStatus
    actual: str
    """The figure that was measured, such as `37.2 ms`; a dash where there is none."""
    requests: int
    """How many it is a figure of; also those that had no complete response, or were due and never sent."""
    reason: str | None = None
    """Why it was not checked."""


class TimelineRow(msgspec.Struct, frozen=True, kw_only=True):
    """One second of a run, or several of a long one."""

    from_s: int
    lasts_s: int
    responses: int
    errors: int
    bytes: int
    p50_us: int | None
    p99_us: int | None
    """None where the row has too few times for it, as of p50."""
    max_us: int | None


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a load run offered and measured; times without warm-up."""

    scenario: str
    model: Literal["open", "closed"]
    planned_per_s: float | None
    """What the schedule had due; None in a closed model without an interval."""
    offered_per_s: float
    """What was sent."""
    lasted_s: float
    """Until no more was sent."""
    began_at: str | None = None
    """When second 0 of the timeline was, RFC 3339 in UTC; None where it never began."""
    due: int | None = None
    """Requests that the schedule had due; None in a closed model."""
    sent: int
    judged: int
    errors: int
    abandoned: int
    """sent = judged + errors + abandoned."""
    bytes_sent: int | None = None
    bytes_received: int | None = None
    """Heads included; without TCP and TLS. None where a recording was judged, as the next one."""
    connections: int | None = None
    """That were made."""
    processes: int = 1
    generator_limited: str | None = None
    """Why the generator was the bottleneck; None where it was not."""
    cpu_cores: float | None = None
    """Cores that the busiest process of the generator took."""
    slos: list[SloResult] = []
    targets: list[TargetTraffic] = []
    failures: list[FailureCount] = []
    """The errors, and responses of status 500 and above, by target and code."""
    latency: list[LatencyDistribution] = []
    timeline: list[TimelineRow] = []


class CapacityStepResult(msgspec.Struct, frozen=True, kw_only=True):
    """One rate that was tried, once."""

    rate: float
    """Requests a second."""
    outcome: Literal["passed", "failed", "void"]
    """Void: nothing shows whether the server or the generator was too slow."""
    windows: int
    windows_passed: int
    windows_void: int = 0
    reason: str | None
    """Which SLO, or what else, decided against it."""
    due: int = 0
    completed: int = 0
    """Of those due in its windows, ended with a complete response by the time that the SLOs give them."""
    backlog_per_s: tuple[float, float, float] | None = None
    """Growth of what was due and had not ended, requests a second: low, middle and high of the 95 % interval."""
    window_p99_us: list[int] = []
    """The 99th percentile of response time in each window that has enough responses for one, in order."""
    latency: list[LatencyDistribution] = []


class CapacityResult(msgspec.Struct, frozen=True, kw_only=True):
    """How much the server bears."""

    interval: tuple[float, float | None]
    """Highest rate confirmed (0 if none), lowest that failed (None if none did); requests a second."""
    at_least: bool
    """The server bears at least the lower end: the search ended for another reason than the server."""
    limited_by: str | None
    """The SLO, or what else, by which the lowest rate failed; for `at_least` what ended the search."""
    steps: list[CapacityStepResult]
    """In the order in which they were run."""
    slos: list[str] = []
    scenario: str = ""


class PollingEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a planned polling costs, worked out from a few requests."""

    requests: int
    responses: int
    connections: int | None
    """In the last response; None where it was no list."""
    response_bytes: int
    """Of a body, the median."""
    wire_bytes: int
    """Of a response with status line and headers, the median; without TCP and IP."""
    time_us: int
    """From before connecting until the last byte was read, the median."""
    longest_us: int
    pollers: int
    interval_s: float
    mbit_per_s: float
    """Of all pollers together."""
    open_share: float
    """Of the interval, in which one poller's request is open; above 1 its polls overlap."""
    shortest_interval_s: float
    """In which the polls of all pollers, one after another, do not overlap."""


class ListingCostPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing of so many connections cost."""

    connections: int
    responses: int
    time_us: int
    """Service time, the median."""
    high_us: int
    """The slowest of them."""
    bytes: int
    fit_us: int
    residual: float
    """Time over fit, less 1."""


class ListingCost(msgspec.Struct, frozen=True, kw_only=True):
    """How the cost of GetStatsAllConnections grows with the number of connections."""

    points: list[ListingCostPoint]
    constant_us: float | None
    """Of the fit; None where the sizes are too few, or too much alike, for one."""
    per_connection_us: float | None
    per_connection_bytes: float | None
    linear: bool | None
    statement: str
    """In a sentence: the fit, or why there is none, or where it does not hold."""
    scrapers: int = 1
    slo: str | None = None
    shortest_interval_s: float | None = None
    """For so many scrapers at the largest size, if they are served one after another; None where the SLO forbids any."""


class MediaQuantityResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one quantity of the media fared while the server was polled, against the quiet before and after."""

    quantity: str
    unit: str
    quiet: float
    """The mean over connections and quiet phases."""
    polled: float
    difference: tuple[float, float] | None
    """Polled less quiet, the interval; None of too few phases."""
    result: Literal["effect", "no effect seen", "too little data"]


class MediaResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether polling hurts the media."""

    result: Literal["effect", "no effect seen", "too little data"]
    statement: str
    rate: float
    """Requests a second in the polled phases."""
    phase_s: float
    polled_phases: int
    connections: int
    """That were there from the first phase to the last."""
    confidence: float
    """Of each interval, so that all of them hold together with 95 %."""
    quantities: list[MediaQuantityResult]
