"""
The ICE states and connectivity checks of a simulated connection over its life, by the server's timing.

In the state connected a check is sent every 2.5 s, and 2.5 s without a response lead to checking. There a check is sent
every second, and 5 s lead to disconnected. There a check is sent every 50 ms, and 10 s lead to failed, which ends the
connection. A response counts in the state in which it arrives, which may be a later state than its request's, so only
the sums over all states are ordered.

A segment of such a history is played through once and then repeated for as long as the connection lives, so that the
counts at any age can be looked up, in any order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import Final

from .counter_increments import (
    NO_INCREMENTS,
    CounterValues,
    Increments,
    add_counts,
    increments_in_group,
    sum_increments,
)

MS_NS: Final = 1_000_000
SECOND_NS: Final = 1000 * MS_NS
NEVER_NS: Final = 1 << 62


class IceState(Enum):
    """States of ICE; the values are parts of the fields' names."""

    CHECKING = "checking"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    FAILED = "failed"


ICE_CHECK_INTERVAL_NS: Final = {
    IceState.CONNECTED: 2500 * MS_NS,
    IceState.CHECKING: 1000 * MS_NS,
    IceState.DISCONNECTED: 50 * MS_NS,
}
ICE_STATE_TIMEOUT_NS: Final = {
    IceState.CONNECTED: 2500 * MS_NS,
    IceState.CHECKING: 5000 * MS_NS,
    IceState.DISCONNECTED: 10_000 * MS_NS,
}
_NEXT_WORSE_STATE: Final = {
    IceState.CONNECTED: IceState.CHECKING,
    IceState.CHECKING: IceState.DISCONNECTED,
    IceState.DISCONNECTED: IceState.FAILED,
}
_NEXT_BETTER_STATE: Final = {IceState.DISCONNECTED: IceState.CHECKING, IceState.CHECKING: IceState.CONNECTED}

_ICE_GROUP: Final = "ice_connection_state"
_TRANSITION_COUNTERS: Final = tuple(
    f"total_{old.value}_to_{new.value}" for old, new in (*_NEXT_WORSE_STATE.items(), *_NEXT_BETTER_STATE.items())
)
_STATES_WITH_DURATION: Final = (IceState.CHECKING, IceState.DISCONNECTED)
ICE_COUNTERS: Final = (
    *(f"total_{state.value}_{what}" for state in ICE_CHECK_INTERVAL_NS for what in ("req", "ack")),
    *_TRANSITION_COUNTERS,
    *(f"total_{state.value}_duration_ms" for state in _STATES_WITH_DURATION),
)
"""The counters, in the order of a history's counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IceHistorySegment:
    """A segment of a history: what was counted by when, and how long the segment lasts."""

    times_ns: tuple[int, ...]
    counts: tuple[CounterValues, ...]
    """Cumulative counts; the first are from before any event, so there is one more than there are times."""
    length_ns: int

    def counts_at(self, age_ns: int) -> CounterValues:
        """The counts `age_ns` after the segment began."""
        return self.counts[bisect_right(self.times_ns, age_ns)]


@dataclass(frozen=True, slots=True, kw_only=True)
class IceHistory:
    """A beginning, and a segment that is repeated from then on; None if there is only the beginning."""

    beginning: IceHistorySegment
    repeated: IceHistorySegment | None

    def counts_at(self, age_ns: int) -> CounterValues:
        """The counts at an age, in the order of ICE_COUNTERS."""
        repeated = self.repeated
        if repeated is None or age_ns < self.beginning.length_ns:
            return self.beginning.counts_at(age_ns)
        rounds, rest_ns = divmod(age_ns - self.beginning.length_ns, repeated.length_ns)
        return tuple(
            first + rounds * whole + part
            for first, whole, part in zip(
                self.beginning.counts[-1], repeated.counts[-1], repeated.counts_at(rest_ns), strict=True
            )
        )


class _IceAgent:
    """Plays the server's side of ICE, from one send, response or deadline to the next."""

    def __init__(self, state: IceState, response_after_ns: int, outages_ns: Sequence[tuple[int, int]]) -> None:
        self.now_ns = 0
        self.state = state
        self.entered_ns = 0
        self.next_send_ns = 0
        self.waiting_since_ns: int | None = None
        self.responses_ns: deque[int] = deque()
        self.response_after_ns = response_after_ns
        self.outages_ns = outages_ns
        self.events: list[tuple[int, str, int]] = []

    @property
    def is_settled(self) -> bool:
        """Whether it is connected and only waits for the next check."""
        return self.state is IceState.CONNECTED and not self.responses_ns and self.waiting_since_ns is None

    @property
    def next_event_ns(self) -> int:
        return min(self.next_send_ns, self._deadline_ns, self._arrival_ns)

    @property
    def _arrival_ns(self) -> int:
        return self.responses_ns[0] if self.responses_ns else NEVER_NS

    @property
    def _deadline_ns(self) -> int:
        since_ns = self.waiting_since_ns if self.state is IceState.CONNECTED else self.entered_ns
        return NEVER_NS if since_ns is None else since_ns + ICE_STATE_TIMEOUT_NS[self.state]

    def process_next_event(self) -> None:
        self.now_ns = self.next_event_ns
        if self.now_ns == self._arrival_ns:
            self._receive_response()
        elif self.now_ns == self._deadline_ns:
            self._change_state(_NEXT_WORSE_STATE[self.state])
        else:
            self._send_check()

    def _record_count(self, name: str, amount: int = 1) -> None:
        self.events.append((self.now_ns, name, amount))

    def _send_check(self) -> None:
        self._record_count(f"total_{self.state.value}_req")
        if self.waiting_since_ns is None:
            self.waiting_since_ns = self.now_ns
        if not any(begin_ns <= self.now_ns < end_ns for begin_ns, end_ns in self.outages_ns):
            self.responses_ns.append(self.now_ns + self.response_after_ns)
        self.next_send_ns = self.now_ns + ICE_CHECK_INTERVAL_NS[self.state]

    def _receive_response(self) -> None:
        self.responses_ns.popleft()
        self._record_count(f"total_{self.state.value}_ack")
        self.waiting_since_ns = None
        if self.state in _NEXT_BETTER_STATE:
            self._change_state(_NEXT_BETTER_STATE[self.state])

    def _change_state(self, state: IceState) -> None:
        if self.state in _STATES_WITH_DURATION:
            self._record_count(f"total_{self.state.value}_duration_ms", (self.now_ns - self.entered_ns) // MS_NS)
        self._record_count(f"total_{self.state.value}_to_{state.value}")
        self.state, self.entered_ns, self.waiting_since_ns = state, self.now_ns, None
        if state is IceState.FAILED:
            self.next_send_ns = NEVER_NS
        else:
            self.next_send_ns = self.now_ns + (ICE_CHECK_INTERVAL_NS[state] if state is IceState.CONNECTED else 0)


def simulate_ice(
    state: IceState, *, response_after_ns: int, outages_ns: Sequence[tuple[int, int]] = (), until_ns: int = 0
) -> IceHistorySegment:
    """
    Play a segment of a history.

    Args:
        state: The state at the beginning, in which a check is sent at once.
        response_after_ns: Round-trip time of a check.
        outages_ns: Beginnings and ends of times in which checks get no response.
        until_ns: The least length. The segment ends at the first moment after it at which the connection is settled and
            the next check is due, or with the failure.
    """
    agent = _IceAgent(state, response_after_ns, outages_ns)
    while agent.state is not IceState.FAILED:
        due_ns = agent.next_event_ns
        if agent.events and agent.is_settled and due_ns == agent.next_send_ns and due_ns >= until_ns:
            agent.now_ns = due_ns
            break
        agent.process_next_event()
    return _build_segment(agent.events, agent.now_ns)


def _build_segment(events: Sequence[tuple[int, str, int]], length_ns: int) -> IceHistorySegment:
    steps: Iterable[CounterValues] = (
        tuple(amount if name == column else 0 for column in ICE_COUNTERS) for _, name, amount in events
    )
    counts = accumulate(steps, add_counts, initial=(0,) * len(ICE_COUNTERS))
    return IceHistorySegment(times_ns=tuple(at_ns for at_ns, _, _ in events), counts=tuple(counts), length_ns=length_ns)


def make_stable_history(*, response_after_ns: int, outage_ns: tuple[int, int] | None) -> IceHistory:
    """The history of a connection that stays; an outage, if there is one, recurs."""
    beginning = simulate_ice(IceState.CHECKING, response_after_ns=response_after_ns)
    outages = [] if outage_ns is None else [outage_ns]
    until_ns = 0 if outage_ns is None else outage_ns[1]
    repeated = simulate_ice(
        IceState.CONNECTED, response_after_ns=response_after_ns, outages_ns=outages, until_ns=until_ns
    )
    return IceHistory(beginning=beginning, repeated=repeated)


def make_failing_history(*, response_after_ns: int, lost_after_ns: int) -> IceHistory:
    """The history of a connection whose network is lost permanently at some age, so that it fails within 20 s."""
    outages = [(lost_after_ns, NEVER_NS)]
    beginning = simulate_ice(
        IceState.CHECKING, response_after_ns=response_after_ns, outages_ns=outages, until_ns=NEVER_NS
    )
    return IceHistory(beginning=beginning, repeated=None)


def ice_counter_increments(*, over_turn: bool) -> list[Increments]:
    """The increments of each column; a check is a STUN binding request, which may pass through TURN."""
    through = int(over_turn)
    also: dict[str, Increments] = {
        "req": increments_in_group("turn", total_sent_turn_binding_request=through),
        "ack": increments_in_group("turn", total_received_turn_binding_success=through),
    }
    return [
        sum_increments(increments_in_group(_ICE_GROUP, **{name: 1}), also.get(name.rpartition("_")[2], NO_INCREMENTS))
        for name in ICE_COUNTERS
    ]
