"""
The judge: every exchange goes in, findings and counts come out.

It does not know who sends. Live, each request takes a ticket before its first byte is written, and ending the ticket
takes the time of receipt and judges at once; so the order of ending is the order of receipt. A recording is replayed in
that order, and goes through the very same steps. Whatever a check needs to remember of a connection is in
`checks.subject`; this module says in which order the checks look at an answer, and what one that fails keeps from the
next: one fault is one finding.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from ..api.edition import Edition, Standing, pointer
from ..api.exchange import Answer, Asked, ErrorCode, Exchange, Request, Target, TransportError, clock_id
from .checks import http, relations, request, shape
from .checks.body import Body, BodyReader, Reading
from .checks.clock import Offset, Stillness
from .checks.cluster import Cluster, skews
from .checks.identity import CONNECTION_ID
from .checks.order import LONG_AGO, Fall
from .checks.presence import Gap, Presence
from .checks.stamp import resolution_ns
from .checks.subject import TEAR_NS, Held, Misstamped, Recent, Ring, Subject, Suspicion
from .codec import LABELS, Block, Counters
from .coverage import Seen
from .ledger import Ledger
from .requirements import REQUIREMENTS, Finding, Level
from .verdict import Coverage, SubjectKind, Tally

FORGET_NS: Final = 60_000_000_000
"""A connection is forgotten this long after its last answer, by the exchanges' own times."""

SWEEP_EVERY: Final = 1024
"""Exchanges between two looks for connections to forget, at most."""

SWEEP_NS: Final = 10_000_000_000
"""And time between them: with a listing a second, a thousand exchanges are a quarter of an hour."""

LARGE_BYTES: Final = 256 * 1024
"""Answers up to this are judged in one go, also where they waited for one that was judged in slices."""

TOGETHER: Final = 32
"""
Answers that wait to be judged together, at most. Judged one after the other, between them nothing but judging, they cost a
third less than each between a receipt and a sending: what the processor has at hand is then what the next one needs.
"""

TOGETHER_BYTES: Final = 64 * 1024
"""A larger answer is not waited with."""

SILENT: Final = 3
"""Requests in a row without a whole answer, after which a server is taken for gone."""

MAX_GONE: Final = 100_000
"""Forgotten connections whose return is noticed."""

_BODY_RULES: Final = (
    *(id for id in REQUIREMENTS if id.split(".")[0] in ("http", "shape", "identity", "relation")),
    "order.realtime", "order.timestamp", "clock.offset", "clock.frozen",
)  # fmt: skip
"""What cannot be told of an answer whose body is withheld."""


class Ticket(msgspec.Struct, gc=False, eq=False):
    """One request under way; made by `Judge.sent`, and ended once."""

    _judge: Judge
    request: Request
    seq: int
    intended_ns: int | None
    sent_at_ns: int
    sent_ns: int
    _ended: bool = False

    def end(
        self, answer: Answer | None = None, error: TransportError | None = None, arrived_ns: int | None = None
    ) -> Exchange:
        """
        Take the time of receipt and judge.

        Call it right after the last byte was read, before anything else. A partial answer and an error may stand
        together. Where the judge was told how to have things done soon, it judges soon.

        Raises:
            ValueError: The ticket was ended before, or neither an answer nor an error is given.
        """
        return self._judge._end(self._exchange(answer, error, arrived_ns))

    def end_in_slices(self, answer: Answer, pause: Callable[[], None], arrived_ns: int | None = None) -> Exchange:
        """
        As `end`, for a large array: calls `pause` between slices, so that the caller can serve its sockets.

        Exchanges that end meanwhile are judged after this one, and before it returns, in their order of receipt.
        """
        return self._judge._end_in_slices(self._exchange(answer, None, arrived_ns), pause)

    def _exchange(self, answer: Answer | None, error: TransportError | None, arrived_ns: int | None) -> Exchange:
        received_ns = time.monotonic_ns()
        if self._ended:
            raise ValueError("a ticket is ended once")
        if answer is None and error is None:
            raise ValueError("a ticket is ended with an answer or an error")
        self._ended = True
        return Exchange(
            run=self._judge.run, seq=self.seq, request=self.request, clock=self._judge.clock, sent_ns=self.sent_ns,
            received_ns=received_ns, sent_at=_rfc3339(self.sent_at_ns), answer=answer, error=error,
            intended_ns=self.intended_ns, arrived_ns=arrived_ns,
        )  # fmt: skip


class LastReading(NamedTuple):
    """The newest reading of a connection."""

    connection_id: str
    exchange: Exchange
    stamp_ns: int
    """The server's timestamp."""
    blocks: Sequence[Counters | None]


class Silence(msgspec.Struct, gc=False):
    """Requests to a server that had no whole answer, sent after each that had one."""

    server: str
    since_ns: int
    """Receipt of the first of them."""
    count: int
    error: TransportError
    """Of the last."""

    @property
    def text(self) -> str:
        """What became of it, in a line."""
        return f"{self.server} stopped answering: {self.error.code.value}: {self.error.detail}"


class _Timeline:
    """What is known within one run and clock: nothing is compared across."""

    def __init__(self, nodes: Collection[str]) -> None:
        self.subjects: dict[str, Subject] = {}
        self.gone: dict[str, None] = {}
        self.answered: dict[str, int] = {}
        """By server, when the last of the requests was sent that it gave a whole answer to."""
        self.silent: dict[str, Silence] = {}
        self.presence: dict[str, Presence] = {}
        self.offsets: dict[str, Offset] = {}
        self.cluster = Cluster(nodes) if len(nodes) > 1 else None
        self.last_received_ns = -(2**63)
        self.swept_ns = -(2**63)
        self.wall_minus_clock_ns: int | None = None
        self.skewed: set[tuple[str, str]] = set()

    def node(self, server: str) -> Presence:
        """Who is on a node."""
        presence = self.presence.get(server)
        if presence is None:
            presence = self.presence[server] = Presence()
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
            server may be wrong in every answer, there is no time to put each into words.
        nodes: Servers that together are one cluster.
        scan_every: Look for repeated keys in every so-many-th answer; 0 for none.
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
        tear_ns: int = TEAR_NS,
        first_seq: int = 0,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.edition = edition
        self.run = run or str(uuid.uuid4())
        self.clock = clock_id()
        self._observer = observer
        self._ledger = Ledger(on_finding, on_miss)
        self._nodes: frozenset[str] = frozenset(nodes)
        self._scan_every = scan_every
        self._tear_ns = tear_ns
        self._reader = BodyReader(edition)
        codec = self._reader.codec
        self._blocks = codec.blocks
        self._label_counters = codec.label_counters
        self._relations = relations.Filter(self._reader.relations)
        self._level_block = _level_block(codec.blocks)
        self._unsure = _unsure(edition)
        """What the edition only carries over: its absence, or another shape, is no MUST."""
        self._seen = Seen(edition, codec)
        self._ring = Ring()
        self._timelines: dict[tuple[str, str], _Timeline] = {}
        self._live = self._timeline(self.run, self.clock)
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
        self._coverage = Coverage(fields_documented=len(edition.fields))
        self._connections: set[str] = set()
        self._simulator = False
        self._servers: set[str] = set()
        self._since_sweep = 0
        self._whole = self._answers = self._bodies = self._scanned = self._labelled = self._measured = 0
        """Whole answers, those to valid requests, their bodies, bodies searched for repeated keys, readings with data
        channels, answers with a Content-Length."""
        self._strict: Answer | None = None
        """The last answer that is known to be strict JSON."""
        self._ordered = self._stamped = self._asked = 0
        """Readings held against an earlier one: their counters, their stamp; and against what was asked for."""

    # -- in -----------------------------------------------------------------------------------------------------------

    def sent(self, request: Request, intended_ns: int | None = None) -> Ticket:
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
        return Ticket(self, request, seq, intended_ns, sent_at_ns, sent_ns)

    def replay(
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
            bare: Whether there were no requests and no HTTP: a recording of readings alone.
        """
        timeline = self._timeline(exchange.run, exchange.clock)
        if exchange.received_ns < timeline.last_received_ns:
            self._coverage.late += 1
            return
        if open_sent_ns is not None:
            self._judge(exchange, timeline, open_sent_ns, None, bare=bare)
        else:
            self._judge(exchange, timeline, (), LONG_AGO if horizon_ns is None else horizon_ns, bare=bare)

    def body(self, target: Target, data: bytes, name: str) -> None:
        """
        Judge a bare response body: its shape, and its relations by themselves.

        Args:
            target: Which operation's answer it is.
            data: The body's bytes.
            name: What to call it: a file's name.
        """
        request = Request(server=name, headers=(), body=None, target=target, asked=Asked())
        answer = Answer(status=200, headers=(), body=data)
        exchange = Exchange(
            run=self.run, seq=self._seq, request=request, clock="none", sent_ns=0, received_ns=0, sent_at="",
            answer=answer,
        )  # fmt: skip
        self._seq += 1
        self._coverage.exchanges += 1
        self._by_target[target] += 1
        body = self._reader.read(data, many=target.many, scan=True)
        readings = list(self._judge_body(exchange, body))
        if len(readings) > 1:
            self._checked["identity.unique"] += 1
        several: set[str] = set()
        for reading in readings:
            connection_id = reading.connection_id
            if connection_id is not None and connection_id in several:
                self._twice(exchange, reading, connection_id)
            elif connection_id is not None:
                several.add(connection_id)
            self._judge_alone(exchange, reading)

    def finish(self) -> None:
        """Settle what waits for an answer that will not come any more; a second call finds nothing to settle."""
        self.catch_up()
        for timeline in self._timelines.values():
            for connection_id, subject in timeline.subjects.items():
                for suspicion in subject.suspicions:
                    self._unconfirmed(connection_id, suspicion)
                subject.suspicions.clear()
                self._report_stamps(connection_id, subject)
                self._seen.grow(subject)

    # -- out ----------------------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> frozenset[str]:
        """Servers that together are one cluster; to be set before anything is judged."""
        return self._nodes

    @nodes.setter
    def nodes(self, servers: Collection[str]) -> None:
        self._nodes = frozenset(servers)
        for timeline in self._timelines.values():
            timeline.cluster = Cluster(self._nodes) if len(self._nodes) > 1 else None

    @property
    def subject_kind(self) -> SubjectKind:
        """`simulator` as soon as one answer said so; `recording` where there were bare bodies only."""
        if self._simulator:
            return "simulator"
        return "server" if self._servers else "recording"

    @property
    def behind(self) -> int:
        """Exchanges that have ended and wait to be judged."""
        return len(self._waiting)

    def awaits(self, exchange: Exchange) -> bool:
        """Whether an exchange that has ended is still to be judged."""
        return exchange.seq in self._open

    def vouches(self, exchange: Exchange) -> bool:
        """Whether the body of an answer is known to be strict JSON; to be asked by an observer that is shown it."""
        return exchange.answer is not None and exchange.answer is self._strict

    @property
    def silence(self) -> Silence | None:
        """
        Of a server that answered in the beginning, and whose last requests had no whole answer: nobody knows what it would
        have said.
        """
        return next(
            (
                silence
                for timeline in self._timelines.values()
                for server, silence in timeline.silent.items()
                if silence.count >= SILENT and server in timeline.answered
            ),
            None,
        )

    def evidence(self, fingerprint: str) -> tuple[Exchange, ...]:
        """The exchanges that prove the first finding of an entry, the earlier first."""
        return self._ledger.evidence(fingerprint)

    def last_readings(self) -> Iterator[LastReading]:
        """
        Of each connection that is not forgotten the newest reading that its own node has stamped.

        For whoever has the last readings of other machines as well: their clocks and ours cannot be compared, the
        server's timestamps can. A connection whose counters fell is left out: that is `order.realtime`'s.
        """
        for timeline in self._timelines.values():
            for connection_id, subject in timeline.subjects.items():
                last, blocks = subject.last, subject.last_blocks
                if last is None or blocks is None or subject.fallen:
                    continue
                request_ = last.request
                still = subject.still.get(request_.server)
                if still is not None and (request_.target is not Target.ALL or request_.asked.local):
                    yield LastReading(connection_id, last, still.stamp_ns, blocks)

    def tally(self) -> Tally:
        """What was counted until now; may be asked at any time."""
        live = [subject for timeline in self._timelines.values() for subject in timeline.subjects.values()]
        checked = Counter(self._checked)
        for requirement, count in self._plain_counts().items():
            checked[requirement] += count
        for timeline in self._timelines.values():
            checked["identity.present"] += sum(presence.checked for presence in timeline.presence.values())
            checked["clock.offset"] += sum(offset.checked for offset in timeline.offsets.values())
            if timeline.cluster is not None:
                checked["cluster.union"] += timeline.cluster.union_checked
                checked["cluster.once"] += timeline.cluster.once_checked
        checked.update(self._seen.relations(self._relations.rows, live))
        coverage = self._coverage
        coverage.connections = len(self._connections)
        coverage.by_target = {target.operation: count for target, count in self._by_target.items()}
        self._seen.fill(coverage, live)
        coverage.notes = self._notes()
        late = ("order.realtime", "order.timestamp") if coverage.late else ()
        return Tally(
            checked=dict(checked), findings=self._ledger.entries(), coverage=coverage, crashed=dict(self._crashed),
            withheld=_BODY_RULES if coverage.withheld else (), masked=self._masked, late=late,
        )  # fmt: skip

    def _plain_counts(self) -> dict[str, int]:
        """What follows from the plain counts of the hot path."""
        readings = self._coverage.readings
        return {
            "http.complete": self._whole,
            "http.status": self._answers,
            "http.content_type": self._answers,
            "http.length": self._measured,
            "http.json": self._bodies,
            "http.duplicate_key": self._scanned,
            "shape.enum": self._labelled,
            "identity.constant": self._ordered,
            "order.realtime": self._ordered,
            "clock.frozen": self._stamped,
            "identity.asked": self._asked,
        } | dict.fromkeys(_SHAPES, readings)

    def _notes(self) -> list[str]:
        notes = []
        for timeline in self._timelines.values():
            for server, offset in timeline.offsets.items():
                bounds = offset.bounds
                if bounds is not None and not bounds[0] <= 0 <= bounds[1]:
                    apart = bounds[1] if bounds[1] < 0 else bounds[0]
                    word = "behind" if apart < 0 else "ahead of"
                    notes.append(f"the clock of {server} is at least {abs(apart) / 1e9:.3f} s {word} ours")
        if self._ledger.beyond:
            notes.append(f"{sum(self._ledger.beyond.values())} findings of further kinds are counted, but not listed")
        return notes

    # -- the way of an exchange ---------------------------------------------------------------------------------------

    def _end(self, exchange: Exchange) -> Exchange:
        waiting = self._waiting
        if self._judging:
            waiting.append(exchange)
            return exchange
        if self._soon is None:
            self._judge_live(exchange)
            return exchange
        waiting.append(exchange)
        if len(waiting) >= TOGETHER or (exchange.answer is not None and len(exchange.answer.body) > TOGETHER_BYTES):
            self.catch_up()
        elif len(waiting) == 1:
            self._soon(self.catch_up)
        return exchange

    def catch_up(self) -> None:
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
                self._soon(self.catch_up)

    def _judge_live(self, exchange: Exchange, pause: Callable[[], None] | None = None) -> None:
        opened = self._open
        del opened[exchange.seq]
        self._judge(exchange, self._live, opened.values(), None, pause=pause)

    def _end_in_slices(self, exchange: Exchange, pause: Callable[[], None]) -> Exchange:
        waiting = self._waiting
        if self._judging:
            waiting.append(exchange)
            return exchange
        self.catch_up()
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
                if following.answer is not None and len(following.answer.body) > LARGE_BYTES:
                    self._judge_live(following, once)
                else:  # without a pause: where answers never cease, more would have come in each, and this never end
                    self._judge_live(following)
        finally:
            self._judging = False
            self.catch_up()  # only where judging itself broke: nothing that ended may stay unjudged
        if raised is not None:
            raise raised
        return exchange

    def _timeline(self, run: str, clock: str) -> _Timeline:
        timeline = self._timelines.get((run, clock))
        if timeline is None:
            timeline = self._timelines[run, clock] = _Timeline(self._nodes)
        return timeline

    def _judge(
        self,
        exchange: Exchange,
        timeline: _Timeline,
        opened: Collection[int],
        horizon_ns: int | None,
        *,
        bare: bool = False,
        pause: Callable[[], None] | None = None,
    ) -> None:
        self._coverage.exchanges += 1
        timeline.last_received_ns = exchange.received_ns
        request_ = exchange.request
        answer = exchange.answer
        server = request_.server
        if answer is None or exchange.error is not None or not answer.complete:
            self._judge_incomplete(exchange, timeline)
        else:
            if exchange.sent_ns >= timeline.answered.get(server, exchange.sent_ns):
                timeline.answered[server] = exchange.sent_ns
            if timeline.silent:
                timeline.silent.pop(server, None)
            self._whole += 1
            head = http.head(answer)
            if head.simulator:
                self._simulator = True
            if not bare:
                self._servers.add(server)
            if request_.probe is not None:
                self._judge_probe(exchange)
            elif request_.target is not None:
                body = self._judge_answer(exchange, timeline, answer, head, bare, pause)
                if body is not None:
                    held = self._ring.keep(exchange)
                    self._judge_readings(exchange, timeline, body, held, opened, horizon_ns, pause)
        if self._observer is not None:
            self._observer(exchange)
        self._since_sweep += 1
        if self._since_sweep >= SWEEP_EVERY or exchange.received_ns - timeline.swept_ns > SWEEP_NS:
            self._since_sweep = 0
            timeline.swept_ns = exchange.received_ns
            self._sweep(timeline, exchange.received_ns)

    def _judge_incomplete(self, exchange: Exchange, timeline: _Timeline) -> None:
        self._coverage.errors += 1
        server = exchange.request.server
        miss = http.incomplete(exchange, answered=server in timeline.answered)
        if exchange.answer is not None:
            self._simulator = self._simulator or http.head(exchange.answer).simulator
        self._servers.add(server)
        if miss is not None:
            self._checked["http.complete"] += 1
            self._miss(miss, exchange)
        if exchange.request.probe is not None:
            if exchange.answer is not None:
                self._judge_probe(exchange)
            return
        error = exchange.error
        if (
            error is not None
            and error.code is not ErrorCode.ABANDONED
            and (
                exchange.sent_ns > timeline.answered.get(server, -(2**63))  # else it has answered since
            )
        ):
            silence = timeline.silent.setdefault(server, Silence(server, exchange.received_ns, 0, error))
            silence.count += 1
            silence.error = error

    def _judge_probe(self, exchange: Exchange) -> None:
        try:
            checked, findings = request.check(exchange)
        except Exception as error:
            self._crash("request.json_or_empty", error)
            return
        self._checked.update(checked)
        for finding in findings:
            self._ledger.take(finding)

    def _judge_answer(
        self,
        exchange: Exchange,
        timeline: _Timeline,
        answer: Answer,
        head: http.Head,
        bare: bool,
        pause: Callable[[], None] | None,
    ) -> Body | None:
        """What is in an answer whose status is 200 and whose body is JSON; None of any other."""
        target = exchange.request.target
        assert target is not None, "only valid requests come here"
        if not bare:
            if answer.status != 200:
                self._checked["http.status"] += 1
                if http.is_absence(target, answer):
                    self._absent(exchange, timeline, ())
                else:
                    self._miss(http.wrong_status(answer), exchange)
                return None
            self._answers += 1
            if head.content_length is not None:
                self._measured += 1
                if miss := http.wrong_length(answer, head.content_length):
                    self._miss(miss, exchange)
            if head.content_type != "application/json" and (miss := http.wrong_type(head.content_type)):
                self._miss(miss, exchange)
        self._by_target[target] += 1
        if answer.withheld:
            self._coverage.withheld += 1
            return None
        every = self._scan_every
        scan = every == 1 or (every > 1 and exchange.seq % every == 0)
        if pause is None:
            body = self._reader.read(answer.body, many=target.many, scan=scan)
            if body.strict:
                self._strict = answer
        else:
            body = Body()
            for step in self._reader.slices(answer.body, many=target.many, scan=scan):
                if step is None:
                    pause()
                else:
                    body = step
        self._judge_body(exchange, body)
        return body if body.fault is None else None

    def _judge_body(self, exchange: Exchange, body: Body) -> list[Reading]:
        """What shape a body has; gives its readings."""
        target = exchange.request.target
        operation = target.operation if target is not None else None
        self._bodies += 1
        if body.fault is not None:
            self._miss(("http.json", "the body is no strict JSON", "strict JSON", body.fault, "no JSON"), exchange)
            return []
        if body.scanned:
            self._scanned += 1
        if body.slow:
            self._coverage.slow_path += body.slow
        for path in body.duplicates:
            self._duplicate(exchange, path)
        for deviation in body.deviations:
            self._checked["shape.type"] += 1
            self._deviation(exchange, operation, None, deviation, ())
        readings = body.readings
        self._coverage.readings += len(readings)
        for reading in readings:
            if reading.deviations:
                at = () if reading.index is None else (reading.index,)
                for deviation in reading.deviations:
                    self._deviation(exchange, operation, reading.connection_id, deviation, at)
            if reading.absent not in self._seen.noted:
                self._seen.note(reading)
            if reading.labels:
                self._labelled += 1
        return readings

    def _judge_readings(
        self,
        exchange: Exchange,
        timeline: _Timeline,
        body: Body,
        held: Held,
        opened: Collection[int],
        horizon_ns: int | None,
        pause: Callable[[], None] | None,
    ) -> None:
        target = exchange.request.target
        readings = body.readings
        if (
            target is Target.CONNECTION and len(readings) == 1 and pause is None
            and self._judge_the_one(exchange, timeline, readings[0], held, opened, horizon_ns)
        ):  # fmt: skip
            return
        sound = []
        several: set[str] = set()
        if len(readings) > 1:
            self._checked["identity.unique"] += 1
        for place, reading in enumerate(readings):
            connection_id = reading.connection_id
            if connection_id is None:
                self._masked.update(("order.realtime", "identity.asked", "identity.constant", "identity.present"))
                continue
            if not self._identify(exchange, reading, connection_id):
                continue
            if connection_id in several:
                self._twice(exchange, reading, connection_id)
                continue
            several.add(connection_id)
            sound.append(reading)
            try:
                self._judge_reading(exchange, timeline, reading, connection_id, held, opened, horizon_ns)
            except Exception as error:
                self._crash("order.realtime", error)
            if pause is not None and place % 16 == 15:
                pause()
        if exchange.answer is not None and len(exchange.answer.body) > LARGE_BYTES:
            for subject in timeline.subjects.values():
                if subject.last is not exchange:
                    subject.spare(exchange.request.server, LARGE_BYTES)
        whole = len(sound) == len(readings) and not body.deviations
        self._place(exchange, timeline, target, sound, several, whole)

    def _judge_the_one(
        self,
        exchange: Exchange,
        timeline: _Timeline,
        reading: Reading,
        held: Held,
        opened: Collection[int],
        horizon_ns: int | None,
    ) -> bool:
        """Judge the connection that was asked for, as nearly always; whether it is that one."""
        request_ = exchange.request
        asked, connection_id = request_.asked, reading.connection_id
        if connection_id is None or connection_id != asked.connection_id or reading.channel_id != asked.channel_id:
            return False
        self._asked += 1
        try:
            self._judge_reading(exchange, timeline, reading, connection_id, held, opened, horizon_ns)
        except Exception as error:
            self._crash("order.realtime", error)
        timeline.node(request_.server).found(exchange, connection_id)
        return True

    def _place(
        self,
        exchange: Exchange,
        timeline: _Timeline,
        target: Target | None,
        readings: list[Reading],
        had: set[str],
        whole: bool,
    ) -> None:
        """Who is where: presence on a node, and in the cluster. An answer with an unsound id proves no absence."""
        request_ = exchange.request
        server = request_.server
        presence = timeline.node(server)
        if target is Target.ALL and request_.asked.local:
            listed = [(r.connection_id, r.channel_id, r.client_id) for r in readings if r.connection_id is not None]
            for gap in presence.listed(exchange, listed):
                self._gap(gap, server)
            if timeline.cluster is not None:
                for double in timeline.cluster.local(exchange, had):
                    self._report(
                        "cluster.once", exchange, "", (), double.connection_id, "a connection is listed by two nodes",
                        f"only {double.earlier.request.server}", f"{server} lists it too", "two nodes",
                        (double.earlier, exchange),
                    )  # fmt: skip
            return
        for connection_id in had:
            presence.found(exchange, connection_id)
        if target is Target.ALL:
            if not whole:
                return
            everywhere = timeline.presence if timeline.cluster is not None else {server: presence}
            for node in everywhere.values():
                node.missing_of_cluster(exchange, had)
            if timeline.cluster is not None:
                for stray in timeline.cluster.whole(exchange, had):
                    self._report(
                        "cluster.union", exchange, "", (), stray.connection_id,
                        "a connection of the whole cluster is on none of its nodes", "one node lists it",
                        "none does", "on no node", (stray.before, *stray.nodes, exchange),
                    )  # fmt: skip
        elif whole and not (target is Target.CONNECTION and request_.asked.connection_id in had):
            self._absent(exchange, timeline, had)

    def _absent(self, exchange: Exchange, timeline: _Timeline, had: Collection[str]) -> None:
        asked, target = exchange.request.asked, exchange.request.target
        presence = timeline.presence.get(exchange.request.server)
        if presence is None:
            return
        if target is Target.CONNECTION and asked.connection_id is not None and asked.connection_id not in had:
            presence.missing(exchange, asked.connection_id)
        elif target is Target.CLIENT and asked.channel_id is not None and asked.client_id is not None:
            presence.missing_of_client(exchange, asked.channel_id, asked.client_id, had)

    def _gap(self, gap: Gap, server: str) -> None:
        absence = gap.absence
        elsewhere = absence.exchange.request.server != server
        self._report(
            "cluster.union" if elsewhere else "identity.present", absence.exchange, "", (), absence.connection_id,
            "a connection that was listed before and after is missing in between",
            f"listed by {server}", "missing", "missing", (absence.before, absence.exchange, gap.after),
        )  # fmt: skip

    def _identify(self, exchange: Exchange, reading: Reading, connection_id: str) -> bool:
        """Whether a reading is of what was asked for; one that is not is not looked at further."""
        asked, target = exchange.request.asked, exchange.request.target
        wanted: tuple[tuple[str, str | None, str | None], ...]
        if target is Target.CONNECTION and asked.connection_id is not None:
            rule = "identity.asked"
            wanted = (("connection_id", asked.connection_id, connection_id),
                      ("channel_id", asked.channel_id, reading.channel_id))  # fmt: skip
        elif target is Target.CLIENT and asked.client_id is not None:
            rule = "identity.client"
            wanted = (("client_id", asked.client_id, reading.client_id),
                      ("channel_id", asked.channel_id, reading.channel_id))  # fmt: skip
        else:
            return True
        self._checked[rule] += 1
        for name, expected, actual in wanted:
            if actual is not None and expected is not None and actual != expected:
                self._report(
                    rule, exchange, pointer((name,)), _at(reading, name), connection_id,
                    f"the answer is about another {name.removesuffix('_id')}", shape.show(expected), shape.show(actual),
                    f"another {name}", (exchange,),
                )  # fmt: skip
                return False
        return True

    def _twice(self, exchange: Exchange, reading: Reading, connection_id: str) -> None:
        self._report(
            "identity.unique", exchange, "/connection_id", _at(reading, "connection_id"), connection_id,
            "a connection stands twice in one answer", "once", "again", "twice", (exchange,),
        )  # fmt: skip

    # -- one reading --------------------------------------------------------------------------------------------------

    def _judge_reading(
        self,
        exchange: Exchange,
        timeline: _Timeline,
        reading: Reading,
        connection_id: str,
        held: Held,
        opened: Collection[int],
        horizon_ns: int | None,
    ) -> None:
        subject = timeline.subjects.get(connection_id)
        received_ns = exchange.received_ns
        if subject is None:
            subject = self._meet(timeline, exchange, connection_id)
        elif received_ns - subject.lineage.last_received_ns > FORGET_NS:
            self._forget(timeline, connection_id)
            subject = self._meet(timeline, exchange, connection_id)
        lineage = subject.lineage
        sent_ns = exchange.sent_ns
        subject.readings += 1
        identity = (reading.channel_id, reading.client_id, reading.bundle_id)
        if identity != subject.identity or subject.first is None:
            self._constant(exchange, reading, connection_id, subject, identity, held)
        if reading.configuration is not subject.told:
            subject.told = reading.configuration
            if reading.configuration != subject.configuration:
                self._configured(exchange, reading, connection_id, subject)
        blocks = reading.blocks
        latest = lineage.versions[-1]
        base = latest if latest.known_ns < sent_ns else lineage.base(sent_ns)
        if base is not None and base.holder is not None:
            self._ordered += 1
        falls = lineage.take(sent_ns, received_ns, blocks, reading.labels, held)
        if falls:
            for fall in falls:
                subject.fallen.add((fall.block, fall.counter))
                self._fell(exchange, reading, connection_id, fall, subject)
        if subject.suspicions:
            self._confirm(exchange, reading, connection_id, subject)
        if len(lineage.versions) > 8:
            lineage.prune(opened, horizon_ns)
        last = subject.last
        if last is not None and last.received_ns < sent_ns:
            self._relate(exchange, reading, connection_id, subject, subject.last_blocks, subject.last_held)
        elif base is not None and base.holder is not None:
            self._relate(exchange, reading, connection_id, subject, base.blocks, base.holder)
        else:
            self._relate(exchange, reading, connection_id, subject, None, None)
        subject.level = reading.level
        if reading.stamp_ns is not None:
            self._clock(exchange, timeline, reading, reading.stamp_ns, connection_id, subject, opened, horizon_ns)
        subject.last = exchange
        subject.last_held = held
        subject.last_blocks = blocks

    def _meet(self, timeline: _Timeline, exchange: Exchange, connection_id: str) -> Subject:
        subject = timeline.subjects[connection_id] = Subject(len(self._blocks))
        self._connections.add(connection_id)
        if connection_id in timeline.gone:
            del timeline.gone[connection_id]
            self._coverage.forgotten += 1
        self._checked["identity.form"] += 1
        if CONNECTION_ID.fullmatch(connection_id) is None:
            self._report(
                "identity.form", exchange, "/connection_id", (), connection_id,
                "the connection_id has another form", "26 characters of Clockwork Base32", shape.show(connection_id),
                "another form", (exchange,),
            )  # fmt: skip
        return subject

    def _constant(
        self,
        exchange: Exchange,
        reading: Reading,
        connection_id: str,
        subject: Subject,
        identity: tuple[str | None, str | None, str | None],
        held: Held,
    ) -> None:
        if subject.identity is None or subject.first is None:
            subject.identity, subject.first = identity, held
            return
        merged = []
        for name, old, new in zip(("channel_id", "client_id", "bundle_id"), subject.identity, identity, strict=True):
            if old is not None and new is not None and old != new:
                self._report(
                    "identity.constant", exchange, pointer((name,)), _at(reading, name), connection_id,
                    f"the {name} of a connection changed", shape.show(old), shape.show(new), "changed",
                    (subject.first.exchange, exchange),
                )  # fmt: skip
            merged.append(old if old is not None else new)
        subject.identity = (merged[0], merged[1], merged[2])

    def _configured(self, exchange: Exchange, reading: Reading, connection_id: str, subject: Subject) -> None:
        """A data channel's configuration is fixed while it is open."""
        fields = self._reader.codec.label_others
        known = subject.configuration
        for label in known.keys() - reading.configuration.keys():
            del known[label]
        for label, mine in reading.configuration.items():
            before = known.get(label)
            if before is None:
                self._seen.label(self._reader.codec.label_path(label), mine)
                known[label] = mine
                continue
            if mine == before:
                continue
            for field, old, new in zip(fields, before, mine, strict=True):
                if old != new and old is not None and new is not None and subject.last is not None:
                    path = (*(self._reader.codec.label_path(label) or (LABELS, label)), field.name)
                    self._report(
                        "identity.constant", exchange, pointer(path), _at(reading, LABELS, label, field.name),
                        connection_id, f"{field.name} of an open data channel changed", shape.show_leaf(old),
                        shape.show_leaf(new), "reconfigured", (subject.last, exchange), level=Level.SHOULD,
                    )  # fmt: skip
            known[label] = tuple(new if new is not None else old for old, new in zip(before, mine, strict=True))

    def _fell(
        self, exchange: Exchange, reading: Reading, connection_id: str, fall: Fall[Held], subject: Subject
    ) -> None:
        if isinstance(fall.block, int):
            block = self._blocks[fall.block]
            path = wire = (*block.path, block.counters[fall.counter].name)
        else:
            name = self._label_counters[fall.counter].name
            path = (*(self._reader.codec.label_path(fall.block) or (LABELS, fall.block)), name)
            wire = (LABELS, fall.block, name)
        earlier = fall.holder.exchange
        proof: tuple[Exchange, ...] = (earlier, exchange)
        if earlier.answer is None and subject.last is not None and subject.last.received_ns < exchange.sent_ns:
            proof = (earlier, subject.last, exchange)  # the first is no longer held whole; this one had the value too
        self._report(
            "order.realtime", exchange, pointer(path), _at(reading, *wire), connection_id,
            f"{'.'.join(path)} fell by {fall.before - fall.after}", f"at least {fall.before}", str(fall.after), "fell",
            proof,
        )  # fmt: skip

    # -- relations ----------------------------------------------------------------------------------------------------

    def _relate(
        self,
        exchange: Exchange,
        reading: Reading,
        connection_id: str,
        subject: Subject,
        before: Sequence[Counters | None] | None,
        before_held: Held | None,
    ) -> None:
        blocks, last = reading.blocks, subject.blocks
        level_before = None
        if subject.last is not None and subject.last.received_ns < exchange.sent_ns:
            level_before = subject.level
        if not reading.related and self._relations.suspicious(blocks, last):
            for row in self._relations.missed(blocks):
                if subject.fallen and self._is_about_fallen(row, subject):
                    continue
                self._suspect(exchange, reading, connection_id, subject, row, before, before_held)
            subject.blocks = None  # what is suspicious is looked at again
        else:
            subject.blocks = blocks
        level = reading.level
        if level is not None and self._level_block is not None:
            counters = blocks[self._level_block]
            if (
                counters is not None and 0 <= level < len(counters) and not counters[level] and max(counters) > 0
                and not (subject.fallen and self._is_about_fallen(None, subject))
            ):  # fmt: skip
                subject.suspicions.append(
                    Suspicion(
                        row=None, exchange=exchange, reading=reading, blocks=list(blocks), before=before,
                        before_held=before_held, level_before=level_before,
                    )
                )  # fmt: skip

    def _is_about_fallen(self, row: relations.Row | None, subject: Subject) -> bool:
        """What fell is `order.realtime`'s, and relates to nothing any more; None is the unstable level."""
        if row is not None:
            return row.involves(subject.fallen)
        return any(block == self._level_block for block, _ in subject.fallen)

    def _suspect(
        self,
        exchange: Exchange,
        reading: Reading,
        connection_id: str,
        subject: Subject,
        row: relations.Row,
        before: Sequence[Counters | None] | None,
        before_held: Held | None,
    ) -> None:
        suspicion = Suspicion(
            row=row, exchange=exchange, reading=reading, blocks=list(reading.blocks), before=before,
            before_held=before_held, level_before=None,
        )  # fmt: skip
        missed = relations.missed_between(row, before, reading.blocks, None)
        if missed:
            self._related(connection_id, suspicion, None)
        elif missed is None:
            subject.suspicions.append(suspicion)

    def _confirm(self, exchange: Exchange, reading: Reading, connection_id: str, subject: Subject) -> None:
        """Judge what is suspected, where this reading was asked for after it."""
        waiting = []
        for suspicion in subject.suspicions:
            if exchange.sent_ns <= suspicion.exchange.received_ns:
                waiting.append(suspicion)
                continue
            if subject.fallen and self._is_about_fallen(suspicion.row, subject):
                continue
            if suspicion.row is None:
                level, block = suspicion.reading.level, self._level_block
                assert level is not None, "only a level is suspected so"
                assert block is not None, "the edition has levels"
                counters = reading.blocks[block]
                steady = suspicion.level_before == level == reading.level
                missed = steady and counters is not None and counters[level] == 0
            else:
                verdict = relations.missed_between(suspicion.row, suspicion.before, suspicion.blocks, reading.blocks)
                if verdict is None:
                    self._unconfirmed(connection_id, suspicion)
                missed = bool(verdict)
            if missed:
                self._related(connection_id, suspicion, exchange)
        subject.suspicions = waiting

    def _related(self, connection_id: str, suspicion: Suspicion, after: Exchange | None) -> None:
        before = () if suspicion.before_held is None else (suspicion.before_held.exchange,)
        later = () if after is None else (after,)
        self._relation(connection_id, suspicion, (*before, suspicion.exchange, *later), Level.SHOULD, "missed")

    def _unconfirmed(self, connection_id: str, suspicion: Suspicion) -> None:
        self._coverage.relations_unconfirmed += 1
        self._relation(connection_id, suspicion, (suspicion.exchange,), Level.INFO, "unconfirmed")

    def _relation(
        self, connection_id: str | None, suspicion: Suspicion, proof: tuple[Exchange, ...], level: Level, fault: str
    ) -> None:
        row, reading = suspicion.row, suspicion.reading
        if row is None:
            block = self._blocks[self._level_block or 0]
            path: tuple[str, ...] = (*block.path, block.counters[reading.level or 0].name)
            rule, text, actual = "relation.unstable_level", "the current level has been counted", "0"
        else:
            path, rule, text = row.field, row.id, row.text
            sides = row.terms(suspicion.blocks)
            assert sides is not None, "a reading with masked counters is not suspected"
            actual = f"{shape.show(sides[0])} and {shape.show(sides[1])}"
        unsure = "" if fault == "missed" else "; no answers before and after to confirm it"
        self._report(
            rule, suspicion.exchange, pointer(path), _at(reading, *path), connection_id,
            f"a relation does not hold{unsure}", text, actual, fault, proof, level=level,
        )  # fmt: skip

    def _judge_alone(self, exchange: Exchange, reading: Reading) -> None:
        """The relations of a single body, which nothing can confirm."""
        subject = Subject(len(self._blocks))
        self._connections.add(reading.connection_id or f"{exchange.seq}/{reading.index}")
        if reading.connection_id is not None:
            self._checked["identity.form"] += 1
            if CONNECTION_ID.fullmatch(reading.connection_id) is None:
                self._report(
                    "identity.form", exchange, "/connection_id", _at(reading, "connection_id"), reading.connection_id,
                    "the connection_id has another form", "26 characters of Clockwork Base32",
                    shape.show(reading.connection_id), "another form", (exchange,),
                )  # fmt: skip
        for label, others in reading.configuration.items():
            self._seen.label(self._reader.codec.label_path(label), others)
        self._relate(exchange, reading, reading.connection_id or "", subject, None, None)
        for suspicion in subject.suspicions:
            self._relation(reading.connection_id, suspicion, (exchange,), Level.SHOULD, "by itself")
        self._checked.update(self._seen.related(self._relations.rows, reading.blocks))

    # -- clocks -------------------------------------------------------------------------------------------------------

    def _clock(
        self,
        exchange: Exchange,
        timeline: _Timeline,
        reading: Reading,
        stamp_ns: int,
        connection_id: str,
        subject: Subject,
        opened: Collection[int],
        horizon_ns: int | None,
    ) -> None:
        request_ = exchange.request
        server = request_.server
        still = subject.still.get(server)
        repeated = still is not None and still.stamp_ns == stamp_ns
        if still is None:
            subject.still[server] = Stillness(
                stamp_ns=stamp_ns, first=exchange, last_received_ns=exchange.received_ns
            )  # fmt: skip
        else:
            self._stamped += 1
            first = still.first
            if still.feed(stamp_ns, exchange):
                self._report(
                    "clock.frozen", exchange, "/timestamp", _at(reading, "timestamp"), connection_id,
                    f"the timestamp stood still over {still.answers} answers", "a later time", shape.show(reading.timestamp),
                    "frozen", (first, exchange),
                )  # fmt: skip
        if subject.recent or opened or horizon_ns is not None:
            mine = Recent(exchange=exchange, index=reading.index, stamp_ns=stamp_ns, blocks=reading.blocks)
            compared, misses = subject.compare_stamps(mine, self._tear_ns)
            self._checked["order.timestamp"] += compared
            for early, late, block, counter in misses:
                miss = Misstamped(early=early, late=late, index=late.index)
                subject.misstamped.setdefault((block, counter), []).append(miss)
            earliest = next(iter(opened)) if opened else horizon_ns
            subject.remember(mine, earliest)
        if repeated or (request_.target is Target.ALL and not request_.asked.local):
            return  # a stamp that stands still is `clock.frozen`'s; of a whole cluster other nodes may have stamped
        if reading.index is not None and reading.index > 0:
            return  # one stamp an answer is enough
        offset = timeline.offsets.get(server)
        if offset is None:
            offset = timeline.offsets[server] = Offset()
        if timeline.wall_minus_clock_ns is None:
            timeline.wall_minus_clock_ns = stamp_ns - exchange.received_ns if not exchange.sent_at else _wall(exchange)
        jump = offset.feed(stamp_ns, resolution_ns(reading.timestamp or ""), exchange, timeline.wall_minus_clock_ns)
        if jump is not None:
            self._report(
                "clock.offset", exchange, "/timestamp", _at(reading, "timestamp"), connection_id,
                f"the server's clock jumped by at least {jump.gap_ns / 1e9:.3f} s", "one clock",
                shape.show(reading.timestamp), "jumped", (jump.earlier, exchange),
            )  # fmt: skip
        if timeline.cluster is not None:
            self._skew(timeline, exchange, reading)

    def _report_stamps(self, connection_id: str, subject: Subject) -> None:
        """Report what was held back: a connection whose counters fell is `order.realtime`'s, whatever its stamps say."""
        held_back = {} if subject.fallen else subject.misstamped
        for (block, counter), misses in held_back.items():
            path = (*self._blocks[block].path, self._blocks[block].counters[counter].name)
            for miss in misses:
                asked = [recent.exchange.request for recent in (miss.early, miss.late)]
                whole = any(request_.target is Target.ALL and not request_.asked.local for request_ in asked)
                old, new = miss.early.blocks[block], miss.late.blocks[block]
                assert old is not None, "both were compared"
                assert new is not None, "both were compared"
                self._report(
                    "order.timestamp", miss.late.exchange, pointer(path),
                    path if miss.index is None else (miss.index, *path), connection_id,
                    "the answer with the earlier timestamp has the larger counter", f"at least {old[counter]}",
                    str(new[counter]), "stamped late", (miss.early.exchange, miss.late.exchange),
                    level=Level.INFO if whole else Level.SHOULD,
                )  # fmt: skip
        subject.misstamped.clear()

    def _skew(self, timeline: _Timeline, exchange: Exchange, reading: Reading) -> None:
        bounds = {
            node: found
            for node, offset in timeline.offsets.items()
            if node in self._nodes and (found := offset.bounds) is not None
        }
        if len(bounds) > 1:
            self._checked["cluster.skew"] += 1
        for one, other, gap in skews(bounds):
            if (one, other) in timeline.skewed:
                continue
            timeline.skewed.add((one, other))
            self._report(
                "cluster.skew", exchange, "/timestamp", _at(reading, "timestamp"), None,
                f"the clocks of {one} and {other} are apart", "at most 1 s", f"at least {gap / 1e9:.3f} s", "apart",
                (exchange,),
            )  # fmt: skip

    # -- memory -------------------------------------------------------------------------------------------------------

    def _sweep(self, timeline: _Timeline, now_ns: int) -> None:
        stale = [
            connection_id
            for connection_id, subject in timeline.subjects.items()
            if now_ns - subject.lineage.last_received_ns > FORGET_NS
        ]
        for connection_id in stale:
            self._forget(timeline, connection_id)

    def _forget(self, timeline: _Timeline, connection_id: str) -> None:
        subject = timeline.subjects.pop(connection_id)
        for suspicion in subject.suspicions:
            self._unconfirmed(connection_id, suspicion)
        self._report_stamps(connection_id, subject)
        self._seen.grow(subject)
        self._checked.update(self._seen.relations(self._relations.rows, [subject]))
        for presence in timeline.presence.values():
            presence.forget(connection_id)
        timeline.gone[connection_id] = None
        if len(timeline.gone) > MAX_GONE:
            del timeline.gone[next(iter(timeline.gone))]

    # -- findings -----------------------------------------------------------------------------------------------------

    def _crash(self, requirement: str, error: Exception) -> None:
        self._crashed.setdefault(requirement, f"{type(error).__name__}: {error}"[:200])

    def _miss(self, miss: http.Miss, exchange: Exchange) -> None:
        requirement, message, expected, actual, fault = miss
        self._report(requirement, exchange, "", (), None, message, expected, actual, fault, (exchange,))

    def _duplicate(self, exchange: Exchange, path: tuple[str | int, ...]) -> None:
        many = exchange.request.target is not None and exchange.request.target.many
        wire = tuple(str(key) for key in path[1 if many else 0 :])
        field = pointer(shape.edition_path(self.edition, wire))
        self._report(
            "http.duplicate_key", exchange, field, path, None, f"the key {shape.show(str(path[-1]))} stands twice",
            "once", "again", "twice", (exchange,),
        )  # fmt: skip

    def _deviation(
        self,
        exchange: Exchange,
        operation: str | None,
        connection_id: str | None,
        deviation: shape.Deviation,
        at: tuple[str | int, ...],
    ) -> None:
        level = REQUIREMENTS[deviation.requirement].level
        if deviation.path in self._unsure:
            level = min(level, Level.SHOULD)
        key = (deviation.requirement, operation, deviation.path, deviation.fault)
        self._ledger.add(
            key, connection_id, level,
            lambda: Finding(
                **shape.finding(deviation, level=level, target=operation, connection_id=connection_id, at=at),
                exchanges=(exchange,),
            ),
        )  # fmt: skip

    def _report(
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
        self._ledger.take(
            Finding(
                requirement=requirement, level=REQUIREMENTS[requirement].level if level is None else level,
                target=target.operation if target is not None else None, field=field, pointer=pointer(at),
                connection_id=connection_id, message=message, expected=expected, actual=actual, fault=fault,
                exchanges=exchanges,
            )
        )  # fmt: skip


_SHAPES: Final = (
    "shape.required", "shape.type", "shape.range", "shape.pattern", "shape.group", "shape.unknown", "shape.lexical",
    "shape.undocumented",
)  # fmt: skip


def _at(reading: Reading, *path: str) -> tuple[str | int, ...]:
    return path if reading.index is None else (reading.index, *path)


def _level_block(blocks: Sequence[Block]) -> int | None:
    """The block of total_unstable_level0, 1, …, if its counters are just those."""
    for block in blocks:
        if block.path == ("network_status",) and [f.name for f in block.counters] == [
            f"total_unstable_level{level}" for level in range(len(block.counters))
        ]:
            return block.index
    return None


def _unsure(edition: Edition) -> frozenset[tuple[str, ...]]:
    """Fields that are only carried over, and groups that hold no others."""
    sure = {
        field.path[:depth]
        for field in edition.fields
        if field.standing is not Standing.CARRIED_OVER
        for depth in range(len(field.path) + 1)
    }
    paths = {field.path[:depth] for field in edition.fields for depth in range(1, len(field.path) + 1)}
    return frozenset(paths - sure)


_SECONDS: dict[int, str] = {}


def _rfc3339(wall_ns: int) -> str:
    """A wall-clock time in UTC, to the microsecond."""
    second, rest = divmod(wall_ns, 1_000_000_000)
    text = _SECONDS.get(second)
    if text is None:
        if len(_SECONDS) > 100:
            _SECONDS.clear()
        text = _SECONDS[second] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    return f"{text}.{rest // 1000:06d}Z"


def _wall(exchange: Exchange) -> int:
    """Wall-clock time of sending, less the clock's own."""
    from .checks import stamp

    sent_at_ns = stamp.parse(exchange.sent_at)
    return 0 if sent_at_ns is None else sent_at_ns - exchange.sent_ns
