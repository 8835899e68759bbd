"""The rules about complete responses, status, length and content type; the body's content is judged elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from ...api.exchange import ErrorCode, Exchange, Response
from ...api.http1_faults import FRAMING_RULES, Effect
from ...api.http1_head import media_types
from ..check import Check, Observed, Stage, Violation
from ..requirement import DOCUMENTATION_SOURCE, NEEDS_HTTP, Level, Requirement
from .framing import LENGTH, explains_incomplete, has_fault, make_length_violation
from .not_found import describe_refusal, is_accepted_not_found
from .wrong_requests import LARGE_BODY

if TYPE_CHECKING:
    from ..state import State
    from ..verdict import JudgeResult

COMPLETE: Final = Requirement(
    id="http.complete",
    level=Level.MUST,
    title="A server that has responded gives every request a complete response",
    reason="A time-out, a cut or a reset loses a sample that dashboards or bills rely on.",
    grounds="RFC 9112, 8: a message that ends before its length is incomplete.",
    source="RFC 9112, 8",
    needs=NEEDS_HTTP,
    message="no complete response: {why}",
    checked_in="complete",
)
STATUS: Final = Requirement(
    id="http.status",
    level=Level.MUST,
    title="A valid request gets 200",
    reason="Clients take anything else for an error. An unknown id may get 400 and an error_type.",
    grounds="The page documents 200 for a correct request.",
    source=DOCUMENTATION_SOURCE,
    needs=NEEDS_HTTP,
    message="a valid request gets {status}",
    checked_in="accepted_by_http",
)
CONTENT_TYPE: Final = Requirement(
    id="http.content_type",
    level=Level.MUST,
    title="A body is labelled application/json",
    reason="Clients choose their parser by it.",
    grounds="The page shows this label, and RFC 9110, 8.3 has the label say what a body is.",
    source="page's examples; RFC 9110, 8.3",
    needs=NEEDS_HTTP,
    message="the body is not labelled as JSON",
    masked_by="a status other than 200",
    checked_in="accepted_by_http",
)

ALWAYS_VIOLATING_ERRORS: Final = frozenset({ErrorCode.CUT, ErrorCode.PROTOCOL, ErrorCode.TOO_LARGE})
"""Errors that only a server that responds wrongly can cause."""

VIOLATING_ERRORS_AFTER_RESPONSE: Final = frozenset(
    {ErrorCode.TIMEOUT, ErrorCode.RESET, ErrorCode.REFUSED, ErrorCode.UNREACHABLE}
)
"""Errors that say something about a server only after it has given a complete response."""


class CompleteResponseCheck(Check):
    """Every request gets a complete response."""

    requirements: tuple[Requirement, ...] = (COMPLETE,)
    stage = Stage.TRANSPORT

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        exchange = seen.exchange
        violation = check_incomplete(exchange, responded=state.availability.has_responded(exchange.request.server))
        if violation is not None:
            state.checked[COMPLETE.id] += 1
        return () if violation is None else (violation,)

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add the longest time without a complete response."""
        gap_ns = max((state.availability.longest_gap_ns for state in states), default=0)
        result.coverage.longest_gap_s = round(gap_ns / 1e9, 3)


def check_incomplete(exchange: Exchange, *, responded: bool) -> Violation | None:
    """Judge an exchange without a complete response; `responded` says whether the server gave one before."""
    error = exchange.error
    code = error.code if error is not None else ErrorCode.CUT
    if code not in ALWAYS_VIOLATING_ERRORS and not (responded and code in VIOLATING_ERRORS_AFTER_RESPONSE):
        return None
    if code is ErrorCode.RESET and exchange.request.probe == LARGE_BODY.id:
        # A server may refuse such a body while it is being sent, and close the connection (RFC 9110, 15.5.14): its 413
        # is then often lost to the reset that follows, 20 times of 20 on a loopback.
        return None
    if explains_incomplete(exchange):
        return None
    fatal = [each.code for each in exchange.faults if FRAMING_RULES[each.code].effect is Effect.FATAL]
    words = FRAMING_RULES[fatal[0]].words if fatal else code.value
    detail = error.detail if error is not None else "the body ended early"
    return Violation(
        requirement=COMPLETE,
        exchange=exchange,
        expected="a complete response",
        actual=detail or code.value,
        fault=fatal[0] if fatal else code.value,
        facts={"why": words},
    )


class HeadCheck(Check):
    """A valid request gets 200, or a documented refusal for an unknown id, and the body's headers are right."""

    requirements: tuple[Requirement, ...] = (STATUS, LENGTH, CONTENT_TYPE)
    stage = Stage.HEAD

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """Judge the status; if it is 200, also the headers."""
        response, headers = seen.response, seen.headers
        if seen.bare:
            return ()
        assert response is not None, "there is a head to judge"
        if response.status != 200:
            state.checked[STATUS.id] += 1
            return self._judge_status(seen, response)
        length, label = headers.content_length, headers.content_type
        if seen.exchange.faults and has_fault(seen.exchange, "length_with_chunked"):
            length = None  # an unwanted Content-Length is already a finding
        if length is None:
            state.count(LENGTH, -1)
        found: list[Violation] = []
        if length is not None and not _is_right_length(response, length):
            found.append(make_length_violation(seen.exchange, str(response.body_length), length[:40]))
        if not _is_json_label(label):
            found.append(
                Violation(
                    requirement=CONTENT_TYPE,
                    exchange=seen.exchange,
                    expected="application/json",
                    actual=label[:200] if label is not None else "no Content-Type",
                    fault="content type",
                )
            )
        return found

    def _judge_status(self, seen: Observed, response: Response) -> Iterable[Violation]:
        target, status = seen.exchange.request.target, response.status
        if target is None or is_accepted_not_found(target, response):
            return ()
        return (
            Violation(
                requirement=STATUS,
                exchange=seen.exchange,
                expected="200",
                actual=describe_refusal(response),
                fault=f"status {status // 100}xx",
                facts={"status": str(status)},
            ),
        )


def _is_right_length(response: Response, length: str) -> bool:
    if response.withheld or length == str(response.body_length):
        return True
    return length.isascii() and length.isdecimal() and int(length[:20]) == response.body_length


def _is_json_label(content_type: str | None) -> bool:
    """Parameters such as a charset are allowed; several types are another requirement's finding."""
    first = (content_type or "").partition(";")[0].strip().lower()
    return first == "application/json" or "application/json" in media_types(content_type or "")
