"""
The prober: sends each request over a new connection, and returns the bytes, or why there are none.

`ResponseReader` reads the response, as it does under load, so that the same bytes give the same exchange. One deadline
spans the whole exchange, since headers that arrive byte by byte would outlast a time-out for a single read.

A server that misbehaves never causes an exception here. Only wrong use of the harness does: a target that must not be
sent, or a header that can't be written.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Coroutine
from functools import cached_property
from typing import Any, Final

from ..api.exchange import ErrorCode, Exchange, ExchangeOpener, Request, TransportError
from ..api.http1 import BODY_LIMIT, ResponseReader
from ..api.request_bytes import encode_request
from ..api.request_guard import check_bytes_allowed, check_request_allowed
from ..api.server_address import Peer, ServerAddress, SocketAddress, describe_tls, look_up_addresses
from ..api.server_route import DIRECT_ROUTE, Route, TunnelRequest
from ..api.server_url import split_server
from ..api.transport_errors import classify_transport_error
from .interrupt import InterruptHandler

RECEIVE_BYTES: Final = 64 * 1024


class Prober:
    """
    Sends requests, each over a new connection, to the first address of the server's name that accepts it.

    Args:
        timeout_s: The time-out for the whole exchange, from connecting to the last byte.
        route: How servers are reached.
        limit_bytes: The limit of one body, and of all bodies that are being read at one time together. A body beyond
            the sum is given up as `abandoned`, which accuses no server.

    Raises:
        UsageError: A file of the route can't be read.
    """

    def __init__(self, *, timeout_s: float = 10.0, route: Route = DIRECT_ROUTE, limit_bytes: int = BODY_LIMIT) -> None:
        self._timeout_s = timeout_s
        self._route = route
        if route.names_files:
            self._tls_context  # noqa: B018  # a file that can't be read is wrong whatever is asked
        self._limit_bytes = limit_bytes
        self._addresses: dict[str, ServerAddress] = {}
        self._tls_facts: dict[str, str] = {}
        self.held_bytes: int = 0
        """The bytes of all bodies that are being read."""

    @cached_property
    def _tls_context(self) -> ssl.SSLContext:
        """Made where a server is asked by https: reading the authorities takes some 20 ms."""
        return self._route.make_tls_context()

    def peer(self, server: str) -> Peer:
        """What is known of the last connection to a server."""
        name = _without_path(server)
        address = self._addresses.get(name)
        return Peer(address=None if address is None else address.display_address, tls=self._tls_facts.get(name))

    async def send(self, judge: ExchangeOpener, request: Request, intended_ns: int | None = None) -> Exchange:
        """
        Send a request, wait for its response, and judge the exchange.

        The time of sending is recorded before connecting, which widens the interval but never narrows it. If the call
        is cancelled, its exchange ends as `abandoned`.

        Raises:
            RequestRefusedError: The request may not be sent.
            UsageError: The request can't be written as HTTP.
        """
        check_request_allowed(request.method, request.path, request.headers)
        data = encode_request(request)
        reader = ResponseReader(limit_bytes=self._limit_bytes)
        reader.begin(request.method)
        opened = judge.begin_exchange(request, intended_ns)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._exchange(_without_path(request.server), data, reader)
        except TimeoutError:
            reader.give_up(reader.too_late(self._timeout_s))  # no effect if the reader is over: only closing was slow
        except OSError as error:
            reader.give_up(classify_transport_error(error))
        except BaseException:
            reader.give_up(TransportError(code=ErrorCode.ABANDONED, detail="the run ended"))
            raise
        finally:
            exchange = opened.complete(reader.response, reader.error, None, reader.faults)
        return exchange

    def hold(self, more_bytes: int) -> TransportError | None:
        """Count bytes of bodies that are being read; returns an error if they are too many."""
        self.held_bytes += more_bytes
        if self.held_bytes <= self._limit_bytes:
            return None
        detail = f"the bodies being read exceed {self._limit_bytes} bytes together"
        return TransportError(code=ErrorCode.ABANDONED, detail=detail)

    async def _exchange(self, server: str, data: bytes, reader: ResponseReader) -> None:
        check_bytes_allowed(data)
        loop, proxy = asyncio.get_running_loop(), self._route.proxy
        address = self._addresses.get(server)
        if address is None:
            found = await loop.run_in_executor(None, look_up_addresses, server, proxy)
            if isinstance(found, TransportError):
                reader.give_up(found)
                return
            tls = self._tls_context if server.startswith("https:") else None
            address = ServerAddress(server, found, tls, proxy)
        sock = await _connect(address, self._timeout_s)
        self._addresses[server] = address
        receiver = _Receiver(reader, self)
        try:
            transport, _ = await loop.create_connection(
                lambda: receiver, sock=sock, ssl=address.tls, server_hostname=address.host if address.tls else None
            )
        except BaseException:
            sock.close()
            raise
        if address.tls is not None:
            self._tls_facts[server] = describe_tls(transport.get_extra_info("ssl_object"))
        try:
            check_bytes_allowed(data)
            transport.write(address.bytes_to_write(data))
            await receiver.over
        finally:
            receiver.let_go()
            transport.abort()


async def finish_unless_interrupted(work: Coroutine[Any, Any, object], interrupt: InterruptHandler) -> bool:
    """Await a coroutine, which a signal cancels; returns whether it finished."""
    loop, task = asyncio.get_running_loop(), asyncio.create_task(work)
    interrupt.set_callback(lambda: loop.call_soon_threadsafe(task.cancel))
    try:
        await task
    except asyncio.CancelledError:
        return False
    finally:
        interrupt.set_callback(None)
    return True


def _without_path(server: str) -> str:
    scheme, authority, _ = split_server(server)
    return f"{scheme}://{authority}"


async def _connect(address: ServerAddress, timeout_s: float | None) -> socket.socket:
    """Connect to the first address that accepts; if none does, the last one's error is raised."""
    failure: OSError = ConnectionError("no address")
    for each, share_s in address.attempts(timeout_s):
        try:
            async with asyncio.timeout(share_s):
                sock = await _connect_to(each, address.tunnel_request())
        except OSError as error:
            failure = error
        else:
            address.prefer(each)
            return sock
    raise failure


async def _connect_to(address: SocketAddress, tunnel: TunnelRequest | None) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, address.sockaddr)
        if tunnel is not None:
            await loop.sock_sendall(sock, tunnel.request_bytes)
            while not tunnel.feed(await loop.sock_recv(sock, RECEIVE_BYTES)):
                pass
    except BaseException:
        sock.close()
        raise
    return sock


class _Receiver(asyncio.BufferedProtocol):
    """Passes bytes from a socket to a reader."""

    def __init__(self, reader: ResponseReader, prober: Prober) -> None:
        self._reader = reader
        self._prober = prober
        self._room = memoryview(bytearray(RECEIVE_BYTES))
        self._is_direct = False
        self._held_bytes = 0
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        """Done as soon as the reader is over and surplus was checked for."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """The memory to receive into."""
        view = self._reader.buffer()
        self._is_direct = view is not None
        return self._room if view is None else view

    def buffer_updated(self, nbytes: int) -> None:
        """Pass received bytes to the reader."""
        reader = self._reader
        was_over = reader.over
        if self._is_direct:
            reader.advance(nbytes)
        else:
            reader.feed(self._room[:nbytes])
        if was_over:
            return
        more_bytes, self._held_bytes = reader.body_bytes - self._held_bytes, reader.body_bytes
        too_many = self._prober.hold(more_bytes)
        if too_many is not None and not reader.over:
            self.let_go()  # at once, so that the others can continue
            reader.give_up(too_many)
        if reader.over:
            # Surplus may have arrived already: the loop reads the socket once more before the second call.
            self._loop.call_soon(self._loop.call_soon, self._end)

    def eof_received(self) -> None:
        """The peer has closed its side."""
        self._reader.end()
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection was lost."""
        if exc is None:
            self._reader.end()
        else:
            self._reader.give_up(classify_transport_error(exc))
        self._end()

    def let_go(self) -> None:
        """Stop counting the body."""
        self._prober.held_bytes -= self._held_bytes
        self._held_bytes = 0

    def _end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
