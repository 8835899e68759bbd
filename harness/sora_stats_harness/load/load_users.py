"""
Starts and stops Locust's users: all are ready before the first request, and none is stopped while it waits.
response is on the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import gevent

from .load_session import LoadSession

USERS_READY_TIMEOUT_S: Final = 30.0
"""Users that are not all ready after so long are a fault of the harness."""

POLL_S: Final = 0.01


def wait_for_users(ready: Callable[[], int], users: int, should_stop: Callable[[], bool]) -> str | None:
    """
    Wait until all users are ready to send.

    A request that is late because nobody was there to send it would say nothing of the server.

    Args:
        ready: Tells how many are.
        users: How many are to be.
        should_stop: Ends the wait.

    Returns:
        What is wrong where they are not; None where they are, or the wait was ended.
    """
    until_s = time.monotonic() + USERS_READY_TIMEOUT_S
    while (standing := ready()) < users and not should_stop():
        if time.monotonic() > until_s:
            return f"only {standing:,} of {users:,} users were ready after {USERS_READY_TIMEOUT_S:g} s"
        gevent.sleep(POLL_S)
    return None


def drain_users(
    runner: Any, session: LoadSession, give_up: Callable[[], bool] = lambda: False
) -> None:  # Any: a Locust runner
    """
    Have nothing more sent, and wait until no user is left or what is in flight is given up.

    A user that sends nothing is waited for no longer than the longest exchange may take; one whose response is in, and
    takes its time to be judged, until it is judged: a response whose user is stopped meanwhile would be counted nowhere.
    """
    session.drain()
    until_s = time.monotonic() + session.timeout_s + 1
    while len(runner.user_greenlets) and (time.monotonic() < until_s or session.in_flight) and not give_up():
        gevent.sleep(POLL_S)
    session.judge.judge_pending()
