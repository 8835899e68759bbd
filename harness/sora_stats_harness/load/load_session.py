"""
What the users of one process share: the judge, the connections, the measurements, and the clock of the run.

Locust runs the users, and everything that they send goes through the session. So a scenario only chooses the next
request.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

import gevent
from gevent.event import Event
from gevent.queue import LifoQueue

from ..api.edition import Edition
from ..api.exchange import ErrorCode, Exchange, Request, Target
from ..api.server_address import ServerAddress
from ..judge.checks.user_checks import load_check_files
from ..judge.evidence import MAX_EVIDENCE_BYTES
from ..judge.exchange_queue import PendingExchange
from ..judge.pipeline import Judge, JudgeOptions
from ..judge.requirements import Finding, Level
from .arrival_schedule import ArrivalSchedule
from .greenlets import DeferredCalls, send_interruptibly, silence_keyboard_interrupt
from .http_connection import MAX_UNSLICED_BODY_BYTES, HttpConnection
from .live_findings import LiveFindings
from .load_spec import LoadSpec, WorkerShare
from .memory_tuning import fix_mmap_threshold, freeze_existing_objects
from .precise_timer import PreciseTimer
from .prepared_request import PreparedRequest
from .request_metrics import RequestMetrics
from .request_source import RequestSource
from .scenarios import MIX
from .transport_stats import TransportStats

DUPLICATE_KEY_SCAN_INTERVAL: Final = 16
"""Under load only every n-th response is searched for repeated keys, which costs as much as parsing it."""

MAX_RESPONSES_BEHIND: Final = 64
"""
How many responses may wait for a large one to be judged before users wait as well. Without that, users would send
faster than responses can be judged, and everything that had piled up would be judged at once. This many take some 3 ms;
with 16, eight pollers at 50/s waited for 100 ms beside a scraper of 1,000 connections, with 64 for 27 ms.
"""

BEHIND_POLL_S: Final = 0.001

MAX_DISCOVERY_ATTEMPTS: Final = 3
"""After so many requests without a complete response, a server is given up."""


class LoadSession:
    """
    The session of one process of a load run.

    Args:
        spec: What to send; its users and sockets are those of this process.
        observer: Called with every judged exchange, and whether its body is known to be strict JSON, to record it.
    """

    def __init__(
        self,
        edition: Edition,
        address: ServerAddress,
        spec: LoadSpec,
        *,
        share: WorkerShare | None = None,
        observer: Callable[[Exchange, bool], None] | None = None,
    ) -> None:
        fix_mmap_threshold()
        silence_keyboard_interrupt()
        self.spec = spec
        self.share: WorkerShare = share if share is not None else WorkerShare()
        self.address: ServerAddress = address
        self.servers: list[str] = [address.server]
        """All servers that requests were sent to."""
        self.observer = observer
        self.judge: Judge = Judge(
            edition,
            self.share.run,
            self._on_judged,
            options=JudgeOptions(
                scan_every=DUPLICATE_KEY_SCAN_INTERVAL,
                on_occurrence=self._on_violation,
                evidence_bytes=MAX_EVIDENCE_BYTES // self.share.count,
                first_seq=self.share.first_sequence,
                soon=DeferredCalls(),
                tear_s=spec.tear_s,
                severity=spec.severity,
            ),
            checks=load_check_files(spec.checks),
        )
        self.requests: RequestSource = RequestSource(
            address.server, spec.headers, spec.weights or MIX, self.share.count
        )
        self.traffic: TransportStats = TransportStats()
        self.metrics: RequestMetrics = RequestMetrics()
        self.live_findings: LiveFindings = LiveFindings(spec.severity)
        self.on_judged: Callable[[Exchange, str | None], None] | None = None
        """Called with each judged exchange, and in a few words what is wrong with it."""
        self.schedule: ArrivalSchedule | None = None
        self.timeout_s: float = spec.timeout_s
        self.draining: bool = False
        self.drained_ns: int | None = None
        """When sending stopped."""
        self.break_text: str | None = None
        """The first fault of the harness that was noticed."""
        self._waiting_users = 0
        self.shares_sockets: bool = spec.sockets is not None
        """Whether users borrow a shared connection for each request."""
        self.is_paced: bool = spec.rate is None and spec.interval_s > 0
        """Whether users have their own turns."""
        self._started = Event()
        self._violated: set[str] = set()
        """Requirements that the response being judged now violates."""
        self._interval_ns = int(spec.interval_s * 1e9)
        self._idle_connections = LifoQueue()
        for _ in range(spec.sockets or 0):
            self._idle_connections.put(self.new_connection())

    # -- judging ------------------------------------------------------------------------------------------------------

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> PendingExchange:
        """Open an exchange at the judge, and count it."""
        self.metrics.sent += 1
        return self.judge.begin_exchange(request, intended_ns)

    def _on_violation(self, finding: Finding, level: Level) -> None:
        if self.live_findings.add(finding, level):
            self._violated.add(finding.requirement)

    def _on_judged(self, exchange: Exchange) -> None:
        """
        Count an exchange, in the order of judging.

        It is counted here and not after sending: while a large response is judged in slices others wait, and if a user
        is stopped meanwhile its `send` never returns.
        """
        violated = self._violated
        if violated:
            self._violated = set()
        self.metrics.record(exchange)
        if self.observer is not None:
            self.observer(exchange, self.judge.is_known_strict_json(exchange))
        request = exchange.request
        if (
            request.target is Target.ALL
            and request.asked.local
            and exchange.response is not None
            and not exchange.error
        ):
            self.requests.read_listing(exchange.response)
        if self.on_judged is not None:
            self.on_judged(exchange, failure_label(exchange, violated))

    @property
    def outage_text(self) -> str | None:
        """If the last requests had no complete response, what happened to the server; else None."""
        outage = self.judge.outage
        return None if outage is None else outage.description

    def note_break(self, text: str) -> None:
        """Note a fault of the harness, which ends the run; the first one counts."""
        self.break_text = self.break_text or text

    @property
    def final_break_text(self) -> str | None:
        """The fault of the harness that was noticed by the end of the run, when no request is open."""
        if self.break_text is None and self.in_flight:
            return f"{self.in_flight:,} of {self.metrics.sent:,} requests are not accounted for: a fault of the harness"
        return self.break_text

    @property
    def in_flight(self) -> int:
        """How many requests were sent and have not ended."""
        metrics = self.metrics
        return metrics.sent - metrics.judged - metrics.errors - metrics.abandoned

    # -- the course of the run ----------------------------------------------------------------------------------------

    def start(self, begins_ns: int | None = None) -> None:
        """Start the clock, now or at a given time: from then on requests are due, and timed after the warm-up."""
        freeze_existing_objects()
        begins_ns = time.monotonic_ns() if begins_ns is None else begins_ns
        self.metrics.start(begins_ns, warm_up_ns=int(self.spec.warm_up_s * 1e9))
        self.schedule = self.spec.schedule(begins_ns, self.share)
        self._started.set()

    @property
    def ready_users(self) -> int:
        """How many users wait for the start."""
        return self._waiting_users

    def wait_for_start(self) -> None:
        """Wait until the run starts, or ends before that."""
        self._waiting_users += 1
        self._started.wait()
        self._waiting_users -= 1

    def drain(self) -> None:
        """Send no more requests; open ones continue."""
        if not self.draining:
            self.draining = True
            self.drained_ns = time.monotonic_ns()
            self._started.set()

    def is_draining(self) -> bool:
        """Whether no more may be sent."""
        return self.draining

    def discover(self, should_stop: Callable[[], bool] = lambda: False) -> str | None:
        """Request a listing, so that users do not all begin with one; returns why there is none after three tries."""
        connection = self.new_connection()

        def send_listing() -> Exchange:
            gevent.sleep(connection.backoff_s)
            return self.send(connection, self.requests.listing_request(), None)

        error = None
        for _ in range(MAX_DISCOVERY_ATTEMPTS):
            exchange = send_interruptibly(send_listing, should_stop)
            error = None if exchange is None else exchange.error
            if error is None:
                break
        connection.close()
        self.judge.judge_pending()
        return (
            f"{self.address.server} gives no complete response: {error.code.value}: {error.detail}" if error else None
        )

    def scheduled_count(self) -> int | None:
        """How many requests the schedule had due; None in a closed model."""
        if self.schedule is None:
            return None
        return self.schedule.scheduled_count(self.drained_ns or time.monotonic_ns())

    def switch_server(self, address: ServerAddress) -> None:
        """Send to another server from now on."""
        self.address = address
        self.servers += [address.server] if address.server not in self.servers else []
        self.requests.switch_server(address.server)

    def new_connection(self) -> HttpConnection:
        """Make a connection for one user."""
        return HttpConnection(self.address, self.traffic, timeout_s=self.timeout_s, keep_alive=self.spec.keep_alive)

    # -- sending ------------------------------------------------------------------------------------------------------

    def first_send_ns(self) -> int:
        """When a new user sends its first request in a closed model; spread, so that users don't send all at once."""
        begins_ns = max(time.monotonic_ns(), self.metrics.started_ns)
        return begins_ns + int(random.random() * self.spec.first_send_spread_s * 1e9)  # noqa: S311  # not a secret

    def next_turn_ns(self, turn_ns: int) -> int:
        """
        The turn after a user's current one.

        It is one interval later, however late the user was; otherwise small delays would add up to a lower rate. A user
        that has lost a whole turn starts afresh.
        """
        now_ns = time.monotonic_ns()
        interval_ns = self._interval_ns
        return (turn_ns if now_ns < turn_ns + interval_ns else now_ns) + interval_ns

    def wait_for_turn(self, timer: PreciseTimer, turn_ns: int) -> int | None:
        """
        Wait for a user's next turn, which is at `turn_ns` in a closed model.

        Returns:
            The scheduled start; None in a closed model, where a request is due when it is sent.
        """
        if self.schedule is not None:
            due_ns = self.schedule.next_due_ns()
            if due_ns > time.monotonic_ns():
                timer.wait_until(due_ns, self.is_draining)
                self.metrics.ready_user_send_delay.record(time.monotonic_ns() - due_ns)
            return due_ns
        if turn_ns > time.monotonic_ns():
            timer.wait_until(turn_ns, self.is_draining)
            self.metrics.turn_delay.record(time.monotonic_ns() - turn_ns)
        return None

    def send(self, connection: HttpConnection, prepared: PreparedRequest, intended_ns: int | None) -> Exchange:
        """
        Send one request; return when it is judged, or soon will be.

        After a large response this waits until that is judged: a few dozen of them would take seconds, and a recording,
        which gets judged exchanges, would be as far behind.
        """
        exchange = connection.send(self, prepared, intended_ns)
        waiting, response = self.judge.waiting, exchange.response
        is_large = response is not None and len(response.body) > MAX_UNSLICED_BODY_BYTES
        if is_large or len(waiting) > MAX_RESPONSES_BEHIND:
            while len(waiting) > MAX_RESPONSES_BEHIND or (is_large and self.judge.is_pending(exchange)):
                gevent.sleep(BEHIND_POLL_S)
            self.metrics.judging_wait.record(time.monotonic_ns() - exchange.received_ns)
        return exchange

    @contextmanager
    def borrow_connection(self) -> Iterator[HttpConnection]:
        """Borrow a connection that users share: the free one that was used last, as soon as there is one."""
        connection = self._idle_connections.get()
        try:
            yield connection
        finally:
            self._idle_connections.put(connection)


def failure_label(exchange: Exchange, violated: Collection[str]) -> str | None:
    """A short, stable name of what is wrong with an exchange; None if nothing is, or we gave it up."""
    if exchange.error is not None:
        return None if exchange.error.code is ErrorCode.ABANDONED else f"error: {exchange.error.code.value}"
    return f"violated: {', '.join(sorted(violated))}" if violated else None


def session_notes(session: LoadSession) -> list[str]:
    """Notes about the connections of a process."""
    traffic, resolved = session.traffic, session.address.resolution_note
    notes = [] if resolved is None else [resolved]
    if traffic.unsolicited:
        notes.append(f"unrequested bytes arrived on {traffic.unsolicited} idle connections")
    if traffic.idle_closes:
        notes.append(f"{traffic.idle_closes} requests met a kept-alive connection that was being closed")
    return notes
