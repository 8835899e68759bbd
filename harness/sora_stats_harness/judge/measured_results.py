"""The measured parts of verdict.json: load, capacity, the cost of listings, and the effect of polling on the media."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

SloStatus = Literal["met", "violated", "not_checked"]


ALL_TARGETS: Final = "all targets"
"""Stands for all targets together."""


REPORTED_PERCENTILES: Final = ("50", "90", "95", "99", "99.9", "99.99")


def is_percentile_carried(count: int, percent: float) -> bool:
    """Whether there are enough times for a percentile: p99 is about one in a hundred, so it takes a hundred."""
    return count * (100 - percent) >= 100 - 1e-9


class LatencyDistribution(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution of one kind of time for one target, in microseconds."""

    target: str
    """Its operation; `ALL_TARGETS` for several together, `(connecting)` for the times of connecting."""
    kind: Literal["response", "service", "receive delay", "send delay", "connect", "tls"]
    count: int
    percentiles: dict[str, int]
    """By percent: those of 50, 90, 95, 99, 99.9 and 99.99 for which there are enough times."""
    min: int | None = None
    mean: float | None = None
    max: int
    includes_failures: bool = False
    """Whether requests without a complete response count, with the time that they waited."""
    buckets: list[tuple[int, int]] = []
    """(upper bound in us, count), ascending, without empty ones; the last bound may be above the maximum."""


class TargetTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to the requests for one target, warm-up included."""

    target: str
    responses: int
    """Complete responses."""
    errors: int
    server_errors: int
    """Responses of status 500 and above; they count as complete as well."""
    bytes: int
    """Bytes of bodies."""
    per_s: float
    """Requests per second, over the whole run."""


class FailureCount(msgspec.Struct, frozen=True, kw_only=True):
    """
    The number of requests that ended without a complete response for one reason, or with one status of 500 and above.
    """

    target: str
    code: str
    """A value of `api.exchange.ErrorCode`, or `status 503`."""
    count: int
    whose: Literal["server", "generator"]
    """Whose failure it is: the server and the network, or the machine that sends."""
    detail: str
    """The detail of the first one."""


class SloResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one SLO."""

    slo: str
    """As it was given, such as `p99<50ms`."""
    target: str | None
    """An operation; None for all requests."""
    status: SloStatus
    actual: str
    """The measured figure, such as `37.2 ms`; a dash if there is none."""
    requests: int
    """The number of requests behind the figure, including those without a complete response or never sent."""
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
    """None if the row has too few times for it; the same for p50."""
    max_us: int | None


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a load run sent and measured; times exclude the warm-up."""

    scenario: str
    model: Literal["open", "closed"]
    planned_per_s: float | None
    """The scheduled rate; None in a closed model without an interval."""
    offered_per_s: float
    """The rate that was sent."""
    lasted_s: float
    """Until the last request was sent."""
    began_at: str | None = None
    """When second 0 of the timeline was, RFC 3339 in UTC; None if the run never began."""
    due: int | None = None
    """Requests that the schedule had due; None in a closed model."""
    sent: int
    judged: int
    errors: int
    abandoned: int
    """sent = judged + errors + abandoned."""
    bytes_sent: int | None = None
    bytes_received: int | None = None
    """With heads, without TCP and TLS. None if a recording was judged; the same for `connections`."""
    connections: int | None = None
    """How many connections were opened."""
    processes: int = 1
    generator_limited: str | None = None
    """Why the generator was the bottleneck; None if it was not."""
    cpu_cores: float | None = None
    """How many cores the generator's busiest process used."""
    slos: list[SloResult] = []
    targets: list[TargetTraffic] = []
    failures: list[FailureCount] = []
    """The errors, and responses of status 500 and above, by target and code."""
    latency: list[LatencyDistribution] = []
    timeline: list[TimelineRow] = []


class CapacityStepResult(msgspec.Struct, frozen=True, kw_only=True):
    """One trial of one rate."""

    rate: float
    """Requests per second."""
    outcome: Literal["passed", "failed", "void"]
    """Void: nothing shows whether the server or the generator was too slow."""
    windows: int
    windows_passed: int
    windows_void: int = 0
    reason: str | None
    """Which SLO, or what else, decided against it."""
    due: int = 0
    completed: int = 0
    """How many requests due in its windows got a complete response within the time that the SLOs allow."""
    backlog_per_s: tuple[float, float, float] | None = None
    """The growth of the backlog (due but not ended), requests per second: low, middle and high of the 95 % interval."""
    window_p99_us: list[int] = []
    """The 99th percentile of response time in each window with enough responses, in order."""
    latency: list[LatencyDistribution] = []


class CapacityResult(msgspec.Struct, frozen=True, kw_only=True):
    """How much load the server takes."""

    interval: tuple[float, float | None]
    """The highest confirmed rate (0 if none) and the lowest that failed (None if none did); requests per second."""
    at_least: bool
    """Whether the server takes at least the lower end: the search ended for another reason than the server."""
    limited_by: str | None
    """Why the lowest failed rate failed, such as an SLO; with `at_least`, what ended the search."""
    steps: list[CapacityStepResult]
    """In the order in which they were run."""
    slos: list[str] = []
    scenario: str = ""


class PollingEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a planned polling costs, computed from a few requests."""

    requests: int
    responses: int
    connections: int | None
    """Connections in the last response; None if it was not a list."""
    response_bytes: int
    """The median size of a body."""
    wire_bytes: int
    """The median size of a response with status line and headers, without TCP and IP."""
    time_us: int
    """The median time from before connecting until the last byte was read."""
    longest_us: int
    pollers: int
    interval_s: float
    mbit_per_s: float
    """The bandwidth of all pollers together."""
    open_share: float
    """The share of the interval in which one poller's request is open; above 1 its polls overlap."""
    shortest_interval_s: float
    """The shortest interval in which the polls of all pollers don't overlap if sent one after another."""


class ListingCostPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of a listing of a number of connections."""

    connections: int
    responses: int
    time_us: int
    """The median service time."""
    high_us: int
    """The longest service time."""
    bytes: int
    fit_us: int
    residual: float
    """Measured time divided by the fit, minus 1."""


class ListingCost(msgspec.Struct, frozen=True, kw_only=True):
    """How the cost of GetStatsAllConnections grows with the number of connections."""

    points: list[ListingCostPoint]
    constant_us: float | None
    """The fit's constant part; None if there are too few sizes, or they are too similar."""
    per_connection_us: float | None
    per_connection_bytes: float | None
    linear: bool | None
    statement: str
    """A sentence: the fit, or why there is none, or where it does not hold."""
    scrapers: int = 1
    slo: str | None = None
    shortest_interval_s: float | None = None
    """For these scrapers at the largest size, if served one after another; None if the SLO can't be kept at all."""


class MediaQuantityResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one quantity of the media changed while the server was polled, compared with the quiet before and after."""

    quantity: str
    unit: str
    quiet: float
    """The mean over connections and quiet phases."""
    polled: float
    difference: tuple[float, float] | None
    """The interval of polled minus quiet; None if there were too few phases."""
    result: Literal["effect", "no effect seen", "too little data"]


class MediaResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether polling hurts the media."""

    result: Literal["effect", "no effect seen", "too little data"]
    statement: str
    rate: float
    """Requests per second in the polled phases."""
    phase_s: float
    polled_phases: int
    connections: int
    """Connections that existed from the first phase to the last."""
    confidence: float
    """The confidence of each interval, such that all of them together hold with 95 %."""
    quantities: list[MediaQuantityResult]
