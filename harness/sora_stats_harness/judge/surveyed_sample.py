"""Makes a sample of a connection that the decoder did not accept, from its strictly parsed JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET

from ..api.edition import FieldPath
from ..api.edition_rules import CONNECTION_TEXTS, LABELS_GROUP, UNSTABLE_LEVEL
from ..api.strict_json import StrictJsonDocument
from . import shape_deviations as shape
from . import timestamps as stamp
from .checks.shape import GROUP, PATTERN, RANGE, REQUIRED, UNDOCUMENTED
from .edition_decoder import MISSING_COUNTER, EditionDecoder, Json
from .sample import Sample
from .shape_deviations import ShapeDeviation


def survey_sample(codec: EditionDecoder, document: StrictJsonDocument, index: int | None) -> Sample:
    """Make a sample of a connection that the decoder did not accept, with all its deviations."""
    value = document.value
    deviations = shape.find_all_deviations(codec.edition, value)
    masked = {deviation.wire for deviation in deviations if deviation.masks}
    masked |= {tuple(map(str, path)) for path in document.duplicates}
    sound = _MaskedConnection(value, masked, {field.path for field in codec.edition.fields})
    sample = Sample(
        index=index,
        timestamp=sound.text("timestamp"),
        channel_id=sound.text("channel_id"),
        client_id=sound.text("client_id"),
        bundle_id=sound.text("bundle_id"),
        connection_id=sound.text("connection_id"),
        blocks=[
            None
            if (group := sound.group(block.path)) is None
            else tuple(sound.counter(group, (*block.path, field.name)) for field in block.counters)
            for block in codec.blocks
        ],
        deviations=deviations,
        absent=frozenset(_find_absent(codec, sound, deviations)),
    )
    sample.stamp_ns = None if sample.timestamp is None else stamp.parse_timestamp_ns(sample.timestamp)
    level_group = sound.group(UNSTABLE_LEVEL[:1])
    if level_group is not None and sound.is_usable(UNSTABLE_LEVEL):
        sample.level = shape.integer_value(level_group.get(UNSTABLE_LEVEL[1]))
    configuration: dict[str, tuple[Any, ...]] = {}  # Any: leaves of their own types
    sample.configuration = configuration
    for label in sound.group((LABELS_GROUP,)) or ():
        below = sound.group((LABELS_GROUP, label))
        if codec.edition_path_of_label(label) is None or below is None:
            continue
        sample.labels[label] = tuple(
            sound.counter(below, (LABELS_GROUP, label, field.name)) for field in codec.label_counters
        )
        configuration[label] = tuple(
            sound.leaf(below, (LABELS_GROUP, label, field.name)) for field in codec.label_others
        )
    return sample


def _find_absent(
    codec: EditionDecoder, sound: _MaskedConnection, deviations: list[ShapeDeviation]
) -> Iterator[FieldPath]:
    """Fields and groups that are absent, and groups that are not objects; without labels."""
    for deviation in deviations:
        if deviation.requirement == REQUIRED.id and deviation.path[0] != LABELS_GROUP:
            yield deviation.path
    for group in codec.edition.root.walk_groups():
        path = group.path
        if path and path[0] != LABELS_GROUP and sound.group(path) is None and sound.group(path[:-1]) is not None:
            yield path


def is_learnable(deviation: ShapeDeviation) -> bool:
    """Whether the decoder rejects this deviation, and can learn to accept it."""
    if deviation.requirement in (GROUP.id, UNDOCUMENTED.id):
        return False
    text = len(deviation.path) == 1 and deviation.path[0] in CONNECTION_TEXTS
    return not (text and deviation.requirement in (RANGE.id, PATTERN.id))


class _MaskedConnection:
    """A parsed connection without masked values and undocumented keys."""

    def __init__(self, value: dict[str, Json], masked: set[FieldPath], documented: set[FieldPath]) -> None:
        self._value = value
        self._masked = masked
        self._documented = documented

    def is_usable(self, path: FieldPath) -> bool:
        return path in self._documented and path not in self._masked

    def group(self, path: FieldPath) -> dict[str, Json] | None:
        node: Json = self._value
        for depth, key in enumerate(path, 1):
            if path[:depth] in self._masked or not isinstance(node, dict):
                return None
            node = node.get(key)
        return node if isinstance(node, dict) and path not in self._masked else None

    def counter(self, group: dict[str, Json], path: FieldPath) -> int:
        value = shape.integer_value(group.get(path[-1]))
        return MISSING_COUNTER if value is None or path in self._masked else value

    def leaf(self, group: dict[str, Json], path: FieldPath) -> Any:  # Any: a leaf of any type
        if path in self._masked:
            return None
        value = group.get(path[-1], UNSET)
        number = shape.integer_value(value)
        return value if number is None else number

    def text(self, name: str) -> str | None:
        value = self._value.get(name)
        return value if isinstance(value, str) and self.is_usable((name,)) else None
