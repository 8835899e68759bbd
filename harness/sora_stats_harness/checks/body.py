"""
From an answer's body to the readings in it, and to all in which their shape deviates.

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

from .. import accelerator, strict_json
from .. import edition_rules as rules
from ..accelerator import Scanned
from ..codec import LABELS, MISSING, SHORT, Codec, Counters, Json, Loose, Plan
from ..edition import Edition, Field, Kind, Presence
from . import relations, shape, stamp
from .shape import Deviation

Path = tuple[str, ...]

STEP: Final = 16
"""Connections of an array that are decoded between two looks at the network."""

SLICE_BYTES: Final = 256 << 10
"""Bytes that are counted, split or read between two of them: all of 13 MB at once would take 17 ms, or 27 under load."""

SLOWER: Final = 16
"""So many times less is parsed strictly between two of them: 16 KB take 0.4 ms, or 1 where they are dense."""

IN_VAIN: Final = 2
"""Times its size that splitting an array may decode for nothing; then what is left is split in one go."""

_FIRST: Final = re.compile(rb'[ \t\n\r]*+\[[ \t\n\r]*+(\{[ \t\n\r]*+"[^"\\]{,99}"|\{)')
"""How an array of objects begins, and how its first object does, its first key included."""

_CUT: Final = rb"\}[ \t\n\r]*+,[ \t\n\r]*+(?=%b)"
"""Where one object may end and the next begin, in the way given: a server writes keys in one order."""

_CUT_BYTES: Final = 256
"""What such a place takes at most; one with more white space may be passed over, and the next one does."""

ROOT: Final = rules.OWN_TEXTS
"""The connection's own leaves that checks are about."""

USUAL: Final = 1000
"""Labels, and configurations of labels, that are remembered so as not to be looked at again."""

WHOLE_BYTES: Final = 4 << 20
"""Bodies up to this size are taken apart whatever is in them."""

PIECE_BYTES: Final = 16 << 20
"""A single connection beyond this is not looked into: a thousand times what one takes."""

LEVEL: Final = rules.LEVEL
"""The one gauge that a relation is about."""


PLAIN_DIGITS: Final = 18
"""A whole number of up to so many digits is nothing special to any decoder."""


class Reading(msgspec.Struct, kw_only=True, gc=False):
    """
    One connection's statistics inside one answer, as far as they are sound.

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
    deviations: list[Deviation]
    stamp_ns: int | None = None
    related: bool | None = None
    """Whether all relations hold between its counters; None where nobody has looked."""
    absent: frozenset[Path] = frozenset()
    """Paths of documented groups and leaves that are not there, labels aside."""


class Body(msgspec.Struct, kw_only=True):
    """What a body came to; `fault` says why it is no strict JSON, and then nothing else is known."""

    readings: list[Reading] = []
    fault: str | None = None
    deviations: list[Deviation] = []
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
class _Leeway:
    """One place where anything is let through, and what is known of what comes there."""

    loose: Loose
    block: int | None
    """The block that its counter is in; None where it is none."""
    absence: Deviation | None
    """What it comes to where nothing stands there."""
    alone: frozenset[Path]
    """Its path and no other."""
    text: bytes = b""
    """What stood there last, if it was short: a server that is wrong mostly says the same again."""
    value: Any = None
    """That, if it is sound. Any: a leaf."""
    deviation: Deviation | None = None


class _TooOdd(Exception):
    """The decoder accepted it, but the careful path cannot tell what it is: to be surveyed."""


class BodyReader:
    """
    Reads bodies of one edition, and learns as it goes. For one thread.

    Args:
        edition: The documented field list.
        accelerated: Whether to use the accelerator, where there is one.
    """

    def __init__(self, edition: Edition, *, accelerated: bool = True) -> None:
        self.edition = edition
        self._accelerated = accelerated
        self._thorough = accelerated and accelerator.is_there()
        """Whether repeated keys are looked for in every body: few are left to look into where others have been already."""
        self.codec = Codec(edition)
        self.relations = relations.resolve(self.codec.blocks)
        """Those that this edition has all the counters for."""
        self._roots = {field.name: field for field in edition.root.fields}
        self._usual_labels: set[str] = set()
        self._colons_of_others: dict[tuple[Any, ...], int] = {}
        """By a label's leaves that are no counters, which hardly ever change."""
        self._unread = False
        """Whether bytes were passed over that nobody has looked into: they may be no UTF-8."""
        self._bind()

    def _bind(self) -> None:
        """Take from the codec what changes when it learns."""
        codec = self.codec
        learned = {
            (codec.block_of[loose.path[:-1]], loose.position)
            for loose in codec.loose
            if loose.learned and loose.field is not None and loose.field.kind is Kind.COUNTER
        }
        self._leeway_of: dict[int, _Leeway] = {}
        """By the loose leaf's identity."""
        self._leeways = [self._leeway(loose) for loose in codec.loose]
        self._rows_of_learned = [row for row in self.relations if row.involves(learned)]
        """The accelerator does not know these counters."""
        rows = [row for row in self.relations if not row.involves(learned)]
        self._scan = (
            accelerator.scanner(codec, [(row.operator == "==", row.left, row.right, row.unless) for row in rows])
            if self._accelerated
            else None
        )
        columns = codec.plan.columns
        names = (*ROOT, LABELS)
        getters = [attrgetter(f"f{columns.index(name)}") if name in columns else _nothing for name in names]
        self._partial = _nothing in getters or any(
            self._roots[name].presence is Presence.CONDITIONAL for name in ROOT if name in self._roots
        )
        """Whether a connection may lack some of the leaves that checks are about."""
        plan = codec.label_plan
        self._relaxed = bool(codec.learned) or codec.labels_raw
        """Whether the decoder has learned to let anything through."""
        self._extra = _one_of([loose.get for loose in codec.loose])
        """Gives something true where a place that is let through is there."""
        self._raw_labels = plan is None or bool(plan.loose) or codec.labels_raw or (LABELS,) in codec.learned
        if self._partial:
            self._root: Callable[[Json], tuple[Any, ...]] = lambda value: tuple(_given(get(value)) for get in getters)
        else:
            self._root = attrgetter(*(f"f{columns.index(name)}" for name in names))
        places = [place for place, plan in enumerate(codec.fetched) if plan.block is not None]
        self._places = None if places == list(range(len(places))) else places
        self._level: tuple[int, int] | None = None
        for place, plan in enumerate(codec.fetched):
            if plan.group.path == LEVEL[:1] and LEVEL[1] in plan.columns:
                self._level = place, plan.columns.index(LEVEL[1])

    def _leeway(self, loose: Loose) -> _Leeway:
        known = self._leeway_of.get(id(loose))
        if known is not None:
            return known
        field = loose.field if loose.learned else None
        made = self._leeway_of[id(loose)] = _Leeway(
            loose=loose,
            block=self.codec.block_of[loose.path[:-1]] if field is not None and field.kind is Kind.COUNTER else None,
            absence=shape.absent_leaf(field, loose.path, loose.path)
            if field is not None and field.presence is not Presence.CONDITIONAL
            else None,
            alone=frozenset((loose.path,)),
        )
        return made

    # -- bodies -------------------------------------------------------------------------------------------------------

    def read(self, body: bytes, *, many: bool, scan: bool) -> Body:
        """
        Read a whole body.

        Args:
            body: An answer's bytes.
            many: Whether it should be an array of connections, rather than one.
            scan: Whether to look for repeated keys where the decoder accepts it; otherwise they are found only where
                something else deviates. With the accelerator they are always looked for.
        """
        readings = self._receive(body, many)
        if readings is not None:
            return Body(readings=readings, scanned=True, strict=True)
        scan = scan or self._thorough
        try:
            self._unread = False
            decoded = self.codec.many.decode(body) if many else [self.codec.one.decode(body)]
            readings = [self._take(value, index if many else None) for index, value in enumerate(decoded)]
            if self._unread and not _is_utf8(body):
                raise _TooOdd
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, strict_json.NotJson, _TooOdd):
            return _last(self.slices(body, many=many, scan=scan))
        if scan:
            expected = sum(map(self._colons, decoded, readings))
            if (expected != body.count(b":") or _escapes_colons(body)) and _hides(body):
                return _last(self.slices(body, many=many, scan=True))
        return Body(readings=readings, scanned=scan)

    def slices(self, body: bytes, *, many: bool, scan: bool, slice_bytes: int = SLICE_BYTES) -> Iterator[Body | None]:
        """
        As `read`, connection by connection: gives None after every few, and the result at last.

        The whole array is split before its first connection is read, a part at a time: where it is none, nothing is to
        be found in it, nor learned from it.
        """
        if (yield from _is_absurd(body, slice_bytes)):
            yield Body(deviations=[_absurd(body)], scanned=True, slow=1)
            return
        try:
            pieces = (yield from self._split(body, slice_bytes)) if many else [body]
        except (msgspec.MsgspecError, RecursionError):
            pieces = None
        if pieces is None:
            yield (yield from self._no_array(body, slice_bytes))
            return
        result = Body(scanned=True)
        taken = 0
        for index, piece in enumerate(pieces):
            try:
                self._read_piece(piece, index if many else None, scan, result)
            except strict_json.NotJson as error:
                place = f" (in element {index} of the array)" if many else ""
                yield Body(fault=f"{error}{place}", scanned=True)
                return
            taken += len(piece)
            if index % STEP == STEP - 1 or taken >= slice_bytes:
                taken = 0
                yield None
        yield result

    def _split(self, body: bytes, slice_bytes: int) -> Generator[None, None, list[bytes]]:
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
        if body[:_CUT_BYTES].lstrip(b" \t\n\r")[:1] not in (b"[", b""):
            raise msgspec.ValidationError("no array")  # the decoder reads a string to its end before it refuses it
        first = _FIRST.match(body, 0, _CUT_BYTES)
        if first is None or len(body) <= slice_bytes:
            return list(map(bytes, self.codec.split.decode(body)))
        places = re.compile(_CUT % re.escape(first[1]))
        view = memoryview(body)
        pieces: list[bytes] = []
        at, bracket = 0, b""  # the first part has a bracket of its own
        start, spare = slice_bytes, IN_VAIN * len(body)
        while start < len(body) and spare > 0:
            cut = places.search(body, start, start + slice_bytes + _CUT_BYTES)
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

    def _read_piece(self, piece: bytes, index: int | None, scan: bool, result: Body) -> None:
        readings = self._receive(piece, False, index)
        if readings is not None:
            result.readings += readings
            return
        scan = scan or self._thorough
        result.scanned = result.scanned and scan
        try:
            self._unread = False
            value = self.codec.one.decode(piece)
            reading = self._take(value, index)
            if self._unread and not _is_utf8(piece):
                raise _TooOdd
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, strict_json.NotJson, _TooOdd):
            if len(piece) > PIECE_BYTES:
                result.slow += 1
                wire = () if index is None else (str(index),)
                result.deviations.append(msgspec.structs.replace(_absurd(piece), wire=wire))
                return
            document = strict_json.parse(piece, depth=0 if index is None else 1)
        else:
            if not scan or (self._colons(value, reading) == piece.count(b":") and not _escapes_colons(piece)):
                result.readings.append(reading)
                return
            document = strict_json.parse(piece, depth=0 if index is None else 1)
            if not document.duplicates:
                result.readings.append(reading)
                return
        at = () if index is None else (index,)
        result.duplicates.extend((*at, *path) for path in document.duplicates)
        result.slow += 1
        if isinstance(document.value, dict):
            result.readings.append(self._survey(document, index))
        else:
            result.deviations.append(shape.wrong_group((), (), document.value))
            result.deviations[-1] = msgspec.structs.replace(result.deviations[-1], wire=tuple(map(str, at)))

    def _no_array(self, body: bytes, slice_bytes: int) -> Generator[None, None, Body]:
        """Why the decoder did not accept it; gives way as it looks."""
        try:
            document = yield from strict_json.parse_in_parts(body, part=max(1, slice_bytes // SLOWER))
        except strict_json.NotJson as error:
            return Body(fault=str(error), scanned=True)
        deviation = msgspec.structs.replace(shape.wrong_group((), (), document.value), expected="array")
        if isinstance(document, strict_json.Outline) and isinstance(document.value, str | list | dict):
            text, size = document.text, document.characters
            actual = text if size <= shape.SHOWN else f"{text[: shape.SHOWN]}… ({size} characters)"
            deviation = msgspec.structs.replace(deviation, actual=actual)
        return Body(deviations=[deviation], duplicates=list(document.duplicates), scanned=True, slow=1)

    # -- what the accelerator accepted --------------------------------------------------------------------------------

    def _receive(self, body: bytes, many: bool, index: int | None = None) -> list[Reading] | None:
        """Its readings, or None; `index` is the place of a body that is an element of an array."""
        if self._scan is None:
            return None
        taken = self._scan(body, many)
        if taken is None:
            return None
        try:
            if not many:
                return [self._hand_over(taken[0], index)]
            return [self._hand_over(parts, place) for place, parts in enumerate(taken)]
        except (strict_json.NotJson, _TooOdd):
            return None

    def _hand_over(self, parts: Scanned, index: int | None) -> Reading:
        own, blocks, labels, configuration, related, stamp_ns, absent, raws = parts
        timestamp, channel_id, client_id, bundle_id, connection_id, level = own
        if labels and not self._usual_labels.issuperset(labels):
            raise _TooOdd
        reading = Reading(
            index=index, timestamp=timestamp, channel_id=channel_id, client_id=client_id, bundle_id=bundle_id,
            connection_id=connection_id, blocks=blocks, labels=labels, configuration=configuration, level=level,
            deviations=[], stamp_ns=stamp_ns, related=related,
        )  # fmt: skip
        loose = self._relaxed or (raws and any(raws))
        if absent:
            if loose:
                raise _TooOdd
            self._miss_groups(absent, reading)
        if loose:
            for leeway, raw in zip(self._leeways, raws, strict=True):
                self._let_in(leeway, raw or b"", reading)
            if related and any(row.missed(blocks) for row in self._rows_of_learned):
                reading.related = False
        if (
            stamp_ns is None or None in own or len(channel_id) > SHORT or len(client_id) > SHORT
            or len(bundle_id) > SHORT or len(connection_id) > SHORT
        ):  # fmt: skip
            self._check_texts(reading)
        return reading

    def _miss_groups(self, absent: list[int], reading: Reading) -> None:
        groups = [self.codec.plans[place].group for place in sorted(absent)]
        reading.absent = frozenset(group.path for group in groups)
        reading.deviations += [shape.absent_group(group.path) for group in groups if not group.optional]

    # -- what the decoder accepted ------------------------------------------------------------------------------------

    def _take(self, value: Json, index: int | None) -> Reading:
        codec = self.codec
        try:
            tuples = list(map(astuple, codec.fetch(value)))
        except (AttributeError, TypeError):
            return self._take_carefully(value, index)
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
        reading = Reading(
            index=index, timestamp=timestamp, channel_id=channel_id, client_id=client_id, bundle_id=bundle_id,
            connection_id=connection_id, blocks=blocks, labels={}, configuration={}, level=level, deviations=[],
        )  # fmt: skip
        if self._relaxed or self._partial or self._extra(value):
            self._judge_loose(value, reading)
            self._check_texts(reading)
        else:
            stamp_ns = reading.stamp_ns = stamp.parse(timestamp)
            if (
                stamp_ns is None or len(channel_id) > SHORT or len(client_id) > SHORT or len(bundle_id) > SHORT
                or len(connection_id) > SHORT
            ):  # fmt: skip
                self._check_texts(reading)
        if labels is not UNSET and labels is not None:
            if not self._raw_labels and self._usual_labels.issuperset(labels):
                structs = labels.values()
                reading.labels = dict(zip(labels, map(codec.fetch_counters, structs), strict=True))
                reading.configuration = dict(zip(labels, map(codec.fetch_others, structs), strict=True))
            else:
                self._take_labels(labels, reading)
        return reading

    def _judge_loose(self, value: Json, reading: Reading) -> None:
        for leeway in self._leeways:
            self._let_in(leeway, bytes(leeway.loose.get(value)), reading)

    def _let_in(self, leeway: _Leeway, text: bytes, reading: Reading) -> None:
        """Judge one place that the decoder lets through, and put what is sound where it belongs."""
        loose = leeway.loose
        field = loose.field
        value: Any = None  # Any: a leaf
        if not text:
            if field is None or not loose.learned:
                return
            deviation = leeway.absence
            reading.absent = reading.absent | leeway.alone if reading.absent else leeway.alone
        elif text == leeway.text:
            value, deviation = leeway.value, leeway.deviation
        else:
            value, deviation = self._judge_raw(field, loose.learned, loose.path, loose.path, text, reading.index)
            if len(text) <= shape.SHOWN and text[:1] not in b"[{":  # how deep a value may be depends on where it stands
                leeway.text, leeway.value, leeway.deviation = text, value, deviation
        if deviation is not None:
            reading.deviations.append(deviation)
        if field is None or not loose.learned:
            return
        if leeway.block is not None:
            counters = list(reading.blocks[leeway.block] or ())
            counters[loose.position] = MISSING if value is None else value
            reading.blocks[leeway.block] = tuple(counters)
        elif len(loose.path) == 1 and field.name in ROOT:
            setattr(reading, field.name, value)
        elif loose.path == LEVEL:
            reading.level = value

    def _judge_raw(
        self, field: Field | None, learned: bool, path: Path, wire: Path, text: bytes, index: int | None
    ) -> tuple[Any, Deviation | None]:  # Any: a sound leaf's value, None where it is not
        if not text:
            missing = learned and field is not None and field.presence is not Presence.CONDITIONAL
            return None, shape.absent_leaf(field, path, wire) if missing and field is not None else None
        if learned and field is not None:
            value = _parse_alone(text, path, index)
            deviation = shape.leaf_deviation(field, path, wire, value)
            return (value if deviation is None else None), deviation
        if not _is_plain(text):
            _parse_alone(text, path, index)
        if field is not None:
            return None, shape.known_extra(field, wire, text)
        return None, shape.unknown_key(path, wire, text)

    def _check_texts(self, reading: Reading) -> None:
        text = reading.timestamp
        if text is not None:
            reading.stamp_ns = stamp.parse(text)
            if reading.stamp_ns is None:
                self._bad_text("timestamp", text, reading)
        for name in ("channel_id", "client_id", "bundle_id", "connection_id"):
            text = getattr(reading, name)
            if text is not None and len(text) > SHORT:
                self._bad_text(name, text, reading)

    def _bad_text(self, name: str, text: str, reading: Reading) -> None:
        if deviation := shape.leaf_deviation(self._roots[name], (name,), (name,), text):
            reading.deviations.append(deviation)
            setattr(reading, name, None)

    # -- labels -------------------------------------------------------------------------------------------------------

    def _take_labels(self, labels: Json, reading: Reading) -> None:
        plan = self.codec.label_plan
        if isinstance(labels, Raw):
            value = _parse_alone(labels, (LABELS,), reading.index)
            if isinstance(value, dict):
                raise _TooOdd
            reading.deviations.append(shape.wrong_group((LABELS,), (LABELS,), value))
            return
        for label, value in labels.items():
            path = self.codec.label_path(label)
            wire = (LABELS, label)
            if path is None or plan is None:
                if isinstance(value, Raw):
                    _parse_alone(value, wire, reading.index)
                reading.deviations.append(shape.unknown_key(wire, wire, b"a label"))
                continue
            if len(self._usual_labels) < USUAL:
                self._usual_labels.add(label)
            if isinstance(value, Raw):
                try:
                    value = plan.decoder.decode(value)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    raw = _parse_alone(value, wire, reading.index)
                    if isinstance(raw, dict):
                        raise _TooOdd from None
                    reading.deviations.append(shape.wrong_group(path, wire, raw))
                    continue
            leaves = astuple(value)
            if plan.loose:
                leaves = self._judge_label(plan, leaves, path, wire, reading)
            reading.labels[label] = leaves[: plan.counters]
            reading.configuration[label] = leaves[plan.counters : plan.counters + len(self.codec.label_others)]

    def _judge_label(self, plan: Plan, leaves: Json, path: Path, wire: Path, reading: Reading) -> Json:
        values = list(leaves)
        for loose in plan.loose:
            name = loose.path[-1]
            value, deviation = self._judge_raw(
                loose.field, loose.learned, (*path, name), (*wire, name), bytes(leaves[loose.position]), reading.index
            )
            if deviation is not None:
                reading.deviations.append(deviation)
            masked = MISSING if loose.position < plan.counters else None
            values[loose.position] = masked if value is None else value
        return tuple(values)

    # -- group by group ----------------------------------------------------------------------------------------------

    def _take_carefully(self, value: Json, index: int | None) -> Reading:
        """As `_take`, for a connection without some group."""
        reading = Reading(
            index=index, timestamp=None, channel_id=None, client_id=None, bundle_id=None, connection_id=None,
            blocks=[None] * len(self.codec.blocks), labels={}, configuration={}, level=None, deviations=[],
        )  # fmt: skip
        for name, text in zip(ROOT, self._root(value), strict=False):
            setattr(reading, name, text if isinstance(text, str) else None)
        self._visit(self.codec.plan, value, reading)
        self._check_texts(reading)
        labels = self._root(value)[-1]
        if labels is not UNSET and labels is not None:
            self._take_labels(labels, reading)
        return reading

    def _visit(self, plan: Plan, struct: Json, reading: Reading) -> None:
        leaves = astuple(struct)
        if plan.block is not None:
            reading.blocks[plan.block] = leaves[: plan.counters]
        if plan.group.path == LEVEL[:1] and LEVEL[1] in plan.columns:
            reading.level = _given(leaves[plan.columns.index(LEVEL[1])])
        for loose in plan.loose:
            self._let_in(self._leeway(loose), bytes(leaves[loose.position]), reading)
        for attribute, inner in plan.below:
            below = getattr(struct, attribute)
            path = inner.group.path
            if below is UNSET or (isinstance(below, Raw) and not below):
                reading.absent |= {path}
                if not inner.group.optional:
                    reading.deviations.append(shape.absent_group(path))
                continue
            if isinstance(below, Raw):
                try:
                    below = inner.decoder.decode(below)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    raw = _parse_alone(below, path, reading.index)
                    if isinstance(raw, dict):
                        raise _TooOdd from None
                    reading.absent |= {path}
                    reading.deviations.append(shape.wrong_group(path, path, raw))
                    continue
            self._visit(inner, below, reading)

    # -- repeated keys -----------------------------------------------------------------------------------------------

    def _colons(self, value: Json, reading: Reading) -> int:
        """Colons of a connection whose keys are all different, as far as strings have theirs unescaped."""
        codec = self.codec
        count: int = codec.colons
        if self._relaxed or reading.absent or codec.conditional or self._extra(value):
            if codec.whole_groups and codec.loose_paths.issuperset(reading.absent):
                count += sum(_colons_of_one(loose, raw) for loose in codec.loose if (raw := loose.get(value)))
            else:
                count = self._colons_of(codec.plan, value)
        *texts, labels = self._root(value)
        count += sum(text.count(":") for text in texts if isinstance(text, str))
        plan = codec.label_plan
        if labels is UNSET or labels is None or plan is None:
            return count
        if isinstance(labels, Raw):
            return count + 1 + bytes(labels).count(b":")
        count += 1 + len(labels) * (1 + plan.colons) + sum(label.count(":") for label in labels)
        if not self._raw_labels:
            known, taken = self._colons_of_others, reading.configuration
            for label, struct in labels.items():
                others = taken.get(label)
                colons = known.get(others) if others is not None else None
                if colons is None:
                    colons = self._colons_of_leaves(astuple(struct))
                    if others is not None and None not in others and len(known) < USUAL:
                        known[others] = colons
                count += colons
            return count
        for label, struct in labels.items():
            if isinstance(struct, Raw) and codec.label_path(label) is not None and bytes(struct)[:1] == b"{":
                struct = plan.decoder.decode(struct)  # a repeated key in it shows in the count alone
            if isinstance(struct, Raw):
                count += bytes(struct).count(b":") - plan.colons
            else:
                leaves = astuple(struct)
                count += self._colons_of_leaves(leaves)
                count += _colons_of_loose(plan, leaves)
        return count

    def _colons_of_leaves(self, leaves: Json) -> int:
        """Colons of a label's conditional leaves, and within its strings."""
        plan = self.codec.label_plan
        assert plan is not None, "there are labels"
        count: int = 0
        for leaf in leaves[plan.counters :]:
            if type(leaf) is str:
                count += leaf.count(":")
        return count + _conditionals(plan, leaves)

    def _colons_of(self, plan: Plan, struct: Json) -> int:
        leaves = astuple(struct)
        count = plan.colons
        count += _conditionals(plan, leaves)
        count += _colons_of_loose(plan, leaves)
        for attribute, inner in plan.below:
            below = getattr(struct, attribute)
            if isinstance(below, Raw) and bytes(below)[:1] == b"{":
                below = inner.decoder.decode(below)
            if isinstance(below, Raw):
                count += 1 + bytes(below).count(b":") if below else 0
            elif below is not UNSET:
                count += 1 + self._colons_of(inner, below)
        return count

    # -- what the decoder did not accept -----------------------------------------------------------------------------

    def _survey(self, document: strict_json.Document, index: int | None) -> Reading:
        value = document.value
        deviations = shape.survey(self.edition, value)
        masked = {deviation.wire for deviation in deviations if deviation.masks}
        masked |= {tuple(map(str, path)) for path in document.duplicates}
        sound = _Sound(value, masked)
        codec = self.codec
        reading = Reading(
            index=index,
            timestamp=sound.text("timestamp"),
            channel_id=sound.text("channel_id"),
            client_id=sound.text("client_id"),
            bundle_id=sound.text("bundle_id"),
            connection_id=sound.text("connection_id"),
            blocks=[
                None if (group := sound.group(block.path)) is None
                else tuple(sound.counter(group, (*block.path, field.name)) for field in block.counters)
                for block in codec.blocks
            ],
            labels={}, configuration={}, level=None, deviations=deviations,
            absent=frozenset(d.path for d in deviations if d.requirement in ("shape.required", "shape.group")),
        )  # fmt: skip
        reading.stamp_ns = None if reading.timestamp is None else stamp.parse(reading.timestamp)
        level_group = sound.group(LEVEL[:1])
        if level_group is not None and LEVEL not in masked and type(level_group.get(LEVEL[1])) is int:
            reading.level = level_group[LEVEL[1]]
        for label in sound.group((LABELS,)) or ():
            below = sound.group((LABELS, label))
            if codec.label_path(label) is None or below is None:
                continue
            reading.labels[label] = tuple(
                sound.counter(below, (LABELS, label, field.name)) for field in codec.label_counters
            )
            reading.configuration[label] = tuple(
                sound.other(below, (LABELS, label, field.name)) for field in codec.label_others
            )
        if any(list(map(codec.learn, (deviation.path for deviation in deviations if self._teaches(deviation))))):
            self._bind()
        return reading

    def _teaches(self, deviation: Deviation) -> bool:
        """Whether the decoder refuses this deviation, and can learn to let it through."""
        if deviation.requirement in ("shape.group", "shape.undocumented"):
            return False
        text = len(deviation.path) == 1 and deviation.path[0] in ROOT
        return not (text and deviation.requirement in ("shape.range", "shape.pattern"))


def _hides(body: bytes) -> bool:
    """Whether a body that the decoder accepts repeats a key; the values that the last one hides may be no JSON."""
    try:
        return bool(strict_json.parse(body).duplicates)
    except strict_json.NotJson:
        return True


def _is_plain(text: bytes) -> bool:
    """Whether a value that was let through is JSON at a glance: a short string, whole number or word."""
    if text[:1] == b'"':
        return len(text) <= shape.SHOWN and b"\\" not in text
    if text.isdigit():
        return len(text) <= PLAIN_DIGITS and (text[:1] != b"0" or len(text) == 1)
    return text in (b"true", b"false", b"null")


def _parse_alone(raw: Raw | bytes, path: Path, index: int | None) -> Json:
    """A value that was let through, strictly; with repeated keys in it, the whole connection is surveyed."""
    document = strict_json.parse(bytes(raw), depth=len(path) + (index is not None))
    if document.duplicates:
        raise _TooOdd
    return document.value


class _Sound:
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
        value = group.get(path[-1])
        return value if type(value) is int and path not in self._masked else MISSING

    def other(self, group: dict[str, Json], path: Path) -> Any:  # Any: a leaf of any type
        if path in self._masked:
            return None
        return group.get(path[-1], UNSET)

    def text(self, name: str) -> str | None:
        value = self._value.get(name)
        return value if isinstance(value, str) and (name,) not in self._masked else None


def _conditionals(plan: Plan, leaves: Json) -> int:
    """How many of the conditional leaves are there."""
    return sum(
        leaves[position] != MISSING if position < plan.counters else leaves[position] is not UNSET
        for position in plan.conditional
    )


def _colons_of_loose(plan: Plan, leaves: Json) -> int:
    """Colons of what is let through: after the key, within it, and in the raw value."""
    return sum(_colons_of_one(loose, raw) for loose in plan.loose if (raw := leaves[loose.position]))


def _colons_of_one(loose: Loose, raw: Raw) -> int:
    return 1 + loose.path[-1].count(":") + bytes(raw).count(b":")


def _one_of(getters: list[Callable[[Json], Raw]]) -> Callable[[Json], Any]:  # Any: it is only asked for its truth
    if not getters:
        return _nothing
    return getters[0] if len(getters) == 1 else lambda value: any(get(value) for get in getters)


def _nothing(_: Json) -> None:
    return None


def _given(leaf: Json) -> Json:
    return None if leaf is UNSET else leaf


def _is_absurd(body: bytes, slice_bytes: int) -> Generator[None, None, bool]:
    """
    Whether a large body has far more values or objects than connections of its size can have; gives way as it counts.

    Taking such a body apart would cost many times its size in memory. An answer has a comma every 35 bytes, and 14 for
    each object of some 480 bytes.
    """
    if len(body) <= WHOLE_BYTES:
        return False
    objects = commas = 0
    for at in range(0, len(body), slice_bytes):
        objects += body.count(b"{", at, at + slice_bytes)
        commas += body.count(b",", at, at + slice_bytes)
        yield None
    return objects > len(body) // 64 or commas > 100 * objects + 1000


def _absurd(body: bytes) -> Deviation:
    return Deviation(
        requirement="shape.type", path=(), wire=(), expected="connections of some 13 KB each",
        actual=f"{len(body)} bytes of something else", fault="too much of something else",
    )  # fmt: skip


def _escapes_colons(body: bytes) -> bool:
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


def _last(steps: Iterator[Body | None]) -> Body:
    *_, result = steps
    assert result is not None, "slices() ends with a result"
    return result
