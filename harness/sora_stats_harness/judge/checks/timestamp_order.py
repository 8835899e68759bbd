"""The rule that among overlapping samples of a connection, the one with the earlier timestamp has no larger counter."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from ...api.exchange import Target
from ...api.utc_time import format_utc_ns
from ..check import Check, Observed, Stage, Violation
from ..connection_state import DEFAULT_TEAR_NS, TimestampOrderViolation
from ..edition_decoder import CounterBlock
from ..requirement import DOCUMENTATION_SOURCE, NEEDS_TIMES, Level, Requirement
from ..stamp_order import StampedSample

if TYPE_CHECKING:
    from ..state import State
    from ..verdict import JudgeResult

TIMESTAMP_ORDER: Final = Requirement(
    id="counter.timestamp_order",
    level=Level.PROVEN,
    title="Among overlapping responses, the earlier timestamp has no larger counter",
    reason="Rates are differences divided by the stamp. A server may stamp a response and read its counters at "
    "different moments, so it is INFO unless you say with --tear how far these may be apart.",
    grounds="It follows from what you state with --tear. Without --tear a correct server may do otherwise, so it is "
    "INFO.",
    source=DOCUMENTATION_SOURCE,
    needs=NEEDS_TIMES,
    message="{field} is larger in a response with an earlier timestamp: {stamps}",
    needs_traffic="overlapping responses about one connection",
    masked_by="a counter of the connection that violates counter.monotonic, or a timestamp that is not valid",
)


class TimestampOrderCheck(Check):
    """
    Compares overlapping samples by their timestamps.

    Violations are held back until the connection leaves: if its counters fell, that is another requirement's finding.

    `tear_ns` is how far apart the server stamps a response and reads its counters, as stated by the user; stamps closer
    than this are not compared.
    """

    requirements: tuple[Requirement, ...] = (TIMESTAMP_ORDER,)
    stage = Stage.OVERLAPS

    def __init__(self, blocks: tuple[CounterBlock, ...], tear_ns: int | None) -> None:
        self._blocks = blocks
        self._tear_ns = DEFAULT_TEAR_NS if tear_ns is None else tear_ns
        self._level = Level.INFO if tear_ns is None else Level.PROVEN

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """Compare a sample with those that overlap it, and keep it as long as an open request may overlap it."""
        connection, mine = seen.connection, seen.stamped
        if mine is None:
            return ()
        if connection.overlapping_samples:
            compared, pairs = connection.check_timestamp_order(mine, self._tear_ns)
            if compared:
                state.count(TIMESTAMP_ORDER, compared)
            for early, late, block, counter in pairs:
                held = connection.timestamp_violations.setdefault((block, counter), [])
                held.append(TimestampOrderViolation(early=early, late=late))
        connection.add_overlapping(mine, seen.open_from_ns)
        return ()

    def finish(self, state: State) -> Iterable[Violation]:
        """Report the violations that were held back."""
        for connection_id, connection in state.leaving.items():
            for (block, counter), held in connection.timestamp_violations.items():
                if not connection.decreased_counters:
                    for each in held:
                        yield self._violation(each, connection_id, block, counter)
            connection.timestamp_violations.clear()

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add the counts; exchanges that came too late were not compared."""
        if result.coverage.late:
            result.late = (*result.late, TIMESTAMP_ORDER.id)

    def _violation(self, held: TimestampOrderViolation, connection_id: str, block: int, counter: int) -> Violation:
        early, late = held.early, held.late
        field = (*self._blocks[block].path, self._blocks[block].counters[counter].name)
        requests = [each.evidence.request for each in (early, late)]
        whole_cluster = any(each.target is Target.ALL and not each.asked.local for each in requests)
        old, new = early.blocks[block], late.blocks[block]
        assert old is not None, "both were compared"
        assert new is not None, "both were compared"
        return Violation(
            requirement=TIMESTAMP_ORDER,
            exchange=late.evidence,
            field=field,
            place=field if late.index is None else (late.index, *field),
            connection_id=connection_id,
            expected=f"at least {old[counter]}",
            actual=str(new[counter]),
            fault="stamped late",
            facts={"stamps": f"{_describe(early)} is earlier than {_describe(late)}"},
            level=Level.INFO if whole_cluster else self._level,
            proof=(early.evidence, late.evidence),
        )


def _describe(sample: StampedSample) -> str:
    """A sample's stamp, and how long its response took."""
    lasted_ns = sample.received_ns - sample.sent_ns
    return f"{format_utc_ns(sample.stamp_ns)} (in {lasted_ns / 1e6:.1f} ms)"
