"""
Load by windows: a rate that is set while users run, and what was due, came back and was late in each stretch of time.

`run` plays a schedule that was fixed before. A search for capacity decides on the next rate by what it has just seen,
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

from ..api.errors import HarnessError
from ..api.exchange import ErrorCode, Exchange, Request
from ..judge.verdict import Latency
from .capacity.search import Ended, Overrun
from .capacity.windows import Window
from .histogram import Histogram, merged
from .http import Connection
from .limits import Limit
from .measures import latencies
from .pacer import Alarm
from .plain import drain
from .run import INSISTING, Wish
from .session import Session
from .user import SoraUser
from .wire import Prepared

READY: Final = 16
"""Users that hold a turn and wait for it."""

JAMMED: Final = 2 * READY
"""
From so many requests under way on no user is woken while answers are read late: more of them would have the generator
offer less. Measured beside a busy loop: 4,400 a second with 64 under way, 2,400 with 512.
"""

JAM_NS: Final = 5_000_000

RECENT_NS: Final = 100_000_000
"""What was read longer ago says nothing of now: the server may have stopped to answer."""

SETTLE_S: Final = 0.5
"""At a new rate before its first window: connections are made, and the server's queue finds its length."""

REST_S: Final = 1.0
"""Between two steps, at least."""

SPARE: Final = 1.2
"""So many times as many may be under way as there are if each takes as long as the longest SLO."""

AHEAD_NS: Final = 20_000_000
"""Between setting a rate and its first request."""

SAMPLES: Final = 20
"""Of the backlog, in each window."""

LOOK_S: Final = 0.1

START_S: Final = 30.0
"""Users that do not all stand ready after so long are a fault of the harness."""

T = TypeVar("T")


class _Cell:
    """What became of the requests that were due in one window, and how late answers were read."""

    def __init__(self) -> None:
        self.times: defaultdict[str, _Times] = defaultdict(_Times)
        self.ended = 0
        self.errors: Counter[str] = Counter()
        self.failing: Counter[str] = Counter()
        self.open: Counter[str] = Counter()
        self.lateness = Histogram()
        self.delay = Histogram()
        """Of what was due in the window or read in it: of what is due in a jam nothing may be read at all."""
        self.exhausted = False


class _Times:
    """Of one operation; nothing else is timed here, for it is done in every answer."""

    __slots__ = ("response", "service")

    def __init__(self) -> None:
        self.response = Histogram()
        self.service = Histogram()


class _Step:
    """One rate: which turns there are, and what has come back."""

    def __init__(self, rate: float, begins_ns: int, most: int) -> None:
        self.rate = rate
        self.most = most
        """Requests that may be under way."""
        self.begins_ns = begins_ns
        self.over = False
        self.number = 0
        self.ended = 0
        self.edges: list[int] = [begins_ns + int(SETTLE_S * 1e9)]
        """Where windows begin; the last one's end is the last."""
        self.cells: defaultdict[int, _Cell] = defaultdict(_Cell)
        self.findings: list[str] = []

    def take(self) -> int:
        """When the next request is due."""
        self.number += 1
        return self.due_ns(self.number - 1)

    def due_ns(self, number: int) -> int:
        """When a request is due, by its number."""
        return self.begins_ns + round(number * 1e9 / self.rate)

    def due_by(self, now_ns: int) -> int:
        """How many requests were due."""
        return max(0, int((now_ns - self.begins_ns) * self.rate / 1e9) + 1)

    def cell(self, due_ns: int) -> _Cell:
        """The window in which a request was due: 0 before the first, and windows in the order of their beginnings."""
        place = len(self.edges)
        while place > 0 and due_ns < self.edges[place - 1]:
            place -= 1
        return self.cells[place]


SILENT_NS: Final = 5_000_000_000
"""How long a server may give no whole answer before its load is taken away: at one request a second a step takes minutes."""


class Tap(Session):
    """A session whose rate can be set while it runs; takes what `Session` takes."""

    def __init__(self, *given: Any, **named: Any) -> None:  # Any: as Session takes them
        super().__init__(*given, **named)
        self.users = 1
        """How many requests may be under way."""
        self.step: _Step | None = None
        """From which turns are taken."""
        self._counting: _Step | None = None
        """That of the answers that come back; until the next one begins."""
        self._holding = 0
        self._read_ns = self._late_ns = 0
        """When the last answer was read, and how late the latest of the last ones was."""
        self._parked: list[Any] = []  # Any: gevent's Waiter, of which there are no types
        self.tell = self._note

    @property
    def parked(self) -> int:
        """Users that have nothing to do."""
        return len(self._parked)

    def open(self, rate: float, patience_s: float, begins_ns: int | None = None) -> _Step:
        """
        Let requests fall due at a rate, from now on or from a given time; no more are under way than it takes for each to
        last so long.
        """
        most = min(self.users, int(rate * patience_s * SPARE) + 2 * READY)
        step = self.step = self._counting = _Step(rate, begins_ns or time.monotonic_ns() + AHEAD_NS, most)
        self.metrics.begin(step.begins_ns)  # the step before has ended: its times are told
        self._wake(READY)
        return step

    def shut(self) -> None:
        """Let no more fall due."""
        if self.step is not None:
            self.step.over = True
            self.step = None

    def drain(self) -> None:
        """As a session does; and users who have nothing to do learn of it."""
        super().drain()
        self.shut()
        self._wake(len(self._parked))

    def forget(self) -> None:
        """What is known of a server, since another one is asked from now on."""
        self.known = ()
        self._prepared.clear()

    def await_turn(self, alarm: Alarm, turn_ns: int) -> int | None:
        """Take the next turn, as soon as there is one to be had."""
        while not self.draining:
            step = self.step
            if step is None or self._holding >= READY or self._under_way >= step.most:
                mine = Waiter()
                self._parked.append(mine)
                mine.get()
                continue
            due_ns = step.take()
            early = time.monotonic_ns() <= due_ns
            others = bool(self._parked) and self._under_way + 1 < step.most
            if early:
                self._holding += 1
                try:
                    alarm.wait_until(due_ns, lambda step=step: step.over or self.draining)  # type: ignore[misc]  # the loop's
                finally:
                    self._holding -= 1
                if step.over:
                    continue
            cell = step.cell(due_ns)
            if early or others:  # somebody stood ready for it: that it is late is our own doing
                cell.lateness.record(time.monotonic_ns() - due_ns)
            else:
                cell.exhausted = True
            if not self._is_jammed():
                self._wake(1)
            return due_ns
        return None

    def _is_jammed(self) -> bool:
        """Whether answers wait for us to read them, so that whoever has read one had better send the next request."""
        if self.in_flight < JAMMED or self._late_ns < JAM_NS:
            return False
        return time.monotonic_ns() - self._read_ns < RECENT_NS

    def prod(self) -> None:
        """Have a turn taken that is due, where users are idle and none of those under way comes back."""
        step = self.step
        if step is not None and not self._is_jammed() and step.due_ns(step.number) < time.monotonic_ns():
            self._wake(READY)

    @property
    def has_room(self) -> bool:
        """Whether more requests may be under way."""
        return self.step is not None and self._under_way < self.step.most

    @property
    def _under_way(self) -> int:
        """Requests that have been sent, or are about to be."""
        return self.in_flight + self._holding

    def _wake(self, count: int) -> None:
        loop = gevent.get_hub().loop
        for _ in range(min(count, len(self._parked))):
            loop.run_callback(self._parked.pop().switch, None)

    def send(self, connection: Connection, prepared: Prepared, intended_ns: int | None) -> Exchange:
        """As a session does, and count what is under way."""
        step = self._counting
        if step is None or intended_ns is None:
            return super().send(connection, prepared, intended_ns)
        under_way, name = step.cell(intended_ns).open, operation(prepared.request)
        under_way[name] += 1
        try:
            return super().send(connection, prepared, intended_ns)
        finally:
            under_way[name] -= 1

    def _note(self, exchange: Exchange, failed: str | None) -> None:
        step = self._counting
        intended_ns = exchange.intended_ns
        if step is None or intended_ns is None or intended_ns < step.begins_ns:
            return
        if failed is not None and failed.startswith("missed: "):
            step.findings.append(failed.removeprefix("missed: "))
        step.ended += 1
        cell = step.cell(intended_ns)
        cell.ended += 1
        name, answer = operation(exchange.request), exchange.answer
        if exchange.error is not None or answer is None:
            if exchange.error is None or exchange.error.code is not ErrorCode.ABANDONED:
                cell.errors[name] += 1
            return
        if answer.status >= 500:
            cell.failing[name] += 1
        arrived_ns, times = exchange.arrived_ns, cell.times[name]
        if arrived_ns is None:
            arrived_ns = exchange.received_ns
        else:
            late_ns = exchange.received_ns - arrived_ns
            self._late_ns = max(late_ns, self._late_ns - self._late_ns // JAMMED)
            self._read_ns = exchange.received_ns
            cell.delay.record(late_ns)
            if (meanwhile := step.cell(exchange.received_ns)) is not cell:
                meanwhile.delay.record(late_ns)
            times.service.record(arrived_ns - exchange.sent_ns)
        times.response.record(arrived_ns - intended_ns)


class Rig:
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
        tap: Tap,
        *,
        patience_s: float,
        limits: tuple[Limit, ...],
        interrupt: Wish,
        watch: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._tap = tap
        self._patience_s = patience_s
        self._limits = limits
        self._on_latency = {each.text for each in limits if each.p99_us is not None}
        self._interrupt = interrupt
        self._watch = watch
        self._step: _Step | None = None
        self._looked_ns = 0
        self.finished: list[tuple[float, list[Latency]]] = []
        """Of each step its rate and what it measured, settling included; without buckets, for there are many steps."""

    def begin(self, rate: float, begins_ns: int | None = None) -> None:
        """Let requests fall due at this rate, from now on or from a given time."""
        # a full collection over all that the judge remembers stops everything for 50 ms and more: it would spoil a window
        gc.collect()
        gc.freeze()
        self._step = self._tap.open(rate, self._patience_s, begins_ns)

    def window(self, lasts_s: float) -> Window:
        """
        Wait for the next window, and for what was due in it.

        Raises:
            Ended: The user has had enough.
            Overrun: A limit was reached.
        """
        step = self._step
        assert step is not None, "begin comes first"
        began_ns = step.edges[-1]
        ends_ns = began_ns + int(lasts_s * 1e9)
        step.edges.append(ends_ns)
        samples: list[tuple[float, float]] = []
        cell = step.cells[len(step.edges) - 1]
        try:
            for number in range(SAMPLES):
                at_ns = began_ns + (ends_ns - began_ns) * (number + 1) // SAMPLES
                self._sleep_until(at_ns, step)
                now_ns = time.monotonic_ns()
                samples.append(((now_ns - step.begins_ns) / 1e9, step.due_by(now_ns) - step.ended))
                if step.findings:
                    break
            due = step.due_by(ends_ns - 1) - step.due_by(began_ns - 1)
            until_ns = ends_ns + int(self._patience_s * 1e9)
            while cell.ended < due and time.monotonic_ns() < until_ns and not step.findings:
                self._look(step)
                gevent.sleep(0.005)
        except Overrun as overrun:
            if overrun.args[0] not in self._on_latency:
                raise
            step.edges[-1] = min(ends_ns, max(began_ns + 1, time.monotonic_ns()))
            due = step.due_by(step.edges[-1] - 1) - step.due_by(began_ns - 1)
            raise Overrun(str(overrun), self._told(step, cell, lasts_s, due, samples)) from None
        return self._told(step, cell, lasts_s, due, samples)

    def end(self) -> tuple[str, ...]:
        """
        Let nothing more fall due, wait for what is under way, and let the server rest; the MUSTs that were missed.

        Raises:
            Ended: The last requests had no whole answer, nor has the server one for us now.
        """
        step, self._step = self._step, None
        if step is None:
            return ()
        tap = self._tap
        tap.shut()
        until_s = time.monotonic() + tap.timeout_s + 1
        while tap.in_flight and time.monotonic() < until_s and not self._interrupt.seen:
            gevent.sleep(0.01)
        told = [msgspec.structs.replace(each, buckets=[]) for each in latencies(tap.metrics)]
        self.finished.append((step.rate, told))
        rests_until_s = time.monotonic() + REST_S
        while time.monotonic() < rests_until_s and not self._interrupt.seen:
            self._watch("the server rests")
            gevent.sleep(LOOK_S)
        if tap.silence is not None and not self._interrupt.seen:
            silent = tap.discover(lambda: self._interrupt.seen)
            if silent is not None:
                raise Ended(f"the server fell silent: {silent}")
        return tuple(step.findings)

    def pause(self, lasts_s: float) -> None:
        """
        Wait, while requests go on falling due if they do.

        Raises:
            Ended, Overrun: As for a window.
        """
        until_ns = time.monotonic_ns() + int(lasts_s * 1e9)
        while time.monotonic_ns() < until_ns:
            self._look(self._step)
            gevent.sleep(min(LOOK_S, max(0.0, (until_ns - time.monotonic_ns()) / 1e9)))

    def _sleep_until(self, at_ns: int, step: _Step) -> None:
        while (left_ns := at_ns - time.monotonic_ns()) > 0:
            self._look(step)
            self._tap.prod()
            if step.findings:
                return
            gevent.sleep(min(LOOK_S, left_ns / 1e9))

    def _look(self, step: _Step | None) -> None:
        if self._interrupt.seen:
            raise Ended("interrupted")
        if step is None:
            self._watch("quiet")
            return
        now_ns = time.monotonic_ns()
        if now_ns < self._looked_ns + LOOK_S * 1e9:
            return  # a p99 over ten seconds costs a millisecond
        self._looked_ns = now_ns
        silence = self._tap.judge.silence
        if silence is not None and now_ns - silence.since_ns > SILENT_NS:
            raise Overrun("no whole answer any more")
        self._watch(f"{step.rate:,.0f}/s, {step.ended:,} answers")
        reached = next((each for each in self._limits if each.reached(self._tap.metrics)), None)
        if reached is not None:
            raise Overrun(reached.text)

    def _told(self, step: _Step, cell: _Cell, lasts_s: float, due: int, samples: list[tuple[float, float]]) -> Window:
        times = {name: each.response for name, each in cell.times.items()}
        services = {name: each.service for name, each in cell.times.items() if each.service.count}
        lateness_us, exhausted = cell.lateness.percentile(99) or 0, cell.exhausted
        if (untaken := step.due_by(step.edges[-1] - 1) - step.number) > 0:
            if self._tap.has_room:  # nobody took them, although there were users who had nothing else to do
                late_us = (time.monotonic_ns() - step.due_ns(step.number)) // 1000
                lateness_us = max(lateness_us, late_us) if untaken > due / 100 else lateness_us
            else:
                exhausted = True
        return Window(
            rate=step.rate, lasts_s=lasts_s, due=due, times=times, whole=merged(times.values()),
            services=services, service=merged(services.values()) if services else None,
            failing=dict(cell.failing), errors=dict(cell.errors), open=dict(cell.open),
            findings=tuple(step.findings), delay_p99_us=cell.delay.percentile(99) or 0,
            lateness_p99_us=lateness_us, exhausted=exhausted, in_flight=step.most, backlog=samples,
        )  # fmt: skip


def operation(request: Request) -> str:
    """What a request is counted under."""
    return request.target.operation if request.target is not None else "probe"


def run(
    tap: Tap,
    scenario: type[SoraUser],
    *,
    users: int,
    interrupt: Wish,
    drive: Callable[[], T],
) -> T:
    """
    Have users of a scenario ready while something is driven, and drain them at its end.

    Args:
        tap: What the users share.
        scenario: Their class.
        users: How many; the most requests that may be under way.
        interrupt: By the second signal what is in flight is given up.
        drive: Opens and shuts the tap.

    Raises:
        Ended: The server gives no whole answer.
        HarnessError: Locust did not start the users.
    """
    environment = Environment(user_classes=[scenario], catch_exceptions=False)
    environment.sora_session = tap  # type: ignore[attr-defined]  # ours, for user.session_of
    runner = environment.create_local_runner()
    signals: list[float] = []
    interrupt.tell(lambda: signals.append(time.monotonic()))
    tap.users = users
    try:
        if (silent := tap.discover(lambda: interrupt.seen)) is not None:
            raise Ended(silent)
        tap.begin()
        logging.getLogger("locust.runners").setLevel(logging.ERROR)  # that so many begin at once is as it should be
        runner.start(users, spawn_rate=users)
        until_s = time.monotonic() + START_S
        while tap.parked < users:
            if time.monotonic() > until_s:
                raise HarnessError(f"only {tap.parked} of {users} users were ready after {START_S:g} s")
            gevent.sleep(0.01)
        return drive()
    finally:
        drain(runner, tap, lambda: len(signals) >= INSISTING)
        runner.quit()
        tap.judge.catch_up()
        gc.unfreeze()
        interrupt.tell(None)
