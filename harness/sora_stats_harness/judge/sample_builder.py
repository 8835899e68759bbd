"""Builds samples from the results of the decoder or the accelerator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import astuple

from ..api.edition import FieldKind, FieldPresence
from ..api.edition_rules import CONNECTION_TEXTS, LABELS_GROUP, UNSTABLE_LEVEL
from . import accelerator, value_text
from . import shape_deviations as shape
from . import timestamps as stamp
from .accelerator import Scan, ScannedConnection
from .checks.relations import ResolvedRelation
from .checks.unstable_level import find_level_block
from .edition_decoder import MAX_UNCHECKED_CHARACTERS, MISSING_COUNTER, EditionDecoder, GroupPlan, Json, LenientLeaf
from .label_samples import MAX_CACHED_LABELS, take_labels
from .lenient_values import LenientPlace, NeedsSlowPath, judge_raw_value, parse_raw_value
from .sample import Sample
from .shape_deviations import ShapeDeviation


class SampleBuilder:
    """Makes samples from the results of a decoder or the accelerator; call `bind` when the decoder has learned."""

    scan: Scan | None

    def __init__(self, codec: EditionDecoder, relations: Sequence[ResolvedRelation], *, accelerated: bool) -> None:
        self.codec = codec
        self._relations = relations
        self._accelerated = accelerated
        self._level_block = find_level_block(codec.blocks)
        self._roots = {field.name: field for field in codec.edition.root.fields}
        self._usual_labels: set[str] = set()
        self.bind()

    def bind(self) -> None:
        """Update whatever depends on what the decoder has learned."""
        codec = self.codec
        self._leeway_of: dict[int, LenientPlace] = {}
        """By the id() of the lenient leaf."""
        self._leeways = [self._lenient_place(loose) for loose in codec.loose]
        self._no_raws = (None,) * len(self._leeways)
        relations = [(row.operator == "==", row.left, row.right, row.unless) for row in self._relations]
        self.scan = accelerator.make_scanner(codec, relations) if self._accelerated else None
        columns = codec.plan.columns
        names = (*CONNECTION_TEXTS, LABELS_GROUP)
        documented = {*self._roots, *(group.name for group in codec.edition.root.groups)}
        getters = [attrgetter(f"f{columns.index(name)}") if name in documented else _return_none for name in names]
        self._partial = _return_none in getters or any(
            self._roots[name].presence is FieldPresence.CONDITIONAL for name in CONNECTION_TEXTS if name in self._roots
        )
        """Whether a connection may lack some of the leaves that checks need."""
        plan = codec.label_plan
        self._relaxed = bool(codec.learned) or codec.labels_raw
        """Whether the decoder accepts any value unread."""
        self._extra = _any_getter([loose.get for loose in codec.loose])
        """Returns a true value if a place that is accepted unread is present."""
        self._raw_labels = plan is None or bool(plan.loose) or codec.labels_raw or (LABELS_GROUP,) in codec.learned
        if self._partial:
            self._root: Callable[[Json], tuple[Any, ...]] = lambda value: tuple(_given(get(value)) for get in getters)
        else:
            self._root = attrgetter(*(f"f{columns.index(name)}" for name in names))
        places = [place for place, plan in enumerate(codec.fetched) if plan.block is not None]
        self._places = None if places == list(range(len(places))) else places
        self._level: tuple[int, int] | None = None
        for place, plan in enumerate(codec.fetched):
            if plan.group.path == UNSTABLE_LEVEL[:1] and UNSTABLE_LEVEL[1] in plan.columns:
                self._level = place, plan.columns.index(UNSTABLE_LEVEL[1])

    def _lenient_place(self, loose: LenientLeaf) -> LenientPlace:
        known = self._leeway_of.get(id(loose))
        if known is not None:
            return known
        field = loose.field if loose.learned else None
        made = self._leeway_of[id(loose)] = LenientPlace(
            loose=loose,
            field=field,
            block=self.codec.block_of[loose.path[:-1]]
            if field is not None and field.kind is FieldKind.COUNTER
            else None,
            absence=shape.absent_leaf_deviation(field, loose.path, loose.path)
            if field is not None and field.presence is not FieldPresence.CONDITIONAL
            else None,
            alone=frozenset((loose.path,)),
        )
        return made

    def from_scan(
        self, connections: list[ScannedConnection], first: int | None, unlearned: list[ShapeDeviation]
    ) -> list[Sample]:
        """
        Make samples from the accelerator's result.

        Args:
            first: The index of the first one in an array, or None.
            unlearned: The deviations of samples with unknown keys are added to this.

        Raises:
            StrictJsonError, NeedsSlowPath: The body must be read in Python after all.
        """
        samples = []
        index, usual_labels, level_block = first, self._usual_labels, self._level_block
        for fields, absent, raws, unknown in connections:
            sample = Sample(*fields)
            if index is not None:
                sample.index = index
                index += 1
            if not usual_labels.issuperset(sample.labels):
                self._learn_labels(sample.labels)
            if absent or raws or self._relaxed:
                self._take_odd_places(sample, absent, raws)
            level = sample.level
            if level is not None and level_block is not None:
                counted = sample.blocks[level_block]
                if counted is not None and 0 <= level < len(counted) and not counted[level]:
                    sample.related = False
            if sample.stamp_ns is None:
                self._check_strings(sample)
            if unknown:
                self._add_unknown_keys(unknown, sample)
                unlearned += sample.deviations
            samples.append(sample)
        return samples

    def _take_odd_places(self, sample: Sample, absent: list[int], raws: tuple[bytes | None, ...]) -> None:
        """Add absent groups, and what was accepted unread."""
        is_lenient = self._relaxed or raws
        if absent:
            if is_lenient:
                raise NeedsSlowPath
            self._add_absent_groups(absent, sample)
        if is_lenient:
            for leeway, raw in zip(self._leeways, raws or self._no_raws, strict=True):
                if raw or leeway.field is not None:
                    self._judge_lenient_place(leeway, raw or b"", sample)

    def _add_unknown_keys(self, unknown: list[tuple[int, str, bytes]], sample: Sample) -> None:
        if len({(place, key) for place, key, _ in unknown}) < len(unknown):
            raise NeedsSlowPath
        for place, key, text in unknown:
            path = (*self.codec.plans[place].group.path, key)
            _, deviation = judge_raw_value(None, True, path, path, text, sample.index)
            if deviation is not None:
                sample.deviations.append(deviation)

    def _learn_labels(self, labels: Iterable[str]) -> None:
        if any(self.codec.edition_path_of_label(label) is None for label in labels):
            raise NeedsSlowPath
        if len(self._usual_labels) < MAX_CACHED_LABELS:
            self._usual_labels.update(labels)

    def _add_absent_groups(self, absent: list[int], sample: Sample) -> None:
        groups = [self.codec.plans[place].group for place in sorted(absent)]
        sample.absent = frozenset(group.path for group in groups)
        sample.deviations += [shape.absent_group_deviation(group.path) for group in groups if not group.optional]

    def from_struct(self, value: Json, index: int | None) -> Sample:
        codec = self.codec
        try:
            tuples = list(map(astuple, codec.fetch(value)))
        except (AttributeError, TypeError):
            return self._take_partial_struct(value, index)
        timestamp, channel_id, client_id, bundle_id, connection_id, labels = self._root(value)
        level = None
        if self._level is not None:
            place, column = self._level
            level = _given(tuples[place][column])
        for place, count in codec.trims:
            tuples[place] = tuples[place][:count]
        blocks: list[Any] = tuples[: len(codec.blocks)]  # Any: tuples of counters, as the decoder made them
        if self._places is not None:
            blocks = [tuples[place] for place in self._places]
        sample = Sample(
            index=index,
            timestamp=timestamp,
            channel_id=channel_id,
            client_id=client_id,
            bundle_id=bundle_id,
            connection_id=connection_id,
            blocks=blocks,
            level=level,
        )
        if self._relaxed or self._partial or self._extra(value):
            for leeway in self._leeways:
                self._judge_lenient_place(leeway, bytes(leeway.loose.get(value)), sample)
            self._check_strings(sample)
        else:
            stamp_ns = sample.stamp_ns = stamp.parse_timestamp_ns(timestamp)
            if (
                stamp_ns is None
                or len(channel_id) > MAX_UNCHECKED_CHARACTERS
                or len(client_id) > MAX_UNCHECKED_CHARACTERS
                or len(bundle_id) > MAX_UNCHECKED_CHARACTERS
                or len(connection_id) > MAX_UNCHECKED_CHARACTERS
            ):
                self._check_strings(sample)
        if labels is not UNSET and labels is not None:
            if not self._raw_labels and self._usual_labels.issuperset(labels):
                structs = labels.values()
                sample.labels = dict(zip(labels, map(codec.fetch_counters, structs), strict=True))
                sample.configuration = dict(zip(labels, map(codec.fetch_others, structs), strict=True))
            else:
                take_labels(self.codec, self._usual_labels, labels, sample)
        return sample

    def _judge_lenient_place(self, leeway: LenientPlace, text: bytes, sample: Sample) -> None:
        """Judge one raw value, and put it where it belongs if it is valid."""
        loose, field = leeway.loose, leeway.field
        value: Any = None  # Any: a leaf
        if not text:
            deviation = leeway.absence
            if deviation is not None:
                sample.absent = sample.absent | leeway.alone if sample.absent else leeway.alone
        elif text == leeway.text:
            value, deviation = leeway.value, leeway.deviation
        else:
            value, deviation = judge_raw_value(loose.field, loose.learned, loose.path, loose.path, text, sample.index)
            if (
                len(text) <= value_text.MAX_SHOWN_CHARACTERS and text[:1] not in b"[{"
            ):  # how deep a value may be depends on its place
                leeway.text, leeway.value, leeway.deviation = text, value, deviation
        if deviation is not None:
            sample.deviations.append(deviation)
        if field is None:
            return
        if leeway.block is not None:
            counters, value = sample.blocks[leeway.block] or (), MISSING_COUNTER if value is None else value
            if counters[loose.position] != value:  # else the accelerator has read it
                leaves = [*counters]
                leaves[loose.position] = value
                sample.blocks[leeway.block], sample.related = (*leaves,), None
        elif len(loose.path) == 1 and field.name in CONNECTION_TEXTS:
            setattr(sample, field.name, value)
        elif loose.path == UNSTABLE_LEVEL:
            sample.level = value

    def _check_strings(self, sample: Sample) -> None:
        text = sample.timestamp
        if text is not None:
            sample.stamp_ns = stamp.parse_timestamp_ns(text)
            if sample.stamp_ns is None:
                self._check_string("timestamp", text, sample)
        for name in CONNECTION_TEXTS[1:]:
            text = getattr(sample, name)
            if text is not None and len(text) > MAX_UNCHECKED_CHARACTERS:
                self._check_string(name, text, sample)

    def _check_string(self, name: str, text: str, sample: Sample) -> None:
        if deviation := shape.check_leaf(self._roots[name], (name,), (name,), text):
            sample.deviations.append(deviation)
            setattr(sample, name, None)

    def _take_partial_struct(self, value: Json, index: int | None) -> Sample:
        """As `from_struct`, for a connection without some group."""
        sample = Sample(index=index, blocks=[None] * len(self.codec.blocks))
        for name, text in zip(CONNECTION_TEXTS, self._root(value), strict=False):
            setattr(sample, name, text if isinstance(text, str) else None)
        self._take_group(self.codec.plan, value, sample)
        self._check_strings(sample)
        labels = self._root(value)[-1]
        if labels is not UNSET and labels is not None:
            take_labels(self.codec, self._usual_labels, labels, sample)
        return sample

    def _take_group(self, plan: GroupPlan, struct: Json, sample: Sample) -> None:
        leaves = astuple(struct)
        if plan.block is not None:
            sample.blocks[plan.block] = leaves[: plan.counters]
        if plan.group.path == UNSTABLE_LEVEL[:1] and UNSTABLE_LEVEL[1] in plan.columns:
            sample.level = _given(leaves[plan.columns.index(UNSTABLE_LEVEL[1])])
        for loose in plan.loose:
            self._judge_lenient_place(self._lenient_place(loose), bytes(leaves[loose.position]), sample)
        for attribute, inner in plan.below:
            below = getattr(struct, attribute)
            path = inner.group.path
            if below is UNSET or (isinstance(below, Raw) and not below):
                sample.absent |= {path}
                if not inner.group.optional:
                    sample.deviations.append(shape.absent_group_deviation(path))
                continue
            if isinstance(below, Raw):
                try:
                    below = inner.decoder.decode(below)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    raw = parse_raw_value(below, path, sample.index)
                    if isinstance(raw, dict):
                        raise NeedsSlowPath from None
                    sample.absent |= {path}
                    sample.deviations.append(shape.not_an_object_deviation(path, path, raw))
                    continue
            self._take_group(inner, below, sample)


def _any_getter(getters: list[Callable[[Json], Raw]]) -> Callable[[Json], Any]:  # Any: only its truth is used
    if not getters:
        return _return_none
    return getters[0] if len(getters) == 1 else lambda value: any(get(value) for get in getters)


def _return_none(_: Json) -> None:
    return None


def _given(leaf: Json) -> Json:
    return None if leaf is UNSET else leaf
