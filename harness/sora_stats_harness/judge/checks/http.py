"""
What HTTP asks of a response to a valid request, before anyone looks into its body.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ...api import strict_json
from ...api.exchange import ErrorCode, Exchange, Headers, Response, Target
from ...api.http1_faults import FRAMING_RULES, Effect, FramingFault
from ...api.http1_head import media_types
from ..requirements import Level

SIMULATOR_SERVER_PREFIX: Final = "sora-harness-simulator/"
"""How the embedded simulator's Server header begins."""

ALWAYS_VIOLATING_ERRORS: Final = frozenset({ErrorCode.CUT, ErrorCode.PROTOCOL, ErrorCode.TOO_LARGE})
"""Errors that only a server which responds, and responses wrongly, can cause."""

VIOLATING_ERRORS_AFTER_RESPONSE: Final = frozenset({ErrorCode.TIMEOUT, ErrorCode.RESET})
"""Errors that say something about a server only after it has given a complete response."""

TOO_LARGE_PROBE: Final = "request.shape.large_body"
"""
The wrong request that a server may refuse while it is still being sent, and close the connection (RFC 9110, 15.5.14): its
413 is then often lost to the reset that follows, 20 times of 20 on a loopback.
"""

HttpViolation = tuple[str, str, str, str, str]
"""Requirement, message, expected, actual, class of fault."""


class RelevantHeaders(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The headers that matter."""

    content_type: str | None
    """Of several lines, all of them, as a proxy would join them."""
    content_length: str | None
    """Of several equal lengths, one of them."""
    simulator: bool


MAX_CACHED_HEADERS: Final = 256
"""Heads that are remembered: servers say much the same again and again."""

MAX_CACHED_HEADER_BYTES: Final = 2048

_HEADERS_CACHE: dict[Headers, RelevantHeaders] = {}


def relevant_headers(response: Response) -> RelevantHeaders:
    """Pick out the headers that matter, names in any case."""
    found = _HEADERS_CACHE.get(response.headers)
    if found is None:
        found = _parse_relevant_headers(response)
        if sum(len(name) + len(value) for name, value in response.headers) <= MAX_CACHED_HEADER_BYTES:
            if len(_HEADERS_CACHE) >= MAX_CACHED_HEADERS:
                _HEADERS_CACHE.clear()
            _HEADERS_CACHE[response.headers] = found
    return found


def _parse_relevant_headers(response: Response) -> RelevantHeaders:
    content_type = content_length = None
    simulator = False
    for name, value in response.headers:
        lower = name.lower()
        if lower == "content-type":
            content_type = value if content_type is None else f"{content_type}, {value}"
        elif lower == "content-length":
            content_length = value.partition(",")[0].strip()
        elif lower == "server" and value.startswith(SIMULATOR_SERVER_PREFIX):
            simulator = True
    return RelevantHeaders(content_type=content_type, content_length=content_length, simulator=simulator)


def check_incomplete(exchange: Exchange, *, responded: bool) -> HttpViolation | None:
    """
    Judge an exchange without a complete response.

    Args:
        responded: Whether the server has given a complete response before, in this run.
    """
    error = exchange.error
    code = error.code if error is not None else ErrorCode.CUT
    if code not in ALWAYS_VIOLATING_ERRORS and not (responded and code in VIOLATING_ERRORS_AFTER_RESPONSE):
        return None
    if code is ErrorCode.RESET and exchange.request.probe == TOO_LARGE_PROBE:
        return None
    detail = error.detail if error is not None else "the body ended early"
    words, fault = code.value, code.value
    for each in exchange.faults:
        if each.code in _FAULT_REQUIREMENTS:
            if FRAMING_RULES[each.code].effect is Effect.FATAL or each.code == UNANNOUNCED_CLOSE:
                return None  # one fault, one finding: it's that requirement's
        elif FRAMING_RULES[each.code].effect is Effect.FATAL:
            words, fault = FRAMING_RULES[each.code].words, each.code
    return ("http.complete", f"no complete response: {words}", "a complete response", detail or code.value, fault)


UNANNOUNCED_CLOSE: Final = "closed_unannounced"

MIN_UNANNOUNCED_CLOSES: Final = 3
"""Connections closed without a word until it's a habit: single ones are idle time-outs that a request happened to meet."""

MIN_UNANNOUNCED_SHARE: Final = 0.01
"""And their share of the complete responses."""

_FAULT_REQUIREMENTS: Final = {
    "length_conflict": ("http.header", Level.MUST),
    "length_repeated": ("http.header", Level.SHOULD),
    "length_with_chunked": ("http.header", Level.SHOULD),
    "length_without_body": ("http.header", Level.SHOULD),
    "chunked_without_body": ("http.header", Level.SHOULD),
    "content_type_conflict": ("http.header", Level.MUST),
    "content_type_repeated": ("http.header", Level.SHOULD),
    "content_coding": ("http.header", Level.SHOULD),
    "allow_origin_repeated": ("http.header", Level.SHOULD),
    "length_invalid": ("http.length", Level.MUST),
    "surplus": ("http.length", Level.MUST),
    "unasked": ("http.length", Level.MUST),
    UNANNOUNCED_CLOSE: ("http.keep_alive", Level.SHOULD),
}
"""
Where faults belong that are not just a matter of how a response is written. A MUST is what leads clients astray: the others
are such as RFC 9112 lets a client put up with.
"""

_CODINGS: Final = ("gzip", "x-gzip", "deflate", "br", "zstd", "compress")
"""What a client undoes by itself: one that believes the label can't read a plain body."""


def fault_violation(exchange: Exchange, fault: FramingFault) -> tuple[HttpViolation, Level] | None:
    """What a deviation from HTTP/1.1 violates, and how badly; None where another requirement tells it."""
    rule = FRAMING_RULES[fault.code]
    if fault.code in _FAULT_REQUIREMENTS:
        requirement, level = _FAULT_REQUIREMENTS[fault.code]
    elif rule.effect is Effect.FATAL:
        return None
    elif rule.effect is Effect.ALLOWED:
        requirement, level = "http.unusual", Level.INFO
    else:
        requirement, level = "http.framing", Level.SHOULD
    if fault.code == "content_coding" and exchange.response is not None:
        if exchange.response.body.lstrip()[:1] not in (b"{", b"["):
            return None  # it is encoded, then: no JSON
        if (exchange.response.header("content-encoding") or "").lower() in _CODINGS:
            level = Level.MUST
    return (requirement, fault.text, f"as {rule.clause} has it", rule.words, fault.code), level


def has_fault(exchange: Exchange, code: str) -> bool:
    """Whether a response deviates in this way."""
    return any(fault.code == code for fault in exchange.faults)


def describe_body_fault(exchange: Exchange, found: str) -> str:
    """Why a body is no JSON: what it is instead, where that can be told."""
    body = exchange.response.body if exchange.response is not None else b""
    for fault in exchange.faults:
        if fault.code == "content_coding":
            return fault.text
    return "gzip, which was not asked for, and without a Content-Encoding" if body[:2] == b"\x1f\x8b" else found


def check_content_length(response: Response, length: str | None) -> HttpViolation | None:
    """Judge Content-Length against the bytes that came."""
    if length is None or not response.complete or response.withheld or length == str(len(response.body)):
        return None
    if length.isascii() and length.isdecimal() and int(length[:20]) == len(response.body):
        return None
    return ("http.length", "Content-Length is not the body's length", str(len(response.body)), length[:40], "length")


def check_content_type(content_type: str | None) -> HttpViolation | None:
    """Judge the label of a body; parameters such as a charset are allowed."""
    if "application/json" in media_types(content_type or ""):  # of several, the conflict is `http.header`'s
        return None
    actual = content_type if content_type is not None else "no Content-Type"
    return ("http.content_type", "the body is not labelled as JSON", "application/json", actual[:200], "content type")


def is_accepted_not_found(target: Target, response: Response) -> bool:
    """Whether a response says, in a way that is accepted, that an id is unknown: 400 with an error_type."""
    if response.status != 400 or target is Target.ALL:
        return False
    try:
        value = strict_json.parse_strict_json(response.body).value
    except strict_json.StrictJsonError:
        return False
    return isinstance(value, dict) and isinstance(value.get("error_type"), str)


def status_violation(response: Response) -> HttpViolation:
    """The miss of a response whose status is neither 200 nor the accepted absence."""
    return (
        "http.status",
        f"a valid request gets {response.status}",
        "200",
        str(response.status),
        f"status {response.status // 100}xx",
    )
