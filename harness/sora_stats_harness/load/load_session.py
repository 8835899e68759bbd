"""
What the users of one process share: the judge, the address, the measurements, and the connections to ask for.

Locust runs the users; everything that they do to a server goes through here. So a scenario is a choice of the next
request, and nothing else.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import gevent
from gevent.queue import LifoQueue

from ..api.edition import Edition
from ..api.exchange import ErrorCode, Exchange, Headers, Request, Target, make_valid_request
from ..judge.checks.identity import ASKED, CLIENT
from ..judge.checks.presence import LISTED, PRESENT
from ..judge.exchange_queue import PendingExchange
from ..judge.pipeline import Judge
from ..judge.requirements import Finding, Level
from ..probe.discovery import KnownConnection, connections_in_response
from .arrival_schedule import ArrivalSchedule, RateSegment
from .http_connection import MAX_UNSLICED_BODY_BYTES, HttpConnection, ServerAddress, TransportStats
from .interruptible_request import send_interruptibly, silence_keyboard_interrupt
from .live_findings import LiveFindings
from .memory_tuning import fix_mmap_threshold, freeze_startup_objects
from .precise_timer import PreciseTimer
from .prepared_request import PreparedRequest, prepare_request
from .request_metrics import RequestMetrics

DUPLICATE_KEY_SCAN_INTERVAL: Final = 16
"""Under load repeated keys are looked for in so many responses only: it costs as much again as parsing."""


MAX_RESPONSES_BEHIND: Final = 64
"""
Responses that may wait for a large one to be judged before users wait as well: else they would ask faster than anybody
can judge, and all that had piled up would be judged in one go. So many take some 3 ms; with 16, eight pollers at 50/s
waited for 100 ms beside a scraper of 1,000 connections, with 64 for 27.
"""

BEHIND_POLL_S: Final = 0.001

MAX_DISCOVERY_ATTEMPTS: Final = 3
"""Before a server that never responds is left alone."""


class LoadSession:
    """
    One process of a load run.

    Args:
        edition: By which responds are judged.
        address: The server.
        headers: Sent with every request.
        timeout_s: For a whole exchange.
        rate: Requests a second, of an open model; None where users wait for their responses.
        pieces: What comes before that rate: a ramp, a spike.
        interval_s: From one sending of a user to its next, in a closed model; 0 is at once.
        observer: Is shown every exchange, and whether the judge vouches for its body: the recorder.
        keep_alive: Whether connections are used more than once.
        warm_up_s: What is sent before it is over is not timed.
        weights: How often `random_request` asks for connection, client and all, against each other; even if None.
        sockets: How many connections the users share; None where each has one of its own.
        run, first_seq: As the judge takes them, where several processes share a run.
        share: As a schedule takes it.
    """

    def __init__(
        self,
        edition: Edition,
        address: ServerAddress,
        *,
        headers: Headers = (),
        timeout_s: float = 5.0,
        rate: float | None = None,
        pieces: Sequence[RateSegment] = (),
        interval_s: float = 0.0,
        observer: Callable[[Exchange, bool], None] | None = None,
        keep_alive: bool = True,
        warm_up_s: float = 0.0,
        sockets: int | None = None,
        weights: Mapping[str, float] | None = None,
        share: tuple[int, int] = (0, 1),
        run: str | None = None,
        first_seq: int = 0,
    ) -> None:
        fix_mmap_threshold()
        silence_keyboard_interrupt()
        self.judge = Judge(
            edition,
            run,
            self._on_judged,
            scan_every=DUPLICATE_KEY_SCAN_INTERVAL,
            on_miss=self._on_violation,
            first_seq=first_seq,
            soon=gevent.spawn,
        )
        self.address = address
        self.traffic = TransportStats()
        self.metrics = RequestMetrics()
        self.on_judged: Callable[[Exchange, str | None], None] | None = None
        """Is shown each exchange once it is judged, and in a few words what is wrong with it."""
        self.schedule: ArrivalSchedule | None = None
        self.draining = False
        self.drained_ns: int | None = None
        """When sending was to stop."""
        self.live_findings = LiveFindings()
        self._prepared: dict[tuple[Any, ...], PreparedRequest] = {}  # Any: texts and targets
        self.known_connections = ()
        self.timeout_s = timeout_s
        self.observer = observer
        self._missed: set[str] = set()
        """Requirements that the response missed which is being judged now."""
        self._rate = rate
        self._pieces = pieces
        self._warm_up_s = warm_up_s
        self._headers = headers
        self._interval_s = interval_s
        self._keep_alive = keep_alive
        self._share = share
        self._weights = _cumulative_weights(weights or {"connection": 1.0, "client": 1.0, "all": 1.0})
        self._pool: LifoQueue | None = None
        self.shares_sockets = sockets is not None
        """Whether users take a connection for each request, and give it back."""
        self.is_paced = interval_s > 0
        """Whether users have turns of their own."""
        if sockets is not None:
            self._pool = LifoQueue()
            for _ in range(sockets):
                self._pool.put(self.new_connection())
        self._next_listing_read_ns = 0
        self._listed_ns = 0

    # -- the judge's side ---------------------------------------------------------------------------------------------

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> PendingExchange:
        """Take a ticket of the judge, and count it."""
        self.metrics.sent += 1
        return self.judge.begin_exchange(request, intended_ns)

    def _on_violation(self, finding: Finding, level: Level) -> None:
        self.live_findings.add(finding, level)
        if level is Level.MUST:
            self._missed.add(finding.requirement)

    def _on_judged(self, exchange: Exchange) -> None:
        """
        Count an exchange, in the order of judging.

        Here and not where it was sent: while a large response is judged in slices others wait for their turn, and one whose
        user is stopped in between is never seen there.
        """
        missed = self._missed
        failed = None
        if missed or exchange.error is not None:
            failed = failure_label(exchange, missed)
            self._missed = set()
        self.metrics.record(exchange)
        if self.observer is not None:
            self.observer(exchange, self.judge.is_known_strict_json(exchange))
        if exchange.request.target is Target.ALL and exchange.error is None and exchange.response is not None:
            self._update_known_connections(exchange)
        if self.on_judged is not None:
            self.on_judged(exchange, failed)

    def _update_known_connections(self, exchange: Exchange) -> None:
        """Read the ids in a listing; at most once a second, and a hundredth of the time for large ones."""
        began_ns = time.monotonic_ns()
        if (began_ns < self._next_listing_read_ns and self.known_connections) or exchange.response is None:
            return
        if known := connections_in_response(self.address.server, exchange.response):
            self.known_connections = known
        now_ns = time.monotonic_ns()
        self._next_listing_read_ns = now_ns + max(1_000_000_000, 100 * (now_ns - began_ns))

    @property
    def known_connections(self) -> Sequence[KnownConnection]:
        """The connections to ask for."""
        return self._known

    @known_connections.setter
    def known_connections(self, known: Sequence[KnownConnection]) -> None:
        self._known = known
        self._clients = [each for each in known if each.client_id is not None]
        self._connection_requests: list[PreparedRequest | None] = [None] * len(known)
        """What asks for each, once it was asked for."""
        if len(self._prepared) > 3 * len(known) + 100:
            self._prepared.clear()  # most are about connections that have left

    @property
    def outage_text(self) -> str | None:
        """Where the last requests had no complete response, what became of the server: nobody knows what it would have said."""
        silence = self.judge.outage
        return None if silence is None else silence.description

    @property
    def in_flight(self) -> int:
        """Requests that were sent and have not ended."""
        metrics = self.metrics
        return metrics.sent - metrics.judged - metrics.errors - metrics.abandoned

    # -- the run's side -----------------------------------------------------------------------------------------------

    def start(self, begins_ns: int | None = None) -> None:
        """Start the clock, now or at a given time: from then on requests are due, and after the warm-up timed."""
        freeze_startup_objects()
        begins_ns = time.monotonic_ns() if begins_ns is None else begins_ns
        self.metrics.start(begins_ns, warm_up_ns=int(self._warm_up_s * 1e9))
        if self._rate is not None:
            self.schedule = ArrivalSchedule(self._rate, self._pieces, begins_ns=begins_ns, share=self._share)

    def drain(self) -> None:
        """Let no more be sent; what is in flight goes on."""
        if not self.draining:
            self.draining = True
            self.drained_ns = time.monotonic_ns()

    def is_draining(self) -> bool:
        """Whether no more may be sent."""
        return self.draining

    def discover(self, enough: Callable[[], bool] = lambda: False) -> str | None:
        """
        Ask who is there, so that users do not all begin with a listing.

        Args:
            enough: Asked all the while whether to leave it.

        Returns:
            Why nobody knows, where there was no response in three tries.
        """
        connection = self.new_connection()

        def look() -> Exchange:
            gevent.sleep(connection.backoff_s)
            return self.send(connection, self.listing_request(), None)

        error = None
        for _ in range(MAX_DISCOVERY_ATTEMPTS):
            exchange = send_interruptibly(look, enough)
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

    def new_connection(self) -> HttpConnection:
        """A connection of a user's own."""
        return HttpConnection(self.address, self.traffic, timeout_s=self.timeout_s, keep_alive=self._keep_alive)

    def first_send_ns(self) -> int:
        """When a user that has just come is to send first, in a closed model: not together with all others."""
        return time.monotonic_ns() + int(random.random() * self._interval_s * 1e9)  # noqa: S311  # no secret

    def next_turn_ns(self, turn_ns: int) -> int:
        """
        A user's turn after this one, which it is taking now.

        The interval later, however late it was: else a little lateness each time would add up to a lower rate. One that
        has lost a whole turn begins anew.
        """
        now_ns = time.monotonic_ns()
        interval_ns = int(self._interval_s * 1e9)
        return (turn_ns if now_ns < turn_ns + interval_ns else now_ns) + interval_ns

    def wait_for_turn(self, alarm: PreciseTimer, turn_ns: int) -> int | None:
        """
        Wait until a user is to send again.

        Args:
            alarm: The user's.
            turn_ns: When that is, in a closed model.

        Returns:
            When the schedule wants it sent; None in a closed model, where it is due when it is sent.
        """
        if self.schedule is not None:
            due_ns = self.schedule.next_due_ns()
            if due_ns > time.monotonic_ns():
                alarm.wait_until(due_ns, self.is_draining)
                self.metrics.ready_user_send_delay.record(time.monotonic_ns() - due_ns)
            return due_ns
        if self._interval_s > 0:
            alarm.wait_until(turn_ns, self.is_draining)
        return None

    def send(self, connection: HttpConnection, prepared: PreparedRequest, intended_ns: int | None) -> Exchange:
        """
        Send one request; returns when it is judged, or soon will be.

        A large response is waited for until its turn has come: a few dozen of them would be seconds, and a recording, which
        gets what was judged, as far behind.
        """
        exchange = connection.send(self, prepared, intended_ns)
        judge, response = self.judge, exchange.response
        while judge.pending_count > MAX_RESPONSES_BEHIND:
            gevent.sleep(BEHIND_POLL_S)
        if response is not None and len(response.body) > MAX_UNSLICED_BODY_BYTES:
            while judge.is_pending(exchange):
                gevent.sleep(BEHIND_POLL_S)
        return exchange

    @contextmanager
    def borrow_connection(self) -> Iterator[HttpConnection]:
        """One of the connections that users share: the one used last of those that are free, as soon as one is."""
        assert self._pool is not None, "else each user has its own"
        connection = self._pool.get()
        try:
            yield connection
        finally:
            self._pool.put(connection)

    # -- requests -----------------------------------------------------------------------------------------------------

    def claim_relisting(self, after_s: float) -> bool:
        """Whether it is time to list again, since connections come and go; says so to one user only."""
        now_ns = time.monotonic_ns()
        if now_ns - self._listed_ns < after_s * 1e9:
            return False
        self._listed_ns = now_ns
        return True

    def listing_request(self, *, local: bool | None = None) -> PreparedRequest:
        """GetStatsAllConnections."""
        return self._prepare(Target.ALL, local=local)

    def connection_request(self) -> PreparedRequest:
        """GetStatsConnection of any connection that is known; a listing while none is."""
        about = self._connection_requests
        if not about:
            return self.listing_request()
        place = int(random.random() * len(about))  # noqa: S311  # no secret
        prepared = about[place]
        if prepared is None:
            known = self._known[place]
            prepared = about[place] = self._prepare(
                Target.CONNECTION, channel_id=known.channel_id, connection_id=known.connection_id
            )
        return prepared

    def client_request(self) -> PreparedRequest:
        """GetStatsClient of any client that is known; a listing while none is."""
        if not self._clients:
            return self.listing_request()
        known = random.choice(self._clients)  # noqa: S311  # no secret
        return self._prepare(Target.CLIENT, channel_id=known.channel_id, client_id=known.client_id)

    def random_request(self) -> PreparedRequest:
        """One of the three by the dice, as the weights are; a listing while nobody is known."""
        dice = random.random()  # noqa: S311  # no secret
        connection, client = self._weights
        if dice < connection:
            return self.connection_request()
        return self.client_request() if dice < client else self.listing_request()

    def _prepare(self, target: Target, **arguments: Any) -> PreparedRequest:  # Any: as make_valid_request takes them
        key = (target, *arguments.values())
        prepared = self._prepared.get(key)
        if prepared is None:
            if len(self._prepared) > 10_000:
                self._prepared.clear()
            request = make_valid_request(target, server=self.address.server, headers=self._headers, **arguments)
            prepared = self._prepared[key] = prepare_request(request)
        return prepared


def _cumulative_weights(weights: Mapping[str, float]) -> tuple[float, float]:
    """Up to where the dice mean a connection, and a client."""
    connection, client, everything = (weights.get(name, 0.0) for name in ("connection", "client", "all"))
    whole = connection + client + everything
    return connection / whole, (connection + client) / whole


def failure_label(exchange: Exchange, missed: Collection[str]) -> str | None:
    """A short, stable name of what went wrong with an exchange; None where nothing did, or it was we who gave up."""
    if exchange.error is not None:
        return None if exchange.error.code is ErrorCode.ABANDONED else f"error: {exchange.error.code.value}"
    return f"violated: {', '.join(sorted(missed))}" if missed else None


def unobservable_requirements(targets: frozenset[Target]) -> frozenset[str]:
    """Requirements that cannot be observed by asking for these targets alone."""
    needs = {
        ASKED.id: {Target.CONNECTION},
        CLIENT.id: {Target.CLIENT},
        PRESENT.id: {Target.CONNECTION, Target.ALL},
        LISTED.id: {Target.CONNECTION, Target.ALL},
    }
    return frozenset(id for id, wanted in needs.items() if not wanted <= targets)
