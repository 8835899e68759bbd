"""
What HTTP asks of an answer to a valid request, before anyone looks into its body.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ...api import strict_json
from ...api.exchange import Answer, ErrorCode, Exchange, Headers, Target

SIMULATOR: Final = "sora-harness-simulator/"
"""How the embedded simulator's Server header begins."""

ALWAYS: Final = frozenset({ErrorCode.CUT, ErrorCode.PROTOCOL, ErrorCode.TOO_LARGE})
"""Errors that only a server which answers, and answers wrongly, can cause."""

ONCE_WHOLE: Final = frozenset({ErrorCode.TIMEOUT, ErrorCode.RESET})
"""Errors that say something about a server only after it has given a whole answer."""

TOO_LARGE_PROBE: Final = "request.shape.large_body"
"""
The wrong request that a server may refuse while it is still being sent, and close the connection (RFC 9110, 15.5.14): its
413 is then often lost to the reset that follows, 20 times of 20 on a loopback.
"""

Miss = tuple[str, str, str, str, str]
"""Requirement, message, expected, actual, class of fault."""


class Head(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The headers that matter."""

    content_type: str | None
    content_length: str | None
    simulator: bool


MAX_HEADS: Final = 256
"""Heads that are remembered: servers say much the same again and again."""

USUAL_BYTES: Final = 2048

_HEADS: dict[Headers, Head] = {}


def head(answer: Answer) -> Head:
    """Pick out the headers that matter, names in any case."""
    found = _HEADS.get(answer.headers)
    if found is None:
        found = _head(answer)
        if sum(len(name) + len(value) for name, value in answer.headers) <= USUAL_BYTES:
            if len(_HEADS) >= MAX_HEADS:
                _HEADS.clear()
            _HEADS[answer.headers] = found
    return found


def _head(answer: Answer) -> Head:
    content_type = content_length = None
    simulator = False
    for name, value in answer.headers:
        lower = name.lower()
        if lower == "content-type":
            content_type = value
        elif lower == "content-length":
            content_length = value
        elif lower == "server" and value.startswith(SIMULATOR):
            simulator = True
    return Head(content_type=content_type, content_length=content_length, simulator=simulator)


def incomplete(exchange: Exchange, *, answered: bool) -> Miss | None:
    """
    Judge an exchange without a whole answer.

    Args:
        answered: Whether the server has given a whole answer before, in this run.
    """
    error = exchange.error
    code = error.code if error is not None else ErrorCode.CUT
    if code not in ALWAYS and not (answered and code in ONCE_WHOLE):
        return None
    if code is ErrorCode.RESET and exchange.request.probe == TOO_LARGE_PROBE:
        return None
    detail = error.detail if error is not None else "the body ended early"
    return ("http.complete", f"no whole answer: {code.value}", "a whole answer", detail or code.value, code.value)


def wrong_length(answer: Answer, length: str | None) -> Miss | None:
    """Judge Content-Length against the bytes that came."""
    if length is None or not answer.complete or answer.withheld or length == str(len(answer.body)):
        return None
    if length.isascii() and length.isdecimal() and int(length[:20]) == len(answer.body):
        return None
    return ("http.length", "Content-Length is not the body's length", str(len(answer.body)), length[:40], "length")


def wrong_type(content_type: str | None) -> Miss | None:
    """Judge the label of a body; parameters such as a charset are allowed."""
    media = (content_type or "").partition(";")[0].strip().lower()
    if media == "application/json":
        return None
    actual = content_type if content_type is not None else "no Content-Type"
    return ("http.content_type", "the body is not labelled as JSON", "application/json", actual[:200], "content type")


def is_absence(target: Target, answer: Answer) -> bool:
    """Whether an answer says, in a way that is accepted, that an id is unknown: 400 with an error_type."""
    if answer.status != 400 or target is Target.ALL:
        return False
    try:
        value = strict_json.parse(answer.body).value
    except strict_json.NotJson:
        return False
    return isinstance(value, dict) and isinstance(value.get("error_type"), str)


def wrong_status(answer: Answer) -> Miss:
    """The miss of an answer whose status is neither 200 nor the accepted absence."""
    return (
        "http.status", f"a valid request is answered with {answer.status}", "200", str(answer.status),
        f"status {answer.status // 100}xx",
    )  # fmt: skip
