"""
Ending waits on time, with one timer for many of them.

A timer that is made, started, stopped and closed for each wait costs a seventh of what an answer costs before it is
judged. But the deadlines of a connection only move on. So the timer that is there may ring at one that no longer counts:
it is then set to the one that does.
"""

from __future__ import annotations

import time
from typing import Any

import gevent


class Deadline:
    """Holds one greenlet's waits to a time; to be closed."""

    __slots__ = ("_due_ns", "_timer", "_waiting")

    def __init__(self) -> None:
        self._timer: Any = None  # Any: gevent's, of which there are no types; None while no timer runs
        self._waiting: Any = None  # Any: a greenlet
        self._due_ns = 0

    def wait(self, watcher: Any, due_ns: int) -> None:  # Any: a watcher of gevent's loop
        """
        Wait until something is ready.

        Args:
            watcher: Of what is waited for.
            due_ns: By `time.monotonic_ns`; never before that of an earlier wait.

        Raises:
            TimeoutError: It was not ready in time.
        """
        self._due_ns = due_ns
        if self._timer is None:
            self._start()
        self._waiting = gevent.getcurrent()
        try:
            gevent.get_hub().wait(watcher)
        finally:
            self._waiting = None

    def close(self) -> None:
        """Give the timer back."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()
            timer.close()

    def _start(self) -> None:
        left_s = max(0.0, (self._due_ns - time.monotonic_ns()) / 1e9)
        # No loop is to go on for its sake: whoever waits does so for the watcher.
        self._timer = gevent.get_hub().loop.timer(left_s, ref=False)
        self._timer.start(self._ring)

    def _ring(self) -> None:
        self.close()
        if self._waiting is None:
            return
        if time.monotonic_ns() < self._due_ns:
            self._start()
        else:
            self._waiting.throw(TimeoutError())
