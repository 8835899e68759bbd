"""
The judge: every exchange goes in, findings and counts come out.

It doesn't know who sends. Live, `begin_exchange` is called before a request's first byte is written, and completing the
exchange records the time of receipt. A recording is replayed in that order, through the same steps. The judge knows no
rule: `stage_walk` takes each exchange through the stages, and the rules are in `checks`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import partial

from ..api.edition import Edition
from ..api.exchange import Exchange, Request, RequestArguments, Response, Target, monotonic_clock_id
from .availability import ServerOutage
from .check import Check
from .check_runner import CheckRunner
from .counter_history import EARLIEST_NS
from .coverage import CoverageTracker
from .evidence import MAX_EVIDENCE_BYTES, EvidenceStore
from .exchange_counts import ExchangeCounts
from .exchange_queue import ExchangeQueue
from .findings import FindingAggregator
from .requirement import DEFAULT_SEVERITY, Finding, Level, Severity
from .sample_reader import SampleReader
from .stage_walk import StageTools, StageWalk
from .standard_checks import STANDARD_CHECKS, CheckContext
from .state import LastSample, State
from .verdict import JudgeResult, SubjectKind


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """Options of a judge."""

    nodes: Collection[str] = ()
    """Servers that together form one cluster."""
    tear_s: float | None = None
    """How far apart the server stamps a response and reads its counters, if the user says so."""
    severity: Severity = DEFAULT_SEVERITY
    """What a finding of each requirement weighs."""
    scan_every: int = 1
    """Search every n-th response for repeated keys; 0 for none."""
    soon: Callable[[Callable[[], None]], object] | None = None
    """
    Schedules a function to be called soon, after other work that is ready. Exchanges that end until then are judged
    together; without it, each exchange is judged when it is completed.
    """
    on_occurrence: Callable[[Finding, Level], None] | None = None
    """
    Called for every single finding, with the first one of its entry and the level of this one: under load, if a server
    is wrong in every response, there is no time to word each finding.
    """
    evidence_bytes: int = MAX_EVIDENCE_BYTES
    """The memory for all evidence together."""
    first_seq: int = 0
    """The number of the first exchange, for a run that several processes share."""


class Judge:
    """
    Judges exchanges of one edition. For one thread (or one event loop).

    Args:
        run: The run's id; a new one unless given.
        observer: Called with every exchange after it was judged, for example to record it.
        on_finding: Called with every single finding.
        checks: The user's own checks, in addition to the standard ones.
    """

    def __init__(
        self,
        edition: Edition,
        run: str | None = None,
        observer: Callable[[Exchange], None] | None = None,
        *,
        on_finding: Callable[[Finding], None] | None = None,
        checks: Sequence[Check] = (),
        options: JudgeOptions | None = None,
    ) -> None:
        options = options or JudgeOptions()
        self.edition = edition
        self.run: str = run or str(uuid.uuid4())
        self.clock: str = monotonic_clock_id()
        self._nodes = frozenset(options.nodes)
        self._reader = reader = SampleReader(edition)
        self._counter_places = reader.codec.counter_places
        self._evidence = EvidenceStore(options.evidence_bytes)
        self._findings = FindingAggregator(self._evidence, on_finding, options.on_occurrence, options.severity)
        self._counts = ExchangeCounts(len(edition.fields))
        tear_ns = None if options.tear_s is None else int(options.tear_s * 1e9)
        context = CheckContext(reader=reader, counts=self._counts, tear_ns=tear_ns)
        self._runner = CheckRunner(
            (*(make(context) for make in STANDARD_CHECKS.values()), *checks), self._findings, self._counts
        )
        self._user_requirements = tuple(row for check in checks for row in check.requirements)
        self._coverage = CoverageTracker(edition, reader.codec)
        self._stages = StageWalk(
            StageTools(reader, self._runner, self._counts, self._coverage, self._evidence), observer, options.scan_every
        )
        self._states: dict[tuple[str, str], State] = {}
        self._live = self._state_of(self.run, self.clock)
        judge_live = partial(self._stages.judge, self._live)
        self._queue = ExchangeQueue(self.run, self.clock, judge_live, first_seq=options.first_seq, soon=options.soon)
        self.begin_exchange = self._queue.begin_exchange
        """Announce a request; call this right before its first byte is written."""
        self.waiting: Sized = self._queue.waiting
        """What has ended and waits to be judged."""

    # Input.

    def judge_pending(self) -> None:
        """Judge all exchanges that have ended and wait, in order."""
        self._queue.judge_pending()

    def judge_recorded(
        self,
        exchange: Exchange,
        *,
        horizon_ns: int | None = None,
        open_sent_ns: Sequence[int] | None = None,
        bare: bool = False,
    ) -> None:
        """
        Judge an exchange of a recording; within one run and clock they must come in order of receipt.

        Args:
            exchange: As it was recorded.
            horizon_ns: No exchange still to come was sent before this; None if unknown, and then everything is kept.
            open_sent_ns: When the requests that were open at its receipt were sent, ascending; None if unknown.
            bare: Whether there were no requests and no HTTP: a recording of samples alone.
        """
        state = self._state_of(exchange.run, exchange.clock)
        if exchange.received_ns < state.last_received_ns:
            self._counts.late += 1
            return
        if open_sent_ns is None:
            open_sent_ns, horizon_ns = (), EARLIEST_NS if horizon_ns is None else horizon_ns
        else:
            horizon_ns = None
        self._stages.judge(state, exchange, open_sent_ns, None, horizon_ns, bare)

    def judge_bare_body(self, target: Target, data: bytes, name: str) -> None:
        """Judge a response body by itself, its shape and its relations; `name` is that of its file."""
        exchange = Exchange(
            run=self.run,
            seq=self._queue.take_seq(),
            request=Request(server=name, headers=(), body=None, target=target, asked=RequestArguments()),
            clock="none",
            sent_ns=0,
            received_ns=0,
            sent_at="",
            response=Response(status=200, headers=(), body=data),
        )
        counts = self._counts.of_target[target]
        counts.bare_bodies += 1
        counts.accepted += 1
        self._stages.judge_alone(exchange, target, self._live)

    def finish(self) -> None:
        """Decide what is pending, since no more responses will come; a second call has no effect."""
        self.judge_pending()
        for state in self._states.values():
            state.leaving = state.connections.copy()
            self._stages.settle_leaving(state)

    # Output.

    @property
    def nodes(self) -> frozenset[str]:
        """Servers that together form one cluster; set this before anything is judged."""
        return self._nodes

    @nodes.setter
    def nodes(self, servers: Collection[str]) -> None:
        self._nodes = frozenset(servers)
        for state in self._states.values():
            state.set_nodes(self._nodes)

    @property
    def subject_kind(self) -> SubjectKind:
        """`simulator` as soon as one response said so; `recording` if there were only bare bodies."""
        return self._counts.subject_kind

    def is_pending(self, exchange: Exchange) -> bool:
        """Whether an exchange that has ended was not judged yet."""
        return self._queue.is_pending(exchange)

    def is_known_strict_json(self, exchange: Exchange) -> bool:
        """
        Whether the body of an exchange is known to be strict JSON; only for the observer, while it is called with it.
        """
        return exchange.response is not None and exchange.response is self._stages.strict_response

    @property
    def outage(self) -> ServerOutage | None:
        """A server that responded at first, but not to the last requests; None if there is none."""
        outages = (state.availability.outage for state in self._states.values())
        return next((outage for outage in outages if outage is not None), None)

    def evidence(self, fingerprint: str) -> tuple[Exchange, ...]:
        """The exchanges that prove the first finding of an entry, the earlier first."""
        return self._findings.evidence_of(fingerprint)

    def cut_evidence(self, sample: LastSample) -> Exchange:
        """The exchange of a sample, with only the connection's own bytes as its body."""
        return self._evidence.cut(sample.exchange, sample.connection_id)

    def last_samples(self) -> Iterator[LastSample]:
        """
        The newest sample of each known connection that its own node has stamped.

        This is for comparing samples across machines: their clocks can't be compared, but the server's timestamps can.
        A connection whose counters fell is left out, since that is a finding already.
        """
        return (sample for state in self._states.values() for sample in state.last_samples())

    def result(self) -> JudgeResult:
        """The result so far; may be called at any time."""
        states = self._states.values()
        coverage = self._counts.summarize()
        self._coverage.fill_coverage(coverage, states)
        result = JudgeResult(
            checked={},
            findings=self._findings.entries(),
            coverage=coverage,
            withheld=self._runner.requirements_on_bodies() if coverage.withheld else (),
            masked=self._runner.masked,
            user_requirements=self._user_requirements,
        )
        self._runner.add_to_result(states, result)
        if expired := sum(state.expired_count for state in states):
            coverage.notes.append(
                f"{expired} connections that had been silent the longest were forgotten, to bound the memory"
            )
        if released := self._evidence.released:
            coverage.notes.append(
                f"{released} responses that were kept in case they had to prove a finding were let go, to bound the "
                "memory: of those their head, length and hash are left"
            )
        if self._findings.unlisted_counts:
            count = sum(self._findings.unlisted_counts.values())
            coverage.notes.append(f"{count} findings of further kinds are counted, but not listed")
        return result

    # Internals.

    def _state_of(self, run: str, clock: str) -> State:
        state = self._states.get((run, clock))
        if state is None:
            state = self._states[run, clock] = State(self._reader.codec, self._runner.checked_of[None], self._nodes)
        return state
