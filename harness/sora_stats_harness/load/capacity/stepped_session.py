"""
A session whose rate can be set while its users run.

A capacity search decides on the next rate by what it has just seen, and judges each window by the requests that were
due in it, whenever their responses come. So users take their turns from a step, which begins and ends while they wait.
There are as many users as there may be requests in flight, but only a few hold a turn at a time, the last used first:
otherwise a thousand users would mean a thousand connections at any rate.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.hub import Waiter

from ...api.exchange import ErrorCode, Exchange
from ...judge.requirements import Finding, Level
from ...reports.pass_policy import Tolerance
from ..histogram import Histogram
from ..http_connection import HttpConnection
from ..load_session import LoadSession
from ..precise_timer import PreciseTimer
from ..prepared_request import PreparedRequest
from ..request_metrics import operation_name

MAX_READY_USERS: Final = 16
"""How many users hold a turn and wait for it."""

CONGESTED_IN_FLIGHT: Final = 2 * MAX_READY_USERS
"""
With this many requests in flight or more, no user is woken while responses are read late, since more requests would
make the generator slower. Measured beside a busy loop: 4,400 a second with 64 requests in flight, 2,400 with 512.
"""

CONGESTED_RECEIVE_DELAY_NS: Final = 5_000_000

RECENT_READ_NS: Final = 100_000_000
"""A response that was read longer ago says nothing about the present: the server may have stopped responding."""

SETTLING_TIME_S: Final = 0.5
"""The time at a new rate before its first window, to make connections and let the server's queue settle."""

IN_FLIGHT_MARGIN: Final = 1.2
"""The limit of requests in flight, relative to the number if each takes as long as the longest SLO."""

START_LEAD_NS: Final = 20_000_000
"""The time between setting a rate and its first request."""


class WindowCounts:
    """What happened to the requests that were due in one window, and how late responses were read."""

    def __init__(self) -> None:
        self.times: defaultdict[str, _OperationTimes] = defaultdict(_OperationTimes)
        self.ended = 0
        self.errors: Counter[str] = Counter()
        self.server_errors: Counter[str] = Counter()
        self.unfinished: Counter[str] = Counter()
        self.send_delay: Histogram = Histogram()
        self.receive_delay: Histogram = Histogram()
        """For requests due in the window or read in it, since during congestion nothing of what is due may be read."""
        self.users_exhausted = False


class _OperationTimes:
    """The times of one operation; kept minimal, since this runs for every response."""

    __slots__ = ("response", "service")

    def __init__(self) -> None:
        self.response = Histogram()
        self.service = Histogram()


class ActiveStep:
    """One step at one rate: its turns, and the responses so far."""

    def __init__(self, rate: float, begins_ns: int, most: int) -> None:
        self.rate = rate
        self.max_in_flight = most
        """The limit of requests in flight."""
        self.begins_ns = begins_ns
        self.is_over = False
        self.next_number: int = 0
        self.ended = 0
        self.window_edges_ns: list[int] = [begins_ns + int(SETTLING_TIME_S * 1e9)]
        """The beginnings of the windows, and the end of the last one."""
        self.window_counts: defaultdict[int, WindowCounts] = defaultdict(WindowCounts)
        self.findings: list[str] = []

    def take_turn(self) -> int:
        """Take the next turn; returns when it is due."""
        self.next_number += 1
        return self.due_ns(self.next_number - 1)

    def due_ns(self, number: int) -> int:
        """When a request is due, by its number."""
        return self.begins_ns + round(number * 1e9 / self.rate)

    def requests_due(self, now_ns: int) -> int:
        """How many requests were due."""
        return max(0, int((now_ns - self.begins_ns) * self.rate / 1e9) + 1)

    def counts_for(self, due_ns: int) -> WindowCounts:
        """The counts of the window in which a request was due; the first ones are for the time before any window."""
        place = len(self.window_edges_ns)
        while place > 0 and due_ns < self.window_edges_ns[place - 1]:
            place -= 1
        return self.window_counts[place]


class SteppedSession(LoadSession):
    """A session whose rate can be set while it runs; its spec's users are the most requests in flight."""

    def __init__(
        self, *given: Any, tolerance: Tolerance | None = None, **named: Any
    ) -> None:  # Any: as LoadSession takes them
        super().__init__(*given, **named)
        self._tolerance = Tolerance() if tolerance is None else tolerance
        self._decisive: set[str] = set()
        """Requirements whose violation by the current response fails the step."""
        self.step: ActiveStep | None = None
        """The step from which turns are taken."""
        self._counted_step: ActiveStep | None = None
        """The step of the responses that come; stays until the next one begins."""
        self._ready_users = 0
        self._last_read_ns = self._recent_receive_delay_ns = 0
        """When the last response was read, and how late the most recent ones were read at most."""
        self._idle_users: list[Any] = []  # Any: gevent's Waiter, which has no types
        self.on_judged: Callable[[Exchange, str | None], None] | None = self._record_exchange

    @property
    def ready_users(self) -> int:
        """How many users are idle."""
        return len(self._idle_users)

    def start_step(self, rate: float, patience_s: float, begins_ns: int | None = None) -> ActiveStep:
        """
        Schedule requests at a rate, from now on or from a given time; `patience_s` bounds how many may be in flight.
        """
        most = min(self.spec.users, int(rate * patience_s * IN_FLIGHT_MARGIN) + 2 * MAX_READY_USERS)
        step = self.step = self._counted_step = ActiveStep(rate, begins_ns or time.monotonic_ns() + START_LEAD_NS, most)
        self.metrics.start(step.begins_ns)  # the step before has ended, and its times were reported
        self._wake_users(MAX_READY_USERS)
        return step

    def stop_step(self) -> None:
        """Schedule no more requests."""
        if self.step is not None:
            self.step.is_over = True
            self.step = None

    def drain(self) -> None:
        """As `LoadSession.drain`; also wakes idle users."""
        super().drain()
        self.stop_step()
        self._wake_users(len(self._idle_users))

    def wait_for_turn(self, timer: PreciseTimer, turn_ns: int) -> int | None:
        """Take the next turn, as soon as there is one."""
        while not self.draining:
            step = self.step
            if step is None or self._ready_users >= MAX_READY_USERS or self._in_flight_or_ready >= step.max_in_flight:
                mine = Waiter()
                self._idle_users.append(mine)
                mine.get()
                continue
            due_ns = step.take_turn()
            early = time.monotonic_ns() <= due_ns
            others = bool(self._idle_users) and self._in_flight_or_ready + 1 < step.max_in_flight
            if early:
                self._ready_users += 1
                try:
                    timer.wait_until(due_ns, lambda step=step: step.is_over or self.draining)  # type: ignore[misc]  # the loop's
                finally:
                    self._ready_users -= 1
                if step.is_over:
                    continue
            counted = step.counts_for(due_ns)
            if early or others:  # a user was ready for it, so a delay is the generator's own
                counted.send_delay.record(time.monotonic_ns() - due_ns)
            else:
                counted.users_exhausted = True
            if not self._is_congested():
                self._wake_users(1)
            return due_ns
        return None

    def _is_congested(self) -> bool:
        """Whether responses wait to be read, so that the user that has just read one should send the next request."""
        if self.in_flight < CONGESTED_IN_FLIGHT or self._recent_receive_delay_ns < CONGESTED_RECEIVE_DELAY_NS:
            return False
        return time.monotonic_ns() - self._last_read_ns < RECENT_READ_NS

    def wake_for_overdue_turn(self) -> None:
        """Wake an idle user for an overdue turn that no busy user takes."""
        step = self.step
        if step is not None and not self._is_congested() and step.due_ns(step.next_number) < time.monotonic_ns():
            self._wake_users(MAX_READY_USERS)

    @property
    def can_send_more(self) -> bool:
        """Whether more requests may be in flight."""
        return self.step is not None and self._in_flight_or_ready < self.step.max_in_flight

    @property
    def _in_flight_or_ready(self) -> int:
        """How many requests were sent, or are about to be."""
        return self.in_flight + self._ready_users

    def _wake_users(self, count: int) -> None:
        loop = gevent.get_hub().loop
        for _ in range(min(count, len(self._idle_users))):
            loop.run_callback(self._idle_users.pop().switch, None)

    def send(self, connection: HttpConnection, prepared: PreparedRequest, intended_ns: int | None) -> Exchange:
        """As `LoadSession.send`; also counts the requests in flight."""
        step = self._counted_step
        if step is None or intended_ns is None:
            return super().send(connection, prepared, intended_ns)
        under_way, name = step.counts_for(intended_ns).unfinished, operation_name(prepared.request)
        under_way[name] += 1
        try:
            return super().send(connection, prepared, intended_ns)
        finally:
            under_way[name] -= 1

    def _on_violation(self, finding: Finding, level: Level) -> None:
        super()._on_violation(finding, level)
        if self._tolerance.fails(finding, level):
            self._decisive.add(finding.requirement)

    def _record_exchange(self, exchange: Exchange, failed: str | None) -> None:
        decisive = self._decisive
        if decisive:
            self._decisive = set()
        step = self._counted_step
        intended_ns = exchange.intended_ns
        if step is None or intended_ns is None or intended_ns < step.begins_ns:
            return
        if decisive and exchange.error is None:  # requests without a response are for SLOs and limits
            step.findings += sorted(decisive)
        step.ended += 1
        counted = step.counts_for(intended_ns)
        counted.ended += 1
        name, response = operation_name(exchange.request), exchange.response
        if exchange.error is not None or response is None:
            if exchange.error is None or exchange.error.code is not ErrorCode.ABANDONED:
                counted.errors[name] += 1
            return
        if response.status >= 500:
            counted.server_errors[name] += 1
        arrived_ns, times = exchange.arrived_ns, counted.times[name]
        if arrived_ns is None:
            arrived_ns = exchange.received_ns
        else:
            late_ns = exchange.received_ns - arrived_ns
            self._recent_receive_delay_ns = max(
                late_ns, self._recent_receive_delay_ns - self._recent_receive_delay_ns // CONGESTED_IN_FLIGHT
            )
            self._last_read_ns = exchange.received_ns
            counted.receive_delay.record(late_ns)
            if (meanwhile := step.counts_for(exchange.received_ns)) is not counted:
                meanwhile.receive_delay.record(late_ns)
            times.service.record(arrived_ns - exchange.sent_ns)
        times.response.record(arrived_ns - intended_ns)
