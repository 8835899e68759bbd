"""
The way of an exchange through the stages: transport, HTTP, JSON, shape, each sample, and who is listed where.

It knows the order of the stages, and which of them an exchange comes to; it knows nothing of any rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ..api.exchange import Exchange, Response
from .check import Observed, Stage
from .check_runner import CheckRunner
from .connection_state import ConnectionState, EvidenceCache
from .coverage import CoverageTracker
from .exchange_counts import ExchangeCounts
from .exchange_queue import SLICING_THRESHOLD_BYTES
from .response_head import HeaderReader
from .sample_reader import ParsedBody, SampleReader
from .state import State

SAMPLES_PER_SLICE: Final = 16
"""Samples that are judged between two pauses."""


class StageWalk:
    """
    Takes exchanges through the stages, one at a time.

    Args:
        reader: Reads bodies.
        runner: Has the checks.
        counts: Counts exchanges.
        coverage: Notes which fields were seen.
        observer: Is called with every exchange after it was judged.
        scan_every: Look for repeated keys in every so-many-th response; 0 for none.
    """

    def __init__(
        self,
        reader: SampleReader,
        runner: CheckRunner,
        counts: ExchangeCounts,
        coverage: CoverageTracker,
        observer: Callable[[Exchange], None] | None,
        scan_every: int,
    ) -> None:
        self._reader = reader
        self._runner = runner
        self._counts = counts
        self._coverage = coverage
        self._observer = observer
        self._scan_every = scan_every
        self._evidence = EvidenceCache()
        self._headers = HeaderReader()
        self._blocks = len(reader.codec.blocks)
        self.strict_response: Response | None = None
        """The last response that is known to be strict JSON."""
        self._framing, self._transport, self._wrong_requests, self._http, self._json, self._shape, self._identity = (
            runner.between(stage, stage) for stage in Stage if stage <= Stage.IDENTITY
        )
        self._sample_checks = runner.between(Stage.CONNECTION, Stage.USER)
        self._timeless_checks = self._sample_checks.without_times()
        self._listing_checks = runner.between(Stage.PRESENCE, Stage.PRESENCE)
        self._cluster_checks = runner.between(Stage.CLUSTER, Stage.CLUSTER)
        self._new_checks = runner.between(Stage.NEW_CONNECTION, Stage.NEW_CONNECTION)

    def judge(self, seen: Observed, state: State, pause: Callable[[], None] | None = None) -> None:
        """Judge an exchange; `pause` is called between slices of a large one."""
        exchange = seen.exchange
        request, response = exchange.request, exchange.response
        state.last_received_ns = exchange.received_ns
        if response is not None:
            seen.headers = self._headers.read(response)
            if exchange.error is None and response.complete:
                seen.response = response
        self._counts.add_exchange(seen)
        if exchange.faults:
            self._runner.ask(self._framing, seen, state)
        probe = request.probe
        if seen.response is not None:
            state.availability.add_response(exchange)
        else:
            self._runner.ask(self._transport, seen, state)
            if probe is None:
                state.availability.add_failure(exchange)
        if probe is not None:
            if response is not None:
                self._runner.ask(self._wrong_requests, seen, state)
        elif seen.response is not None and request.target is not None:
            self._judge_response(seen, state, pause)
        if self._observer is not None:
            self._observer(exchange)
        state.exchanges_until_expiry -= 1
        if state.exchanges_until_expiry <= 0 or exchange.received_ns > state.expiry_due_ns:
            self._forget(state.find_expired(), state)

    def _judge_response(self, seen: Observed, state: State, pause: Callable[[], None] | None) -> None:
        """Judge a complete response to a valid request: its head, its body if it may be read, and who is in it."""
        response, target = seen.response, seen.exchange.request.target
        assert response is not None
        assert target is not None
        self._runner.ask(self._http, seen, state)
        if response.status == 200 or seen.bare:
            self._counts.add_response(target, withheld=response.withheld)
            if not response.withheld:
                self.judge_body(seen, self._read(seen.exchange, response, pause), state, pause)
        self._runner.ask(self._listing_checks, seen, state)
        if len(state.nodes) > 1:
            self._runner.ask(self._cluster_checks, seen, state)

    def _read(self, exchange: Exchange, response: Response, pause: Callable[[], None] | None) -> ParsedBody:
        every, target = self._scan_every, exchange.request.target
        scan = every == 1 or (every > 1 and exchange.seq % every == 0)
        many = target is not None and target.many
        if pause is None:
            body = self._reader.read(response.body, many=many, scan=scan)
            if body.strict:
                self.strict_response = response
            return body
        for step in self._reader.read_in_slices(response.body, many=many, scan=scan):
            if step is not None:
                return step
            pause()
        raise AssertionError("the last step is the body")

    def judge_body(
        self, seen: Observed, body: ParsedBody, state: State, pause: Callable[[], None] | None = None
    ) -> None:
        """Judge a body, and every sample in it."""
        seen.body = body
        counts, samples = self._counts, body.samples
        counts.bodies += 1
        if body.fault is not None:
            self._runner.ask(self._json, seen, state)
            return
        counts.samples += len(samples)
        if body.scanned:
            counts.searched_bodies += 1
        if body.slow:
            counts.add_slow_samples(body.slow)
        is_amiss = bool(body.duplicates or body.deviations)
        known_absences = self._coverage.known_absences
        for sample in samples:
            if sample.labels:
                counts.labelled_samples += 1
            if sample.deviations:
                is_amiss = True
            if sample.absent not in known_absences:
                self._coverage.add_fields_of_sample(sample)
        if is_amiss:
            self._runner.ask(self._json, seen, state)
            self._runner.ask(self._shape, seen, state)
        seen.evidence = self._evidence.add_exchange(seen.exchange)
        for place, sample in enumerate(samples):
            if sample.connection_id is None and not seen.alone:
                self._runner.mask(self._identity, self._sample_checks, self._listing_checks)
                continue
            seen.sample, seen.connection_id = sample, sample.connection_id or ""
            if self._runner.ask(self._identity, seen, state):
                continue
            seen.admitted[seen.connection_id] = sample
            self._judge_sample(seen, state)
            if pause is not None and place % SAMPLES_PER_SLICE == SAMPLES_PER_SLICE - 1:
                pause()
        seen.all_admitted = len(seen.admitted) == len(samples) and not body.deviations
        if seen.response is not None and len(seen.response.body) > SLICING_THRESHOLD_BYTES:
            state.release_large_bodies(seen.exchange, SLICING_THRESHOLD_BYTES)

    def _judge_sample(self, seen: Observed, state: State) -> None:
        exchange, sample = seen.exchange, seen.sample
        assert sample is not None
        if seen.alone:
            seen.connection = ConnectionState(self._blocks)
            self._counts.add_connection(seen.connection_id or f"{exchange.seq}/{sample.index}")
        else:
            connection = state.connections.get(seen.connection_id)
            if connection is None or connection.is_expired(exchange.received_ns):
                connection = self._begin_connection(seen.connection_id, state)
            seen.connection = connection
            history = connection.counter_history
            known = history.versions[-1]
            if known.known_ns >= exchange.sent_ns:
                known = history.maxima_before(exchange.sent_ns)  # type: ignore[assignment]  # None is looked at below
            seen.known = known if known is not None and known.holder is not None else None
        if sample.configuration is not seen.connection.last_configuration:
            self._coverage.add_labels(sample, seen.connection)
        if seen.connection.samples == 0:
            self._runner.ask(self._new_checks, seen, state)
        self._runner.ask(self._timeless_checks if seen.alone else self._sample_checks, seen, state)
        seen.connection.add_sample(exchange, seen.evidence, sample)

    def _begin_connection(self, connection_id: str, state: State) -> ConnectionState:
        if connection_id in state.connections:
            self._forget([connection_id], state)
        self._counts.add_connection(connection_id, returned=connection_id in state.expired)
        return state.add_connection(connection_id)

    def _forget(self, connection_ids: Sequence[str], state: State) -> None:
        if not connection_ids:
            return
        state.expire(connection_ids)
        self.settle_leaving(state)

    def settle_leaving(self, state: State) -> None:
        """Settle what waits for the connections of which no more is heard."""
        self._runner.settle(state)
        for connection in state.leaving.values():
            self._coverage.add_grown_counters(connection)
        state.leaving = {}
