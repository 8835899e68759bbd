"""Relations between the counters of a sample: suspected at once, decided by the samples around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from ...api.exchange import Target
from ..check import Check, Observed, Stage, Violation
from ..edition_decoder import Counters
from ..requirement import Level, Requirement
from ..value_text import format_value
from .relation_table import RELATION_REQUIREMENTS
from .relations import ResolvedRelation, compile_relations, is_violated_between
from .shape import LEXICAL

if TYPE_CHECKING:
    from ..connection_state import ConnectionState
    from ..evidence import EvidenceExchange
    from ..sample import Sample
    from ..state import State
    from ..verdict import JudgeResult

MAX_EXACT_FLOAT: Final = 2**53
"""Integers above it are not all floats; whoever writes one as a float rounds it."""

UNCONFIRMED: Final = "; no responses before and after to confirm it"

LEVEL_BY_FAULT: Final = {"missed": Level.PROVEN, "by itself": Level.HABIT, "unconfirmed": Level.INFO}
"""A response that was read a moment apart contradicts itself, and then only those around it can prove anything."""


class PendingViolation(msgspec.Struct, kw_only=True, gc=False):
    """A relation that did not hold in a sample, waiting for the next one to tell whether that means anything."""

    row: ResolvedRelation
    exchange: EvidenceExchange
    sample: Sample
    blocks: list[Counters | None]
    before: Sequence[Counters | None] | None
    before_held: EvidenceExchange | None


class RelationCheck(Check):
    """
    Every relation of which the edition has the counters.

    A relation that doesn't hold in a sample is kept as pending until a sample that was asked for later decides.
    """

    requirements = RELATION_REQUIREMENTS
    stage = Stage.RELATIONS

    def __init__(self, rows: Sequence[ResolvedRelation]) -> None:
        self._filter = compile_relations(tuple(rows))
        self._unconfirmed = 0
        self._settled = Counter[tuple[Requirement, Target | None]]()
        """What was checked in the samples of connections that are settled."""

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """Decide what is pending, and look at this sample."""
        connection, sample = seen.connection, seen.sample
        found: list[Violation] = []
        if connection.pending_violations:
            found += self._decide_pending(seen, connection, sample)
        blocks = sample.blocks
        if sample.related or not self._filter.may_be_violated(blocks, connection.blocks):
            connection.blocks = blocks
        else:
            found += self._suspect(seen, connection, sample)
            connection.blocks = None  # what is suspicious is looked at again
        if seen.alone:
            found += [
                _violation(each, seen.connection_id or None, "by itself") for each in connection.pending_violations
            ]
            connection.pending_violations.clear()
            for row in self._applicable(blocks):
                state.count(row.requirement)
        return found

    def finish(self, state: State) -> Iterable[Violation]:
        """No sample to decide by will come."""
        for connection_id, connection in state.leaving.items():
            for pending in connection.pending_violations:
                yield self._settle(pending, connection_id)
            connection.pending_violations.clear()
            self._settled.update(self._count_checked(connection))
            connection.relation_samples = connection.samples_of.copy()

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Each relation that says anything of a connection was checked in all its samples."""
        result.coverage.relations_unconfirmed += self._unconfirmed
        checked = self._settled.copy()
        for state in states:
            for _, connection in state:
                checked.update(self._count_checked(connection))
            if state.unusable:
                unusable = {
                    row.requirement.id for row in self._filter.rows if any(map(state.is_unusable, row.counters))
                }
                result.unusable = (*result.unusable, *unusable)
        for (requirement, target), samples in checked.items():
            result.count(requirement, target, samples)

    def _count_checked(self, connection: ConnectionState) -> Counter[tuple[Requirement, Target | None]]:
        """By relation and target, the samples that were not counted yet."""
        samples = connection.unchecked_samples(connection.relation_samples)
        if not any(samples.values()):
            return Counter()
        rows = self._applicable(connection.counter_history.current_maxima.blocks)
        return Counter({(row.requirement, target): count for row in rows for target, count in samples.items()})

    def _settle(self, pending: PendingViolation, connection_id: str) -> Violation:
        self._unconfirmed += 1
        return _violation(pending, connection_id, "unconfirmed")

    def _applicable(self, blocks: Sequence[Counters | None]) -> Iterable[ResolvedRelation]:
        """One row of each relation that says anything about these counters: not all of its terms are 0."""
        found: dict[str, ResolvedRelation] = {}
        for row in self._filter.rows:
            if row.requirement.id not in found:
                sides = row.evaluate(blocks)
                if sides is not None and any(sides):
                    found[row.requirement.id] = row
        return found.values()

    def _suspect(self, seen: Observed, connection: ConnectionState, sample: Sample) -> Iterator[Violation]:
        before, evidence = known_before(seen, connection)
        for row in self._filter.violated_relations(sample.blocks):
            if connection.decreased_counters and row.involves(connection.decreased_counters):
                continue  # what fell is another requirement's, and relates to nothing any more
            if sample.deviations and _is_rounded(row, sample):
                continue
            pending = _pending(row, seen, before, evidence)
            violated = is_violated_between(row, before, sample.blocks, None)
            if violated:
                yield _confirmed(pending, seen.connection_id, None)
            elif violated is None:
                connection.pending_violations.append(pending)

    def _decide_pending(self, seen: Observed, connection: ConnectionState, sample: Sample) -> list[Violation]:
        """Judge what is pending where this sample was asked for after it."""
        waiting: list[PendingViolation] = []
        found: list[Violation] = []
        for pending in connection.pending_violations:
            row = pending.row
            if seen.exchange.sent_ns <= pending.exchange.received_ns:
                waiting.append(pending)
            elif not (connection.decreased_counters and row.involves(connection.decreased_counters)):
                violated = is_violated_between(row, pending.before, pending.blocks, sample.blocks)
                if violated:
                    found.append(_confirmed(pending, seen.connection_id, seen.evidence))
                elif violated is None:
                    found.append(self._settle(pending, seen.connection_id))
        connection.pending_violations = waiting
        return found


def _is_rounded(row: ResolvedRelation, sample: Sample) -> bool:
    """Whether a counter of a relation was written as a float that is too large to be exact: `shape.lexical` says so."""
    floats = {deviation.path for deviation in sample.deviations if deviation.requirement == LEXICAL.id}
    if floats.isdisjoint(row.counters):
        return False
    sides = row.evaluate(sample.blocks)
    return sides is not None and max(sides) > MAX_EXACT_FLOAT


def known_before(
    seen: Observed, connection: ConnectionState
) -> tuple[Sequence[Counters | None] | None, EvidenceExchange | None]:
    """Counters of the connection that were known before the request was sent, and who had them."""
    last = connection.last
    if last is not None and last.received_ns < seen.exchange.sent_ns:
        return connection.last_blocks, last
    known = seen.known
    return (known.blocks, known.holder) if known is not None else (None, None)


def _pending(
    row: ResolvedRelation,
    seen: Observed,
    before: Sequence[Counters | None] | None,
    evidence: EvidenceExchange | None,
) -> PendingViolation:
    sample = seen.sample
    assert sample is not None
    return PendingViolation(
        row=row,
        exchange=seen.evidence,
        sample=sample,
        blocks=list(sample.blocks),
        before=before,
        before_held=evidence,
    )


def proof_of(pending: PendingViolation, after: EvidenceExchange | None) -> tuple[EvidenceExchange, ...]:
    """The sample before, the one that violates, and the one after."""
    before = () if pending.before_held is None else (pending.before_held,)
    return (*before, pending.exchange, *(() if after is None else (after,)))


def _confirmed(pending: PendingViolation, connection_id: str, after: EvidenceExchange | None) -> Violation:
    return _violation(pending, connection_id, "missed", proof_of(pending, after))


def _violation(
    pending: PendingViolation, connection_id: str | None, fault: str, proof: tuple[EvidenceExchange, ...] = ()
) -> Violation:
    row, index = pending.row, pending.sample.index
    sides = row.evaluate(pending.blocks)
    assert sides is not None, "a sample with masked counters is not suspected"
    return Violation(
        requirement=row.requirement,
        exchange=pending.exchange,
        field=row.field,
        place=row.field if index is None else (index, *row.field),
        connection_id=connection_id,
        expected=row.text,
        actual=f"{format_value(sides[0])} and {format_value(sides[1])}",
        fault=fault,
        facts={"unsure": "" if fault == "missed" else UNCONFIRMED},
        level=LEVEL_BY_FAULT[fault],
        proof=proof,
    )
