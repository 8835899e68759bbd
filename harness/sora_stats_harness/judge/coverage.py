"""
What a run has seen of the field list: which fields, and which counters ever moved. A pass says nothing about the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import UNSET

from ..api.edition import Edition, Kind, Presence
from .checks.body import Reading
from .checks.relations import Row
from .checks.subject import Subject
from .codec import LABELS, Codec, Counters
from .verdict import Coverage

Path = tuple[str, ...]


class Seen:
    """Fields seen and counters grown, gathered as readings come."""

    def __init__(self, edition: Edition, codec: Codec) -> None:
        self._edition = edition
        self._codec = codec
        self._plain = [
            field.path
            for field in edition.fields
            if field.path[:1] != (LABELS,) and field.presence is not Presence.CONDITIONAL
        ]
        self._fields: set[Path] = set()
        self._grown: set[Path] = set()
        self.noted: set[frozenset[Path]] = set()
        """What readings lacked: another one that lacks the same need not be noted."""

    def note(self, reading: Reading) -> None:
        """Take in which groups a reading has."""
        self.noted.add(reading.absent)
        absent = reading.absent
        self._fields.update(
            path for path in self._plain if not any(path[:depth] in absent for depth in range(1, len(path) + 1))
        )

    def label(self, path: Path | None, others: Sequence[Any]) -> None:  # Any: leaves of any type
        """Take in a label: its counters, and those of its other leaves that are there."""
        if path is None:
            return
        self._fields.update((*path, field.name) for field in self._codec.label_counters)
        self._fields.update(
            (*path, field.name)
            for field, value in zip(self._codec.label_others, others, strict=False)
            if value is not UNSET
        )

    def grow(self, subject: Subject) -> None:
        """Take in which of a connection's counters are larger than when they were first seen."""
        self._grown |= self._grown_of(subject)

    def _grown_of(self, subject: Subject) -> set[Path]:
        lineage = subject.lineage
        grown: set[Path] = set()
        for block, first, last in zip(self._codec.blocks, lineage.first, lineage.latest.blocks, strict=True):
            if first is None or last is None or first is last:
                continue
            grown.update(
                (*block.path, field.name)
                for field, old, new in zip(block.counters, first, last, strict=True)
                if 0 <= old < new
            )
        for label, counters in lineage.latest.labels.items():
            first = lineage.first_labels.get(label, counters)
            self._add_label(grown, label, [old < new for old, new in zip(first, counters, strict=True)])
        for label, grew in lineage.grown_labels.items():
            self._add_label(grown, label, grew)
        return grown

    def _add_label(self, grown: set[Path], label: str, grew: Sequence[bool]) -> None:
        path = self._codec.label_path(label)
        if path is not None:
            grown.update(
                (*path, field.name) for field, moved in zip(self._codec.label_counters, grew, strict=True) if moved
            )

    def relations(self, rows: Sequence[Row], subjects: Iterable[Subject]) -> Counter[str]:
        """How many readings each relation was held against in which it says anything: not all of its terms are 0."""
        checked: Counter[str] = Counter()
        for subject in subjects:
            for requirement in self.related(rows, subject.lineage.latest.blocks):
                checked[requirement] += subject.readings
        return checked

    def related(self, rows: Sequence[Row], blocks: Sequence[Counters | None]) -> set[str]:
        """The relations that say anything about these counters."""
        found = set()
        for row in rows:
            if row.id not in found:
                sides = row.terms(blocks)
                if sides is not None and any(sides):
                    found.add(row.id)
        for block in self._codec.blocks:
            if block.path == ("network_status",) and any(count > 0 for count in blocks[block.index] or ()):
                found.add("relation.unstable_level")
        return found

    def fill(self, coverage: Coverage, subjects: Iterable[Subject]) -> None:
        """Write what was seen into the verdict's coverage."""
        grown = set(self._grown)
        for subject in subjects:
            grown |= self._grown_of(subject)
        documented = self._edition.fields
        coverage.fields_seen = sum(field.path in self._fields for field in documented)
        coverage.never_seen = [field.dotted for field in documented if field.path not in self._fields]
        counters = [field for field in documented if field.kind is Kind.COUNTER and field.path in self._fields]
        coverage.counters_grew = sum(field.path in grown for field in counters)
        coverage.never_grew = [field.dotted for field in counters if field.path not in grown]
