"""
What a run measured, apart by target: how often, how long, and whose time it was.

Response time is from when the schedule wanted the request sent to the arrival of its answer, so that a server that stalls
is not forgiven its queue; service time from when it was sent. What lies between arrival and our reading is the
generator's delay, what lies between schedule and sending its lateness: both are ours, and never the server's.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ..exchange import ErrorCode, Exchange
from ..verdict import Section
from .histogram import Histogram, merged

TIMES: Final = ("response", "service", "generator delay", "lateness")

SHOWN: Final = (50.0, 90.0, 99.0, 99.9, 99.99)

WINDOW_S: Final = 10
"""Over how many of the last seconds a limit is held against errors and latency."""

LEAST: Final = 100
"""Answers in the window before it says anything."""


class Second:
    """One second of a run."""

    __slots__ = ("answers", "errors", "response", "second")

    def __init__(self, second: int) -> None:
        self.second = second
        self.answers = 0
        self.errors = 0
        self.response = Histogram()


class Metrics:
    """
    Counts and times of one process.

    Args:
        begins_ns: Exchanges sent before this are warm-up: they are counted and judged, but not timed.
    """

    def __init__(self, begins_ns: int = 0) -> None:
        self.begins_ns = begins_ns
        self.sent = self.judged = self.errors = self.abandoned = 0
        """`sent` is always the sum of the three others."""
        self.times: dict[str, dict[str, Histogram]] = {}
        """By target, then by kind of time."""
        self.recent: deque[Second] = deque(maxlen=WINDOW_S)

    def add(self, name: str, exchange: Exchange) -> None:
        """Count an exchange that has ended."""
        self.sent += 1
        error = exchange.error
        second = self._second(exchange.received_ns // 1_000_000_000)
        if error is not None:
            if error.code is ErrorCode.ABANDONED:
                self.abandoned += 1
            else:
                self.errors += 1
                second.errors += 1
            return
        self.judged += 1
        second.answers += 1
        intended_ns = exchange.sent_ns if exchange.intended_ns is None else exchange.intended_ns
        arrived_ns = exchange.received_ns if exchange.arrived_ns is None else exchange.arrived_ns
        second.response.record(arrived_ns - intended_ns)
        if exchange.sent_ns < self.begins_ns:
            return
        kinds = self.times.get(name)
        if kinds is None:
            kinds = self.times[name] = {kind: Histogram() for kind in TIMES}
        kinds["response"].record(arrived_ns - intended_ns)
        kinds["service"].record(arrived_ns - exchange.sent_ns)
        kinds["lateness"].record(exchange.sent_ns - intended_ns)
        if exchange.arrived_ns is not None:
            kinds["generator delay"].record(exchange.received_ns - arrived_ns)

    def _second(self, second: int) -> Second:
        if not self.recent or self.recent[-1].second != second:
            self.recent.append(Second(second))
        return self.recent[-1]

    def whole(self, kind: str) -> Histogram:
        """One kind of time over all targets."""
        return merged(kinds[kind] for kinds in self.times.values())

    def recent_errors(self) -> float | None:
        """The share of requests that failed in the last ten seconds; None of too few."""
        answers, errors = sum(each.answers for each in self.recent), sum(each.errors for each in self.recent)
        return errors / (answers + errors) if answers + errors >= LEAST else None

    def recent_p99_us(self) -> int | None:
        """The 99th percentile of response time in the last ten seconds; None of too few."""
        times = merged(each.response for each in self.recent)
        return times.percentile(99) if times.count >= LEAST else None

    def section(self) -> Section:
        """The latency table of the reports."""
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


def _ms(us: int | None) -> float | None:
    return None if us is None else us / 1000
