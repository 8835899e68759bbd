"""Totals over all connections of a process: bytes, connections, and times to connect."""

from __future__ import annotations

from typing import Final

import msgspec

from . import kernel_timestamps as stamps
from .histogram import Histogram

RECEIVE_BYTES: Final = 256 * 1024


class TransportTotals(msgspec.Struct, kw_only=True):
    """The totals over all connections of a run."""

    sent_bytes: int = 0
    received_bytes: int = 0
    connects: int = 0
    idle_closes: int = 0
    """How many requests met a kept-alive connection that the server was closing."""
    unsolicited: int = 0
    """How many idle connections received unrequested bytes."""
    connect_times: Histogram = msgspec.field(default_factory=Histogram)
    """Times to connect, without TLS: never part of service time."""
    tls_times: Histogram = msgspec.field(default_factory=Histogram)
    """Times of TLS handshakes."""

    def add(self, other: TransportTotals) -> None:
        """Add the totals of another process."""
        self.sent_bytes += other.sent_bytes
        self.received_bytes += other.received_bytes
        self.connects += other.connects
        self.idle_closes += other.idle_closes
        self.unsolicited += other.unsolicited
        self.connect_times.merge(other.connect_times)
        self.tls_times.merge(other.tls_times)


class TransportStats(TransportTotals, kw_only=True):
    """The totals of one process so far, and the memory that its connections share."""

    has_odd_closes: bool = False
    """Whether this process met an idle close, or unrequested bytes."""
    buffered_body_bytes: int = 0
    """The bytes of all bodies that are being read."""
    receive_buffer: memoryview = msgspec.field(default_factory=lambda: memoryview(bytearray(RECEIVE_BYTES)))
    """
    The buffer that all connections receive into; no other connection runs between receiving and parsing. A new buffer
    for each receipt would have its pages allocated and freed every time, almost half of what a response costs before it
    is judged.
    """
    clock_converter: stamps.ClockConverter = msgspec.field(default_factory=stamps.ClockConverter)
    """
    Shared by all connections: it measures the offset of the clocks every 100 ms, and some connections are used rarely.
    """

    def totals(self) -> TransportTotals:
        """The totals alone, as a message."""
        return msgspec.convert(self, TransportTotals, from_attributes=True)
