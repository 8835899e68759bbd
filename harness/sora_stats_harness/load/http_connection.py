"""
A kept-alive HTTP connection under gevent, which sends one request at a time.

An interval may be widened but never narrowed, and a response must never be attributed to another request. So the time
of sending is recorded right before the first byte is written. A connection with any irregularity (a time-out, a cut,
unrequested bytes) is closed and never used again. A request that may have been read is never sent twice. One deadline
spans the whole exchange, connecting included, since a limit for each read would let slow responses last forever.
"""

from __future__ import annotations

import random
import socket as plain_socket
import ssl as plain_ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import gevent
from gevent import monkey, socket, ssl

from ..api.exchange import ErrorCode, Exchange, OpenExchange, Request, Response, TransportError
from ..api.http1 import BODY_LIMIT, ResponseReader
from ..api.http1_faults import UNANNOUNCED_CLOSE, FramingFault
from ..api.http1_head import excerpt, fault
from ..api.request_guard import check_bytes_allowed
from ..api.server_address import ServerAddress, SocketAddress, look_up_addresses
from ..api.server_route import DIRECT_ROUTE, Route
from ..api.transport_errors import classify_transport_error
from . import kernel_timestamps as stamps
from .prepared_request import PreparedRequest
from .readiness import ReadinessWaiter
from .transport_stats import TransportStats

MAX_UNSLICED_BODY_BYTES: Final = 256 * 1024
"""Larger responses are judged in slices, so that one scraper does not spoil the latencies of all others."""

SLICE_PAUSE_S: Final = 0.02
"""The longest pause between two slices; a loop that is never idle would defer the rest forever."""

MAX_IDLE_CLOSE_DELAY_S: Final = 1.0
"""A used connection that closes this soon after a request was written, without a byte, had probably closed before."""

MIN_IDLE_BEFORE_CHECK_NS: Final = 50_000
"""
This soon after a response its connection is not checked for stray data, since that costs as much as receiving, and the
data may as well come after the check. If the server was seen to close or send unasked, every connection is checked.
"""

BACKOFF_RANGE_S: Final = (0.05, 3.0)
"""The first and the longest pause after a failure; it doubles each time, and is shortened at random by up to half."""

UNASKED_BYTES: Final = 64
"""How many bytes on an idle connection are read."""

_poll = monkey.get_original("select", "poll")
_POLLIN: Final = 1


class SliceableExchange(OpenExchange, Protocol):
    """An open request whose response may be judged in slices."""

    def complete_in_slices(
        self,
        response: Response,
        pause: Callable[[], None],
        arrived_ns: int | None = None,
        faults: tuple[FramingFault, ...] = (),
    ) -> Exchange:
        """Record the time of receipt, and judge a large response, with pauses."""

    @property
    def sent_ns(self) -> int:
        """The time of sending."""


class SliceableExchangeOpener(Protocol):
    """What a connection calls before it sends a request: a judge, or a stand-in for one."""

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> SliceableExchange:
        """Record the time of sending."""


def resolve_server(
    server: str, route: Route = DIRECT_ROUTE, *, at: Sequence[SocketAddress] | None = None
) -> ServerAddress | TransportError:
    """
    Look a server's name up once, so that no look-up is ever part of a latency.

    Args:
        server: Scheme, host and port, as `normalize_server_url` gives them.
        route: How the server is reached.
        at: Its addresses, or the proxy's, if another process has looked them up.

    Raises:
        UsageError: A file of the route can't be read.
    """
    # gevent's own context, whether or not ssl is patched: any other would block the loop in each handshake
    tls = route.make_tls_context(ssl.SSLContext) if server.startswith("https:") else None
    addresses = look_up_addresses(server, route.proxy) if at is None else at
    return addresses if isinstance(addresses, TransportError) else ServerAddress(server, addresses, tls, route.proxy)


class HttpConnection:
    """
    Sends requests one after the other, over one socket as long as the server keeps it; for one greenlet.

    Args:
        timeout_s: The limit for a whole exchange, connecting included.
        limit_bytes: The limit of one body, and of all bodies of a run that are being read at one time.
    """

    def __init__(
        self,
        address: ServerAddress,
        traffic: TransportStats,
        *,
        timeout_s: float = 5.0,
        limit_bytes: int = BODY_LIMIT,
        keep_alive: bool = True,
    ) -> None:
        self._address = address
        self._traffic = traffic
        self._timeout_s = timeout_s
        self._timeout_ns = int(timeout_s * 1e9)
        self._limit_bytes = limit_bytes
        self._keep_alive = keep_alive
        self._socket: Any = None  # Any: a gevent socket, plain or TLS; gevent has no types
        self._raw: Any = None  # Any: the system's socket below gevent's; it never blocks
        self._readiness: ReadinessWaiter | None = None
        self._poll: Any = None  # Any: the system's poll object, which typeshed doesn't have on every platform
        self._has_kernel_timestamps = False
        self._used = False
        self._reader = ResponseReader(limit_bytes=limit_bytes)
        self._unasked: tuple[FramingFault, ...] = ()
        """The faults of bytes on an idle connection; the next exchange reports them."""
        self._used_ns = 0
        """When the last response arrived."""
        self.consecutive_failures: int = 0
        """How many exchanges in a row have failed."""

    def send(
        self, clerk: SliceableExchangeOpener, prepared: PreparedRequest, intended_ns: int | None = None
    ) -> Exchange:
        """
        Send a request, wait for its response, and judge the exchange.

        If the greenlet is killed here, its exchange ends as abandoned. Whatever the server does is in the exchange; it
        never raises.
        """
        data = prepared.request_bytes
        now_ns = time.monotonic_ns()
        deadline_ns = now_ns + self._timeout_ns
        is_idle = now_ns - self._used_ns > MIN_IDLE_BEFORE_CHECK_NS or self._traffic.has_odd_closes
        if is_idle and self._socket is not None and not self._has_no_stray_data():
            self.close()
        if self._socket is None:
            check_bytes_allowed(data)  # nobody need connect for what is refused before it is written
            if (failed := self._connect(clerk, prepared, intended_ns, deadline_ns)) is not None:
                return failed
        reader = self._reader
        reader.begin()
        used = self._used
        self._used = True
        opened = clerk.begin_exchange(prepared.request, intended_ns)
        try:
            stamp = self._exchange_bytes(data, reader, deadline_ns)
        except BaseException:
            self.close()
            reader.give_up(TransportError(code=ErrorCode.ABANDONED, detail="the run ended"))
            opened.complete(reader.response, reader.error, None, reader.faults)
            raise
        response, faults = reader.response, reader.faults
        arrived_ns = None
        if stamp is not None:
            arrived_ns = self._traffic.clock_converter.to_monotonic(stamp, after_ns=opened.sent_ns)
        if not (reader.keep and self._keep_alive):
            self.close()
        if self._unasked:
            faults, self._unasked = (*self._unasked, *faults), ()
        if reader.error is None:
            self.consecutive_failures = 0
            assert response is not None
            if len(response.body) > MAX_UNSLICED_BODY_BYTES:
                return opened.complete_in_slices(response, _pause_between_slices, arrived_ns, faults)
            exchange = opened.complete(response, None, arrived_ns, faults)
            self._used_ns = exchange.received_ns
            return exchange
        if used and reader.wire_bytes == 0 and self._was_closing(reader.error, opened.sent_ns):
            self._traffic.idle_closes += 1
            self._traffic.has_odd_closes = True
            return opened.complete(None, reader.error, arrived_ns, (*faults, fault(UNANNOUNCED_CLOSE)))
        self.consecutive_failures += 1
        return opened.complete(response, reader.error, arrived_ns, faults)

    @staticmethod
    def _was_closing(error: TransportError, sent_ns: int) -> bool:
        """Whether the server had probably closed a used connection before the request came."""
        return error.code is ErrorCode.RESET and time.monotonic_ns() - sent_ns < MAX_IDLE_CLOSE_DELAY_S * 1e9

    def close(self) -> None:
        """Close the socket, if there is one; the next request takes a new one."""
        sock, self._socket = self._socket, None
        gate, self._readiness = self._readiness, None
        self._raw = None
        self._used_ns = 0
        if gate is not None:
            gate.close()
        if sock is not None:
            sock.close()

    @property
    def backoff_s(self) -> float:
        """How long to wait before the next request: 0 unless the last one failed."""
        if self.consecutive_failures == 0:
            return 0.0
        first, longest = BACKOFF_RANGE_S
        return min(longest, first * 2.0 ** min(self.consecutive_failures - 1, 16)) * random.uniform(0.5, 1.0)  # noqa: S311

    # -- the socket ---------------------------------------------------------------------------------------------------

    def _connect(
        self, clerk: SliceableExchangeOpener, prepared: PreparedRequest, intended_ns: int | None, deadline_ns: int
    ) -> Exchange | None:
        """Connect; if that fails, returns the exchange of the unsent request, which says why."""
        try:
            self._open(deadline_ns)
        except (OSError, ValueError) as error:
            self.close()
            failure = classify_transport_error(error)
            ticket = clerk.begin_exchange(prepared.request, intended_ns)
            exchange = ticket.complete(None, failure)
            self.consecutive_failures += 1
            return exchange
        except BaseException:
            self.close()
            raise
        self._traffic.connects += 1
        return None

    def _open(self, deadline_ns: int) -> None:
        """Connect to the first address that accepts; if none does, the last one's error is raised."""
        address = self._address
        failure: OSError = ConnectionError("no address")
        for each, share_s in address.attempts(_remaining_s(deadline_ns)):
            try:
                sock = self._connect_to(each, share_s)
                break
            except OSError as error:
                failure = error
                self.close()
        else:
            raise failure
        address.prefer(each)
        self._used = False
        self._has_kernel_timestamps = address.tls is None and stamps.enable_timestamps(sock)
        if address.tls is not None:
            sock.settimeout(_remaining_s(deadline_ns))
            began_ns = time.monotonic_ns()
            self._socket = address.tls.wrap_socket(sock, server_hostname=address.host)
            self._traffic.tls_times.record(time.monotonic_ns() - began_ns)
        if address.tls is None:  # with TLS, readable bytes need not be a response
            self._raw = sock._sock
            self._readiness = ReadinessWaiter(sock.fileno())
        self._poll = _poll()
        self._poll.register(self._socket.fileno(), _POLLIN)

    def _connect_to(self, address: SocketAddress, timeout_s: float | None) -> Any:  # Any: a gevent socket
        sock = socket.socket(address.family, plain_socket.SOCK_STREAM)  # type: ignore[attr-defined]  # gevent has no types for it
        self._socket = sock
        sock.setsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_NODELAY, 1)
        sock.settimeout(timeout_s)
        began_ns = time.monotonic_ns()
        sock.connect(address.sockaddr)
        self._traffic.connect_times.record(time.monotonic_ns() - began_ns)
        if (tunnel := self._address.tunnel_request()) is not None:
            sock.sendall(tunnel.request_bytes)
            while not tunnel.feed(sock.recv(UNASKED_BYTES)):
                pass
        return sock

    def _has_no_stray_data(self) -> bool:
        """Whether an idle connection is unchanged: neither closed nor with stray bytes."""
        if not self._poll.poll(0):
            return True
        self._socket.settimeout(0.0)
        try:
            first = self._socket.recv(UNASKED_BYTES)
        except (BlockingIOError, plain_ssl.SSLWantReadError, TimeoutError):
            return True  # a session ticket of TLS, not data
        except OSError:
            return False
        if first:
            self._traffic.unsolicited += 1
            self._traffic.has_odd_closes = True
            self._unasked = _unasked_faults(first)
        return False

    def _exchange_bytes(self, data: bytes, reader: ResponseReader, deadline_ns: int) -> int | None:
        """Write the request and read its response; returns when the kernel had the last bytes."""
        traffic = self._traffic
        stamp: int | None = None
        held = 0
        try:
            self._write_request(data, deadline_ns)
            traffic.sent_bytes += len(data)
            stamp = self._receive(reader, None, deadline_ns)
            while not reader.over:
                traffic.buffered_body_bytes += reader.body_bytes - held
                held = reader.body_bytes
                if traffic.buffered_body_bytes > self._limit_bytes:
                    detail = f"the bodies being read exceed {self._limit_bytes} bytes together"
                    reader.give_up(TransportError(code=ErrorCode.ABANDONED, detail=detail))
                    break
                stamp = self._receive(reader, reader.buffer(), deadline_ns)
        except TimeoutError:
            reader.give_up(reader.too_late(self._timeout_s))
        except OSError as error:
            reader.give_up(classify_transport_error(error))
        finally:
            if held:
                traffic.buffered_body_bytes -= held
            traffic.received_bytes += reader.wire_bytes
        return stamp

    def _write_request(self, data: bytes, deadline_ns: int) -> None:
        check_bytes_allowed(data)
        data = self._address.bytes_to_write(data)
        raw, sent = self._raw, 0
        if raw is not None:
            try:
                sent = raw.send(data)
            except BlockingIOError:
                pass
            if sent == len(data):
                return
        sock = self._socket
        sock.settimeout(_remaining_s(deadline_ns))
        sock.sendall(data[sent:])

    def _receive(self, reader: ResponseReader, view: memoryview | None, deadline_ns: int) -> int | None:
        """Pass some bytes, or the end, to a reader; returns when the kernel had them."""
        raw, gate = self._raw, self._readiness
        room = self._traffic.receive_buffer if view is None else view
        stamp: int | None = None
        if gate is None:
            self._socket.settimeout(_remaining_s(deadline_ns))
            size = self._socket.recv_into(room)
        else:
            while True:
                # The response to a request that was just sent is not there yet, so waiting first saves a useless call.
                gate.wait(deadline_ns)
                try:
                    if self._has_kernel_timestamps:
                        size, ancillary, _, _ = raw.recvmsg_into((room,), stamps.ANCILLARY_BUFFER_BYTES)
                        stamp = stamps.read_timestamp(ancillary)
                    else:
                        size = raw.recv_into(room)
                    break
                except BlockingIOError:
                    continue
        if not size:
            reader.end()
        elif view is None:
            reader.feed(room[:size])
        else:
            reader.advance(size)
        return stamp


def _unasked_faults(first: bytes) -> tuple[FramingFault, ...]:
    """The faults that these bytes on an idle connection mean."""
    if not first.strip(b"\r\n"):
        return (fault("blank_line", "a blank line came on an idle connection"),)
    if first[:7] == b"HTTP/1." and first[9:12] == b"408":
        return ()  # "408 Request Timeout" is how some servers say that they close an idle connection
    return (fault("unasked", f"bytes came on an idle connection: {excerpt(first)}"),)


def _remaining_s(deadline_ns: int) -> float:
    left_ns = deadline_ns - time.monotonic_ns()
    if left_ns <= 0:
        raise TimeoutError
    return left_ns / 1e9


def _pause_between_slices() -> None:
    with gevent.Timeout(SLICE_PAUSE_S, False):
        gevent.idle()
