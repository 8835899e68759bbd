"""What the tests of load/ share: a clerk that judges nothing, and requests to send."""

from __future__ import annotations

import time
from collections.abc import Callable

from sora_stats_harness.exchange import Answer, Exchange, Request, Target, TransportError, valid_request
from sora_stats_harness.load.http import Address, Connection, Traffic, resolve
from sora_stats_harness.load.wire import Prepared, prepare


class Ticket:
    """As a judge's, without judging."""

    def __init__(self, clerk: Clerk, request: Request, intended_ns: int | None) -> None:
        self._clerk = clerk
        self._request = request
        self._intended_ns = intended_ns
        self.sent_ns = time.monotonic_ns()

    def end(
        self, answer: Answer | None = None, error: TransportError | None = None, arrived_ns: int | None = None
    ) -> Exchange:
        exchange = Exchange(
            run="test", seq=len(self._clerk.ended), request=self._request, clock="test", sent_ns=self.sent_ns,
            received_ns=time.monotonic_ns(), sent_at="", answer=answer, error=error, intended_ns=self._intended_ns,
            arrived_ns=arrived_ns,
        )  # fmt: skip
        self._clerk.ended.append(exchange)
        return exchange

    def end_in_slices(self, answer: Answer, pause: Callable[[], None], arrived_ns: int | None = None) -> Exchange:
        self._clerk.sliced += 1
        return self.end(answer, None, arrived_ns)


class Clerk:
    """Hands out tickets; `taken` counts them, `ended` holds the exchanges."""

    def __init__(self) -> None:
        self.taken = 0
        self.sliced = 0
        self.ended: list[Exchange] = []

    def sent(self, request: Request, intended_ns: int | None = None) -> Ticket:
        self.taken += 1
        return Ticket(self, request, intended_ns)


def listing(server: str) -> Prepared:
    return prepare(valid_request(Target.ALL, server=server))


def connection(server: str, *, timeout_s: float = 5.0, **settings: object) -> Connection:
    address = resolve(server)
    assert isinstance(address, Address)
    return Connection(address, Traffic(), timeout_s=timeout_s, **settings)  # type: ignore[arg-type]
