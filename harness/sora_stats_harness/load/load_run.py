"""
A load run from start to end: users start, send, are told to stop, finish what is in flight, and only then it is over.

A run is bounded before it begins, and ends by itself: by its duration, by a limit that it was told to abort at, or by its
user. Requests in flight at the end are waited for, never cut off, so that what was sent is what was judged, failed or
given up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import gevent
from locust.env import Environment

from .abort_limit import AbortLimit
from .load_session import LoadSession
from .locust_standalone import drain_users
from .run_measurements import RunMeasurements
from .sora_user import SoraUser

WATCH_INTERVAL_S: Final = 0.1

USERS_STARTED_PER_S: Final = 100.0
"""Users that are started a second."""

SIGNALS_TO_ABANDON: Final = 2
"""Signals by which requests in flight are given up."""


class InterruptSignal(Protocol):
    """Tells whether the run is to end: `interrupt.Interrupt`."""

    is_interrupted: bool

    def set_callback(self, call: Callable[[], object] | None) -> None:
        """Have something called whenever it is said, the first time or again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRunResult:
    """How a run ended."""

    interrupted: bool
    aborted: str | None
    measures: RunMeasurements


def run_load(
    session: LoadSession,
    scenario: type[SoraUser],
    *,
    users: int,
    duration_s: float,
    limits: tuple[AbortLimit, ...],
    interrupt: InterruptSignal,
    begins_at: Callable[[], int] = time.monotonic_ns,
    watch: Callable[[float], None] = lambda elapsed_s: None,
) -> LoadRunResult:
    """
    Run a scenario.

    Args:
        session: What the users share.
        scenario: Their class.
        users: How many at a time; in an open model the most requests that can be in flight.
        duration_s: Until no more is sent.
        limits: Any of which ends the run early.
        interrupt: By the first signal no more is sent, by the second what is in flight is given up.
        begins_at: Asked once it is known who is there: when to begin, on the monotonic clock.
        watch: Is called ten times a second.
    """
    environment = Environment(user_classes=[scenario], catch_exceptions=False)
    environment.sora_session = session  # type: ignore[attr-defined]  # ours, for user.session_of
    runner = environment.create_local_runner()
    signals: list[float] = []
    interrupt.set_callback(lambda: signals.append(time.monotonic()))
    aborted = session.discover(lambda: interrupt.is_interrupted)
    begins_ns = begins_at()
    gevent.sleep(max(0.0, (begins_ns - time.monotonic_ns()) / 1e9))
    session.start(begins_ns)
    cpu_s = time.process_time()
    if aborted is None and not interrupt.is_interrupted:
        runner.start(users, spawn_rate=USERS_STARTED_PER_S)
    while (
        aborted is None
        and (elapsed_s := (time.monotonic_ns() - begins_ns) / 1e9) < duration_s
        and not interrupt.is_interrupted
    ):
        gevent.sleep(min(WATCH_INTERVAL_S, duration_s - elapsed_s))
        watch(elapsed_s)
        reached = next((each for each in limits if each.is_exceeded(session.metrics)), None)
        if reached is not None:
            aborted = f"aborted at {reached.text}"
            break
    session.drain()
    lasted_s = max((time.monotonic_ns() - begins_ns) / 1e9, 0.001)
    share = (time.process_time() - cpu_s) / lasted_s
    drain_users(runner, session, lambda: len(signals) >= SIGNALS_TO_ABANDON)
    runner.quit()
    session.judge.judge_pending()
    interrupt.set_callback(None)
    measures = RunMeasurements(
        metrics=session.metrics,
        traffic=session.traffic,
        lasted_s=lasted_s,
        scheduled=session.scheduled_count(),
        cpu_share=share,
        processes=1,
    )
    return LoadRunResult(
        interrupted=interrupt.is_interrupted, aborted=aborted or session.outage_text, measures=measures
    )
