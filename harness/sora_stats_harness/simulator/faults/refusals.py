"""
Faults of the answers to wrong requests, one for each row of the table, and the two that are forbidden whatever the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from ..calls import Call, Reply
from ..wire import OPERATIONS, answer_json
from .kinds import FaultKind, Hooks, each_reply
from .parameters import Parameters

Row = Callable[[Call, Any], bool]
"""Whether a refusal is of a row; Any: its parsed body, None where it is empty."""

_KNOWN: Final = {f"Sora_{version}.{operation}" for version, operation in OPERATIONS}


def _reason(value: Any, key: str) -> Any:  # Any: parsed JSON
    reasons = value.get("error_reason") if isinstance(value, dict) else None
    return reasons[0].get(key) if isinstance(reasons, list) else None


def _type(name: str) -> Row:
    return lambda _, value: isinstance(value, dict) and value.get("error_type") == name


ROWS: Final[dict[str, Row]] = {
    "path": lambda call, value: call.path != "/",
    "options": lambda call, value: call.path == "/" and call.method == "OPTIONS",
    "method": lambda call, value: value == {"type": "UnexpectedMethod"},
    "no_target": lambda call, value: value == {"type": "MissingHeaderName"},
    "malformed_target": _type("MissingService"),
    "unknown_service": lambda call, value: not call.query and _type("InvalidTarget")(call, value),
    "unknown_target": _type("MissingTarget"),
    "unknown_target_json": _type("SchemaNotFound"),
    "unknown_target_invalid_json": lambda call, value: (
        _reason(value, "invalid") == "parse" and call.target not in _KNOWN
    ),
    "no_body": _type("MissingTargetFunction"),
    "invalid_json": lambda call, value: _reason(value, "invalid") == "parse" and call.target in _KNOWN,
    "missing_key": lambda call, value: _reason(value, "error") == "missing_required_property",
    "wrong_type": lambda call, value: _reason(value, "error") == "wrong_type",
}


def _refused(change: Callable[[Call, Reply], Reply], row: Row) -> Callable[[Parameters], Hooks]:
    def when(call: Call, reply: Reply) -> bool:
        if call.operation is not None:
            return False
        return row(call, json.loads(reply.body) if reply.body else None)

    return lambda parameters: each_reply(change, when=when)


def _otherwise(call: Call, reply: Reply) -> Reply:
    return answer_json(400, {"error_type": "BadRequest"})


def _page(call: Call, reply: Reply) -> Reply:
    return replace(reply, headers=(("content-type", "text/html"),), body=b"<h1>Bad Request</h1>")


def _crashes_on_nul(parameters: Parameters) -> Hooks:
    def when(call: Call, reply: Reply) -> bool:
        return "\x00" in str(call.arguments.get("client_id"))

    return each_reply(lambda call, reply: answer_json(500, {"error_type": "InternalError"}), when=when)


def _too_large(call: Call, reply: Reply) -> bool:
    return reply.status == 413


KINDS: Final = (
    *(
        FaultKind(
            name=f"refuses-{row.replace('_', '-')}",
            description="refuses otherwise than the table of wrong requests says: " + row.replace("_", " "),
            trips=frozenset({f"request.shape.{row}"}),
            build=_refused(_otherwise, matches),
        )
        for row, matches in ROWS.items()
    ),
    FaultKind(
        name="refuses-large-body",
        description="refuses otherwise than the table of wrong requests says: large body",
        trips=frozenset({"request.shape.large_body"}),
        build=lambda parameters: each_reply(_otherwise, when=_too_large),
        large=True,
    ),
    FaultKind(
        name="refuses-with-500",
        description="a wrong type crashes the handler",
        trips=frozenset({"request.no_5xx"}),
        build=_refused(lambda call, reply: answer_json(500, {"error_type": "InternalError"}), ROWS["wrong_type"]),
    ),
    FaultKind(
        name="crashes-on-nul",
        description="a client_id with a NUL in it crashes the handler: made-up requests show it",
        trips=frozenset({"request.no_5xx"}),
        build=_crashes_on_nul,
        generated=True,
    ),
    FaultKind(
        name="refuses-in-html",
        description="a missing target header is refused by a web page",
        trips=frozenset({"request.json_or_empty"}),
        build=_refused(_page, ROWS["no_target"]),
    ),
)
