"""
Faults of a server that is asked more than it bears: responses that take long, and media that suffer.

Both are no breach of the API. They are what a search for capacity, and a watch over the media, have to see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from ..fault_interface import RequestContext, SampleObject
from .fault_kind import FaultKind, HookedFault, LeafAccessor, make_strike_counter
from .parameters import FaultParameters, parse_integer_parameter, parse_seconds_parameter

OVERLOAD_GROWTH_PER_SECOND: Final = (
    ("rtcp.total_generic_nack_cache_miss", 5),
    ("ice_connection_state.total_checking_duration_ms", 100),
    ("ice_connection_state.total_disconnected_duration_ms", 50),
    ("network_status.total_unstable_level3", 1),
)
"""Counters, and by how much more they grow each second while too much is asked."""

OVERLOAD_ROUND_TRIP_INCREASE: Final = ("cc.round_trip_time", 80)
"""A gauge, and by how much it is higher meanwhile."""

_SECOND_NS: Final = 1_000_000_000


def _build_slow_response(parameters: FaultParameters) -> HookedFault:
    """Every so-many-th request waits."""
    strikes, by_s = make_strike_counter(parameters), parse_seconds_parameter(parameters, "by")
    return HookedFault(delay_s=lambda call: by_s if call.operation is not None and strikes("") else 0.0)


class _OverloadDegradation:
    """How long too much has been asked, in sum: what has been suffered stays in the counters."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._times: deque[int] = deque()
        self._last_ns: int | None = None
        self._suffered_ns = 0
        self._places = [(LeafAccessor(dotted), much) for dotted, much in OVERLOAD_GROWTH_PER_SECOND]
        self._worst = self._places[-1][0]
        self._levels = [LeafAccessor(f"network_status.total_unstable_level{level}") for level in range(4)]
        self._round_trip = LeafAccessor(OVERLOAD_ROUND_TRIP_INCREASE[0])

    @property
    def is_overloaded(self) -> bool:
        """Whether more was asked in the last second than is borne."""
        return len(self._times) > self._rate

    def count_request(self, call: RequestContext) -> float:
        """Count a request; it takes no longer for that."""
        now_ns = call.now_ns
        if self.is_overloaded and self._last_ns is not None:
            self._suffered_ns += min(max(now_ns - self._last_ns, 0), _SECOND_NS)
        self._last_ns = now_ns
        self._times.append(now_ns)
        while self._times[0] <= now_ns - _SECOND_NS:
            self._times.popleft()
        return 0.0

    def degrade_samples(self, call: RequestContext, given: list[SampleObject]) -> Sequence[SampleObject]:
        """Add what was suffered so far; the same to every connection."""
        for sample in given:
            judged = any(place.get_value(sample) for place in self._levels)
            for place, much in self._places:
                if place is self._worst and not judged:
                    continue  # no level was counted yet, and the one of the moment is not this one
                if isinstance(value := place.get_value(sample), int):
                    place.set_value(sample, value + self._suffered_ns * much // _SECOND_NS)
            if self.is_overloaded and isinstance(value := self._round_trip.get_value(sample), int):
                self._round_trip.set_value(sample, value + OVERLOAD_ROUND_TRIP_INCREASE[1])
        return given


def _build_overload_degradation(parameters: FaultParameters) -> HookedFault:
    suffering = _OverloadDegradation(parse_integer_parameter(parameters, "rate"))
    return HookedFault(delay_s=suffering.count_request, samples=suffering.degrade_samples)


OVERLOAD_FAULT_KINDS: Final = (
    FaultKind(
        name="slow-responses",
        description="now and then a response takes long; with `above` only where more is asked than that",
        violated_requirements=frozenset(),
        build=_build_slow_response,
        own_parameters={"every": "20", "by": "0.1"},
    ),
    FaultKind(
        name="media-suffer",
        description="losses, connectivity checks and round trips grow while more than `rate` requests a second come",
        violated_requirements=frozenset(),
        build=_build_overload_degradation,
        own_parameters={"rate": "50"},
    ),
)
