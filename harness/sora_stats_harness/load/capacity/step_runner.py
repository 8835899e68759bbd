"""
Load by windows: a rate that is set while users run, and what was due, came back and was late in each stretch of time.

`run_users` plays a schedule that was fixed before. A search for capacity decides on the next rate by what it has just seen,
and judges each window by the requests that were due in it, whenever they come back. So here users take their turns from
a tap that can be opened, closed and set. As many users wait as there may be requests under way, but only a few hold a
turn at a time, the last that was used first: else a thousand users would mean a thousand connections at any rate.
"""

from __future__ import annotations

import gc
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, Final, TypeVar

import gevent
import msgspec
from gevent.hub import Waiter
from locust.env import Environment

from ...api.errors import HarnessError
from ...api.exchange import ErrorCode, Exchange, Request
from ...judge.verdict import LatencyDistribution
from ..abort_limit import AbortLimit
from ..histogram import Histogram, merge_histograms
from ..http_connection import HttpConnection
from ..load_run import SIGNALS_TO_ABANDON, InterruptSignal
from ..load_session import LoadSession
from ..locust_standalone import drain_users
from ..precise_timer import PreciseTimer
from ..prepared_request import PreparedRequest
from ..run_measurements import summarize_latencies
from ..sora_user import SoraUser
from .load_window import LoadWindow
from .rate_search import LoadAborted, SearchEnded

MAX_READY_USERS: Final = 16
"""Users that hold a turn and wait for it."""

CONGESTED_IN_FLIGHT: Final = 2 * MAX_READY_USERS
"""
From so many requests under way on no user is woken while responses are read late: more of them would have the generator
offer less. Measured beside a busy loop: 4,400 a second with 64 under way, 2,400 with 512.
"""

CONGESTED_RECEIVE_DELAY_NS: Final = 5_000_000

RECENT_READ_NS: Final = 100_000_000
"""What was read longer ago says nothing of now: the server may have stopped to respond."""

SETTLING_TIME_S: Final = 0.5
"""At a new rate before its first window: connections are made, and the server's queue finds its length."""

REST_BETWEEN_STEPS_S: Final = 1.0
"""Between two steps, at least."""

IN_FLIGHT_MARGIN: Final = 1.2
"""So many times as many may be under way as there are if each takes as long as the longest SLO."""

START_LEAD_NS: Final = 20_000_000
"""Between setting a rate and its first request."""

BACKLOG_SAMPLES: Final = 20
"""Of the backlog, in each window."""

STEP_WATCH_INTERVAL_S: Final = 0.1

USERS_READY_TIMEOUT_S: Final = 30.0
"""Users that do not all stand ready after so long are a fault of the harness."""

DriveResult = TypeVar("DriveResult")


class _WindowCounts:
    """What became of the requests that were due in one window, and how late responses were read."""

    def __init__(self) -> None:
        self.times: defaultdict[str, _OperationTimes] = defaultdict(_OperationTimes)
        self.ended = 0
        self.errors: Counter[str] = Counter()
        self.server_errors: Counter[str] = Counter()
        self.unfinished: Counter[str] = Counter()
        self.send_delay = Histogram()
        self.receive_delay = Histogram()
        """Of what was due in the window or read in it: of what is due in a jam nothing may be read at all."""
        self.users_exhausted = False


class _OperationTimes:
    """Of one operation; nothing else is timed here, for it is done in every response."""

    __slots__ = ("response", "service")

    def __init__(self) -> None:
        self.response = Histogram()
        self.service = Histogram()


class _ActiveStep:
    """One rate: which turns there are, and what has come back."""

    def __init__(self, rate: float, begins_ns: int, most: int) -> None:
        self.rate = rate
        self.max_in_flight = most
        """Requests that may be under way."""
        self.begins_ns = begins_ns
        self.is_over = False
        self.next_number = 0
        self.ended = 0
        self.window_edges_ns: list[int] = [begins_ns + int(SETTLING_TIME_S * 1e9)]
        """Where windows begin; the last one's end is the last."""
        self.window_counts: defaultdict[int, _WindowCounts] = defaultdict(_WindowCounts)
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

    def counts_for(self, due_ns: int) -> _WindowCounts:
        """The window in which a request was due: 0 before the first, and windows in the order of their beginnings."""
        place = len(self.window_edges_ns)
        while place > 0 and due_ns < self.window_edges_ns[place - 1]:
            place -= 1
        return self.window_counts[place]


MAX_OUTAGE_NS: Final = 5_000_000_000
"""How long a server may give no complete response before its load is taken away: at one request a second a step takes minutes."""


class SteppedSession(LoadSession):
    """A session whose rate can be set while it runs; takes what `LoadSession` takes."""

    def __init__(self, *given: Any, **named: Any) -> None:  # Any: as Session takes them
        super().__init__(*given, **named)
        self.users = 1
        """How many requests may be under way."""
        self.step: _ActiveStep | None = None
        """From which turns are taken."""
        self._counted_step: _ActiveStep | None = None
        """That of the responses that come back; until the next one begins."""
        self._ready_users = 0
        self._last_read_ns = self._recent_receive_delay_ns = 0
        """When the last response was read, and how late the latest of the last ones was."""
        self._idle_users: list[Any] = []  # Any: gevent's Waiter, of which there are no types
        self.tell = self._record_exchange

    @property
    def idle_users(self) -> int:
        """Users that have nothing to do."""
        return len(self._idle_users)

    def start_step(self, rate: float, patience_s: float, begins_ns: int | None = None) -> _ActiveStep:
        """
        Let requests fall due at a rate, from now on or from a given time; no more are under way than it takes for each to
        last so long.
        """
        most = min(self.users, int(rate * patience_s * IN_FLIGHT_MARGIN) + 2 * MAX_READY_USERS)
        step = self.step = self._counted_step = _ActiveStep(
            rate, begins_ns or time.monotonic_ns() + START_LEAD_NS, most
        )
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

    def forget_connections(self) -> None:
        """What is known of a server, since another one is asked from now on."""
        self.known = ()
        self._prepared.clear()

    def await_turn(self, alarm: PreciseTimer, turn_ns: int) -> int | None:
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
                    alarm.wait_until(due_ns, lambda step=step: step.over or self.draining)  # type: ignore[misc]  # the loop's
                finally:
                    self._ready_users -= 1
                if step.is_over:
                    continue
            cell = step.counts_for(due_ns)
            if early or others:  # somebody stood ready for it: that it is late is our own doing
                cell.send_delay.record(time.monotonic_ns() - due_ns)
            else:
                cell.users_exhausted = True
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

    def _record_exchange(self, exchange: Exchange, failed: str | None) -> None:
        step = self._counted_step
        intended_ns = exchange.intended_ns
        if step is None or intended_ns is None or intended_ns < step.begins_ns:
            return
        if failed is not None and failed.startswith("violated: "):
            step.findings.append(failed.removeprefix("violated: "))
        step.ended += 1
        cell = step.counts_for(intended_ns)
        cell.ended += 1
        name, response = operation_name(exchange.request), exchange.response
        if exchange.error is not None or response is None:
            if exchange.error is None or exchange.error.code is not ErrorCode.ABANDONED:
                cell.errors[name] += 1
            return
        if response.status >= 500:
            cell.server_errors[name] += 1
        arrived_ns, times = exchange.arrived_ns, cell.times[name]
        if arrived_ns is None:
            arrived_ns = exchange.received_ns
        else:
            late_ns = exchange.received_ns - arrived_ns
            self._recent_receive_delay_ns = max(
                late_ns, self._recent_receive_delay_ns - self._recent_receive_delay_ns // CONGESTED_IN_FLIGHT
            )
            self._last_read_ns = exchange.received_ns
            cell.receive_delay.record(late_ns)
            if (meanwhile := step.counts_for(exchange.received_ns)) is not cell:
                meanwhile.receive_delay.record(late_ns)
            times.service.record(arrived_ns - exchange.sent_ns)
        times.response.record(arrived_ns - intended_ns)


class StepRunner:
    """
    Drives a tap step by step; what `capacity.search` calls a bench.

    Args:
        tap: Whose users run.
        patience_s: How long a request may take after its window before it counts as slower than every SLO.
        limits: At which a step is broken off.
        interrupt: Ends the run.
        watch: Is called ten times a second with what is going on.
    """

    def __init__(
        self,
        tap: SteppedSession,
        *,
        patience_s: float,
        limits: tuple[AbortLimit, ...],
        interrupt: InterruptSignal,
        watch: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._session = tap
        self._patience_s = patience_s
        self._limits = limits
        self._latency_limits = {each.text for each in limits if each.p99_us is not None}
        self._interrupt = interrupt
        self._watch = watch
        self._step: _ActiveStep | None = None
        self._checked_ns = 0
        self.step_latencies: list[tuple[float, list[LatencyDistribution]]] = []
        """Of each step its rate and what it measured, settling included; without buckets, for there are many steps."""

    def start_step(self, rate: float, begins_ns: int | None = None) -> None:
        """Let requests fall due at this rate, from now on or from a given time."""
        # a full collection over all that the judge remembers stops everything for 50 ms and more: it would spoil a window
        gc.collect()
        gc.freeze()
        self._step = self._session.start_step(rate, self._patience_s, begins_ns)

    def wait_for_window(self, lasts_s: float) -> LoadWindow:
        """
        Wait for the next window, and for what was due in it.

        Raises:
            Ended: The user has had enough.
            Overrun: A limit was reached.
        """
        step = self._step
        assert step is not None, "begin comes first"
        began_ns = step.window_edges_ns[-1]
        ends_ns = began_ns + int(lasts_s * 1e9)
        step.window_edges_ns.append(ends_ns)
        samples: list[tuple[float, float]] = []
        cell = step.window_counts[len(step.window_edges_ns) - 1]
        try:
            for number in range(BACKLOG_SAMPLES):
                at_ns = began_ns + (ends_ns - began_ns) * (number + 1) // BACKLOG_SAMPLES
                self._sleep_until(at_ns, step)
                now_ns = time.monotonic_ns()
                samples.append(((now_ns - step.begins_ns) / 1e9, step.requests_due(now_ns) - step.ended))
                if step.findings:
                    break
            due = step.requests_due(ends_ns - 1) - step.requests_due(began_ns - 1)
            until_ns = ends_ns + int(self._patience_s * 1e9)
            while cell.ended < due and time.monotonic_ns() < until_ns and not step.findings:
                self._check_limits(step)
                gevent.sleep(0.005)
        except LoadAborted as overrun:
            if overrun.args[0] not in self._latency_limits:
                raise
            step.window_edges_ns[-1] = min(ends_ns, max(began_ns + 1, time.monotonic_ns()))
            due = step.requests_due(step.window_edges_ns[-1] - 1) - step.requests_due(began_ns - 1)
            raise LoadAborted(str(overrun), self._window_result(step, cell, lasts_s, due, samples)) from None
        return self._window_result(step, cell, lasts_s, due, samples)

    def end_step(self) -> tuple[str, ...]:
        """
        Let nothing more fall due, wait for what is under way, and let the server rest; the MUSTs that were missed.

        Raises:
            Ended: The last requests had no complete response, nor has the server one for us now.
        """
        step, self._step = self._step, None
        if step is None:
            return ()
        tap = self._session
        tap.stop_step()
        until_s = time.monotonic() + tap.timeout_s + 1
        while tap.in_flight and time.monotonic() < until_s and not self._interrupt.is_interrupted:
            gevent.sleep(0.01)
        told = [msgspec.structs.replace(each, buckets=[]) for each in summarize_latencies(tap.metrics)]
        self.step_latencies.append((step.rate, told))
        rests_until_s = time.monotonic() + REST_BETWEEN_STEPS_S
        while time.monotonic() < rests_until_s and not self._interrupt.is_interrupted:
            self._watch("the server rests")
            gevent.sleep(STEP_WATCH_INTERVAL_S)
        if tap.outage_text is not None and not self._interrupt.is_interrupted:
            silent = tap.discover(lambda: self._interrupt.is_interrupted)
            if silent is not None:
                raise SearchEnded(f"the server fell silent: {silent}")
        return tuple(step.findings)

    def wait(self, lasts_s: float) -> None:
        """
        Wait, while requests go on falling due if they do.

        Raises:
            Ended, Overrun: As for a window.
        """
        until_ns = time.monotonic_ns() + int(lasts_s * 1e9)
        while time.monotonic_ns() < until_ns:
            self._check_limits(self._step)
            gevent.sleep(min(STEP_WATCH_INTERVAL_S, max(0.0, (until_ns - time.monotonic_ns()) / 1e9)))

    def _sleep_until(self, at_ns: int, step: _ActiveStep) -> None:
        while (left_ns := at_ns - time.monotonic_ns()) > 0:
            self._check_limits(step)
            self._session.wake_for_overdue_turn()
            if step.findings:
                return
            gevent.sleep(min(STEP_WATCH_INTERVAL_S, left_ns / 1e9))

    def _check_limits(self, step: _ActiveStep | None) -> None:
        if self._interrupt.is_interrupted:
            raise SearchEnded("interrupted")
        if step is None:
            self._watch("quiet")
            return
        now_ns = time.monotonic_ns()
        if now_ns < self._checked_ns + STEP_WATCH_INTERVAL_S * 1e9:
            return  # a p99 over ten seconds costs a millisecond
        self._checked_ns = now_ns
        silence = self._session.judge.outage
        if silence is not None and now_ns - silence.since_ns > MAX_OUTAGE_NS:
            raise LoadAborted("no complete response any more")
        self._watch(f"{step.rate:,.0f}/s, {step.ended:,} responses")
        reached = next((each for each in self._limits if each.is_exceeded(self._session.metrics)), None)
        if reached is not None:
            raise LoadAborted(reached.text)

    def _window_result(
        self, step: _ActiveStep, cell: _WindowCounts, lasts_s: float, due: int, samples: list[tuple[float, float]]
    ) -> LoadWindow:
        times = {name: each.response for name, each in cell.times.items()}
        services = {name: each.service for name, each in cell.times.items() if each.service.count}
        lateness_us, exhausted = cell.send_delay.percentile(99) or 0, cell.users_exhausted
        if (untaken := step.requests_due(step.window_edges_ns[-1] - 1) - step.next_number) > 0:
            if self._session.can_send_more:  # nobody took them, although there were users who had nothing else to do
                late_us = (time.monotonic_ns() - step.due_ns(step.next_number)) // 1000
                lateness_us = max(lateness_us, late_us) if untaken > due / 100 else lateness_us
            else:
                exhausted = True
        return LoadWindow(
            rate=step.rate,
            lasts_s=lasts_s,
            due=due,
            times=times,
            all_times=merge_histograms(times.values()),
            service_times=services,
            all_service_times=merge_histograms(services.values()) if services else None,
            server_errors=dict(cell.server_errors),
            errors=dict(cell.errors),
            unfinished=dict(cell.unfinished),
            findings=tuple(step.findings),
            receive_delay_p99_us=cell.receive_delay.percentile(99) or 0,
            send_delay_p99_us=lateness_us,
            users_exhausted=exhausted,
            max_in_flight=step.max_in_flight,
            backlog=samples,
        )


def operation_name(request: Request) -> str:
    """What a request is counted under."""
    return request.target.operation if request.target is not None else "probe"


def run_users(
    tap: SteppedSession,
    scenario: type[SoraUser],
    *,
    users: int,
    interrupt: InterruptSignal,
    drive: Callable[[], DriveResult],
) -> DriveResult:
    """
    Have users of a scenario ready while something is driven, and drain them at its end.

    Args:
        tap: What the users share.
        scenario: Their class.
        users: How many; the most requests that may be under way.
        interrupt: By the second signal what is in flight is given up.
        drive: Opens and shuts the tap.

    Raises:
        Ended: The server gives no complete response.
        HarnessError: Locust did not start the users.
    """
    environment = Environment(user_classes=[scenario], catch_exceptions=False)
    environment.sora_session = tap  # type: ignore[attr-defined]  # ours, for user.session_of
    runner = environment.create_local_runner()
    signals: list[float] = []
    interrupt.set_callback(lambda: signals.append(time.monotonic()))
    tap.users = users
    try:
        if (silent := tap.discover(lambda: interrupt.is_interrupted)) is not None:
            raise SearchEnded(silent)
        tap.start()
        logging.getLogger("locust.runners").setLevel(logging.ERROR)  # that so many begin at once is as it should be
        runner.start(users, spawn_rate=users)
        until_s = time.monotonic() + USERS_READY_TIMEOUT_S
        while tap.idle_users < users:
            if time.monotonic() > until_s:
                raise HarnessError(
                    f"only {tap.idle_users} of {users} users were ready after {USERS_READY_TIMEOUT_S:g} s"
                )
            gevent.sleep(0.01)
        return drive()
    finally:
        drain_users(runner, tap, lambda: len(signals) >= SIGNALS_TO_ABANDON)
        runner.quit()
        tap.judge.judge_pending()
        gc.unfreeze()
        interrupt.set_callback(None)
