"""
A client for tests: the three targets as methods, each response judged before the test sees it.

A wrong response is a finding, which fails the test by itself. So the methods return every response, and raise only if
none came. The synchronous and the asynchronous client send on the same loop.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from ..api.exchange import Exchange, ExchangeOpener, Headers, Target, make_valid_request
from ..probe.prober import Prober
from .background_loop import BackgroundLoop
from .connection_sample import ConnectionSample

T = TypeVar("T")


class NoResponseError(Exception):
    """There is no complete response: `exchange.error` says why."""

    def __init__(self, exchange: Exchange) -> None:
        error = exchange.error
        code, detail = (error.code.value, error.detail) if error is not None else ("cut", "")
        super().__init__(
            f"no complete response from {exchange.request.server}: {code}{f': {detail}' if detail else ''}"
        )
        self.exchange = exchange


class NoSampleError(Exception):
    """The response contains no statistics: it is a refusal, or its body is not JSON of that form."""


class _StatsResponse:
    """One complete response, unchanged."""

    def __init__(self, exchange: Exchange) -> None:
        if exchange.response is None or exchange.error is not None or not exchange.response.complete:
            raise NoResponseError(exchange)
        self.exchange = exchange
        self._response = exchange.response

    @property
    def status(self) -> int:
        """The HTTP status: 200, or 400 for an unknown id."""
        return self._response.status

    @property
    def headers(self) -> Headers:
        """Pairs of name and value, in their order on the wire."""
        return self._response.headers

    @property
    def body(self) -> bytes:
        """The bytes of the body."""
        return self._response.body

    @property
    def error_type(self) -> str | None:
        """The `error_type` of a refusal; None if it has none, or the response is not a refusal."""
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
            ValueError: It is not JSON.
        """
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} status {self.status}, {len(self.body)} bytes>"

    def _parse_body(self, kind: type[T]) -> T:
        if self.status != 200:
            raise NoSampleError(f"the response has status {self.status} ({self.error_type or 'and no error_type'})")
        try:
            value = self.json()
        except ValueError:
            raise NoSampleError("the response is not JSON") from None
        if not isinstance(value, kind):
            raise NoSampleError(f"the response is not an {'array' if kind is list else 'object'}")
        return value


class ConnectionResponse(_StatsResponse):
    """The response to GetStatsConnection."""

    @property
    def sample(self) -> ConnectionSample:
        """
        The connection's statistics.

        Raises:
            NoSampleError: The response contains none.
        """
        return ConnectionSample(self._parse_body(dict))


class ConnectionListResponse(_StatsResponse):
    """The response to GetStatsClient or GetStatsAllConnections; it can be iterated, and has a length."""

    @property
    def samples(self) -> list[ConnectionSample]:
        """
        The statistics of each connection, in the order of the response.

        Raises:
            NoSampleError: The response has no array of statistics; an empty array is fine.
        """
        values: list[object] = self._parse_body(list)
        if not all(isinstance(value, dict) for value in values):
            raise NoSampleError("the array contains something that is not an object")
        return [ConnectionSample(value) for value in values if isinstance(value, dict)]

    def find_connection(self, connection_id: str) -> ConnectionSample:
        """
        The statistics of one connection.

        Raises:
            NoSampleError: The response doesn't contain it.
        """
        for sample in self.samples:
            if sample.get("connection_id") == connection_id:
                return sample
        raise NoSampleError(f"connection {connection_id} is not among {len(self)}")

    def __iter__(self) -> Iterator[ConnectionSample]:
        return iter(self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, place: int) -> ConnectionSample:
        return self.samples[place]


class _RequestSubmitter:
    """Sends requests of one test on the common loop."""

    def __init__(
        self, server: str, loop: BackgroundLoop, prober: Prober, opener: ExchangeOpener, headers: Headers
    ) -> None:
        self.server = server
        self._loop = loop
        self._prober = prober
        self._opener = opener
        self._headers = headers

    def submit_request(
        self, target: Target, **arguments: Any
    ) -> Future[Exchange]:  # Any: as make_valid_request takes them
        request = make_valid_request(target, server=self.server, headers=self._headers, **arguments)
        return self._loop.submit(self._prober.send(self._opener, request))


class StatsClient:
    """
    Sends requests to one server and waits; every response is judged. From the fixture `sora_client`.

    Each request uses a new connection; nothing is retried, and redirects are not followed. `aio` has the same methods
    as coroutines.
    """

    def __init__(
        self, server: str, *, loop: BackgroundLoop, prober: Prober, opener: ExchangeOpener, headers: Headers = ()
    ) -> None:
        self._sender = _RequestSubmitter(server, loop, prober, opener, headers)
        self.server = server
        self.aio: AsyncStatsClient = AsyncStatsClient(self._sender)

    def get_stats_connection(self, channel_id: str, connection_id: str) -> ConnectionResponse:
        """
        Request the statistics of one connection.

        Raises:
            NoResponseError: There is no complete response.
        """
        asked = self._sender.submit_request(Target.CONNECTION, channel_id=channel_id, connection_id=connection_id)
        return ConnectionResponse(asked.result())

    def get_stats_client(self, channel_id: str, client_id: str) -> ConnectionListResponse:
        """
        Request the connections of one client.

        Raises:
            NoResponseError: There is no complete response.
        """
        return ConnectionListResponse(
            self._sender.submit_request(Target.CLIENT, channel_id=channel_id, client_id=client_id).result()
        )

    def get_stats_all_connections(self, *, local: bool | None = None) -> ConnectionListResponse:
        """
        Request every connection: of the node (the default), or with `local=False` of the whole cluster.

        Raises:
            NoResponseError: There is no complete response.
        """
        return ConnectionListResponse(self._sender.submit_request(Target.ALL, local=local).result())


class AsyncStatsClient:
    """The same with coroutines, under asyncio and under trio. From `sora_client.aio`."""

    def __init__(self, sender: _RequestSubmitter) -> None:
        self._sender = sender
        self.server: str = sender.server

    async def get_stats_connection(self, channel_id: str, connection_id: str) -> ConnectionResponse:
        """As `StatsClient.get_stats_connection`."""
        asked = self._sender.submit_request(Target.CONNECTION, channel_id=channel_id, connection_id=connection_id)
        return ConnectionResponse(await _wait_for_exchange(asked))

    async def get_stats_client(self, channel_id: str, client_id: str) -> ConnectionListResponse:
        """As `StatsClient.get_stats_client`."""
        asked = self._sender.submit_request(Target.CLIENT, channel_id=channel_id, client_id=client_id)
        return ConnectionListResponse(await _wait_for_exchange(asked))

    async def get_stats_all_connections(self, *, local: bool | None = None) -> ConnectionListResponse:
        """As `StatsClient.get_stats_all_connections`."""
        return ConnectionListResponse(await _wait_for_exchange(self._sender.submit_request(Target.ALL, local=local)))


async def _wait_for_exchange(asked: Future[Exchange]) -> Exchange:
    """Wait for a request on the other loop; if the waiting task is cancelled, the request ends as abandoned."""
    from anyio.to_thread import run_sync  # works in asyncio and in trio

    try:
        return await run_sync(asked.result, abandon_on_cancel=True)
    finally:
        asked.cancel()
