"""
Turns SIGINT and SIGTERM into a flag and a callback, for as long as a run lasts.

An interrupted run still owes a verdict of what it saw, and an exception raised at an arbitrary line could leave a judge or
a report half done. A third signal raises KeyboardInterrupt as usual.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self

FORCED_INTERRUPT_COUNT: Final = 3
"""The signal that raises KeyboardInterrupt."""


class ProcessInterruptHandler:
    """
    The SIGINT handler of a process that runs one command and ends.

    It raises KeyboardInterrupt until an `InterruptHandler` within the command has ended. From there on it does nothing: the
    verdict stands, and an exception would only replace its exit code.
    """

    def __init__(self) -> None:
        self.is_finished = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if not self.is_finished:
            raise KeyboardInterrupt


class InterruptHandler:
    """
    A context in which SIGINT and SIGTERM set `is_interrupted`; outside of the main thread it changes nothing.

    The previous handlers are restored at the end.
    """

    def __init__(self) -> None:
        self.is_interrupted = False
        self._count = 0
        self._callback: Callable[[], object] | None = None
        self._previous: dict[signal.Signals, Any] = {}  # Any: what signal.signal returns and takes back

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            if isinstance(handler, ProcessInterruptHandler):
                handler.is_finished = True
            signal.signal(number, handler)
        self._previous.clear()

    def set_callback(self, callback: Callable[[], object] | None) -> None:
        """Set what a signal calls, in the main thread; it is called at once if a signal has come already."""
        self._callback = callback
        if callback is not None and self.is_interrupted:
            callback()

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        self.is_interrupted = True
        self._count += 1
        if self._count >= FORCED_INTERRUPT_COUNT:
            raise KeyboardInterrupt
        if self._callback is not None:
            self._callback()
