"""
The types that describe and build faults (name, parameters with defaults, violated requirements), and helpers that most
faults share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...api.errors import UsageError, suggest_nearest
from ..fault_interface import Fault, ReceivedRequest, SampleObject, SimulatedResponse
from .parameters import CONDITION_DEFAULTS, FaultParameters, StrikeCounter, apply_conditions

FaultBuilder = Callable[[FaultParameters], Fault]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """A fault by its name, and how to build one."""

    name: str
    description: str
    violated_requirements: frozenset[str]
    """
    Exactly the requirements that the gate finds violated with this fault, its defaults and a world of 20 connections;
    or that load finds violated, if the fault needs kept connections.
    """
    build: FaultBuilder
    own_parameters: Mapping[str, str] = field(default_factory=dict)
    """The parameters that only some faults have, with their defaults."""
    nodes: int = 1
    """How many nodes are needed for it to show."""
    needs_large_request: bool = False
    """Whether it shows only in the response to a request of more than 8 MB."""
    needs_generated_requests: bool = False
    """Whether it shows only in the responses to made-up requests."""
    needs_kept_connections: bool = False
    """Whether it shows only if several requests are sent over one connection, as load does."""
    needs_relay: bool = False
    """Whether the relay causes it; the relay doesn't know requests, so conditions don't apply."""

    @property
    def parameters(self) -> dict[str, str]:
        """All parameters with their defaults: its own, `times` if it has `every`, then the conditions."""
        times = {"times": "0"} if "every" in self.own_parameters else {}
        conditions = {} if self.needs_relay else CONDITION_DEFAULTS
        return {**self.own_parameters, **times, **{k: v for k, v in conditions.items() if k not in self.own_parameters}}

    def build_fault(self, given: Mapping[str, str]) -> Fault:
        """
        Build a fault of this kind.

        Raises:
            UsageError: There is no such parameter, or a value does not fit.
        """
        for key in given:
            if key not in self.parameters:
                takes = ", ".join(self.parameters) or "nothing"
                near = suggest_nearest(key, self.parameters)
                raise UsageError(f"the fault {self.name} takes {takes}, not {key!r}{near}")
        parameters = FaultParameters({**self.parameters, **given})
        try:
            fault = self.build(parameters)
            return fault if self.needs_relay else apply_conditions(fault, parameters)
        except ValueError as error:
            raise UsageError(f"the fault {self.name}: {error}") from None


class FaultFamily:
    """The faults of one module, in the order in which they are defined."""

    def __init__(self) -> None:
        self.kinds: list[FaultKind] = []

    def fault(
        self, name: str, description: str, violates: str, *, own: Mapping[str, str] | None = None, **traits: Any
    ) -> Callable[[FaultBuilder], FaultBuilder]:
        """
        Add the decorated builder as a fault.

        Args:
            violates: Ids of requirements, separated by blanks.
            traits: Other attributes of `FaultKind`. Any: of its types.
        """

        def add(build: FaultBuilder) -> FaultBuilder:
            self.kinds.append(
                FaultKind(
                    name=name,
                    description=description,
                    violated_requirements=frozenset(violates.split()),
                    build=build,
                    own_parameters=own or {},
                    **traits,
                )
            )
            return build

        return add


def make_sample_fault(
    change: Callable[[ReceivedRequest, SampleObject], object],
    strikes: StrikeCounter | None = None,
    *,
    operation: str | None = None,
) -> Fault:
    """A fault of single samples: it changes every n-th sample of each connection, in place."""
    strike = strikes or StrikeCounter()

    def on_samples(call: ReceivedRequest, samples: Sequence[SampleObject]) -> Sequence[SampleObject]:
        for sample in samples:
            if operation in (None, call.operation) and strike(str(sample["connection_id"])):
                change(call, sample)
        return samples

    return Fault(on_samples=on_samples)


def make_response_fault(
    change: Callable[[SimulatedResponse], SimulatedResponse],
    strikes: StrikeCounter | None = None,
    *,
    when: Callable[[ReceivedRequest, SimulatedResponse], bool] = lambda call, response: (
        call.operation is not None and response.status == 200
    ),
) -> Fault:
    """
    A fault of finished responses: it changes every n-th response to a valid request, or of those that `when` selects.
    """
    strike = strikes or StrikeCounter()
    return Fault(on_response=lambda call, given: change(given) if when(call, given) and strike() else given)


class LeafAccessor:
    """A leaf of a sample, by its dotted path."""

    def __init__(self, dotted: str) -> None:
        *self._groups, self._name = dotted.split(".")
        if not all((*self._groups, self._name)):
            raise ValueError(f"field must be a dotted path such as dtls.total_sent_dtls, not {dotted!r}")

    def find_group(self, sample: SampleObject) -> dict[str, Any] | None:
        """The object that contains the leaf; None if the leaf is absent. Any: whatever JSON can hold."""
        node: Any = sample
        for name in self._groups:
            node = node.get(name) if isinstance(node, dict) else None
        return node if isinstance(node, dict) and self._name in node else None

    def get_value(self, sample: SampleObject) -> Any:  # Any: whatever JSON can hold
        """The leaf's value; None if it is absent."""
        group = self.find_group(sample)
        return None if group is None else group[self._name]

    def set_value(self, sample: SampleObject, value: Any) -> None:  # Any: whatever JSON can hold
        """Change the leaf, if it is present."""
        if (group := self.find_group(sample)) is not None:
            group[self._name] = value

    def delete_value(self, sample: SampleObject) -> None:
        """Delete the leaf."""
        if (group := self.find_group(sample)) is not None:
            del group[self._name]


def iterate_counters(sample: SampleObject) -> Iterator[tuple[dict[str, Any], str]]:
    """Every `total_*` of a sample: the object that holds it, and its name. Any: whatever JSON can hold."""
    todo: list[dict[str, Any]] = [sample]
    while todo:
        group = todo.pop()
        for name, value in list(group.items()):
            if isinstance(value, dict):
                todo.append(value)
            elif name.startswith("total_"):
                yield group, name
