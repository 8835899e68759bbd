"""Faults of refusals: one for each row of the table of wrong requests, and some that violate a MUST."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from ..fault_interface import Fault, ReceivedRequest, SimulatedResponse
from ..request_parser import SERVED_TARGETS, make_json_response
from .fault_kind import FaultBuilder, FaultFamily, make_response_fault
from .parameters import FaultParameters

FAULTS: Final = FaultFamily()

RefusalMatcher = Callable[[ReceivedRequest, Any], bool]
"""Whether a refusal belongs to a row. Any: its parsed body, None if it is empty."""

_INTERNAL_ERROR: Final = make_json_response(500, {"error_type": "InternalError"})


def _has_error_type(name: str) -> RefusalMatcher:
    return lambda _, value: isinstance(value, dict) and value.get("error_type") == name


def _has_reason(key: str, expected: str, value: Any) -> bool:  # Any: parsed JSON
    reasons = value.get("error_reason") if isinstance(value, dict) else None
    return isinstance(reasons, list) and reasons[0].get(key) == expected


REFUSAL_MATCHERS: Final[dict[str, RefusalMatcher]] = {
    "path": lambda call, _: call.path != "/",
    "options": lambda call, _: call.path == "/" and call.method == "OPTIONS",
    "method": lambda _, value: value == {"type": "UnexpectedMethod"},
    "no_target": lambda _, value: value == {"type": "MissingHeaderName"},
    "malformed_target": _has_error_type("MissingService"),
    "unknown_service": lambda call, value: not call.query and _has_error_type("InvalidTarget")(call, value),
    "unknown_target": _has_error_type("MissingTarget"),
    "unknown_target_json": _has_error_type("SchemaNotFound"),
    "unknown_target_invalid_json": lambda call, value: (
        _has_reason("invalid", "parse", value) and call.target not in SERVED_TARGETS
    ),
    "no_body": _has_error_type("MissingTargetFunction"),
    "invalid_json": lambda call, value: _has_reason("invalid", "parse", value) and call.target in SERVED_TARGETS,
    "missing_key": lambda _, value: _has_reason("error", "missing_required_property", value),
    "wrong_type": lambda _, value: _has_reason("error", "wrong_type", value),
}


def _refuse_otherwise(response: SimulatedResponse) -> SimulatedResponse:
    return make_json_response(400, {"error_type": "BadRequest"})


def _build_for_row(row: str, change: Callable[[SimulatedResponse], SimulatedResponse]) -> FaultBuilder:
    def when(call: ReceivedRequest, response: SimulatedResponse) -> bool:
        if call.operation is not None:
            return False
        return REFUSAL_MATCHERS[row](call, json.loads(response.body) if response.body else None)

    return lambda _: make_response_fault(change, when=when)


for _row in REFUSAL_MATCHERS:
    FAULTS.fault(
        f"refuses-{_row.replace('_', '-')}",
        "refuses differently from the table of wrong requests: " + _row.replace("_", " "),
        f"request.shape.{_row}",
    )(_build_for_row(_row, _refuse_otherwise))


@FAULTS.fault(
    "refuses-large-body",
    "refuses differently from the table of wrong requests: large body",
    "request.shape.large_body",
    needs_large_request=True,
)
def _build_refuses_large_body(parameters: FaultParameters) -> Fault:
    return make_response_fault(_refuse_otherwise, when=lambda _, response: response.status == 413)


FAULTS.fault("refuses-with-500", "a wrong type crashes the handler", "request.no_5xx")(
    _build_for_row("wrong_type", lambda _: _INTERNAL_ERROR)
)


@FAULTS.fault(
    "crashes-on-nul",
    "a client_id with a NUL crashes the handler; only made-up requests show it",
    "request.no_5xx",
    needs_generated_requests=True,
)
def _build_crashes_on_nul(parameters: FaultParameters) -> Fault:
    return make_response_fault(
        lambda _: _INTERNAL_ERROR, when=lambda call, _: "\x00" in str(call.arguments.get("client_id"))
    )


@FAULTS.fault(
    "crashes-on-invalid-utf8",
    "a JSON string with invalid UTF-8 in place of another type crashes the handler, as in the open-source dispatcher",
    "request.no_5xx",
)
def _build_crashes_on_invalid_utf8(parameters: FaultParameters) -> Fault:
    return make_response_fault(
        lambda _: _INTERNAL_ERROR, when=lambda call, _: call.target in SERVED_TARGETS and _has_invalid_utf8(call)
    )


def _has_invalid_utf8(call: ReceivedRequest) -> bool:
    """Whether the body is JSON except for invalid UTF-8 in its strings."""
    text = call.body.decode("utf-8", "surrogateescape")
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return any("\udc80" <= char <= "\udcff" for char in text)


FAULTS.fault("refuses-in-html", "a web page refuses a request without a target header", "request.json_or_empty")(
    _build_for_row(
        "no_target",
        lambda given: replace(given, headers=(("content-type", "text/html"),), body=b"<h1>Bad Request</h1>"),
    )
)
