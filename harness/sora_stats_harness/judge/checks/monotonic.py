"""The rule that a counter never falls; `counter_history` has the reasoning."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from ...api.edition_rules import LABELS_GROUP
from ..check import Check, Observed, Stage, Violation
from ..counter_history import CounterDecrease
from ..edition_decoder import EditionDecoder
from ..requirement import DOCUMENTATION_SOURCE, NEEDS_TIMES, Level, Requirement
from .channels import CHANNEL_PRESENT, make_channel_violation

if TYPE_CHECKING:
    from ..evidence import EvidenceExchange
    from ..state import State
    from ..verdict import JudgeResult

MONOTONIC: Final = Requirement(
    id="counter.monotonic",
    level=Level.MUST,
    title="A counter never falls from a response to one that was requested later",
    reason="Totals are cumulative; only responses that do not overlap in time are compared.",
    grounds="The page documents totals and counts, and those cannot fall. The application's own data channels may be closed and "
    "reopened between two responses. If all of a channel's counters began again, that is noted. If only some are smaller, "
    "it is a MUST where less than 100 ms went by, or where the channel would have had to count at least 20 messages, and more "
    "than ever before, in a tenth of the time; else it is INFO.",
    source=f"{DOCUMENTATION_SOURCE}: totals and counts; Herlihy and Wing 1990",
    needs=NEEDS_TIMES,
    message="{field} fell by {difference}",
    masked_by="a value that is not an integer, or a sample of another connection than was requested",
    checked_in="comparable_samples",
)


class MonotonicCheck(Check):
    """Compares every sample, and its data channels, with what was known before its request was sent."""

    requirements: tuple[Requirement, ...] = (MONOTONIC, CHANNEL_PRESENT)
    stage = Stage.COUNTERS

    def __init__(self, decoder: EditionDecoder) -> None:
        self._decoder = decoder
        self._reopened = 0
        """Counts of connections that have left."""

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        connection, sample, exchange, evidence = seen.connection, seen.sample, seen.exchange, seen.evidence
        history = connection.counter_history
        falls = history.add_sample(exchange.sent_ns, exchange.received_ns, sample.blocks, sample.labels, evidence)
        if len(history.versions) > history.prune_threshold:
            history.drop_unneeded_maxima(seen.open_sent_ns, seen.horizon_ns)
        if history.waiting_gaps and any(each.path[:1] == (LABELS_GROUP,) for each in sample.deviations):
            history.forget_gaps(evidence)
        if not falls:
            return self._channel_violations(seen) if history.gaps else ()
        certain = {(fall.block, fall.counter) for fall in falls if fall.is_certain}
        connection.decreased_counters |= certain
        gaps = [] if certain else self._channel_violations(seen)
        return [self._violation(seen, fall) for fall in falls] + gaps

    def _channel_violations(self, seen: Observed) -> list[Violation]:
        return [
            make_channel_violation(
                gap, seen, self._decoder.path_of_known_label(gap.label), self._decoder.label_messages
            )
            for gap in seen.connection.counter_history.gaps
        ]

    def finish(self, state: State) -> Iterable[Violation]:
        """Add the counts of the connections that leave."""
        for connection_id, connection in state.leaving.items():
            if connection_id not in state.connections:
                self._reopened += connection.counter_history.reopened
        return ()

    def _violation(self, seen: Observed, fall: CounterDecrease[EvidenceExchange]) -> Violation:
        decoder = self._decoder
        if isinstance(fall.block, int):
            block = decoder.blocks[fall.block]
            field = wire = (*block.path, block.counters[fall.counter].name)
        else:
            name = decoder.label_counters[fall.counter].name
            field = (*decoder.path_of_known_label(fall.block), name)
            wire = (LABELS_GROUP, fall.block, name)
        return Violation(
            requirement=MONOTONIC,
            exchange=seen.exchange,
            field=field,
            place=seen.place(*wire),
            connection_id=seen.connection_id,
            expected=f"at least {fall.before}" if fall.is_certain else f"at least {fall.before}, unless reopened",
            actual=str(fall.after),
            fault="fell" if fall.is_certain else "fell, or was reopened",
            level=None if fall.is_certain else Level.INFO,
            facts={"difference": str(fall.before - fall.after)},
            proof=_proof(seen, fall.holder),
        )

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Late or unusable samples were left out of the order."""
        if result.coverage.late:
            result.late = (*result.late, MONOTONIC.id, CHANNEL_PRESENT.id)
        if result.coverage.forgotten:
            result.forgotten = (*result.forgotten, MONOTONIC.id, CHANNEL_PRESENT.id)
        reopened = sum(connection.counter_history.reopened for state in states for _, connection in state)
        if reopened := reopened + self._reopened:
            times = "once" if reopened == 1 else f"{reopened} times"
            result.coverage.notes.append(f"a data channel was closed and reopened between two samples {times}")
        if result.coverage.unusable:
            result.unusable = (*result.unusable, MONOTONIC.id)


def _proof(seen: Observed, earlier: EvidenceExchange) -> tuple[EvidenceExchange, ...]:
    last = seen.connection.last
    assert last is not None, "it is held against a sample"
    if not earlier.is_whole and last is not earlier and last.received_ns < seen.exchange.sent_ns:
        return (earlier, last, seen.evidence)  # the first one's body was let go; this one had the value too
    return (earlier, seen.evidence)
