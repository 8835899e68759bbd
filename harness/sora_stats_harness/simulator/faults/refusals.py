"""
Faults of the responses to wrong requests, one for each row of the table, and the two that are forbidden whatever the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from ..fault_interface import RequestContext, SimulatedResponse
from ..request_parser import ARGUMENT_TYPES, make_json_response
from .fault_kind import FaultKind, HookedFault, make_response_fault
from .parameters import FaultParameters

RefusalMatcher = Callable[[RequestContext, Any], bool]
"""Whether a refusal is of a row; Any: its parsed body, None where it is empty."""

_STATISTICS_TARGETS: Final = {f"Sora_{version}.{operation}" for version, operation in ARGUMENT_TYPES}


def _read_error_reason(value: Any, key: str) -> Any:  # Any: parsed JSON
    reasons = value.get("error_reason") if isinstance(value, dict) else None
    return reasons[0].get(key) if isinstance(reasons, list) else None


def _matches_error_type(name: str) -> RefusalMatcher:
    return lambda _, value: isinstance(value, dict) and value.get("error_type") == name


REFUSAL_MATCHERS: Final[dict[str, RefusalMatcher]] = {
    "path": lambda call, value: call.path != "/",
    "options": lambda call, value: call.path == "/" and call.method == "OPTIONS",
    "method": lambda call, value: value == {"type": "UnexpectedMethod"},
    "no_target": lambda call, value: value == {"type": "MissingHeaderName"},
    "malformed_target": _matches_error_type("MissingService"),
    "unknown_service": lambda call, value: not call.query and _matches_error_type("InvalidTarget")(call, value),
    "unknown_target": _matches_error_type("MissingTarget"),
    "unknown_target_json": _matches_error_type("SchemaNotFound"),
    "unknown_target_invalid_json": lambda call, value: (
        _read_error_reason(value, "invalid") == "parse" and call.target not in _STATISTICS_TARGETS
    ),
    "no_body": _matches_error_type("MissingTargetFunction"),
    "invalid_json": lambda call, value: (
        _read_error_reason(value, "invalid") == "parse" and call.target in _STATISTICS_TARGETS
    ),
    "missing_key": lambda call, value: _read_error_reason(value, "error") == "missing_required_property",
    "wrong_type": lambda call, value: _read_error_reason(value, "error") == "wrong_type",
}


def _build_refusal_fault(
    change: Callable[[RequestContext, SimulatedResponse], SimulatedResponse], row: RefusalMatcher
) -> Callable[[FaultParameters], HookedFault]:
    def when(call: RequestContext, reply: SimulatedResponse) -> bool:
        if call.operation is not None:
            return False
        return row(call, json.loads(reply.body) if reply.body else None)

    return lambda parameters: make_response_fault(change, when=when)


def _undocumented_refusal(call: RequestContext, reply: SimulatedResponse) -> SimulatedResponse:
    return make_json_response(400, {"error_type": "BadRequest"})


def _html_refusal(call: RequestContext, reply: SimulatedResponse) -> SimulatedResponse:
    return replace(reply, headers=(("content-type", "text/html"),), body=b"<h1>Bad Request</h1>")


def _crashes_on_nul(parameters: FaultParameters) -> HookedFault:
    def when(call: RequestContext, reply: SimulatedResponse) -> bool:
        return "\x00" in str(call.arguments.get("client_id"))

    return make_response_fault(lambda call, reply: make_json_response(500, {"error_type": "InternalError"}), when=when)


def _is_payload_too_large(call: RequestContext, reply: SimulatedResponse) -> bool:
    return reply.status == 413


REFUSAL_FAULT_KINDS: Final = (
    *(
        FaultKind(
            name=f"refuses-{row.replace('_', '-')}",
            description="refuses otherwise than the table of wrong requests says: " + row.replace("_", " "),
            violated_requirements=frozenset({f"request.shape.{row}"}),
            build=_build_refusal_fault(_undocumented_refusal, matches),
        )
        for row, matches in REFUSAL_MATCHERS.items()
    ),
    FaultKind(
        name="refuses-large-body",
        description="refuses otherwise than the table of wrong requests says: large body",
        violated_requirements=frozenset({"request.shape.large_body"}),
        build=lambda parameters: make_response_fault(_undocumented_refusal, when=_is_payload_too_large),
        needs_large_request=True,
    ),
    FaultKind(
        name="refuses-with-500",
        description="a wrong type crashes the handler",
        violated_requirements=frozenset({"request.no_5xx"}),
        build=_build_refusal_fault(
            lambda call, reply: make_json_response(500, {"error_type": "InternalError"}), REFUSAL_MATCHERS["wrong_type"]
        ),
    ),
    FaultKind(
        name="crashes-on-nul",
        description="a client_id with a NUL in it crashes the handler: made-up requests show it",
        violated_requirements=frozenset({"request.no_5xx"}),
        build=_crashes_on_nul,
        needs_generated_requests=True,
    ),
    FaultKind(
        name="refuses-in-html",
        description="a missing target header is refused by a web page",
        violated_requirements=frozenset({"request.json_or_empty"}),
        build=_build_refusal_fault(_html_refusal, REFUSAL_MATCHERS["no_target"]),
    ),
)
