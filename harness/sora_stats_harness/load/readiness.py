"""
Waits until a socket is readable, or a time has come.

Made, started and stopped for each wait, as is usual, the two cost a fifth of what a response costs before it is judged. So
the watcher is left running: between two responses nothing is to be read, and it costs nothing. And since the deadlines of a
connection only move on, the timer that is there may ring at one that no longer counts: it is then set to the one that
does.
"""

from __future__ import annotations

import time
from typing import Any

import gevent


class ReadinessWaiter:
    """
    Lets one greenlet wait for one socket; to be closed before the socket is.

    Args:
        descriptor: The socket's.
    """

    __slots__ = ("_deadline_ns", "_hub", "_timer", "_waiting", "_watcher", "has_pending_data")

    def __init__(self, descriptor: int) -> None:
        self._hub: Any = gevent.get_hub()  # Any: gevent's, of which there are no types, as of all below
        self._timer: Any = None
        """None while no timer runs."""
        self._waiting: Any = None
        """A greenlet."""
        self._deadline_ns = 0
        self.has_pending_data: bool = False
        """Whether something came while nobody waited for it; until somebody waits."""
        self._watcher: Any = self._hub.loop.io(descriptor, 1)
        self._watcher.start(self._on_readable)

    def wait(self, due_ns: int) -> None:
        """
        Wait until there is something to read.

        Args:
            due_ns: By `time.monotonic_ns`; never before that of an earlier wait.

        Raises:
            TimeoutError: It was not there in time.
        """
        self._deadline_ns = due_ns
        if self._timer is None:
            self._start_timer()
        if self.has_pending_data:
            self.has_pending_data = False
            self._watcher.start(self._on_readable)
        self._waiting = gevent.getcurrent()
        try:
            self._hub.switch()
        finally:
            self._waiting = None

    def close(self) -> None:
        """Give watcher and timer back."""
        self._watcher.stop()
        self._watcher.close()
        self._stop_timer()

    def _on_readable(self) -> None:
        if self._waiting is not None:
            self._waiting.switch()
        else:  # it would ring until somebody reads
            self.has_pending_data = True
            self._watcher.stop()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()
            timer.close()

    def _start_timer(self) -> None:
        left_s = max(0.0, (self._deadline_ns - time.monotonic_ns()) / 1e9)
        # No loop is to go on for its sake: whoever waits does so for the watcher.
        self._timer = self._hub.loop.timer(left_s, ref=False)
        self._timer.start(self._on_timer)

    def _on_timer(self) -> None:
        self._stop_timer()
        if self._waiting is None:
            return
        if time.monotonic_ns() < self._deadline_ns:
            self._start_timer()
        else:
            self._waiting.throw(TimeoutError())
