"""
What the users of one process share: the judge, the address, the measurements, and the connections to ask for.

Locust runs the users; everything that they do to a server goes through here. So a scenario is a choice of the next
request, and nothing else.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, Final

import gevent

from ..checks.requirements import Finding
from ..discovery import Known, connections_in
from ..edition import Edition
from ..exchange import ErrorCode, Exchange, Headers, Target, valid_request
from ..judge import Judge
from .http import Address, Connection, Traffic
from .metrics import Metrics
from .wire import Prepared, prepare

SCAN_EVERY: Final = 16
"""Under load repeated keys are looked for in so many answers only: it costs as much again as parsing."""


class Schedule:
    """
    When requests are due: at a constant rate, whether or not the ones before have been answered.

    Args:
        rate: Requests a second.
        ramp_s: Over how long the rate rises from nothing.
        begins_ns: On the monotonic clock.
    """

    def __init__(self, rate: float, ramp_s: float, begins_ns: int) -> None:
        self._rate = rate
        self._ramp_s = ramp_s
        self._begins_ns = begins_ns
        self._number = 0

    def next_ns(self) -> int:
        """When the next request is due; each is given out once."""
        number = self._number
        self._number += 1
        return self._begins_ns + int(self._offset_s(number) * 1e9)

    def _offset_s(self, number: int) -> float:
        in_ramp = self._rate * self._ramp_s / 2
        if number < in_ramp:  # number = rate * t^2 / (2 * ramp)
            return float((2 * self._ramp_s * number / self._rate) ** 0.5)
        return self._ramp_s + (number - in_ramp) / self._rate

    def offered(self, until_ns: int) -> int:
        """How many requests were due by a time."""
        elapsed_s = max(0.0, (until_ns - self._begins_ns) / 1e9)
        if elapsed_s < self._ramp_s:
            return int(self._rate * elapsed_s**2 / (2 * self._ramp_s))
        return int(self._rate * (elapsed_s - self._ramp_s / 2))


class Session:
    """
    One process of a load run.

    Args:
        edition: By which answers are judged.
        address: The server.
        headers: Sent with every request.
        timeout_s: For a whole exchange.
        rate: Requests a second, of an open model; None where users wait for their answers.
        ramp_s: Over how long that rate rises from nothing.
        interval_s: From one sending of a user to its next, in a closed model; 0 is at once.
        observer: Is shown every exchange: the recorder.
        keep_alive: Whether connections are used more than once.
    """

    def __init__(
        self,
        edition: Edition,
        address: Address,
        *,
        headers: Headers = (),
        timeout_s: float = 5.0,
        rate: float | None = None,
        ramp_s: float = 0.0,
        interval_s: float = 0.0,
        observer: Any = None,  # Any: as Judge takes it
        keep_alive: bool = True,
        warm_up_s: float = 0.0,
    ) -> None:
        self.found: list[str] = []
        """Requirements that the answer missed which is being judged now."""
        self.judge = Judge(edition, observer=observer, scan_every=SCAN_EVERY, on_finding=self._heard)
        self.address = address
        self.traffic = Traffic()
        self.metrics = Metrics()
        self.schedule: Schedule | None = None
        self._rate = rate
        self._ramp_s = ramp_s
        self._warm_up_s = warm_up_s
        self.draining = False
        self.drained_ns: int | None = None
        """When sending was to stop."""
        self.in_flight = 0
        self.known: Sequence[Known] = ()
        self._headers = headers
        self.timeout_s = timeout_s
        self._interval_s = interval_s
        self._keep_alive = keep_alive
        self._prepared: dict[tuple[Any, ...], Prepared] = {}  # Any: texts and targets

    def _heard(self, finding: Finding) -> None:
        self.found.append(finding.requirement)

    def begin(self) -> None:
        """Start the clock: from here on requests are due, and after the warm-up timed."""
        now_ns = time.monotonic_ns()
        self.metrics.begins_ns = now_ns + int(self._warm_up_s * 1e9)
        if self._rate is not None:
            self.schedule = Schedule(self._rate, self._ramp_s, now_ns)

    def drain(self) -> None:
        """Let no more be sent; what is in flight goes on."""
        self.draining = True
        self.drained_ns = time.monotonic_ns()

    def discover(self) -> None:
        """Ask once who is there, so that users do not all begin with a listing."""
        connection = self.connection()
        self.send(connection, self.listing(), None)
        connection.close()

    def offered(self) -> int | None:
        """How many requests the schedule had due; None in a closed model."""
        if self.schedule is None:
            return None
        return self.schedule.offered(self.drained_ns or time.monotonic_ns())

    def connection(self) -> Connection:
        """A connection of a user's own."""
        return Connection(self.address, self.traffic, timeout_s=self.timeout_s, keep_alive=self._keep_alive)

    def await_turn(self, last_sent_ns: int | None) -> int | None:
        """
        Wait until a user is to send again.

        Returns:
            When the schedule wants it sent; None in a closed model, where it is due when it is sent.
        """
        if self.schedule is not None:
            due_ns = self.schedule.next_ns()
            while not self.draining and (left_ns := due_ns - time.monotonic_ns()) > 0:
                gevent.sleep(min(left_ns / 1e9, 0.2))
            return due_ns
        if last_sent_ns is not None and self._interval_s > 0:
            left_s = self._interval_s - (time.monotonic_ns() - last_sent_ns) / 1e9
            while not self.draining and left_s > 0:
                gevent.sleep(min(left_s, 0.2))
                left_s = self._interval_s - (time.monotonic_ns() - last_sent_ns) / 1e9
        return None

    def send(self, connection: Connection, prepared: Prepared, intended_ns: int | None) -> tuple[Exchange, list[str]]:
        """Send one request; its exchange, and the requirements that its answer missed."""
        if (rest_s := connection.rest_s) > 0:
            gevent.sleep(rest_s)
        self.in_flight += 1
        try:
            self.found = []
            exchange = connection.send(self.judge, prepared, intended_ns)
        finally:
            self.in_flight -= 1
        missed, self.found = self.found, []
        self.metrics.add(prepared.name, exchange)
        answer = exchange.answer
        if prepared.request.target is Target.ALL and answer is not None and exchange.error is None:
            self.known = connections_in(self.address.server, answer) or self.known
        return exchange, missed

    # -- requests -----------------------------------------------------------------------------------------------------

    def listing(self, *, local: bool | None = None) -> Prepared:
        """GetStatsAllConnections."""
        return self._prepare(Target.ALL, local=local)

    def about_a_connection(self) -> Prepared:
        """GetStatsConnection of any connection that is known; a listing while none is."""
        if not self.known:
            return self.listing()
        known = random.choice(self.known)  # noqa: S311  # no secret
        return self._prepare(Target.CONNECTION, channel_id=known.channel_id, connection_id=known.connection_id)

    def about_a_client(self) -> Prepared:
        """GetStatsClient of any client that is known; a listing while none is."""
        clients = [known for known in self.known if known.client_id is not None]
        if not clients:
            return self.listing()
        known = random.choice(clients)  # noqa: S311  # no secret
        return self._prepare(Target.CLIENT, channel_id=known.channel_id, client_id=known.client_id)

    def _prepare(self, target: Target, **arguments: Any) -> Prepared:  # Any: as valid_request takes them
        key = (target, *arguments.values())
        prepared = self._prepared.get(key)
        if prepared is None:
            if len(self._prepared) > 10_000:
                self._prepared.clear()
            request = valid_request(target, server=self.address.server, headers=self._headers, **arguments)
            prepared = self._prepared[key] = prepare(request)
        return prepared


def failure(exchange: Exchange, missed: Sequence[str]) -> str | None:
    """A short, stable name of what went wrong with an exchange; None where nothing did."""
    if exchange.error is not None and exchange.error.code is not ErrorCode.ABANDONED:
        return f"error: {exchange.error.code.value}"
    return f"missed: {', '.join(sorted(set(missed)))}" if missed else None
