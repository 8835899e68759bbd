"""
Runs load from start to end: prepares users, starts them together, watches limits, and waits for open requests.

A run is bounded before it begins: it ends after its duration, at an abort limit, or when its user interrupts it. It
waits for requests that are open at the end and never cuts them off, so that every request that was sent is judged,
failed or given up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import gevent
from locust.env import Environment

from ..api.errors import describe_break
from ..judge.verdict_decision import RunEnding
from .greenlets import note_greenlet_breaks
from .load_session import LoadSession
from .load_users import InterruptSignal, drain_users, forgo_caller_lookup, wait_for_users
from .request_metrics import RequestMetrics, TimelineInterval
from .run_measurements import RunMeasurements, RunStopwatch
from .scenario_users import SCENARIO_USERS
from .slo import AbortLimit
from .timeline_csv import TimelineCsv
from .workers import START_LEAD_NS

WATCH_INTERVAL_S: Final = 0.1


class LoadGenerator(Protocol):
    """What sends the load: the users of this process, or workers."""

    def prepare(self) -> str | None:
        """Request a listing, and wait until all users are ready; returns why the run can't begin, or None."""

    def start(self) -> int:
        """Begin; returns the time by the monotonic clock."""

    def counts(self) -> dict[str, int]:
        """The counts so far."""

    @property
    def live_metrics(self) -> RequestMetrics:
        """The metrics by which limits are judged."""

    def take_seconds(self, *, is_over: bool = False) -> list[TimelineInterval]:
        """
        The seconds of the run that have ended and were not returned before; all remaining ones if the run is over.
        """

    def end_reason(self) -> str | None:
        """Why it is pointless to continue; None if it isn't."""

    def break_text(self) -> str | None:
        """The fault of the harness that was noticed; None if there was none."""

    def drain(self) -> None:
        """Send no more, and wait for open requests until these are given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRunEnd:
    """How a run ended."""

    ending: RunEnding
    began_ns: int | None
    """None if it never began."""
    ended_ns: int
    """When sending stopped."""


def run_load(
    generator: LoadGenerator,
    *,
    duration_s: float,
    limits: Sequence[AbortLimit],
    interrupt: InterruptSignal,
    watch: Callable[[float, dict[str, int]], None],
    timeline: TimelineCsv | None,
) -> LoadRunEnd:
    """
    Run a scenario for a time; a signal or any abort limit ends it early.

    `watch` gets the progress ten times a second, and `timeline` each second after it has ended.
    """

    def follow(elapsed_s: float, counts: dict[str, int]) -> None:
        watch(elapsed_s, counts)
        if timeline is not None:
            timeline.add(generator.take_seconds())

    aborted = began_ns = broken = None
    try:
        aborted = generator.prepare()
        if aborted is None and not interrupt.is_interrupted:
            began_ns = generator.start()
            if timeline is not None:
                timeline.begin(began_ns)
            aborted = _watch_run(generator, began_ns, duration_s, limits, interrupt, follow)
    except Exception as error:
        broken = describe_break(error)
    ended_ns = time.monotonic_ns()
    try:
        generator.drain()
        if timeline is not None and began_ns is not None:
            timeline.add(generator.take_seconds(is_over=True))
    except Exception as error:
        broken = broken or describe_break(error)
    return LoadRunEnd(
        ending=RunEnding(
            interrupted=interrupt.is_interrupted, aborted=aborted, broken=generator.break_text() or broken
        ),
        began_ns=began_ns,
        ended_ns=ended_ns,
    )


def _watch_run(
    generator: LoadGenerator,
    began_ns: int,
    duration_s: float,
    limits: Sequence[AbortLimit],
    interrupt: InterruptSignal,
    watch: Callable[[float, dict[str, int]], None],
) -> str | None:
    """Wait until the run is over; returns why it ended early, unless its user ended it."""
    while not interrupt.is_interrupted and (elapsed_s := (time.monotonic_ns() - began_ns) / 1e9) < duration_s:
        gevent.sleep(min(WATCH_INTERVAL_S, duration_s - elapsed_s))
        watch(elapsed_s, generator.counts())
        metrics = generator.live_metrics
        if (reached := next((each for each in limits if each.is_exceeded(metrics)), None)) is not None:
            return f"aborted at {reached.text}"
        if (trouble := generator.break_text() or generator.end_reason()) is not None:
            return trouble
    return None


class LocalUsers:
    """
    The users of this process, on Locust's local runner.

    Args:
        interrupt: The first signal ends every wait, the second gives up open requests.
    """

    def __init__(self, session: LoadSession, interrupt: InterruptSignal) -> None:
        self._session = session
        self._interrupt = interrupt
        logging.getLogger("locust.runners").setLevel(logging.ERROR)  # it is intended that so many users start at once
        environment = Environment(user_classes=[SCENARIO_USERS[session.spec.scenario]], catch_exceptions=False)
        environment.sora_session = session  # type: ignore[attr-defined]  # our own attribute, for get_or_create_session
        note_greenlet_breaks(session.note_break)
        forgo_caller_lookup()
        self._runner = environment.create_local_runner()

    def discover(self) -> str | None:
        """Request a listing; returns why there is none, or None."""
        return self._session.discover(self._should_stop)

    def stand_up(self) -> str | None:
        """Start all users, and wait until they are ready; returns what is wrong if they are not."""
        users = self._session.spec.users
        self._runner.start(users, spawn_rate=users)
        return wait_for_users(lambda: self._session.ready_users, users, self._should_stop)

    def drain(self) -> None:
        """Send no more, and wait for open requests until these are given up."""
        try:
            drain_users(self._runner, self._session, lambda: self._interrupt.gives_up)
        finally:
            self._runner.quit()
        self._session.judge.judge_pending()

    def _should_stop(self) -> bool:
        return self._interrupt.is_interrupted


class LocalGenerator(LocalUsers):
    """The `LoadGenerator` of this process's users."""

    def __init__(self, session: LoadSession, interrupt: InterruptSignal) -> None:
        super().__init__(session, interrupt)
        self._stopwatch = RunStopwatch()

    def prepare(self) -> str | None:
        problem = self.discover()
        return problem if problem is not None or self._should_stop() else self.stand_up()

    def start(self) -> int:
        begins_ns = time.monotonic_ns() + START_LEAD_NS
        self._session.start(begins_ns)
        self._stopwatch.start(begins_ns)
        return begins_ns

    def counts(self) -> dict[str, int]:
        return self.live_metrics.counts()

    @property
    def live_metrics(self) -> RequestMetrics:
        return self._session.metrics

    def take_seconds(self, *, is_over: bool = False) -> list[TimelineInterval]:
        return self.live_metrics.take_seconds(is_over=is_over)

    def end_reason(self) -> str | None:
        return None  # this process can't fail separately from the run

    def break_text(self) -> str | None:
        return self._session.break_text

    def drain(self) -> None:
        self._stopwatch.stop()
        super().drain()

    def measures(self) -> RunMeasurements:
        """All measurements of the run."""
        return self._stopwatch.measures(self._session)
