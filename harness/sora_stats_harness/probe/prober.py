"""
The prober: sends each request over a new connection, and returns the bytes, or why there are none.

It uses an httpx transport directly, without httpx's client, which would add cookies, redirects, authentication and
proxies from the environment; a probe must have none of these. One deadline spans the whole exchange, since headers that
arrive byte by byte would outlast a time-out for a single read.

A server that misbehaves never causes an exception here. Only wrong use of the harness does: a target that must not be
sent, a header that can't be written, an invalid URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import httpx

from ..api.errors import UsageError
from ..api.exchange import ErrorCode, Exchange, ExchangeOpener, Request, TransportError
from ..api.http1 import BODY_LIMIT, ResponseReader
from ..api.request_bytes import encode_headers
from ..api.request_guard import check_request_allowed
from ..api.server_address import Peer
from ..api.server_route import DIRECT_ROUTE, Route
from ..api.transport_errors import describe_error
from .interrupt import InterruptHandler
from .transport import READER_EXTENSION, OneConnectionTransport


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
        self._transport = OneConnectionTransport(route=route, limit_bytes=limit_bytes)

    def peer(self, server: str) -> Peer:
        """What is known of the last connection to a server."""
        return self._transport.peer(server)

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
        reader = self._transport.make_reader()
        message = _to_httpx_request(request, reader, self._timeout_s)
        opened = judge.begin_exchange(request, intended_ns)
        try:
            await self._receive(message, reader)
        except BaseException:
            reader.give_up(TransportError(code=ErrorCode.ABANDONED, detail="the run ended"))
            raise
        finally:
            exchange = opened.complete(reader.response, reader.error, None, reader.faults)
        return exchange

    async def _receive(self, message: httpx.Request, reader: ResponseReader) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._transport.handle_async_request(message)
        except (TimeoutError, httpx.TransportError):
            # No effect if the reader is over: then it has the reason, or only closing was slow.
            reader.give_up(reader.too_late(self._timeout_s))


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


def _to_httpx_request(request: Request, reader: ResponseReader, timeout_s: float) -> httpx.Request:
    try:
        return httpx.Request(
            request.method,
            request.server + request.path,
            headers=encode_headers(request),
            content=request.body,
            extensions={READER_EXTENSION: reader, "timeout": {"connect": timeout_s}},
        )
    except httpx.InvalidURL as error:
        raise UsageError(f"the request can't be written as HTTP: {describe_error(error)}") from None
