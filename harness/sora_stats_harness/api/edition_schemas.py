"""
JSON Schemas generated from an edition.

They serve two readers: users, who find them in schemas/ and point their own tools at them, and the judge's slow path,
which takes them from here. They allow unknown fields, because a new field is drift and not a broken response. They
don't require whole groups, since the documentation shows only one connection.

Every validator compiles them as they are: they avoid look-around, which RE2 refuses, and keywords or formats of our
own, which Ajv refuses. A field's `$comment` states its kind, its unit, and the most bytes it may have.
"""

from __future__ import annotations

import json
from typing import Any, Final

from .edition import ANY_LABEL, Edition, FieldDefinition, FieldGroup, FieldPresence
from .exchange import Target

Schema = dict[str, Any]
"""A JSON Schema; Any, because that is what JSON can hold."""

JSON_SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

TIMESTAMP_PATTERN: Final = (
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]"
    "(([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]|23:59:60)"
    r"(\.[0-9]+)?([Zz]|[+-]00:00)$"
)
"""RFC 3339 in UTC. In Python and Java `$` also matches before a final line break, so NOT_IN_TIMESTAMP excludes it."""

NOT_IN_TIMESTAMP: Final = "[^-+.:0-9TZtz]"
"""What no time in UTC has, a line break among it: stated beside the pattern, since RE2 has no look-ahead."""


def all_schemas(edition: Edition) -> dict[str, Schema]:
    """
    Every schema of an edition, by file name: the connection object, and each target's request and response.

    Each document is complete in itself; the `$id`s are URNs, so that nothing is ever fetched.
    """
    out = {"connection.json": connection_schema(edition)}
    for target in Target:
        name = _kebab_case(target.operation)
        out[f"{name}.request.json"] = request_schema(edition, target)
        out[f"{name}.response.json"] = response_schema(edition, target)
    return out


def render_schema(schema: Schema) -> str:
    """The text of a schema file: stable order, indented by two, ending with a line break."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def connection_schema(edition: Edition) -> Schema:
    """The statistics of one connection."""
    return _schema_header(edition, "connection", "Statistics of one connection") | _group_schema(edition.root)


def response_schema(edition: Edition, target: Target) -> Schema:
    """The body of a target's response: one connection, or an array of them."""
    one = {"$ref": "#/$defs/connection"}
    body: Schema = {"type": "array", "items": one} if target.many else one
    name = f"{_kebab_case(target.operation)}.response"
    return (
        _schema_header(edition, name, f"Response of {target.operation}")
        | body
        | {"$defs": {"connection": connection_schema(edition)}}
    )


def request_schema(edition: Edition, target: Target) -> Schema:
    """The body of a target's request; a GetStatsAllConnections request may also have no body."""
    text = {"type": "string", "maxLength": 255}
    head = _schema_header(edition, f"{_kebab_case(target.operation)}.request", f"Request of {target.operation}")
    if target is Target.ALL:
        local = {"type": "boolean", "default": True, "description": "Only the node asked (true), or every node."}
        return head | {"type": "object", "properties": {"local": local}}
    keys = ["channel_id", "connection_id" if target is Target.CONNECTION else "client_id"]
    return head | {"type": "object", "required": keys, "properties": dict.fromkeys(keys, text)}


def field_schema(field: FieldDefinition) -> Schema:
    """The schema of one field."""
    comment = f"kind={field.kind.value} unit={field.unit.value}"
    if field.max_bytes is not None:
        comment += f" max_bytes={field.max_bytes}"
    schema: Schema = {
        "title": field.dotted,
        "description": field.description,
        "$comment": comment,
        "type": field.type.value,
    }
    if field.minimum is not None:
        schema["minimum"] = field.minimum
    if field.maximum is not None:
        schema["maximum"] = field.maximum
    if field.max_bytes is not None:
        # UTF-8 takes at least a byte a character; the bytes themselves are beyond JSON Schema.
        schema["maxLength"] = field.max_bytes
    if field.values is not None:
        schema["enum"] = list(field.values)
    if field.form is not None:
        schema["pattern"] = TIMESTAMP_PATTERN
        schema["not"] = {"pattern": NOT_IN_TIMESTAMP}
    return schema


def _group_schema(group: FieldGroup) -> Schema:
    schema: Schema = {"description": group.description} if group.description else {}
    properties = {field.name: field_schema(field) for field in group.fields}
    properties |= {below.name: _group_schema(below) for below in group.groups if not below.is_label}
    schema["type"] = "object"
    if required := [field.name for field in group.fields if field.presence is not FieldPresence.CONDITIONAL]:
        schema["required"] = required
    schema["properties"] = properties
    if labels := [below for below in group.groups if below.is_label]:
        schema["patternProperties"] = {f"^{ANY_LABEL[0]}": _group_schema(labels[0])}
    return schema


def _schema_header(edition: Edition, name: str, title: str) -> Schema:
    return {"$schema": JSON_SCHEMA_DIALECT, "$id": f"urn:sora-stats-harness:{edition.name}:{name}", "title": title}


def _kebab_case(operation: str) -> str:
    return "".join(f"-{char.lower()}" if char.isupper() else char for char in operation).lstrip("-")
