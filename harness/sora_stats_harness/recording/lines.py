"""
The lines of a recording: how an exchange is written down, and read again to the byte.

A header, the exchanges, an end. The structs below are the parser and, through `schema`, the published JSON Schema. What
is in a line that JSON cannot say (bytes that are no text) is in base64; what may not be said is left out and marked.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from ..errors import RecordingError
from ..exchange import OPERATIONS, Answer, Asked, ErrorCode, Exchange, Headers, Request, Target, TransportError
from ..redaction import ALLOWED_ANSWER_HEADERS, ALLOWED_REQUEST_HEADERS, Secrets, redact_headers
from ..strict_json import MAX_DEPTH

VERSION: Final = 1
"""`v` in the header line."""

Nanoseconds = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""Of the monotonic clock that the line names."""

Operation = Literal["GetStatsConnection", "GetStatsClient", "GetStatsAllConnections"]

HeaderField = tuple[str, str | None]
"""Name and value; null where the value was not to be kept."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a recording: one run."""

    v: int
    run: str
    subject_kind: Literal["server", "simulator", "recording"]
    subject: str
    edition: str
    harness_version: str
    options: dict[str, Any] = {}  # Any: whatever a command's options hold, as JSON


class End(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Last line of a recording that is whole: what the run came to, and why where it ended before its time."""

    end: str
    """The run."""
    sent: int
    judged: int
    errors: int
    abandoned: int
    ended: Literal["interrupted", "aborted"] | None = None
    """Who ended it early, its user or it itself; absent where it came to its planned end."""
    why: str | None = None
    """What it gave up for, in a line for a person; one that was interrupted may have had a reason besides."""

    @property
    def interrupted(self) -> bool:
        """Whether its user ended it."""
        return self.ended == "interrupted"

    @property
    def aborted(self) -> str | None:
        """What it gave up for; None where it did not."""
        return self.why or ("the run ended early" if self.ended == "aborted" else None)


class RequestPart(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent; at most one of `body` and `body_base64`."""

    method: str
    path: str
    headers: tuple[HeaderField, ...]
    body: str | None = None
    body_base64: str | UnsetType = UNSET
    withheld: bool | UnsetType = UNSET
    """True where the body was left out, since a secret stood in it."""


class AnswerPart(msgspec.Struct, frozen=True, kw_only=True):
    """What came back; exactly one of `json`, `body`, `body_base64` and `withheld`."""

    status: int
    headers: tuple[HeaderField, ...]
    json: Raw | UnsetType = UNSET
    """The body, byte for byte, where it is strict JSON on one line without white space around it."""
    body: str | UnsetType = UNSET
    """The body, where it is any other text."""
    body_base64: str | UnsetType = UNSET
    """The body, where it is no UTF-8."""
    withheld: bool | UnsetType = UNSET
    """True where the body was left out, since a secret stood in it."""
    complete: bool = True


class ErrorPart(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no whole answer."""

    code: ErrorCode
    detail: str


class ExchangeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange; `(run, seq)` is unique, and lines may stand in any order."""

    seq: int
    server: str
    target: Operation | None
    probe: str | None = None
    request: RequestPart
    clock: str
    intended_ns: Nanoseconds | None = None
    sent_ns: Nanoseconds
    received_ns: Nanoseconds | None
    arrived_ns: Nanoseconds | None = None
    sent_at: str
    answer: AnswerPart | None = None
    error: ErrorPart | None = None


class Damaged(ValueError):  # said of a line
    """A line that is none of a recording's."""


Line = Header | ExchangeLine | End

_ENCODER: Final = msgspec.json.Encoder()
_EXCHANGE: Final = msgspec.json.Decoder(ExchangeLine)
_OTHERS: Final = (msgspec.json.Decoder(Header), msgspec.json.Decoder(End))
_ANY: Final = msgspec.json.Decoder(Raw)

_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
MOST_REMEMBERED: Final = 10_000
"""Requests that an encoder remembers."""

MOST_HEADS: Final = 256
"""Heads of answers that it remembers."""

USUAL_BYTES: Final = 2048
"""Of a request or a head that is remembered."""

_REST: Final = b',"complete":true},"error":null}\n'
"""Of a line, behind the body."""

_USUAL_DEPTH: Final = 6
"""An array of connections has five levels."""


def encode(line: Line) -> bytes:
    """The bytes of a line, its line break included."""
    return _ENCODER.encode(line) + b"\n"


class Encoder:
    """
    Makes lines of exchanges: the same bytes as `to_line` and `encode` come to, for a fifth of the time.

    Under load requests, and the headers of their answers, are the same again and again: what they come to is remembered.

    Args:
        secrets: What may not be written down.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._has_secrets = bool(secrets)
        self._requests: dict[int, tuple[Request, bytes]] = {}
        """By the object's identity, which its entry keeps alive."""
        self._answers: dict[int, tuple[Headers, int, bytes]] = {}
        """By the identity of the headers."""
        self._clock: str | None = None
        self._encoded_clock = b""

    def encode(self, exchange: Exchange, strict: bool = False) -> tuple[bytes, ...]:
        """
        The bytes of an exchange's line, its line break included, in parts, of which the body is one, not copied.

        Takes about 2 us for an answer of 13 KB, 8 if it is not `strict`.

        Args:
            exchange: What is recorded.
            strict: Whether its answer's body is known to be strict JSON, nested no deeper than the documented answers.
        """
        request, answer = exchange.request, exchange.answer
        if answer is None or exchange.error is not None or not answer.complete or answer.withheld:
            return self._slowly(exchange)
        body = answer.body
        if not strict and not _is_one_line_of_json(body):
            return self._slowly(exchange)
        if self._has_secrets and (
            self._secrets.occur_in(body) or (request.body is not None and self._secrets.occur_in(request.body))
        ):
            return self._slowly(exchange)
        known = self._requests.get(id(request))
        asked = known[1] if known is not None else self._of_request(request)
        headers, status = answer.headers, answer.status
        said = self._answers.get(id(headers))
        told = said[2] if said is not None and said[1] == status else self._of_answer(answer)
        if exchange.clock is not self._clock:
            self._clock = exchange.clock
            self._encoded_clock = _ENCODER.encode(exchange.clock)
        head = _head(
            body, exchange.seq, asked, self._encoded_clock, exchange.intended_ns, exchange.sent_ns,
            exchange.received_ns, exchange.arrived_ns, exchange.sent_at, told,
        )  # fmt: skip
        return (head, body, _REST) if head is not None else self._slowly(exchange)

    def _slowly(self, exchange: Exchange) -> tuple[bytes, ...]:
        return (encode(to_line(exchange, self._secrets)),)

    def _of_request(self, request: Request) -> bytes:
        """From the server to where the clock's name begins."""
        part = _to_request(request, self._secrets, withheld=False)
        parts = (_text(request.server, self._secrets), _operation(request), request.probe, part)
        made = b'"server":%b,"target":%b,"probe":%b,"request":%b,"clock":' % tuple(map(_ENCODER.encode, parts))
        if len(made) <= USUAL_BYTES:
            if len(self._requests) >= MOST_REMEMBERED:
                self._requests.clear()
            self._requests[id(request)] = request, made
        return made

    def _of_answer(self, answer: Answer) -> bytes:
        """From the answer to where its body begins."""
        headers = _headers(answer.headers, ALLOWED_ANSWER_HEADERS, self._secrets)
        made = b'"answer":{"status":%d,"headers":%b,"json":' % (answer.status, _ENCODER.encode(headers))
        if len(made) <= USUAL_BYTES:
            if len(self._answers) >= MOST_HEADS:
                self._answers.clear()
            self._answers[id(answer.headers)] = answer.headers, answer.status, made
        return made


def _head(
    body: bytes, seq: int, asked: bytes, clock: bytes, intended_ns: int | None, sent_ns: int, received_ns: int,
    arrived_ns: int | None, sent_at: str, told: bytes,
) -> bytes | None:  # fmt: skip
    """What stands before the body; None where the body has line breaks, or white space around it."""
    if b"\n" in body or b"\r" in body or not body or body[0] <= 32 or body[-1] <= 32:
        return None
    return b'{"seq":%d,%b%b,"intended_ns":%b,"sent_ns":%d,"received_ns":%d,"arrived_ns":%b,"sent_at":%b,%b' % (
        seq, asked, clock, b"null" if intended_ns is None else b"%d" % intended_ns, sent_ns, received_ns,
        b"null" if arrived_ns is None else b"%d" % arrived_ns, _ENCODER.encode(sent_at), told,
    )  # fmt: skip


def decode(line: bytes) -> Line:
    """
    Read one line.

    Raises:
        Damaged: It is no UTF-8, no JSON, or lacks what its kind needs.
    """
    try:
        line.decode("utf-8")  # msgspec passes over raw JSON without looking at its encoding
        return _EXCHANGE.decode(line)
    except RecursionError:
        raise Damaged("nested too deep") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        problem = str(error)
    for decoder in _OTHERS:
        try:
            return decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    raise Damaged(problem)


def check_version(header: Header, name: str) -> None:
    """
    Refuse a recording of another version.

    Raises:
        RecordingError: `v` is not ours; `name` is what to call the file.
    """
    if header.v != VERSION:
        raise RecordingError(
            f"{name} is a recording of version {header.v}, and this harness reads version {VERSION}: update it"
        )


def to_line(exchange: Exchange, secrets: Secrets) -> ExchangeLine:
    """Put an exchange into its line; costs about 14 us for an answer of 13 KB, and 4 for each form of a secret."""
    request, answer, error = exchange.request, exchange.answer, exchange.error
    withheld = request.body is not None and secrets.occur_in(request.body)
    return ExchangeLine(
        seq=exchange.seq,
        server=_text(request.server, secrets),
        target=_operation(request),
        probe=request.probe,
        request=_to_request(request, secrets, withheld),
        clock=exchange.clock,
        intended_ns=exchange.intended_ns,
        sent_ns=exchange.sent_ns,
        received_ns=exchange.received_ns,
        arrived_ns=exchange.arrived_ns,
        sent_at=exchange.sent_at,
        answer=AnswerPart(
            status=answer.status,
            headers=_headers(answer.headers, ALLOWED_ANSWER_HEADERS, secrets),
            complete=answer.complete,
            # what was asked for is part of what an answer is judged by
            **answer_body(None if answer.withheld or withheld or secrets.occur_in(answer.body) else answer.body),
        )
        if answer is not None
        else None,
        error=ErrorPart(code=error.code, detail=_text(error.detail, secrets)) if error is not None else None,
    )  # fmt: skip


def to_exchange(line: ExchangeLine, run: str) -> Exchange:
    """
    Take an exchange out of its line.

    Values of headers that were not kept come back empty.

    Raises:
        Damaged: Its times or bodies contradict the format.
    """
    received_ns = line.received_ns
    if received_ns is None:
        if line.answer is not None:
            raise Damaged("an answer without a time of receipt")
        received_ns = line.sent_ns
    if received_ns < line.sent_ns:
        raise Damaged("received before it was sent")
    target = OPERATIONS[line.target] if line.target is not None else None
    body = _read_request_body(line.request)
    return Exchange(
        run=run,
        seq=line.seq,
        request=Request(
            server=line.server,
            headers=_values(line.request.headers),
            body=body,
            target=target,
            asked=asked(target, body),
            probe=line.probe,
            method=line.request.method,
            path=line.request.path,
        ),
        clock=line.clock,
        sent_ns=line.sent_ns,
        received_ns=received_ns,
        sent_at=line.sent_at,
        answer=_read_answer(line.answer) if line.answer is not None else None,
        error=TransportError(code=line.error.code, detail=line.error.detail) if line.error is not None else None,
        intended_ns=line.intended_ns,
        arrived_ns=line.arrived_ns,
    )


def asked(target: Target | None, body: bytes | None) -> Asked:
    """The arguments that a valid request's body holds; none where there are none to be had."""
    if target is None or not body:
        return Asked()
    try:
        arguments = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Asked()
    if not isinstance(arguments, dict):
        return Asked()
    if target is Target.ALL:
        return Asked(local=arguments.get("local") is not False)
    key = "connection_id" if target is Target.CONNECTION else "client_id"
    channel_id, other = (
        value if isinstance(value := arguments.get(name), str) else None for name in ("channel_id", key)
    )
    if target is Target.CONNECTION:
        return Asked(channel_id=channel_id, connection_id=other)
    return Asked(channel_id=channel_id, client_id=other)


def answer_body(body: bytes | None) -> dict[str, Any]:
    """
    How an answer's body is put down: the one key of `AnswerPart` that holds it, and its value.

    None is a body that is withheld.
    """
    if body is None:
        return {"withheld": True}
    if _is_one_line_of_json(body):
        return {"json": Raw(body)}
    try:
        return {"body": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"body_base64": b64encode(body).decode("ascii")}


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one line of a recording, for schemas/recording.json."""
    _, components = msgspec.json.schema_components(
        (Header, ExchangeLine, End), ref_template="#/$defs/{name}"
    )  # fmt: skip
    components["Header"]["properties"]["v"] = {"const": VERSION}
    components["AnswerPart"]["oneOf"] = [
        {"required": [key]} for key in ("json", "body", "body_base64", "withheld")
    ]  # fmt: skip
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:sora-stats-harness:recording",
        "title": "One line of a recording",
        "description": "The header comes first, the end last, and exchanges in any order between them.",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in ("Header", "ExchangeLine", "End")],
        "$defs": components,
    }


def _is_one_line_of_json(body: bytes) -> bool:
    if b"\n" in body or b"\r" in body or body[:1] in _WHITE or body[-1:] in _WHITE:
        return False
    try:
        if not body.isascii():
            body.decode("utf-8")
        _ANY.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return not _is_deep(body)


def _is_deep(body: bytes) -> bool:
    """
    Whether strict JSON is nested deeper than a reader takes it: how deep that is must not depend on this machine's stack.

    Nearly always what is innermost can be taken away a few times, and nothing is left; only where it cannot are strings
    told from brackets.
    """
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:  # as in an answer about one connection, and four times as fast
        return False
    brackets = body.translate(None, _NO_BRACKETS)
    if len(brackets) <= 2 * MAX_DEPTH:
        return False
    for _ in range(_USUAL_DEPTH):
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    if not brackets:
        return False
    depth = deepest = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH


_WHITE: Final = (b"", b" ", b"\t")


def _operation(request: Request) -> Operation | None:
    return request.target.operation if request.target is not None else None  # type: ignore[return-value]  # the same names


def _to_request(request: Request, secrets: Secrets, withheld: bool) -> RequestPart:
    return RequestPart(
        method=_text(request.method, secrets),
        path=_text(request.path, secrets),
        headers=_headers(request.headers, ALLOWED_REQUEST_HEADERS, secrets),
        **_request_body(request.body, withheld),
    )


def _request_body(body: bytes | None, withheld: bool) -> dict[str, Any]:
    if withheld:
        return {"withheld": True}
    if body is None:
        return {}
    try:
        return {"body": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"body_base64": b64encode(body).decode("ascii")}


def _read_request_body(part: RequestPart) -> bytes | None:
    if part.body_base64 is not UNSET:
        return _unpack(part.body_base64)
    return part.body.encode("utf-8") if part.body is not None else None


def _read_answer(part: AnswerPart) -> Answer:
    given = [value for value in (part.json, part.body, part.body_base64, part.withheld) if value is not UNSET]
    if len(given) != 1 or given[0] is False:
        raise Damaged("an answer needs exactly one of json, body, body_base64 and withheld")
    value = given[0]
    withheld = value is True
    if isinstance(value, Raw):
        body = bytes(value)
    elif part.body is value:
        body = part.body.encode("utf-8")
    elif part.body_base64 is value:
        body = _unpack(part.body_base64)
    else:
        body = b""
    return Answer(
        status=part.status, headers=_values(part.headers), body=body, complete=part.complete, withheld=withheld
    )


def _unpack(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error as error:
        raise Damaged(f"base64: {error}") from None


def _headers(headers: Headers, allowed: frozenset[str], secrets: Secrets) -> tuple[HeaderField, ...]:
    return tuple(
        (plain(name), plain(value) if value is not None else None)
        for name, value in redact_headers(headers, allowed, secrets)
    )


def _values(headers: Iterable[HeaderField]) -> Headers:
    return tuple((name, value or "") for name, value in headers)


def _text(text: str, secrets: Secrets) -> str:
    return plain(secrets.redact(text))


def plain(text: str) -> str:
    """Without the lone surrogates that undecodable bytes leave behind, which JSON cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
