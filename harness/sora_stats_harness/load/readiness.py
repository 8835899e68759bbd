"""
Waits until a socket is readable, or a deadline.

Creating, starting and stopping a watcher and a timer for each wait, as usual, costs a fifth of the time of a response
before it is judged. So the watcher keeps running: between two responses there is nothing to read, so it costs nothing.
And since the deadlines of a connection only advance, the timer may fire at an old deadline, and is then set to the
current one.
"""

from __future__ import annotations

import time
from typing import Any

import gevent


class ReadinessWaiter:
    """Lets one greenlet wait for one socket, given by its descriptor; must be closed before the socket."""

    __slots__ = ("_deadline_ns", "_hub", "_timer", "_waiting", "_watcher", "has_pending_data")

    def __init__(self, descriptor: int) -> None:
        self._hub: Any = gevent.get_hub()  # Any: gevent's types, here and below; it has no type annotations
        self._timer: Any = None
        """The timer; None while none runs."""
        self._waiting: Any = None
        """The greenlet that waits."""
        self._deadline_ns = 0
        self.has_pending_data: bool = False
        """Whether something came since the last wait."""
        self._watcher: Any = self._hub.loop.io(descriptor, 1)
        self._watcher.start(self._on_readable)

    def wait(self, due_ns: int) -> None:
        """
        Wait until the socket is readable.

        Args:
            due_ns: The deadline by `time.monotonic_ns`; never before that of an earlier wait.

        Raises:
            TimeoutError: The socket was not readable in time.
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
        """Release watcher and timer."""
        self._watcher.stop()
        self._watcher.close()
        self._stop_timer()

    def _on_readable(self) -> None:
        if self._waiting is not None:
            self._waiting.switch()
        else:  # it would fire until the bytes are read
            self.has_pending_data = True
            self._watcher.stop()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()
            timer.close()

    def _start_timer(self) -> None:
        left_s = max(0.0, (self._deadline_ns - time.monotonic_ns()) / 1e9)
        # It must not keep the loop alive; the watcher does that during a wait.
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
