"""
The simulator's faults: every way to make it misbehave, by name, with the requirements that it violates.

Each requirement is violated by at least one of them, which shows that the harness finds such violations.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from ...api.errors import UsageError, suggest_nearest
from ..fault_interface import Fault
from . import cluster, overload, refusals, relations, responses, sample_values, transport
from .fault_kind import FaultKind

_FAMILIES: Final = (
    sample_values.FAULTS,
    relations.FAULTS,
    responses.FAULTS,
    refusals.FAULTS,
    cluster.FAULTS,
    transport.FAULTS,
    overload.FAULTS,
)

FAULT_KINDS: Final = MappingProxyType({kind.name: kind for family in _FAMILIES for kind in family.kinds})
"""Every fault by its name."""

assert len(FAULT_KINDS) == sum(len(family.kinds) for family in _FAMILIES), "two faults have the same name"


def parse_fault(text: str) -> Fault:
    """
    Make a fault from the text on a command line.

    Args:
        text: `NAME` or `NAME:key=value,key=value`.

    Raises:
        UsageError: There is no such fault, it takes no such parameter, or a value does not fit.
    """
    name, _, rest = text.partition(":")
    kind = FAULT_KINDS.get(name)
    if kind is None:
        hint = suggest_nearest(name, FAULT_KINDS) or "; `sora-harness simulate --list-faults` lists them"
        raise UsageError(f"there is no fault {name!r}{hint}")
    given: dict[str, str] = {}
    for part in rest.split(",") if rest else []:
        key, sign, value = part.partition("=")
        if not sign:
            raise UsageError(f"the fault {name}: {part!r} is not of the form key=value")
        given[key] = value
    return kind.build_fault(given)


__all__ = ["FAULT_KINDS", "FaultKind", "parse_fault"]
