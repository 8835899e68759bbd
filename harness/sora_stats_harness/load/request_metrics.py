"""
Collects counts and times of requests, by target.

Response time is from the scheduled start to the arrival of the response, so that the queue behind a stall counts;
service time is from the sending. Receive delay is from the arrival to our reading, send delay from the schedule to the
sending; both are the generator's, never the server's.

A request without a complete response has no response time. It is counted separately with the time that it waited, so
that a server that lets requests time out does not look fast. A request that our own machine could not send has no time
at all.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from ..api.exchange import ErrorCode, Exchange, Request, Target
from ..judge.measured_results import FailureCount
from .histogram import Histogram, merge_histograms

FAILED_WAIT: Final = "failed wait"
"""How long requests without a complete response waited, from their scheduled start."""

TIME_KINDS: Final = ("response", "service", "receive delay", "send delay", FAILED_WAIT)

REQUEST_COUNTS: Final = ("sent", "judged", "errors", "abandoned")

RECENT_WINDOW_S: Final = 10
"""Over how many of the last seconds abort limits are computed."""

MAX_TIMELINE_INTERVALS: Final = 600
"""The most rows of the timeline; a longer run has rows of two seconds, of four, and so on."""

MIN_RECENT_REQUESTS: Final = 100
"""The least number of requests in that time for a limit to apply."""


class TrafficCounts(msgspec.Struct, kw_only=True):
    """What happened to the requests for one target in a period, by the time of their end."""

    responses: int = 0
    errors: int = 0
    server_errors: int = 0
    """Responses of status 500 and above."""
    bytes: int = 0
    response: Histogram = msgspec.field(default_factory=Histogram)
    """Response times, and how long requests without a complete response waited."""

    def merge(self, other: TrafficCounts) -> None:
        """Add another one."""
        self.add_counts(other)
        self.response.merge(other.response)

    def add_counts(self, other: TrafficCounts) -> None:
        """Add the counts of another one, but not its times."""
        self.responses += other.responses
        self.errors += other.errors
        self.server_errors += other.server_errors
        self.bytes += other.bytes


class TimelineInterval(msgspec.Struct):
    """One second of a run, or several if the timeline has become long."""

    from_s: int
    """The seconds since the beginning of the run."""
    targets: dict[str, TrafficCounts] = {}
    """The counts by operation."""

    def counts_of(self, target: str) -> TrafficCounts:
        """The counts of one target, to be updated."""
        counts = self.targets.get(target)
        if counts is None:
            counts = self.targets[target] = TrafficCounts()
        return counts

    @property
    def together(self) -> TrafficCounts:
        """The counts of all targets together."""
        whole = TrafficCounts()
        for each in self.targets.values():
            whole.merge(each)
        return whole

    def merge(self, other: TimelineInterval) -> None:
        """Add another one."""
        for name, counts in other.targets.items():
            self.counts_of(name).merge(counts)

    def compact(self) -> None:
        """Reduce the memory, until something more is counted."""
        for each in self.targets.values():
            each.response.compact()


class MetricsState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one process counted and timed, as a message."""

    counts: dict[str, int]
    times: dict[str, dict[str, Histogram]]
    """By operation and kind."""
    failures: list[tuple[str, str, int, str]]
    """Target, code, count, and the first one's detail."""
    ready_user_send_delay: Histogram
    turn_delay: Histogram
    judging_wait: Histogram
    server_errors: dict[str, int]
    began_ns: int
    began_at_s: float | None
    traffic: dict[str, TrafficCounts]
    """By operation, without times."""
    step_s: int
    timeline: list[TimelineInterval]
    """Rows of `step_s` seconds; empty if left out."""


class _UsualResponses:
    """
    The complete, timed responses about one target in the current second.

    A response time belongs to several histograms, and so is recorded once here; `settle` adds all to each of these.
    """

    __slots__ = ("_shared", "counts", "ends_ns", "receive_delay", "scheduled", "send_delay", "service", "unscheduled")

    def __init__(self, ends_ns: int, counts: TrafficCounts, kinds: Mapping[str, Histogram]) -> None:
        self.ends_ns = ends_ns
        """When the second is over."""
        self.counts = counts
        self.service, self.send_delay = kinds["service"], kinds["send delay"]
        self.receive_delay = kinds["receive delay"]
        self.scheduled, self.unscheduled = Histogram(), Histogram()
        """Response times by whether there was a schedule; without one they are service times as well."""
        self._shared = (counts.response, kinds["response"])

    def settle(self) -> None:
        """Add the times to the histograms."""
        if self.scheduled.count or self.unscheduled.count:
            for histogram in self._shared:
                histogram.merge(self.scheduled)
                histogram.merge(self.unscheduled)
            self.service.merge(self.unscheduled)
            self.scheduled, self.unscheduled = Histogram(), Histogram()


class RequestMetrics:
    """
    The counts and times of one process.

    `sent` is counted when a request is sent, the others when its exchange is judged; when no request is open, it is
    their sum. Times are of complete responses; a request without one is an error, and only has a failed wait.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.judged: int = 0
        self.errors: int = 0
        self.abandoned: int = 0
        self._times: dict[str, dict[str, Histogram]] = {}
        self._usual: dict[Target | None, _UsualResponses] = {}
        """By target."""
        self.ready_user_send_delay: Histogram = Histogram()
        """
        The send delay of requests for which a user was ready: the generator's own, unlike waiting for a free user.
        """
        self.turn_delay: Histogram = Histogram()
        """How late users of a closed model woke up for their turns."""
        self.judging_wait: Histogram = Histogram()
        """How long users waited for responses to be judged; only of those that had to wait."""
        self.server_errors: Counter[str] = Counter()
        """Timed responses of status 500 and above, by operation."""
        self._failures: dict[tuple[str, str], tuple[int, str]] = {}
        """The number of errors by target and code (or status of 500 and above), with the first one's detail."""
        self.timeline: list[TimelineInterval] = []
        self._recent: deque[TimelineInterval] = deque(maxlen=RECENT_WINDOW_S)
        self._interval_s = 1
        self.taken_s: int = 0
        """All seconds before this one were taken."""
        self.started_ns: int = 0
        self.began_at_s: float | None = None
        """When the run began, by the monotonic clock and by the wall clock; None before."""
        self._timed_from_ns = 0
        self._ended_seconds: dict[str, TrafficCounts] = {}
        """The counts by operation for all completed seconds, without times."""

    def start(self, now_ns: int, warm_up_ns: int = 0) -> None:
        """Begin the run now; requests before the end of the warm-up are counted and judged, but not timed."""
        self._append_to_timeline()
        self._times.clear()
        self.server_errors.clear()
        self.timeline.clear()
        self._recent.clear()
        self.taken_s = 0
        self.started_ns = now_ns
        self.began_at_s = time.time() + (now_ns - time.monotonic_ns()) / 1e9
        self._timed_from_ns = now_ns + warm_up_ns

    def record(self, exchange: Exchange) -> None:
        """Count an exchange that has ended."""
        response, sent_ns, received_ns = exchange.response, exchange.sent_ns, exchange.received_ns
        if exchange.error is not None or response is None:
            self._record_failure(exchange)
            return
        is_timed = sent_ns >= self._timed_from_ns
        usual = self._usual.get(exchange.request.target) if is_timed else None
        if is_timed and (usual is None or received_ns >= usual.ends_ns):
            usual = self._begin_second(exchange)
        counts = (
            self._second_of(exchange).counts_of(operation_name(exchange.request)) if usual is None else usual.counts
        )
        self.judged += 1
        counts.responses += 1
        counts.bytes += len(response.body)
        if response.status >= 500:
            self._add_server_error(exchange, counts, response.status, is_timed=is_timed)
        arrived_ns, intended_ns = exchange.arrived_ns, exchange.intended_ns
        if usual is None:
            waited_from_ns = sent_ns if intended_ns is None else intended_ns
            counts.response.record((received_ns if arrived_ns is None else arrived_ns) - waited_from_ns)
            return
        if arrived_ns is None:
            arrived_ns = received_ns
        else:
            usual.receive_delay.record(received_ns - arrived_ns)
        if intended_ns is None:
            usual.unscheduled.record(arrived_ns - sent_ns)
        else:
            usual.scheduled.record(arrived_ns - intended_ns)
            usual.service.record(arrived_ns - sent_ns)
            usual.send_delay.record(sent_ns - intended_ns)

    def _record_failure(self, exchange: Exchange) -> None:
        """Count an exchange without a complete response."""
        error, name = exchange.error, operation_name(exchange.request)
        if error is not None and error.code is ErrorCode.ABANDONED:
            self.abandoned += 1
            return
        counts = self._second_of(exchange).counts_of(name)
        self.errors += 1
        counts.errors += 1
        if error is not None:
            self._add_failures(name, error.code.value, 1, error.detail)
            if error.code is ErrorCode.LOCAL:
                return  # it did not wait for a server
        waited_ns = exchange.received_ns - (exchange.sent_ns if exchange.intended_ns is None else exchange.intended_ns)
        counts.response.record(waited_ns)
        if exchange.sent_ns >= self._timed_from_ns:
            self._times_of(name)[FAILED_WAIT].record(waited_ns)

    def _add_server_error(self, exchange: Exchange, counts: TrafficCounts, status: int, *, is_timed: bool) -> None:
        name = operation_name(exchange.request)
        counts.server_errors += 1
        self._add_failures(name, f"status {status}", 1, "a complete response")
        if is_timed:
            self.server_errors[name] += 1

    def _second_of(self, exchange: Exchange) -> TimelineInterval:
        """The second in which an exchange ended; exchanges come in order of receipt."""
        at_s, recent = max(0, exchange.received_ns - self.started_ns) // 1_000_000_000, self._recent
        if not recent or recent[-1].from_s < at_s:
            self._append_to_timeline()
            recent.append(TimelineInterval(at_s))
        return recent[-1]

    def _begin_second(self, exchange: Exchange) -> _UsualResponses:
        second, name = self._second_of(exchange), operation_name(exchange.request)
        ends_ns = self.started_ns + (second.from_s + 1) * 1_000_000_000
        usual = _UsualResponses(ends_ns, second.counts_of(name), self._times_of(name))
        self._usual[exchange.request.target] = usual
        return usual

    @property
    def times(self) -> dict[str, dict[str, Histogram]]:
        """The times by operation and kind."""
        self._settle()
        return self._times

    def _settle(self) -> None:
        """Bring all histograms up to date."""
        for each in self._usual.values():
            each.settle()

    def _times_of(self, name: str) -> dict[str, Histogram]:
        kinds = self._times.get(name)
        if kinds is None:
            kinds = self._times[name] = {kind: Histogram() for kind in TIME_KINDS}
        return kinds

    def _add_failures(self, target: str, code: str, count: int, detail: str) -> None:
        before, first = self._failures.get((target, code), (0, detail))
        self._failures[target, code] = before + count, first

    def failure_counts(self) -> list[FailureCount]:
        """The errors and responses of status 500 and above, by target and code, the most frequent first."""
        rows = [_failure_row(*key, *value) for key, value in self._failures.items()]
        return sorted(rows, key=lambda row: (-row.count, row.target, row.code))

    def _append_to_timeline(self) -> None:
        """Append the completed second to the timeline, and halve that when it has become long."""
        self._settle()
        self._usual.clear()
        if not self._recent:
            return
        over = self._recent[-1]
        for name, counts in over.targets.items():
            self._ended_seconds.setdefault(name, TrafficCounts()).add_counts(counts)
        if not self.timeline or over.from_s // self._interval_s > self.timeline[-1].from_s // self._interval_s:
            if self.timeline:
                self.timeline[-1].compact()
            self.timeline.append(TimelineInterval(over.from_s // self._interval_s * self._interval_s))
        self.timeline[-1].merge(over)
        if len(self.timeline) > MAX_TIMELINE_INTERVALS:
            self._interval_s *= 2
            self.timeline = coarsen_timeline(self.timeline, self._interval_s)
            for each in self.timeline[:-1]:
                each.compact()

    def traffic_by_target(self) -> dict[str, TrafficCounts]:
        """
        The counts of all requests by operation, including those before the start and in the warm-up; without times.
        """
        whole: dict[str, TrafficCounts] = {}
        for name, counts in (*self._ended_seconds.items(), *(self._recent[-1].targets.items() if self._recent else ())):
            whole.setdefault(name, TrafficCounts()).add_counts(counts)
        return whole

    def counts(self) -> dict[str, int]:
        """The counts; `sent` is the sum of the others when no request is open."""
        return {name: getattr(self, name) for name in REQUEST_COUNTS}

    def intervals(self) -> list[TimelineInterval]:
        """The whole timeline, including the current second."""
        self._settle()
        return [*self.timeline, *list(self._recent)[-1:]]

    def take_seconds(self, *, is_over: bool = False) -> list[TimelineInterval]:
        """The completed seconds that were not taken before, of the last ten; also the current one if the run is over."""
        self._settle()
        ended = list(self._recent) if is_over else list(self._recent)[:-1]
        taken = [each for each in ended if each.from_s >= self.taken_s]
        if taken:
            self.taken_s = taken[-1].from_s + 1
        return taken

    def state(self, *, timeline: bool = True) -> MetricsState:
        """The counts and times so far, and optionally the timeline; it changes with this object."""
        return MetricsState(
            counts=self.counts(),
            times=self.times,
            failures=[(*key, *value) for key, value in self._failures.items()],
            ready_user_send_delay=self.ready_user_send_delay,
            turn_delay=self.turn_delay,
            judging_wait=self.judging_wait,
            server_errors=self.server_errors,
            began_ns=self.started_ns,
            began_at_s=self.began_at_s,
            traffic=self.traffic_by_target(),
            step_s=self._interval_s,
            timeline=self.intervals() if timeline else [],
        )

    def add(self, state: MetricsState, *, same_clock: bool = True) -> None:
        """
        Add what another process counted.

        Args:
            same_clock: Whether both have the same clock; otherwise they are assumed to have begun together.
        """
        for name in REQUEST_COUNTS:
            setattr(self, name, getattr(self, name) + state.counts[name])
        for name, kinds in state.times.items():
            mine = self._times_of(name)
            for kind in TIME_KINDS:
                mine[kind].merge(kinds[kind])
        for failure in state.failures:
            self._add_failures(*failure)
        self.ready_user_send_delay.merge(state.ready_user_send_delay)
        self.turn_delay.merge(state.turn_delay)
        self.judging_wait.merge(state.judging_wait)
        self.server_errors.update(state.server_errors)
        for name, counts in state.traffic.items():
            self._ended_seconds.setdefault(name, TrafficCounts()).add_counts(counts)
        if not self.started_ns:
            self.started_ns, self.began_at_s = state.began_ns, state.began_at_s
        later_s = round((state.began_ns - self.started_ns) / 1e9) if same_clock else 0
        theirs = [TimelineInterval(max(0, each.from_s + later_s), each.targets) for each in state.timeline]
        self._interval_s = max(self._interval_s, state.step_s)
        self.timeline = coarsen_timeline(
            sorted([*self.timeline, *theirs], key=lambda each: each.from_s), self._interval_s
        )

    def add_interval(self, second: TimelineInterval) -> None:
        """Add a second of another process, for abort limits."""
        for mine in self._recent:
            if mine.from_s == second.from_s:
                mine.merge(second)
                return
        if not self._recent or self._recent[-1].from_s < second.from_s:
            self._recent.append(second)

    def all_operations(self, kind: str) -> Histogram:
        """One kind of time over all targets."""
        return merge_histograms(kinds[kind] for kinds in self.times.values())

    def recent_error_share(self) -> float | None:
        """The share of failed requests in the last ten seconds: errors, or a status of 500 and above."""
        window = [counts for each in self._recent_intervals() for counts in each.targets.values()]
        responses, errors = sum(each.responses for each in window), sum(each.errors for each in window)
        failing = sum(each.server_errors for each in window)
        return (errors + failing) / (responses + errors) if responses + errors >= MIN_RECENT_REQUESTS else None

    def recent_percentile_exceeds(self, percent: float, limit_us: int) -> bool:
        """
        Whether a percentile over the last ten seconds exceeds a limit; False for too few requests.

        Requests without a complete response count with the time that they waited.
        """
        window = [counts for each in self._recent_intervals() for counts in each.targets.values()]
        if all(each.response.max_us <= limit_us for each in window):
            return False
        times = merge_histograms(each.response for each in window)
        return times.count >= MIN_RECENT_REQUESTS and (times.percentile(percent) or 0) > limit_us

    def _recent_intervals(self) -> list[TimelineInterval]:
        if not self._recent:
            return []
        self._settle()
        last_s = self._recent[-1].from_s
        return [each for each in self._recent if each.from_s > last_s - RECENT_WINDOW_S]

    def coarse_timeline(self, at_most: int) -> tuple[int, list[TimelineInterval]]:
        """The timeline in at most this many rows, and the seconds of each row."""
        step_s = self._interval_s
        whole = coarsen_timeline(self.intervals(), step_s)
        while len(whole) > at_most:
            step_s *= 2
            whole = coarsen_timeline(whole, step_s)
        return step_s, whole


def _failure_row(target: str, code: str, count: int, detail: str) -> FailureCount:
    whose: Literal["server", "generator"] = "generator" if code == ErrorCode.LOCAL.value else "server"
    return FailureCount(target=target, code=code, count=count, whose=whose, detail=detail)


def operation_name(request: Request) -> str:
    """The name under which a request is counted."""
    return request.target.operation if request.target is not None else "probe"


def coarsen_timeline(seconds: Sequence[TimelineInterval], step_s: int) -> list[TimelineInterval]:
    """Merge seconds into rows of `step_s` seconds."""
    rows: list[TimelineInterval] = []
    for each in seconds:
        from_s = each.from_s // step_s * step_s
        if not rows or rows[-1].from_s != from_s:
            rows.append(TimelineInterval(from_s))
        rows[-1].merge(each)
    return rows
