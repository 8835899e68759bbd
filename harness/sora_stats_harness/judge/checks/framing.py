"""
The rules about HTTP/1.1 framing: which requirement each fault of the response reader violates.

Framing concerns the connection, so it is judged for every exchange, whatever the request and the response were. A fault
that misleads clients violates a MUST. One that RFC 9112 forbids servers but lets clients tolerate is PROVEN, and one
that any proxy may cause is a HABIT. One fault is one finding: what it explains violates no other requirement.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ...api.exchange import Exchange
from ...api.http1_faults import FRAMING_RULES, UNANNOUNCED_CLOSE, Effect, FramingFault
from ..check import Check, Observed, Stage, Violation
from ..requirement import NEEDS_HTTP, NEEDS_KEPT_ALIVE, Level, Requirement

if TYPE_CHECKING:
    from ..exchange_counts import ExchangeCounts
    from ..state import State

LENGTH: Final = Requirement(
    id="http.length",
    level=Level.MUST,
    title="Content-Length is the number of bytes that follow, and nothing follows them",
    reason="A wrong length garbles the next response on the connection.",
    grounds="RFC 9112, 6.3 has this number decide where a message ends.",
    source="RFC 9110, 8.6; RFC 9112, 6.3 and 9.2",
    needs=NEEDS_HTTP,
    message="{deviation}",
    needs_traffic="a response with a Content-Length",
    masked_by="a status other than 200",
    checked_in="accepted_by_http",
)
HEADER: Final = Requirement(
    id="http.header",
    level=Level.MUST,
    title="Headers that say what a response is and where it ends are given once, and agree",
    reason="Of two values some clients follow the first, some the last, and some refuse the response.",
    grounds="RFC 9112, 6.3 calls different lengths an error; deviations that it lets a client tolerate weigh less.",
    source="RFC 9110, 5.3 and 8.3; RFC 9112, 6.3",
    needs=NEEDS_HTTP,
    message="{deviation}",
    checked_in="complete",
)
FRAMING: Final = Requirement(
    id="http.framing",
    level=Level.PROVEN,
    title="A response follows the grammar of HTTP/1.1",
    reason="Clients and proxies that tolerate a deviation interpret it differently.",
    grounds="RFC 9112 defines the grammar, which every correct server follows. It lets clients tolerate these "
    "deviations, so this is not a MUST.",
    source="RFC 9112",
    needs=NEEDS_HTTP,
    message="{deviation}",
    checked_in="complete",
)
KEEP_ALIVE: Final = Requirement(
    id="http.keep_alive",
    level=Level.HABIT,
    title="A server that closes a connection after a response says so in it",
    reason="A request that meets the close is lost, and its client can't tell whether it was read.",
    grounds="RFC 9112, 9.5 lets a server close an idle connection at any time; only the frequency is telling.",
    source="RFC 9112, 9.3",
    needs=NEEDS_KEPT_ALIVE,
    message="{deviation}",
    checked_in="complete",
)
UNUSUAL: Final = Requirement(
    id="http.unusual",
    level=Level.INFO,
    title="Deviations that HTTP/1.1 allows, and few servers show",
    reason="For information.",
    grounds="RFC 9112 allows all of it.",
    source="RFC 9112",
    needs=NEEDS_HTTP,
    message="{deviation}",
    checked_in="complete",
)

MIN_UNANNOUNCED_CLOSES: Final = 3
"""Up to so many connections may be closed without notice: a request may meet an idle time-out by chance."""

MIN_UNANNOUNCED_SHARE: Final = 0.01
"""The least share of complete responses for more of them to count as a HABIT."""

_REQUIREMENTS: Final = {
    "length_conflict": (HEADER, Level.MUST),
    "length_repeated": (HEADER, Level.PROVEN),
    "length_with_chunked": (HEADER, Level.PROVEN),
    "length_without_body": (HEADER, Level.PROVEN),
    "chunked_without_body": (HEADER, Level.PROVEN),
    "content_type_conflict": (HEADER, Level.MUST),
    "content_type_repeated": (HEADER, Level.PROVEN),
    "content_coding": (HEADER, Level.HABIT),
    "allow_origin_repeated": (HEADER, Level.PROVEN),
    "length_invalid": (LENGTH, Level.MUST),
    "surplus": (LENGTH, Level.MUST),
    "unasked": (LENGTH, Level.MUST),
    UNANNOUNCED_CLOSE: (KEEP_ALIVE, Level.HABIT),
}
"""
The requirement of a fault, by its code. Other faults violate `http.framing` or, if allowed, `http.unusual`, or make a
response incomplete.
"""

_CODINGS: Final = ("gzip", "x-gzip", "deflate", "br", "zstd", "compress")
"""Codings that clients decode by themselves; a client that trusts the label can't read a plain body."""

_GZIP_START: Final = b"\x1f\x8b"


class FramingCheck(Check):
    """Reports how the bytes of a response deviate from HTTP/1.1."""

    requirements: tuple[Requirement, ...] = (HEADER, FRAMING, KEEP_ALIVE, UNUSUAL)
    stage = Stage.FRAMING

    def __init__(self, counts: ExchangeCounts) -> None:
        self._counts = counts
        self._unannounced_closes = 0

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        found = []
        for fault in seen.exchange.faults:
            violation = self._judge_fault(seen.exchange, fault)
            if violation is not None:
                found.append(violation)
                state.count(violation.requirement)
        return found

    def _judge_fault(self, exchange: Exchange, fault: FramingFault) -> Violation | None:
        violated = requirement_of_fault(fault.code)
        if violated is None:
            return None
        requirement, level = violated
        rule = FRAMING_RULES[fault.code]
        if fault.code == "length_with_chunked" and (length := _conflicting_length(exchange)) is not None:
            return make_length_violation(exchange, *length)
        if fault.code == "content_coding":
            coding = _misnamed_coding(exchange)
            if coding is None:
                return None
            level = Level.MUST if coding in _CODINGS else Level.HABIT
        if fault.code == UNANNOUNCED_CLOSE and not self._closes_too_often():
            level = Level.INFO
        return Violation(
            requirement=requirement,
            exchange=exchange,
            expected=f"as in {rule.clause}",
            actual=fault.text,
            fault=fault.code,
            facts={"deviation": rule.words},
            level=level,
        )

    def _closes_too_often(self) -> bool:
        """Whether connections are closed without notice too often for chance."""
        self._unannounced_closes += 1
        share = self._counts.complete * MIN_UNANNOUNCED_SHARE
        return self._unannounced_closes >= max(MIN_UNANNOUNCED_CLOSES, share)


def requirement_of_fault(code: str) -> tuple[Requirement, Level] | None:
    """The requirement that a fault violates, and the level; None for a fault that makes the response incomplete."""
    if code in _REQUIREMENTS:
        return _REQUIREMENTS[code]
    effect = FRAMING_RULES[code].effect
    if effect is Effect.FATAL:
        return None
    return (UNUSUAL, Level.INFO) if effect is Effect.ALLOWED else (FRAMING, Level.PROVEN)


def has_fault(exchange: Exchange, code: str) -> bool:
    """Whether a response has this fault."""
    return any(fault.code == code for fault in exchange.faults)


def explains_incomplete(exchange: Exchange) -> bool:
    """Whether a fault reported here already explains why there is no complete response."""
    return any(
        fault.code in _REQUIREMENTS
        and (FRAMING_RULES[fault.code].effect is Effect.FATAL or fault.code == UNANNOUNCED_CLOSE)
        for fault in exchange.faults
    )


def describe_body_fault(exchange: Exchange, found: str) -> str:
    """Why a body is not JSON: what it is instead, if that is known."""
    for fault in exchange.faults:
        if fault.code == "content_coding":
            return fault.text
    body = exchange.response.body if exchange.response is not None else b""
    return "gzip, which was not asked for, without a Content-Encoding" if body.startswith(_GZIP_START) else found


def make_length_violation(exchange: Exchange, expected: str, actual: str) -> Violation:
    """The violation of a Content-Length that is not the body's length."""
    return Violation(
        requirement=LENGTH,
        exchange=exchange,
        expected=expected,
        actual=actual,
        fault="length",
        facts={"deviation": "Content-Length is not the body's length"},
    )


def _conflicting_length(exchange: Exchange) -> tuple[str, str] | None:
    """The length of a complete chunked body, and a different one in its head; None if they agree."""
    response = exchange.response
    if response is None or not response.complete or response.withheld:
        return None
    length, named = str(response.body_length), response.header("content-length") or ""
    return (length, named) if named.lstrip("0") != length.lstrip("0") else None


def _misnamed_coding(exchange: Exchange) -> str | None:
    """The Content-Encoding of a body that is plain JSON nevertheless; None if the body is encoded, or empty."""
    response = exchange.response
    if response is None or response.body.lstrip()[:1] not in (b"{", b"["):
        return None
    return (response.header("content-encoding") or "").lower()
