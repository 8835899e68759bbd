"""
What a field's name says about it.

The documentation gives names and hardly ever more. Its habits are steady, though: every `total_*` is a counter, a
`_byte_size` is in bytes, what a data channel was opened with stays. Anything that they don't cover is a guess, said to
be one, and held to as little as an edition can demand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..edition import Kind, Type, Unit

Path = tuple[str, ...]

DATA_CHANNEL: Final = "data_channel"
CONGESTION_CONTROL: Final = "cc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """Type, kind, unit and limits of a field, by its path alone."""

    type: Type
    kind: Kind
    unit: Unit
    minimum: int | None = None
    maximum: int | None = None
    max_bytes: int | None = None
    values: tuple[str, ...] | None = None
    form: str | None = None
    conditional: bool = False
    """Whether it may be absent."""
    by_name: bool = True
    """Whether the name told; if not, this is the least that can be said."""


_SUFFIXES: Final = (
    ("_byte_size", Unit.BYTES),
    ("_size", Unit.BYTES),
    ("_bytes", Unit.BYTES),
    ("_ms", Unit.MS),
    ("_us", Unit.US),
)
_LIMIT: Final = 65_535
_CHANNEL: Final = {
    "ordered": Guess(type=Type.BOOLEAN, kind=Kind.CONFIGURATION, unit=Unit.NONE),
    "compress": Guess(type=Type.BOOLEAN, kind=Kind.CONFIGURATION, unit=Unit.NONE),
    "protocol": Guess(type=Type.STRING, kind=Kind.CONFIGURATION, unit=Unit.NONE),
    "direction": Guess(
        type=Type.STRING, kind=Kind.CONFIGURATION, unit=Unit.NONE, values=("sendrecv", "sendonly", "recvonly")
    ),
}
_NAMES: Final = {
    "timestamp": Guess(type=Type.STRING, kind=Kind.TIME, unit=Unit.NONE, form="rfc3339-utc"),
    "unstable_level": Guess(type=Type.INTEGER, kind=Kind.GAUGE, unit=Unit.NONE, minimum=0, maximum=3),
}


def infer(path: Path, seen: Type | None = None) -> Guess:
    """
    Infer a field's rules from its path.

    Args:
        path: From the connection object to the leaf.
        seen: The type that the page's example shows; asked only where the name does not tell.

    >>> guess = infer(("rtp", "total_received_byte_size"))
    >>> guess.type.value, guess.kind.value, guess.unit.value
    ('integer', 'counter', 'bytes')
    """
    name = path[-1]
    in_channel = len(path) == 3 and path[0] == DATA_CHANNEL
    if name.startswith("total_"):
        return Guess(type=Type.INTEGER, kind=Kind.COUNTER, unit=_unit(name) or Unit.COUNT, minimum=0)
    if in_channel and name.startswith("max_"):
        unit = Unit.MS if name.endswith("_time") else Unit.COUNT
        return Guess(type=Type.INTEGER, kind=Kind.CONFIGURATION, unit=unit, minimum=0, maximum=_LIMIT, conditional=True)
    if in_channel and name in _CHANNEL:
        return _CHANNEL[name]
    if name in _NAMES:
        return _NAMES[name]
    if len(path) == 1 and name.endswith("_id"):
        return Guess(type=Type.STRING, kind=Kind.IDENTITY, unit=Unit.NONE, max_bytes=255)
    if path[0] == CONGESTION_CONTROL:
        return Guess(type=Type.INTEGER, kind=Kind.GAUGE, unit=Unit.NONE)
    if name.endswith("_count") or _unit(name) is not None:
        return Guess(type=Type.INTEGER, kind=Kind.GAUGE, unit=_unit(name) or Unit.NONE)
    kind = Kind.CONFIGURATION if in_channel else Kind.GAUGE
    likely = Type.STRING if in_channel or len(path) == 1 else Type.INTEGER
    return Guess(type=seen or likely, kind=kind, unit=Unit.NONE, by_name=False)


def _unit(name: str) -> Unit | None:
    return next((unit for suffix, unit in _SUFFIXES if name.endswith(suffix)), None)
