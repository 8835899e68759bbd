"""
Arranges the samples that prove a finding side by side, field by field.

If two responses of 13 KB prove a finding, a reader wants the fields that differ, with the counter that fell marked. If
it is a single response, a reader wants the field with its neighbours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..api.edition import make_json_pointer, split_json_pointer
from ..api.exchange import Exchange
from ..judge.verdict import FindingEntry
from .escaping import truncate

MAX_ROWS: Final = 40
"""How many rows of one finding are shown."""

MAX_BODY_BYTES: Final = 1024 * 1024
"""Larger bodies are not parsed for a report."""

TIMESTAMP_PATH: Final = ("timestamp",)

_VALUE_LIMIT: Final = 80
_ABSENT_TEXT: Final = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleTableRow:
    """One leaf, by its JSON Pointer within the connection, and its value in each sample."""

    field: str
    values: tuple[str, ...]
    culprit: bool
    """Whether this is the field of the finding."""
    falls: bool
    """Whether it is a number that is lower in the last sample than in the first."""

    @property
    def differs(self) -> bool:
        """Whether the values differ."""
        return len(set(self.values)) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleTable:
    """
    Samples side by side: the rows worth showing, beginning with the culprit and its neighbours, and how many are left
    out.
    """

    rows: tuple[SampleTableRow, ...]
    equal: int
    """How many leaves have the same value in all samples."""
    more: int
    """How many further leaves differ that are not shown."""


def make_sample_table(entry: FindingEntry, exchanges: Sequence[Exchange]) -> SampleTable | None:
    """
    Arrange the samples of a finding side by side.

    Returns:
        The table; None if a response is missing, too large, or doesn't contain the connection.
    """
    samples = []
    for exchange in exchanges:
        sample = _sample(exchange, entry, last=exchange is exchanges[-1])
        if sample is None:
            return None
        samples.append(dict(_leaves(sample)))
    if not samples:
        return None
    culprit = _violating_leaf(entry, exchanges[-1])
    rows = [
        SampleTableRow(
            field=make_json_pointer(path),
            values=tuple(_format_leaf_at(sample, path) for sample in samples),
            culprit=path == culprit,
            falls=_decreases(samples[0].get(path), samples[-1].get(path)),
        )
        for path in dict.fromkeys(path for sample in samples for path in sample)
    ]
    if culprit not in {path for sample in samples for path in sample} and culprit:
        values = tuple(_ABSENT_TEXT for _ in samples)
        rows.append(SampleTableRow(field=make_json_pointer(culprit), values=values, culprit=True, falls=False))
    group = culprit[:-1]
    near = make_json_pointer(group)
    worth = [row for row in rows if row.culprit or (row.differs if len(samples) > 1 else row.field.startswith(near))]
    worth.sort(key=lambda row: (not row.culprit, not row.field.startswith(f"{near}/"), not row.falls))
    return SampleTable(
        rows=tuple(worth[:MAX_ROWS]),
        equal=sum(not row.differs for row in rows) if len(samples) > 1 else 0,
        more=max(0, len(worth) - MAX_ROWS),
    )


def leaf_texts(
    entry: FindingEntry, exchanges: Sequence[Exchange], *, path: tuple[str, ...] | None = None
) -> list[str | None]:
    """
    The value of one leaf in each sample of a finding.

    Args:
        path: The leaf's path within the connection; that of the finding if None.

    Returns:
        A text for each sample; None if the response is missing, or has no such leaf.
    """
    if not exchanges:
        return []
    wanted = _violating_leaf(entry, exchanges[-1]) if path is None else path
    found: list[str | None] = []
    for exchange in exchanges:
        sample = _sample(exchange, entry, last=exchange is exchanges[-1])
        leaves = {} if sample is None else dict(_leaves(sample))
        found.append(_format_leaf_at(leaves, wanted) if wanted in leaves else None)
    return found


def _sample(exchange: Exchange, entry: FindingEntry, *, last: bool) -> dict[str, Any] | None:
    response = exchange.response
    if response is None or response.withheld or len(response.body) > MAX_BODY_BYTES:
        return None
    try:
        value = json.loads(response.body)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list):
        head = entry.pointer.split("/")[1:2]
        index = int(head[0]) if last and head and head[0].isdecimal() else -1
        if response.excerpt is not None:
            place = response.excerpt.place_of(index)
            index = -1 if place is None else place
        same = [one for one in value if isinstance(one, dict) and one.get("connection_id") == entry.connection_id]
        value = value[index] if 0 <= index < len(value) else same[0] if same else None
    return value if isinstance(value, dict) else None


def _leaves(value: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, below in value.items():
        if isinstance(below, dict) and below and len(path) < 8:
            yield from _leaves(below, (*path, key))
        else:
            yield (*path, key), below


def _violating_leaf(entry: FindingEntry, exchange: Exchange) -> tuple[str, ...]:
    keys = split_json_pointer(entry.pointer)
    target = exchange.request.target
    return keys[1:] if target is not None and target.many else keys


def _format_leaf_at(sample: dict[tuple[str, ...], Any], path: tuple[str, ...]) -> str:
    if path not in sample:
        return _ABSENT_TEXT
    try:
        return truncate(json.dumps(sample[path], ensure_ascii=False), _VALUE_LIMIT)
    except (ValueError, RecursionError):
        return "(too large to be shown)"


def _decreases(before: object, after: object) -> bool:
    return (
        isinstance(before, int | float)
        and isinstance(after, int | float)
        and not isinstance(before, bool)
        and not isinstance(after, bool)
        and after < before
    )
