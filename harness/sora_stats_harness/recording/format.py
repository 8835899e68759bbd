"""
The lines of a recording: encodes an exchange as a line of JSON, and decodes the same exchange, to the byte.

A recording is a header, the exchanges, and an end. The structs below are the parser and, through `recording_schema`,
the published JSON Schema. Bytes that are not text are in base64; whatever must not be written down is left out and
marked.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from ..api.errors import RecordingError
from ..api.exchange import (
    TARGET_OF_OPERATION,
    ErrorCode,
    Excerpt,
    Exchange,
    Headers,
    Request,
    RequestArguments,
    Response,
    Target,
    TransportError,
)
from ..api.http1_faults import FRAMING_RULES, FramingFault
from ..api.secret_redaction import ALLOWED_REQUEST_HEADERS, ALLOWED_RESPONSE_HEADERS, Secrets, redact_headers
from ..api.strict_json import MAX_DEPTH

EXCHANGE_OVERHEAD_BYTES: Final = 1024
"""Roughly the memory that an exchange takes besides its bodies."""

RECORDING_FORMAT: Final = "sora-harness/recording/2"
"""`format` in the header line."""

Nanoseconds = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""A time on the monotonic clock that the line names."""

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]

Operation = Literal["GetStatsConnection", "GetStatsClient", "GetStatsAllConnections"]

HeaderField = tuple[str, str | None]
"""Name and value; the value is null if it was not kept."""


class RecordingHeader(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a recording: one run."""

    format: str = "sora-harness/recording/1"
    """Version 1 had no such key."""
    run: str
    subject_kind: Literal["server", "simulator", "recording"]
    subject: str
    edition: str
    harness_version: str
    options: dict[str, Any] = {}  # Any: whatever a command's options hold, as JSON


class RecordingEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Last line of a complete recording: the run's counts, and why it ended if it ended early."""

    end: str
    """The id of the run."""
    sent: Count
    judged: Count
    errors: Count
    abandoned: Count
    """`judged`, `errors` and `abandoned` add up to `sent`."""
    ended: Literal["interrupted", "aborted"] | None = None
    """Whether the user or the run itself ended it early; absent after a planned end."""
    why: str | None = None
    """Why it ended itself, in one line; an interrupted run may have had a reason as well."""
    began_ns: Nanoseconds | None = None
    """When a load run began, on the clock of its exchanges: its warm-up and timeline count from then."""
    ended_ns: Nanoseconds | None = None
    """When it stopped sending."""
    began_at_ns: Nanoseconds | None = None
    """When it began, by the wall clock, since 1970."""
    due: Count | None = None
    """Requests that its schedule had due by its end; None in a closed model."""
    limited: str | None = None
    """How the generator limited the run; None if it did not."""

    @property
    def interrupted(self) -> bool:
        """Whether the user ended the run."""
        return self.ended == "interrupted"

    @property
    def aborted(self) -> str | None:
        """Why the run ended itself; None if it did not."""
        return self.why or ("the run ended early" if self.ended == "aborted" else None)


class RecordedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent; at most one of `body` and `body_base64`."""

    method: str
    path: str
    headers: tuple[HeaderField, ...]
    body: str | None = None
    body_base64: str | UnsetType = UNSET
    withheld: bool | UnsetType = UNSET
    """True if the body was left out because it contains a secret."""


class RecordedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What the server sent back; exactly one of `json`, `body`, `body_base64` and `withheld`."""

    status: int
    headers: tuple[HeaderField, ...]
    json: Raw | UnsetType = UNSET
    """The body, byte for byte, if it is strict JSON on one line without white space around it."""
    body: str | UnsetType = UNSET
    """The body, if it is any other text."""
    body_base64: str | UnsetType = UNSET
    """The body, if it is not UTF-8."""
    withheld: bool | UnsetType = UNSET
    """True if the body was left out because it contains a secret."""
    complete: bool = True
    excerpt: Excerpt | UnsetType = UNSET
    """In evidence, if the body is only a part of the one that came: which parts, and what the whole was."""


class RecordedError(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no complete response."""

    code: ErrorCode
    detail: str


class RecordedExchange(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange; `(run, seq)` is unique, and lines may stand in any order."""

    seq: Count
    server: str
    target: Operation | None
    probe: str | None = None
    request: RecordedRequest
    clock: str
    intended_ns: Nanoseconds | None = None
    sent_ns: Nanoseconds
    received_ns: Nanoseconds | None
    arrived_ns: Nanoseconds | None = None
    sent_at: str
    response: RecordedResponse | None = None
    error: RecordedError | None = None
    faults: tuple[FramingFault, ...] | UnsetType = UNSET
    """Deviations from HTTP/1.1, which the response doesn't show; absent if there are none."""


class DamagedLineError(ValueError):
    """A line is not a line of a recording."""


RecordingLine = RecordingHeader | RecordedExchange | RecordingEnd

_ENCODER: Final = msgspec.json.Encoder()
_EXCHANGE_DECODER: Final = msgspec.json.Decoder(RecordedExchange)
_OTHER_DECODERS: Final = (msgspec.json.Decoder(RecordingHeader), msgspec.json.Decoder(RecordingEnd))
_ANY_DECODER: Final = msgspec.json.Decoder(Raw)

_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STRING_REGEX: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def encode_line(line: RecordingLine) -> bytes:
    """The bytes of a line, with its line break."""
    return _ENCODER.encode(line) + b"\n"


def decode_line(line: bytes) -> RecordingLine:
    """
    Read one line.

    Raises:
        DamagedLineError: It is not UTF-8, not JSON, or lacks a required key.
    """
    try:
        line.decode("utf-8")  # msgspec doesn't check the encoding of raw JSON
        return _EXCHANGE_DECODER.decode(line)
    except RecursionError:
        raise DamagedLineError("nested too deep") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        problem = str(error)
    for decoder in _OTHER_DECODERS:
        try:
            found = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(found, RecordingEnd) and found.sent != found.judged + found.errors + found.abandoned:
            raise DamagedLineError("the counts of the end line contradict each other")
        return found
    raise DamagedLineError(problem)


def check_recording_version(header: RecordingHeader, name: str) -> None:
    """
    Refuse a recording of another version.

    Raises:
        RecordingError: It has another format; the message calls the file `name`.
    """
    if header.format != RECORDING_FORMAT:
        raise RecordingError(
            f"{name} has the format {header.format!r}, and this version reads {RECORDING_FORMAT!r}: record it again, "
            f"or check it with the version that wrote it"
        )


def exchange_to_line(exchange: Exchange, secrets: Secrets) -> RecordedExchange:
    """Make an exchange's line; costs about 14 us for a response of 13 KB, and 30 us for each secret."""
    request, response, error = exchange.request, exchange.response, exchange.error
    withheld = request.body is not None and secrets.occur_in(request.body)
    return RecordedExchange(
        seq=exchange.seq,
        server=redact_text(request.server, secrets),
        target=operation_name(request),
        probe=request.probe,
        request=request_to_line(request, secrets, withheld),
        clock=exchange.clock,
        intended_ns=exchange.intended_ns,
        sent_ns=exchange.sent_ns,
        received_ns=exchange.received_ns,
        arrived_ns=exchange.arrived_ns,
        sent_at=exchange.sent_at_text,
        response=_response_to_line(response, secrets, withheld) if response is not None else None,
        error=RecordedError(code=error.code, detail=redact_text(error.detail, secrets)) if error is not None else None,
        faults=tuple(FramingFault(code=each.code, text=redact_text(each.text, secrets)) for each in exchange.faults)
        or UNSET,
    )


def _response_to_line(response: Response, secrets: Secrets, withheld: bool) -> RecordedResponse:
    # without its request a response cannot be judged
    withheld = withheld or response.withheld or secrets.occur_in(response.body)
    return RecordedResponse(
        status=response.status,
        headers=headers_to_line(response.headers, ALLOWED_RESPONSE_HEADERS, secrets),
        complete=response.complete,
        excerpt=UNSET if withheld or response.excerpt is None else response.excerpt,
        **encode_response_body(None if withheld else response.body),
    )


def line_to_exchange(line: RecordedExchange, run: str) -> Exchange:
    """
    Make the exchange of a line; header values that were not kept are empty.

    Raises:
        DamagedLineError: Its times or bodies contradict the format.
    """
    received_ns = line.received_ns
    if received_ns is None:
        if line.response is not None:
            raise DamagedLineError("a response without a time of receipt")
        received_ns = line.sent_ns
    if received_ns < line.sent_ns:
        raise DamagedLineError("received before it was sent")
    faults = () if line.faults is UNSET else line.faults
    if unknown := [each.code for each in faults if each.code not in FRAMING_RULES]:
        raise DamagedLineError(f"there is no framing fault {unknown[0]!r}")
    target = TARGET_OF_OPERATION[line.target] if line.target is not None else None
    body = _read_request_body(line.request)
    return Exchange(
        run=run,
        seq=line.seq,
        request=Request(
            server=line.server,
            headers=_header_values(line.request.headers),
            body=body,
            target=target,
            asked=parse_request_arguments(target, body),
            probe=line.probe,
            method=line.request.method,
            path=line.request.path,
        ),
        clock=line.clock,
        sent_ns=line.sent_ns,
        received_ns=received_ns,
        sent_at=line.sent_at,
        response=_read_response(line.response) if line.response is not None else None,
        error=TransportError(code=line.error.code, detail=line.error.detail) if line.error is not None else None,
        intended_ns=line.intended_ns,
        arrived_ns=line.arrived_ns,
        faults=faults,
    )


def parse_request_arguments(target: Target | None, body: bytes | None) -> RequestArguments:
    """The arguments in a valid request's body; empty without a body."""
    if target is None or not body:
        return RequestArguments()
    try:
        arguments = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return RequestArguments()
    if not isinstance(arguments, dict):
        return RequestArguments()
    if target is Target.ALL:
        return RequestArguments(local=arguments.get("local") is not False)
    key = "connection_id" if target is Target.CONNECTION else "client_id"
    channel_id, other = (
        value if isinstance(value := arguments.get(name), str) else None for name in ("channel_id", key)
    )
    if target is Target.CONNECTION:
        return RequestArguments(channel_id=channel_id, connection_id=other)
    return RequestArguments(channel_id=channel_id, client_id=other)


def encode_response_body(body: bytes | None) -> dict[str, Any]:
    """
    Encode a response's body: the one key of `RecordedResponse` that holds it, and its value.

    A body of None is withheld.
    """
    if body is None:
        return {"withheld": True}
    if is_one_line_of_json(body):
        return {"json": Raw(body)}
    return _text_or_base64(body)


def _text_or_base64(body: bytes) -> dict[str, Any]:
    try:
        return {"body": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"body_base64": b64encode(body).decode("ascii")}


def recording_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one line of a recording, for schemas/recording.json."""
    _, components = msgspec.json.schema_components(
        (RecordingHeader, RecordedExchange, RecordingEnd), ref_template="#/$defs/{name}"
    )
    components["RecordingHeader"]["properties"]["format"] = {"const": RECORDING_FORMAT}
    components["RecordingHeader"]["required"].insert(0, "format")
    components["FramingFault"]["properties"]["code"]["enum"] = list(FRAMING_RULES)
    components["RecordedResponse"]["oneOf"] = [
        {"required": [key]} for key in ("json", "body", "body_base64", "withheld")
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:sora-stats-harness:recording",
        "title": "One line of a recording",
        "description": "The header comes first, the end last, and exchanges in any order between them.",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in ("RecordingHeader", "RecordedExchange", "RecordingEnd")],
        "$defs": components,
    }


def memory_of(exchange: Exchange) -> int:
    """Roughly the memory that an exchange takes."""
    response, request_body = exchange.response, exchange.request.body
    return (
        EXCHANGE_OVERHEAD_BYTES
        + (len(response.body) if response is not None else 0)
        + (len(request_body) if request_body is not None else 0)
    )


def is_one_line_of_json(body: bytes) -> bool:
    """
    Whether a body is strict JSON on one line, without white space around it, and not nested too deeply to be read.
    """
    if b"\n" in body or b"\r" in body or body[:1] in _WHITESPACE or body[-1:] in _WHITESPACE:
        return False
    try:
        if not body.isascii():
            body.decode("utf-8")
        _ANY_DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return not _is_deep(body)


def _is_deep(body: bytes) -> bool:
    """Whether strict JSON is nested deeper than the readers accept, which must not depend on this machine's stack."""
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:  # as in a response about one connection
        return False
    depth = deepest = 0
    for bracket in _STRING_REGEX.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH


_WHITESPACE: Final = (b"", b" ", b"\t")


def operation_name(request: Request) -> Operation | None:
    return request.target.operation if request.target is not None else None  # type: ignore[return-value]  # the same names


def request_to_line(request: Request, secrets: Secrets, withheld: bool) -> RecordedRequest:
    return RecordedRequest(
        method=redact_text(request.method, secrets),
        path=redact_text(request.path, secrets),
        headers=headers_to_line(request.headers, ALLOWED_REQUEST_HEADERS, secrets),
        **({"withheld": True} if withheld else {} if request.body is None else _text_or_base64(request.body)),
    )


def _read_request_body(part: RecordedRequest) -> bytes | None:
    if part.body_base64 is not UNSET:
        return _decode_base64(part.body_base64)
    return part.body.encode("utf-8") if part.body is not None else None


def _read_response(part: RecordedResponse) -> Response:
    given = [value for value in (part.json, part.body, part.body_base64, part.withheld) if value is not UNSET]
    if len(given) != 1 or given[0] is False:
        raise DamagedLineError("a response needs exactly one of json, body, body_base64 and withheld")
    value = given[0]
    withheld = value is True
    if isinstance(value, Raw):
        body = bytes(value)
    elif part.body is value:
        body = part.body.encode("utf-8")
    elif part.body_base64 is value:
        body = _decode_base64(part.body_base64)
    else:
        body = b""
    return Response(
        status=part.status,
        headers=_header_values(part.headers),
        body=body,
        complete=part.complete,
        withheld=withheld,
        excerpt=None if part.excerpt is UNSET else part.excerpt,
    )


def _decode_base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error as error:
        raise DamagedLineError(f"base64: {error}") from None


def headers_to_line(headers: Headers, allowed: frozenset[str], secrets: Secrets) -> tuple[HeaderField, ...]:
    return tuple(
        (replace_lone_surrogates(name), replace_lone_surrogates(value) if value is not None else None)
        for name, value in redact_headers(headers, allowed, secrets)
    )


def _header_values(headers: Iterable[HeaderField]) -> Headers:
    return tuple((name, value or "") for name, value in headers)


def redact_text(text: str, secrets: Secrets) -> str:
    return replace_lone_surrogates(secrets.redact(text))


def replace_lone_surrogates(text: str) -> str:
    """Replace the lone surrogates that undecodable bytes leave behind, which JSON cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
