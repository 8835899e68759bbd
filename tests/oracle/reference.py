"""
What a response, or a history of responses, comes to: worked out slowly, from the edition and the rules alone.

Nothing here imports a check, the codec or the judge. A document is parsed by a recursive descent that follows RFC
8259 line by line, walked leaf by leaf, and a history is compared pair by pair; that takes a thousand times longer
than judging it, and can be checked by eye.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import Any, Final, Literal

from sora_stats_harness.api.edition import (
    ANY_LABEL,
    Edition,
    FieldDefinition,
    FieldGroup,
    FieldKind,
    FieldPresence,
    FieldType,
    FieldUnit,
)

Json = Any
"""What `parse` gives: dict, list, str, int, bool, None, or a Fractional."""

Path = tuple[str, ...]
Where = tuple[str | int, ...]

COUNTERS_OF_LABEL: Final = 3
"""In the edition of the made-up histories."""

MAX_DEPTH: Final = 100
MAX_DIGITS: Final = 4300
MAX_EXPONENT: Final = 10**18 - 1


# -- strict JSON ------------------------------------------------------------------------------------------------------


class NotJson(Exception):  # said of a body
    """The bytes are no strict JSON."""


class BeyondLimits(Exception):  # said of a body
    """The bytes may be JSON, of more levels or digits than are read."""


@dataclass(frozen=True)
class Fractional:
    """A number that was written with a fraction or an exponent."""

    text: str

    @property
    def integral(self) -> bool:
        """Whether its value is an integer all the same."""
        mantissa, _, exponent = self.text.lower().lstrip("-").partition("e")
        whole, _, fraction = mantissa.partition(".")
        digits = whole + fraction
        if not digits.strip("0"):
            return True
        zeros = len(digits) - len(digits.rstrip("0"))
        return int(exponent or 0) - len(fraction) + zeros >= 0

    @property
    def value(self) -> int | None:
        """The integer that it is; None where it is none, or has more digits than are written out."""
        mantissa, _, exponent = self.text.lower().partition("e")
        whole, _, fraction = mantissa.lstrip("-").partition(".")
        digits, shift = (whole + fraction).lstrip("0"), int(exponent or 0) - len(fraction)
        if not self.integral or len(digits) + shift > MAX_DIGITS:
            return None
        number = int(digits or "0")
        scale: int = 10 ** abs(shift) if digits else 1
        number = number * scale if shift >= 0 else number // scale
        return -number if mantissa.startswith("-") else number

    @property
    def negative(self) -> bool:
        """Whether it is below 0; -0.0 is not."""
        mantissa: str = self.text.lower().partition("e")[0]
        return mantissa.startswith("-") and bool(mantissa.strip("-0."))

    def above(self, limit: int) -> bool:
        """Whether an integral number that is not negative is larger than a small limit."""
        mantissa, _, exponent = self.text.lower().partition("e")
        whole, _, fraction = mantissa.partition(".")
        digits = (whole + fraction).lstrip("0")
        shift = int(exponent or 0) - len(fraction)
        if not digits:
            return False
        if len(digits) + shift > 20:
            return True
        scale: int = 10 ** abs(shift)
        return int(digits) * scale > limit if shift >= 0 else int(digits) // scale > limit


class _Parser:
    """RFC 8259, rule by rule; of repeated keys the last counts, and each repetition is noted."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.repeated: list[Where] = []
        self.exceeded = False

    def document(self) -> Json:
        value = self.value((), 1)
        self.blank()
        if self.at != len(self.text):
            raise NotJson
        if self.exceeded:
            raise BeyondLimits
        return value

    def blank(self) -> None:
        while self.text[self.at : self.at + 1] in (" ", "\t", "\n", "\r"):
            self.at += 1

    def take(self, literal: str) -> bool:
        if not self.text.startswith(literal, self.at):
            return False
        self.at += len(literal)
        return True

    def need(self, literal: str) -> None:
        if not self.take(literal):
            raise NotJson

    def value(self, where: Where, depth: int) -> Json:
        self.blank()
        for literal, meaning in (("true", True), ("false", False), ("null", None)):
            if self.take(literal):
                return meaning
        if self.text[self.at : self.at + 1] == '"':
            return self.string()
        if self.text[self.at : self.at + 1] in ("{", "["):
            self.exceeded |= depth > MAX_DEPTH
            return self.object(where, depth) if self.take("{") else self.array(where, depth)
        return self.number()

    def object(self, where: Where, depth: int) -> dict[str, Json]:
        found: dict[str, Json] = {}
        self.blank()
        if self.take("}"):
            return found
        while True:
            self.blank()
            key = self.string()
            if key in found:
                self.repeated.append((*where, key))
            self.blank()
            self.need(":")
            found[key] = self.value((*where, key), depth + 1)
            self.blank()
            if self.take("}"):
                return found
            self.need(",")

    def array(self, where: Where, depth: int) -> list[Json]:
        self.need("[")
        found: list[Json] = []
        self.blank()
        if self.take("]"):
            return found
        while True:
            found.append(self.value((*where, len(found)), depth + 1))
            self.blank()
            if self.take("]"):
                return found
            self.need(",")

    def number(self) -> int | Fractional:
        match = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?").match(self.text, self.at)
        if match is None:
            raise NotJson
        self.at = match.end()
        if len(match[0]) > MAX_DIGITS:
            self.exceeded = True
            return 0
        if match[2] is None and match[3] is None:
            return int(match[0])
        if match[3] is not None and abs(int(match[3][1:])) > MAX_EXPONENT:
            self.exceeded = True
        return Fractional(match[0])

    def string(self) -> str:
        self.need('"')
        units = b""  # UTF-16, so that an escaped pair and a plain character come to the same
        while True:
            plain = re.compile(r'[^"\\\x00-\x1f]*').match(self.text, self.at)
            assert plain is not None
            units += plain[0].encode("utf-16-be")
            self.at = plain.end()
            if self.take('"'):
                break
            self.need("\\")
            units += self.escape().to_bytes(2, "big")
        try:
            return units.decode("utf-16-be")
        except UnicodeDecodeError:
            raise NotJson from None

    def escape(self) -> int:
        char = self.text[self.at : self.at + 1]
        self.at += 1
        if char == "u":
            digits = self.text[self.at : self.at + 4]
            self.at += 4
            if re.fullmatch("[0-9a-fA-F]{4}", digits) is None:
                raise NotJson
            return int(digits, 16)
        plain = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
        if char not in plain:
            raise NotJson
        return ord(plain[char])


def parse(body: bytes) -> tuple[Json, list[Where]]:
    """
    Parse bytes as strict JSON.

    Returns:
        The value, and where keys stood that their object already had.

    Raises:
        NotJson: Not UTF-8, a byte order mark, half a surrogate pair, or no JSON.
        BeyondLimits: Else more than 100 containers deep, a number of more than 4,300 characters, or an exponent beyond
            10**18.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise NotJson from None
    parser = _Parser(text)
    return parser.document(), parser.repeated


# -- the shape of a document ------------------------------------------------------------------------------------------


def pointer(where: Sequence[str | int]) -> str:
    """RFC 6901."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in where)


def document_findings(edition: Edition, body: bytes, *, many: bool) -> set[tuple[str, str]]:
    """
    Everything about the JSON, the shape and the ids of one response's body: (requirement, pointer).

    An id that stands twice is no id to go by.

    Args:
        edition: The field list.
        body: The bytes of a response.
        many: Whether the body should be an array.
    """
    try:
        document, repeated = parse(body)
    except NotJson:
        return {("http.json", "")}
    except (BeyondLimits, RecursionError):
        return {("http.json_limits", "")}
    found = {("http.duplicate_key", pointer(where)) for where in repeated}
    if many and not isinstance(document, list):
        return found | {("shape.type", "")}
    connections = list(enumerate(document)) if many else [(None, document)]
    ids: set[str] = set()
    for index, connection in connections:
        at: Where = () if index is None else (index,)
        found |= {(requirement, pointer(where)) for requirement, where in _connection(edition, connection, at)}
        key = connection.get("connection_id") if isinstance(connection, dict) else None
        if isinstance(key, str) and len(key.encode()) <= 255 and (*at, "connection_id") not in repeated:
            if key in ids:
                found.add(("identity.unique", pointer((*at, "connection_id"))))
            ids.add(key)
            if re.fullmatch("[0-9A-HJKMNP-TV-Z]{25}[048CGMRW]", key) is None:
                found.add(("identity.form", pointer((*at, "connection_id"))))
    return found


def _connection(edition: Edition, connection: Json, at: Where) -> Iterator[tuple[str, Where]]:
    if not isinstance(connection, dict):
        yield "shape.type", at
        return
    undocumented = {field.path for field in edition.undocumented}
    yield from _group(edition.root, connection, at, (), undocumented)


def _group(
    group: FieldGroup, value: dict[str, Json], at: Where, path: Path, undocumented: set[Path]
) -> Iterator[tuple[str, Where]]:
    for field in group.fields:
        if field.name in value:
            missed = leaf_fault(field, value[field.name])
            if missed:
                yield missed, (*at, field.name)
        elif field.presence is not FieldPresence.CONDITIONAL:
            yield "shape.required", (*at, field.name)
    names = {inner.name: inner for inner in group.groups}
    for name, inner in names.items():
        if name not in value and not inner.optional:
            yield "shape.group", (*at, name)
    for key, below in value.items():
        known = names.get(key)
        if known is None and ANY_LABEL in names and key.startswith("#"):
            known = names[ANY_LABEL]
        if known is not None:
            if isinstance(below, dict):
                yield from _group(known, below, (*at, key), (*path, key), undocumented)
            else:
                yield "shape.type", (*at, key)
        elif key not in {field.name for field in group.fields}:
            yield "shape.undocumented" if (*path, key) in undocumented else "shape.unknown", (*at, key)


def leaf_fault(field: FieldDefinition, value: Json) -> str | None:
    """The first requirement that a leaf's value misses: type, closed set, limits, form, and how it is written."""
    if field.type is FieldType.BOOLEAN:
        return None if isinstance(value, bool) else "shape.type"
    if field.type is FieldType.STRING:
        if not isinstance(value, str):
            return "shape.type"
        if field.values is not None and value not in field.values:
            return "shape.enum"
        if field.max_bytes is not None and len(value.encode()) > field.max_bytes:
            return "shape.range"
        return "shape.pattern" if field.form is not None and not is_utc_time(value) else None
    if isinstance(value, Fractional):
        if not value.integral:
            return "shape.type"
        if field.minimum is not None and (assert_zero(field.minimum) or value.negative):
            return "shape.range"
        return "shape.range" if field.maximum is not None and value.above(field.maximum) else "shape.lexical"
    if not isinstance(value, int) or isinstance(value, bool):
        return "shape.type"
    if field.minimum is not None and value < field.minimum:
        return "shape.range"
    return "shape.range" if field.maximum is not None and value > field.maximum else None


def assert_zero(minimum: int) -> bool:
    """Every minimum of the editions is 0, which `Fractional.negative` relies on."""
    assert minimum == 0
    return False


def is_utc_time(text: str) -> bool:
    """RFC 3339, offset zero, a day that the calendar has; second 60 only at the end of a day."""
    match = re.fullmatch(
        r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?([Zz]|[+-]00:00)", text
    )
    if match is None:
        return False
    year, month, day, hour, minute, second = (int(number) for number in match.groups()[:6])
    try:
        date(year, month, day)
    except ValueError:
        return False
    return (hour < 24 and minute < 60 and second < 60) or (hour, minute, second) == (23, 59, 60)


def leaves(document: Mapping[str, Json]) -> dict[Path, Json]:
    """Every leaf of a nested object, by its keys."""
    found: dict[Path, Json] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            found |= {(key, *path): leaf for path, leaf in leaves(value).items()}
        else:
            found[(key,)] = value
    return found


# -- order ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One exchange: its times, and the parsed body of a whole 200; None where there is none to read."""

    run: str
    clock: str
    seq: int
    sent_ns: int
    received_ns: int
    body: Json


@dataclass(frozen=True, kw_only=True, order=True)
class Fall:
    """A counter of the later exchange that is below what was known before that exchange was asked for."""

    later: tuple[str, int]
    earlier: tuple[str, int]
    pointer: str
    field: str
    connection_id: str
    before: int
    after: int
    certain: bool = True
    """Whether it can't be that the data channel was opened again."""


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """One connection in one exchange: sound counters by wire path, and the labels that are there."""

    seen: Seen
    at: Where
    connection_id: str
    counters: dict[Path, int]
    labels: frozenset[str]
    """Those that are there, as objects."""
    is_readable: bool
    """Whether all of its data channels are as documented."""


def falls(edition: Edition, history: Sequence[Seen]) -> set[Fall]:
    """
    Every counter that fell, by comparing all pairs. O(n^2) in samples.

    A precedes B where A was received before B was sent, strictly, in one run and on one clock, about one connection.
    A data channel may close and open again, so a counter of a label in A counts only if no response that came in before
    B lacks the label, but those that had come in before A was asked for. Of a connection that stands twice in an
    response, the first counts.
    """
    return _Order(edition, history).falls


@dataclass(frozen=True, kw_only=True, order=True)
class Gap:
    """An exchange that lacks a data channel which those before and after it have."""

    lacks: tuple[str, int]
    later: tuple[str, int]
    connection_id: str
    label: str


def gaps(edition: Edition, history: Sequence[Seen]) -> set[Gap]:
    """
    Every label that is missing once though its counters carry on, by comparing all samples of a connection. O(n^3).

    B lacks a label that A had, where A was received before B was sent. The next sample that was sent after all that lack it
    had been received decides: where each of its counters is at least the largest one that was known before B was sent, the
    channel was there. Of several samples in a row that lack it the first is told.
    """
    return _Order(edition, history).gaps


@dataclass(frozen=True, kw_only=True)
class _Start:
    """The first sample of a channel as it is now."""

    received_ns: int
    counters: dict[Path, int]


_Key = tuple[str, str, str]
"""A run, a clock in it, and a connection."""


@cache
def _message_counters(edition: Edition) -> set[str]:
    return {
        field.name
        for group in edition.root.walk_groups()
        for field in group.fields
        if group.path[:1] == ("data_channel",) and field.unit is FieldUnit.COUNT
    }


class _Order:
    """Walks through the samples by receipt; each is compared with all before it."""

    def __init__(self, edition: Edition, history: Sequence[Seen]) -> None:
        self.edition = edition
        self.messages = _message_counters(edition)
        self.falls: set[Fall] = set()
        self.gaps: set[Gap] = set()
        self.seen: dict[_Key, list[_Sample]] = {}
        self.open: dict[tuple[_Key, str], _Start] = {}
        self.began: dict[tuple[_Key, str], _Start] = {}
        self.doubtful: dict[tuple[_Key, str], tuple[dict[Path, int], _Start]] = {}
        self.missing: dict[tuple[_Key, str], tuple[dict[Path, int], _Sample, _Start]] = {}
        samples = [sample for seen in history for sample in _samples(edition, seen)]
        for sample in sorted(samples, key=lambda sample: (sample.seen.received_ns, sample.seen.seq)):
            self.add((sample.seen.run, sample.seen.clock, sample.connection_id), sample)

    def add(self, key: _Key, whole: _Sample) -> None:
        before = self.seen.setdefault(key, [])
        known = [a for a in before if a.seen.received_ns < whole.seen.sent_ns]
        b = self.without_reopened(key, whole, before, known)
        fell = [
            fall
            for path, after in b.counters.items()
            if (fall := self.fall(path, after, b, before, known, certain=True)) is not None
        ]
        self.falls |= set(fell)
        for label in {label for a in before for label in a.labels}:
            if label not in b.labels:
                self.open.pop((key, label), None)
            if label not in whole.labels:
                self.doubtful.pop((key, label), None)
        for label in b.labels:
            if (key, label) not in self.open and _closed_ns(label, before) < b.seen.sent_ns:
                self.begin(key, label, b)
                self.end_gap(key, label, b, fell=bool(fell))
        for label in {label for a in known for label in a.labels} - whole.labels:
            largest = _largest(label, known, known)
            if b.is_readable and any(largest.values()):
                self.missing.setdefault((key, label), (largest, b, self.began[key, label]))
        before.append(b)

    def without_reopened(
        self, key: _Key, whole: _Sample, before: Sequence[_Sample], known: Sequence[_Sample]
    ) -> _Sample:
        """The sample without the `#` labels that may have been opened again since; those of which only a part is lower are told."""
        own = (
            value < a.counters.get(path, 0)
            for a in known
            for path, value in whole.counters.items()
            if len(path) < 3 or path[0] != "data_channel"
        )
        if any(own):
            return whole  # its own counters fell, and those of its channels for the same reason
        b = whole
        for label in sorted(label for label in whole.labels if label.startswith("#")):
            largest = _largest(label, before, known)
            lower = [path for path in largest if path in whole.counters and whole.counters[path] < largest[path]]
            if not lower:
                continue
            if not all(self.begins_again(path, largest[path], whole) for path in largest if largest[path] > 0):
                sent_ns = max(_first(path, largest[path], before, known).seen.sent_ns for path in lower)
                if whole.seen.received_ns - sent_ns < 100_000_000:
                    continue
                if any(self.went_on(key, label, path, whole, before, known) for path in largest):
                    continue
                self.doubtful[key, label] = (largest, self.open[key, label])
                told = [self.fall(path, whole.counters[path], whole, before, known, certain=False) for path in lower]
                self.falls |= {fall for fall in told if fall is not None}
            kept = {path: value for path, value in b.counters.items() if path[:2] != ("data_channel", label)}
            b = replace(b, counters=kept, labels=b.labels - {label})
        return b

    def begins_again(self, path: Path, largest: int, b: _Sample) -> bool:
        """Whether a counter is lower now, or counts the few messages that may have been sent each time."""
        after = b.counters.get(path)
        return after is not None and (after < largest or (after == largest < 20 and path[-1] in self.messages))

    def went_on(
        self, key: _Key, label: str, path: Path, b: _Sample, before: Sequence[_Sample], known: Sequence[_Sample]
    ) -> bool:
        """Whether a channel that was opened again would have had to count messages ten times as fast as it ever did."""
        largest = _largest(label, before, known)[path]
        if path[-1] not in self.messages or b.counters.get(path, -1) < largest:
            return False
        start = self.open[key, label]
        first = _first(path, largest, before, known)
        again_ns = b.seen.received_ns - first.seen.sent_ns
        return largest - start.counters.get(path, 0) >= 20 and first.seen.sent_ns - start.received_ns >= 10 * again_ns

    def fall(
        self, path: Path, after: int, b: _Sample, before: Sequence[_Sample], known: Sequence[_Sample], *, certain: bool
    ) -> Fall | None:
        values = [a.counters[path] for a in known if path in a.counters and not _reopened(path, a, before)]
        if max(values, default=after) <= after:
            return None
        first = _first(path, max(values), before, known)
        return Fall(
            later=(b.seen.run, b.seen.seq),
            earlier=(first.seen.run, first.seen.seq),
            pointer=pointer((*b.at, *path)),
            field=pointer(generic(self.edition, path)),
            connection_id=b.connection_id,
            before=max(values),
            after=after,
            certain=certain,
        )

    def begin(self, key: _Key, label: str, b: _Sample) -> None:
        """The channel is open from here on, or goes on: where all that was known before a doubtful sample is reached again."""
        counters = {path: value for path, value in b.counters.items() if path[:2] == ("data_channel", label)}
        start = _Start(received_ns=b.seen.received_ns, counters=counters)
        largest, earlier = self.doubtful.pop((key, label), ({}, start))
        carries_on = all(counters.get(path, -1) >= value for path, value in largest.items())
        self.open[key, label] = self.began[key, label] = earlier if carries_on else start

    def end_gap(self, key: _Key, label: str, b: _Sample, *, fell: bool) -> None:
        if (key, label) not in self.missing:
            return
        largest, lacking, start = self.missing.pop((key, label))
        if all(b.counters.get(path, -1) >= value for path, value in largest.items()):
            self.open[key, label] = self.began[key, label] = start
            here, there = (lacking.seen.run, lacking.seen.seq), (b.seen.run, b.seen.seq)
            if not fell:
                self.gaps.add(Gap(lacks=here, later=there, connection_id=b.connection_id, label=label))


def _closed_ns(label: str, before: Sequence[_Sample]) -> int:
    """When the last sample without a label was received."""
    return max((a.seen.received_ns for a in before if label not in a.labels), default=-(2**63))


def _largest(label: str, before: Sequence[_Sample], known: Sequence[_Sample]) -> dict[Path, int]:
    """The largest known value of each counter of a label, since it was last known to be closed."""
    largest: dict[Path, int] = {}
    for a in known:
        for path, value in a.counters.items():
            if path[:2] == ("data_channel", label) and not _reopened(path, a, before):
                largest[path] = max(value, largest.get(path, 0))
    return largest


def _first(path: Path, value: int, before: Sequence[_Sample], known: Sequence[_Sample]) -> _Sample:
    """The first sample that has a value which counts."""
    return next(a for a in known if a.counters.get(path) == value and not _reopened(path, a, before))


def _reopened(path: Path, a: _Sample, before: Sequence[_Sample]) -> bool:
    """Whether a sample that was not surely read before A lacks the counter's label."""
    return path[0] == "data_channel" and any(
        path[1] not in lacks.labels and not lacks.seen.received_ns < a.seen.sent_ns for lacks in before
    )


def _samples(edition: Edition, seen: Seen) -> Iterator[_Sample]:
    body = seen.body
    if body is None:
        return
    connections = list(enumerate(body)) if isinstance(body, list) else [(None, body)]
    met = set()
    for index, connection in connections:
        key = connection.get("connection_id") if isinstance(connection, dict) else None
        if not isinstance(key, str) or len(key.encode()) > 255 or key in met:
            continue
        met.add(key)
        channel = connection.get("data_channel", {})
        yield _Sample(
            seen=seen,
            at=() if index is None else (index,),
            connection_id=key,
            counters=dict(_counters(edition, connection)),
            labels=frozenset(_objects(channel)),
            is_readable=isinstance(channel, dict) and all(_is_whole(label) for label in channel.values()),
        )


def _objects(value: Json) -> list[str]:
    return [key for key, below in value.items() if isinstance(below, dict)] if isinstance(value, dict) else []


def _is_whole(label: Json) -> bool:
    """Whether a label of the histories is an object with all of its counters."""
    counters = [value for key, value in label.items() if key.startswith("total_")] if isinstance(label, dict) else []
    return len(counters) == COUNTERS_OF_LABEL and all(type(value) is int and value >= 0 for value in counters)


@cache
def _counters_and_groups(edition: Edition) -> tuple[set[Path], set[Path]]:
    counters = {field.path for field in edition.fields if field.kind is FieldKind.COUNTER}
    return counters, {group.path for group in edition.root.walk_groups()}


def _counters(edition: Edition, value: Json, wire: Path = (), path: Path = ()) -> Iterator[tuple[Path, int]]:
    """The sound counters of a group, which stands at `wire` in the response and at `path` in the edition."""
    counters, groups = _counters_and_groups(edition)
    for key, below in value.items() if isinstance(value, dict) else ():
        here = (*path, key)
        if here in counters:
            number = integer(below)
            if number is not None and number >= 0:
                yield (*wire, key), number
            continue
        known = here if here in groups or not key.startswith("#") else (*path, ANY_LABEL)
        if known in groups:
            yield from _counters(edition, below, (*wire, key), known)


def generic(edition: Edition, path: Path) -> Path:
    """Wire keys as the edition's path: a messaging label that it does not name is `#*`."""
    known = {group.name for group in edition.root.groups if group.name == "data_channel" for group in group.groups}
    if path[0] == "data_channel" and path[1] not in known and path[1].startswith("#"):
        return (path[0], ANY_LABEL, *path[2:])
    return path


# -- relations --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Relation:
    """`left == right` or `left <= right`, each a weighted sum of fields."""

    name: str
    kind: Literal["==", "<="]
    left: tuple[tuple[int, str], ...]
    right: tuple[tuple[int, str], ...]
    relaxed_by: tuple[str, ...] = ()
    """Fields that turn `==` into `>=` where one of them is not 0."""

    @property
    def key(self) -> tuple[str, str]:
        """What findings say: the requirement, and the first field of the left side."""
        return f"relation.{self.name}", "/" + self.left[0][1].replace(".", "/")

    @property
    def counters(self) -> frozenset[str]:
        """Every field that it is about."""
        return frozenset({name for _, name in (*self.left, *self.right)} | set(self.relaxed_by))


def _terms(*names: str) -> tuple[tuple[int, str], ...]:
    return tuple((1, name) for name in names)


def _le(name: str, left: Sequence[str], right: Sequence[str]) -> Relation:
    return Relation(name=name, kind="<=", left=_terms(*left), right=_terms(*right))


def _relations() -> Iterator[Relation]:
    drops = {
        "received": ("rtp.total_received_srtp_invalid", "packet_loss_simulator.total_dropped_received_rtp"),
        "sent": ("packet_loss_simulator.total_dropped_sent_rtp",),
    }
    subtypes = (
        "bye",
        "psfb_afb",
        "psfb_fir",
        "psfb_pli",
        "rr",
        "rtpfb_generic_nack",
        "rtpfb_tmmbn",
        "rtpfb_tmmbr",
        "rtpfb_transport_wide",
        "sdes",
        "sr",
        "unknown",
        "xr",
    )
    extensions = (
        "abs_send_time",
        "audio_level",
        "av1_rtp_sepc",
        "color_space",
        "inband_cn",
        "playout_delay",
        "sdes_mid",
        "sdes_repaired_rtp_stream_id",
        "sdes_rtp_stream_id",
        "toffset",
        "transport_wide_cc",
        "video_content_type",
        "video_orientation",
        "video_timeing",
    )
    chunks = (
        "abort",
        "asconf",
        "asconf_ack",
        "auth",
        "cookie_ack",
        "cookie_echo",
        "cwr",
        "data",
        "ecne",
        "error",
        "forward_tsn",
        "heartbeat",
        "heartbeat_ack",
        "i_data",
        "i_forward_tsn",
        "init",
        "init_ack",
        "pad",
        "reconfig",
        "sack",
        "shutdown",
        "shutdown_ack",
        "shutdown_complete",
        "unknown",
    )
    for x in ("received", "sent"):
        yield Relation(
            name="total_packets",
            kind="==",
            left=_terms(f"rtp.total_{x}"),
            right=_terms(f"rtp.total_{x}_rtp", f"rtcp.total_{x}_rtcp"),
            relaxed_by=drops["received"] + drops["sent"],
        )
        yield Relation(
            name="total_byte_size",
            kind="==",
            left=_terms(f"rtp.total_{x}_byte_size"),
            right=_terms(f"rtp.total_{x}_rtp_byte_size", f"rtcp.total_{x}_rtcp_byte_size"),
            relaxed_by=drops["received"] + drops["sent"],
        )
        yield Relation(
            name="rtp_min_size",
            kind="<=",
            left=((12, f"rtp.total_{x}_rtp"),),
            right=_terms(f"rtp.total_{x}_rtp_byte_size"),
        )
        yield Relation(
            name="rtcp_min_size",
            kind="<=",
            left=((8, f"rtcp.total_{x}_rtcp"),),
            right=_terms(f"rtcp.total_{x}_rtcp_byte_size"),
        )
        yield _le("rtcp_subtypes", [f"rtcp.total_{x}_rtcp"], [f"rtcp.total_{x}_rtcp_{kind}" for kind in subtypes])
        for extension in extensions:
            yield _le("rtp_hdr_ext", [f"rtp_hdr_ext.total_{x}_rtp_hdr_ext_{extension}"], [f"rtp.total_{x}_rtp"])
        counted = [f"sctp.total_{x}_sctp_chunk_{chunk}" for chunk in chunks]
        yield _le("sctp_chunks", [f"sctp.total_{x}_sctp"], counted)
        yield Relation(
            name="sctp_min_size",
            kind="<=",
            left=((12, f"sctp.total_{x}_sctp"), *((4, c) for c in counted)),
            right=_terms(f"sctp.total_{x}_sctp_byte_size"),
        )
        yield _le("sctp_zero_checksum", [f"sctp.total_{x}_sctp_zero_checksum"], [f"sctp.total_{x}_sctp"])
    yield Relation(
        name="decrypt_skipped",
        kind="==",
        left=_terms("rtp.total_decrypt_skipped_srtp"),
        right=_terms("rtp.total_decrypt_skipped_audio_srtp", "rtp.total_decrypt_skipped_video_srtp"),
    )
    yield _le("decrypt_skipped_received", ["rtp.total_decrypt_skipped_srtp"], ["rtp.total_received_rtp"])
    for kind in ("rtx", "padding", "red", "red_rtx", "red_ulpfec"):
        yield _le("rtp_subset", [f"rtp.total_received_rtp_{kind}"], ["rtp.total_received_rtp"])
    for response, asked in (("init_ack", "init"), ("cookie_ack", "cookie_echo"), ("heartbeat_ack", "heartbeat")):
        yield _le(
            "sctp_responses", [f"sctp.total_sent_sctp_chunk_{response}"], [f"sctp.total_received_sctp_chunk_{asked}"]
        )
    for method in ("allocate", "refresh", "create_permission", "channel_bind", "binding"):
        results = [f"turn.total_sent_{method}_{result}" for result in ("success", "error")]
        yield _le("turn_responses", results, [f"turn.total_received_{method}_request"])
    ice = "ice_connection_state.total_"
    states = ("connected", "checking", "disconnected")
    yield _le("ice_acks", [f"{ice}{state}_ack" for state in states], [f"{ice}{state}_req" for state in states])
    yield _le("ice_connected", [f"{ice}connected_to_checking"], [f"{ice}checking_to_connected"])
    exits = [f"{ice}disconnected_to_{state}" for state in ("failed", "checking")]
    yield _le("ice_disconnected", exits, [f"{ice}checking_to_disconnected"])
    for name in (
        "decrypt_skipped_srtp",
        "received_rtp",
        "received_rtp_byte_size",
        "received_rtp_padding",
        "received_rtp_padding_size",
        "received_rtp_red",
        "received_rtp_red_rtx",
        "received_rtp_red_ulpfec",
        "received_rtp_rtx",
    ):
        yield _le("simulcast_sum", [f"simulcast.r{n}.rtp.total_{name}" for n in range(3)], [f"rtp.total_{name}"])


RELATIONS: Final = tuple(_relations())
"""Of the edition doc-2024, written out one by one."""

LEVELS: Final = frozenset(f"network_status.total_unstable_level{level}" for level in range(4))

COUNTED: Final = LEVELS.union(*(relation.counters for relation in RELATIONS))
"""Every field that a relation is about."""


def integer(value: Json) -> int | None:
    """The integer that a number stands for, however it is written; None of anything else."""
    if isinstance(value, float):  # of a document that was not parsed here
        value = Fractional(repr(value))
    if isinstance(value, Fractional):
        return value.value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def value_of(document: Json, terms: Sequence[tuple[int, str]]) -> int | None:
    """A weighted sum; None where a term is absent or unsound."""
    total = 0
    for weight, name in terms:
        value: Json = document
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        number = integer(value)
        if number is None or number < 0:
            return None
        total += weight * number
    return total


def missed_relations(document: Json) -> list[tuple[str, str]]:
    """The relations that one response, taken as read at one instant, misses: (requirement, field of the left side)."""
    found = []
    for relation in RELATIONS:
        left, right = value_of(document, relation.left), value_of(document, relation.right)
        if left is None or right is None:
            continue
        if relation.kind == "<=":
            missed = left > right
        else:
            missed = left < right if _relaxed(relation, document) else left != right
        if missed:
            found.append(relation.key)
    if _level_missed(document):
        found.append(_level_key(document))
    return found


def torn_relations(p: Json, r: Json, n: Json | None, fallen: Collection[str] = ()) -> list[tuple[str, str]]:
    """
    The relations that R surely misses, however its fields were read one after the other, given P before it and N after,
    where there is one.

    Everything grows, so a sum that is read a moment early or late still lies between its values in P and in N. A total
    that is less than its parts has to be less than they were in P, and what is more than it may be, more than that is in
    N. A relation that holds in R as it stands is not missed, whatever P and N are: the fault is theirs. Relations of
    counters that have `fallen` are left out.
    """
    alone = set(missed_relations(r))
    found = []
    for relation in RELATIONS:
        left, right = value_of(r, relation.left), value_of(r, relation.right)
        if relation.key not in alone or left is None or right is None or not relation.counters.isdisjoint(fallen):
            continue
        if relation.kind == "==" and not _relaxed(relation, r) and left < right:
            least = value_of(p, relation.right)
            missed = least is not None and left < least
        elif n is None:
            continue
        elif relation.kind == "==" and _relaxed(relation, r):  # the parts are no more than the total
            most = value_of(n, relation.left)
            missed = most is not None and right > most
        else:
            most = value_of(n, relation.right)
            missed = most is not None and left > most and not _relaxed(relation, n)
        if missed:
            found.append(relation.key)
    if n is None or not LEVELS.isdisjoint(fallen):
        return found
    levels = [document.get("network_status", {}).get("unstable_level") for document in (p, r, n)]
    if _level_missed(r) and levels[0] == levels[1] == levels[2]:
        found.append(_level_key(r))
    return found


def _level_key(document: Json) -> tuple[str, str]:
    level = document["network_status"]["unstable_level"]
    return "relation.unstable_level", f"/network_status/total_unstable_level{level}"


def _relaxed(relation: Relation, document: Json) -> bool:
    return any(value_of(document, _terms(name)) != 0 for name in relation.relaxed_by)


def _level_missed(document: Json) -> bool:
    status = document.get("network_status", {})
    counts = [integer(status.get(f"total_unstable_level{level}")) for level in range(4)]
    level = integer(status.get("unstable_level"))
    if level is None or level not in range(4) or not all(count is not None and count >= 0 for count in counts):
        return False
    return any(counts) and counts[level] == 0
