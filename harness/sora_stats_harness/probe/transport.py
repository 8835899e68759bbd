"""
The prober's httpx transport: sends each request over a new connection.

httpx's own transport lets httpcore and h11 parse responses. Here `ResponseReader` does that, as it does under load, so
that the same bytes give the same exchange. Requests are checked right where they are written.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import cached_property
from typing import Final

import httpx

from ..api.exchange import ErrorCode, TransportError
from ..api.http1 import BODY_LIMIT, ResponseReader
from ..api.request_bytes import encode_message
from ..api.request_guard import check_bytes_allowed, check_request_allowed
from ..api.server_address import Peer, ServerAddress, SocketAddress, describe_tls, look_up_addresses
from ..api.server_route import DIRECT_ROUTE, Route, TunnelRequest
from ..api.server_url import split_server
from ..api.transport_errors import classify_transport_error

READER_EXTENSION: Final = "sora_response_reader"
"""Key of a request's extensions: a `ResponseReader` for the response, for callers that need more than httpx returns."""

RECEIVE_BYTES: Final = 64 * 1024


class OneConnectionTransport(httpx.AsyncBaseTransport):
    """
    Sends each request over a new connection, to the first address of the server's name that accepts it.

    Raises:
        UsageError: A file of the route can't be read.
    """

    def __init__(self, *, route: Route = DIRECT_ROUTE, limit_bytes: int = BODY_LIMIT) -> None:
        self._route = route
        if route.names_files:
            self._tls_context  # noqa: B018  # a file that can't be read is wrong whatever is asked
        self._proxy = route.proxy
        self._limit_bytes = limit_bytes
        self._servers: dict[str, ServerAddress] = {}
        self._tls_facts: dict[str, str] = {}
        self.held_bytes: int = 0
        """The bytes of all bodies that are being read."""

    @cached_property
    def _tls_context(self) -> ssl.SSLContext:
        """Made where a server is asked by https: reading the authorities takes some 20 ms."""
        return self._route.make_tls_context()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """
        Send one request, and read its response to the end.

        Raises:
            RequestRefusedError: The request must not be sent; no connection was made.
            httpx.TransportError: There is no complete response; the caller's reader has the part that came.
        """
        check_request_allowed(request.method, request.url.raw_path, request.headers.raw)
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"content-length"]
        body = await request.aread() or None
        data = encode_message(request.method.encode(), request.url.raw_path, headers, body)
        check_bytes_allowed(data)
        reader: ResponseReader = request.extensions.get(READER_EXTENSION) or self.make_reader()
        reader.begin(request.method)
        server = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
        connect_s: float | None = request.extensions.get("timeout", {}).get("connect")
        try:
            await self._exchange(server, data, reader, connect_s)
        except TimeoutError:
            raise httpx.ConnectTimeout(f"no connection within {connect_s} s") from None
        except OSError as error:
            reader.give_up(classify_transport_error(error))
        response = reader.response
        if response is None or reader.error is not None:
            raise httpx.ReadError(reader.error.detail if reader.error is not None else "no response")
        return httpx.Response(
            response.status,
            headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in response.headers],
            stream=httpx.ByteStream(response.body),
            extensions={"http_version": b"HTTP/1.1"},
        )

    def peer(self, server: str) -> Peer:
        """What the last connection to a server told."""
        name = "://".join(split_server(server)[:2])
        address = self._servers.get(name)
        return Peer(address=None if address is None else address.display_address, tls=self._tls_facts.get(name))

    def make_reader(self) -> ResponseReader:
        """A reader with this transport's limit."""
        return ResponseReader(limit_bytes=self._limit_bytes)

    def hold(self, more_bytes: int) -> TransportError | None:
        """Count bytes of bodies that are being read; returns an error if they are too many."""
        self.held_bytes += more_bytes
        if self.held_bytes <= self._limit_bytes:
            return None
        detail = f"the bodies being read exceed {self._limit_bytes} bytes together"
        return TransportError(code=ErrorCode.ABANDONED, detail=detail)

    async def _exchange(self, server: str, data: bytes, reader: ResponseReader, connect_s: float | None) -> None:
        address = self._servers.get(server)
        if address is None:
            found = await asyncio.get_running_loop().run_in_executor(None, look_up_addresses, server, self._proxy)
            if isinstance(found, TransportError):
                reader.give_up(found)
                return
            tls = self._tls_context if server.startswith("https:") else None
            address = ServerAddress(server, found, tls, self._proxy)
        sock = await _connect(address, connect_s)
        self._servers[server] = address
        receiver = _Receiver(reader, self)
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(
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

    def __init__(self, reader: ResponseReader, transport: OneConnectionTransport) -> None:
        self._reader = reader
        self._transport = transport
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
        too_many = self._transport.hold(more_bytes)
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
        self._transport.held_bytes -= self._held_bytes
        self._held_bytes = 0

    def _end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
