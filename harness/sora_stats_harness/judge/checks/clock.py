"""
The server's timestamps fit one clock that moves on, and a cluster's clocks agree; `server_clock` has the reasoning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from ...api.exchange import Exchange, Target
from ..check import Check, Observed, Stage, Violation
from ..cluster_listings import find_clock_skews
from ..requirement import DOCUMENTATION_SOURCE, NEEDS_NODES, NEEDS_TIMES, Level, Requirement
from ..server_clock import ClockJump, ClockOffset, FrozenClock
from ..timestamps import parse_timestamp_ns, timestamp_resolution_ns
from ..value_text import format_value

if TYPE_CHECKING:
    from ..state import State
    from ..verdict import JudgeResult

NO_TIMESTAMP: Final = "a timestamp that is none"

OFFSET: Final = Requirement(
    id="clock.offset",
    level=Level.SHOULD,
    title="The timestamps fit one clock",
    reason="Each exchange bounds the offset between the server's clock and ours.",
    source=DOCUMENTATION_SOURCE,
    needs=NEEDS_TIMES,
    message="the server's clock jumped by at least {seconds} s",
    masked_by=f"{NO_TIMESTAMP}, or one that stands still",
)
FROZEN: Final = Requirement(
    id="clock.frozen",
    level=Level.SHOULD,
    title="The timestamp moves on",
    reason="A frozen stamp is a stale response or a stopped clock.",
    source=DOCUMENTATION_SOURCE,
    needs=NEEDS_TIMES,
    message="the timestamp stood still over {responses} responses",
    masked_by=NO_TIMESTAMP,
)
SKEW: Final = Requirement(
    id="cluster.skew",
    level=Level.SHOULD,
    title="The nodes' clocks agree",
    reason="Series of several nodes are laid over each other.",
    source=DOCUMENTATION_SOURCE,
    needs=NEEDS_NODES,
    message="the clocks of {one} and {other} are apart",
    needs_traffic="several nodes with connections",
    masked_by=NO_TIMESTAMP,
)


class _ServerClocks:
    """The clocks of all servers, as far as they are known, within one run."""

    def __init__(self) -> None:
        self.offsets: dict[str, ClockOffset] = {}
        self.wall_minus_clock_ns: int | None = None
        """Wall-clock time less the exchanges' own clock."""
        self.skewed: set[tuple[str, str]] = set()
        """Pairs of nodes that a finding was made of."""


class ClockCheck(Check):
    """
    The timestamps of a connection move on, those of one server fit one offset to our clock, and those of a cluster's nodes
    agree.
    """

    requirements = (OFFSET, FROZEN, SKEW)
    stage = Stage.CLOCK

    def __init__(self) -> None:
        self._compared_stamps = 0

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """Compare a timestamp with the last of the same connection; narrow the offset by the first of a response."""
        connection, sample, exchange = seen.connection, seen.sample, seen.exchange
        if sample.stamp_ns is None:
            return ()
        request, stamp_ns = exchange.request, sample.stamp_ns
        frozen = connection.frozen_clocks.get(request.server)
        found: list[Violation] | None = None
        if frozen is None:
            connection.frozen_clocks[request.server] = FrozenClock(
                stamp_ns=stamp_ns, first=exchange, last_received_ns=exchange.received_ns
            )
        else:
            self._compared_stamps += 1
            if frozen.stamp_ns == stamp_ns:  # a stamp that stands still says nothing of the offset
                first = frozen.first
                return (_frozen(seen, frozen, first),) if frozen.add_timestamp(stamp_ns, exchange) else ()
            frozen.add_timestamp(stamp_ns, exchange)
        if sample.index or (request.target is Target.ALL and not request.asked.local):
            return ()  # one stamp a response is enough; of a whole cluster other nodes may have stamped
        clocks: _ServerClocks | None = state.memory.get(self)
        if clocks is None:
            clocks = state.recall(self, _ServerClocks)
        offset = clocks.offsets.get(request.server)
        if offset is None:
            offset = clocks.offsets[request.server] = ClockOffset()
        if clocks.wall_minus_clock_ns is None:
            clocks.wall_minus_clock_ns = _wall_minus_clock_ns(exchange, stamp_ns)
        jump = offset.add_timestamp(
            stamp_ns, timestamp_resolution_ns(sample.timestamp or ""), exchange, clocks.wall_minus_clock_ns
        )
        if jump is not None:
            found = [_jumped(seen, jump)]
        if len(state.nodes) > 1:
            found = [*(found or ()), *self._compare_nodes(seen, state, clocks)]
        return found or ()

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add how often clocks were compared, and note those that differ from ours."""
        result.checked[FROZEN.id] += self._compared_stamps
        for state in states:
            for server, offset in state.recall(self, _ServerClocks).offsets.items():
                result.checked[OFFSET.id] = result.checked.get(OFFSET.id, 0) + offset.checked
                bounds = offset.bounds
                if bounds is not None and not bounds[0] <= 0 <= bounds[1]:
                    apart = bounds[1] if bounds[1] < 0 else bounds[0]
                    word = "behind" if apart < 0 else "ahead of"
                    result.coverage.notes.append(
                        f"the clock of {server} is at least {abs(apart) / 1e9:.3f} s {word} ours"
                    )
            if state.is_unusable(("timestamp",)):
                result.unusable = (*result.unusable, OFFSET.id, FROZEN.id)

    def _compare_nodes(self, seen: Observed, state: State, clocks: _ServerClocks) -> Iterator[Violation]:
        bounds = {
            node: found
            for node, offset in clocks.offsets.items()
            if node in state.nodes and (found := offset.bounds) is not None
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


def _frozen(seen: Observed, frozen: FrozenClock, first: Exchange) -> Violation:
    return Violation(
        requirement=FROZEN,
        exchange=seen.exchange,
        field=("timestamp",),
        place=seen.place("timestamp"),
        connection_id=seen.connection_id,
        expected="a later time",
        actual=_timestamp_text(seen),
        fault="frozen",
        facts={"responses": str(frozen.responses)},
        proof=(first, seen.exchange),
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
        facts={"seconds": f"{jump.gap_ns / 1e9:.3f}"},
        proof=(jump.earlier, seen.exchange),
    )


def _timestamp_text(seen: Observed) -> str:
    return format_value(seen.sample.timestamp)


def _wall_minus_clock_ns(exchange: Exchange, stamp_ns: int) -> int:
    """Wall-clock time of sending less the clock's own; a recording without it has the server's time instead."""
    if not exchange.sent_at:
        return stamp_ns - exchange.received_ns
    sent_at_ns = parse_timestamp_ns(exchange.sent_at)
    return 0 if sent_at_ns is None else sent_at_ns - exchange.sent_ns
