"""
When a fault strikes at all: for one operation only, only after a while, only under load.

Every fault of the world or of responses takes these parameters besides its own.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from ..fault_interface import Fault, RequestContext, SampleObject, SimulatedResponse
from ..request_parser import ARGUMENT_TYPES
from ..world import SimulatedConnection, SimulatedWorld
from .parameters import FaultParameters, parse_integer_parameter, parse_seconds_parameter

CONDITION_DEFAULTS: Final = MappingProxyType({"target": "", "after": "0", "above": "0"})
"""
Each with its default, which is no limit: `target` is one operation's name, `after` seconds from the first request on,
`above` requests a second, of all nodes, over the second before.
"""

_SECOND_NS: Final = 1_000_000_000


def apply_conditions(fault: Fault, parameters: FaultParameters) -> Fault:
    """
    The fault, within the limits that are set.

    Raises:
        ValueError: A value does not fit.
    """
    names = [operation for _, operation in ARGUMENT_TYPES]
    target, after_s, above = (
        parameters["target"],
        parse_seconds_parameter(parameters, "after"),
        parse_integer_parameter(parameters, "above", least=0),
    )
    if target and target not in names:
        raise ValueError(f"target must be one of {', '.join(names)}, not {target!r}")
    return _ConditionalFault(fault, target, int(after_s * _SECOND_NS), above) if target or after_s or above else fault


class _ConditionalFault:
    """Hands on to a fault the calls in which it may strike. What comes before a call is known is handed on always."""

    def __init__(self, fault: Fault, target: str, after_ns: int, above: int) -> None:
        self._fault = fault
        self._target = target
        self._after_ns = after_ns
        self._rate = _RequestRateDetector(above)
        self._first_ns: int | None = None
        self._number = -1
        self._strikes = False
        self.transport = fault.transport

    def on_arguments(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._fault.on_arguments(arguments)

    def on_connections(
        self, call: RequestContext, world: SimulatedWorld, found: Sequence[SimulatedConnection]
    ) -> Sequence[SimulatedConnection]:
        return self._fault.on_connections(call, world, found) if self._conditions_hold(call) else found

    def delay_s(self, call: RequestContext) -> float:
        return self._fault.delay_s(call) if self._conditions_hold(call) else 0.0

    def on_samples(self, call: RequestContext, samples: Sequence[SampleObject]) -> Sequence[SampleObject]:
        return self._fault.on_samples(call, samples) if self._conditions_hold(call) else samples

    def on_response(self, call: RequestContext, reply: SimulatedResponse) -> SimulatedResponse:
        return self._fault.on_response(call, reply) if self._conditions_hold(call) else reply

    def _conditions_hold(self, call: RequestContext) -> bool:
        if call.number > self._number:  # the hooks of one call may be separated by others' calls
            self._number = call.number
            self._count_request(call.now_ns)
        if self._target and call.operation != self._target:
            return False
        assert self._first_ns is not None
        return call.now_ns - self._first_ns >= self._after_ns and self._rate.is_above

    def _count_request(self, now_ns: int) -> None:
        if self._first_ns is None:
            self._first_ns = now_ns
        self._rate.count_request(now_ns)


class _RequestRateDetector:
    """
    Whether more is asked than so many times a second.

    Whoever sends at a steady rate and is held up for a moment catches up in a burst: the second that has it in counts more
    than the rate. So the median has to say so besides, over the times that a tenth as many requests took each.
    """

    def __init__(self, above: int) -> None:
        self._above = above
        self._some = max(1, above // 10)
        self._times: deque[int] = deque()
        self._took: list[int] = []
        """How long so many requests took, ending at each of those of the last second; ascending."""

    def count_request(self, now_ns: int) -> None:
        """Count a request."""
        times, took, some = self._times, self._took, self._some
        times.append(now_ns)
        if len(times) > some:
            insort(took, now_ns - times[-1 - some])
        while times[0] <= now_ns - _SECOND_NS:
            if len(times) > some:
                del took[bisect_left(took, times[some] - times[0])]
            times.popleft()

    @property
    def is_above(self) -> bool:
        """Of the last second."""
        if len(self._times) <= self._above:
            return False
        return not self._above or self._took[len(self._took) // 2] * self._above < self._some * _SECOND_NS
