"""
Models one connection's counters: collects the events on the connection, and compiles them into a sample template.

The traffic modules add events (which, how often, with which increments); the model converts them to one formula for
each leaf. A field that no module models (a user's edition may add or rename fields) is filled in by its kind: a counter
grows at its own rate, a gauge moves within its limits, anything else is a valid constant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from random import Random
from typing import Final

from ..api.edition import FieldDefinition, FieldKind, FieldType, FieldUnit
from .connection_ids import draw_connection_id
from .counter_increments import FieldPath, Increments
from .field_index import FieldIndex
from .sample_template import (
    FIXED_POINT_BITS,
    ColumnSource,
    GroupTemplate,
    LeafValue,
    SampleTemplate,
    make_column_picker,
)

_SECOND_NS: Final = 1_000_000_000

_DEFAULT_INCREMENTS: Final = {FieldUnit.BYTES: (40, 1200), FieldUnit.MS: (3, 50), FieldUnit.US: (300, 5000)}
"""How much one event adds to a counter that no module models, by its unit; otherwise 1."""

_DEFAULT_GAUGE_RANGES: Final = (("bitrate", 300_000, 3_000_000), ("window", 4_000, 60_000), ("", 5, 300))
"""The limits of a gauge that no module models, by a word in its name."""

_GAUGE_PERIOD_RANGE_NS: Final = (3 * _SECOND_NS, 20 * _SECOND_NS)
"""How long such a gauge takes to move up and down once."""

LeafFormula = tuple[tuple[int, ...], tuple[int, ...], int]
"""How a leaf is computed: columns, a weight for each, and a constant."""


class CounterModel:
    """
    Events of one connection and their increments.

    Args:
        labels: The connection's data-channel labels; without any it has no data channels.
    """

    def __init__(self, columns: FieldIndex, labels: Collection[str], random: Random) -> None:
        self.columns = columns
        self.random = random
        self._groups = list(columns.expand_groups(labels))
        self._leaves = {(*path, field.name): field for path, group in self._groups for field in group.fields}
        self._flows: list[tuple[int, int]] = []
        self._flow_effects: list[Increments] = []
        self._sources: list[ColumnSource] = []
        self._source_effects: list[Increments] = []
        self._fixed: dict[FieldPath, int] = {}
        self._constants: dict[FieldPath, LeafValue] = {}
        self._claimed: set[FieldPath] = set()

    def add_steady_events(self, per_second: float, effects: Increments) -> None:
        """Add events at a steady rate, varied by up to an eighth; a rate of 0 only marks the fields as modelled."""
        self._claimed.update(effects)
        if per_second > 0:
            rate = per_second * self.random.uniform(0.875, 1.125)
            self._flows.append(
                (self.random.randrange(1 << FIXED_POINT_BITS), round(rate * (1 << FIXED_POINT_BITS) / _SECOND_NS))
            )
            self._flow_effects.append(effects)

    def add_initial_event(self, effects: Increments) -> None:
        """Add an event that happened when the connection began."""
        self._claimed.update(effects)
        for path, amount in effects.items():
            self._fixed[path] = self._fixed.get(path, 0) + amount

    def add_column_source(self, source: ColumnSource, effects: Iterable[Increments]) -> None:
        """Add columns that are computed in another way, with the increments of each."""
        self._sources.append(source)
        for each in effects:
            self._claimed.update(each)
            self._source_effects.append(each)

    def set_constant(self, path: FieldPath, value: LeafValue | None) -> None:
        """Set a leaf that never changes; None leaves it out."""
        self._claimed.add(path)
        if value is None:
            self._leaves.pop(path, None)
        else:
            self._constants[path] = value

    def unmodelled_leaves(self) -> dict[FieldPath, FieldDefinition]:
        """The leaves that no module models so far, except those with the time of the sample."""
        return {
            path: field
            for path, field in self._leaves.items()
            if path not in self._claimed and field.kind is not FieldKind.TIME
        }

    def build_template(self) -> SampleTemplate:
        """Fill in the remaining leaves, and compile the template."""
        self._model_remaining_leaves()
        rows: dict[FieldPath, dict[int, int]] = {}
        for column, effects in enumerate((*self._flow_effects, *self._source_effects)):
            for path, amount in effects.items():
                if amount and path in self._leaves:
                    rows.setdefault(path, {})[column] = amount
        return self._compile_template(rows)

    def _model_remaining_leaves(self) -> None:
        gauges: list[tuple[FieldPath, FieldDefinition]] = []
        unclaimed = self.unmodelled_leaves()
        for path, field in unclaimed.items():
            if field.kind is FieldKind.COUNTER:
                amount = (
                    self.random.randint(*_DEFAULT_INCREMENTS[field.unit]) if field.unit in _DEFAULT_INCREMENTS else 1
                )
                effects = {path: amount}
                if path[0] == "simulcast" and path[2:] in unclaimed:
                    effects[path[2:]] = amount  # the connection receives whatever a layer receives
                self.add_steady_events(self.random.uniform(0.3, 3), effects)
            elif field.kind is FieldKind.GAUGE and field.type is FieldType.INTEGER:
                gauges.append((path, field))
            else:
                self._constants[path] = default_value(field, self.random)
        if gauges:
            self.add_column_source(
                _make_gauge_waves([field for _, field in gauges], self.random), [{path: 1} for path, _ in gauges]
            )

    def _compile_template(self, rows: dict[FieldPath, dict[int, int]]) -> SampleTemplate:
        """Number the different formulas, and determine for every object of the response where its leaves come from."""
        formulas = {path: (tuple(row), tuple(row.values()), self._fixed.get(path, 0)) for path, row in rows.items()}
        kinds: dict[str, list[LeafFormula]] = {"sum": [], "scaled": [], "weighted": []}
        for formula in dict.fromkeys(formulas.values()):
            kind = _formula_kind(formula)
            if kind != "bare":
                kinds[kind].append(formula)
        ordered = [formula for kind in kinds.values() for formula in kind]
        bare = len(self._flows) + len(self._source_effects)
        index = {formula: bare + place for place, formula in enumerate(ordered)}

        parts: list[GroupTemplate] = []
        stamps: list[tuple[int, str]] = []
        places = {path: place for place, (path, _) in enumerate(self._groups)}
        for place, (path, group) in enumerate(self._groups):
            leaves = {field.name: (*path, field.name) for field in group.fields if (*path, field.name) in self._leaves}
            stamps += [(place, name) for name, leaf in leaves.items() if self._leaves[leaf].kind is FieldKind.TIME]
            moving = {name: formulas[leaf] for name, leaf in leaves.items() if leaf in formulas}
            indices = tuple(index.get(formula, formula[0][0]) for formula in moving.values())
            parts.append(
                GroupTemplate(
                    parent=places[path[:-1]] if path else -1,
                    name=path[-1] if path else "",
                    # the value of a constant leaf, or the first value of one that changes
                    template={
                        name: self._constants.get(leaf, self._fixed.get(leaf, 0)) for name, leaf in leaves.items()
                    },
                    keys=tuple(moving),
                    indices=indices,
                    pick=make_column_picker(indices),
                )
            )
        return SampleTemplate(
            flows=tuple(self._flows),
            sources=tuple(self._sources),
            sums=tuple((make_column_picker(columns), constant) for columns, _, constant in kinds["sum"]),
            scaled=tuple((columns[0], weights[0], constant) for columns, weights, constant in kinds["scaled"]),
            weighted=tuple(
                (make_column_picker(columns), weights, constant) for columns, weights, constant in kinds["weighted"]
            ),
            parts=tuple(parts),
            stamps=tuple(stamps),
        )


def _formula_kind(formula: LeafFormula) -> str:
    """The cheapest way to compute a formula; `bare` is an unchanged column."""
    columns, weights, constant = formula
    if len(columns) == 1:
        return "bare" if weights == (1,) and not constant else "scaled"
    return "sum" if set(weights) == {1} else "weighted"


def default_value(field: FieldDefinition, random: Random) -> LeafValue:
    """A valid value of a field about which nothing more is known."""
    if field.type is FieldType.BOOLEAN:
        return False
    if field.type is FieldType.INTEGER:
        return field.minimum if field.minimum is not None else min(0, field.maximum or 0)
    if field.values:
        return field.values[0]
    if field.form is not None:
        return "2024-01-01T00:00:00Z"
    return draw_connection_id(random)[: field.max_bytes] if field.kind is FieldKind.IDENTITY else ""


def _make_gauge_waves(fields: Sequence[FieldDefinition], random: Random) -> ColumnSource:
    """Make gauges that go up and down in straight lines, each within limits and with a period of its own."""
    waves = []
    for field in fields:
        low, high = next((low, high) for word, low, high in _DEFAULT_GAUGE_RANGES if word in field.name)
        high = high if field.maximum is None else min(high, field.maximum)
        low = min(low, high) if field.minimum is None else max(min(low, high), field.minimum)
        half = random.randrange(*_GAUGE_PERIOD_RANGE_NS) // 2
        waves.append((low, max(high - low, 0), half, random.randrange(2 * half)))

    def source(age_ns: int) -> list[int]:
        return [low + span * abs((age_ns + phase) % (2 * half) - half) // half for low, span, half, phase in waves]

    return source
