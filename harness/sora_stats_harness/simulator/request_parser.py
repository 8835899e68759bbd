"""
Parses requests for the simulator, and refuses wrong ones: pure functions from a request's parts to its meaning or a
refusal.

The refusals are those measured on the open-source dispatcher whose headers and error shape the API shares.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..api.exchange import TARGET_HEADER
from .fault_interface import SimulatedResponse

TARGET_HEADER_BYTES: Final = TARGET_HEADER.encode()
MAX_REQUEST_BODY_BYTES: Final = 8_000_000

ARGUMENT_TYPES: Final[Mapping[tuple[str, str], Mapping[str, type]]] = {
    ("20170529", "GetStatsConnection"): {"channel_id": str, "connection_id": str},
    ("20170529", "GetStatsClient"): {"channel_id": str, "client_id": str},
    ("20171101", "GetStatsAllConnections"): {"local": bool},
}
"""The types of each operation's arguments, by version and operation; those of the first two are required."""

SERVED_TARGETS: Final = frozenset(f"Sora_{version}.{operation}" for version, operation in ARGUMENT_TYPES)
"""The values of the target header that get statistics."""

JSON_TYPE_NAMES: Final[Mapping[type, str]] = {str: "string", bool: "boolean"}

TARGET_PATTERN: Final = re.compile(r"([A-Za-z]+)_([0-9]{8})\.([A-Za-z]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """A valid request."""

    operation: str
    arguments: Mapping[str, Any]  # Any: of the types in ARGUMENT_TYPES


def make_json_response(status: int, value: object) -> SimulatedResponse:
    """Make a response with compact JSON."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    try:
        body = text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair from the request, which UTF-8 can't encode
        body = json.dumps(value, separators=(",", ":")).encode()
    return SimulatedResponse(status=status, headers=(("content-type", "application/json"),), body=body)


def make_error_response(error_type: str, reason: object = None) -> SimulatedResponse:
    """Make a refusal of the usual shape."""
    value: dict[str, object] = {"error_type": error_type}
    return make_json_response(400, value if reason is None else value | {"error_reason": reason})


def parse_request(
    method: str,
    path: str,
    targets: Sequence[bytes],
    body: bytes,
    *,
    canned: Mapping[str, SimulatedResponse] | None = None,
    cors: bool = True,
) -> ParsedRequest | SimulatedResponse:
    """
    Read a request.

    Args:
        method, path: As in the request line; a query string is not part of the path.
        targets: Every value of the target header.
        body: The body without transfer coding; no body, an empty and an empty chunked one are the same.
        canned: The user's responses, by the whole value of the target header.
        cors: Whether browsers may send requests, so that OPTIONS gets a response.

    Returns:
        The valid request, or the response that refuses it.
    """
    if path != "/":
        return SimulatedResponse(status=404)
    if method == "OPTIONS" and cors:
        return SimulatedResponse(status=200)
    if method != "POST":
        return make_json_response(400, {"type": "UnexpectedMethod"})
    if not targets:
        return make_json_response(400, {"type": "MissingHeaderName"})
    name = targets[0].decode("latin-1").strip(" \t")
    matched = TARGET_PATTERN.fullmatch(name)
    if len(targets) > 1 or matched is None:
        return make_error_response("MissingService")
    if canned is not None and name in canned:
        return canned[name]
    service, version, operation = matched.groups()
    if service != "Sora":
        return make_error_response("InvalidTarget")
    if len(body) > MAX_REQUEST_BODY_BYTES:
        return SimulatedResponse(status=413)
    value: object = None
    if body:
        try:
            value = _parse_json(body)
        except ValueError:
            return make_error_response("InvalidJSON", [{"invalid": "parse"}])
    named = {"service": service, "version": version, "operation": operation}
    types = ARGUMENT_TYPES.get((version, operation))
    if types is None:
        return make_error_response("SchemaNotFound", named) if body else make_error_response("MissingTarget")
    if not body:
        if operation != "GetStatsAllConnections":
            return make_error_response("MissingTargetFunction", named)
        return ParsedRequest(operation=operation, arguments={})
    try:
        return _parse_arguments(operation, types, value)
    except RecursionError:  # shallow enough to be parsed, too deep to be quoted
        return make_error_response("InvalidJSON", [{"invalid": "parse"}])


def _parse_arguments(operation: str, types: Mapping[str, type], value: object) -> ParsedRequest | SimulatedResponse:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {key: {"type": JSON_TYPE_NAMES[kind]} for key, kind in types.items()},
    }
    if operation != "GetStatsAllConnections":
        schema["required"] = list(types)
    if not isinstance(value, dict):
        return _invalid_argument_response(value, "wrong_type", [], {"type": "object"})
    for key, kind in types.items():
        if key in value and type(value[key]) is not kind:
            return _invalid_argument_response(value[key], "wrong_type", [key], {"type": JSON_TYPE_NAMES[kind]})
    for key in schema.get("required", ()):  # type: ignore[attr-defined]  # a list, if it is set
        if key not in value:
            return _invalid_argument_response(key, "missing_required_property", [], schema)
    return ParsedRequest(operation=operation, arguments={key: value[key] for key in types if key in value})


def _invalid_argument_response(data: object, error: str, path: list[str], schema: object) -> SimulatedResponse:
    reason = {"invalid": "data", "error": error, "data": data, "path": path, "schema": schema}
    return make_error_response("InvalidJSON", [reason])


def _parse_json(body: bytes) -> object:
    """Parse JSON: of repeated keys the first counts; NaN and numbers beyond the range of floats are refused."""

    def first(pairs: list[tuple[str, object]]) -> dict[str, object]:
        return dict(reversed(pairs))

    def finite(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(text)
        return value

    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=first, parse_constant=finite, parse_float=finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None
