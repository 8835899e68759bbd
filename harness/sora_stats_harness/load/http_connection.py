"""
One connection to the server, kept alive, over which one request goes at a time.

An interval may be widened but never narrowed, and no response may ever be taken for that of another request. So the time of
sending is taken right before the first byte is written; a connection that shows anything out of the ordinary (a time-out,
a cut, bytes that nobody asked for) is closed and never used again; and a request that may have been read is never sent
twice. One deadline spans the whole exchange, connecting included: a limit for each read would let a slow drip last.
"""

from __future__ import annotations

import random
import socket as plain_socket
import ssl as plain_ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import certifi
import gevent
from gevent import monkey, socket, ssl

from ..api.errors import UsageError
from ..api.exchange import ErrorCode, Exchange, Request, Response, TransportError
from ..api.transport_errors import classify_transport_error, describe_error
from ..probe.prober import MAX_RESPONSE_BODY_BYTES
from . import kernel_timestamps as stamps
from .histogram import Histogram
from .prepared_request import PreparedRequest
from .readiness import ReadinessWaiter
from .response_parser import ResponseParser

MAX_UNSLICED_BODY_BYTES: Final = 256 * 1024
"""Responses larger than this are judged in slices, so that one scraper does not spoil the latencies of all others."""

SLICE_PAUSE_S: Final = 0.02
"""Between two slices at most: a loop that is never idle would put the rest off for ever."""

MAX_IDLE_CLOSE_DELAY_S: Final = 1.0
"""
A used connection that closes so soon after a request was written, and without a byte, had probably closed before it came.
"""

MIN_IDLE_BEFORE_CHECK_NS: Final = 50_000
"""
So soon after a response its connection is not looked at, which costs as much as receiving does: what comes in that time
may as well come after the look. Of a server that was seen to close unasked, or to say something, each is.
"""

BACKOFF_RANGE_S: Final = (0.05, 3.0)
"""First and longest rest after a failure; it doubles, and a random half of it is left out."""

RECEIVE_BYTES: Final = 256 * 1024

TLS_RECEIVE_BYTES: Final = 16 * 1024
"""A read from behind TLS gives one record at most, which is no larger."""

_poll = monkey.get_original("select", "poll")
_POLLIN: Final = 1


class OpenExchange(Protocol):
    """An open request, as a judge hands it out."""

    def complete(
        self, response: Response | None = None, error: TransportError | None = None, arrived_ns: int | None = None
    ) -> Exchange:
        """Take the time of receipt, and judge."""

    def complete_in_slices(
        self, response: Response, pause: Callable[[], None], arrived_ns: int | None = None
    ) -> Exchange:
        """The same for a large response, with pauses."""

    @property
    def sent_ns(self) -> int:
        """When it was taken."""


class ExchangeOpener(Protocol):
    """Hands out tickets: a judge."""

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> OpenExchange:
        """Take the time of sending."""


@dataclass(slots=True)
class TransportStats:
    """What all connections of a run did, in sum."""

    sent_bytes: int = 0
    received_bytes: int = 0
    connects: int = 0
    idle_closes: int = 0
    """Requests that met a kept-alive connection which the server was closing."""
    unsolicited: int = 0
    """Idle connections on which bytes came that nobody had asked for."""
    buffered_body_bytes: int = 0
    """Of all bodies being read now."""
    receive_buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(RECEIVE_BYTES)))
    """
    Into which all of them receive, since none runs between another's receiving and its parsing: a piece of memory for
    each receipt, large enough for any, has its pages fetched and given back every time: measured, almost half of what an
    response costs before it is judged.
    """
    clock_converter: stamps.ClockConverter = field(default_factory=stamps.ClockConverter)
    """Of all of them: the distance between the clocks is measured anew every 100 ms, and some are used less often."""
    connect_times: Histogram = field(default_factory=Histogram)
    """Times to connect, without TLS: never part of service time."""
    tls_times: Histogram = field(default_factory=Histogram)
    """Times of TLS handshakes."""

    def serialize(self) -> dict[str, Any]:  # Any: plain values
        """The state as plain values, for a message."""
        counts = {name: getattr(self, name) for name in _SUMMED_STATS}
        return counts | {"connect": self.connect_times.serialize(), "tls": self.tls_times.serialize()}

    def add_serialized(self, state: Mapping[str, Any]) -> None:  # Any: as above
        """
        Add what another process did.

        Raises:
            KeyError, TypeError, ValueError: It is no such state.
        """
        for name in _SUMMED_STATS:
            setattr(self, name, getattr(self, name) + int(state[name]))
        self.connect_times.merge(Histogram.deserialize(state["connect"]))
        self.tls_times.merge(Histogram.deserialize(state["tls"]))


_SUMMED_STATS: Final = ("sent_bytes", "received_bytes", "connects", "idle_closes", "stray")
"""Of `TransportStats` what adds up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """Where a server listens; its name is resolved once, so that no look-up is ever part of a latency."""

    server: str
    host: str
    family: int
    sockaddr: tuple[Any, ...]  # Any: a host and a port, and for IPv6 two numbers more
    tls: plain_ssl.SSLContext | None

    @property
    def display_address(self) -> str:
        """The address itself."""
        return f"{self.sockaddr[0]}:{self.sockaddr[1]}"


def resolve_server(
    server: str,
    *,
    ca_file: str | None = None,
    insecure: bool = False,
    at: tuple[int, tuple[str | int, ...]] | None = None,
) -> ServerAddress | TransportError:
    """
    Look a server's name up.

    Args:
        server: Scheme, host and port, as `client.server_of` gives them.
        ca_file: PEM file of the authorities to trust instead of the usual ones.
        insecure: Whether to accept any certificate.
        at: Family and address, where another process has looked it up.

    Raises:
        UsageError: `ca_file` cannot be read.
    """
    parts = urlsplit(server)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    tls = _tls_context(ca_file, insecure) if parts.scheme == "https" else None
    if at is not None:
        return ServerAddress(server=server, host=host, family=at[0], sockaddr=at[1], tls=tls)
    try:
        family, _, _, _, sockaddr = plain_socket.getaddrinfo(host, port, type=plain_socket.SOCK_STREAM)[0]
    except OSError as error:
        return TransportError(code=ErrorCode.DNS, detail=describe_error(error))
    return ServerAddress(server=server, host=host, family=family, sockaddr=sockaddr, tls=tls)


def _tls_context(ca_file: str | None, insecure: bool) -> plain_ssl.SSLContext:
    # gevent's own context, whether or not anybody has patched ssl: any other would block the loop in each handshake
    context: plain_ssl.SSLContext = ssl.SSLContext(plain_ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = plain_ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(ca_file or certifi.where())
    except (OSError, ValueError) as error:
        raise UsageError(f"--ca-file {ca_file} cannot be read as certificates: {describe_error(error)}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = plain_ssl.CERT_NONE
    return context


class HttpConnection:
    """
    Sends requests one after the other, over one socket for as long as the server keeps it; for one greenlet.

    Args:
        address: Where to.
        traffic: Is added to.
        timeout_s: For a whole exchange, connecting included.
        limit_bytes: Of one body, and of all bodies of a run that are being read at one time.
        keep_alive: Whether to use a socket more than once.
    """

    def __init__(
        self,
        address: ServerAddress,
        traffic: TransportStats,
        *,
        timeout_s: float = 5.0,
        limit_bytes: int = MAX_RESPONSE_BODY_BYTES,
        keep_alive: bool = True,
    ) -> None:
        self._address = address
        self._traffic = traffic
        self._timeout_s = timeout_s
        self._timeout_ns = int(timeout_s * 1e9)
        self._limit_bytes = limit_bytes
        self._keep_alive = keep_alive
        self._socket: Any = None  # Any: a gevent socket, plain or TLS, of which gevent has no types
        self._raw: Any = None  # Any: the system's own socket below gevent's, which never blocks
        self._readiness: ReadinessWaiter | None = None
        self._poll: Any = None  # Any: the system's poll object, of which typeshed has no name on every platform
        self._has_kernel_timestamps = False
        self._used = False
        self._parser = ResponseParser()
        self._used_ns = 0
        """When the last response had come."""
        self.consecutive_failures = 0
        """Exchanges in a row that have failed."""

    def send(self, clerk: ExchangeOpener, prepared: PreparedRequest, intended_ns: int | None = None) -> Exchange:
        """
        Send a request, wait for its response, and have the exchange judged.

        A greenlet killed in here ends its exchange as abandoned. Whatever the server does is in the exchange, never an
        exception.
        """
        now_ns = time.monotonic_ns()
        deadline_ns = now_ns + self._timeout_ns
        if self._socket is not None and self._needs_idle_check(now_ns) and not self._has_no_stray_data():
            self.close()
        if self._socket is None and (failed := self._connect(clerk, prepared, intended_ns, deadline_ns)) is not None:
            return failed
        sample = self._parser
        sample.reset()
        used = self._used
        self._used = True
        ticket = clerk.begin_exchange(prepared.request, intended_ns)
        try:
            error, stamp = self._exchange_bytes(prepared.request_bytes, sample, deadline_ns)
            self._traffic.received_bytes += sample.wire_bytes
        except BaseException:
            self.close()
            ticket.complete(sample.response(), TransportError(code=ErrorCode.ABANDONED, detail="the run ended"))
            raise
        response = sample.response()
        arrived_ns = (
            None if stamp is None else self._traffic.clock_converter.to_monotonic(stamp, after_ns=ticket.sent_ns)
        )
        if error is None and not sample.surplus:
            if not (sample.keep and self._keep_alive):
                self.close()
            self.consecutive_failures = 0
            assert response is not None
            if len(response.body) > MAX_UNSLICED_BODY_BYTES:
                return ticket.complete_in_slices(response, _pause_between_slices, arrived_ns)
            exchange = ticket.complete(response, None, arrived_ns)
            self._used_ns = exchange.received_ns
            return exchange
        self.close()
        if error is None:
            error = TransportError(code=ErrorCode.PROTOCOL, detail="there were bytes behind the end of the response")
        elif (
            used
            and sample.wire_bytes == 0
            and error.code is ErrorCode.RESET
            and time.monotonic_ns() - ticket.sent_ns < MAX_IDLE_CLOSE_DELAY_S * 1e9
        ):
            self._traffic.idle_closes += 1
            error = TransportError(code=ErrorCode.ABANDONED, detail="met a kept-alive connection that was being closed")
            return ticket.complete(response, error, arrived_ns)
        exchange = ticket.complete(response, error, arrived_ns)
        self.consecutive_failures += 1
        return exchange

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
        self, clerk: ExchangeOpener, prepared: PreparedRequest, intended_ns: int | None, deadline_ns: int
    ) -> Exchange | None:
        """Connect; where that fails the request was never sent, and its exchange says why."""
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
        address = self._address
        sock = socket.socket(address.family, plain_socket.SOCK_STREAM)  # type: ignore[attr-defined]  # gevent has no types for it
        self._socket = sock
        self._used = False
        self._parser = ResponseParser()
        sock.setsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_NODELAY, 1)
        sock.settimeout(_remaining_s(deadline_ns))
        began_ns = time.monotonic_ns()
        sock.connect(address.sockaddr)
        self._traffic.connect_times.record(time.monotonic_ns() - began_ns)
        self._has_kernel_timestamps = address.tls is None and stamps.enable_timestamps(sock)
        if address.tls is not None:
            sock.settimeout(_remaining_s(deadline_ns))
            began_ns = time.monotonic_ns()
            self._socket = address.tls.wrap_socket(sock, server_hostname=address.host)
            self._traffic.tls_times.record(time.monotonic_ns() - began_ns)
        if address.tls is None:  # behind TLS what is readable is no response yet
            self._raw = sock._sock
            self._readiness = ReadinessWaiter(sock.fileno())
        self._poll = _poll()
        self._poll.register(self._socket.fileno(), _POLLIN)

    def _needs_idle_check(self, now_ns: int) -> bool:
        traffic = self._traffic
        return now_ns - self._used_ns > MIN_IDLE_BEFORE_CHECK_NS or traffic.idle_closes > 0 or traffic.unsolicited > 0

    def _has_no_stray_data(self) -> bool:
        """Whether nothing has come on an idle connection: neither its end nor bytes of whatever kind."""
        if not self._poll.poll(0):
            return True
        self._socket.settimeout(0.0)
        try:
            if not self._socket.recv(1):
                return False
        except (BlockingIOError, plain_ssl.SSLWantReadError, TimeoutError):
            return True  # a session ticket of TLS, no data
        except OSError:
            return False
        self._traffic.unsolicited += 1
        return False

    def _exchange_bytes(
        self, data: bytes, sample: ResponseParser, deadline_ns: int
    ) -> tuple[TransportError | None, int | None]:
        """Write the request and read its response; an error, and when the kernel had the last bytes."""
        stamp: int | None = None
        held = 0
        try:
            self._write_request(data, deadline_ns)
            self._traffic.sent_bytes += len(data)
            while not sample.over:
                piece, stamp = self._receive(deadline_ns)
                if not piece:
                    return sample.finish(), stamp
                if (error := sample.feed(piece)) is not None:
                    return error, stamp
                if not sample.over:
                    self._traffic.buffered_body_bytes += sample.body_bytes - held
                    held = sample.body_bytes
                    if (error := self._body_limit_error(sample)) is not None:
                        return error, stamp
        except TimeoutError:
            so_far = (
                f" (status {sample.status}, {sample.body_bytes} bytes of body so far)"
                if sample.is_head_complete
                else ""
            )
            detail = f"no complete response within {self._timeout_s:g} s{so_far}"
            return TransportError(code=ErrorCode.TIMEOUT, detail=detail), stamp
        except OSError as error:
            if sample.over:
                return None, stamp
            return classify_transport_error(error), stamp
        finally:
            self._traffic.buffered_body_bytes -= held
        small = sample.wire_bytes <= MAX_UNSLICED_BODY_BYTES and self._limit_bytes >= MAX_UNSLICED_BODY_BYTES
        return None if small else self._body_limit_error(sample), stamp

    def _write_request(self, data: bytes, deadline_ns: int) -> None:
        sock = self._socket
        sent = 0
        if self._raw is not None:
            try:
                sent = self._raw.send(data)
            except BlockingIOError:
                pass
            if sent == len(data):
                return
        sock.settimeout(_remaining_s(deadline_ns))
        sock.sendall(data[sent:])

    def _receive(self, deadline_ns: int) -> tuple[bytes | memoryview, int | None]:
        """Some bytes, none at the end, and when the kernel had them; good until anybody reads again."""
        raw, gate = self._raw, self._readiness
        if gate is None:
            self._socket.settimeout(_remaining_s(deadline_ns))
            return self._socket.recv(TLS_RECEIVE_BYTES), None
        room = self._traffic.receive_buffer
        while True:
            # The response to what was just sent is not there yet: waiting first saves a call in vain.
            gate.wait(deadline_ns)
            try:
                if not self._has_kernel_timestamps:
                    return room[: raw.recv_into(room)], None
                size, ancillary, _, _ = raw.recvmsg_into((room,), stamps.ANCILLARY_BUFFER_BYTES)
            except BlockingIOError:
                continue
            return room[:size], stamps.read_timestamp(ancillary)

    def _body_limit_error(self, sample: ResponseParser) -> TransportError | None:
        limit = self._limit_bytes
        if sample.body_bytes > limit or sample.wire_bytes > 2 * limit + MAX_UNSLICED_BODY_BYTES:
            return TransportError(code=ErrorCode.TOO_LARGE, detail=f"the body exceeds {limit} bytes")
        if self._traffic.buffered_body_bytes > limit:
            detail = f"the bodies being read exceed {limit} bytes together"
            return TransportError(code=ErrorCode.ABANDONED, detail=detail)
        return None


def _remaining_s(deadline_ns: int) -> float:
    left_ns = deadline_ns - time.monotonic_ns()
    if left_ns <= 0:
        raise TimeoutError
    return left_ns / 1e9


def _pause_between_slices() -> None:
    with gevent.Timeout(SLICE_PAUSE_S, False):
        gevent.idle()
