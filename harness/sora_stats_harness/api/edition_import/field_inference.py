"""
Infers a field's type, kind and unit from its name.

The documentation gives names and hardly ever more. But it names consistently: every `total_*` is a counter, a
`_byte_size` is in bytes, and a data channel's options are fixed. Anything else is a guess: it is marked as one, and an
edition demands as little of it as it can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..edition import FieldKind, FieldPath, FieldType, FieldUnit

DATA_CHANNEL: Final = "data_channel"
CONGESTION_CONTROL: Final = "cc"


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredField:
    """Type, kind, unit and limits of a field, by its path alone."""

    type: FieldType
    kind: FieldKind
    unit: FieldUnit
    minimum: int | None = None
    maximum: int | None = None
    max_bytes: int | None = None
    values: tuple[str, ...] | None = None
    form: str | None = None
    conditional: bool = False
    """Whether it may be absent."""
    by_name: bool = True
    """Whether the name implied this; if not, it is a guess that demands the least."""


_UNIT_SUFFIXES: Final = (
    ("_byte_size", FieldUnit.BYTES),
    ("_size", FieldUnit.BYTES),
    ("_bytes", FieldUnit.BYTES),
    ("_ms", FieldUnit.MS),
    ("_us", FieldUnit.US),
)
_MAX_INFERRED_VALUE: Final = 65_535
_DATA_CHANNEL_FIELDS: Final = {
    "ordered": InferredField(type=FieldType.BOOLEAN, kind=FieldKind.CONFIGURATION, unit=FieldUnit.NONE),
    "compress": InferredField(type=FieldType.BOOLEAN, kind=FieldKind.CONFIGURATION, unit=FieldUnit.NONE),
    "protocol": InferredField(type=FieldType.STRING, kind=FieldKind.CONFIGURATION, unit=FieldUnit.NONE),
    "direction": InferredField(
        type=FieldType.STRING,
        kind=FieldKind.CONFIGURATION,
        unit=FieldUnit.NONE,
        values=("sendrecv", "sendonly", "recvonly"),
    ),
}
_FIELDS_BY_NAME: Final = {
    "timestamp": InferredField(type=FieldType.STRING, kind=FieldKind.TIME, unit=FieldUnit.NONE, form="rfc3339-utc"),
    "unstable_level": InferredField(
        type=FieldType.INTEGER, kind=FieldKind.GAUGE, unit=FieldUnit.NONE, minimum=0, maximum=3
    ),
}


def infer_field(path: FieldPath, seen: FieldType | None = None) -> InferredField:
    """
    Infer a field's rules from its path.

    Args:
        path: From the connection object to the leaf.
        seen: The type that the page's example shows; used only if the name implies none.

    >>> guess = infer_field(("rtp", "total_received_byte_size"))
    >>> guess.type.value, guess.kind.value, guess.unit.value
    ('integer', 'counter', 'bytes')
    """
    name = path[-1]
    in_channel = len(path) == 3 and path[0] == DATA_CHANNEL
    if name.startswith("total_"):
        return InferredField(
            type=FieldType.INTEGER, kind=FieldKind.COUNTER, unit=_infer_unit(name) or FieldUnit.COUNT, minimum=0
        )
    if in_channel and name.startswith("max_"):
        unit = FieldUnit.MS if name.endswith("_time") else FieldUnit.COUNT
        return InferredField(
            type=FieldType.INTEGER,
            kind=FieldKind.CONFIGURATION,
            unit=unit,
            minimum=0,
            maximum=_MAX_INFERRED_VALUE,
            conditional=True,
        )
    if in_channel and name in _DATA_CHANNEL_FIELDS:
        return _DATA_CHANNEL_FIELDS[name]
    if name in _FIELDS_BY_NAME:
        return _FIELDS_BY_NAME[name]
    if len(path) == 1 and name.endswith("_id"):
        return InferredField(type=FieldType.STRING, kind=FieldKind.IDENTITY, unit=FieldUnit.NONE, max_bytes=255)
    if path[0] == CONGESTION_CONTROL:
        return InferredField(type=FieldType.INTEGER, kind=FieldKind.GAUGE, unit=FieldUnit.NONE)
    if name.endswith("_count") or _infer_unit(name) is not None:
        return InferredField(type=FieldType.INTEGER, kind=FieldKind.GAUGE, unit=_infer_unit(name) or FieldUnit.NONE)
    kind = FieldKind.CONFIGURATION if in_channel else FieldKind.GAUGE
    likely = FieldType.STRING if in_channel or len(path) == 1 else FieldType.INTEGER
    return InferredField(type=seen or likely, kind=kind, unit=FieldUnit.NONE, by_name=False)


def _infer_unit(name: str) -> FieldUnit | None:
    return next((unit for suffix, unit in _UNIT_SUFFIXES if name.endswith(suffix)), None)
