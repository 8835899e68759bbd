"""
Takes an exchange through the stages: transport, HTTP, JSON, shape, each sample, presence, cluster.

It knows the order of the stages and which of them apply to an exchange, but no rule.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import product
from typing import Final, NamedTuple

from ..api.exchange import Exchange, Response, Target
from .check import Observed, Stage
from .check_runner import CheckRunner, Observer
from .connection_state import ConnectionState
from .counter_history import CounterHistory
from .coverage import CoverageTracker
from .evidence import EvidenceStore
from .excerpts import read_listed_ids
from .exchange_counts import ExchangeCounts, TargetCounts
from .response_head import HeaderReader, RelevantHeaders
from .sample import ParsedBody, Sample
from .sample_reader import SampleReader
from .stamp_order import StampedSample
from .state import State
from .timestamps import MICROSECOND_LENGTH, MICROSECOND_NS, timestamp_resolution_ns

SAMPLES_PER_SLICE: Final = 16
"""How many samples are judged between two pauses."""


class StageTools(NamedTuple):
    """The objects that the stages use."""

    reader: SampleReader
    runner: CheckRunner
    counts: ExchangeCounts
    coverage: CoverageTracker
    evidence: EvidenceStore


class StageWalk:
    """Takes exchanges through the stages, one at a time; the arguments are as in `Judge` and `JudgeOptions`."""

    def __init__(self, tools: StageTools, observer: Callable[[Exchange], None] | None, scan_every: int) -> None:
        reader, runner, counts, coverage, self._evidence = tools
        self._reader = reader
        self._runner = runner
        self._ask = runner.ask
        self._counts = counts
        self._counts_of, self._checked_of = counts.of_target, runner.checked_of
        self._target_counts: TargetCounts = counts.of_target[None]
        """The counts of the current target."""
        self._coverage = coverage
        self._observer = observer
        self._scan_every = scan_every
        self._headers = HeaderReader()
        self._known_headers = self._headers.known
        self._decoder = reader.codec
        self._counter_places = reader.codec.counter_places
        self.strict_response: Response | None = None
        """The last response whose body is known to be strict JSON."""
        self._framing = runner.observers(Stage.FRAMING)
        self._transport = runner.observers(Stage.TRANSPORT)
        self._wrong_requests = runner.observers(Stage.WRONG_REQUESTS)
        self._http = runner.observers(Stage.HTTP)
        self._head = runner.observers(Stage.HEAD)
        self._json = runner.observers(Stage.JSON)
        self._shape = runner.observers(Stage.SHAPE)
        self._identity = runner.observers(Stage.IDENTITY)
        self._identity_of_named: Sequence[Observer] = ()
        """For a sample of the very connection that the request named."""
        self._new_connection = runner.observers(Stage.NEW_CONNECTION)
        stages = {stage for stage in Stage if Stage.CONFIGURATION <= stage <= Stage.USER}
        self._sample = runner.observers(*stages)
        self._timeless = runner.observers(*stages, timeless=True)
        asked_at_need = (Stage.RELATIONS, Stage.OVERLAPS, Stage.CONFIGURATION)
        self._choices = [
            runner.observers(*(stages - {stage for stage, skip in zip(asked_at_need, skips, strict=True) if skip}))
            for skips in product((False, True), repeat=len(asked_at_need))
        ]
        """
        The observers. The bits of the index say, the highest first, whether a sample's relations are known to hold,
        whether no request overlaps it, and whether ids and channels are unchanged.
        """
        self._presence = runner.observers(Stage.PRESENCE)
        self._cluster = runner.observers(Stage.CLUSTER)

    def judge(  # long: the way of every exchange, in whose time each call counts
        self,
        state: State,
        exchange: Exchange,
        open_sent_ns: Collection[int],
        pause: Callable[[], None] | None = None,
        horizon_ns: int | None = None,
        bare: bool = False,
    ) -> None:
        """Judge an exchange; `pause` is called between slices of a large one, the others are as in `Observed`."""
        request, response, target = exchange.request, exchange.response, exchange.request.target
        headers: RelevantHeaders = None  # type: ignore[assignment]  # a response has some
        if response is not None:
            headers = self._known_headers.get(response.headers) or self._headers.read(response)
            if headers.simulator:
                self._counts.has_simulator = True
        complete = response if response is not None and response.complete and exchange.error is None else None
        places, open_from_ns = self._counter_places, next(iter(open_sent_ns), horizon_ns)
        evidence = self._evidence.add_exchange(exchange)
        # All that is known at once, since setting an attribute later takes ten times as long.
        seen = Observed(
            exchange, open_sent_ns, horizon_ns, bare, places, open_from_ns, complete, headers, None, evidence
        )
        state.checked = self._checked_of[target]
        counts = self._target_counts = self._counts_of[target]
        state.last_received_ns = exchange.received_ns
        if exchange.faults:
            self._ask(self._framing, seen, state)
        if complete is not None:
            counts.complete += 1
            if bare:
                counts.without_http += 1
            state.availability.add_response(exchange)
            if request.probe is not None:
                self._ask(self._wrong_requests, seen, state)
            elif target is not None:
                if self._http:
                    self._ask(self._http, seen, state)
                data = complete.body
                accepted = complete.status == 200
                if headers.usual_body_bytes != len(data) or not accepted or exchange.faults:
                    self._ask(self._head, seen, state)
                if accepted or bare:
                    counts.accepted += 1
                    state.responding = target
                    if complete.withheld or (complete.excerpt is not None and complete.excerpt.of == "text"):
                        counts.withheld += 1
                    elif complete.excerpt is not None and complete.excerpt.of == "ids":
                        _admit_listed(seen, data)
                    else:
                        self._judge_body(seen, data, target, state, pause)
                self._ask(self._presence, seen, state)
                if state.is_cluster:
                    self._ask(self._cluster, seen, state)
        else:
            self._judge_incomplete(seen, state)
        if self._observer is not None:
            self._observer(exchange)
        self.strict_response = None
        if self._evidence.is_portion_full:
            self._evidence.settle(pause or _go_on)
        left = state.exchanges_until_expiry = state.exchanges_until_expiry - 1
        if left <= 0 or exchange.received_ns > state.expiry_due_ns:
            state.expire(state.find_expired())
            self.settle_leaving(state)

    def _judge_incomplete(self, seen: Observed, state: State) -> None:
        exchange = seen.exchange
        self._counts.errors += 1
        self._ask(self._transport, seen, state)
        if exchange.request.probe is None:
            state.availability.add_failure(exchange)
        elif exchange.response is not None:
            self._ask(self._wrong_requests, seen, state)

    def judge_alone(self, exchange: Exchange, target: Target, state: State) -> None:
        """Judge a body without an exchange."""
        seen = Observed(exchange, (), None, True, self._counter_places, alone=True)
        state.checked = self._checked_of[target]
        self._target_counts = self._counts_of[target]
        seen.evidence = self._evidence.add_exchange(exchange)
        assert exchange.response is not None  # a body is all that there is
        self._judge_body(seen, exchange.response.body, target, state)
        if self._evidence.is_portion_full:
            self._evidence.settle(_go_on)

    def _judge_body(
        self, seen: Observed, data: bytes, target: Target, state: State, pause: Callable[[], None] | None = None
    ) -> None:
        """Read and judge a body, and every sample in it."""
        exchange, counts = seen.exchange, self._target_counts
        every, many, response = self._scan_every, target.many, exchange.response
        scan = seen.alone or (every > 0 and exchange.seq % every == 0)
        if pause is None:
            body = self._reader.read(data, many, scan)
        else:
            body = self._read_in_slices(data, target, scan, pause)
        seen.body = body
        if response is not None and response.excerpt is not None:
            body.restore_places(response.excerpt)
        samples = body.samples
        if body.strict:
            self.strict_response = response
        elif body.fault is not None:
            self._ask(self._json, seen, state)
            return
        self._judge_body_shape(seen, body, state)
        admitted, judge_sample = seen.admitted, self._judge_alone if seen.alone else self._judge_sample
        named, done = exchange.request.asked, 0
        for sample in samples:
            connection_id = sample.connection_id
            if connection_id is None:
                if not seen.alone:
                    self._runner.mask(self._identity, self._sample, self._presence)
                    continue
                connection_id = ""
            seen.sample, seen.connection_id = sample, connection_id
            if not many and connection_id == named.connection_id and sample.channel_id == named.channel_id:
                counts.named_samples += 1
                identity = self._identity_of_named
            else:
                identity = self._identity
            if identity and self._ask(identity, seen, state):
                continue
            admitted[connection_id] = sample
            judge_sample(seen, sample, state)
            if pause is not None:
                done += 1
                if done % SAMPLES_PER_SLICE == 0:
                    pause()
        if len(admitted) == len(samples) and not body.deviations and not body.partial:
            seen.all_admitted = True

    def _judge_body_shape(self, seen: Observed, body: ParsedBody, state: State) -> None:
        counts, samples, deviates = self._target_counts, body.samples, False
        counts.samples += len(samples)
        if not body.strict or seen.bare:  # the accelerator has searched what it accepts, and found nothing of the body
            if not body.scanned or seen.rewritten:
                counts.unsearched_bodies += 1
            counts.slow_samples += body.slow
            deviates = bool(body.duplicates or body.deviations)
        known_absences = self._coverage.known_absences
        for sample in samples:
            if sample.labels:
                counts.labelled_samples += 1
            if sample.deviations:
                deviates = True
            if sample.absent not in known_absences:
                self._coverage.add_fields_of_sample(sample)
        if deviates:
            if body.duplicates:
                self._ask(self._json, seen, state)
            self._ask(self._shape, seen, state)

    def _read_in_slices(self, data: bytes, target: Target, scan: bool, pause: Callable[[], None]) -> ParsedBody:
        for step in self._reader.read_in_slices(data, many=target.many, scan=scan):
            if step is not None:
                return step
            pause()
        raise AssertionError("the last step is the body")

    def _judge_sample(self, seen: Observed, sample: Sample, state: State) -> None:
        exchange, evidence = seen.exchange, seen.evidence
        sent_ns = exchange.sent_ns
        connection = state.connections.get(seen.connection_id)
        if connection is None:
            self._counts.add_connection(seen.connection_id, returned=seen.connection_id in state.expired)
            connection = state.add_connection(seen.connection_id)
        seen.connection = connection
        history = connection.counter_history
        newest = history.versions[-1]
        known = newest if newest.known_ns < sent_ns else history.maxima_before(sent_ns)
        if known is not None and known.holder is not None:
            seen.known = known
            self._target_counts.comparable_samples += 1
        else:
            seen.known = None
        choice = 0
        if sample.configuration is not connection.last_configuration:
            self._coverage.add_labels(sample, connection)
        elif (sample.channel_id, sample.client_id, sample.bundle_id) == connection.identity:
            choice = 1
        if connection.last is None:
            self._ask(self._new_connection, seen, state)
        text, stamp_ns = sample.timestamp, sample.stamp_ns
        if stamp_ns is not None and text is not None:
            resolution_ns = MICROSECOND_NS if len(text) == MICROSECOND_LENGTH else timestamp_resolution_ns(text)
            received_ns, index, blocks = exchange.received_ns, sample.index, sample.blocks
            seen.stamped = StampedSample(stamp_ns, resolution_ns, sent_ns, received_ns, evidence, index, blocks)
        else:
            seen.stamped = None
        if seen.open_from_ns is None and not connection.overlapping_samples:
            choice += 2
        if sample.related and not connection.pending_violations:
            choice += 4
        self._ask(self._choices[choice], seen, state)
        connection.add_sample(evidence, sample, exchange.request.target)

    def _judge_alone(self, seen: Observed, sample: Sample, state: State) -> None:
        """Judge a sample of a body from a file, without comparisons."""
        seen.connection = ConnectionState(CounterHistory(len(self._decoder.blocks)))
        self._counts.add_connection(seen.connection_id or f"{seen.exchange.seq}/{sample.index}")
        self._coverage.add_labels(sample, seen.connection)
        self._ask(self._new_connection, seen, state)
        self._ask(self._timeless, seen, state)

    def settle_leaving(self, state: State) -> None:
        """Decide what is pending for connections that have left."""
        self._runner.settle(state)
        for connection in state.leaving.values():
            self._coverage.add_grown_counters(connection)
        state.leaving = {}


def _go_on() -> None:
    """A pause that does nothing."""


def _admit_listed(seen: Observed, ids: bytes) -> None:
    """Admit the connections of a listing of which only the ids were kept."""
    seen.body = ParsedBody()
    seen.admitted.update((each, Sample(connection_id=each)) for each in read_listed_ids(ids))
    seen.all_admitted = True
