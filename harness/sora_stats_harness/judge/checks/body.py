"""
A body is JSON, and repeats no key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from ...api.edition import Edition
from ..check import Check, Observed, Stage, Violation
from ..field_paths import edition_path
from ..requirement import Level, Requirement
from ..value_text import format_value
from .framing import describe_body_fault, has_fault

if TYPE_CHECKING:
    from ..exchange_counts import ExchangeCounts
    from ..state import State
    from ..verdict import JudgeResult

JSON: Final = Requirement(
    id="http.json",
    level=Level.MUST,
    title="A body is strict JSON in UTF-8, without a byte order mark",
    reason="Lenient parsers disagree on anything else.",
    source="RFC 8259",
    message="the body is no strict JSON",
    masked_by="a status other than 200",
)
DUPLICATE_KEY: Final = Requirement(
    id="http.duplicate_key",
    level=Level.MUST,
    title="No key stands twice in one object",
    reason="Parsers differ in which of the two they keep.",
    source="RFC 8259, 4",
    message="the key {key} stands twice",
    masked_by="a body that is no JSON",
)


class JsonCheck(Check):
    """A body is strict JSON without repeated keys, as the reader found."""

    requirements = (JSON, DUPLICATE_KEY)
    stage = Stage.JSON

    def __init__(self, edition: Edition, counts: ExchangeCounts) -> None:
        self._edition = edition
        self._counts = counts

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """Judge a body that was read."""
        body = seen.body
        if body is None:
            return ()
        if body.fault is not None:
            if has_fault(seen.exchange, "surplus"):
                return ()  # it was cut by its own length, and that is a finding already
            return (
                Violation(
                    requirement=JSON,
                    exchange=seen.exchange,
                    expected="strict JSON",
                    actual=describe_body_fault(seen.exchange, body.fault),
                    fault="no JSON",
                ),
            )
        return [self._duplicate_key(seen, path) for path in body.duplicates] if body.duplicates else ()

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add the counts."""
        result.checked[JSON.id] += self._counts.bodies
        result.checked[DUPLICATE_KEY.id] += self._counts.bodies - self._counts.unsearched_bodies

    def _duplicate_key(self, seen: Observed, path: tuple[str | int, ...]) -> Violation:
        target = seen.exchange.request.target
        in_array = target is not None and target.many
        wire = tuple(str(key) for key in path[1 if in_array else 0 :])
        return Violation(
            requirement=DUPLICATE_KEY,
            exchange=seen.exchange,
            field=edition_path(self._edition, wire),
            place=path,
            expected="once",
            actual="again",
            fault="twice",
            facts={"key": format_value(str(path[-1]))},
        )
