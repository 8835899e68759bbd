"""The rules about JSON: a body must be strict JSON, within the parser's limits, without repeated keys."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from ...api.edition import Edition
from ...api.edition_rules import edition_path
from ..check import Check, Observed, Stage, Violation
from ..requirement import NEEDS_BYTES, Level, Requirement
from ..value_text import format_value
from .framing import describe_body_fault, has_fault

if TYPE_CHECKING:
    from ..state import State
    from ..verdict import JudgeResult

JSON: Final = Requirement(
    id="http.json",
    level=Level.MUST,
    title="A body is strict JSON in UTF-8, without a byte order mark",
    reason="Lenient parsers disagree on anything else.",
    grounds="The page documents bodies of JSON, and RFC 8259 defines JSON.",
    source="RFC 8259",
    needs=NEEDS_BYTES,
    message="the body is not strict JSON",
    masked_by="a status other than 200",
    checked_in="bodies_by_http",
)
JSON_LIMITS: Final = Requirement(
    id="http.json_limits",
    level=Level.HABIT,
    title="JSON stays within 100 levels and numbers of 4,300 digits",
    reason="Parsers set such limits, this one too: a body beyond them is not judged. RFC 8259 allows them.",
    grounds="RFC 8259, 9 allows a parser to set limits, and says nothing about writers.",
    source="RFC 8259, 9",
    needs=NEEDS_BYTES,
    message="the body was not read: it exceeds a limit of the parser",
    masked_by="a body that is not JSON",
    checked_in="bodies_by_http",
)
DUPLICATE_KEY: Final = Requirement(
    id="http.duplicate_key",
    level=Level.MUST,
    title="No object repeats a key",
    reason="Parsers differ in which of the two they keep.",
    grounds="RFC 8259, 4: with names that are not unique, what a parser makes of an object is unpredictable.",
    source="RFC 8259, 4",
    needs=NEEDS_BYTES,
    message="the key {key} is repeated",
    masked_by="a body that is not JSON",
    checked_in="searched_bodies",
)


class JsonCheck(Check):
    """Reports what the reader found wrong with the JSON of a body."""

    requirements: tuple[Requirement, ...] = (JSON, JSON_LIMITS, DUPLICATE_KEY)
    stage = Stage.JSON

    def __init__(self, edition: Edition) -> None:
        self._edition = edition
        self._exceeded = False
        """Whether some body exceeded a limit."""

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        body = seen.body
        if body is None or seen.rewritten:
            return ()
        if body.fault is not None:
            if has_fault(seen.exchange, "surplus"):
                return ()  # its Content-Length cut it, which is already a finding
            if body.exceeded:
                self._exceeded = True
                state.count(JSON, -1)
                return (
                    Violation(
                        requirement=JSON_LIMITS,
                        exchange=seen.exchange,
                        expected="at most 100 levels, and numbers of at most 4,300 digits",
                        actual=body.fault,
                        fault="beyond a limit",
                        offset=body.fault_offset,
                    ),
                )
            return (
                Violation(
                    requirement=JSON,
                    exchange=seen.exchange,
                    expected="strict JSON",
                    actual=describe_body_fault(seen.exchange, body.fault),
                    fault="no JSON",
                    offset=body.fault_offset,
                ),
            )
        return [self._duplicate_key(seen, path) for path in body.duplicates] if body.duplicates else ()

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """If a body exceeded a limit, nobody knows whether it is JSON."""
        if self._exceeded:
            result.unusable = (*result.unusable, JSON.id)

    def _duplicate_key(self, seen: Observed, path: tuple[str | int, ...]) -> Violation:
        wire = tuple(map(str, path[1:] if isinstance(path[0], int) else path))
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
