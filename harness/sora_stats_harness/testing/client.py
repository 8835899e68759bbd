"""
A client for tests: the three targets as methods, each answer judged before the test sees it.

What is wrong with an answer is a finding, which fails the test by itself; so the methods return whatever came, and raise
only where there is nothing to return. The synchronous and the asynchronous client send over the same loop.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from ..api.exchange import Exchange, Headers, Target, valid_request
from ..probe.client import Clerk, Prober
from .loop import Background
from .stats import Reading

T = TypeVar("T")


class NoAnswer(Exception):
    """There is no whole answer: `exchange.error` says why."""

    def __init__(self, exchange: Exchange) -> None:
        error = exchange.error
        code, detail = (error.code.value, error.detail) if error is not None else ("cut", "")
        super().__init__(f"no whole answer from {exchange.request.server}: {code}{f': {detail}' if detail else ''}")
        self.exchange = exchange


class NoReading(Exception):
    """The answer holds no statistics: a refusal, or something that is no JSON of their form."""


class _Reply:
    """One whole answer, as it came."""

    def __init__(self, exchange: Exchange) -> None:
        if exchange.answer is None or exchange.error is not None or not exchange.answer.complete:
            raise NoAnswer(exchange)
        self.exchange = exchange
        self._answer = exchange.answer

    @property
    def status(self) -> int:
        """The HTTP status: 200, or 400 for an id that is not known."""
        return self._answer.status

    @property
    def headers(self) -> Headers:
        """Pairs of name and value, in the order of the wire."""
        return self._answer.headers

    @property
    def body(self) -> bytes:
        """The bytes of the body."""
        return self._answer.body

    @property
    def error_type(self) -> str | None:
        """What a refusal calls itself; None where it says nothing, or there is none."""
        if self.status == 200:
            return None
        try:
            value = self.json()
        except ValueError:
            return None
        found = value.get("error_type") if isinstance(value, dict) else None
        return found if isinstance(found, str) else None

    def json(self) -> Any:  # Any: whatever JSON the server sent
        """
        Parse the body.

        Raises:
            ValueError: It is no JSON.
        """
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} status {self.status}, {len(self.body)} bytes>"

    def _parsed(self, kind: type[T]) -> T:
        if self.status != 200:
            raise NoReading(f"the answer has status {self.status} ({self.error_type or 'and no error_type'})")
        try:
            value = self.json()
        except ValueError:
            raise NoReading("the answer is no JSON") from None
        if not isinstance(value, kind):
            raise NoReading(f"the answer is no {'array' if kind is list else 'object'}")
        return value


class ConnectionReply(_Reply):
    """The answer to GetStatsConnection."""

    @property
    def reading(self) -> Reading:
        """
        The connection's statistics.

        Raises:
            NoReading: There are none in the answer.
        """
        return Reading(self._parsed(dict))


class ConnectionsReply(_Reply):
    """The answer to GetStatsClient or GetStatsAllConnections: may be iterated and counted."""

    @property
    def readings(self) -> list[Reading]:
        """
        The statistics of each connection, in the order of the answer.

        Raises:
            NoReading: There are none in the answer; an empty array is no such case.
        """
        values: list[object] = self._parsed(list)
        if not all(isinstance(value, dict) for value in values):
            raise NoReading("the array holds something that is no object")
        return [Reading(value) for value in values if isinstance(value, dict)]

    def find(self, connection_id: str) -> Reading:
        """
        The statistics of one connection.

        Raises:
            NoReading: It is not among them.
        """
        for reading in self.readings:
            if reading.get("connection_id") == connection_id:
                return reading
        raise NoReading(f"connection {connection_id} is not among {len(self)}")

    def __iter__(self) -> Iterator[Reading]:
        return iter(self.readings)

    def __len__(self) -> int:
        return len(self.readings)

    def __getitem__(self, place: int) -> Reading:
        return self.readings[place]


class _Sender:
    """Sends a request over the common loop, in the name of one test."""

    def __init__(self, server: str, loop: Background, prober: Prober, clerk: Clerk, headers: Headers) -> None:
        self.server = server
        self._loop = loop
        self._prober = prober
        self._clerk = clerk
        self._headers = headers

    def begin(self, target: Target, **arguments: Any) -> Future[Exchange]:  # Any: as valid_request takes them
        request = valid_request(target, server=self.server, headers=self._headers, **arguments)
        return self._loop.submit(self._prober.send(self._clerk, request))


class Client:
    """
    Asks one server, and waits; every answer is judged. From the fixture `sora_client`.

    Each request takes a connection of its own, nothing is retried and no redirect followed. `aio` has the same methods
    as coroutines.
    """

    def __init__(self, server: str, *, loop: Background, prober: Prober, clerk: Clerk, headers: Headers = ()) -> None:
        self._sender = _Sender(server, loop, prober, clerk, headers)
        self.server = server
        self.aio = AsyncClient(self._sender)

    def get_stats_connection(self, channel_id: str, connection_id: str) -> ConnectionReply:
        """
        Ask for one connection.

        Raises:
            NoAnswer: There is no whole answer.
        """
        asked = self._sender.begin(Target.CONNECTION, channel_id=channel_id, connection_id=connection_id)
        return ConnectionReply(asked.result())

    def get_stats_client(self, channel_id: str, client_id: str) -> ConnectionsReply:
        """
        Ask for the connections of one client.

        Raises:
            NoAnswer: There is no whole answer.
        """
        return ConnectionsReply(
            self._sender.begin(Target.CLIENT, channel_id=channel_id, client_id=client_id).result()
        )  # fmt: skip

    def get_stats_all_connections(self, *, local: bool | None = None) -> ConnectionsReply:
        """
        Ask for every connection: of the node (the default), or with `local=False` of the whole cluster.

        Raises:
            NoAnswer: There is no whole answer.
        """
        return ConnectionsReply(self._sender.begin(Target.ALL, local=local).result())


class AsyncClient:
    """The same with coroutines, under asyncio and under trio. From `sora_client.aio`."""

    def __init__(self, sender: _Sender) -> None:
        self._sender = sender
        self.server = sender.server

    async def get_stats_connection(self, channel_id: str, connection_id: str) -> ConnectionReply:
        """As `Client.get_stats_connection`."""
        asked = self._sender.begin(Target.CONNECTION, channel_id=channel_id, connection_id=connection_id)
        return ConnectionReply(await _wait(asked))

    async def get_stats_client(self, channel_id: str, client_id: str) -> ConnectionsReply:
        """As `Client.get_stats_client`."""
        asked = self._sender.begin(Target.CLIENT, channel_id=channel_id, client_id=client_id)
        return ConnectionsReply(await _wait(asked))

    async def get_stats_all_connections(self, *, local: bool | None = None) -> ConnectionsReply:
        """As `Client.get_stats_all_connections`."""
        return ConnectionsReply(await _wait(self._sender.begin(Target.ALL, local=local)))


async def _wait(asked: Future[Exchange]) -> Exchange:
    """Wait for the other loop; whoever is cancelled meanwhile cancels the request, which ends as abandoned."""
    from anyio.to_thread import run_sync  # httpx's own way to be at home in any loop

    try:
        return await run_sync(asked.result, abandon_on_cancel=True)
    finally:
        asked.cancel()
