"""
The exchange: one request, its response or error, and its times; the judge sees nothing else.

The prober, the load scenarios, a user's own tests and recordings all produce exchanges; the judge cannot tell which.
Structs are frozen and cheap to make (about 0.3 us), since under load there are thousands a second.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Final, Literal, Protocol, TypedDict, Unpack

import msgspec

from .http1_faults import FramingFault
from .utc_time import format_utc_ns

TARGET_HEADER: Final = "x-sora-target"
"""The header that names a request's operation. The name is case-insensitive, the value is not."""

Headers = tuple[tuple[str, str], ...]
"""Header fields in the order of the wire, names as sent."""


def header_values(headers: Headers, name: str) -> list[str]:
    """All values of a header, by its name in lower case."""
    return [value for key, value in headers if key.lower() == name]


class Target(Enum):
    """The three statistics operations; the value is what the header carries."""

    CONNECTION = "Sora_20170529.GetStatsConnection"
    CLIENT = "Sora_20170529.GetStatsClient"
    ALL = "Sora_20171101.GetStatsAllConnections"

    def __init__(self, header: str) -> None:
        self.operation: str = header.partition(".")[2]
        """The name without the service, as in reports and recordings."""
        self.many: bool = self.operation != "GetStatsConnection"
        """Whether the response is an array of connections."""

    # By identity: Enum's own __hash__ is a Python call each time.
    __hash__: Callable[[object], int] = object.__hash__  # type: ignore[assignment]


CONNECTION: Final = Target.CONNECTION
ALL: Final = Target.ALL
"""Shortcuts for code that runs for every sample: looking a member up in its Enum is slow there."""

TARGET_OF_OPERATION: Final = {target.operation: target for target in Target}
"""Each target by the name that recordings and reports use."""


class RequestArguments(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The arguments of a valid request; None for each that it doesn't have."""

    channel_id: str | None = None
    connection_id: str | None = None
    client_id: str | None = None
    local: bool = True
    """True for the connections of the node asked, False for those of every node of the cluster."""


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    What was sent.

    `target` is None for a request that is wrong on purpose; `probe` then is the id of the requirement that it tests.
    `server` is the URL without credentials; it tells one node of a cluster from another.
    """

    server: str
    headers: Headers
    body: bytes | None
    target: Target | None
    asked: RequestArguments = RequestArguments()
    probe: str | None = None
    method: str = "POST"
    path: str = "/"


class ExcerptPart(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where one part of an excerpt stood in the body, in bytes, and in which element of the array, if it is one."""

    offset: int
    length: int
    element: int | None = None


class Excerpt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    Which parts of a body were kept, and what the whole body was.

    Of an array, `connections` keeps some whole elements, and `ids` the `connection_id` of every element; either is an
    array again. `text` keeps one part that may end anywhere, and may be empty.
    """

    of: Literal["connections", "ids", "text"]
    length: int
    """Bytes of the whole body."""
    sha256: str
    """Of the whole body, in hexadecimal."""
    parts: tuple[ExcerptPart, ...] = ()

    def place_of(self, element: int) -> int | None:
        """The index among the kept elements of an element of the whole array; None if it was not kept."""
        places = [part.element for part in self.parts]
        return places.index(element) if element in places else None


class Response(msgspec.Struct, frozen=True, gc=False):
    """
    What the server sent back; `complete` is False if the body ended before its announced length.

    `withheld` is True if a recording left the body out because it contained a secret; then the body can't be judged. In
    evidence, `excerpt` describes the body of which `body` has only parts.
    """

    status: int
    headers: Headers
    body: bytes
    complete: bool = True
    withheld: bool = False
    excerpt: Excerpt | None = None

    @property
    def body_length(self) -> int:
        """Bytes of the whole body."""
        return len(self.body) if self.excerpt is None else self.excerpt.length

    def header(self, name: str) -> str | None:
        """The first value of a header, by its name in lower case."""
        return next(iter(header_values(self.headers, name)), None)

    def has_same_body(self, other: Response) -> bool:
        """Whether the whole bodies are the same bytes, even if only parts of them were kept."""
        if self.body_length != other.body_length:
            return False
        if self.excerpt is None and other.excerpt is None:
            return self.body == other.body
        return self.body_sha256 == other.body_sha256

    @property
    def body_sha256(self) -> str:
        """The SHA-256 of the whole body, in hexadecimal."""
        return hashlib.sha256(self.body).hexdigest() if self.excerpt is None else self.excerpt.sha256


class ErrorCode(Enum):
    """Why there is no complete response."""

    REFUSED = "refused"
    """Nothing listens there."""
    UNREACHABLE = "unreachable"
    """No way leads there: the host or its network cannot be reached."""
    DNS = "dns"
    """The name does not resolve."""
    TIMEOUT = "timeout"
    RESET = "reset"
    """The connection was closed or reset before a complete response."""
    TLS = "tls"
    PROTOCOL = "protocol"
    """The bytes are not HTTP."""
    TOO_LARGE = "too_large"
    CUT = "cut"
    """The body ended before its announced length."""
    ABANDONED = "abandoned"
    """We gave up, because the run ended."""
    LOCAL = "local"
    """This machine could not send: it ran out of file descriptors, ports or memory."""


class TransportError(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why a request has no complete response; `detail` is one line."""

    code: ErrorCode
    detail: str


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """
    One request, its response or error, and its times in nanoseconds of one monotonic clock.

    `sent_ns` was taken before the first byte was written, `received_ns` after the last was read, so the true interval
    lies within. `arrived_ns` is the kernel's time of arrival and `intended_ns` the scheduled start, if known. An
    exchange may have both a partial response and an error. `faults` are the deviations from HTTP/1.1, which `response`
    doesn't show. `(run, seq)` is unique.
    """

    run: str
    seq: int
    request: Request
    clock: str
    sent_ns: int
    received_ns: int
    sent_at: str | int
    """Wall-clock time of sending: RFC 3339 in UTC from a recording; nanoseconds since 1970 live, which costs less."""
    response: Response | None = None
    error: TransportError | None = None
    intended_ns: int | None = None
    arrived_ns: int | None = None
    faults: tuple[FramingFault, ...] = ()

    @property
    def key(self) -> tuple[str, int]:
        """How findings refer to this exchange."""
        return (self.run, self.seq)

    @property
    def sent_at_text(self) -> str:
        """The wall-clock time of sending, RFC 3339 in UTC; empty if it is not known."""
        return format_utc_ns(self.sent_at) if isinstance(self.sent_at, int) else self.sent_at


class OpenExchange(Protocol):
    """A request that was begun and has no outcome yet."""

    def complete(
        self,
        response: Response | None = None,
        error: TransportError | None = None,
        arrived_ns: int | None = None,
        faults: tuple[FramingFault, ...] = (),
    ) -> Exchange:
        """Record the time of receipt, and judge the exchange."""


class ExchangeOpener(Protocol):
    """What a client calls before it sends a request: a judge, or a stand-in for one."""

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> OpenExchange:
        """Record the time of sending."""


class DocumentedArguments(TypedDict, total=False):
    """The documented arguments; None leaves one out."""

    channel_id: str | None
    connection_id: str | None
    client_id: str | None
    local: bool | None


def make_valid_request(
    target: Target, *, server: str, headers: Headers = (), **arguments: Unpack[DocumentedArguments]
) -> Request:
    """
    Build a request as the documentation describes it.

    GetStatsConnection takes `channel_id` and `connection_id`, GetStatsClient `channel_id` and `client_id`,
    GetStatsAllConnections nothing (then there is no body) or `local`. `headers` are sent as well.

    Raises:
        ValueError: An argument that the target needs is missing.

    >>> make_valid_request(Target.ALL, server="http://127.0.0.1:3000", local=False).body
    b'{"local":false}'
    """
    channel_id, local = arguments.get("channel_id"), arguments.get("local")
    connection_id, client_id = arguments.get("connection_id"), arguments.get("client_id")
    body: dict[str, str | bool] = {}
    if target is not Target.ALL:
        key, value = ("connection_id", connection_id) if target is Target.CONNECTION else ("client_id", client_id)
        if channel_id is None or value is None:
            raise ValueError(f"{target.operation} needs channel_id and {key}")
        body = {"channel_id": channel_id, key: value}
    elif local is not None:
        body = {"local": local}
    encoded = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode() if body else None
    content: Headers = (("Content-Type", "application/json"),) if encoded is not None else ()
    return Request(
        server=server,
        headers=((TARGET_HEADER, target.value), *content, *headers),
        body=encoded,
        target=target,
        asked=RequestArguments(
            channel_id=channel_id, connection_id=connection_id, client_id=client_id, local=local is not False
        ),
    )


@cache
def monotonic_clock_id() -> str:
    """
    Name this machine's monotonic clock: boot, time namespace and kind.

    Two times may be compared only if their clocks have the same name. If the platform doesn't tell one boot from
    another, the name contains the process, so that times are never compared wrongly.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    try:
        namespace = str(Path("/proc/self/ns/time").readlink())
    except OSError:
        namespace = "time:-"
    return f"{boot or f'process-{os.getpid()}-{time.time_ns()}'}/{namespace}/monotonic"
