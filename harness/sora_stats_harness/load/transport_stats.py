"""
What all connections of a process did, in sum: bytes, connections, and times to connect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import kernel_timestamps as stamps
from .histogram import Histogram

RECEIVE_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class TransportStats:
    """What all connections of a run did, in sum."""

    sent_bytes: int = 0
    received_bytes: int = 0
    connects: int = 0
    idle_closes: int = 0
    """Requests that met a kept-alive connection which the server was closing."""
    unsolicited: int = 0
    """Idle connections on which bytes came that nobody had asked for."""
    buffered_body_bytes: int = 0
    """Of all bodies being read now."""
    receive_buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(RECEIVE_BYTES)))
    """
    Into which all of them receive, since none runs between another's receiving and its parsing: a piece of memory for
    each receipt, large enough for any, has its pages fetched and given back every time: measured, almost half of what an
    response costs before it is judged.
    """
    clock_converter: stamps.ClockConverter = field(default_factory=stamps.ClockConverter)
    """Of all of them: the distance between the clocks is measured anew every 100 ms, and some are used less often."""
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
        Add what another process did.

        Raises:
            KeyError, TypeError, ValueError: It is no such state.
        """
        for name in _SUMMED_STATS:
            setattr(self, name, getattr(self, name) + int(state[name]))
        self.connect_times.merge(Histogram.deserialize(state["connect"]))
        self.tls_times.merge(Histogram.deserialize(state["tls"]))


_SUMMED_STATS: Final = ("sent_bytes", "received_bytes", "connects", "idle_closes", "unsolicited")
"""Of `TransportStats` what adds up."""
