"""
Tracks how much of the field list a run has seen: which fields, and which counters moved. A pass only covers these.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import UNSET

from ..api.edition import Edition, FieldKind, FieldPath, FieldPresence
from ..api.edition_rules import LABELS_GROUP
from .connection_state import ConnectionState
from .edition_decoder import EditionDecoder
from .sample import Sample
from .state import State
from .verdict import CoverageSummary


class CoverageTracker:
    """Collects the fields seen and the counters that grew, as samples come in."""

    def __init__(self, edition: Edition, codec: EditionDecoder) -> None:
        self._edition = edition
        self._codec = codec
        self._plain = [
            field.path
            for field in edition.fields
            if field.path[:1] != (LABELS_GROUP,) and field.presence is not FieldPresence.CONDITIONAL
        ]
        self._fields: set[FieldPath] = set()
        self._grown: set[FieldPath] = set()
        self.known_absences: set[frozenset[FieldPath]] = set()
        """The sets of absent paths that were noted already."""

    def add_labels(self, sample: Sample, connection: ConnectionState) -> None:
        """Add the labels that are new to a connection; returns quickly if there are none."""
        configuration = sample.configuration
        if configuration.keys() <= connection.configuration.keys():
            return
        for label, others in configuration.items():
            if label in connection.configuration:
                continue
            path = self._codec.path_of_known_label(label)
            self._fields.update((*path, field.name) for field in self._codec.label_counters)
            self._fields.update(
                (*path, field.name)
                for field, value in zip(self._codec.label_others, others, strict=False)
                if value is not UNSET
            )

    def add_fields_of_sample(self, sample: Sample) -> None:
        """Add the groups and leaves that a sample has."""
        self.known_absences.add(sample.absent)
        absent = sample.absent
        self._fields.update(
            path for path in self._plain if not any(path[:depth] in absent for depth in range(1, len(path) + 1))
        )

    def add_grown_counters(self, connection: ConnectionState) -> None:
        """Add the connection's counters that are larger than when they were first seen."""
        self._grown |= self._find_grown_counters(connection)

    def _find_grown_counters(self, connection: ConnectionState) -> set[FieldPath]:
        history = connection.counter_history
        grown: set[FieldPath] = set()
        for block, first, last in zip(self._codec.blocks, history.first, history.current_maxima.blocks, strict=True):
            if first is None or last is None or first is last:
                continue
            grown.update(
                (*block.path, field.name)
                for field, old, new in zip(block.counters, first, last, strict=True)
                if 0 <= old < new
            )
        for label, counters in history.current_maxima.labels.items():
            first = history.label_starts[label].counters
            self._add_grown_label(grown, label, [old < new for old, new in zip(first, counters, strict=True)])
        for label, grew in history.grown_labels.items():
            self._add_grown_label(grown, label, grew)
        return grown

    def _add_grown_label(self, grown: set[FieldPath], label: str, grew: Sequence[bool]) -> None:
        path = self._codec.path_of_known_label(label)
        grown.update(
            (*path, field.name) for field, moved in zip(self._codec.label_counters, grew, strict=True) if moved
        )

    def fill_coverage(self, coverage: CoverageSummary, states: Collection[State]) -> None:
        """Fill in the verdict's coverage."""
        grown = set(self._grown)
        for state in states:
            for _, connection in state:
                grown |= self._find_grown_counters(connection)
        documented = self._edition.fields
        coverage.fields_seen = sum(field.path in self._fields for field in documented)
        coverage.never_seen = [field.dotted for field in documented if field.path not in self._fields]
        seen = [field for field in documented if field.kind is FieldKind.COUNTER and field.path in self._fields]
        unusable = {field.path for field in seen if any(state.is_unusable(field.path) for state in states)}
        counters = [field for field in seen if field.path not in unusable]
        coverage.unusable = [field.dotted for field in seen if field.path in unusable]
        coverage.counters_grew = sum(field.path in grown for field in counters)
        coverage.never_grew = [field.dotted for field in counters if field.path not in grown]
