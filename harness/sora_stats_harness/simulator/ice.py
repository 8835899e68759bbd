"""
Connectivity checks and the state of ICE, by the server's timing.

Connected sends a check every 2.5 s, and 2.5 s without an answer lead to checking; checking sends every second, and 5 s
lead to disconnected; disconnected sends every 50 ms, and 10 s lead to failed, which ends the connection. An answer
counts in the state in which it arrives, which may be a later one than its request's: only the sums are ordered.

A stretch of such history is played through once and then repeated for as long as the connection lives, so that the
counts at any age can be looked up, in whatever order ages are asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import Final

from .effects import NOTHING, Effects, together, within

MS_NS: Final = 1_000_000
SECOND_NS: Final = 1000 * MS_NS
NEVER_NS: Final = 1 << 62


class State(Enum):
    """States of ICE; the values are the names' parts on the wire."""

    CHECKING = "checking"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    FAILED = "failed"


SEND_EVERY_NS: Final = {
    State.CONNECTED: 2500 * MS_NS,
    State.CHECKING: 1000 * MS_NS,
    State.DISCONNECTED: 50 * MS_NS,
}
GIVE_UP_AFTER_NS: Final = {
    State.CONNECTED: 2500 * MS_NS,
    State.CHECKING: 5000 * MS_NS,
    State.DISCONNECTED: 10_000 * MS_NS,
}
_WORSE: Final = {
    State.CONNECTED: State.CHECKING,
    State.CHECKING: State.DISCONNECTED,
    State.DISCONNECTED: State.FAILED,
}
_BETTER: Final = {State.DISCONNECTED: State.CHECKING, State.CHECKING: State.CONNECTED}

_GROUP: Final = "ice_connection_state"
_CHANGES: Final = tuple(f"total_{old.value}_to_{new.value}" for old, new in (*_WORSE.items(), *_BETTER.items()))
_TIMED: Final = (State.CHECKING, State.DISCONNECTED)
COLUMNS: Final = (
    *(f"total_{state.value}_{what}" for state in SEND_EVERY_NS for what in ("req", "ack")),
    *_CHANGES,
    *(f"total_{state.value}_duration_ms" for state in _TIMED),
)
"""The counters, in the order in which a history gives them."""

Counts = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A stretch of history: what was counted up to when, and how long it lasted."""

    times_ns: tuple[int, ...]
    counts: tuple[Counts, ...]
    """Cumulative; the first is before any event, so there is one more than times."""
    length_ns: int

    def at(self, age_ns: int) -> Counts:
        """The counts so far, `age_ns` after the stretch began."""
        return self.counts[bisect_right(self.times_ns, age_ns)]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A beginning, and a stretch that is repeated from then on; None where the beginning is all there is."""

    beginning: Course
    repeated: Course | None

    def at(self, age_ns: int) -> Counts:
        """The counts at an age, in the order of COLUMNS."""
        repeated = self.repeated
        if repeated is None or age_ns < self.beginning.length_ns:
            return self.beginning.at(age_ns)
        rounds, rest_ns = divmod(age_ns - self.beginning.length_ns, repeated.length_ns)
        return tuple(
            first + rounds * whole + part
            for first, whole, part in zip(
                self.beginning.counts[-1], repeated.counts[-1], repeated.at(rest_ns), strict=True
            )
        )


class _Agent:
    """Plays the server's side of ICE, from one send, answer or deadline to the next."""

    def __init__(self, state: State, answer_after_ns: int, outages_ns: Sequence[tuple[int, int]]) -> None:
        self.now_ns = 0
        self.state = state
        self.entered_ns = 0
        self.next_send_ns = 0
        self.unanswered_since_ns: int | None = None
        self.answers_ns: deque[int] = deque()
        self.answer_after_ns = answer_after_ns
        self.outages_ns = outages_ns
        self.events: list[tuple[int, str, int]] = []

    @property
    def settled(self) -> bool:
        """Connected, and nothing is under way but the next check."""
        return self.state is State.CONNECTED and not self.answers_ns and self.unanswered_since_ns is None

    @property
    def next_ns(self) -> int:
        return min(self.next_send_ns, self._deadline_ns, self._arrival_ns)

    @property
    def _arrival_ns(self) -> int:
        return self.answers_ns[0] if self.answers_ns else NEVER_NS

    @property
    def _deadline_ns(self) -> int:
        since_ns = self.unanswered_since_ns if self.state is State.CONNECTED else self.entered_ns
        return NEVER_NS if since_ns is None else since_ns + GIVE_UP_AFTER_NS[self.state]

    def step(self) -> None:
        self.now_ns = self.next_ns
        if self.now_ns == self._arrival_ns:
            self._answered()
        elif self.now_ns == self._deadline_ns:
            self._change(_WORSE[self.state])
        else:
            self._send()

    def _count(self, name: str, amount: int = 1) -> None:
        self.events.append((self.now_ns, name, amount))

    def _send(self) -> None:
        self._count(f"total_{self.state.value}_req")
        if self.unanswered_since_ns is None:
            self.unanswered_since_ns = self.now_ns
        if not any(begin_ns <= self.now_ns < end_ns for begin_ns, end_ns in self.outages_ns):
            self.answers_ns.append(self.now_ns + self.answer_after_ns)
        self.next_send_ns = self.now_ns + SEND_EVERY_NS[self.state]

    def _answered(self) -> None:
        self.answers_ns.popleft()
        self._count(f"total_{self.state.value}_ack")
        self.unanswered_since_ns = None
        if self.state in _BETTER:
            self._change(_BETTER[self.state])

    def _change(self, state: State) -> None:
        if self.state in _TIMED:
            self._count(f"total_{self.state.value}_duration_ms", (self.now_ns - self.entered_ns) // MS_NS)
        self._count(f"total_{self.state.value}_to_{state.value}")
        self.state, self.entered_ns, self.unanswered_since_ns = state, self.now_ns, None
        if state is State.FAILED:
            self.next_send_ns = NEVER_NS
        else:
            self.next_send_ns = self.now_ns + (SEND_EVERY_NS[state] if state is State.CONNECTED else 0)


def play(
    state: State, *, answer_after_ns: int, outages_ns: Sequence[tuple[int, int]] = (), until_ns: int = 0
) -> Course:
    """
    Play a stretch of history.

    Args:
        state: The state at the beginning, in which a check is sent at once.
        answer_after_ns: Round-trip time of a check.
        outages_ns: From when to when checks are not answered.
        until_ns: How long at least; the stretch ends with the first moment after that at which the connection is
            settled and the next check is due, or with the failure.
    """
    agent = _Agent(state, answer_after_ns, outages_ns)
    while agent.state is not State.FAILED:
        due_ns = agent.next_ns
        if agent.events and agent.settled and due_ns == agent.next_send_ns and due_ns >= until_ns:
            agent.now_ns = due_ns
            break
        agent.step()
    return _course(agent.events, agent.now_ns)


def _course(events: Sequence[tuple[int, str, int]], length_ns: int) -> Course:
    steps: Iterable[Counts] = (
        tuple(amount if name == column else 0 for column in COLUMNS) for _, name, amount in events
    )
    counts = accumulate(steps, _add, initial=(0,) * len(COLUMNS))
    return Course(times_ns=tuple(at_ns for at_ns, _, _ in events), counts=tuple(counts), length_ns=length_ns)


def _add(left: Counts, right: Counts) -> Counts:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def lasting(*, answer_after_ns: int, outage_ns: tuple[int, int] | None) -> History:
    """The history of a connection that stays; an outage, where there is one, comes back again and again."""
    beginning = play(State.CHECKING, answer_after_ns=answer_after_ns)
    outages = [] if outage_ns is None else [outage_ns]
    until_ns = 0 if outage_ns is None else outage_ns[1]
    repeated = play(State.CONNECTED, answer_after_ns=answer_after_ns, outages_ns=outages, until_ns=until_ns)
    return History(beginning=beginning, repeated=repeated)


def failing(*, answer_after_ns: int, lost_after_ns: int) -> History:
    """The history of a connection that is lost for good at some age, and fails less than 20 s later."""
    outages = [(lost_after_ns, NEVER_NS)]
    beginning = play(State.CHECKING, answer_after_ns=answer_after_ns, outages_ns=outages, until_ns=NEVER_NS)
    return History(beginning=beginning, repeated=None)


def effects(*, over_turn: bool) -> list[Effects]:
    """What each column adds to; a check is a STUN binding request, which passes through TURN where that is used."""
    through = int(over_turn)
    also: dict[str, Effects] = {
        "req": within("turn", total_sent_turn_binding_request=through),
        "ack": within("turn", total_received_turn_binding_success=through),
    }
    return [together(within(_GROUP, **{name: 1}), also.get(name.rpartition("_")[2], NOTHING)) for name in COLUMNS]
