"""
The judge: every exchange goes in, findings and counts come out.

It does not know who sends. Live, each request takes a ticket before its first byte is written, and ending the ticket
takes the time of receipt and judges at once; so the order of ending is the order of receipt. A recording is replayed in
that order, and goes through the very same steps. Whatever a check needs to remember of a connection is in
`checks.subject`; this module says in which order the checks look at a response, and what one that fails keeps from the
next: one fault is one finding.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from ..api.edition import Edition, FieldProvenance, make_json_pointer
from ..api.exchange import (
    ErrorCode,
    Exchange,
    Request,
    RequestArguments,
    Response,
    Target,
    TransportError,
    monotonic_clock_id,
)
from ..api.http1_faults import FramingFault
from .checks import http, relations, shape
from .checks import wrong_requests as request
from .checks.cluster import ClusterListings, find_clock_skews
from .checks.connection_ids import CONNECTION_ID_PATTERN
from .checks.counter_history import EARLIEST_NS, CounterDecrease
from .checks.presence import NodePresence, PresenceGap
from .checks.server_clock import ClockOffset, FrozenClock
from .connection_state import (
    DEFAULT_TEAR_NS,
    ConnectionState,
    EvidenceCache,
    EvidenceExchange,
    OverlappingSample,
    PendingViolation,
    TimestampOrderViolation,
)
from .coverage import CoverageTracker
from .edition_decoder import LABELS_GROUP, CounterBlock, Counters
from .findings import FindingAggregator
from .requirements import REQUIREMENTS, Finding, Level
from .sample_reader import ParsedBody, Sample, SampleReader
from .timestamps import timestamp_resolution_ns
from .verdict import CoverageSummary, JudgeResult, SubjectKind

CONNECTION_EXPIRY_NS: Final = 60_000_000_000
"""A connection is forgotten this long after its last response, by the exchanges' own times."""

EXPIRY_CHECK_EXCHANGES: Final = 1024
"""Exchanges between two looks for connections to forget, at most."""

EXPIRY_CHECK_INTERVAL_NS: Final = 10_000_000_000
"""And time between them: with a listing a second, a thousand exchanges are a quarter of an hour."""

SLICING_THRESHOLD_BYTES: Final = 256 * 1024
"""Responses up to this are judged in one go, also where they waited for one that was judged in slices."""

MAX_BATCH_EXCHANGES: Final = 32
"""
Responses that wait to be judged together, at most. Judged one after the other, between them nothing but judging, they cost a
third less than each between a receipt and a sending: what the processor has at hand is then what the next one needs.
"""

MAX_BATCHED_BODY_BYTES: Final = 64 * 1024
"""A larger response is not waited with."""

OUTAGE_THRESHOLD: Final = 3
"""Requests in a row without a complete response, after which a server is taken for gone."""

MAX_EXPIRED_CONNECTIONS: Final = 100_000
"""Forgotten connections whose return is noticed."""

_BODY_REQUIREMENTS: Final = (
    *(id for id in REQUIREMENTS if id.split(".")[0] in ("http", "shape", "identity", "relation")),
    "counter.monotonic",
    "counter.timestamp_order",
    "clock.offset",
    "clock.frozen",
)
"""What cannot be told of a response whose body is withheld."""


class PendingExchange(msgspec.Struct, gc=False, eq=False):
    """One request under way; made by `Judge.sent`, and ended once."""

    _judge: Judge
    request: Request
    seq: int
    intended_ns: int | None
    sent_at_ns: int
    sent_ns: int
    _ended: bool = False

    def complete(
        self,
        response: Response | None = None,
        error: TransportError | None = None,
        arrived_ns: int | None = None,
        faults: tuple[FramingFault, ...] = (),
    ) -> Exchange:
        """
        Take the time of receipt and judge.

        Call it right after the last byte was read, before anything else. A partial response and an error may stand
        together. Where the judge was told how to have things done soon, it judges soon.

        Raises:
            ValueError: The ticket was ended before, or neither a response nor an error is given.
        """
        return self._judge._enqueue_or_judge(self._make_exchange(response, error, arrived_ns, faults))

    def complete_in_slices(
        self,
        response: Response,
        pause: Callable[[], None],
        arrived_ns: int | None = None,
        faults: tuple[FramingFault, ...] = (),
    ) -> Exchange:
        """
        As `end`, for a large array: calls `pause` between slices, so that the caller can serve its sockets.

        Exchanges that end meanwhile are judged after this one, and before it returns, in their order of receipt.
        """
        return self._judge._judge_in_slices(self._make_exchange(response, None, arrived_ns, faults), pause)

    def _make_exchange(
        self,
        response: Response | None,
        error: TransportError | None,
        arrived_ns: int | None,
        faults: tuple[FramingFault, ...],
    ) -> Exchange:
        received_ns = time.monotonic_ns()
        if self._ended:
            raise ValueError("a ticket is ended once")
        if response is None and error is None:
            raise ValueError("a ticket is ended with a response or an error")
        self._ended = True
        return Exchange(
            run=self._judge.run,
            seq=self.seq,
            request=self.request,
            clock=self._judge.clock,
            sent_ns=self.sent_ns,
            received_ns=received_ns,
            sent_at=_format_rfc3339(self.sent_at_ns),
            response=response,
            error=error,
            intended_ns=self.intended_ns,
            arrived_ns=arrived_ns,
            faults=faults,
        )


class LastSample(NamedTuple):
    """The newest sample of a connection."""

    connection_id: str
    exchange: Exchange
    stamp_ns: int
    """The server's timestamp."""
    blocks: Sequence[Counters | None]


class ServerOutage(msgspec.Struct, gc=False):
    """Requests to a server that had no complete response, sent after each that had one."""

    server: str
    since_ns: int
    """Receipt of the first of them."""
    count: int
    error: TransportError
    """Of the last."""

    @property
    def description(self) -> str:
        """What became of it, in a line."""
        return f"{self.server} stopped responding: {self.error.code.value}: {self.error.detail}"


class _ClockScope:
    """What is known within one run and clock: nothing is compared across."""

    def __init__(self, nodes: Collection[str]) -> None:
        self.subjects: dict[str, ConnectionState] = {}
        self.gone: dict[str, None] = {}
        self.responded: dict[str, int] = {}
        """By server, when the last of the requests was sent that it gave a complete response to."""
        self.silent: dict[str, ServerOutage] = {}
        self.presence: dict[str, NodePresence] = {}
        self.offsets: dict[str, ClockOffset] = {}
        self.cluster = ClusterListings(nodes) if len(nodes) > 1 else None
        self.last_received_ns = -(2**63)
        self.swept_ns = -(2**63)
        self.wall_minus_clock_ns: int | None = None
        self.skewed: set[tuple[str, str]] = set()

    def presence_of(self, server: str) -> NodePresence:
        """Who is on a node."""
        presence = self.presence.get(server)
        if presence is None:
            presence = self.presence[server] = NodePresence()
        return presence


class Judge:
    """
    Judges exchanges of one edition. For one thread (or one event loop).

    Args:
        edition: The documented field list.
        run: The run's id; a new one unless given.
        observer: Is called with every exchange after it was judged: the recorder, say.
        on_finding: Is called with every single finding.
        on_miss: Is called as often, with the first finding of the kind and the level of this one: under load, where a
            server may be wrong in every response, there is no time to put each into words.
        nodes: Servers that together are one cluster.
        scan_every: Look for repeated keys in every so-many-th response; 0 for none.
        tear_ns: Stamps closer than this are never compared.
        first_seq: Number of the first exchange, where several processes share a run.
        soon: Has something called soon, once what else is ready has had its turn. What ends until then is judged
            together; else each exchange when its ticket is ended.
    """

    def __init__(
        self,
        edition: Edition,
        run: str | None = None,
        observer: Callable[[Exchange], None] | None = None,
        *,
        on_finding: Callable[[Finding], None] | None = None,
        on_miss: Callable[[Finding, Level], None] | None = None,
        nodes: Collection[str] = (),
        scan_every: int = 1,
        tear_ns: int = DEFAULT_TEAR_NS,
        first_seq: int = 0,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.edition = edition
        self.run = run or str(uuid.uuid4())
        self.clock = monotonic_clock_id()
        self._observer = observer
        self._ledger = FindingAggregator(on_finding, on_miss)
        self._nodes: frozenset[str] = frozenset(nodes)
        self._scan_every = scan_every
        self._tear_ns = tear_ns
        self._reader = SampleReader(edition)
        codec = self._reader.codec
        self._blocks = codec.blocks
        self._label_counters = codec.label_counters
        self._relations = relations.RelationFilter(self._reader.relations)
        self._level_block = _unstable_level_block(codec.blocks)
        self._unsure = _carried_over_fields(edition)
        """What the edition only carries over: its absence, or another shape, is no MUST."""
        self._seen = CoverageTracker(edition, codec)
        self._ring = EvidenceCache()
        self._timelines: dict[tuple[str, str], _ClockScope] = {}
        self._live = self._clock_scope(self.run, self.clock)
        self._open: dict[int, int] = {}
        self._seq = first_seq
        self._soon = soon
        self._waiting: deque[Exchange] = deque()
        """Exchanges that have ended, and are judged soon."""
        self._judging = False
        """Whether somebody is at it who will see to all of them."""
        self._checked: Counter[str] = Counter()
        self._crashed: dict[str, str] = {}
        self._masked: set[str] = set()
        self._by_target: Counter[Target] = Counter()
        self._coverage = CoverageSummary(fields_documented=len(edition.fields))
        self._connections: set[str] = set()
        self._simulator = False
        self._servers: set[str] = set()
        self._since_sweep = 0
        self._whole = self._responses = self._bodies = self._scanned = self._labelled = self._measured = 0
        """Complete responses, those to valid requests, their bodies, bodies searched for repeated keys, samples with data
        channels, responses with a Content-Length."""
        self._unannounced_closes = 0
        self._strict: Response | None = None
        """The last response that is known to be strict JSON."""
        self._ordered = self._stamped = self._asked = 0
        """Samples held against an earlier one: their counters, their stamp; and against what was asked for."""

    # -- in -----------------------------------------------------------------------------------------------------------

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> PendingExchange:
        """
        Take a ticket for a request; call it right before its first byte is written.

        Args:
            request: What is sent.
            intended_ns: When the schedule wanted it sent, on `time.monotonic_ns`'s clock.
        """
        seq = self._seq
        self._seq = seq + 1
        sent_at_ns, sent_ns = time.time_ns(), time.monotonic_ns()
        self._open[seq] = sent_ns
        return PendingExchange(self, request, seq, intended_ns, sent_at_ns, sent_ns)

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
            horizon_ns: No exchange still to come was sent before this; None where that is not known, and everything is kept.
            open_sent_ns: When the requests were sent that were under way at its receipt, ascending, where that is known.
            bare: Whether there were no requests and no HTTP: a recording of samples alone.
        """
        timeline = self._clock_scope(exchange.run, exchange.clock)
        if exchange.received_ns < timeline.last_received_ns:
            self._coverage.late += 1
            return
        if open_sent_ns is not None:
            self._judge_exchange(exchange, timeline, open_sent_ns, None, bare=bare)
        else:
            self._judge_exchange(exchange, timeline, (), EARLIEST_NS if horizon_ns is None else horizon_ns, bare=bare)

    def judge_bare_body(self, target: Target, data: bytes, name: str) -> None:
        """
        Judge a bare response body: its shape, and its relations by themselves.

        Args:
            target: Which operation's response it is.
            data: The body's bytes.
            name: What to call it: a file's name.
        """
        request = Request(server=name, headers=(), body=None, target=target, asked=RequestArguments())
        response = Response(status=200, headers=(), body=data)
        exchange = Exchange(
            run=self.run,
            seq=self._seq,
            request=request,
            clock="none",
            sent_ns=0,
            received_ns=0,
            sent_at="",
            response=response,
        )
        self._seq += 1
        self._coverage.exchanges += 1
        self._by_target[target] += 1
        body = self._reader.read(data, many=target.many, scan=True)
        samples = list(self._judge_body(exchange, body))
        if len(samples) > 1:
            self._checked["identity.unique"] += 1
        several: set[str] = set()
        for sample in samples:
            connection_id = sample.connection_id
            if connection_id is not None and connection_id in several:
                self._report_duplicate_connection(exchange, sample, connection_id)
            elif connection_id is not None:
                several.add(connection_id)
            self._check_relations_of_single_sample(exchange, sample)

    def finish(self) -> None:
        """Settle what waits for a response that will not come any more; a second call finds nothing to settle."""
        self.judge_pending()
        for timeline in self._timelines.values():
            for connection_id, subject in timeline.subjects.items():
                for suspicion in subject.pending_violations:
                    self._settle_unconfirmed(connection_id, suspicion)
                subject.pending_violations.clear()
                self._report_timestamp_order(connection_id, subject)
                self._seen.add_grown_counters(subject)

    # -- out ----------------------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> frozenset[str]:
        """Servers that together are one cluster; to be set before anything is judged."""
        return self._nodes

    @nodes.setter
    def nodes(self, servers: Collection[str]) -> None:
        self._nodes = frozenset(servers)
        for timeline in self._timelines.values():
            timeline.cluster = ClusterListings(self._nodes) if len(self._nodes) > 1 else None

    @property
    def subject_kind(self) -> SubjectKind:
        """`simulator` as soon as one response said so; `recording` where there were bare bodies only."""
        if self._simulator:
            return "simulator"
        return "server" if self._servers else "recording"

    @property
    def pending_count(self) -> int:
        """Exchanges that have ended and wait to be judged."""
        return len(self._waiting)

    def is_pending(self, exchange: Exchange) -> bool:
        """Whether an exchange that has ended is still to be judged."""
        return exchange.seq in self._open

    def is_known_strict_json(self, exchange: Exchange) -> bool:
        """Whether the body of a response is known to be strict JSON; to be asked by an observer that is shown it."""
        return exchange.response is not None and exchange.response is self._strict

    @property
    def outage(self) -> ServerOutage | None:
        """
        Of a server that responded in the beginning, and whose last requests had no complete response: nobody knows what it would
        have said.
        """
        return next(
            (
                silence
                for timeline in self._timelines.values()
                for server, silence in timeline.silent.items()
                if silence.count >= OUTAGE_THRESHOLD and server in timeline.responded
            ),
            None,
        )

    def evidence(self, fingerprint: str) -> tuple[Exchange, ...]:
        """The exchanges that prove the first finding of an entry, the earlier first."""
        return self._ledger.evidence_of(fingerprint)

    def last_samples(self) -> Iterator[LastSample]:
        """
        Of each connection that is not forgotten the newest sample that its own node has stamped.

        For whoever has the last samples of other machines as well: their clocks and ours cannot be compared, the
        server's timestamps can. A connection whose counters fell is left out: that is `counter.monotonic`'s.
        """
        for timeline in self._timelines.values():
            for connection_id, subject in timeline.subjects.items():
                last, blocks = subject.last, subject.last_blocks
                if last is None or blocks is None or subject.decreased_counters:
                    continue
                request_ = last.request
                still = subject.frozen_clocks.get(request_.server)
                if still is not None and (request_.target is not Target.ALL or request_.asked.local):
                    yield LastSample(connection_id, last, still.stamp_ns, blocks)

    def result(self) -> JudgeResult:
        """What was counted until now; may be asked at any time."""
        live = [subject for timeline in self._timelines.values() for subject in timeline.subjects.values()]
        checked = Counter(self._checked)
        for requirement, count in self._hot_path_checked().items():
            checked[requirement] += count
        for timeline in self._timelines.values():
            checked["identity.present"] += sum(presence.checked for presence in timeline.presence.values())
            checked["clock.offset"] += sum(offset.checked for offset in timeline.offsets.values())
            if timeline.cluster is not None:
                checked["cluster.union"] += timeline.cluster.union_checked
                checked["cluster.once"] += timeline.cluster.once_checked
        checked.update(self._seen.count_relation_checks(self._relations.rows, live))
        coverage = self._coverage
        coverage.connections = len(self._connections)
        coverage.by_target = {target.operation: count for target, count in self._by_target.items()}
        self._seen.fill_coverage(coverage, live)
        coverage.notes = self._notes()
        late = ("counter.monotonic", "counter.timestamp_order") if coverage.late else ()
        return JudgeResult(
            checked=dict(checked),
            findings=self._ledger.entries(),
            coverage=coverage,
            crashed=dict(self._crashed),
            withheld=_BODY_REQUIREMENTS if coverage.withheld else (),
            masked=self._masked,
            late=late,
        )

    def _hot_path_checked(self) -> dict[str, int]:
        """What follows from the plain counts of the hot path."""
        samples = self._coverage.samples
        return {
            "http.complete": self._whole,
            "http.header": self._whole,
            "http.framing": self._whole,
            "http.keep_alive": self._whole,
            "http.unusual": self._whole,
            "http.status": self._responses,
            "http.content_type": self._responses,
            "http.length": self._measured,
            "http.json": self._bodies,
            "http.duplicate_key": self._scanned,
            "shape.enum": self._labelled,
            "identity.constant": self._ordered,
            "counter.monotonic": self._ordered,
            "clock.frozen": self._stamped,
            "identity.asked": self._asked,
        } | dict.fromkeys(_SHAPE_REQUIREMENTS, samples)

    def _notes(self) -> list[str]:
        notes = []
        for timeline in self._timelines.values():
            for server, offset in timeline.offsets.items():
                bounds = offset.bounds
                if bounds is not None and not bounds[0] <= 0 <= bounds[1]:
                    apart = bounds[1] if bounds[1] < 0 else bounds[0]
                    word = "behind" if apart < 0 else "ahead of"
                    notes.append(f"the clock of {server} is at least {abs(apart) / 1e9:.3f} s {word} ours")
        if self._ledger.unlisted_counts:
            notes.append(
                f"{sum(self._ledger.unlisted_counts.values())} findings of further kinds are counted, but not listed"
            )
        return notes

    # -- the way of an exchange ---------------------------------------------------------------------------------------

    def _enqueue_or_judge(self, exchange: Exchange) -> Exchange:
        waiting = self._waiting
        if self._judging:
            waiting.append(exchange)
            return exchange
        if self._soon is None:
            self._judge_live(exchange)
            return exchange
        waiting.append(exchange)
        if len(waiting) >= MAX_BATCH_EXCHANGES or (
            exchange.response is not None and len(exchange.response.body) > MAX_BATCHED_BODY_BYTES
        ):
            self.judge_pending()
        elif len(waiting) == 1:
            self._soon(self.judge_pending)
        return exchange

    def judge_pending(self) -> None:
        """Judge all that has ended and waits, in its order; nothing where somebody is at it already."""
        if self._judging:
            return
        waiting = self._waiting
        self._judging = True
        try:
            while waiting:
                self._judge_live(waiting.popleft())
        finally:
            self._judging = False
            if waiting and self._soon is not None:  # only where judging itself broke
                self._soon(self.judge_pending)

    def _judge_live(self, exchange: Exchange, pause: Callable[[], None] | None = None) -> None:
        opened = self._open
        del opened[exchange.seq]
        self._judge_exchange(exchange, self._live, opened.values(), None, pause=pause)

    def _judge_in_slices(self, exchange: Exchange, pause: Callable[[], None]) -> Exchange:
        waiting = self._waiting
        if self._judging:
            waiting.append(exchange)
            return exchange
        self.judge_pending()
        self._judging = True
        raised: BaseException | None = None

        def once() -> None:
            """A pause that raises is the last one: whatever has ended is judged, the caller is told afterwards."""
            nonlocal raised
            if raised is None:
                try:
                    pause()
                except BaseException as error:
                    raised = error

        try:
            self._judge_live(exchange, once)
            while waiting:
                following = waiting.popleft()
                if following.response is not None and len(following.response.body) > SLICING_THRESHOLD_BYTES:
                    self._judge_live(following, once)
                else:  # without a pause: where responses never cease, more would have come in each, and this never end
                    self._judge_live(following)
        finally:
            self._judging = False
            self.judge_pending()  # only where judging itself broke: nothing that ended may stay unjudged
        if raised is not None:
            raise raised
        return exchange

    def _clock_scope(self, run: str, clock: str) -> _ClockScope:
        timeline = self._timelines.get((run, clock))
        if timeline is None:
            timeline = self._timelines[run, clock] = _ClockScope(self._nodes)
        return timeline

    def _judge_exchange(
        self,
        exchange: Exchange,
        timeline: _ClockScope,
        opened: Collection[int],
        horizon_ns: int | None,
        *,
        bare: bool = False,
        pause: Callable[[], None] | None = None,
    ) -> None:
        self._coverage.exchanges += 1
        timeline.last_received_ns = exchange.received_ns
        request_ = exchange.request
        response = exchange.response
        server = request_.server
        if exchange.faults:
            self._judge_faults(exchange)
        if response is None or exchange.error is not None or not response.complete:
            self._judge_incomplete(exchange, timeline)
        else:
            if exchange.sent_ns >= timeline.responded.get(server, exchange.sent_ns):
                timeline.responded[server] = exchange.sent_ns
            if timeline.silent:
                timeline.silent.pop(server, None)
            self._whole += 1
            head = http.relevant_headers(response)
            if head.simulator:
                self._simulator = True
            if not bare:
                self._servers.add(server)
            if request_.probe is not None:
                self._judge_probe(exchange)
            elif request_.target is not None:
                body = self._judge_response(exchange, timeline, response, head, bare, pause)
                if body is not None:
                    held = self._ring.add_exchange(exchange)
                    self._judge_samples(exchange, timeline, body, held, opened, horizon_ns, pause)
        if self._observer is not None:
            self._observer(exchange)
        self._since_sweep += 1
        if (
            self._since_sweep >= EXPIRY_CHECK_EXCHANGES
            or exchange.received_ns - timeline.swept_ns > EXPIRY_CHECK_INTERVAL_NS
        ):
            self._since_sweep = 0
            timeline.swept_ns = exchange.received_ns
            self._expire_connections(timeline, exchange.received_ns)

    def _judge_faults(self, exchange: Exchange) -> None:
        """Report what deviates from HTTP/1.1, whatever the request was."""
        for fault in exchange.faults:
            found = http.fault_violation(exchange, fault)
            if found is None:
                continue
            miss, level = found
            self._checked[miss[0]] += 1
            if fault.code == http.UNANNOUNCED_CLOSE:
                self._unannounced_closes += 1
                few = self._unannounced_closes < http.MIN_UNANNOUNCED_CLOSES
                if few or self._unannounced_closes < self._whole * http.MIN_UNANNOUNCED_SHARE:
                    level = Level.INFO
            self._report_http_violation(miss, exchange, level)

    def _judge_incomplete(self, exchange: Exchange, timeline: _ClockScope) -> None:
        self._coverage.errors += 1
        server = exchange.request.server
        miss = http.check_incomplete(exchange, responded=server in timeline.responded)
        if exchange.response is not None:
            self._simulator = self._simulator or http.relevant_headers(exchange.response).simulator
        self._servers.add(server)
        if miss is not None:
            self._checked["http.complete"] += 1
            self._report_http_violation(miss, exchange)
        if exchange.request.probe is not None:
            if exchange.response is not None:
                self._judge_probe(exchange)
            return
        error = exchange.error
        if (
            error is not None
            and error.code is not ErrorCode.ABANDONED
            and not http.has_fault(exchange, http.UNANNOUNCED_CLOSE)
            and (
                exchange.sent_ns > timeline.responded.get(server, -(2**63))  # else it has responded since
            )
        ):
            silence = timeline.silent.setdefault(server, ServerOutage(server, exchange.received_ns, 0, error))
            silence.count += 1
            silence.error = error

    def _judge_probe(self, exchange: Exchange) -> None:
        try:
            checked, findings = request.check_probe_response(exchange)
        except Exception as error:
            self._record_check_crash("request.json_or_empty", error)
            return
        self._checked.update(checked)
        for finding in findings:
            self._ledger.add_finding(finding)

    def _judge_response(
        self,
        exchange: Exchange,
        timeline: _ClockScope,
        response: Response,
        head: http.RelevantHeaders,
        bare: bool,
        pause: Callable[[], None] | None,
    ) -> ParsedBody | None:
        """What is in a response whose status is 200 and whose body is JSON; None of any other."""
        target = exchange.request.target
        assert target is not None, "only valid requests come here"
        if not bare:
            if response.status != 200:
                self._checked["http.status"] += 1
                if http.is_accepted_not_found(target, response):
                    self._record_absence(exchange, timeline, ())
                else:
                    self._report_http_violation(http.status_violation(response), exchange)
                return None
            self._responses += 1
            chunked = bool(exchange.faults) and http.has_fault(exchange, "length_with_chunked")
            if head.content_length is not None and not chunked:
                self._measured += 1
                if miss := http.check_content_length(response, head.content_length):
                    self._report_http_violation(miss, exchange)
            if head.content_type != "application/json" and (miss := http.check_content_type(head.content_type)):
                self._report_http_violation(miss, exchange)
        self._by_target[target] += 1
        if response.withheld:
            self._coverage.withheld += 1
            return None
        every = self._scan_every
        scan = every == 1 or (every > 1 and exchange.seq % every == 0)
        if pause is None:
            body = self._reader.read(response.body, many=target.many, scan=scan)
            if body.strict:
                self._strict = response
        else:
            body = ParsedBody()
            for step in self._reader.read_in_slices(response.body, many=target.many, scan=scan):
                if step is None:
                    pause()
                else:
                    body = step
        self._judge_body(exchange, body)
        return body if body.fault is None else None

    def _judge_body(self, exchange: Exchange, body: ParsedBody) -> list[Sample]:
        """What shape a body has; gives its samples."""
        target = exchange.request.target
        operation = target.operation if target is not None else None
        self._bodies += 1
        if body.fault is not None:
            if not http.has_fault(exchange, "surplus"):  # else it was cut by its own length, and that is told already
                found = http.describe_body_fault(exchange, body.fault)
                self._report_http_violation(
                    ("http.json", "the body is no strict JSON", "strict JSON", found, "no JSON"), exchange
                )
            return []
        if body.scanned:
            self._scanned += 1
        if body.slow:
            self._coverage.slow_path += body.slow
        for path in body.duplicates:
            self._report_duplicate_key(exchange, path)
        for deviation in body.deviations:
            self._checked["shape.type"] += 1
            self._report_deviation(exchange, operation, None, deviation, ())
        samples = body.samples
        self._coverage.samples += len(samples)
        for sample in samples:
            if sample.deviations:
                at = () if sample.index is None else (sample.index,)
                for deviation in sample.deviations:
                    self._report_deviation(exchange, operation, sample.connection_id, deviation, at)
            if sample.absent not in self._seen.known_absences:
                self._seen.add_fields_of_sample(sample)
            if sample.labels:
                self._labelled += 1
        return samples

    def _judge_samples(
        self,
        exchange: Exchange,
        timeline: _ClockScope,
        body: ParsedBody,
        held: EvidenceExchange,
        opened: Collection[int],
        horizon_ns: int | None,
        pause: Callable[[], None] | None,
    ) -> None:
        target = exchange.request.target
        samples = body.samples
        if (
            target is Target.CONNECTION
            and len(samples) == 1
            and pause is None
            and self._judge_requested_connection(exchange, timeline, samples[0], held, opened, horizon_ns)
        ):
            return
        sound = []
        several: set[str] = set()
        if len(samples) > 1:
            self._checked["identity.unique"] += 1
        for place, sample in enumerate(samples):
            connection_id = sample.connection_id
            if connection_id is None:
                self._masked.update(("counter.monotonic", "identity.asked", "identity.constant", "identity.present"))
                continue
            if not self._matches_request(exchange, sample, connection_id):
                continue
            if connection_id in several:
                self._report_duplicate_connection(exchange, sample, connection_id)
                continue
            several.add(connection_id)
            sound.append(sample)
            try:
                self._judge_sample(exchange, timeline, sample, connection_id, held, opened, horizon_ns)
            except Exception as error:
                self._record_check_crash("counter.monotonic", error)
            if pause is not None and place % 16 == 15:
                pause()
        if exchange.response is not None and len(exchange.response.body) > SLICING_THRESHOLD_BYTES:
            for subject in timeline.subjects.values():
                if subject.last is not exchange:
                    subject.release_large_bodies(exchange.request.server, SLICING_THRESHOLD_BYTES)
        whole = len(sound) == len(samples) and not body.deviations
        self._record_presence(exchange, timeline, target, sound, several, whole)

    def _judge_requested_connection(
        self,
        exchange: Exchange,
        timeline: _ClockScope,
        sample: Sample,
        held: EvidenceExchange,
        opened: Collection[int],
        horizon_ns: int | None,
    ) -> bool:
        """Judge the connection that was asked for, as nearly always; whether it is that one."""
        request_ = exchange.request
        asked, connection_id = request_.asked, sample.connection_id
        if connection_id is None or connection_id != asked.connection_id or sample.channel_id != asked.channel_id:
            return False
        self._asked += 1
        try:
            self._judge_sample(exchange, timeline, sample, connection_id, held, opened, horizon_ns)
        except Exception as error:
            self._record_check_crash("counter.monotonic", error)
        timeline.presence_of(request_.server).add_sighting(exchange, connection_id)
        return True

    def _record_presence(
        self,
        exchange: Exchange,
        timeline: _ClockScope,
        target: Target | None,
        samples: list[Sample],
        had: set[str],
        whole: bool,
    ) -> None:
        """Who is where: presence on a node, and in the cluster. A response with an unsound id proves no absence."""
        request_ = exchange.request
        server = request_.server
        presence = timeline.presence_of(server)
        if target is Target.ALL and request_.asked.local:
            listed = [(r.connection_id, r.channel_id, r.client_id) for r in samples if r.connection_id is not None]
            for gap in presence.add_listing(exchange, listed):
                self._report_presence_gap(gap, server)
            if timeline.cluster is not None:
                for double in timeline.cluster.add_node_listing(exchange, had):
                    self._report_violation(
                        "cluster.once",
                        exchange,
                        "",
                        (),
                        double.connection_id,
                        "a connection is listed by two nodes",
                        f"only {double.earlier.request.server}",
                        f"{server} lists it too",
                        "two nodes",
                        (double.earlier, exchange),
                    )
            return
        for connection_id in had:
            presence.add_sighting(exchange, connection_id)
        if target is Target.ALL:
            if not whole:
                return
            everywhere = timeline.presence if timeline.cluster is not None else {server: presence}
            for node in everywhere.values():
                node.add_cluster_absences(exchange, had)
            if timeline.cluster is not None:
                for stray in timeline.cluster.add_cluster_listing(exchange, had):
                    self._report_violation(
                        "cluster.union",
                        exchange,
                        "",
                        (),
                        stray.connection_id,
                        "a connection of the whole cluster is on none of its nodes",
                        "one node lists it",
                        "none does",
                        "on no node",
                        (stray.before, *stray.nodes, exchange),
                    )
        elif whole and not (target is Target.CONNECTION and request_.asked.connection_id in had):
            self._record_absence(exchange, timeline, had)

    def _record_absence(self, exchange: Exchange, timeline: _ClockScope, had: Collection[str]) -> None:
        asked, target = exchange.request.asked, exchange.request.target
        presence = timeline.presence.get(exchange.request.server)
        if presence is None:
            return
        if target is Target.CONNECTION and asked.connection_id is not None and asked.connection_id not in had:
            presence.add_absence(exchange, asked.connection_id)
        elif target is Target.CLIENT and asked.channel_id is not None and asked.client_id is not None:
            presence.add_client_absences(exchange, asked.channel_id, asked.client_id, had)

    def _report_presence_gap(self, gap: PresenceGap, server: str) -> None:
        absence = gap.absence
        elsewhere = absence.exchange.request.server != server
        self._report_violation(
            "cluster.union" if elsewhere else "identity.present",
            absence.exchange,
            "",
            (),
            absence.connection_id,
            "a connection that was listed before and after is missing in between",
            f"listed by {server}",
            "missing",
            "missing",
            (absence.before, absence.exchange, gap.after),
        )

    def _matches_request(self, exchange: Exchange, sample: Sample, connection_id: str) -> bool:
        """Whether a sample is of what was asked for; one that is not is not looked at further."""
        asked, target = exchange.request.asked, exchange.request.target
        wanted: tuple[tuple[str, str | None, str | None], ...]
        if target is Target.CONNECTION and asked.connection_id is not None:
            rule = "identity.asked"
            wanted = (
                ("connection_id", asked.connection_id, connection_id),
                ("channel_id", asked.channel_id, sample.channel_id),
            )
        elif target is Target.CLIENT and asked.client_id is not None:
            rule = "identity.client"
            wanted = (
                ("client_id", asked.client_id, sample.client_id),
                ("channel_id", asked.channel_id, sample.channel_id),
            )
        else:
            return True
        self._checked[rule] += 1
        for name, expected, actual in wanted:
            if actual is not None and expected is not None and actual != expected:
                self._report_violation(
                    rule,
                    exchange,
                    make_json_pointer((name,)),
                    _pointer_prefix(sample, name),
                    connection_id,
                    f"the response is about another {name.removesuffix('_id')}",
                    shape.format_value(expected),
                    shape.format_value(actual),
                    f"another {name}",
                    (exchange,),
                )
                return False
        return True

    def _report_duplicate_connection(self, exchange: Exchange, sample: Sample, connection_id: str) -> None:
        self._report_violation(
            "identity.unique",
            exchange,
            "/connection_id",
            _pointer_prefix(sample, "connection_id"),
            connection_id,
            "a connection stands twice in one response",
            "once",
            "again",
            "twice",
            (exchange,),
        )

    # -- one sample --------------------------------------------------------------------------------------------------

    def _judge_sample(
        self,
        exchange: Exchange,
        timeline: _ClockScope,
        sample: Sample,
        connection_id: str,
        held: EvidenceExchange,
        opened: Collection[int],
        horizon_ns: int | None,
    ) -> None:
        subject = timeline.subjects.get(connection_id)
        received_ns = exchange.received_ns
        if subject is None:
            subject = self._connection_state(timeline, exchange, connection_id)
        elif received_ns - subject.counter_history.last_received_ns > CONNECTION_EXPIRY_NS:
            self._expire_connection(timeline, connection_id)
            subject = self._connection_state(timeline, exchange, connection_id)
        lineage = subject.counter_history
        sent_ns = exchange.sent_ns
        subject.samples += 1
        identity = (sample.channel_id, sample.client_id, sample.bundle_id)
        if identity != subject.identity or subject.first is None:
            self._check_identity_constant(exchange, sample, connection_id, subject, identity, held)
        if sample.configuration is not subject.last_configuration:
            subject.last_configuration = sample.configuration
            if sample.configuration != subject.configuration:
                self._check_configuration_constant(exchange, sample, connection_id, subject)
        blocks = sample.blocks
        latest = lineage.versions[-1]
        base = latest if latest.known_ns < sent_ns else lineage.maxima_before(sent_ns)
        if base is not None and base.holder is not None:
            self._ordered += 1
        falls = lineage.add_sample(sent_ns, received_ns, blocks, sample.labels, held)
        if falls:
            for fall in falls:
                subject.decreased_counters.add((fall.block, fall.counter))
                self._report_counter_decrease(exchange, sample, connection_id, fall, subject)
        if subject.pending_violations:
            self._confirm_pending_violations(exchange, sample, connection_id, subject)
        if len(lineage.versions) > 8:
            lineage.drop_unneeded_maxima(opened, horizon_ns)
        last = subject.last
        if last is not None and last.received_ns < sent_ns:
            self._check_relations(exchange, sample, connection_id, subject, subject.last_blocks, subject.last_evidence)
        elif base is not None and base.holder is not None:
            self._check_relations(exchange, sample, connection_id, subject, base.blocks, base.holder)
        else:
            self._check_relations(exchange, sample, connection_id, subject, None, None)
        subject.level = sample.level
        if sample.stamp_ns is not None:
            self._check_clock(exchange, timeline, sample, sample.stamp_ns, connection_id, subject, opened, horizon_ns)
        subject.last = exchange
        subject.last_evidence = held
        subject.last_blocks = blocks

    def _connection_state(self, timeline: _ClockScope, exchange: Exchange, connection_id: str) -> ConnectionState:
        subject = timeline.subjects[connection_id] = ConnectionState(len(self._blocks))
        self._connections.add(connection_id)
        if connection_id in timeline.gone:
            del timeline.gone[connection_id]
            self._coverage.forgotten += 1
        self._checked["identity.form"] += 1
        if CONNECTION_ID_PATTERN.fullmatch(connection_id) is None:
            self._report_violation(
                "identity.form",
                exchange,
                "/connection_id",
                (),
                connection_id,
                "the connection_id has another form",
                "26 characters of Clockwork Base32",
                shape.format_value(connection_id),
                "another form",
                (exchange,),
            )
        return subject

    def _check_identity_constant(
        self,
        exchange: Exchange,
        sample: Sample,
        connection_id: str,
        subject: ConnectionState,
        identity: tuple[str | None, str | None, str | None],
        held: EvidenceExchange,
    ) -> None:
        if subject.identity is None or subject.first is None:
            subject.identity, subject.first = identity, held
            return
        merged = []
        for name, old, new in zip(("channel_id", "client_id", "bundle_id"), subject.identity, identity, strict=True):
            if old is not None and new is not None and old != new:
                self._report_violation(
                    "identity.constant",
                    exchange,
                    make_json_pointer((name,)),
                    _pointer_prefix(sample, name),
                    connection_id,
                    f"the {name} of a connection changed",
                    shape.format_value(old),
                    shape.format_value(new),
                    "changed",
                    (subject.first.exchange, exchange),
                )
            merged.append(old if old is not None else new)
        subject.identity = (merged[0], merged[1], merged[2])

    def _check_configuration_constant(
        self, exchange: Exchange, sample: Sample, connection_id: str, subject: ConnectionState
    ) -> None:
        """A data channel's configuration is fixed while it is open."""
        fields = self._reader.codec.label_others
        known = subject.configuration
        for label in known.keys() - sample.configuration.keys():
            del known[label]
        for label, mine in sample.configuration.items():
            before = known.get(label)
            if before is None:
                self._seen.add_label(self._reader.codec.edition_path_of_label(label), mine)
                known[label] = mine
                continue
            if mine == before:
                continue
            for field, old, new in zip(fields, before, mine, strict=True):
                if old != new and old is not None and new is not None and subject.last is not None:
                    path = (*(self._reader.codec.edition_path_of_label(label) or (LABELS_GROUP, label)), field.name)
                    self._report_violation(
                        "identity.constant",
                        exchange,
                        make_json_pointer(path),
                        _pointer_prefix(sample, LABELS_GROUP, label, field.name),
                        connection_id,
                        f"{field.name} of an open data channel changed",
                        shape.format_leaf(old),
                        shape.format_leaf(new),
                        "reconfigured",
                        (subject.last, exchange),
                        level=Level.SHOULD,
                    )
            known[label] = tuple(new if new is not None else old for old, new in zip(before, mine, strict=True))

    def _report_counter_decrease(
        self,
        exchange: Exchange,
        sample: Sample,
        connection_id: str,
        fall: CounterDecrease[EvidenceExchange],
        subject: ConnectionState,
    ) -> None:
        if isinstance(fall.block, int):
            block = self._blocks[fall.block]
            path = wire = (*block.path, block.counters[fall.counter].name)
        else:
            name = self._label_counters[fall.counter].name
            path = (*(self._reader.codec.edition_path_of_label(fall.block) or (LABELS_GROUP, fall.block)), name)
            wire = (LABELS_GROUP, fall.block, name)
        earlier = fall.holder.exchange
        proof: tuple[Exchange, ...] = (earlier, exchange)
        if earlier.response is None and subject.last is not None and subject.last.received_ns < exchange.sent_ns:
            proof = (earlier, subject.last, exchange)  # the first is no longer held whole; this one had the value too
        self._report_violation(
            "counter.monotonic",
            exchange,
            make_json_pointer(path),
            _pointer_prefix(sample, *wire),
            connection_id,
            f"{'.'.join(path)} fell by {fall.before - fall.after}",
            f"at least {fall.before}",
            str(fall.after),
            "fell",
            proof,
        )

    # -- relations ----------------------------------------------------------------------------------------------------

    def _check_relations(
        self,
        exchange: Exchange,
        sample: Sample,
        connection_id: str,
        subject: ConnectionState,
        before: Sequence[Counters | None] | None,
        before_held: EvidenceExchange | None,
    ) -> None:
        blocks, last = sample.blocks, subject.blocks
        level_before = None
        if subject.last is not None and subject.last.received_ns < exchange.sent_ns:
            level_before = subject.level
        if not sample.related and self._relations.may_be_violated(blocks, last):
            for row in self._relations.violated_relations(blocks):
                if subject.decreased_counters and self._involves_decreased_counter(row, subject):
                    continue
                self._add_pending_violation(exchange, sample, connection_id, subject, row, before, before_held)
            subject.blocks = None  # what is suspicious is looked at again
        else:
            subject.blocks = blocks
        level = sample.level
        if level is not None and self._level_block is not None:
            counters = blocks[self._level_block]
            if (
                counters is not None
                and 0 <= level < len(counters)
                and not counters[level]
                and max(counters) > 0
                and not (subject.decreased_counters and self._involves_decreased_counter(None, subject))
            ):
                subject.pending_violations.append(
                    PendingViolation(
                        row=None,
                        exchange=exchange,
                        sample=sample,
                        blocks=list(blocks),
                        before=before,
                        before_held=before_held,
                        level_before=level_before,
                    )
                )

    def _involves_decreased_counter(self, row: relations.ResolvedRelation | None, subject: ConnectionState) -> bool:
        """What fell is `counter.monotonic`'s, and relates to nothing any more; None is the unstable level."""
        if row is not None:
            return row.involves(subject.decreased_counters)
        return any(block == self._level_block for block, _ in subject.decreased_counters)

    def _add_pending_violation(
        self,
        exchange: Exchange,
        sample: Sample,
        connection_id: str,
        subject: ConnectionState,
        row: relations.ResolvedRelation,
        before: Sequence[Counters | None] | None,
        before_held: EvidenceExchange | None,
    ) -> None:
        suspicion = PendingViolation(
            row=row,
            exchange=exchange,
            sample=sample,
            blocks=list(sample.blocks),
            before=before,
            before_held=before_held,
            level_before=None,
        )
        missed = relations.is_violated_between(row, before, sample.blocks, None)
        if missed:
            self._confirm_relation(connection_id, suspicion, None)
        elif missed is None:
            subject.pending_violations.append(suspicion)

    def _confirm_pending_violations(
        self, exchange: Exchange, sample: Sample, connection_id: str, subject: ConnectionState
    ) -> None:
        """Judge what is suspected, where this sample was asked for after it."""
        waiting = []
        for suspicion in subject.pending_violations:
            if exchange.sent_ns <= suspicion.exchange.received_ns:
                waiting.append(suspicion)
                continue
            if subject.decreased_counters and self._involves_decreased_counter(suspicion.row, subject):
                continue
            if suspicion.row is None:
                level, block = suspicion.sample.level, self._level_block
                assert level is not None, "only a level is suspected so"
                assert block is not None, "the edition has levels"
                counters = sample.blocks[block]
                steady = suspicion.level_before == level == sample.level
                missed = steady and counters is not None and counters[level] == 0
            else:
                verdict = relations.is_violated_between(
                    suspicion.row, suspicion.before, suspicion.blocks, sample.blocks
                )
                if verdict is None:
                    self._settle_unconfirmed(connection_id, suspicion)
                missed = bool(verdict)
            if missed:
                self._confirm_relation(connection_id, suspicion, exchange)
        subject.pending_violations = waiting

    def _confirm_relation(self, connection_id: str, suspicion: PendingViolation, after: Exchange | None) -> None:
        before = () if suspicion.before_held is None else (suspicion.before_held.exchange,)
        later = () if after is None else (after,)
        self._report_relation(connection_id, suspicion, (*before, suspicion.exchange, *later), Level.SHOULD, "missed")

    def _settle_unconfirmed(self, connection_id: str, suspicion: PendingViolation) -> None:
        self._coverage.relations_unconfirmed += 1
        self._report_relation(connection_id, suspicion, (suspicion.exchange,), Level.INFO, "unconfirmed")

    def _report_relation(
        self,
        connection_id: str | None,
        suspicion: PendingViolation,
        proof: tuple[Exchange, ...],
        level: Level,
        fault: str,
    ) -> None:
        row, sample = suspicion.row, suspicion.sample
        if row is None:
            block = self._blocks[self._level_block or 0]
            path: tuple[str, ...] = (*block.path, block.counters[sample.level or 0].name)
            rule, text, actual = "relation.unstable_level", "the current level has been counted", "0"
        else:
            path, rule, text = row.field, row.id, row.text
            sides = row.evaluate(suspicion.blocks)
            assert sides is not None, "a sample with masked counters is not suspected"
            actual = f"{shape.format_value(sides[0])} and {shape.format_value(sides[1])}"
        unsure = "" if fault == "missed" else "; no responses before and after to confirm it"
        self._report_violation(
            rule,
            suspicion.exchange,
            make_json_pointer(path),
            _pointer_prefix(sample, *path),
            connection_id,
            f"a relation does not hold{unsure}",
            text,
            actual,
            fault,
            proof,
            level=level,
        )

    def _check_relations_of_single_sample(self, exchange: Exchange, sample: Sample) -> None:
        """The relations of a single body, which nothing can confirm."""
        subject = ConnectionState(len(self._blocks))
        self._connections.add(sample.connection_id or f"{exchange.seq}/{sample.index}")
        if sample.connection_id is not None:
            self._checked["identity.form"] += 1
            if CONNECTION_ID_PATTERN.fullmatch(sample.connection_id) is None:
                self._report_violation(
                    "identity.form",
                    exchange,
                    "/connection_id",
                    _pointer_prefix(sample, "connection_id"),
                    sample.connection_id,
                    "the connection_id has another form",
                    "26 characters of Clockwork Base32",
                    shape.format_value(sample.connection_id),
                    "another form",
                    (exchange,),
                )
        for label, others in sample.configuration.items():
            self._seen.add_label(self._reader.codec.edition_path_of_label(label), others)
        self._check_relations(exchange, sample, sample.connection_id or "", subject, None, None)
        for suspicion in subject.pending_violations:
            self._report_relation(sample.connection_id, suspicion, (exchange,), Level.SHOULD, "by itself")
        self._checked.update(self._seen.applicable_relations(self._relations.rows, sample.blocks))

    # -- clocks -------------------------------------------------------------------------------------------------------

    def _check_clock(
        self,
        exchange: Exchange,
        timeline: _ClockScope,
        sample: Sample,
        stamp_ns: int,
        connection_id: str,
        subject: ConnectionState,
        opened: Collection[int],
        horizon_ns: int | None,
    ) -> None:
        request_ = exchange.request
        server = request_.server
        still = subject.frozen_clocks.get(server)
        repeated = still is not None and still.stamp_ns == stamp_ns
        if still is None:
            subject.frozen_clocks[server] = FrozenClock(
                stamp_ns=stamp_ns, first=exchange, last_received_ns=exchange.received_ns
            )
        else:
            self._stamped += 1
            first = still.first
            if still.add_timestamp(stamp_ns, exchange):
                self._report_violation(
                    "clock.frozen",
                    exchange,
                    "/timestamp",
                    _pointer_prefix(sample, "timestamp"),
                    connection_id,
                    f"the timestamp stood still over {still.responses} responses",
                    "a later time",
                    shape.format_value(sample.timestamp),
                    "frozen",
                    (first, exchange),
                )
        if subject.overlapping_samples or opened or horizon_ns is not None:
            mine = OverlappingSample(exchange=exchange, index=sample.index, stamp_ns=stamp_ns, blocks=sample.blocks)
            compared, misses = subject.check_timestamp_order(mine, self._tear_ns)
            self._checked["counter.timestamp_order"] += compared
            for early, late, block, counter in misses:
                miss = TimestampOrderViolation(early=early, late=late, index=late.index)
                subject.timestamp_violations.setdefault((block, counter), []).append(miss)
            earliest = next(iter(opened)) if opened else horizon_ns
            subject.add_overlapping(mine, earliest)
        if repeated or (request_.target is Target.ALL and not request_.asked.local):
            return  # a stamp that stands still is `clock.frozen`'s; of a whole cluster other nodes may have stamped
        if sample.index is not None and sample.index > 0:
            return  # one stamp a response is enough
        offset = timeline.offsets.get(server)
        if offset is None:
            offset = timeline.offsets[server] = ClockOffset()
        if timeline.wall_minus_clock_ns is None:
            timeline.wall_minus_clock_ns = (
                stamp_ns - exchange.received_ns if not exchange.sent_at else _wall_minus_clock_ns(exchange)
            )
        jump = offset.add_timestamp(
            stamp_ns, timestamp_resolution_ns(sample.timestamp or ""), exchange, timeline.wall_minus_clock_ns
        )
        if jump is not None:
            self._report_violation(
                "clock.offset",
                exchange,
                "/timestamp",
                _pointer_prefix(sample, "timestamp"),
                connection_id,
                f"the server's clock jumped by at least {jump.gap_ns / 1e9:.3f} s",
                "one clock",
                shape.format_value(sample.timestamp),
                "jumped",
                (jump.earlier, exchange),
            )
        if timeline.cluster is not None:
            self._check_cluster_clock_skew(timeline, exchange, sample)

    def _report_timestamp_order(self, connection_id: str, subject: ConnectionState) -> None:
        """Report what was held back: a connection whose counters fell is `counter.monotonic`'s, whatever its stamps say."""
        held_back = {} if subject.decreased_counters else subject.timestamp_violations
        for (block, counter), misses in held_back.items():
            path = (*self._blocks[block].path, self._blocks[block].counters[counter].name)
            for miss in misses:
                asked = [recent.exchange.request for recent in (miss.early, miss.late)]
                whole = any(request_.target is Target.ALL and not request_.asked.local for request_ in asked)
                old, new = miss.early.blocks[block], miss.late.blocks[block]
                assert old is not None, "both were compared"
                assert new is not None, "both were compared"
                self._report_violation(
                    "counter.timestamp_order",
                    miss.late.exchange,
                    make_json_pointer(path),
                    path if miss.index is None else (miss.index, *path),
                    connection_id,
                    "the response with the earlier timestamp has the larger counter",
                    f"at least {old[counter]}",
                    str(new[counter]),
                    "stamped late",
                    (miss.early.exchange, miss.late.exchange),
                    level=Level.INFO if whole else Level.SHOULD,
                )
        subject.timestamp_violations.clear()

    def _check_cluster_clock_skew(self, timeline: _ClockScope, exchange: Exchange, sample: Sample) -> None:
        bounds = {
            node: found
            for node, offset in timeline.offsets.items()
            if node in self._nodes and (found := offset.bounds) is not None
        }
        if len(bounds) > 1:
            self._checked["cluster.skew"] += 1
        for one, other, gap in find_clock_skews(bounds):
            if (one, other) in timeline.skewed:
                continue
            timeline.skewed.add((one, other))
            self._report_violation(
                "cluster.skew",
                exchange,
                "/timestamp",
                _pointer_prefix(sample, "timestamp"),
                None,
                f"the clocks of {one} and {other} are apart",
                "at most 1 s",
                f"at least {gap / 1e9:.3f} s",
                "apart",
                (exchange,),
            )

    # -- memory -------------------------------------------------------------------------------------------------------

    def _expire_connections(self, timeline: _ClockScope, now_ns: int) -> None:
        stale = [
            connection_id
            for connection_id, subject in timeline.subjects.items()
            if now_ns - subject.counter_history.last_received_ns > CONNECTION_EXPIRY_NS
        ]
        for connection_id in stale:
            self._expire_connection(timeline, connection_id)

    def _expire_connection(self, timeline: _ClockScope, connection_id: str) -> None:
        subject = timeline.subjects.pop(connection_id)
        for suspicion in subject.pending_violations:
            self._settle_unconfirmed(connection_id, suspicion)
        self._report_timestamp_order(connection_id, subject)
        self._seen.add_grown_counters(subject)
        self._checked.update(self._seen.count_relation_checks(self._relations.rows, [subject]))
        for presence in timeline.presence.values():
            presence.remove_connection(connection_id)
        timeline.gone[connection_id] = None
        if len(timeline.gone) > MAX_EXPIRED_CONNECTIONS:
            del timeline.gone[next(iter(timeline.gone))]

    # -- findings -----------------------------------------------------------------------------------------------------

    def _record_check_crash(self, requirement: str, error: Exception) -> None:
        self._crashed.setdefault(requirement, f"{type(error).__name__}: {error}"[:200])

    def _report_http_violation(self, miss: http.HttpViolation, exchange: Exchange, level: Level | None = None) -> None:
        requirement, message, expected, actual, fault = miss
        self._report_violation(
            requirement, exchange, "", (), None, message, expected, actual, fault, (exchange,), level=level
        )

    def _report_duplicate_key(self, exchange: Exchange, path: tuple[str | int, ...]) -> None:
        many = exchange.request.target is not None and exchange.request.target.many
        wire = tuple(str(key) for key in path[1 if many else 0 :])
        field = make_json_pointer(shape.edition_path(self.edition, wire))
        self._report_violation(
            "http.duplicate_key",
            exchange,
            field,
            path,
            None,
            f"the key {shape.format_value(str(path[-1]))} stands twice",
            "once",
            "again",
            "twice",
            (exchange,),
        )

    def _report_deviation(
        self,
        exchange: Exchange,
        operation: str | None,
        connection_id: str | None,
        deviation: shape.ShapeDeviation,
        at: tuple[str | int, ...],
    ) -> None:
        level = REQUIREMENTS[deviation.requirement].level
        if deviation.path in self._unsure:
            level = min(level, Level.SHOULD)
        key = (deviation.requirement, operation, deviation.path, deviation.fault)
        self._ledger.add_violation(
            key,
            connection_id,
            level,
            lambda: Finding(
                **shape.deviation_finding_arguments(
                    deviation, level=level, target=operation, connection_id=connection_id, at=at
                ),
                exchanges=(exchange,),
            ),
        )

    def _report_violation(
        self,
        requirement: str,
        exchange: Exchange,
        field: str,
        at: tuple[str | int, ...],
        connection_id: str | None,
        message: str,
        expected: str,
        actual: str,
        fault: str,
        exchanges: tuple[Exchange, ...],
        *,
        level: Level | None = None,
    ) -> None:
        target = exchange.request.target
        self._ledger.add_finding(
            Finding(
                requirement=requirement,
                level=REQUIREMENTS[requirement].level if level is None else level,
                target=target.operation if target is not None else None,
                field=field,
                pointer=make_json_pointer(at),
                connection_id=connection_id,
                message=message,
                expected=expected,
                actual=actual,
                fault=fault,
                exchanges=exchanges,
            )
        )


_SHAPE_REQUIREMENTS: Final = (
    "shape.required",
    "shape.type",
    "shape.range",
    "shape.pattern",
    "shape.group",
    "shape.unknown",
    "shape.lexical",
    "shape.undocumented",
)


def _pointer_prefix(sample: Sample, *path: str) -> tuple[str | int, ...]:
    return path if sample.index is None else (sample.index, *path)


def _unstable_level_block(blocks: Sequence[CounterBlock]) -> int | None:
    """The block of total_unstable_level0, 1, …, if its counters are just those."""
    for block in blocks:
        if block.path == ("network_status",) and [f.name for f in block.counters] == [
            f"total_unstable_level{level}" for level in range(len(block.counters))
        ]:
            return block.index
    return None


def _carried_over_fields(edition: Edition) -> frozenset[tuple[str, ...]]:
    """Fields that are only carried over, and groups that hold no others."""
    sure = {
        field.path[:depth]
        for field in edition.fields
        if field.standing is not FieldProvenance.CARRIED_OVER
        for depth in range(len(field.path) + 1)
    }
    paths = {field.path[:depth] for field in edition.fields for depth in range(1, len(field.path) + 1)}
    return frozenset(paths - sure)


_RFC3339_CACHE: dict[int, str] = {}


def _format_rfc3339(wall_ns: int) -> str:
    """A wall-clock time in UTC, to the microsecond."""
    second, rest = divmod(wall_ns, 1_000_000_000)
    text = _RFC3339_CACHE.get(second)
    if text is None:
        if len(_RFC3339_CACHE) > 100:
            _RFC3339_CACHE.clear()
        text = _RFC3339_CACHE[second] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    return f"{text}.{rest // 1000:06d}Z"


def _wall_minus_clock_ns(exchange: Exchange) -> int:
    """Wall-clock time of sending, less the clock's own."""
    from . import timestamps as stamp

    sent_at_ns = stamp.parse_timestamp_ns(exchange.sent_at)
    return 0 if sent_at_ns is None else sent_at_ns - exchange.sent_ns
