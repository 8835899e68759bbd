"""
From a response's body to the samples in it, and to all in which their shape deviates.

Three paths give the same result. A body of the documented shape is decoded, and nothing more. One that deviates as the
server did before is decoded as well, since the codec has learned to let those places through, and each is judged alone.
Any other is parsed strictly and surveyed; what deviates there is learned for the next time. Where there is the
accelerator, it does the decoding of the first two, and looks for repeated keys in passing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import astuple

from ..api import strict_json
from ..api.edition import Edition, FieldDefinition, FieldKind, FieldPresence
from . import accelerator, value_text
from . import shape_deviations as shape
from . import timestamps as stamp
from .accelerator import ScannedConnection
from .checks import relations
from .checks.shape import GROUP, PATTERN, RANGE, REQUIRED, TYPE, UNDOCUMENTED
from .edition_decoder import LABELS_GROUP, MISSING_COUNTER, Counters, EditionDecoder, GroupPlan, Json, LenientLeaf
from .shape_deviations import ShapeDeviation

Path = tuple[str, ...]

CONNECTIONS_PER_SLICE: Final = 16
"""Connections of an array that are decoded between two looks at the network."""

SCAN_SLICE_BYTES: Final = 256 << 10
"""Bytes that are counted, split or read between two of them: all of 13 MB at once would take 17 ms, or 27 under load."""

STRICT_PARSE_DIVISOR: Final = 16
"""So many times less is parsed strictly between two of them: 16 KB take 0.4 ms, or 1 where they are dense."""

MAX_WASTE_FACTOR: Final = 2
"""Times its size that splitting an array may decode for nothing; then what is left is split in one go."""

_ARRAY_START: Final = re.compile(rb'[ \t\n\r]*+\[[ \t\n\r]*+(\{[ \t\n\r]*+"[^"\\]{,99}"|\{)')
"""How an array of objects begins, and how its first object does, its first key included."""

_ELEMENT_BOUNDARY: Final = rb"\}[ \t\n\r]*+,[ \t\n\r]*+(?=%b)"
"""Where one object may end and the next begin, in the way given: a server writes keys in one order."""

_MAX_BOUNDARY_BYTES: Final = 256
"""What such a place takes at most; one with more white space may be passed over, and the next one does."""

CHECKED_ROOT_LEAVES: Final = ("timestamp", "channel_id", "client_id", "bundle_id", "connection_id")
"""The connection's own leaves that checks are about."""

MAX_UNCHECKED_CHARACTERS: Final = 63
"""Characters that are 255 bytes at most, whatever they are."""

MAX_CACHED_LABELS: Final = 1000
"""Labels, and configurations of labels, that are remembered so as not to be looked at again."""

ALWAYS_DECODED_BYTES: Final = 4 << 20
"""Bodies up to this size are taken apart whatever is in them."""

MAX_CONNECTION_BYTES: Final = 16 << 20
"""A single connection beyond this is not looked into: a thousand times what one takes."""

UNSTABLE_LEVEL: Final = ("network_status", "unstable_level")
"""The one gauge that a relation is about."""


MAX_UNCHECKED_NUMBER_LENGTH: Final = 18
"""A number of up to so many characters has an exponent that any decoder can hold."""


class Sample(msgspec.Struct, kw_only=True, gc=False):
    """
    One connection's statistics inside one response, as far as they are sound.

    `index` is its place in an array, None where the body is the connection. An id or stamp is None where it is masked or
    absent, a block where its group is. `labels` holds the counters of each documented label, `configuration` its other
    leaves (None where masked, UNSET where absent).
    """

    index: int | None
    timestamp: str | None
    channel_id: str | None
    client_id: str | None
    bundle_id: str | None
    connection_id: str | None
    blocks: list[Counters | None]
    labels: dict[str, Counters]
    configuration: dict[str, tuple[Any, ...]]  # Any: leaves of their own types
    level: int | None
    deviations: list[ShapeDeviation]
    stamp_ns: int | None = None
    related: bool | None = None
    """Whether all relations hold between its counters; None where nobody has looked."""
    absent: frozenset[Path] = frozenset()
    """Paths of documented groups and leaves that are not there, labels aside."""


class ParsedBody(msgspec.Struct, kw_only=True):
    """What a body came to; `fault` says why it is no strict JSON, and then nothing else is known."""

    samples: list[Sample] = []
    fault: str | None = None
    deviations: list[ShapeDeviation] = []
    """Of the body itself: not an array, or not an object."""
    duplicates: list[tuple[str | int, ...]] = []
    """Where a key stands again, from the body on."""
    slow: int = 0
    """Connections that the decoder did not accept."""
    scanned: bool = False
    """Whether repeated keys were looked for."""
    strict: bool = False
    """Whether it is known to be strict JSON of the documented depth, as all is that the accelerator accepts."""


@dataclass(slots=True)
class _LenientPlace:
    """One place where anything is let through, and what is known of what comes there."""

    loose: LenientLeaf
    block: int | None
    """The block that its counter is in; None where it is none."""
    absence: ShapeDeviation | None
    """What it comes to where nothing stands there."""
    alone: frozenset[Path]
    """Its path and no other."""
    text: bytes = b""
    """What stood there last, if it was short: a server that is wrong mostly says the same again."""
    value: Any = None
    """That, if it is sound. Any: a leaf."""
    deviation: ShapeDeviation | None = None


class NeedsSlowPath(Exception):
    """The decoder accepted it, but the careful path cannot tell what it is: to be surveyed."""


class SampleReader:
    """
    Reads bodies of one edition, and learns as it goes. For one thread.

    Args:
        edition: The documented field list.
        accelerated: Whether to use the accelerator, where there is one.
    """

    def __init__(self, edition: Edition, *, accelerated: bool = True) -> None:
        self.edition = edition
        self._accelerated = accelerated
        self._thorough = accelerated and accelerator.is_available()
        """Whether repeated keys are looked for in every body: few are left to look into where others have been already."""
        self.codec = EditionDecoder(edition)
        self.relations = relations.resolve_relations(self.codec.blocks)
        """Those that this edition has all the counters for."""
        self._roots = {field.name: field for field in edition.root.fields}
        self._usual_labels: set[str] = set()
        self._colons_of_others: dict[tuple[Any, ...], int] = {}
        """By a label's leaves that are no counters, which hardly ever change."""
        self._unread = False
        """Whether bytes were passed over that nobody has looked into: they may be no UTF-8."""
        self._bind_decoder()

    def _bind_decoder(self) -> None:
        """Take from the codec what changes when it learns."""
        codec = self.codec
        learned = {
            (codec.block_of[loose.path[:-1]], loose.position)
            for loose in codec.loose
            if loose.learned and loose.field is not None and loose.field.kind is FieldKind.COUNTER
        }
        self._leeway_of: dict[int, _LenientPlace] = {}
        """By the loose leaf's identity."""
        self._leeways = [self._lenient_place(loose) for loose in codec.loose]
        self._rows_of_learned = [row for row in self.relations if row.involves(learned)]
        """The accelerator does not know these counters."""
        rows = [row for row in self.relations if not row.involves(learned)]
        self._scan = (
            accelerator.make_scanner(codec, [(row.operator == "==", row.left, row.right, row.unless) for row in rows])
            if self._accelerated
            else None
        )
        columns = codec.plan.columns
        names = (*CHECKED_ROOT_LEAVES, LABELS_GROUP)
        getters = [attrgetter(f"f{columns.index(name)}") if name in columns else _return_none for name in names]
        self._partial = _return_none in getters
        """Whether the edition has not all of the leaves that checks are about."""
        plan = codec.label_plan
        self._relaxed = bool(codec.learned) or codec.labels_raw
        """Whether the decoder has learned to let anything through."""
        self._extra = _any_getter([loose.get for loose in codec.loose])
        """Gives something true where a place that is let through is there."""
        self._raw_labels = plan is None or bool(plan.loose) or codec.labels_raw or (LABELS_GROUP,) in codec.learned
        if self._partial:
            self._root: Callable[[Json], tuple[Any, ...]] = lambda value: tuple(get(value) for get in getters)
        else:
            self._root = attrgetter(*(f"f{columns.index(name)}" for name in names))
        places = [place for place, plan in enumerate(codec.fetched) if plan.block is not None]
        self._places = None if places == list(range(len(places))) else places
        self._level: tuple[int, int] | None = None
        for place, plan in enumerate(codec.fetched):
            if plan.group.path == UNSTABLE_LEVEL[:1] and UNSTABLE_LEVEL[1] in plan.columns:
                self._level = place, plan.columns.index(UNSTABLE_LEVEL[1])

    def _lenient_place(self, loose: LenientLeaf) -> _LenientPlace:
        known = self._leeway_of.get(id(loose))
        if known is not None:
            return known
        field = loose.field if loose.learned else None
        made = self._leeway_of[id(loose)] = _LenientPlace(
            loose=loose,
            block=self.codec.block_of[loose.path[:-1]]
            if field is not None and field.kind is FieldKind.COUNTER
            else None,
            absence=shape.absent_leaf_deviation(field, loose.path, loose.path)
            if field is not None and field.presence is not FieldPresence.CONDITIONAL
            else None,
            alone=frozenset((loose.path,)),
        )
        return made

    # -- bodies -------------------------------------------------------------------------------------------------------

    def read(self, body: bytes, *, many: bool, scan: bool) -> ParsedBody:
        """
        Read a whole body.

        Args:
            body: A response's bytes.
            many: Whether it should be an array of connections, rather than one.
            scan: Whether to look for repeated keys where the decoder accepts it; otherwise they are found only where
                something else deviates. With the accelerator they are always looked for.
        """
        samples = self._decode_whole(body, many)
        if samples is not None:
            return ParsedBody(samples=samples, scanned=True, strict=True)
        scan = scan or self._thorough
        try:
            self._unread = False
            decoded = self.codec.many.decode(body) if many else [self.codec.one.decode(body)]
            samples = [self._take_struct(value, index if many else None) for index, value in enumerate(decoded)]
            if self._unread and not _is_utf8(body):
                raise NeedsSlowPath
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, strict_json.StrictJsonError, NeedsSlowPath):
            return _final_body(self.read_in_slices(body, many=many, scan=scan))
        if scan:
            expected = sum(map(self._count_colons, decoded, samples))
            if (expected != body.count(b":") or _may_escape_colons(body)) and _has_duplicate_keys(body):
                return _final_body(self.read_in_slices(body, many=many, scan=True))
        return ParsedBody(samples=samples, scanned=scan)

    def read_in_slices(
        self, body: bytes, *, many: bool, scan: bool, slice_bytes: int = SCAN_SLICE_BYTES
    ) -> Iterator[ParsedBody | None]:
        """
        As `read`, connection by connection: gives None after every few, and the result at last.

        The whole array is split before its first connection is read, a part at a time: where it is none, nothing is to
        be found in it, nor learned from it.
        """
        if (yield from _is_implausibly_dense(body, slice_bytes)):
            yield ParsedBody(deviations=[_density_deviation(body)], scanned=True, slow=1)
            return
        try:
            pieces = (yield from self._split_array(body, slice_bytes)) if many else [body]
        except (msgspec.MsgspecError, RecursionError):
            pieces = None
        if pieces is None:
            yield (yield from self._explain_rejected_array(body, slice_bytes))
            return
        result = ParsedBody(scanned=True)
        taken = 0
        for index, piece in enumerate(pieces):
            try:
                self._read_element(piece, index if many else None, scan, result)
            except strict_json.StrictJsonError as error:
                place = f" (in element {index} of the array)" if many else ""
                yield ParsedBody(fault=f"{error}{place}", scanned=True)
                return
            taken += len(piece)
            if index % CONNECTIONS_PER_SLICE == CONNECTIONS_PER_SLICE - 1 or taken >= slice_bytes:
                taken = 0
                yield None
        yield result

    def _split_array(self, body: bytes, slice_bytes: int) -> Generator[None, None, list[bytes]]:
        """
        The elements of an array, as `codec.split` gives them; gives way after every part.

        A part ends where one object may end and the next begin, and that is right where the part, put in brackets, is
        an array: read from its beginning, at which an element is due, the decoder comes to its last byte just as it
        would in the body, and that byte ends an element. A comma and an object follow, so at the next part's beginning
        an element is due again. Where it is no array, the place may be within a string or an element, and the next one
        is tried. What is left at last decides, with all that the body ends with, whether that is an array.

        Raises:
            msgspec.MsgspecError, RecursionError: It is no array.
        """
        if body[:_MAX_BOUNDARY_BYTES].lstrip(b" \t\n\r")[:1] not in (b"[", b""):
            raise msgspec.ValidationError("no array")  # the decoder reads a string to its end before it refuses it
        first = _ARRAY_START.match(body, 0, _MAX_BOUNDARY_BYTES)
        if first is None or len(body) <= slice_bytes:
            return list(map(bytes, self.codec.split.decode(body)))
        places = re.compile(_ELEMENT_BOUNDARY % re.escape(first[1]))
        view = memoryview(body)
        pieces: list[bytes] = []
        at, bracket = 0, b""  # the first part has a bracket of its own
        start, spare = slice_bytes, MAX_WASTE_FACTOR * len(body)
        while start < len(body) and spare > 0:
            cut = places.search(body, start, start + slice_bytes + _MAX_BOUNDARY_BYTES)
            if cut is None:
                start += slice_bytes
                yield None
                continue
            end = cut.start() + 1
            try:
                pieces += map(bytes, self.codec.split.decode(b"".join((bracket, view[at:end], b"]"))))
            except msgspec.MsgspecError:
                spare -= end - at
                start = end
            else:
                at, bracket = cut.end(), b"["
                start = at + slice_bytes
            yield None
        pieces += map(bytes, self.codec.split.decode(b"".join((bracket, view[at:])) if at else body))
        return pieces

    def _read_element(self, piece: bytes, index: int | None, scan: bool, result: ParsedBody) -> None:
        samples = self._decode_whole(piece, False)
        if samples is not None:
            for sample in samples:
                sample.index = index
            result.samples += samples
            return
        scan = scan or self._thorough
        result.scanned = result.scanned and scan
        try:
            self._unread = False
            value = self.codec.one.decode(piece)
            sample = self._take_struct(value, index)
            if self._unread and not _is_utf8(piece):
                raise NeedsSlowPath
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, strict_json.StrictJsonError, NeedsSlowPath):
            if len(piece) > MAX_CONNECTION_BYTES:
                result.slow += 1
                wire = () if index is None else (str(index),)
                result.deviations.append(msgspec.structs.replace(_density_deviation(piece), wire=wire))
                return
            document = strict_json.parse_strict_json(piece, depth=0 if index is None else 1)
        else:
            if not scan or (self._count_colons(value, sample) == piece.count(b":") and not _may_escape_colons(piece)):
                result.samples.append(sample)
                return
            document = strict_json.parse_strict_json(piece, depth=0 if index is None else 1)
            if not document.duplicates:
                result.samples.append(sample)
                return
        at = () if index is None else (index,)
        result.duplicates.extend((*at, *path) for path in document.duplicates)
        result.slow += 1
        if isinstance(document.value, dict):
            result.samples.append(self._read_slowly(document, index))
        else:
            result.deviations.append(shape.not_an_object_deviation((), (), document.value))
            result.deviations[-1] = msgspec.structs.replace(result.deviations[-1], wire=tuple(map(str, at)))

    def _explain_rejected_array(self, body: bytes, slice_bytes: int) -> Generator[None, None, ParsedBody]:
        """Why the decoder did not accept it; gives way as it looks."""
        try:
            document = yield from strict_json.parse_in_parts(body, part=max(1, slice_bytes // STRICT_PARSE_DIVISOR))
        except strict_json.StrictJsonError as error:
            return ParsedBody(fault=str(error), scanned=True)
        deviation = msgspec.structs.replace(shape.not_an_object_deviation((), (), document.value), expected="array")
        if isinstance(document, strict_json.PartwiseDocument) and isinstance(document.value, str | list | dict):
            text, size = document.text, document.characters
            actual = (
                text
                if size <= value_text.MAX_SHOWN_CHARACTERS
                else f"{text[: value_text.MAX_SHOWN_CHARACTERS]}… ({size} characters)"
            )
            deviation = msgspec.structs.replace(deviation, actual=actual)
        return ParsedBody(deviations=[deviation], duplicates=list(document.duplicates), scanned=True, slow=1)

    # -- what the accelerator accepted --------------------------------------------------------------------------------

    def _decode_whole(self, body: bytes, many: bool) -> list[Sample] | None:
        """Its samples, or None."""
        if self._scan is None:
            return None
        taken = self._scan(body, many)
        if isinstance(taken, int):
            return None
        try:
            if not many:
                return [self._samples_from_scan(taken[0], None)]
            return [self._samples_from_scan(parts, place) for place, parts in enumerate(taken)]
        except (strict_json.StrictJsonError, NeedsSlowPath):
            return None

    def _samples_from_scan(self, parts: ScannedConnection, index: int | None) -> Sample:
        (
            timestamp,
            channel_id,
            client_id,
            bundle_id,
            connection_id,
            stamp_ns,
            brief,
            level,
            blocks,
            labels,
            configuration,
            related,
            absent,
            raws,
        ) = parts
        if labels and not self._usual_labels.issuperset(labels):
            raise NeedsSlowPath
        sample = Sample(
            index=index,
            timestamp=timestamp,
            channel_id=channel_id,
            client_id=client_id,
            bundle_id=bundle_id,
            connection_id=connection_id,
            blocks=blocks,
            labels=labels,
            configuration=configuration,
            level=level,
            deviations=[],
            stamp_ns=stamp_ns,
            related=related,
        )
        loose = self._relaxed or (raws is not None and any(raws))
        if absent is not None:
            if loose:
                raise NeedsSlowPath
            self._add_absent_groups(absent, sample)
        if loose:
            for leeway, raw in zip(self._leeways, raws or (), strict=True):
                self._judge_lenient_place(leeway, raw or b"", sample)
            if related and any(row.is_violated(blocks) for row in self._rows_of_learned):
                sample.related = False
        if not brief or stamp_ns is None:
            self._check_strings(sample)
        return sample

    def _add_absent_groups(self, absent: tuple[int, ...], sample: Sample) -> None:
        groups = [self.codec.plans[place].group for place in sorted(absent)]
        sample.absent = frozenset(group.path for group in groups)
        sample.deviations += [shape.absent_group_deviation(group.path) for group in groups if not group.optional]

    # -- what the decoder accepted ------------------------------------------------------------------------------------

    def _take_struct(self, value: Json, index: int | None) -> Sample:
        codec = self.codec
        try:
            tuples = list(map(astuple, codec.fetch(value)))
        except (AttributeError, TypeError):
            return self._take_partial_struct(value, index)
        timestamp, channel_id, client_id, bundle_id, connection_id, labels = self._root(value)
        level = None
        if self._level is not None:
            place, column = self._level
            level = tuples[place][column]
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
            labels={},
            configuration={},
            level=level,
            deviations=[],
        )
        if self._relaxed or self._partial or self._extra(value):
            self._judge_lenient_places(value, sample)
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
                self._take_labels(labels, sample)
        return sample

    def _judge_lenient_places(self, value: Json, sample: Sample) -> None:
        for leeway in self._leeways:
            self._judge_lenient_place(leeway, bytes(leeway.loose.get(value)), sample)

    def _judge_lenient_place(self, leeway: _LenientPlace, text: bytes, sample: Sample) -> None:
        """Judge one place that the decoder lets through, and put what is sound where it belongs."""
        loose = leeway.loose
        field = loose.field
        value: Any = None  # Any: a leaf
        if not text:
            if field is None or not loose.learned:
                return
            deviation = leeway.absence
            sample.absent = sample.absent | leeway.alone if sample.absent else leeway.alone
        elif text == leeway.text:
            value, deviation = leeway.value, leeway.deviation
        else:
            value, deviation = self._judge_raw_value(field, loose.learned, loose.path, loose.path, text, sample.index)
            if (
                len(text) <= value_text.MAX_SHOWN_CHARACTERS and text[:1] not in b"[{"
            ):  # how deep a value may be depends on where it stands
                leeway.text, leeway.value, leeway.deviation = text, value, deviation
        if deviation is not None:
            sample.deviations.append(deviation)
        if field is None or not loose.learned:
            return
        if leeway.block is not None:
            counters = list(sample.blocks[leeway.block] or ())
            counters[loose.position] = MISSING_COUNTER if value is None else value
            sample.blocks[leeway.block] = tuple(counters)
        elif len(loose.path) == 1 and field.name in CHECKED_ROOT_LEAVES:
            setattr(sample, field.name, value)
        elif loose.path == UNSTABLE_LEVEL:
            sample.level = value

    def _judge_raw_value(
        self, field: FieldDefinition | None, learned: bool, path: Path, wire: Path, text: bytes, index: int | None
    ) -> tuple[Any, ShapeDeviation | None]:  # Any: a sound leaf's value, None where it is not
        if not text:
            missing = learned and field is not None and field.presence is not FieldPresence.CONDITIONAL
            return None, shape.absent_leaf_deviation(field, path, wire) if missing and field is not None else None
        if learned and field is not None:
            value = _parse_raw_value(text, path, index)
            deviation = shape.check_leaf(field, path, wire, value)
            return shape.usable_value(value, deviation), deviation
        number = len(text) > MAX_UNCHECKED_NUMBER_LENGTH and text[:1] in b"-0123456789"
        if number or text[:1] in b"[{" or len(text) > value_text.MAX_SHOWN_CHARACTERS or b"\\" in text:
            _parse_raw_value(text, path, index)
        if field is not None:
            return None, shape.undocumented_field_deviation(field, wire, text)
        return None, shape.unknown_key_deviation(path, wire, text)

    def _check_strings(self, sample: Sample) -> None:
        text = sample.timestamp
        if text is not None:
            sample.stamp_ns = stamp.parse_timestamp_ns(text)
            if sample.stamp_ns is None:
                self._check_string("timestamp", text, sample)
        for name in ("channel_id", "client_id", "bundle_id", "connection_id"):
            text = getattr(sample, name)
            if text is not None and len(text) > MAX_UNCHECKED_CHARACTERS:
                self._check_string(name, text, sample)

    def _check_string(self, name: str, text: str, sample: Sample) -> None:
        if deviation := shape.check_leaf(self._roots[name], (name,), (name,), text):
            sample.deviations.append(deviation)
            setattr(sample, name, None)

    # -- labels -------------------------------------------------------------------------------------------------------

    def _take_labels(self, labels: Json, sample: Sample) -> None:
        plan = self.codec.label_plan
        if isinstance(labels, Raw):
            value = _parse_raw_value(labels, (LABELS_GROUP,), sample.index)
            if isinstance(value, dict):
                raise NeedsSlowPath
            sample.deviations.append(shape.not_an_object_deviation((LABELS_GROUP,), (LABELS_GROUP,), value))
            return
        for label, value in labels.items():
            path = self.codec.edition_path_of_label(label)
            wire = (LABELS_GROUP, label)
            if path is None or plan is None:
                if isinstance(value, Raw):
                    _parse_raw_value(value, wire, sample.index)
                sample.deviations.append(shape.unknown_key_deviation(wire, wire, b"a label"))
                continue
            if len(self._usual_labels) < MAX_CACHED_LABELS:
                self._usual_labels.add(label)
            if isinstance(value, Raw):
                try:
                    value = plan.decoder.decode(value)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    raw = _parse_raw_value(value, wire, sample.index)
                    if isinstance(raw, dict):
                        raise NeedsSlowPath from None
                    sample.deviations.append(shape.not_an_object_deviation(path, wire, raw))
                    continue
            leaves = astuple(value)
            if plan.loose:
                leaves = self._judge_label(plan, leaves, path, wire, sample)
            sample.labels[label] = leaves[: plan.counters]
            sample.configuration[label] = leaves[plan.counters : plan.counters + len(self.codec.label_others)]

    def _judge_label(self, plan: GroupPlan, leaves: Json, path: Path, wire: Path, sample: Sample) -> Json:
        values = list(leaves)
        for loose in plan.loose:
            name = loose.path[-1]
            value, deviation = self._judge_raw_value(
                loose.field, loose.learned, (*path, name), (*wire, name), bytes(leaves[loose.position]), sample.index
            )
            if deviation is not None:
                sample.deviations.append(deviation)
            masked = MISSING_COUNTER if loose.position < plan.counters else None
            values[loose.position] = masked if value is None else value
        return tuple(values)

    # -- group by group ----------------------------------------------------------------------------------------------

    def _take_partial_struct(self, value: Json, index: int | None) -> Sample:
        """As `_take`, for a connection without some group."""
        sample = Sample(
            index=index,
            timestamp=None,
            channel_id=None,
            client_id=None,
            bundle_id=None,
            connection_id=None,
            blocks=[None] * len(self.codec.blocks),
            labels={},
            configuration={},
            level=None,
            deviations=[],
        )
        for name, text in zip(CHECKED_ROOT_LEAVES, self._root(value), strict=False):
            setattr(sample, name, text if isinstance(text, str) else None)
        self._take_group(self.codec.plan, value, sample)
        self._check_strings(sample)
        labels = self._root(value)[-1]
        if labels is not UNSET and labels is not None:
            self._take_labels(labels, sample)
        return sample

    def _take_group(self, plan: GroupPlan, struct: Json, sample: Sample) -> None:
        leaves = astuple(struct)
        if plan.block is not None:
            sample.blocks[plan.block] = leaves[: plan.counters]
        if plan.group.path == UNSTABLE_LEVEL[:1] and UNSTABLE_LEVEL[1] in plan.columns:
            sample.level = leaves[plan.columns.index(UNSTABLE_LEVEL[1])]
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
                    raw = _parse_raw_value(below, path, sample.index)
                    if isinstance(raw, dict):
                        raise NeedsSlowPath from None
                    sample.absent |= {path}
                    sample.deviations.append(shape.not_an_object_deviation(path, path, raw))
                    continue
            self._take_group(inner, below, sample)

    # -- repeated keys -----------------------------------------------------------------------------------------------

    def _count_colons(self, value: Json, sample: Sample) -> int:
        """Colons of a connection whose keys are all different, as far as strings have theirs unescaped."""
        codec = self.codec
        count: int = codec.colons
        if self._relaxed or sample.absent or codec.conditional or self._extra(value):
            if codec.whole_groups and codec.loose_paths.issuperset(sample.absent):
                count += sum(
                    _count_colons_of_lenient_leaf(loose, raw) for loose in codec.loose if (raw := loose.get(value))
                )
            else:
                count = self._count_colons_of_group(codec.plan, value)
        *texts, labels = self._root(value)
        count += sum(text.count(":") for text in texts if isinstance(text, str))
        plan = codec.label_plan
        if labels is UNSET or labels is None or plan is None:
            return count
        if isinstance(labels, Raw):
            return count + 1 + bytes(labels).count(b":")
        count += 1 + len(labels) * (1 + plan.colons) + sum(label.count(":") for label in labels)
        if not self._raw_labels:
            known, taken = self._colons_of_others, sample.configuration
            for label, struct in labels.items():
                others = taken.get(label)
                colons = known.get(others) if others is not None else None
                if colons is None:
                    colons = self._count_colons_of_label_leaves(astuple(struct))
                    if others is not None and None not in others and len(known) < MAX_CACHED_LABELS:
                        known[others] = colons
                count += colons
            return count
        for label, struct in labels.items():
            if isinstance(struct, Raw) and codec.edition_path_of_label(label) is not None and bytes(struct)[:1] == b"{":
                struct = plan.decoder.decode(struct)  # a repeated key in it shows in the count alone
            if isinstance(struct, Raw):
                count += bytes(struct).count(b":") - plan.colons
            else:
                leaves = astuple(struct)
                count += self._count_colons_of_label_leaves(leaves)
                count += _count_colons_of_lenient_leaves(plan, leaves)
        return count

    def _count_colons_of_label_leaves(self, leaves: Json) -> int:
        """Colons of a label's conditional leaves, and within its strings."""
        plan = self.codec.label_plan
        assert plan is not None, "there are labels"
        count: int = 0
        for leaf in leaves[plan.counters :]:
            if type(leaf) is str:
                count += leaf.count(":")
        for position in plan.conditional:
            if leaves[position] is not UNSET:
                count += 1
        return count

    def _count_colons_of_group(self, plan: GroupPlan, struct: Json) -> int:
        leaves = astuple(struct)
        count = plan.colons
        count += sum(leaves[position] is not UNSET for position in plan.conditional)
        count += _count_colons_of_lenient_leaves(plan, leaves)
        for attribute, inner in plan.below:
            below = getattr(struct, attribute)
            if isinstance(below, Raw) and bytes(below)[:1] == b"{":
                below = inner.decoder.decode(below)
            if isinstance(below, Raw):
                count += 1 + bytes(below).count(b":") if below else 0
            elif below is not UNSET:
                count += 1 + self._count_colons_of_group(inner, below)
        return count

    # -- what the decoder did not accept -----------------------------------------------------------------------------

    def _read_slowly(self, document: strict_json.StrictJsonDocument, index: int | None) -> Sample:
        value = document.value
        deviations = shape.find_all_deviations(self.edition, value)
        masked = {deviation.wire for deviation in deviations if deviation.masks}
        masked |= {tuple(map(str, path)) for path in document.duplicates}
        sound = _MaskedConnection(value, masked)
        codec = self.codec
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
            labels={},
            configuration={},
            level=None,
            deviations=deviations,
            absent=frozenset(d.path for d in deviations if d.requirement in (REQUIRED.id, GROUP.id)),
        )
        sample.stamp_ns = None if sample.timestamp is None else stamp.parse_timestamp_ns(sample.timestamp)
        level_group = sound.group(UNSTABLE_LEVEL[:1])
        if level_group is not None and UNSTABLE_LEVEL not in masked:
            sample.level = shape.integer_value(level_group.get(UNSTABLE_LEVEL[1]))
        for label in sound.group((LABELS_GROUP,)) or ():
            below = sound.group((LABELS_GROUP, label))
            if codec.edition_path_of_label(label) is None or below is None:
                continue
            sample.labels[label] = tuple(
                sound.counter(below, (LABELS_GROUP, label, field.name)) for field in codec.label_counters
            )
            sample.configuration[label] = tuple(
                sound.leaf(below, (LABELS_GROUP, label, field.name)) for field in codec.label_others
            )
        if any(
            list(
                map(
                    codec.accept_deviation,
                    (deviation.path for deviation in deviations if self._is_learnable(deviation)),
                )
            )
        ):
            self._bind_decoder()
        return sample

    def _is_learnable(self, deviation: ShapeDeviation) -> bool:
        """Whether the decoder refuses this deviation, and can learn to let it through."""
        if deviation.requirement in (GROUP.id, UNDOCUMENTED.id):
            return False
        text = len(deviation.path) == 1 and deviation.path[0] in CHECKED_ROOT_LEAVES
        return not (text and deviation.requirement in (RANGE.id, PATTERN.id))


def _has_duplicate_keys(body: bytes) -> bool:
    """Whether a body that the decoder accepts repeats a key; the values that the last one hides may be no JSON."""
    try:
        return bool(strict_json.parse_strict_json(body).duplicates)
    except strict_json.StrictJsonError:
        return True


def _parse_raw_value(raw: Raw | bytes, path: Path, index: int | None) -> Json:
    """A value that was let through, strictly; with repeated keys in it, the whole connection is surveyed."""
    document = strict_json.parse_strict_json(bytes(raw), depth=len(path) + (index is not None))
    if document.duplicates:
        raise NeedsSlowPath
    return document.value


class _MaskedConnection:
    """A parsed connection, less what is masked."""

    def __init__(self, value: dict[str, Json], masked: set[Path]) -> None:
        self._value = value
        self._masked = masked

    def group(self, path: Path) -> dict[str, Json] | None:
        node: Json = self._value
        for depth, key in enumerate(path, 1):
            if path[:depth] in self._masked or not isinstance(node, dict):
                return None
            node = node.get(key)
        return node if isinstance(node, dict) and path not in self._masked else None

    def counter(self, group: dict[str, Json], path: Path) -> int:
        value = shape.integer_value(group.get(path[-1]))
        return MISSING_COUNTER if value is None or path in self._masked else value

    def leaf(self, group: dict[str, Json], path: Path) -> Any:  # Any: a leaf of any type
        if path in self._masked:
            return None
        value = group.get(path[-1], UNSET)
        number = shape.integer_value(value)
        return value if number is None else number

    def text(self, name: str) -> str | None:
        value = self._value.get(name)
        return value if isinstance(value, str) and (name,) not in self._masked else None


def _count_colons_of_lenient_leaves(plan: GroupPlan, leaves: Json) -> int:
    """Colons of what is let through: after the key, within it, and in the raw value."""
    return sum(_count_colons_of_lenient_leaf(loose, raw) for loose in plan.loose if (raw := leaves[loose.position]))


def _count_colons_of_lenient_leaf(loose: LenientLeaf, raw: Raw) -> int:
    return 1 + loose.path[-1].count(":") + bytes(raw).count(b":")


def _any_getter(getters: list[Callable[[Json], Raw]]) -> Callable[[Json], Any]:  # Any: it is only asked for its truth
    if not getters:
        return _return_none
    return getters[0] if len(getters) == 1 else lambda value: any(get(value) for get in getters)


def _return_none(_: Json) -> None:
    return None


def _is_implausibly_dense(body: bytes, slice_bytes: int) -> Generator[None, None, bool]:
    """
    Whether a large body has far more values or objects than connections of its size can have; gives way as it counts.

    Taking such a body apart would cost many times its size in memory. A response has a comma every 35 bytes, and 14 for
    each object of some 480 bytes.
    """
    if len(body) <= ALWAYS_DECODED_BYTES:
        return False
    objects = commas = 0
    for at in range(0, len(body), slice_bytes):
        objects += body.count(b"{", at, at + slice_bytes)
        commas += body.count(b",", at, at + slice_bytes)
        yield None
    return objects > len(body) // 64 or commas > 100 * objects + 1000


def _density_deviation(body: bytes) -> ShapeDeviation:
    return ShapeDeviation(
        requirement=TYPE.id,
        path=(),
        wire=(),
        expected="connections of some 13 KB each",
        actual=f"{len(body)} bytes of something else",
        fault="too much of something else",
    )


def _may_escape_colons(body: bytes) -> bool:
    """Whether a colon, or a digit, may be written as an escape: it is in the string, and not among the body's colons."""
    return b"\\" in body and b"\\u003" in body  # the first look is cheap, and nearly always enough


def _is_utf8(body: bytes) -> bool:
    if body.isascii():
        return True
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _final_body(steps: Iterator[ParsedBody | None]) -> ParsedBody:
    *_, result = steps
    assert result is not None, "slices() ends with a result"
    return result
