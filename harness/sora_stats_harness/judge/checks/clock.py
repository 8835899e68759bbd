"""
The rules about timestamps: they fit one clock that advances, and a cluster's clocks agree.

`server_clock` and `stamp_order` have the reasoning.

"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from ...api.exchange import ALL, Exchange
from ...api.utc_time import format_utc_ns
from ..check import Check, Observed, Stage, Violation
from ..cluster_listings import find_clock_skews
from ..requirement import DOCUMENTATION_SOURCE, NEEDS_NODES, NEEDS_TIMES, Level, Requirement
from ..server_clock import ClockJump, ClockOffset
from ..stamp_order import (
    SAME_RESPONSE_TOLERANCE_NS,
    STEP_WINDOW_NS,
    BackwardStamp,
    ClockSteps,
    StampedSample,
    StampHistory,
    is_stale,
)
from ..timestamps import parse_timestamp_ns
from ..value_text import format_value

if TYPE_CHECKING:
    from ..connection_state import ConnectionState
    from ..evidence import EvidenceExchange
    from ..state import State
    from ..verdict import JudgeResult

NO_TIMESTAMP: Final = "a timestamp that is not valid"

ORDER: Final = Requirement(
    id="clock.order",
    level=Level.PROVEN,
    title="A connection's timestamp is later in a response to a later request",
    reason="The same timestamp again is a stale response, from a cache say; an earlier one makes rates negative.",
    grounds="The page documents the stamp as the time of reading, so a later read has a later stamp; a clock that was "
    "set back once is not a finding.",
    source=f"{DOCUMENTATION_SOURCE}: timestamp; Herlihy and Wing 1990",
    needs=NEEDS_TIMES,
    message="the timestamp {what}",
    masked_by=f"{NO_TIMESTAMP}, one that stands still, or a clock that was set back",
)
OFFSET: Final = Requirement(
    id="clock.offset",
    level=Level.PROVEN,
    title="The timestamps fit one clock",
    reason="Each exchange bounds the offset between the server's clock and ours.",
    grounds="The page documents the stamp as the time of reading. A jump, or two stamps of one response that are "
    "apart, is a HABIT until it comes again within ten minutes: a clock may be set.",
    source=DOCUMENTATION_SOURCE,
    needs=NEEDS_TIMES,
    message="{what}",
    masked_by=f"{NO_TIMESTAMP}, or one that stands still",
)
FROZEN: Final = Requirement(
    id="clock.frozen",
    level=Level.PROVEN,
    title="The timestamp moves on",
    reason="A frozen stamp is a stale response or a stopped clock.",
    grounds="The page documents the stamp as the time of reading, and reads that are 2 s apart have different times.",
    source=DOCUMENTATION_SOURCE,
    needs=NEEDS_TIMES,
    message="the timestamp stood still over {responses} responses",
    masked_by=NO_TIMESTAMP,
)
SKEW: Final = Requirement(
    id="cluster.skew",
    level=Level.HABIT,
    title="The nodes' clocks agree",
    reason="Series of several nodes are laid over each other.",
    grounds="Nothing documents how closely the clocks of nodes agree.",
    source=DOCUMENTATION_SOURCE,
    needs=NEEDS_NODES,
    message="the clocks of {one} and {other} are apart",
    needs_traffic="several nodes with connections",
    masked_by=NO_TIMESTAMP,
)


class _ServerClock:
    """What is known of one server's clock within one run."""

    def __init__(self, wall_minus_clock_ns: int) -> None:
        self.offset = ClockOffset()
        self.steps = ClockSteps()
        self.wall_minus_clock_ns = wall_minus_clock_ns
        """Wall-clock time minus the exchanges' own clock; the same for all servers."""
        self.evidence: EvidenceExchange | None = None
        """The response whose stamps were judged last."""
        self.first_stamp_ns = 0
        """Its first valid stamp."""
        self._apart: EvidenceExchange | None = None
        """The last response whose stamps are too far apart."""
        self._is_apart_again = False

    def note_apart(self, evidence: EvidenceExchange) -> bool:
        """
        Note a response whose stamps are too far apart. Returns whether another one was, too: a clock is rarely set
        twice.
        """
        last = self._apart
        if evidence is not last:
            self._is_apart_again = last is not None and evidence.received_ns - last.received_ns <= STEP_WINDOW_NS
            self._apart = evidence
        return self._is_apart_again


class _ServerClocks(dict[str, _ServerClock]):
    """The clocks of all servers."""

    def __init__(self) -> None:
        super().__init__()
        self.skewed: set[tuple[str, str]] = set()
        """Pairs of nodes that have a finding already."""

    def add(self, exchange: Exchange, stamp_ns: int) -> _ServerClock:
        """Add the clock of the server that gave this response."""
        known = next(iter(self.values()), None)
        wall_ns = _wall_minus_clock_ns(exchange, stamp_ns) if known is None else known.wall_minus_clock_ns
        made = self[exchange.request.server] = _ServerClock(wall_ns)
        return made


_ORDER_ID: Final = ORDER.id
_OFFSET_ID: Final = OFFSET.id
_FROZEN_ID: Final = FROZEN.id


class ClockCheck(Check):
    """
    The timestamps of a connection go forward, those of one server fit one offset to our clock, and those of a cluster's
    nodes agree.
    """

    requirements: tuple[Requirement, ...] = (ORDER, OFFSET, FROZEN, SKEW)
    stage = Stage.CLOCK

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """Compare a stamp with those of the same connection, of the same response, and of the same server."""
        connection, mine, exchange = seen.connection, seen.stamped, seen.exchange
        if mine is None:
            return ()
        stamp_ns, request, checked = mine.stamp_ns, exchange.request, state.checked
        server = request.server
        whole = request.target is ALL and not request.asked.local
        histories = connection.cluster_stamp_histories if whole else connection.stamp_histories
        history = histories.get(server)
        found: Sequence[Violation] = ()
        if history is None:
            histories[server] = StampHistory(mine)
        else:
            checked[_FROZEN_ID] += 1
            first = history.first
            if first.stamp_ns == stamp_ns:  # a repeated stamp says nothing about the offset
                checked[_ORDER_ID] += exchange.sent_ns > first.received_ns
                return (_frozen(seen, history),) if history.repeat(mine) else ()
            if history.repeats is not None:
                found = [*_stale(history, connection, seen.connection_id)]
            preceding = history.add(mine, seen.open_from_ns)
            if preceding is not None:
                checked[_ORDER_ID] += 1
                if stamp_ns <= preceding.stamp_ns:
                    if stamp_ns < preceding.stamp_ns:
                        back = BackwardStamp(connection_id=seen.connection_id, earlier=preceding, later=mine)
                        # With local: false the stamps may come from different nodes.
                        return found if whole else [*found, *map(_backward, self._find_wrong(seen, state, back))]
                    if is_stale(preceding, mine):
                        found = [*found, _repeated(preceding, mine, 2, seen.connection_id)]
        if whole:
            return found
        clocks: _ServerClocks = state.memory.get(self) or state.recall(self, _ServerClocks)
        clock = clocks.get(server) or clocks.add(exchange, stamp_ns)
        if clock.steps.pending:
            found = [*found, *map(_backward, clock.steps.add_forward(mine))]
        evidence = mine.evidence
        if clock.evidence is not evidence:  # the first stamp of a response narrows the offset
            checked[_OFFSET_ID] += clock.evidence is not None
            clock.evidence, clock.first_stamp_ns = evidence, stamp_ns
            jump = clock.offset.add_timestamp(mine, clock.wall_minus_clock_ns)
            if jump is not None:
                found = [*found, _jumped(seen, jump)]
            if state.is_cluster:
                found = [*found, *self._compare_nodes(seen, state)]
        elif stamp_ns != clock.first_stamp_ns and _are_apart(clock.first_stamp_ns, mine):
            found = [*found, _apart(seen, clock.first_stamp_ns - stamp_ns, again=clock.note_apart(evidence))]
        return found

    def _find_wrong(self, seen: Observed, state: State, back: BackwardStamp) -> Sequence[BackwardStamp]:
        """The stamps that are known to be wrong once this one has gone back."""
        exchange, mine, clocks = seen.exchange, back.later, state.recall(self, _ServerClocks)
        clock = clocks.get(exchange.request.server) or clocks.add(exchange, mine.stamp_ns)
        steps = clock.steps
        wrong = steps.add_backward(back)
        if clock.evidence is mine.evidence and _are_apart(clock.first_stamp_ns, mine):
            wrong += steps.refute(mine.received_ns)
        return wrong

    def finish(self, state: State) -> Iterable[Violation]:
        """Report stamps that stood still until the end, but not long enough to count as frozen."""
        for connection_id, connection in state.leaving.items():
            for history in (*connection.stamp_histories.values(), *connection.cluster_stamp_histories.values()):
                yield from _stale(history, connection, connection_id)

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add notes about clocks that differ from ours."""
        if result.coverage.forgotten:
            result.forgotten = (*result.forgotten, ORDER.id)
        for state in states:
            clocks = state.recall(self, _ServerClocks)
            for server, clock in clocks.items():
                if clock.steps.pending:
                    back = max(each.step_ns for each in clock.steps.pending) / 1e9
                    result.coverage.notes.append(f"the clock of {server} was set back by at least {back:.3f} s")
            for server, clock in clocks.items():
                bounds = clock.offset.bounds
                if bounds is not None and not bounds[0] <= 0 <= bounds[1]:
                    apart = bounds[1] if bounds[1] < 0 else bounds[0]
                    result.coverage.notes.append(
                        f"the clock of {server} is at least {abs(apart) / 1e9:.3f} s "
                        f"{'behind' if apart < 0 else 'ahead of'} ours"
                    )
            if state.is_unusable(("timestamp",)):
                result.unusable = (*result.unusable, ORDER.id, OFFSET.id, FROZEN.id)

    def _compare_nodes(self, seen: Observed, state: State) -> Iterator[Violation]:
        clocks = state.recall(self, _ServerClocks)
        bounds = {
            node: found
            for node, clock in clocks.items()
            if node in state.nodes and (found := clock.offset.bounds) is not None
        }
        if len(bounds) > 1:
            state.count(SKEW)
        for one, other, gap in find_clock_skews(bounds):
            if (one, other) in clocks.skewed:
                continue
            clocks.skewed.add((one, other))
            yield Violation(
                requirement=SKEW,
                exchange=seen.exchange,
                field=("timestamp",),
                place=seen.place("timestamp"),
                expected="at most 1 s",
                actual=f"at least {gap / 1e9:.3f} s",
                fault="apart",
                facts={"one": one, "other": other},
            )


def _are_apart(stamp_ns: int, mine: StampedSample) -> bool:
    """Whether two stamps of one response are further apart than its duration can explain."""
    apart_ns = abs(stamp_ns - mine.stamp_ns) - (mine.received_ns - mine.sent_ns) - mine.resolution_ns
    return apart_ns > SAME_RESPONSE_TOLERANCE_NS


def _stale(history: StampHistory, connection: ConnectionState, connection_id: str) -> Iterator[Violation]:
    found = history.take_stale()
    if found is None:
        return
    histories = (*connection.stamp_histories.values(), *connection.cluster_stamp_histories.values())
    if not any(each.is_reported for each in histories):
        yield _repeated(*found, connection_id)


def _repeated(first: StampedSample, last: StampedSample, responses: int, connection_id: str) -> Violation:
    return Violation(
        requirement=ORDER,
        exchange=last.evidence,
        field=("timestamp",),
        place=("timestamp",) if last.index is None else (last.index, "timestamp"),
        connection_id=connection_id,
        expected="a later time",
        actual=format_utc_ns(last.stamp_ns),
        fault="stale",
        facts={"what": f"is the same in {responses} responses, each requested after the one before: they are stale"},
        proof=(first.evidence, last.evidence),
    )


def _backward(found: BackwardStamp) -> Violation:
    later = found.later
    return Violation(
        requirement=ORDER,
        exchange=later.evidence,
        field=("timestamp",),
        place=("timestamp",) if later.index is None else (later.index, "timestamp"),
        connection_id=found.connection_id,
        expected=f"later than {format_utc_ns(found.earlier.stamp_ns)}",
        actual=format_utc_ns(later.stamp_ns),
        fault="went back",
        facts={"what": f"went back by {found.by_ns / 1e9:.6f} s from a response to one that was requested later"},
        proof=(found.earlier.evidence, later.evidence),
    )


def _frozen(seen: Observed, history: StampHistory) -> Violation:
    return Violation(
        requirement=FROZEN,
        exchange=seen.exchange,
        field=("timestamp",),
        place=seen.place("timestamp"),
        connection_id=seen.connection_id,
        expected="a later time",
        actual=_timestamp_text(seen),
        fault="frozen",
        facts={"responses": str(history.repeats.responses if history.repeats is not None else 1)},
        proof=(history.first.evidence, seen.evidence),
    )


def _apart(seen: Observed, by_ns: int, *, again: bool) -> Violation:
    return Violation(
        requirement=OFFSET,
        exchange=seen.exchange,
        field=("timestamp",),
        place=seen.place("timestamp"),
        connection_id=seen.connection_id,
        expected="one clock",
        actual=_timestamp_text(seen),
        fault="apart",
        facts={"what": f"two timestamps of one response are {abs(by_ns) / 1e9:.3f} s apart"},
        level=None if again else Level.HABIT,
    )


def _jumped(seen: Observed, jump: ClockJump) -> Violation:
    return Violation(
        requirement=OFFSET,
        exchange=seen.exchange,
        field=("timestamp",),
        place=seen.place("timestamp"),
        connection_id=seen.connection_id,
        expected="one clock",
        actual=_timestamp_text(seen),
        fault="jumped",
        facts={"what": f"the server's clock jumped by at least {jump.gap_ns / 1e9:.3f} s"},
        level=None if jump.is_repeated else Level.HABIT,
        proof=(jump.earlier.exchange, seen.exchange),
    )


def _timestamp_text(seen: Observed) -> str:
    return format_value(seen.sample.timestamp)


def _wall_minus_clock_ns(exchange: Exchange, stamp_ns: int) -> int:
    """Wall-clock time of sending minus the monotonic clock; a recording without it uses the server's time."""
    if not exchange.sent_at:
        return stamp_ns - exchange.received_ns
    sent_at = exchange.sent_at
    sent_at_ns = sent_at if isinstance(sent_at, int) else parse_timestamp_ns(sent_at)
    return 0 if sent_at_ns is None else sent_at_ns - exchange.sent_ns
