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

from ..exchange import ErrorCode, Exchange
from ..verdict import Section
from .histogram import Histogram, merged

TIMES: Final = ("response", "service", "generator delay", "lateness")

COUNTS: Final = ("sent", "judged", "errors", "abandoned")

SHOWN: Final = (50.0, 90.0, 99.0, 99.9, 99.99)

WINDOW_S: Final = 10
"""Over how many of the last seconds a limit is held against errors and latency."""

MAX_SECONDS: Final = 600
"""Of the timeline; a longer run has rows of two seconds, of four, and so on."""

SHOWN_SECONDS: Final = 60

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

    def merge(self, other: Second) -> None:
        """Take in a later one."""
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
        self.timeline: list[Second] = []
        self._recent: deque[Second] = deque(maxlen=WINDOW_S)
        self._step_s = 1
        self._began_ns = 0
        self._timed_from_ns = 0

    def begin(self, now_ns: int, warm_up_ns: int = 0) -> None:
        """The run begins now; what is sent before the warm-up is over is counted and judged, but not timed."""
        self._began_ns = now_ns
        self._timed_from_ns = now_ns + warm_up_ns

    def add(self, exchange: Exchange) -> None:
        """Count an exchange that has ended."""
        error = exchange.error
        if error is not None and error.code is ErrorCode.ABANDONED:
            self.abandoned += 1
            return
        second = self._second(max(0, exchange.received_ns - self._began_ns) // 1_000_000_000)
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
        arrived_ns = exchange.received_ns if exchange.arrived_ns is None else exchange.arrived_ns
        second.response.record(arrived_ns - intended_ns)
        if sent_ns < self._timed_from_ns:
            return
        target = exchange.request.target
        name = target.operation if target is not None else "probe"
        kinds = self.times.get(name)
        if kinds is None:
            kinds = self.times[name] = {kind: Histogram() for kind in TIMES}
        kinds["response"].record(arrived_ns - intended_ns)
        kinds["service"].record(arrived_ns - sent_ns)
        if exchange.intended_ns is not None:
            kinds["lateness"].record(sent_ns - intended_ns)
        if exchange.arrived_ns is not None:
            kinds["generator delay"].record(exchange.received_ns - arrived_ns)

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
            self.timeline.append(Second(over.from_s // self._step_s * self._step_s))
        self.timeline[-1].merge(over)
        if len(self.timeline) > MAX_SECONDS:
            self._step_s *= 2
            self.timeline = coarser(self.timeline, self._step_s)

    def dump(self) -> dict[str, Any]:  # Any: plain values, for a message
        """Counts and times, without the timeline."""
        return {name: getattr(self, name) for name in COUNTS} | {
            "times": {name: {kind: each.dump() for kind, each in kinds.items()} for name, kinds in self.times.items()}
        }

    def add_dump(self, state: Mapping[str, Any]) -> None:  # Any: as above
        """
        Add what another process counted.

        Raises:
            KeyError, TypeError, ValueError: It is no such state.
        """
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + int(state[name]))
        for name, kinds in state["times"].items():
            mine = self.times.setdefault(name, {kind: Histogram() for kind in TIMES})
            for kind in TIMES:
                mine[kind].merge(Histogram.load(kinds[kind]))

    def whole(self, kind: str) -> Histogram:
        """One kind of time over all targets."""
        return merged(kinds[kind] for kinds in self.times.values())

    def recent_errors(self) -> float | None:
        """The share of requests in the last ten seconds that failed, by error or by a status of 500 and above."""
        window = self._window()
        answers, errors = sum(each.answers for each in window), sum(each.errors for each in window)
        failing = sum(each.failing for each in window)
        return (errors + failing) / (answers + errors) if answers + errors >= LEAST else None

    def recent_p99_us(self) -> int | None:
        """The 99th percentile of response time in the last ten seconds; None of too few."""
        times = merged(each.response for each in self._window())
        return times.percentile(99) if times.count >= LEAST else None

    def _window(self) -> list[Second]:
        if not self._recent:
            return []
        last_s = self._recent[-1].from_s
        return [each for each in self._recent if each.from_s > last_s - WINDOW_S]

    def section(self) -> Section:
        """The latencies, by target and kind of time."""
        rows: list[list[str | int | float | None]] = []
        for name in sorted(self.times):
            for kind in TIMES:
                times = self.times[name][kind]
                if times.count:
                    shown = [_ms(times.percentile(percent)) for percent in SHOWN]
                    rows.append([name, kind, times.count, *shown, _ms(times.max_us)])
        columns = ["target", "time", "count", *(f"p{percent:g} ms" for percent in SHOWN), "max ms"]
        note = (
            "Response time counts from the schedule, service time from sending; generator delay and lateness are our own. "
            "Percentiles are at most 1/128 too high."
        )
        return Section(title="Latency", columns=columns, rows=rows, note=note)

    def counts_section(self) -> Section:
        """How many; sent is the sum of the others."""
        return Section(title="Traffic", columns=list(COUNTS), rows=[[getattr(self, name) for name in COUNTS]])

    def timeline_section(self) -> Section:
        """The run by second, in at most sixty rows."""
        step_s = self._step_s
        whole = coarser([*self.timeline, *list(self._recent)[-1:]], step_s)
        while len(whole) > SHOWN_SECONDS:
            step_s *= 2
            whole = coarser(whole, step_s)
        rows: list[list[str | int | float | None]] = [
            [
                each.from_s, each.answers, each.errors, each.bytes,
                *(_ms(each.response.percentile(percent)) for percent in (50, 99)), _ms(each.response.max_us),
            ]
            for each in whole
        ]  # fmt: skip
        columns = ["from s", "answers", "errors", "body bytes", "p50 ms", "p99 ms", "max ms"]
        note = f"Each row is {step_s} s, by arrival; response times, warm-up included."
        return Section(title="Timeline", columns=columns, rows=rows, note=note)


def coarser(seconds: Sequence[Second], step_s: int) -> list[Second]:
    """The same in rows of so many seconds."""
    rows: list[Second] = []
    for each in seconds:
        from_s = each.from_s // step_s * step_s
        if not rows or rows[-1].from_s != from_s:
            rows.append(Second(from_s))
        rows[-1].merge(each)
    return rows


def _ms(us: int | None) -> float | None:
    return None if us is None else us / 1000
