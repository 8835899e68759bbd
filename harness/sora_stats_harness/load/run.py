"""
A load run from start to end: users start, send, are told to stop, finish what is in flight, and only then it is over.

A run is bounded before it begins, and ends by itself: by its duration, by a limit that it was told to abort at, or by its
user. Requests in flight at the end are waited for, never cut off, so that what was sent is what was judged, failed or
given up.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import gevent
from locust.env import Environment

from ..errors import UsageError
from ..interrupt import Interrupt
from .session import Session
from .user import SoraUser

TICK_S: Final = 0.1

SPAWN_RATE: Final = 100.0
"""Users that are started a second."""

_LIMIT = re.compile(r"(errors|p99)>([0-9.]+)(%|us|ms|s)")
_TIMES_US: Final = {"us": 1, "ms": 1_000, "s": 1_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """When to abort: a share of errors, or a 99th percentile of response time, over the last ten seconds."""

    text: str
    errors: float | None = None
    p99_us: int | None = None

    def reached(self, session: Session) -> bool:
        """Whether it is exceeded; never on fewer than a hundred answers."""
        metrics = session.metrics
        if self.errors is not None:
            share = metrics.recent_errors()
            return share is not None and share > self.errors
        assert self.p99_us is not None, "a limit is one or the other"
        p99_us = metrics.recent_p99_us()
        return p99_us is not None and p99_us > self.p99_us


def limit(text: str) -> Limit:
    """
    Read a limit: `errors>5%`, `p99>10s`.

    Raises:
        UsageError: It is none.

    >>> limit("p99>50ms").p99_us
    50000
    """
    parts = _LIMIT.fullmatch(text.replace(" ", ""))
    if parts is None or (parts[1] == "errors") != (parts[3] == "%") or parts[2].count(".") > 1:
        raise UsageError(f"--abort-when: {text!r} is no limit: give errors>5% or p99>10s")
    if parts[3] == "%":
        return Limit(text=text, errors=float(parts[2]) / 100)
    return Limit(text=text, p99_us=int(float(parts[2]) * _TIMES_US[parts[3]]))


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
        interrupt: Ends it at once, in good order.
        watch: Is called ten times a second.
    """
    environment = Environment(user_classes=[scenario], catch_exceptions=False)
    environment.sora_session = session  # type: ignore[attr-defined]  # ours, for user.session_of
    runner = environment.create_local_runner()
    session.discover()
    session.begin()
    started_s, cpu_s = time.monotonic(), time.process_time()
    runner.start(users, spawn_rate=SPAWN_RATE)
    aborted = None
    while (elapsed_s := time.monotonic() - started_s) < duration_s and not interrupt.seen:
        gevent.sleep(min(TICK_S, duration_s - elapsed_s))
        watch(elapsed_s)
        reached = next((each for each in limits if each.reached(session)), None)
        if reached is not None:
            aborted = f"aborted at {reached.text}"
            break
    session.drain()
    until_s = time.monotonic() + session.timeout_s + 1
    while session.in_flight and time.monotonic() < until_s:
        gevent.sleep(TICK_S / 10)
    lasted_s = time.monotonic() - started_s
    share = (time.process_time() - cpu_s) / lasted_s
    runner.quit()
    return Ended(interrupted=interrupt.seen, aborted=aborted, lasted_s=lasted_s, cpu_share=share)
