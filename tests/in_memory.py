"""
The simulator and the prober without sockets: they pass each other the bytes of uvicorn's HTTP, in virtual time.

All but the kernel is as ever: uvicorn's parser, the reader of responses, time-outs, and the relay's handlers for broken bytes.
A run of the gate costs half of what it does over TCP, waits for nothing, and gives the same on every machine.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import ECONNRESET
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from sora_stats_harness.api.http1 import ResponseReader
from sora_stats_harness.api.transport_errors import classify_transport_error
from sora_stats_harness.probe.prober import Prober
from sora_stats_harness.probe.transport import OneConnectionTransport
from sora_stats_harness.simulator.asgi_app import SimulatedCluster, SimulatedNode, SimulatorOptions
from sora_stats_harness.simulator.fault_interface import ReceivedRequest
from sora_stats_harness.simulator.server import server_config
from sora_stats_harness.simulator.tcp_fault_relay import RelayedResponse, read_message
from tests.virtual_time import virtual_time

PassOn = Callable[[str, bytes, ResponseReader], Coroutine[None, None, None]]

TRAVEL_S: Final = 0.0002
"""How long a request or a response is on its way."""


@contextmanager
def simulate_in_memory(**options: Any) -> Iterator[InMemorySimulator]:  # Any: those of SimulatorOptions
    """A simulator without sockets; while the context lasts, `asyncio.run` and all judges go by its clock."""
    with virtual_time() as clock:
        yield InMemorySimulator(SimulatorOptions(**options, clock=clock.of_simulator()))


class InMemorySimulator:
    """A simulated cluster that only its own probers reach."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.cluster = SimulatedCluster(options)
        self.urls = [f"http://127.0.0.1:{3000 + node}" for node in range(options.nodes)]
        self._relayed = any(fault.transport is not None for fault in self.cluster.faults)
        self._configs = {
            url: server_config(SimulatedNode(self.cluster, node), options.cors) for node, url in enumerate(self.urls)
        }

    @property
    def requests(self) -> Sequence[ReceivedRequest]:
        """Those that came."""
        return tuple(self.cluster.requests)

    def prober(self, timeout_s: float = 5.0) -> Prober:
        """A prober that has no other way than to this simulator."""
        return _InMemoryProber(timeout_s, self._exchange)

    async def _exchange(self, server: str, data: bytes, client: ResponseReader) -> None:
        config, from_server = self._configs[server], asyncio.StreamReader()
        state = ServerState()
        if not config.loaded:
            config.load()
        state.default_headers = [(b"date", b"Tue, 14 Nov 2023 22:13:20 GMT"), *config.encoded_headers]
        connection = HttpToolsProtocol(config, state, {}, asyncio.get_running_loop())
        connection.connection_made(_ServerSide(from_server))
        await asyncio.sleep(TRAVEL_S)
        connection.data_received(data)
        try:
            if self._relayed:
                await self._relay(data, from_server, client)
            while not client.over and (part := await from_server.read(1 << 16)):
                client.feed(part)
            await asyncio.sleep(TRAVEL_S)
            client.end()
        finally:
            connection.connection_lost(None)

    async def _relay(self, data: bytes, from_server: asyncio.StreamReader, client: ResponseReader) -> None:
        """What `TcpFaultRelay` does with one exchange."""
        response = await read_message(from_server, response=True, head_only=data.startswith(b"HEAD "))
        assert response is not None
        action = self.cluster.next_relay_action()
        relayed = RelayedResponse(*response, asyncio.StreamReader(), cast("asyncio.StreamWriter", _ClientSide(client)))
        with suppress(ConnectionResetError):
            await (relayed.write_all() if action is None else action(relayed))
        from_server.feed_eof()


class _InMemoryProber(Prober):
    """As its base class, but for the connections."""

    def __init__(self, timeout_s: float, exchange: PassOn) -> None:
        super().__init__(timeout_s=timeout_s)
        self._transport = _InMemoryTransport(exchange)


class _InMemoryTransport(OneConnectionTransport):
    """The same."""

    def __init__(self, exchange: PassOn) -> None:
        super().__init__()
        self._pass_on = exchange

    async def _exchange(self, server: str, data: bytes, reader: ResponseReader, connect_s: float | None) -> None:
        await self._pass_on(server, data, reader)


class _ServerSide(asyncio.Transport):
    """Where uvicorn writes to."""

    def __init__(self, to_client: asyncio.StreamReader) -> None:
        super().__init__()
        self._to_client = to_client

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._to_client.feed_data(bytes(data))

    def close(self) -> None:
        self._to_client.feed_eof()

    def is_closing(self) -> bool:
        return self._to_client.at_eof()

    def pause_reading(self) -> None:
        """The whole request has come."""

    def resume_reading(self) -> None:
        """There is no more."""


class _ClientSide:
    """Where a relay's handler writes to; it is the transport and its socket as well, which a handler resets."""

    def __init__(self, client: ResponseReader) -> None:
        self._client = client
        self.transport = self

    def get_extra_info(self, name: str) -> _ClientSide:
        return self

    def setsockopt(self, *option: object) -> None:
        """The connection is reset in any case."""

    def abort(self) -> None:
        self._client.give_up(classify_transport_error(ConnectionResetError(ECONNRESET, os.strerror(ECONNRESET))))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._client.over:
            self._client.feed(bytes(data))

    async def drain(self) -> None:
        if self._client.over:
            raise ConnectionResetError
        await asyncio.sleep(0)
