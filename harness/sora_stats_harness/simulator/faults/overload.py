"""
Faults of an overloaded server: responses that take long, and media that suffer.

They don't violate the API. The capacity search and `--watch-media` have to detect them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from ..fault_interface import Fault, ReceivedRequest, SampleObject
from .fault_kind import FaultFamily, LeafAccessor
from .parameters import FaultParameters

FAULTS: Final = FaultFamily()

OVERLOAD_GROWTH_PER_SECOND: Final = (
    ("rtcp.total_generic_nack_cache_miss", 5),
    ("ice_connection_state.total_checking_duration_ms", 100),
    ("ice_connection_state.total_disconnected_duration_ms", 50),
    ("network_status.total_unstable_level3", 1),
)
"""Counters, and by how much more they grow for each second of overload."""

OVERLOAD_ROUND_TRIP_INCREASE: Final = ("cc.round_trip_time", 80)
"""A gauge, and by how much it is higher during overload."""

_SECOND_NS: Final = 1_000_000_000


@FAULTS.fault(
    "slow-responses",
    "now and then a response takes long; with `above` only at a higher rate than that",
    "",
    own={"every": "20", "by": "0.1"},
)
def _build_slow_responses(parameters: FaultParameters) -> Fault:
    strikes, by_s = parameters.strikes(), parameters.seconds("by")
    return Fault(delay_s=lambda call: by_s if call.operation is not None and strikes() else 0.0)


@FAULTS.fault(
    "media-suffer",
    "losses, connectivity checks and round trips grow while more than `rate` requests per second come",
    "",
    own={"rate": "50"},
)
def _build_overload_degradation(parameters: FaultParameters) -> Fault:
    degradation = _OverloadDegradation(parameters.integer("rate"))
    return Fault(delay_s=degradation.count_request, on_samples=degradation.degrade_samples)


class _OverloadDegradation:
    """Adds up how long the server was overloaded; the effects on the media stay in the counters."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._times: deque[int] = deque()
        self._last_ns: int | None = None
        self._overloaded_ns = 0
        self._counters = [(LeafAccessor(dotted), growth) for dotted, growth in OVERLOAD_GROWTH_PER_SECOND]
        self._worst_level = self._counters[-1][0]
        self._levels = [LeafAccessor(f"network_status.total_unstable_level{level}") for level in range(4)]
        self._round_trip = LeafAccessor(OVERLOAD_ROUND_TRIP_INCREASE[0])

    @property
    def is_overloaded(self) -> bool:
        """Whether more requests came in the last second than the server can handle."""
        return len(self._times) > self._rate

    def count_request(self, call: ReceivedRequest) -> float:
        """Count a request; returns no additional delay."""
        now_ns = call.now_ns
        if self.is_overloaded and self._last_ns is not None:
            self._overloaded_ns += min(max(now_ns - self._last_ns, 0), _SECOND_NS)
        self._last_ns = now_ns
        self._times.append(now_ns)
        while self._times[0] <= now_ns - _SECOND_NS:
            self._times.popleft()
        return 0.0

    def degrade_samples(self, call: ReceivedRequest, samples: Sequence[SampleObject]) -> Sequence[SampleObject]:
        """Add the effects so far, the same for every connection."""
        for sample in samples:
            has_level = any(level.get_value(sample) for level in self._levels)
            for counter, growth in self._counters:
                if counter is self._worst_level and not has_level:
                    continue  # the current level has to be counted first, and it is not this one
                if isinstance(value := counter.get_value(sample), int):
                    counter.set_value(sample, value + self._overloaded_ns * growth // _SECOND_NS)
            if self.is_overloaded and isinstance(value := self._round_trip.get_value(sample), int):
                self._round_trip.set_value(sample, value + OVERLOAD_ROUND_TRIP_INCREASE[1])
        return samples
