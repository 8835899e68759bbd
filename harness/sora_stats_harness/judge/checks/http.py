"""
What HTTP asks of a response to a valid request, before anyone looks into its body.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ...api import strict_json
from ...api.exchange import ErrorCode, Exchange, Headers, Response, Target

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
    content_length: str | None
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
            content_type = value
        elif lower == "content-length":
            content_length = value
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
    return (
        "http.complete",
        f"no complete response: {code.value}",
        "a complete response",
        detail or code.value,
        code.value,
    )


def check_content_length(response: Response, length: str | None) -> HttpViolation | None:
    """Judge Content-Length against the bytes that came."""
    if length is None or not response.complete or response.withheld or length == str(len(response.body)):
        return None
    if length.isascii() and length.isdecimal() and int(length[:20]) == len(response.body):
        return None
    return ("http.length", "Content-Length is not the body's length", str(len(response.body)), length[:40], "length")


def check_content_type(content_type: str | None) -> HttpViolation | None:
    """Judge the label of a body; parameters such as a charset are allowed."""
    media = (content_type or "").partition(";")[0].strip().lower()
    if media == "application/json":
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
