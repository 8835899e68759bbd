"""
Ctrl-C as a wish, not as an exception.

A run that is interrupted still owes a whole verdict of what it saw. An exception thrown at an arbitrary line could leave
a judge or a report half done, so for as long as a command works, SIGINT and SIGTERM only set a flag and call whoever
wants to know. Who insists, by a third signal, gets the usual KeyboardInterrupt.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, ClassVar, Final, Self

PATIENCE: Final = 3
"""The signal by which we give in."""


class Interrupt:
    """
    A context in which SIGINT and SIGTERM set `seen`; outside of the main thread it changes nothing.

    The handlers that were there before come back at the end.
    """

    is_last: ClassVar[bool] = False
    """
    Whether the process ends with the context, as that of a command does: then SIGINT is ignored from there on. The verdict
    stands, and whoever insists would only take its exit code away.
    """

    def __init__(self) -> None:
        self.seen = False
        self._count = 0
        self._call: Callable[[], object] | None = None
        self._before: dict[signal.Signals, Any] = {}  # Any: what signal.signal returns and takes back

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self.is_last and number is signal.SIGINT else handler)
        self._before.clear()

    def tell(self, call: Callable[[], object] | None) -> None:
        """Have `call` called when a signal comes, at once if one has; None for nobody. It runs in the main thread."""
        self._call = call
        if call is not None and self.seen:
            call()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.seen = True
        self._count += 1
        if self._count >= PATIENCE:
            raise KeyboardInterrupt
        if self._call is not None:
            self._call()
