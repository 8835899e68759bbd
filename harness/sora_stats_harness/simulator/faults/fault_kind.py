"""
What a fault is made of: hooks that do nothing unless given, parameters, and when it strikes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...api.errors import UsageError
from ..fault_interface import Fault, RelayAction, RequestContext, SampleObject, SimulatedResponse
from ..world import SimulatedConnection, SimulatedWorld
from .conditions import CONDITION_DEFAULTS, apply_conditions
from .parameters import FaultParameters, parse_integer_parameter

SamplesHook = Callable[[RequestContext, list[SampleObject]], Sequence[SampleObject]]
SampleHook = Callable[[RequestContext, SampleObject], None]
ResponseHook = Callable[[RequestContext, SimulatedResponse], SimulatedResponse]


class HookedFault:
    """A fault: whatever is not given does nothing."""

    def __init__(
        self,
        *,
        samples: SamplesHook | None = None,
        reply: ResponseHook | None = None,
        arguments: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,  # Any: as in Call
        found: Callable[[RequestContext, SimulatedWorld, Sequence[SimulatedConnection]], Sequence[SimulatedConnection]]
        | None = None,
        delay_s: Callable[[RequestContext], float] | None = None,
        transport: Callable[[], RelayAction | None] | None = None,
    ) -> None:
        self.transport = transport
        self._samples = samples
        self._reply = reply
        self._arguments = arguments
        self._found = found
        self._delay_s = delay_s

    def on_arguments(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """See calls.Fault."""
        return arguments if self._arguments is None else self._arguments(arguments)

    def on_connections(
        self, call: RequestContext, world: SimulatedWorld, found: Sequence[SimulatedConnection]
    ) -> Sequence[SimulatedConnection]:
        """See calls.Fault."""
        return found if self._found is None else self._found(call, world, found)

    def delay_s(self, call: RequestContext) -> float:
        """See calls.Fault."""
        return 0.0 if self._delay_s is None else self._delay_s(call)

    def on_samples(self, call: RequestContext, samples: Sequence[SampleObject]) -> Sequence[SampleObject]:
        """See calls.Fault."""
        return samples if self._samples is None else self._samples(call, list(samples))

    def on_response(self, call: RequestContext, reply: SimulatedResponse) -> SimulatedResponse:
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
    violated_requirements: frozenset[str]
    build: Callable[[FaultParameters], HookedFault]
    own_parameters: Mapping[str, str] = field(default_factory=dict)
    """The parameters that only some faults have, with their defaults."""
    nodes: int = 1
    """How many nodes it takes to show."""
    needs_large_request: bool = False
    """Whether it shows in the response to a request of more than 8 MB alone."""
    needs_generated_requests: bool = False
    """Whether it shows in the responses to made-up requests alone."""

    needs_relay: bool = False
    """Whether a relay makes it, which knows nothing of requests and so of no limits."""

    @property
    def parameters(self) -> dict[str, str]:
        """All that it takes, with the defaults: `times` goes with `every`, then the limits."""
        times = {"times": "0"} if "every" in self.own_parameters else {}
        limits = {} if self.needs_relay else CONDITION_DEFAULTS
        return {
            **self.own_parameters,
            **times,
            **{key: value for key, value in limits.items() if key not in self.own_parameters},
        }

    def build_fault(self, given: FaultParameters) -> Fault:
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
            return fault if self.needs_relay else apply_conditions(fault, parameters)
        except ValueError as error:
            raise UsageError(f"the fault {self.name}: {error}") from None


def make_sample_fault(
    change: SampleHook, strikes: StrikeCounter | None = None, *, operation: str | None = None
) -> HookedFault:
    """A fault of single samples: of every connection, each so-many-th reading."""
    strikes = strikes or StrikeCounter()

    def samples(call: RequestContext, given: list[SampleObject]) -> Sequence[SampleObject]:
        for sample in given:
            if operation in (None, call.operation) and strikes(str(sample["connection_id"])):
                change(call, sample)
        return given

    return HookedFault(samples=samples)


def make_response_fault(
    change: ResponseHook,
    strikes: StrikeCounter | None = None,
    *,
    when: Callable[[RequestContext, SimulatedResponse], bool] | None = None,
) -> HookedFault:
    """A fault of finished responses: each so-many-th of those to valid requests, unless `when` says which."""
    strikes = strikes or StrikeCounter()

    def reply(call: RequestContext, given: SimulatedResponse) -> SimulatedResponse:
        mine = when(call, given) if when is not None else call.operation is not None and given.status == 200
        return change(call, given) if mine and strikes("") else given

    return HookedFault(reply=reply)


class StrikeCounter:
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


def make_strike_counter(parameters: FaultParameters) -> StrikeCounter:
    """The turn that `every` and `times` tell of."""
    return StrikeCounter(
        parse_integer_parameter(parameters, "every"), parse_integer_parameter(parameters, "times", least=0)
    )


class LeafAccessor:
    """A leaf of a sample, by its dotted path."""

    def __init__(self, dotted: str) -> None:
        *self._groups, self._name = dotted.split(".")
        if not all((*self._groups, self._name)):
            raise ValueError(f"field must be a dotted path such as dtls.total_sent_dtls, not {dotted!r}")

    def find_group(self, sample: SampleObject) -> dict[str, Any] | None:
        """The object that it stands in; None where there is none. Any: whatever JSON can hold."""
        node: Any = sample
        for name in self._groups:
            node = node.get(name) if isinstance(node, dict) else None
        return node if isinstance(node, dict) and self._name in node else None

    def get_value(self, sample: SampleObject) -> Any:  # Any: whatever JSON can hold
        """Its value, None where it is absent."""
        group = self.find_group(sample)
        return None if group is None else group[self._name]

    def set_value(self, sample: SampleObject, value: Any) -> None:  # Any: whatever JSON can hold
        """Change it, where it is there."""
        if (group := self.find_group(sample)) is not None:
            group[self._name] = value

    def delete_value(self, sample: SampleObject) -> None:
        """Leave it out."""
        if (group := self.find_group(sample)) is not None:
            del group[self._name]


def iterate_counters(sample: SampleObject) -> Iterator[tuple[dict[str, Any], str]]:
    """Every `total_*` of a sample: the object that it stands in, and its name; Any: whatever JSON can hold."""
    todo: list[dict[str, Any]] = [sample]
    while todo:
        group = todo.pop()
        for name, value in group.items():
            if isinstance(value, dict):
                todo.append(value)
            elif name.startswith("total_"):
                yield group, name
