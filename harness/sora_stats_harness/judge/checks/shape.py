"""The rules about a sample's shape, and the check that reports the deviations that the reader found."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Final

from ...api.edition import Edition, FieldProvenance
from ..check import Check, Observed, Stage, Violation
from ..requirement import DOCUMENTATION_SOURCE, NEEDS_BYTES, Level, Requirement

if TYPE_CHECKING:
    from ..shape_deviations import ShapeDeviation
    from ..state import State

ABSENT: Final = "absent"
"""The class of fault for an absent value."""

NOT_JSON: Final = "a body that is not JSON"

REQUIRED: Final = Requirement(
    id="shape.required",
    level=Level.MUST,
    title="A group that is present has all its documented fields",
    reason="Consumers read fields by name and take a missing one for zero, or stop.",
    grounds="The page lists these fields. A field that an edition only carries over from another one is a HABIT.",
    source=DOCUMENTATION_SOURCE,
    message="{field} is missing",
    masked_by=NOT_JSON,
    checked_in="samples",
)
TYPE: Final = Requirement(
    id="shape.type",
    level=Level.MUST,
    title="Every field has its documented JSON type",
    reason="Typed consumers stop at any other.",
    grounds="The page documents the types. A field that an edition only carries over from another one is a HABIT.",
    source=DOCUMENTATION_SOURCE,
    message="{field} has another type",
    masked_by=NOT_JSON,
    checked_in="samples",
)
RANGE: Final = Requirement(
    id="shape.range",
    level=Level.MUST,
    title="Every number and every length is within its documented limits",
    reason="A negative counter is a wrapped one.",
    grounds="The page documents the limits.",
    source=DOCUMENTATION_SOURCE,
    message="{field} is outside its limits",
    masked_by="another type at the same place",
    checked_in="samples",
)
PATTERN: Final = Requirement(
    id="shape.pattern",
    level=Level.MUST,
    title="Times are RFC 3339 in UTC",
    reason="Rates are differences divided by them.",
    grounds="The page documents the form of a time.",
    source=f"{DOCUMENTATION_SOURCE}; RFC 3339",
    message="{field} is not a time in the documented form",
    masked_by="another type at the same place",
    checked_in="samples",
)
ENUM: Final = Requirement(
    id="shape.enum",
    level=Level.MUST,
    title="Fields with a closed set of values have one of them",
    reason="Consumers branch on them.",
    grounds="The page lists the values.",
    source=DOCUMENTATION_SOURCE,
    message="{field} has a value that is not in the list",
    needs_traffic="a data channel",
    masked_by="another type at the same place",
    checked_in="labelled_samples",
)
GROUP: Final = Requirement(
    id="shape.group",
    level=Level.HABIT,
    title="Every documented group is present",
    reason="The page shows one connection, and does not promise every group for every kind.",
    grounds="The page shows one connection that has every group; connections of another kind may lack some.",
    source=DOCUMENTATION_SOURCE,
    message="the whole group {field} is missing",
    masked_by=NOT_JSON,
    checked_in="samples",
)
UNKNOWN: Final = Requirement(
    id="shape.unknown",
    level=Level.HABIT,
    title="No field is undocumented",
    reason="The documentation or the server has moved on.",
    grounds="A correct server may be newer than the documentation.",
    source=DOCUMENTATION_SOURCE,
    message="{field} is not documented",
    masked_by=NOT_JSON,
    checked_in="samples",
)
LEXICAL: Final = Requirement(
    id="shape.lexical",
    level=Level.PROVEN,
    title="Integers are written as integers",
    reason="1.0 and 1e3 are integers to JSON Schema and floats to many parsers.",
    grounds="A counter counts whole things. A server that writes one with a fraction or an exponent keeps it as a "
    "float, which rounds above 2^53.",
    source="JSON Schema 2020-12, 6.1.1",
    needs=NEEDS_BYTES,
    message="{field} is an integer written with a fraction or an exponent",
    masked_by="another type or a value out of its limits at the same place",
    checked_in="samples",
)
UNDOCUMENTED: Final = Requirement(
    id="shape.undocumented",
    level=Level.INFO,
    title="Fields that are known though undocumented",
    reason="For information.",
    grounds="The edition knows these fields, and asks nothing of them.",
    source="edition file",
    message="{field} is known, though undocumented",
    masked_by=NOT_JSON,
    checked_in="samples",
)

SHAPE_REQUIREMENTS: Final = {
    row.id: row for row in (REQUIRED, TYPE, RANGE, PATTERN, ENUM, GROUP, UNKNOWN, LEXICAL, UNDOCUMENTED)
}


class ShapeCheck(Check):
    """Reports how a body and its samples deviate from the documented shape."""

    requirements: tuple[Requirement, ...] = tuple(SHAPE_REQUIREMENTS.values())
    stage = Stage.SHAPE

    def __init__(self, edition: Edition) -> None:
        self._carried_over = _find_carried_over_fields(edition)
        """
        Fields that the edition only carries over from another one: their absence or another shape violates no MUST.
        """

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        body = seen.body
        if body is None:
            return ()
        found: list[Violation] = []
        if body.deviations:
            state.count(TYPE, len(body.deviations))
            self._add(found, seen, body.deviations, None, None)
        for sample in body.samples:
            deviations = sample.deviations
            if deviations:
                for each in deviations:
                    if each.masks and each.fault != ABSENT:
                        state.unusable.add(each.path)
                if seen.bare and seen.rewritten:
                    deviations = [each for each in deviations if each.requirement != LEXICAL.id]
                self._add(found, seen, deviations, sample.connection_id, sample.index)
        return found

    def _add(
        self,
        found: list[Violation],
        seen: Observed,
        deviations: Iterable[ShapeDeviation],
        connection_id: str | None,
        index: int | None,
    ) -> None:
        exchange, carried_over = seen.exchange, self._carried_over
        for each in deviations:
            requirement, path, wire = SHAPE_REQUIREMENTS[each.requirement], each.path, each.wire
            found.append(
                Violation(  # by place: names take three times as long, and a server may be wrong in every response
                    requirement,
                    exchange,
                    each.expected,
                    each.actual,
                    each.fault,
                    path,
                    wire if index is None else (index, *wire),
                    connection_id,
                    {},
                    Level.HABIT if path in carried_over and requirement.level is Level.MUST else None,
                )
            )


@cache
def _find_carried_over_fields(edition: Edition) -> frozenset[tuple[str, ...]]:
    """Fields that are only carried over, and groups that consist of these."""
    sure = {
        field.path[:depth]
        for field in edition.fields
        if field.standing is not FieldProvenance.CARRIED_OVER
        for depth in range(len(field.path) + 1)
    }
    paths = {field.path[:depth] for field in edition.fields for depth in range(1, len(field.path) + 1)}
    return frozenset(paths - sure)
