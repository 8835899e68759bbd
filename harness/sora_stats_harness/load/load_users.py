"""Waits for Locust's users to be ready before the first request, and drains them without cutting off open requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import gevent
from locust import runners

from .load_session import LoadSession

USERS_READY_TIMEOUT_S: Final = 30.0
"""If users are not ready after this time, the harness is at fault."""

POLL_S: Final = 0.01


class InterruptSignal(Protocol):
    """Says whether the run should end: an `InterruptHandler`."""

    is_interrupted: bool

    @property
    def gives_up(self) -> bool:
        """Whether open requests are given up."""


def forgo_caller_lookup() -> None:
    """Keep Locust from reading the source of every frame when a run ends: 40 ms, for a message at level DEBUG."""
    runners.inspect = None  # type: ignore[assignment,attr-defined]  # Locust catches whatever comes of it


def wait_for_users(ready: Callable[[], int], users: int, should_stop: Callable[[], bool]) -> str | None:
    """
    Wait until all users are ready to send; returns what is wrong if they are not.

    A request that is late because no user was ready to send it would say nothing about the server.
    """
    until_s = time.monotonic() + USERS_READY_TIMEOUT_S
    while (standing := ready()) < users and not should_stop():
        if time.monotonic() > until_s:
            return f"only {standing:,} of {users:,} users were ready after {USERS_READY_TIMEOUT_S:g} s"
        gevent.sleep(POLL_S)
    return None


def drain_users(runner: Any, session: LoadSession, give_up: Callable[[], bool]) -> None:  # Any: a Locust runner
    """
    Stop sending, and wait until no user of ours is left or open requests are given up.

    The wait for a user is at most as long as an exchange may take, but if its response is being judged, as long as that
    takes: if the user were stopped meanwhile, the response would not be counted.
    """
    session.drain()
    until_s = time.monotonic() + session.timeout_s + 1
    while _has_users(runner) and (time.monotonic() < until_s or session.in_flight) and not give_up():
        gevent.sleep(POLL_S)
    if give_up():
        runner.user_greenlets.kill()  # their open requests end as abandoned
    session.judge.judge_pending()


def _has_users(runner: Any) -> bool:  # Any: as above
    """Whether a user of ours is left; those of other classes, which a locustfile may have, don't know that they should go."""
    # a greenlet that has ended has no arguments
    return any(hasattr(user, "choose") for each in runner.user_greenlets for user in each.args)
