"""
Infers a field's type, kind and unit from its name.

The documentation gives names and hardly ever more. But it names consistently: every `total_*` is a counter, a
`_byte_size` is in bytes, and a data channel's options are fixed. Anything else is a guess: it is marked as one, and an
edition demands as little of it as it can.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from ..edition import FieldDefinition, FieldKind, FieldPath, FieldPresence, FieldType, FieldUnit
from ..edition_rules import LABELS_GROUP

CONGESTION_CONTROL: Final = "cc"

INFERRED_NOTE: Final = "kind and unit inferred from the name"
GUESSED_NOTE: Final = "type, kind and unit guessed, since the name says nothing about them"

_UNIT_SUFFIXES: Final = (
    ("_size", FieldUnit.BYTES),
    ("_bytes", FieldUnit.BYTES),
    ("_ms", FieldUnit.MS),
    ("_us", FieldUnit.US),
)
_MAX_INFERRED_VALUE: Final = 65_535
_DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly")
_CHANNEL_TYPES: Final = {
    "ordered": FieldType.BOOLEAN,
    "compress": FieldType.BOOLEAN,
    "protocol": FieldType.STRING,
    "direction": FieldType.STRING,
}


def infer_field(path: FieldPath, seen: FieldType | None = None) -> FieldDefinition:
    """
    Infer a field's rules from its path; the description says whether the name implied them.

    Args:
        path: From the connection object to the leaf.
        seen: The type that the page's example shows; used only if the name implies none.

    >>> guess = infer_field(("rtp", "total_received_byte_size"))
    >>> guess.type.value, guess.kind.value, guess.unit.value
    ('integer', 'counter', 'bytes')
    """
    name, unit = path[-1], _infer_unit(path[-1])
    in_channel = len(path) == 3 and path[0] == LABELS_GROUP
    if name.startswith("total_"):
        return _field(path, FieldType.INTEGER, FieldKind.COUNTER, unit or FieldUnit.COUNT, minimum=0)
    if in_channel and name.startswith("max_"):
        unit = FieldUnit.MS if name.endswith("_time") else FieldUnit.COUNT
        made = _field(path, FieldType.INTEGER, FieldKind.CONFIGURATION, unit, minimum=0, maximum=_MAX_INFERRED_VALUE)
        return replace(made, presence=FieldPresence.CONDITIONAL)
    if in_channel and name in _CHANNEL_TYPES:
        values = _DIRECTIONS if name == "direction" else None
        return _field(path, _CHANNEL_TYPES[name], FieldKind.CONFIGURATION, values=values)
    if name == "timestamp":
        return _field(path, FieldType.STRING, FieldKind.TIME, form="rfc3339-utc")
    if name == "unstable_level":
        return _field(path, FieldType.INTEGER, FieldKind.GAUGE, minimum=0, maximum=3)
    if len(path) == 1 and name.endswith("_id"):
        return _field(path, FieldType.STRING, FieldKind.IDENTITY, max_bytes=255)
    if path[0] == CONGESTION_CONTROL:
        return _field(path, FieldType.INTEGER, FieldKind.GAUGE)
    if name.endswith("_count") or unit is not None:
        return _field(path, FieldType.INTEGER, FieldKind.GAUGE, unit or FieldUnit.NONE)
    kind = FieldKind.CONFIGURATION if in_channel else FieldKind.GAUGE
    likely = FieldType.STRING if in_channel or len(path) == 1 else FieldType.INTEGER
    return replace(_field(path, seen or likely, kind), description=describe_inferred(path, GUESSED_NOTE))


def describe_inferred(path: FieldPath, note: str) -> str:
    """The description of a field of which only the name is known."""
    words = path[-1].replace("_", " ").strip() or path[-1]
    return f"{words[:1].upper()}{words[1:]} ({note})."


def _field(
    path: FieldPath,
    type_: FieldType,
    kind: FieldKind,
    unit: FieldUnit = FieldUnit.NONE,
    **limits: Any,  # Any: values of a FieldDefinition
) -> FieldDefinition:
    description = describe_inferred(path, INFERRED_NOTE)
    presence = FieldPresence.ALWAYS
    return FieldDefinition(
        path=path, type=type_, kind=kind, unit=unit, presence=presence, description=description, **limits
    )


def _infer_unit(name: str) -> FieldUnit | None:
    return next((unit for suffix, unit in _UNIT_SUFFIXES if name.endswith(suffix)), None)
