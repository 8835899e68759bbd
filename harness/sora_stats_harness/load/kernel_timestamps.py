"""
Reads the kernel's times of arrival.

In a busy generator a response waits in the socket's buffer until its reader's turn comes: with 16 connections in a
closed loop, 2,102 of 2,262 us of "latency" were that wait, the generator's own. Linux returns the time of arrival with
the bytes, by the wall clock; here it is converted to the monotonic clock. On other systems, and with TLS, there is
none.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from typing import Final

SO_TIMESTAMPNS: Final = 35
"""The value on Linux, on all but three old architectures; Python has no name for it."""

ANCILLARY_BUFFER_BYTES: Final = 64
"""How many bytes of ancillary data to receive."""

CLOCK_OFFSET_LIFETIME_NS: Final = 100_000_000
"""For how long the offset of the clocks is trusted; a slewed wall clock moves by at most 50 us in that time."""

_unpack_timespec: Final = struct.Struct("@qq").unpack
_TIMESPEC_BYTES: Final = 16
_SOL_SOCKET: Final = socket.SOL_SOCKET


def enable_timestamps(sock: socket.socket) -> bool:
    """Enable the kernel's timestamps on this socket; returns whether that is possible."""
    if sys.platform != "linux" or sys.byteorder != "little":
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


def read_timestamp(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """The wall-clock time in ancillary data, in nanoseconds; the first responses of a run may have none."""
    for level, kind, data in ancillary:
        if kind == SO_TIMESTAMPNS and level == _SOL_SOCKET and len(data) == _TIMESPEC_BYTES:
            seconds, nanoseconds = _unpack_timespec(data)
            wall_ns: int = seconds * 1_000_000_000 + nanoseconds
            return wall_ns
    return None


class ClockConverter:
    """Converts wall-clock times to monotonic ones."""

    __slots__ = ("_measured_ns", "_offset_ns")

    def __init__(self) -> None:
        self._measured_ns = -CLOCK_OFFSET_LIFETIME_NS
        self._offset_ns = 0

    def to_monotonic(self, wall_ns: int, *, after_ns: int) -> int | None:
        """
        Convert a time of arrival.

        Args:
            wall_ns: The time by the wall clock.
            after_ns: When the request was sent, by the monotonic clock.

        Returns:
            The time; None if it would be before the sending, or in the future, since then the wall clock was set.
        """
        now_ns = time.monotonic_ns()
        if now_ns - self._measured_ns > CLOCK_OFFSET_LIFETIME_NS:
            self._offset_ns = _measure_clock_offset_ns()
            self._measured_ns = now_ns
        arrived_ns = wall_ns + self._offset_ns
        return arrived_ns if after_ns <= arrived_ns <= now_ns else None


def _measure_clock_offset_ns() -> int:
    """Monotonic minus wall clock, from the tightest of five tries, since the process may be interrupted in between."""
    best: tuple[int, int] | None = None
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, (before + after) // 2 - wall)
    assert best is not None
    return best[1]
