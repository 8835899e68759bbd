"""
Faults of a server that is asked more than it bears: answers that take long, and media that suffer.

Both are no breach of the API. They are what a search for capacity, and a watch over the media, have to see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from ..calls import Call, Reading
from .kinds import FaultKind, Hooks, Place, turn
from .parameters import Parameters, number, seconds

SUFFERS: Final = (
    ("rtcp.total_generic_nack_cache_miss", 5),
    ("ice_connection_state.total_checking_duration_ms", 100),
    ("ice_connection_state.total_disconnected_duration_ms", 50),
    ("network_status.total_unstable_level3", 1),
)
"""Counters, and by how much more they grow each second while too much is asked."""

ROUND_TRIP: Final = ("cc.round_trip_time", 80)
"""A gauge, and by how much it is higher meanwhile."""

_SECOND_NS: Final = 1_000_000_000


def _slow(parameters: Parameters) -> Hooks:
    """Every so-many-th request waits."""
    strikes, by_s = turn(parameters), seconds(parameters, "by")
    return Hooks(delay_s=lambda call: by_s if call.operation is not None and strikes("") else 0.0)


class _Suffering:
    """How long too much has been asked, in sum: what has been suffered stays in the counters."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._times: deque[int] = deque()
        self._last_ns: int | None = None
        self._suffered_ns = 0
        self._places = [(Place(dotted), much) for dotted, much in SUFFERS]
        self._worst = self._places[-1][0]
        self._levels = [Place(f"network_status.total_unstable_level{level}") for level in range(4)]
        self._round_trip = Place(ROUND_TRIP[0])

    @property
    def now(self) -> bool:
        """Whether more was asked in the last second than is borne."""
        return len(self._times) > self._rate

    def note(self, call: Call) -> float:
        """Count a request; it takes no longer for that."""
        now_ns = call.now_ns
        if self.now and self._last_ns is not None:
            self._suffered_ns += min(max(now_ns - self._last_ns, 0), _SECOND_NS)
        self._last_ns = now_ns
        self._times.append(now_ns)
        while self._times[0] <= now_ns - _SECOND_NS:
            self._times.popleft()
        return 0.0

    def readings(self, call: Call, given: list[Reading]) -> Sequence[Reading]:
        """Add what was suffered so far; the same to every connection."""
        for reading in given:
            judged = any(place.get(reading) for place in self._levels)
            for place, much in self._places:
                if place is self._worst and not judged:
                    continue  # no level was counted yet, and the one of the moment is not this one
                if isinstance(value := place.get(reading), int):
                    place.put(reading, value + self._suffered_ns * much // _SECOND_NS)
            if self.now and isinstance(value := self._round_trip.get(reading), int):
                self._round_trip.put(reading, value + ROUND_TRIP[1])
        return given


def _suffering(parameters: Parameters) -> Hooks:
    suffering = _Suffering(number(parameters, "rate"))
    return Hooks(delay_s=suffering.note, readings=suffering.readings)


KINDS: Final = (
    FaultKind(
        name="slow-answers",
        description="now and then an answer takes long; with `above` only where more is asked than that",
        trips=frozenset(),
        build=_slow,
        own={"every": "20", "by": "0.1"},
    ),
    FaultKind(
        name="media-suffer",
        description="losses, connectivity checks and round trips grow while more than `rate` requests a second come",
        trips=frozenset(),
        build=_suffering,
        own={"rate": "50"},
    ),
)
