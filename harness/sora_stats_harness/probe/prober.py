"""
The prober: sends one request over a connection of its own and brings back the bytes, or why there are none.

It stands directly on httpx's transport, without httpx's client: a client would add cookies, redirects, authentication
and proxies from the environment, none of which a probe may have. Measured on httpx 0.28: a kept-alive connection pairs
surplus bytes of one response with the next request, so each exchange has its own; time-outs hold for a single read, so
that dripped headers outlast them, so one deadline spans the whole exchange.

A server that misbehaves is never an exception here. Only the harness's own mistakes are: a target that may not be sent,
a header that cannot be written, a URL that is none.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from types import TracebackType
from typing import Final, Protocol, Self

import httpx

from .. import __version__
from ..api.errors import UsageError
from ..api.exchange import ErrorCode, Exchange, Headers, Request, Response, TransportError
from ..api.request_guard import check_request_allowed
from ..api.transport_errors import classify_transport_error, describe_error

MAX_RESPONSE_BODY_BYTES: Final = 256 * 1024 * 1024
"""Bytes of one response's body; also of all bodies that are being read at one time."""

MAX_PARTIAL_BODY_BYTES: Final = 64 * 1024
"""Bytes of a body that is not whole that are kept to show what it was."""

USER_AGENT: Final = f"sora-harness/{__version__}"


class OpenExchange(Protocol):
    """An open request, as a judge hands it out."""

    def complete(
        self, response: Response | None = None, error: TransportError | None = None, arrived_ns: int | None = None
    ) -> Exchange:
        """Take the time of receipt, and judge."""


class ExchangeOpener(Protocol):
    """Hands out tickets: a judge, or whatever stands in for one."""

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> OpenExchange:
        """Take the time of sending."""


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport behind the guard: what `check_request_allowed` refuses never reaches a socket."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """
        Send one request.

        Raises:
            TargetRefused: It may not be sent.
        """
        check_request_allowed(request.method, request.url.raw_path, request.headers.raw)
        return await super().handle_async_request(request)


class Prober:
    """
    Sends requests, each over a connection of its own, and gives each exchange to a judge; an async context manager.

    Args:
        timeout_s: For the whole exchange, from connecting to the last byte.
        ca_file: PEM file of the authorities to trust instead of the usual ones.
        insecure: Whether to accept any certificate.
        limit_bytes: Of one body. The bodies being read at one time are held to the same sum, beyond which one is given up
            as `abandoned`: that accuses nobody.

    Raises:
        UsageError: `ca_file` cannot be read.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 10.0,
        ca_file: str | None = None,
        insecure: bool = False,
        limit_bytes: int = MAX_RESPONSE_BODY_BYTES,
    ) -> None:
        self._timeout_s = timeout_s
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._transport = GuardedTransport(
            verify=_make_ssl_context(ca_file, insecure),
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    async def send(self, judge: ExchangeOpener, request: Request, intended_ns: int | None = None) -> Exchange:
        """
        Send a request, wait for its response, and have the exchange judged.

        The time of sending is taken before connecting, which widens the interval and never narrows it. A cancelled call
        ends its exchange as `abandoned`.

        Raises:
            TargetRefused: The request may not be sent.
            UsageError: The request cannot be written as HTTP.
        """
        check_request_allowed(request.method, request.path, request.headers)
        message = _to_httpx_request(request)
        partial = _PartialResponse()
        ticket = judge.begin_exchange(request, intended_ns)
        try:
            error = await self._receive(message, partial)
        except BaseException:
            ticket.complete(partial.to_response(), TransportError(code=ErrorCode.ABANDONED, detail="the run ended"))
            raise
        finally:
            self._release_bytes(partial)
        return ticket.complete(partial.to_response(), error)

    async def _receive(self, message: httpx.Request, partial: _PartialResponse) -> TransportError | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._transport.handle_async_request(message)
                try:
                    partial.set_head(response)
                    await self._read_body(response, partial)
                finally:
                    await response.aclose()
        except TimeoutError:
            if partial.whole:  # only the closing was slow
                return None
            return TransportError(
                code=ErrorCode.TIMEOUT,
                detail=f"no complete response within {self._timeout_s:g} s{partial.describe_progress()}",
            )
        except _SampleAborted as given_up:
            return given_up.error
        except httpx.LocalProtocolError as error:
            raise UsageError(f"the request cannot be written as HTTP: {describe_error(error)}") from None
        except (httpx.TransportError, OSError) as error:
            return None if partial.whole else classify_transport_error(error)
        return None

    async def _read_body(self, response: httpx.Response, partial: _PartialResponse) -> None:
        # The stream itself, undecoded: httpx's own iterator would close the connection before we know that we are done.
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for chunk in response.stream:
            partial.add_chunk(chunk)
            self._held_bytes += len(chunk)
            if self._held_bytes > self._limit_bytes:
                self._release_bytes(partial)  # at once, so that the others can go on
                partial.truncate_body()
                if partial.size > self._limit_bytes:
                    raise _SampleAborted(ErrorCode.TOO_LARGE, f"the body exceeds {self._limit_bytes} bytes")
                detail = f"the bodies being read exceed {self._limit_bytes} bytes together"
                raise _SampleAborted(ErrorCode.ABANDONED, detail)
        partial.whole = True

    def _release_bytes(self, partial: _PartialResponse) -> None:
        self._held_bytes -= partial.held
        partial.held = 0


class _SampleAborted(Exception):
    """We stopped reading."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.error = TransportError(code=code, detail=detail)


class _PartialResponse:
    """What has come of a response so far."""

    def __init__(self) -> None:
        self.whole = False
        self.size = 0
        self.held = 0
        """Bytes of it that count against the limit of all."""
        self._status: int | None = None
        self._headers: Headers = ()
        self._body = io.BytesIO()  # hands its bytes out without a second copy: a body may be 256 MiB

    def set_head(self, response: httpx.Response) -> None:
        self._status = response.status_code
        self._headers = tuple((key.decode("latin-1"), value.decode("latin-1")) for key, value in response.headers.raw)

    def add_chunk(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self.held += len(chunk)
        self._body.write(chunk)

    def truncate_body(self) -> None:
        self._body.truncate(MAX_PARTIAL_BODY_BYTES)

    def describe_progress(self) -> str:
        return "" if self._status is None else f" (status {self._status}, {self.size} bytes of body so far)"

    def to_response(self) -> Response | None:
        if self._status is None:
            return None
        if not self.whole:
            self.truncate_body()
        return Response(status=self._status, headers=self._headers, body=self._body.getvalue(), complete=self.whole)


def normalize_server_url(url: str) -> str:
    """
    Give the name under which a server's exchanges are known: scheme, host and port.

    Raises:
        UsageError: No absolute http or https URL, or one with credentials, a path or a query: the API is at `/`.

    >>> normalize_server_url("http://127.0.0.1:3000/")
    'http://127.0.0.1:3000'
    """
    try:
        parsed = httpx.URL(str(httpx.URL(url)))  # twice: a default port goes only behind a scheme in lower case
    except (httpx.InvalidURL, ValueError) as error:
        raise UsageError(f"{url!r} is no URL: {describe_error(error)}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageError(f"{url!r} is no http or https URL: give one like http://127.0.0.1:3000")
    if parsed.userinfo:
        raise UsageError("a URL must not hold credentials: pass them by --header 'Authorization: env:NAME'")
    if parsed.raw_path != b"/" or parsed.fragment:
        raise UsageError(f"{url!r} has a path or a query: the API is at /, give only scheme, host and port")
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"


def _make_ssl_context(ca_file: str | None, insecure: bool) -> ssl.SSLContext:
    if insecure or ca_file is None:
        return httpx.create_ssl_context(verify=not insecure, trust_env=False)
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise UsageError(f"--ca-file {ca_file} cannot be read as certificates: {describe_error(error)}") from None


def _to_httpx_request(request: Request) -> httpx.Request:
    given = {name.lower() for name, _ in request.headers}
    defaults = (("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", USER_AGENT))
    headers = [*request.headers, *((name, value) for name, value in defaults if name.lower() not in given)]
    try:
        return httpx.Request(
            request.method,
            request.server + request.path,
            headers=[(name.encode("ascii"), value.encode("utf-8")) for name, value in headers],
            content=request.body,
        )
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UsageError(f"the request cannot be written as HTTP: {describe_error(error)}") from None
