"""
The check of relations between a sample's counters: suspects one sample, and decides by the samples around it.

A level is a violation if a connection had it in three consecutive samples, and its counter is still 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from ...api.edition import FieldPath
from ...api.exchange import Target
from ..check import Check, Observed, Stage, Violation
from ..edition_decoder import CounterBlock, Counters
from ..requirement import Level, Requirement
from ..value_text import format_value
from .relation_table import RELATION_REQUIREMENTS
from .relations import RelationFilter, ResolvedRelation, is_violated_between
from .shape import LEXICAL
from .unstable_level import GROUP_PATH, UNSTABLE_LEVEL, find_level_block, level_counter_path

if TYPE_CHECKING:
    from ..connection_state import ConnectionState
    from ..evidence import EvidenceExchange
    from ..sample import Sample
    from ..state import State
    from ..verdict import JudgeResult

MAX_EXACT_FLOAT: Final = 2**53
"""Above this, floats can't represent every integer, so a counter that is kept as a float is rounded."""

UNCONFIRMED: Final = "; no responses before and after to confirm it"

LEVEL_BY_FAULT: Final = {"missed": Level.PROVEN, "by itself": Level.HABIT, "unconfirmed": Level.INFO}
"""The counters of one response may be read a moment apart; then only the samples around it can prove a violation."""


class PendingViolation(msgspec.Struct, kw_only=True, gc=False):
    """A relation that did not hold in a sample, until the next sample shows whether that is a violation."""

    requirement: Requirement
    exchange: EvidenceExchange
    index: int | None
    field: FieldPath
    expected: str
    actual: str
    before: EvidenceExchange | None
    """The exchange of the sample before."""
    decide: Callable[[Sample, Collection[tuple[int | str, int]]], bool | None]
    """By the next sample and the counters that fell: whether it is a violation; None if that doesn't show."""


class RelationCheck(Check):
    """
    Checks every relation whose counters the edition has, and the level.

    A relation that doesn't hold in a sample is pending until a sample that was requested later decides.
    """

    requirements = (*RELATION_REQUIREMENTS, UNSTABLE_LEVEL)
    stage = Stage.RELATIONS

    def __init__(self, relations: RelationFilter, blocks: Sequence[CounterBlock]) -> None:
        self._filter = relations
        self._level_block = find_level_block(blocks)
        self._unconfirmed = 0
        self._settled = Counter[tuple[Requirement, Target | None]]()
        """Counts of connections that have left."""

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """Decide what is pending, and judge this sample."""
        connection, sample = seen.connection, seen.sample
        found: list[Violation] = []
        if connection.pending_violations:
            found += self._decide_pending(seen, connection, sample)
        blocks = sample.blocks
        if sample.related or not self._filter.may_be_violated(blocks, connection.blocks):
            connection.blocks = blocks
        else:
            found += self._suspect(seen, connection, sample)
            connection.blocks = None  # a suspicious sample is not a reference for the next look
        if self._level_block is not None and sample.level is not None:
            self._suspect_level(seen, connection, self._level_block, sample.level)
        if seen.alone:
            found += [
                _violation(each, seen.connection_id or None, "by itself") for each in connection.pending_violations
            ]
            connection.pending_violations.clear()
            for requirement in self._applicable(blocks):
                state.count(requirement)
        return found

    def finish(self, state: State) -> Iterable[Violation]:
        """Decide what is pending without a later sample."""
        for connection_id, connection in state.leaving.items():
            for pending in connection.pending_violations:
                yield self._settle(pending, connection_id)
            connection.pending_violations.clear()
            self._settled.update(self._count_checked(connection))
            connection.relation_samples = connection.samples_of.copy()

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add the counts: a relation that applies to a connection was checked in all its samples."""
        result.coverage.relations_unconfirmed += self._unconfirmed
        checked = self._settled.copy()
        for state in states:
            for _, connection in state:
                checked.update(self._count_checked(connection))
            if state.unusable:
                unusable = {
                    row.requirement.id for row in self._filter.rows if any(map(state.is_unusable, row.counters))
                }
                if any(path[: len(GROUP_PATH)] == GROUP_PATH for path in state.unusable):
                    unusable.add(UNSTABLE_LEVEL.id)
                result.unusable = (*result.unusable, *unusable)
        for (requirement, target), samples in checked.items():
            result.count(requirement, target, samples)

    def _count_checked(self, connection: ConnectionState) -> Counter[tuple[Requirement, Target | None]]:
        """The samples that were not counted yet, by relation and target."""
        samples = connection.unchecked_samples(connection.relation_samples)
        if not any(samples.values()):
            return Counter()
        rows = self._applicable(connection.counter_history.current_maxima.blocks)
        return Counter({(requirement, target): count for requirement in rows for target, count in samples.items()})

    def _settle(self, pending: PendingViolation, connection_id: str) -> Violation:
        self._unconfirmed += 1
        return _violation(pending, connection_id, "unconfirmed")

    def _applicable(self, blocks: Sequence[Counters | None]) -> Collection[Requirement]:
        """The relations that apply to these counters: not all of their terms are 0."""
        found: dict[Requirement, None] = {}
        for row in self._filter.rows:
            if row.requirement not in found:
                sides = row.evaluate(blocks)
                if sides is not None and any(sides):
                    found[row.requirement] = None
        if self._level_block is not None and any(count > 0 for count in blocks[self._level_block] or ()):
            found[UNSTABLE_LEVEL] = None
        return found

    def _suspect(self, seen: Observed, connection: ConnectionState, sample: Sample) -> Iterator[Violation]:
        before, evidence = _known_before(seen, connection)
        blocks = list(sample.blocks)
        for row in self._filter.violated_relations(blocks):
            if connection.decreased_counters and row.involves(connection.decreased_counters):
                continue  # a counter that fell is another requirement's finding, and no relation can be judged with it
            if sample.deviations and _is_rounded(row, sample):
                continue
            sides = row.evaluate(blocks)
            assert sides is not None, "a sample with masked counters is not suspected"
            pending = PendingViolation(
                requirement=row.requirement,
                exchange=seen.evidence,
                index=sample.index,
                field=row.field,
                expected=row.text,
                actual=f"{format_value(sides[0])} and {format_value(sides[1])}",
                before=evidence,
                decide=partial(_decide_relation, row, before, blocks),
            )
            violated = is_violated_between(row, before, blocks, None)
            if violated:
                yield _violation(pending, seen.connection_id, "missed")
            elif violated is None:
                connection.pending_violations.append(pending)

    def _suspect_level(self, seen: Observed, connection: ConnectionState, block: int, level: int) -> None:
        counters, last = seen.sample.blocks[block], connection.last
        if counters is None or not 0 <= level < len(counters) or counters[level] or max(counters) <= 0:
            return
        if _has_decreased(block, connection.decreased_counters):
            return
        level_before = connection.level if last is not None and last.received_ns < seen.exchange.sent_ns else None
        pending = PendingViolation(
            requirement=UNSTABLE_LEVEL,
            exchange=seen.evidence,
            index=seen.sample.index,
            field=level_counter_path(level),
            expected="the current level has been counted",
            actual="0",
            before=_known_before(seen, connection)[1],
            decide=partial(_decide_level, block, level, level_before),
        )
        connection.pending_violations.append(pending)

    def _decide_pending(self, seen: Observed, connection: ConnectionState, sample: Sample) -> list[Violation]:
        """Judge what is pending, if this sample was requested afterwards."""
        waiting: list[PendingViolation] = []
        found: list[Violation] = []
        for pending in connection.pending_violations:
            if seen.exchange.sent_ns <= pending.exchange.received_ns:
                waiting.append(pending)
                continue
            violated = pending.decide(sample, connection.decreased_counters)
            if violated:
                found.append(_violation(pending, seen.connection_id, "missed", seen.evidence))
            elif violated is None:
                found.append(self._settle(pending, seen.connection_id))
        connection.pending_violations = waiting
        return found


def _decide_relation(
    row: ResolvedRelation,
    before: Sequence[Counters | None] | None,
    blocks: Sequence[Counters | None],
    after: Sample,
    decreased: Collection[tuple[int | str, int]],
) -> bool | None:
    if decreased and row.involves(decreased):
        return False
    return is_violated_between(row, before, blocks, after.blocks)


def _decide_level(
    block: int, level: int, level_before: int | None, after: Sample, decreased: Collection[tuple[int | str, int]]
) -> bool:
    counters = after.blocks[block]
    is_uncounted = counters is not None and counters[level] == 0 and not _has_decreased(block, decreased)
    return is_uncounted and level_before == level == after.level


def _has_decreased(block: int, decreased: Collection[tuple[int | str, int]]) -> bool:
    """Whether a counter of a level fell, which is another requirement's finding."""
    return any(block == other for other, _ in decreased)


def _is_rounded(row: ResolvedRelation, sample: Sample) -> bool:
    """Whether a counter of a relation was written as a float too large to be exact, which `shape.lexical` reports."""
    floats = {deviation.path for deviation in sample.deviations if deviation.requirement == LEXICAL.id}
    if floats.isdisjoint(row.counters):
        return False
    sides = row.evaluate(sample.blocks)
    return sides is not None and max(sides) > MAX_EXACT_FLOAT


def _known_before(
    seen: Observed, connection: ConnectionState
) -> tuple[Sequence[Counters | None] | None, EvidenceExchange | None]:
    """The connection's counters known before the request was sent, and the exchange that had them."""
    last = connection.last
    if last is not None and last.received_ns < seen.exchange.sent_ns:
        return connection.last_blocks, last
    known = seen.known
    return (known.blocks, known.holder) if known is not None else (None, None)


def _violation(
    pending: PendingViolation, connection_id: str | None, fault: str, after: EvidenceExchange | None = None
) -> Violation:
    """The violation; its proof are the exchanges of the sample before, of the violating one, and of the one after."""
    is_proved = fault == "missed"
    proof = [each for each in (pending.before, pending.exchange, after) if each is not None and is_proved]
    return Violation(
        requirement=pending.requirement,
        exchange=pending.exchange,
        field=pending.field,
        place=pending.field if pending.index is None else (pending.index, *pending.field),
        connection_id=connection_id,
        expected=pending.expected,
        actual=pending.actual,
        fault=fault,
        facts={"unsure": "" if is_proved else UNCONFIRMED},
        level=LEVEL_BY_FAULT[fault],
        proof=tuple(proof),
    )
