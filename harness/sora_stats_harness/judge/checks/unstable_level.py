"""The rule that a connection's current network level was counted: the only relation between a gauge and counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from ...api.exchange import Target
from ..check import Check, Observed, Stage, Violation
from ..edition_decoder import CounterBlock, Counters
from ..requirement import DOCUMENTATION_SOURCE, Requirement
from .relation_check import LEVEL_BY_FAULT, UNCONFIRMED, known_before
from .relation_table import relation_row

if TYPE_CHECKING:
    from ..connection_state import ConnectionState
    from ..evidence import EvidenceExchange
    from ..sample import Sample
    from ..state import State
    from ..verdict import JudgeResult

UNSTABLE_LEVEL: Final = relation_row(
    "unstable_level",
    "The current network level has been counted",
    f"{DOCUMENTATION_SOURCE}: network_status",
    "network levels",
)

GROUP_PATH: Final = ("network_status",)
COUNTER_PREFIX: Final = "total_unstable_level"


class PendingLevel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A level whose counter is 0, until the next sample shows whether it was just about to be counted."""

    exchange: EvidenceExchange
    index: int | None
    level: int
    level_before: int | None
    proof: tuple[EvidenceExchange, ...]
    """The earlier exchanges, and this one."""


class UnstableLevelCheck(Check):
    """
    Checks that a level which a connection had in three consecutive samples was counted.

    Args:
        blocks: The edition's blocks of counters.
    """

    requirements: tuple[Requirement, ...] = (UNSTABLE_LEVEL,)
    stage = Stage.RELATIONS

    def __init__(self, blocks: Sequence[CounterBlock]) -> None:
        self._group = next((block.index for block in blocks if block.path == GROUP_PATH), None)
        self._block = find_level_block(blocks)
        self._unconfirmed = 0
        self._settled = Counter[Target | None]()
        """Counts of connections that have left."""

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """Decide what is pending, and judge this sample's level."""
        connection, sample, block = seen.connection, seen.sample, self._block
        if block is None:
            return ()
        if connection.pending_levels:
            found = self._decide_pending(seen, connection, sample, block)
        else:
            found = []
        level, counters = sample.level, sample.blocks[block]
        if (
            level is not None
            and counters is not None
            and 0 <= level < len(counters)
            and not counters[level]
            and max(counters) > 0
            and not self._has_decreased(connection)
        ):
            pending = _suspect(seen, connection, level)
            if seen.alone:
                found.append(_violation(pending, seen.connection_id or None, "by itself", (seen.evidence,)))
            else:
                connection.pending_levels.append(pending)
        if seen.alone and self._says_anything(sample.blocks):
            state.count(UNSTABLE_LEVEL)
        return found

    def finish(self, state: State) -> Iterable[Violation]:
        """Decide what is pending without a later sample."""
        for connection_id, connection in state.leaving.items():
            for pending in connection.pending_levels:
                self._unconfirmed += 1
                yield _violation(pending, connection_id, "unconfirmed", (pending.exchange,))
            connection.pending_levels.clear()
            if self._says_anything(connection.counter_history.current_maxima.blocks):
                self._settled.update(connection.unchecked_samples(connection.level_samples))
            connection.level_samples = connection.samples_of.copy()

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add the counts: the rule was checked in all samples of connections that ever had a level counted."""
        result.coverage.relations_unconfirmed += self._unconfirmed
        checked = self._settled.copy()
        for state in states:
            for _, connection in state:
                if self._says_anything(connection.counter_history.current_maxima.blocks):
                    checked.update(connection.unchecked_samples(connection.level_samples))
        for target, samples in checked.items():
            result.count(UNSTABLE_LEVEL, target, samples)
        if any(path[: len(GROUP_PATH)] == GROUP_PATH for state in states for path in state.unusable):
            result.unusable = (*result.unusable, UNSTABLE_LEVEL.id)

    def _says_anything(self, blocks: Sequence[Counters | None]) -> bool:
        return self._group is not None and any(count > 0 for count in blocks[self._group] or ())

    def _has_decreased(self, connection: ConnectionState) -> bool:
        """Whether a counter of a level fell, which is another requirement's finding."""
        return any(block == self._block for block, _ in connection.decreased_counters)

    def _decide_pending(
        self, seen: Observed, connection: ConnectionState, sample: Sample, block: int
    ) -> list[Violation]:
        waiting: list[PendingLevel] = []
        found: list[Violation] = []
        counters = sample.blocks[block]
        for pending in connection.pending_levels:
            if seen.exchange.sent_ns <= pending.exchange.received_ns:
                waiting.append(pending)
            elif (
                pending.level_before == pending.level == sample.level
                and counters is not None
                and counters[pending.level] == 0
                and not self._has_decreased(connection)
            ):
                found.append(_violation(pending, seen.connection_id, "missed", (*pending.proof, seen.evidence)))
        connection.pending_levels = waiting
        return found


def _suspect(seen: Observed, connection: ConnectionState, level: int) -> PendingLevel:
    last, sample = connection.last, seen.sample
    _, evidence = known_before(seen, connection)
    before = () if evidence is None else (evidence,)
    return PendingLevel(
        exchange=seen.evidence,
        index=sample.index if sample is not None else None,
        level=level,
        level_before=connection.level if last is not None and last.received_ns < seen.exchange.sent_ns else None,
        proof=(*before, seen.evidence),
    )


def _violation(
    pending: PendingLevel, connection_id: str | None, fault: str, proof: tuple[EvidenceExchange, ...]
) -> Violation:
    field = (*GROUP_PATH, f"{COUNTER_PREFIX}{pending.level}")
    return Violation(
        requirement=UNSTABLE_LEVEL,
        exchange=pending.exchange,
        field=field,
        place=field if pending.index is None else (pending.index, *field),
        connection_id=connection_id,
        expected="the current level has been counted",
        actual="0",
        fault=fault,
        facts={"unsure": "" if fault == "missed" else UNCONFIRMED},
        level=LEVEL_BY_FAULT[fault],
        proof=proof,
    )


def find_level_block(blocks: Sequence[CounterBlock]) -> int | None:
    """The block that consists of total_unstable_level0, 1, …; None if there is no such block."""
    for block in blocks:
        names = [f"{COUNTER_PREFIX}{level}" for level in range(len(block.counters))]
        if block.path == GROUP_PATH and [field.name for field in block.counters] == names:
            return block.index
    return None
