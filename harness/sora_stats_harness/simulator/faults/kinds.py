"""
What a fault is made of: hooks that do nothing unless given, parameters, and when it strikes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...api.errors import UsageError
from ..calls import Call, Fault, Mangle, Reading, Reply
from ..world import Connection, World
from .limits import LIMITS, limited
from .parameters import Parameters, number

OnReadings = Callable[[Call, list[Reading]], Sequence[Reading]]
OnReading = Callable[[Call, Reading], None]
OnReply = Callable[[Call, Reply], Reply]


class Hooks:
    """A fault: whatever is not given does nothing."""

    def __init__(
        self,
        *,
        readings: OnReadings | None = None,
        reply: OnReply | None = None,
        arguments: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,  # Any: as in Call
        found: Callable[[Call, World, Sequence[Connection]], Sequence[Connection]] | None = None,
        delay_s: Callable[[Call], float] | None = None,
        transport: Callable[[], Mangle | None] | None = None,
    ) -> None:
        self.transport = transport
        self._readings = readings
        self._reply = reply
        self._arguments = arguments
        self._found = found
        self._delay_s = delay_s

    def on_arguments(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """See calls.Fault."""
        return arguments if self._arguments is None else self._arguments(arguments)

    def on_found(self, call: Call, world: World, found: Sequence[Connection]) -> Sequence[Connection]:
        """See calls.Fault."""
        return found if self._found is None else self._found(call, world, found)

    def delay_s(self, call: Call) -> float:
        """See calls.Fault."""
        return 0.0 if self._delay_s is None else self._delay_s(call)

    def on_readings(self, call: Call, readings: Sequence[Reading]) -> Sequence[Reading]:
        """See calls.Fault."""
        return readings if self._readings is None else self._readings(call, list(readings))

    def on_reply(self, call: Call, reply: Reply) -> Reply:
        """See calls.Fault."""
        return reply if self._reply is None else self._reply(call, reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """
    A fault by its name.

    `trips` is exactly what the gate finds in a server that has it, with its defaults and a world of 20 connections.
    """

    name: str
    description: str
    trips: frozenset[str]
    build: Callable[[Parameters], Hooks]
    own: Mapping[str, str] = field(default_factory=dict)
    """The parameters that only some faults have, with their defaults."""
    nodes: int = 1
    """How many nodes it takes to show."""
    large: bool = False
    """Whether it shows in the answer to a request of more than 8 MB alone."""
    generated: bool = False
    """Whether it shows in the answers to made-up requests alone."""

    relayed: bool = False
    """Whether a relay makes it, which knows nothing of requests and so of no limits."""

    @property
    def parameters(self) -> dict[str, str]:
        """All that it takes, with the defaults: `times` goes with `every`, then the limits."""
        times = {"times": "0"} if "every" in self.own else {}
        limits = {} if self.relayed else LIMITS
        return {**self.own, **times, **{key: value for key, value in limits.items() if key not in self.own}}

    def make(self, given: Parameters) -> Fault:
        """
        A fault of this kind.

        Raises:
            UsageError: There is no such parameter, or a value does not fit.
        """
        for key in given:
            if key not in self.parameters:
                takes = ", ".join(self.parameters) or "nothing"
                raise UsageError(f"the fault {self.name} takes {takes}, not {key!r}")
        parameters = {**self.parameters, **given}
        try:
            fault = self.build(parameters)
            return fault if self.relayed else limited(fault, parameters)
        except ValueError as error:
            raise UsageError(f"the fault {self.name}: {error}") from None


def each_reading(change: OnReading, strikes: Turn | None = None, *, operation: str | None = None) -> Hooks:
    """A fault of single readings: of every connection, each so-many-th reading."""
    strikes = strikes or Turn()

    def readings(call: Call, given: list[Reading]) -> Sequence[Reading]:
        for reading in given:
            if operation in (None, call.operation) and strikes(str(reading["connection_id"])):
                change(call, reading)
        return given

    return Hooks(readings=readings)


def each_reply(
    change: OnReply, strikes: Turn | None = None, *, when: Callable[[Call, Reply], bool] | None = None
) -> Hooks:
    """A fault of finished answers: each so-many-th of those to valid requests, unless `when` says which."""
    strikes = strikes or Turn()

    def reply(call: Call, given: Reply) -> Reply:
        mine = when(call, given) if when is not None else call.operation is not None and given.status == 200
        return change(call, given) if mine and strikes("") else given

    return Hooks(reply=reply)


class Turn:
    """Counts by key, and strikes at the last of so many; `times` in all, 0 is without end."""

    def __init__(self, every: int = 1, times: int = 0) -> None:
        self._every = every
        self._left = times or -1
        self._counts: Counter[str] = Counter()

    def __call__(self, key: str) -> bool:
        if self._left == 0:
            return False
        self._counts[key] += 1
        if self._counts[key] % self._every:
            return False
        self._left -= 1
        return True


def turn(parameters: Parameters) -> Turn:
    """The turn that `every` and `times` tell of."""
    return Turn(number(parameters, "every"), number(parameters, "times", least=0))


class Place:
    """A leaf of a reading, by its dotted path."""

    def __init__(self, dotted: str) -> None:
        *self._groups, self._name = dotted.split(".")
        if not all((*self._groups, self._name)):
            raise ValueError(f"field must be a dotted path such as dtls.total_sent_dtls, not {dotted!r}")

    def group(self, reading: Reading) -> dict[str, Any] | None:
        """The object that it stands in; None where there is none. Any: whatever JSON can hold."""
        node: Any = reading
        for name in self._groups:
            node = node.get(name) if isinstance(node, dict) else None
        return node if isinstance(node, dict) and self._name in node else None

    def get(self, reading: Reading) -> Any:  # Any: whatever JSON can hold
        """Its value, None where it is absent."""
        group = self.group(reading)
        return None if group is None else group[self._name]

    def put(self, reading: Reading, value: Any) -> None:  # Any: whatever JSON can hold
        """Change it, where it is there."""
        if (group := self.group(reading)) is not None:
            group[self._name] = value

    def drop(self, reading: Reading) -> None:
        """Leave it out."""
        if (group := self.group(reading)) is not None:
            del group[self._name]


def counters(reading: Reading) -> Iterator[tuple[dict[str, Any], str]]:
    """Every `total_*` of a reading: the object that it stands in, and its name; Any: whatever JSON can hold."""
    todo: list[dict[str, Any]] = [reading]
    while todo:
        group = todo.pop()
        for name, value in group.items():
            if isinstance(value, dict):
                todo.append(value)
            elif name.startswith("total_"):
                yield group, name
