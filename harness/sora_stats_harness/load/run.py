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
from typing import Final

import gevent
from locust.env import Environment

from ..interrupt import Interrupt
from .limits import Limit
from .plain import drain
from .session import Session
from .user import SoraUser, show_in

TICK_S: Final = 0.1

SPAWN_RATE: Final = 100.0
"""Users that are started a second."""

INSISTING: Final = 2
"""Signals by which requests in flight are given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended."""

    interrupted: bool
    aborted: str | None
    lasted_s: float
    cpu_share: float
    """Of one core, that this process took."""


def run(
    session: Session,
    scenario: type[SoraUser],
    *,
    users: int,
    duration_s: float,
    limits: tuple[Limit, ...],
    interrupt: Interrupt,
    watch: Callable[[float], None] = lambda elapsed_s: None,
) -> Ended:
    """
    Run a scenario.

    Args:
        session: What the users share.
        scenario: Their class.
        users: How many at a time; in an open model the most requests that can be in flight.
        duration_s: Until no more is sent.
        limits: Any of which ends the run early.
        interrupt: By the first signal no more is sent, by the second what is in flight is given up.
        watch: Is called ten times a second.
    """
    environment = Environment(user_classes=[scenario], catch_exceptions=False)
    environment.sora_session = session  # type: ignore[attr-defined]  # ours, for user.session_of
    session.tell = show_in(environment)
    runner = environment.create_local_runner()
    signals: list[float] = []
    interrupt.tell(lambda: signals.append(time.monotonic()))
    aborted = session.discover()
    session.begin()
    started_s, cpu_s = time.monotonic(), time.process_time()
    if aborted is None:
        runner.start(users, spawn_rate=SPAWN_RATE)
    while aborted is None and (elapsed_s := time.monotonic() - started_s) < duration_s and not interrupt.seen:
        gevent.sleep(min(TICK_S, duration_s - elapsed_s))
        watch(elapsed_s)
        reached = next((each for each in limits if each.reached(session.metrics)), None)
        if reached is not None:
            aborted = f"aborted at {reached.text}"
            break
    drain(runner, session, lambda: len(signals) >= INSISTING)
    lasted_s = max(time.monotonic() - started_s, 0.001)
    share = (time.process_time() - cpu_s) / lasted_s
    runner.quit()
    interrupt.tell(None)
    return Ended(interrupted=interrupt.seen, aborted=aborted, lasted_s=lasted_s, cpu_share=share)
