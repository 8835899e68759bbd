"""
How requests are read and wrong ones refused: the table measured on the dispatcher whose headers and error shape the API
shares. Pure functions, from a request's parts to what is asked, or to the refusal.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .calls import Reply

HEADER: Final = b"x-sora-target"
MAX_BODY_BYTES: Final = 8_000_000

OPERATIONS: Final[Mapping[tuple[str, str], Mapping[str, type]]] = {
    ("20170529", "GetStatsConnection"): {"channel_id": str, "connection_id": str},
    ("20170529", "GetStatsClient"): {"channel_id": str, "client_id": str},
    ("20171101", "GetStatsAllConnections"): {"local": bool},
}
"""Version and operation, and the types of the arguments; those of the first two are required."""

JSON_TYPE: Final[Mapping[type, str]] = {str: "string", bool: "boolean"}

_TARGET = re.compile(r"([A-Za-z]+)_([0-9]{8})\.([A-Za-z]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that is right."""

    operation: str
    arguments: Mapping[str, Any]  # Any: of the types in OPERATIONS


def answer_json(status: int, value: object) -> Reply:
    """A compact JSON answer."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    try:
        body = text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, from the request: UTF-8 has no form for it
        body = json.dumps(value, separators=(",", ":")).encode()
    return Reply(status=status, headers=(("content-type", "application/json"),), body=body)


def refusal(error_type: str, reason: object = None) -> Reply:
    """The usual shape of a refusal."""
    value: dict[str, object] = {"error_type": error_type}
    return answer_json(400, value if reason is None else value | {"error_reason": reason})


def understand(
    method: str,
    path: str,
    targets: Sequence[bytes],
    body: bytes,
    *,
    canned: Mapping[str, Reply] | None = None,
    cors: bool = True,
) -> Asked | Reply:
    """
    Read a request.

    Args:
        method, path: Of the request line; a query string is not part of the path.
        targets: Every value of the target header.
        body: Without transfer coding; no body, an empty and an empty chunked one are the same.
        canned: Answers for other operations, by the whole value of the target header.
        cors: Whether browsers may ask, so that OPTIONS is answered.

    Returns:
        What is asked for, or the answer that refuses it.
    """
    if path != "/":
        return Reply(status=404)
    if method == "OPTIONS" and cors:
        return Reply(status=200)
    if method != "POST":
        return answer_json(400, {"type": "UnexpectedMethod"})
    if not targets:
        return answer_json(400, {"type": "MissingHeaderName"})
    name = targets[0].decode("latin-1").strip(" \t")
    matched = _TARGET.fullmatch(name)
    if len(targets) > 1 or matched is None:
        return refusal("MissingService")
    if canned is not None and name in canned:
        return canned[name]
    service, version, operation = matched.groups()
    if service != "Sora":
        return refusal("InvalidTarget")
    if len(body) > MAX_BODY_BYTES:
        return Reply(status=413)
    value: object = None
    if body:
        try:
            value = _parse(body)
        except ValueError:
            return refusal("InvalidJSON", [{"invalid": "parse"}])
    named = {"service": service, "version": version, "operation": operation}
    types = OPERATIONS.get((version, operation))
    if types is None:
        return refusal("SchemaNotFound", named) if body else refusal("MissingTarget")
    if not body:
        if operation != "GetStatsAllConnections":
            return refusal("MissingTargetFunction", named)
        return Asked(operation=operation, arguments={})
    try:
        return _arguments(operation, types, value)
    except RecursionError:  # just shallow enough to be read, too deep to be told
        return refusal("InvalidJSON", [{"invalid": "parse"}])


def _arguments(operation: str, types: Mapping[str, type], value: object) -> Asked | Reply:
    schema: dict[str, object] = {
        "type": "object", "properties": {key: {"type": JSON_TYPE[kind]} for key, kind in types.items()},
    }  # fmt: skip
    if operation != "GetStatsAllConnections":
        schema["required"] = list(types)
    if not isinstance(value, dict):
        return _invalid(value, "wrong_type", [], {"type": "object"})
    for key, kind in types.items():
        if key in value and type(value[key]) is not kind:
            return _invalid(value[key], "wrong_type", [key], {"type": JSON_TYPE[kind]})
    for key in schema.get("required", ()):  # type: ignore[attr-defined]  # a list where it is there
        if key not in value:
            return _invalid(key, "missing_required_property", [], schema)
    return Asked(operation=operation, arguments={key: value[key] for key in types if key in value})


def _invalid(data: object, error: str, path: list[str], schema: object) -> Reply:
    reason = {"invalid": "data", "error": error, "data": data, "path": path, "schema": schema}
    return refusal("InvalidJSON", [reason])


def _parse(body: bytes) -> object:
    """Parse JSON; of repeated keys the first counts, and there is neither NaN nor a number beyond all floats."""

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
