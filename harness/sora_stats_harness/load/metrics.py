"""
What a run measured, apart by target: how often, how long, and whose time it was.

Response time is from when the schedule wanted the request sent to the arrival of its answer, so that a server that stalls
is not forgiven its queue; service time from when it was sent. What lies between arrival and our reading is the
generator's delay, what lies between schedule and sending its lateness: both are ours, and never the server's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..api.exchange import ErrorCode, Exchange
from .histogram import Histogram, merged

TIMES: Final = ("response", "service", "generator delay", "lateness")

COUNTS: Final = ("sent", "judged", "errors", "abandoned")

WINDOW_S: Final = 10
"""Over how many of the last seconds a limit is held against errors and latency."""

MAX_SECONDS: Final = 600
"""Of the timeline; a longer run has rows of two seconds, of four, and so on."""

LEAST: Final = 100
"""Answers in the window before it says anything."""


class Second:
    """One second of a run, or several once the timeline has grown long."""

    __slots__ = ("answers", "bytes", "errors", "failing", "from_s", "response")

    def __init__(self, from_s: int) -> None:
        self.from_s = from_s
        """Since the beginning of the run."""
        self.answers = 0
        self.errors = 0
        self.failing = 0
        """Answers of status 500 and above."""
        self.bytes = 0
        self.response = Histogram()

    def dump(self) -> list[Any]:  # Any: plain values
        """The state as plain values, for a message."""
        return [self.from_s, self.answers, self.errors, self.failing, self.bytes, self.response.dump()]

    @classmethod
    def load(cls, state: Sequence[Any], *, later_s: int = 0) -> Second:  # Any: as above
        """
        The second whose state was dumped, by a process that began so much later.

        Raises:
            KeyError, TypeError, ValueError: It is no such state.
        """
        from_s, answers, errors, failing, size, response = state
        made = cls(max(0, int(from_s) + later_s))
        made.answers, made.errors, made.failing, made.bytes = int(answers), int(errors), int(failing), int(size)
        made.response = Histogram.load(response)
        return made

    def merge(self, other: Second) -> None:
        """Take in another one."""
        self.answers += other.answers
        self.errors += other.errors
        self.failing += other.failing
        self.bytes += other.bytes
        self.response.merge(other.response)


class Metrics:
    """
    Counts and times of one process.

    `sent` is counted when a request is sent, the others when its exchange is judged: as soon as nothing is in flight it
    is their sum. Times are those of whole answers; a request without one is an error, and has no time.
    """

    def __init__(self) -> None:
        self.sent = self.judged = self.errors = self.abandoned = 0
        self.times: dict[str, dict[str, Histogram]] = {}
        """By operation, then by kind of time."""
        self.overslept = Histogram()
        """Lateness of those that had a user waiting for them: the generator's own, as that of a full house is not."""
        self.timeline: list[Second] = []
        self._recent: deque[Second] = deque(maxlen=WINDOW_S)
        self._step_s = 1
        self._began_ns = 0
        self._timed_from_ns = 0

    def begin(self, now_ns: int, warm_up_ns: int = 0) -> None:
        """
        The run begins now; what was sent before, or is before the warm-up is over, is counted and judged, but not timed.
        """
        self.times.clear()
        self.timeline.clear()
        self._recent.clear()
        self._began_ns = now_ns
        self._timed_from_ns = now_ns + warm_up_ns

    def add(self, exchange: Exchange) -> None:
        """Count an exchange that has ended."""
        error = exchange.error
        if error is not None and error.code is ErrorCode.ABANDONED:
            self.abandoned += 1
            return
        received_ns = exchange.received_ns
        at_s = max(0, received_ns - self._began_ns) // 1_000_000_000
        recent = self._recent
        second = recent[-1] if recent and recent[-1].from_s >= at_s else self._second(at_s)
        answer = exchange.answer
        if error is not None or answer is None:
            self.errors += 1
            second.errors += 1
            return
        self.judged += 1
        second.answers += 1
        second.failing += answer.status >= 500
        second.bytes += len(answer.body)
        sent_ns = exchange.sent_ns
        intended_ns = sent_ns if exchange.intended_ns is None else exchange.intended_ns
        arrived_ns = received_ns if exchange.arrived_ns is None else exchange.arrived_ns
        response_ns = arrived_ns - intended_ns
        second.response.record(response_ns)
        if sent_ns < self._timed_from_ns:
            return
        target = exchange.request.target
        name = target.operation if target is not None else "probe"
        kinds = self.times.get(name)
        if kinds is None:
            kinds = self.times[name] = {kind: Histogram() for kind in TIMES}
        kinds["response"].record(response_ns)
        if exchange.intended_ns is None:
            kinds["service"].record(response_ns)
        else:
            kinds["service"].record(arrived_ns - sent_ns)
            kinds["lateness"].record(sent_ns - intended_ns)
        if exchange.arrived_ns is not None:
            kinds["generator delay"].record(received_ns - arrived_ns)

    def _second(self, at_s: int) -> Second:
        """The second that is under way; exchanges come in order of receipt."""
        if not self._recent or self._recent[-1].from_s < at_s:
            self._keep()
            self._recent.append(Second(at_s))
        return self._recent[-1]

    def _keep(self) -> None:
        """Put the second that is over into the timeline, and halve that when it has grown long."""
        if not self._recent:
            return
        over = self._recent[-1]
        if not self.timeline or over.from_s // self._step_s > self.timeline[-1].from_s // self._step_s:
            if self.timeline:
                self.timeline[-1].response.pack()
            self.timeline.append(Second(over.from_s // self._step_s * self._step_s))
        self.timeline[-1].merge(over)
        if len(self.timeline) > MAX_SECONDS:
            self._step_s *= 2
            self.timeline = coarser(self.timeline, self._step_s)
            for each in self.timeline[:-1]:
                each.response.pack()

    @property
    def began_ns(self) -> int:
        """When the run began, by the monotonic clock."""
        return self._began_ns

    def counts(self) -> dict[str, int]:
        """How many; sent is the sum of the others once nothing is in flight."""
        return {name: getattr(self, name) for name in COUNTS}

    def seconds(self) -> list[Second]:
        """The whole timeline, with the second that is under way."""
        return [*self.timeline, *list(self._recent)[-1:]]

    def seconds_since(self, from_s: int) -> list[Second]:
        """Of the last ten seconds those that are over, from one on."""
        return [each for each in list(self._recent)[:-1] if each.from_s >= from_s]

    def dump(self) -> dict[str, Any]:  # Any: plain values, for a message
        """Counts, times and timeline."""
        return self.counts() | {
            "times": {name: {kind: each.dump() for kind, each in kinds.items()} for name, kinds in self.times.items()},
            "overslept": self.overslept.dump(),
            "began_ns": self._began_ns,
            "step_s": self._step_s,
            "timeline": [each.dump() for each in self.seconds()],
        }

    def add_dump(self, state: Mapping[str, Any], *, same_clock: bool = True) -> None:  # Any: as above
        """
        Add what another process counted.

        Args:
            state: What `dump` gave there.
            same_clock: Whether it can be told which of the two began first; else they count as having begun together.

        Raises:
            KeyError, TypeError, ValueError: It is no such state.
        """
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + int(state[name]))
        for name, kinds in state["times"].items():
            mine = self.times.setdefault(name, {kind: Histogram() for kind in TIMES})
            for kind in TIMES:
                mine[kind].merge(Histogram.load(kinds[kind]))
        self.overslept.merge(Histogram.load(state["overslept"]))
        if not self._began_ns:
            self._began_ns = int(state["began_ns"])
        later_s = round((int(state["began_ns"]) - self._began_ns) / 1e9) if same_clock else 0
        theirs = [Second.load(each, later_s=later_s) for each in state["timeline"]]
        self._step_s = max(self._step_s, int(state["step_s"]))
        self.timeline = coarser(sorted([*self.timeline, *theirs], key=lambda each: each.from_s), self._step_s)

    def add_second(self, second: Second) -> None:
        """Add a second of another process to those by which limits are judged."""
        for mine in self._recent:
            if mine.from_s == second.from_s:
                mine.merge(second)
                return
        if not self._recent or self._recent[-1].from_s < second.from_s:
            self._recent.append(second)

    def whole(self, kind: str) -> Histogram:
        """One kind of time over all targets."""
        return merged(kinds[kind] for kinds in self.times.values())

    def recent_errors(self) -> float | None:
        """The share of requests in the last ten seconds that failed, by error or by a status of 500 and above."""
        window = self._window()
        answers, errors = sum(each.answers for each in window), sum(each.errors for each in window)
        failing = sum(each.failing for each in window)
        return (errors + failing) / (answers + errors) if answers + errors >= LEAST else None

    def recent_p99_exceeds(self, limit_us: int) -> bool:
        """Whether the 99th percentile of response time in the last ten seconds is larger; never of too few answers."""
        window = self._window()
        if all(each.response.max_us <= limit_us for each in window):
            return False
        times = merged(each.response for each in window)
        return times.count >= LEAST and (times.percentile(99) or 0) > limit_us

    def _window(self) -> list[Second]:
        if not self._recent:
            return []
        last_s = self._recent[-1].from_s
        return [each for each in self._recent if each.from_s > last_s - WINDOW_S]

    def rows(self, at_most: int) -> tuple[int, list[Second]]:
        """The timeline in at most so many rows, and how many seconds each has."""
        step_s = self._step_s
        whole = coarser(self.seconds(), step_s)
        while len(whole) > at_most:
            step_s *= 2
            whole = coarser(whole, step_s)
        return step_s, whole


def coarser(seconds: Sequence[Second], step_s: int) -> list[Second]:
    """The same in rows of so many seconds."""
    rows: list[Second] = []
    for each in seconds:
        from_s = each.from_s // step_s * step_s
        if not rows or rows[-1].from_s != from_s:
            rows.append(Second(from_s))
        rows[-1].merge(each)
    return rows
