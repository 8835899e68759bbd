"""Totals over all connections of a process: bytes, connections, and times to connect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import kernel_timestamps as stamps
from .histogram import Histogram

RECEIVE_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class TransportStats:
    """The totals over all connections of a run, and the memory that they share."""

    sent_bytes: int = 0
    received_bytes: int = 0
    connects: int = 0
    idle_closes: int = 0
    """How many requests met a kept-alive connection that the server was closing."""
    unsolicited: int = 0
    """How many idle connections received unrequested bytes."""
    has_odd_closes: bool = False
    """Whether this process met any of these two."""
    buffered_body_bytes: int = 0
    """The bytes of all bodies that are being read."""
    receive_buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(RECEIVE_BYTES)))
    """
    The buffer that all connections receive into; no other connection runs between receiving and parsing. A new buffer
    for each receipt would have its pages allocated and freed every time, almost half of what a response costs before it
    is judged.
    """
    clock_converter: stamps.ClockConverter = field(default_factory=stamps.ClockConverter)
    """
    Shared by all connections: it measures the offset of the clocks every 100 ms, and some connections are used rarely.
    """
    connect_times: Histogram = field(default_factory=Histogram)
    """Times to connect, without TLS: never part of service time."""
    tls_times: Histogram = field(default_factory=Histogram)
    """Times of TLS handshakes."""

    def serialize(self) -> dict[str, Any]:  # Any: plain values
        """The state as plain values, for a message."""
        counts = {name: getattr(self, name) for name in _SUMMED_STATS}
        return counts | {"connect": self.connect_times.serialize(), "tls": self.tls_times.serialize()}

    def add_serialized(self, state: Mapping[str, Any]) -> None:  # Any: as above
        """
        Add the totals of another process.

        Raises:
            KeyError, TypeError, ValueError: It is no such state.
        """
        for name in _SUMMED_STATS:
            setattr(self, name, getattr(self, name) + int(state[name]))
        self.connect_times.merge(Histogram.deserialize(state["connect"]))
        self.tls_times.merge(Histogram.deserialize(state["tls"]))


_SUMMED_STATS: Final = ("sent_bytes", "received_bytes", "connects", "idle_closes", "unsolicited")
"""The fields of `TransportStats` that are summed."""
