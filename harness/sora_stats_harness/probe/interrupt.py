"""
Takes Ctrl-C, SIGTERM and SIGHUP as requests to stop a run, not as exceptions.

An interrupted run still reports a verdict about what it saw. An exception at an arbitrary line could leave a judge or a
report in an inconsistent state, so while a command works, SIGINT, SIGTERM and SIGHUP only set a flag and call a
callback. The third signal ends the process of a command at once; elsewhere it raises the usual KeyboardInterrupt.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn, Self

from ..api.errors import ExitCode

ABANDONING_INTERRUPT_COUNT: Final = 2
"""The signal of this number gives up open requests."""

FORCED_INTERRUPT_COUNT: Final = 3
"""The signal of this number ends the process at once."""

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptHandler:
    """
    A context in which signals set `is_interrupted`; it has no effect outside of the main thread.

    The previous handlers are restored at the end. A signal that is ignored, as under `nohup`, stays ignored.

    Args:
        ends_process:
            Whether the process ends after the context, as that of a command does: then signals are ignored from there
            on. The verdict is decided by then, and another signal would only replace its exit code.
    """

    def __init__(self, *, ends_process: bool = False) -> None:
        self.is_interrupted: bool = False
        self._ends_process = ends_process
        self._count = 0
        self._call: Callable[[], object] | None = None
        self._before: dict[signal.Signals, Any] = {}  # Any: what signal.signal returns and takes back

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self._ends_process else handler)
        self._before.clear()

    @property
    def gives_up(self) -> bool:
        """Whether there were enough signals to give up open requests."""
        return self._count >= ABANDONING_INTERRUPT_COUNT

    def set_callback(self, call: Callable[[], object] | None) -> None:
        """
        Set the function to call on a signal, or None; it is called at once if a signal came already. Runs in the main
        thread.
        """
        self._call = call
        if call is not None and self.is_interrupted:
            call()

    def request_stop(self) -> None:
        """Set the flag and call the callback, as a signal does."""
        self.is_interrupted = True
        if self._call is not None:
            self._call()

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count >= FORCED_INTERRUPT_COUNT:
            if self._ends_process:
                end_process_at_signal(number, frame)
            raise KeyboardInterrupt
        self.request_stop()


def end_process_at_signal(number: int, frame: FrameType | None) -> NoReturn:
    """
    Say that the process was interrupted, and end it, without an exception at an arbitrary line or anything that could
    hang.

    An exception while Locust replaces modules can leave locks behind that are never released.
    """
    os.write(2, b"\nsora-harness: interrupted\n")
    os._exit(ExitCode.INCONCLUSIVE)


def handle_signals(handler: Any) -> None:  # Any: as signal.signal takes it
    """Set the handler of all signals but ignored ones, which stay ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
