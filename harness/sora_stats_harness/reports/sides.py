"""
The readings that prove a finding, leaf by leaf beside each other.

Of two answers of 13 KB that prove a regression a reader wants the lines that differ, the one that must not have fallen
marked. Of a single answer he wants the field with its neighbours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..api.edition import pointer
from ..api.exchange import Exchange
from ..judge.verdict import FindingEntry
from .escape import cut

MAX_ROWS: Final = 40
"""Of one finding; a thousand times this would not be read."""

MAX_BODY_BYTES: Final = 1024 * 1024
"""Bodies beyond that are not taken apart again for a report."""

_VALUE_LIMIT: Final = 80
_ABSENT: Final = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One leaf, by its JSON Pointer from the connection on, and its value in each reading."""

    field: str
    values: tuple[str, ...]
    culprit: bool
    """Whether this is the field of the finding."""
    falls: bool
    """Whether it is a number, and the last reading's is below the first's."""

    @property
    def differs(self) -> bool:
        """Whether the readings disagree."""
        return len(set(self.values)) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Readings beside each other: the rows worth showing, the culprit and what is near it first, and how many were left out."""

    rows: tuple[Row, ...]
    equal: int
    """Leaves that have the same value in all."""
    more: int
    """Leaves worth showing for which there was no room."""


def compare(entry: FindingEntry, exchanges: Sequence[Exchange]) -> Sides | None:
    """
    Lay the readings of a finding beside each other.

    Returns:
        None where an answer is missing, too large, or holds no such connection.
    """
    readings = []
    for exchange in exchanges:
        reading = _reading(exchange, entry, last=exchange is exchanges[-1])
        if reading is None:
            return None
        readings.append(dict(_leaves(reading)))
    if not readings:
        return None
    culprit = _culprit(entry, exchanges[-1])
    rows = [
        Row(
            field=pointer(path),
            values=tuple(_show(reading, path) for reading in readings),
            culprit=path == culprit,
            falls=_falls(readings[0].get(path), readings[-1].get(path)),
        )
        for path in dict.fromkeys(path for reading in readings for path in reading)
    ]
    if culprit not in {path for reading in readings for path in reading} and culprit:
        values = tuple(_ABSENT for _ in readings)
        rows.append(Row(field=pointer(culprit), values=values, culprit=True, falls=False))
    group = culprit[:-1]
    near = pointer(group)
    worth = [row for row in rows if row.culprit or (row.differs if len(readings) > 1 else row.field.startswith(near))]
    worth.sort(key=lambda row: (not row.culprit, not row.field.startswith(f"{near}/"), not row.falls))
    return Sides(
        rows=tuple(worth[:MAX_ROWS]),
        equal=sum(not row.differs for row in rows) if len(readings) > 1 else 0,
        more=max(0, len(worth) - MAX_ROWS),
    )


def _reading(exchange: Exchange, entry: FindingEntry, *, last: bool) -> dict[str, Any] | None:
    answer = exchange.answer
    if answer is None or answer.withheld or len(answer.body) > MAX_BODY_BYTES:
        return None
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list):
        head = entry.pointer.split("/")[1:2]
        index = int(head[0]) if last and head and head[0].isdecimal() else -1
        same = [one for one in value if isinstance(one, dict) and one.get("connection_id") == entry.connection_id]
        value = value[index] if 0 <= index < len(value) else same[0] if same else None
    return value if isinstance(value, dict) else None


def _leaves(value: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, below in value.items():
        if isinstance(below, dict) and below and len(path) < 8:
            yield from _leaves(below, (*path, key))
        else:
            yield (*path, key), below


def _culprit(entry: FindingEntry, exchange: Exchange) -> tuple[str, ...]:
    keys = [key.replace("~1", "/").replace("~0", "~") for key in entry.pointer.split("/")[1:]]
    target = exchange.request.target
    return tuple(keys[1:] if target is not None and target.many else keys)


def _show(reading: dict[tuple[str, ...], Any], path: tuple[str, ...]) -> str:
    if path not in reading:
        return _ABSENT
    try:
        return cut(json.dumps(reading[path], ensure_ascii=False), _VALUE_LIMIT)
    except (ValueError, RecursionError):
        return "(too large to be shown)"


def _falls(before: object, after: object) -> bool:
    return (
        isinstance(before, int | float)
        and isinstance(after, int | float)
        and not isinstance(before, bool)
        and not isinstance(after, bool)
        and after < before
    )
