"""
How the simulator can be made to misbehave: every fault by its name, with the requirements that it trips, no more and no
fewer. A harness is worth what it finds, and each of its requirements is shown to be found by one of these.
"""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import Final

from ...api.errors import UsageError
from ..calls import Fault
from . import answers, burdens, cluster, refusals, relations, transport, values
from .kinds import FaultKind

_FAMILIES: Final = (
    values.KINDS, relations.KINDS, answers.KINDS, refusals.KINDS, cluster.KINDS, transport.KINDS,
    burdens.KINDS,
)  # fmt: skip

FAULTS: Final = MappingProxyType({kind.name: kind for family in _FAMILIES for kind in family})
"""Every fault by its name."""

assert len(FAULTS) == sum(map(len, _FAMILIES)), "two faults have the same name"


def parse(text: str) -> Fault:
    """
    Make a fault from what a command line says.

    Args:
        text: `NAME` or `NAME:key=value,key=value`.

    Raises:
        UsageError: There is no such fault, it takes no such parameter, or the value does not fit.
    """
    name, _, rest = text.partition(":")
    kind = FAULTS.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, FAULTS, n=1)
        hint = f"did you mean {near[0]}?" if near else "`sora-harness simulate --list-faults` lists them"
        raise UsageError(f"there is no fault {name!r}: {hint}")
    given: dict[str, str] = {}
    for part in rest.split(",") if rest else []:
        key, sign, value = part.partition("=")
        if not sign:
            raise UsageError(f"the fault {name}: {part!r} is not of the form key=value")
        given[key] = value
    return kind.make(given)


__all__ = ["FAULTS", "FaultKind", "parse"]
