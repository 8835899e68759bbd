"""
Wakes a greenlet on time, within 50 us instead of the millisecond of `gevent.sleep`.

`gevent.sleep` counts in whole milliseconds of its loop's own clock, and is late by 0.5 ms at the median and 1.2 ms at
the 99th percentile; a Linux timer that is watched like a socket by 0.05 and 0.14 ms. Other systems only have the
former, and its inaccuracy shows in the send delay.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import gevent

TIMERFD_RANGE_NS: Final = 50_000_000
"""
The timer is used for this last part of a wait; before that, checking now and then whether the run is over is cheaper.
"""

CANCEL_POLL_S: Final = 0.2

_CLOCK_MONOTONIC: Final = 1
_TFD_TIMER_ABSTIME: Final = 1
_TIMERFD_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
_READ_EVENT: Final = 1


class _ITimerSpec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")]


class PreciseTimer:
    """Wakes one greenlet; must be closed."""

    def __init__(self) -> None:
        self._fd, self._set = _create_timerfd()
        self._watcher: Any = (
            None if self._fd is None else gevent.get_hub().loop.io(self._fd, _READ_EVENT)
        )  # Any: untyped

    def wait_until(self, due_ns: int, over: Callable[[], bool] = lambda: False) -> None:
        """Wait until a time by `time.monotonic_ns`, or until `over`, which is asked every 200 ms."""
        while (left_ns := due_ns - time.monotonic_ns()) > 0 and not over():
            if self._fd is None:
                gevent.sleep(min(left_ns / 1e9, CANCEL_POLL_S))
            elif left_ns > TIMERFD_RANGE_NS:
                gevent.sleep(min((left_ns - TIMERFD_RANGE_NS // 2) / 1e9, CANCEL_POLL_S))
            else:
                self._wait_on_timerfd(self._fd, due_ns)

    def _wait_on_timerfd(self, fd: int, due_ns: int) -> None:
        seconds, nanoseconds = divmod(due_ns, 1_000_000_000)
        value = _ITimerSpec(0, 0, seconds, nanoseconds)
        if self._set(fd, _TFD_TIMER_ABSTIME, ctypes.byref(value), None) != 0:
            self.close()
            return
        gevent.get_hub().wait(self._watcher)
        try:
            os.read(fd, 8)
        except BlockingIOError:
            pass  # a spurious wake-up; the caller checks the clock

    def close(self) -> None:
        """Release the timer."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._watcher.close()
            os.close(fd)


def _create_timerfd() -> tuple[int | None, Any]:  # Any: a function of libc
    if sys.platform != "linux":
        return None, None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.timerfd_create(_CLOCK_MONOTONIC, _TIMERFD_FLAGS)
        return (fd, libc.timerfd_settime) if fd >= 0 else (None, None)
    except (OSError, AttributeError):  # a libc without timerfd
        return None, None
