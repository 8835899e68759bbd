"""
A session whose rate can be set while its users run.

A search for capacity decides on the next rate by what it has just seen, and judges each window by the requests that were
due in it, whenever they come back. So here users take their turns from a step, which begins and ends while they wait. As
many users wait as there may be requests in flight, but only a few hold a turn at a time, the last that was used first:
else a thousand users would mean a thousand connections at any rate.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.hub import Waiter

from ...api.exchange import ErrorCode, Exchange, Request
from ...judge.requirements import Finding, Level
from ...reports.pass_policy import Tolerance
from ..histogram import Histogram
from ..http_connection import HttpConnection
from ..load_session import LoadSession
from ..precise_timer import PreciseTimer
from ..prepared_request import PreparedRequest

MAX_READY_USERS: Final = 16
"""Users that hold a turn and wait for it."""

CONGESTED_IN_FLIGHT: Final = 2 * MAX_READY_USERS
"""
With so many requests in flight or more no user is woken while responses are read late: more of them would have the
generator offer less. Measured beside a busy loop: 4,400 a second with 64 under way, 2,400 with 512.
"""

CONGESTED_RECEIVE_DELAY_NS: Final = 5_000_000

RECENT_READ_NS: Final = 100_000_000
"""What was read longer ago says nothing of now: the server may have stopped to respond."""

SETTLING_TIME_S: Final = 0.5
"""At a new rate before its first window: connections are made, and the server's queue finds its length."""

IN_FLIGHT_MARGIN: Final = 1.2
"""So many times as many may be under way as there are if each takes as long as the longest SLO."""

START_LEAD_NS: Final = 20_000_000
"""Between setting a rate and its first request."""


class WindowCounts:
    """What became of the requests that were due in one window, and how late responses were read."""

    def __init__(self) -> None:
        self.times: defaultdict[str, _OperationTimes] = defaultdict(_OperationTimes)
        self.ended = 0
        self.errors: Counter[str] = Counter()
        self.server_errors: Counter[str] = Counter()
        self.unfinished: Counter[str] = Counter()
        self.send_delay: Histogram = Histogram()
        self.receive_delay: Histogram = Histogram()
        """Of what was due in the window or read in it: of what is due in a jam nothing may be read at all."""
        self.users_exhausted = False


class _OperationTimes:
    """Of one operation; nothing else is timed here, for it is done in every response."""

    __slots__ = ("response", "service")

    def __init__(self) -> None:
        self.response = Histogram()
        self.service = Histogram()


class ActiveStep:
    """One rate: which turns there are, and what has come back."""

    def __init__(self, rate: float, begins_ns: int, most: int) -> None:
        self.rate = rate
        self.max_in_flight = most
        """Requests that may be under way."""
        self.begins_ns = begins_ns
        self.is_over = False
        self.next_number: int = 0
        self.ended = 0
        self.window_edges_ns: list[int] = [begins_ns + int(SETTLING_TIME_S * 1e9)]
        """Where windows begin; the last one's end is the last."""
        self.window_counts: defaultdict[int, WindowCounts] = defaultdict(WindowCounts)
        self.findings: list[str] = []

    def take_turn(self) -> int:
        """When the next request is due."""
        self.next_number += 1
        return self.due_ns(self.next_number - 1)

    def due_ns(self, number: int) -> int:
        """When a request is due, by its number."""
        return self.begins_ns + round(number * 1e9 / self.rate)

    def requests_due(self, now_ns: int) -> int:
        """How many requests were due."""
        return max(0, int((now_ns - self.begins_ns) * self.rate / 1e9) + 1)

    def counts_for(self, due_ns: int) -> WindowCounts:
        """The window in which a request was due: 0 before the first, and windows in the order of their beginnings."""
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
        """Requirements by which the response that is being judged fails the step."""
        self.step: ActiveStep | None = None
        """From which turns are taken."""
        self._counted_step: ActiveStep | None = None
        """That of the responses that come back; until the next one begins."""
        self._ready_users = 0
        self._last_read_ns = self._recent_receive_delay_ns = 0
        """When the last response was read, and how late the latest of the last ones was."""
        self._idle_users: list[Any] = []  # Any: gevent's Waiter, of which there are no types
        self.on_judged: Callable[[Exchange, str | None], None] | None = self._record_exchange

    @property
    def idle_users(self) -> int:
        """Users that have nothing to do."""
        return len(self._idle_users)

    def start_step(self, rate: float, patience_s: float, begins_ns: int | None = None) -> ActiveStep:
        """
        Let requests fall due at a rate, from now on or from a given time; no more are under way than it takes for each to
        last so long.
        """
        most = min(self.spec.users, int(rate * patience_s * IN_FLIGHT_MARGIN) + 2 * MAX_READY_USERS)
        step = self.step = self._counted_step = ActiveStep(rate, begins_ns or time.monotonic_ns() + START_LEAD_NS, most)
        self.metrics.start(step.begins_ns)  # the step before has ended: its times are told
        self._wake_users(MAX_READY_USERS)
        return step

    def stop_step(self) -> None:
        """Let no more fall due."""
        if self.step is not None:
            self.step.is_over = True
            self.step = None

    def drain(self) -> None:
        """As a session does; and users who have nothing to do learn of it."""
        super().drain()
        self.stop_step()
        self._wake_users(len(self._idle_users))

    def wait_for_turn(self, timer: PreciseTimer, turn_ns: int) -> int | None:
        """Take the next turn, as soon as there is one to be had."""
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
            if early or others:  # somebody stood ready for it: that it is late is our own doing
                counted.send_delay.record(time.monotonic_ns() - due_ns)
            else:
                counted.users_exhausted = True
            if not self._is_congested():
                self._wake_users(1)
            return due_ns
        return None

    def _is_congested(self) -> bool:
        """Whether responses wait for us to read them, so that whoever has read one had better send the next request."""
        if self.in_flight < CONGESTED_IN_FLIGHT or self._recent_receive_delay_ns < CONGESTED_RECEIVE_DELAY_NS:
            return False
        return time.monotonic_ns() - self._last_read_ns < RECENT_READ_NS

    def wake_for_overdue_turn(self) -> None:
        """Have a turn taken that is due, where users are idle and none of those under way comes back."""
        step = self.step
        if step is not None and not self._is_congested() and step.due_ns(step.next_number) < time.monotonic_ns():
            self._wake_users(MAX_READY_USERS)

    @property
    def can_send_more(self) -> bool:
        """Whether more requests may be under way."""
        return self.step is not None and self._in_flight_or_ready < self.step.max_in_flight

    @property
    def _in_flight_or_ready(self) -> int:
        """Requests that have been sent, or are about to be."""
        return self.in_flight + self._ready_users

    def _wake_users(self, count: int) -> None:
        loop = gevent.get_hub().loop
        for _ in range(min(count, len(self._idle_users))):
            loop.run_callback(self._idle_users.pop().switch, None)

    def send(self, connection: HttpConnection, prepared: PreparedRequest, intended_ns: int | None) -> Exchange:
        """As a session does, and count what is under way."""
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


def operation_name(request: Request) -> str:
    """What a request is counted under."""
    return request.target.operation if request.target is not None else "probe"
