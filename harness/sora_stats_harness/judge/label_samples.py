"""Reads data-channel labels one by one: unknown ones, and those of which the decoder accepts parts unread."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import astuple

from ..api.edition import FieldPath
from ..api.edition_rules import LABELS_GROUP
from . import shape_deviations as shape
from .edition_decoder import MISSING_COUNTER, EditionDecoder, GroupPlan, Json
from .lenient_values import NeedsSlowPath, judge_raw_value, parse_raw_value
from .sample import Sample

MAX_CACHED_LABELS: Final = 1000
"""How many labels are remembered so that they need not be checked again."""


def take_labels(codec: EditionDecoder, known: set[str], labels: Json, sample: Sample) -> None:
    """Put the counters and the configuration of each label into a sample; adds the documented labels to `known`."""
    plan = codec.label_plan
    if isinstance(labels, Raw):
        value = parse_raw_value(labels, (LABELS_GROUP,), sample.index)
        if isinstance(value, dict):
            raise NeedsSlowPath
        sample.deviations.append(shape.not_an_object_deviation((LABELS_GROUP,), (LABELS_GROUP,), value))
        return
    configuration: dict[str, tuple[Any, ...]] = {}  # Any: leaves of their own types
    sample.configuration = configuration
    for label, value in labels.items():
        path = codec.edition_path_of_label(label)
        wire = (LABELS_GROUP, label)
        if path is None or plan is None:
            if isinstance(value, Raw):
                parse_raw_value(value, wire, sample.index)
            field = codec.undocumented.get(wire)
            sample.deviations.append(
                shape.unknown_key_deviation(wire, wire, shape.UNKNOWN_LABEL)
                if field is None
                else shape.undocumented_field_deviation(field, wire, shape.UNKNOWN_LABEL)
            )
            continue
        if len(known) < MAX_CACHED_LABELS:
            known.add(label)
        if isinstance(value, Raw):
            try:
                value = plan.decoder.decode(value)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raw = parse_raw_value(value, wire, sample.index)
                if isinstance(raw, dict):
                    raise NeedsSlowPath from None
                sample.deviations.append(shape.not_an_object_deviation(path, wire, raw))
                continue
        leaves = astuple(value)
        if plan.loose:
            leaves = _judge_label(plan, leaves, path, wire, sample)
        sample.labels[label] = leaves[: plan.counters]
        configuration[label] = leaves[plan.counters : plan.counters + len(codec.label_others)]


def _judge_label(plan: GroupPlan, leaves: Json, path: FieldPath, wire: FieldPath, sample: Sample) -> Json:
    values = list(leaves)
    for loose in plan.loose:
        name = loose.path[-1]
        text = bytes(leaves[loose.position])
        value, deviation = judge_raw_value(loose.field, loose.learned, (*path, name), (*wire, name), text, sample.index)
        if deviation is not None:
            sample.deviations.append(deviation)
        if value is None and loose.position < plan.counters:
            value = MISSING_COUNTER
        elif not text and deviation is None:
            value = UNSET
        values[loose.position] = value
    return tuple(values)
