"""
The parameters of a fault on the command line, and what decides when it strikes: a counter, and conditions.

Every fault of the world or of responses takes conditions besides its own parameters: `target` is one operation's name,
`after` is in seconds from the first request on, `above` in requests a second, of all nodes, over the last second.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ..fault_interface import Fault, ReceivedRequest
from ..request_parser import ARGUMENT_TYPES

CONDITION_DEFAULTS: Final[Mapping[str, str]] = {"target": "", "after": "0", "above": "0"}
"""The conditions' parameters with their defaults, which mean no condition."""

_SECOND_NS: Final = 1_000_000_000


class FaultParameters(dict[str, str]):
    """The parameters of one fault, with defaults filled in; each is parsed when it is read."""

    def integer(self, key: str, least: int = 1) -> int:
        """
        Read a parameter as an integer.

        Raises:
            ValueError: It is not an integer, or below `least`.
        """
        text = self[key]
        if not text.isascii() or not text.isdecimal() or int(text) < least:
            raise ValueError(f"{key} must be an integer of at least {least}, not {text!r}")
        return int(text)

    def seconds(self, key: str) -> float:
        """
        Read a parameter as a time in seconds.

        Raises:
            ValueError: It is not a time.
        """
        try:
            value = float(self[key])
        except ValueError:
            value = -1.0
        if not 0 <= value < 1e6:
            raise ValueError(f"{key} must be a number of seconds, not {self[key]!r}")
        return value

    def strikes(self) -> StrikeCounter:
        """The counter that `every` and `times` describe; without these it strikes each time."""
        if "every" not in self:
            return StrikeCounter()
        return StrikeCounter(self.integer("every"), self.integer("times", least=0))


class StrikeCounter:
    """Counts calls by key and strikes at every n-th of a key, `times` times in total; 0 means without limit."""

    def __init__(self, every: int = 1, times: int = 0) -> None:
        self._every = every
        self._left = times or -1
        self._counts: Counter[str] = Counter()

    def __call__(self, key: str = "") -> bool:
        if self._left == 0:
            return False
        self._counts[key] += 1
        if self._counts[key] % self._every:
            return False
        self._left -= 1
        return True


def apply_conditions(fault: Fault, parameters: FaultParameters) -> Fault:
    """
    Limit a fault to the calls that meet its conditions; `on_arguments` has no call yet, and is never limited.

    Raises:
        ValueError: A value does not fit.
    """
    names = [operation for _, operation in ARGUMENT_TYPES]
    target, after_s = parameters["target"], parameters.seconds("after")
    above = parameters.integer("above", least=0)
    if target and target not in names:
        raise ValueError(f"target must be one of {', '.join(names)}, not {target!r}")
    if not (target or after_s or above):
        return fault
    holds = _Conditions(target, int(after_s * _SECOND_NS), above).hold
    return replace(
        fault,
        on_connections=lambda call, world, found: fault.on_connections(call, world, found) if holds(call) else found,
        delay_s=lambda call: fault.delay_s(call) if holds(call) else 0.0,
        on_samples=lambda call, samples: fault.on_samples(call, samples) if holds(call) else samples,
        on_response=lambda call, response: fault.on_response(call, response) if holds(call) else response,
    )


class _Conditions:
    """Decides whether a fault may strike in a call."""

    def __init__(self, target: str, after_ns: int, above: int) -> None:
        self._target = target
        self._after_ns = after_ns
        self._rate = _RequestRateDetector(above)
        self._first_ns: int | None = None
        self._number = -1

    def hold(self, call: ReceivedRequest) -> bool:
        """Whether the conditions are met in this call; the first query about a call counts it."""
        if call.number > self._number:  # other calls may come between the hooks of one call
            self._number = call.number
            self._rate.count_request(call.now_ns)
        if self._first_ns is None:
            self._first_ns = call.now_ns
        if self._target and call.operation != self._target:
            return False
        return call.now_ns - self._first_ns >= self._after_ns and self._rate.is_above


class _RequestRateDetector:
    """
    Detects whether more than a number of requests per second come.

    A client that sends at a steady rate catches up in a burst after a delay, and the second with the burst has more
    requests than the rate. So the median of the times that a tenth as many requests took has to agree.
    """

    def __init__(self, above: int) -> None:
        self._above = above
        self._span = max(1, above // 10)
        self._times: deque[int] = deque()
        self._span_durations: list[int] = []
        """How long `_span` requests took, for each one of the last second as the final one; ascending."""

    def count_request(self, now_ns: int) -> None:
        """Count a request."""
        times, durations, span = self._times, self._span_durations, self._span
        times.append(now_ns)
        if len(times) > span:
            insort(durations, now_ns - times[-1 - span])
        while times[0] <= now_ns - _SECOND_NS:
            if len(times) > span:
                del durations[bisect_left(durations, times[span] - times[0])]
            times.popleft()

    @property
    def is_above(self) -> bool:
        """Whether the rate was above the limit in the last second."""
        if len(self._times) <= self._above:
            return False
        median = len(self._span_durations) // 2
        return not self._above or self._span_durations[median] * self._above < self._span * _SECOND_NS
