"""
How the simulator can be made to misbehave: every fault by its name, with the requirements that it trips, no more and no
fewer. A harness is worth what it finds, and each of its requirements is shown to be found by one of these.
"""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import Final

from ...api.errors import UsageError
from ..fault_interface import Fault
from . import cluster, refusals, relations, transport
from . import overload as burdens
from . import responses as responses
from . import sample_values as values
from .fault_kind import FaultKind

_FAULT_KIND_GROUPS: Final = (
    values.VALUE_FAULT_KINDS,
    relations.RELATION_FAULT_KINDS,
    responses.RESPONSE_FAULT_KINDS,
    refusals.REFUSAL_FAULT_KINDS,
    cluster.CLUSTER_FAULT_KINDS,
    transport.TRANSPORT_FAULT_KINDS,
    burdens.OVERLOAD_FAULT_KINDS,
)

FAULT_KINDS: Final = MappingProxyType({kind.name: kind for family in _FAULT_KIND_GROUPS for kind in family})
"""Every fault by its name."""

assert len(FAULT_KINDS) == sum(map(len, _FAULT_KIND_GROUPS)), "two faults have the same name"


def parse_fault(text: str) -> Fault:
    """
    Make a fault from what a command line says.

    Args:
        text: `NAME` or `NAME:key=value,key=value`.

    Raises:
        UsageError: There is no such fault, it takes no such parameter, or the value does not fit.
    """
    name, _, rest = text.partition(":")
    kind = FAULT_KINDS.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, FAULT_KINDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "`sora-harness simulate --list-faults` lists them"
        raise UsageError(f"there is no fault {name!r}: {hint}")
    given: dict[str, str] = {}
    for part in rest.split(",") if rest else []:
        key, sign, value = part.partition("=")
        if not sign:
            raise UsageError(f"the fault {name}: {part!r} is not of the form key=value")
        given[key] = value
    return kind.build_fault(given)


__all__ = ["FAULT_KINDS", "FaultKind", "parse_fault"]
