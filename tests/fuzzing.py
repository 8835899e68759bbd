"""
Random editions and random bodies, by which the accelerator is held to the reader in Python.

A case is the text of an edition, and bodies that are read one after the other: what a reader has learned of one counts
for the next. Two readers, and two judges, one of them with the accelerator, are shown the same case, and have to find
the same. `scripts/fuzz.py` draws cases for as long as it is told; those that once found something are kept in
data/fuzz/, and read by the tests each time.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest import mock

import msgspec

from sora_stats_harness.api import edition
from sora_stats_harness.api.edition import Edition, FieldDefinition, FieldGroup, FieldKind, FieldPresence, FieldType
from sora_stats_harness.api.errors import EditionError
from sora_stats_harness.api.exchange import Exchange, Response, Target, make_valid_request
from sora_stats_harness.api.strict_json import StrictJsonDocument, StrictJsonError, parse_strict_json
from sora_stats_harness.judge import accelerator, counter_history, pipeline
from sora_stats_harness.judge.checks.unstable_level import find_level_block
from sora_stats_harness.judge.edition_decoder import EditionDecoder
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.sample import ParsedBody, Sample
from sora_stats_harness.judge.sample_reader import SampleReader
from sora_stats_harness.judge.surveyed_sample import survey_sample

CORPUS: Final = Path(__file__).with_name("data") / "fuzz"

SCANNED: Final = 60
"""How many beginnings of a body, and as many damaged ones, the scanner alone is shown."""

EXACT: Final = 2**56
"""Relations of larger counters are left to Python."""

SECOND_NS: Final = 1_000_000_000


@dataclass
class Pair:
    """A reader with the accelerator and one without, which are shown the same bodies."""

    edition: Edition
    counted: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.swift = SampleReader(self.edition)
        self.plain = SampleReader(self.edition, accelerated=False)
        self.filter = self.plain.relations

    def read(self, body: bytes, *, many: bool = False) -> ParsedBody:
        """Read with both, and compare; gives what the plain one gave."""
        mine = self.swift.read(body, many=many, scan=True)
        accepted = mine.strict
        theirs = self.plain.read(body, many=many, scan=True)
        self.counted["bodies"] += 1
        self.counted["accepted"] += accepted
        self.counted["faulty"] += theirs.fault is not None
        self.counted["deviating"] += any(sample.deviations for sample in theirs.samples)
        self.counted["repeated"] += bool(theirs.duplicates)
        assert mine.scanned
        assert not (accepted and (theirs.fault or theirs.duplicates or theirs.deviations)), body
        for one, other in zip(mine.samples, theirs.samples, strict=True):
            self._same(one, other, body)
        assert (mine.fault, mine.deviations, mine.duplicates) == (theirs.fault, theirs.deviations, theirs.duplicates), (
            body
        )
        assert self.swift.codec.learned == self.plain.codec.learned, body
        return theirs

    def _is_uncounted(self, sample: Any) -> bool:  # Any: a sample
        """Whether the counter of a sample's level is 0."""
        block, level = find_level_block(self.plain.codec.blocks), sample.level
        counters = None if block is None else sample.blocks[block]
        return level is not None and counters is not None and 0 <= level < len(counters) and counters[level] == 0

    def _same(self, one: Any, other: Any, body: bytes) -> None:  # Any: samples
        related, one.related = one.related, None
        for sample in (one, other):  # in the order of the body, or of the edition
            sample.deviations.sort(key=lambda each: each.wire)
        assert one == other, body
        if related is not None:
            self.counted["related"] += 1
            missed = any(self.filter.violated_relations(other.blocks))
            assert self.filter.may_be_violated(other.blocks, None) or not missed, body
            missed = missed or self._is_uncounted(other)
            if max((counter for block in other.blocks for counter in block or ()), default=0) < EXACT:
                assert related is not missed, body
            assert not (related and missed), body
        for key, counters in one.labels.items():
            assert [type(count) for count in counters] == [type(count) for count in other.labels[key]]


# -- editions ----------------------------------------------------------------------------------------------------------

OWN: Final = ("timestamp", "channel_id", "client_id", "bundle_id", "connection_id")
"""What checks know of a connection by name; any of them may be missing."""

NAMES: Final = (
    "a",
    "b",
    "ab",
    "total",
    "f0",
    "f1",
    "class",
    "__init__",
    "é",
    "日本",
    "#",
    "a:b",
    "a,b",
    "a}b",
    "A",
    "0",
    "true",
    " ",
    "unstable_level",
    "rtp",
    "x" * 60,
    "a/b",
    "~0",
    "*",
    "$ref",
)
"""Of groups and leaves, where no other name is needed."""

ODD_NAMES: Final = ("", "a.b", 'q"', "\\", "\x01", "\x7f", "a\nb", "\u2028", "#*", "data_channel", "x" * 300, *OWN)
"""Some of these are refused, and some make every connection be surveyed."""

LIMITS: Final = (
    0,
    0,
    0,
    1,
    2,
    -1,
    -5,
    255,
    65535,
    2**31,
    2**53,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63),
    -(2**63) - 1,
)

Table = dict[str, Any]  # Any: whatever TOML can hold


def edition_text(source: random.Random) -> str:
    """An edition's file: mostly one that is allowed, in any shape that the format has."""
    odd = source.random() < 0.15
    root = _group(source, depth=0, odd=odd)
    fields, groups = root.setdefault("fields", {}), root.setdefault("groups", {})
    for name in OWN:
        if source.random() < 0.8:
            fields[name] = _text(source) if not odd or source.random() < 0.9 else _leaf(source, odd=odd)
            groups.pop(name, None)
    if source.random() < 0.6:
        groups["network_status"] = _status(source)
        fields.pop("network_status", None)
    if source.random() < 0.7:
        groups["data_channel"] = _labels(source, odd=odd)
        fields.pop("data_channel", None)
    document: Table = {
        "format": "sora-harness/edition/1",
        "name": "drawn",
        "title": "A drawn edition",
        "source": "the fuzz",
        **root,
    }
    document.pop("description", None)
    if source.random() < 0.3:
        document["undocumented"] = [_undocumented(source, document) for _ in range(source.randrange(1, 4))]
    return to_toml(document)


def _name(source: random.Random, *, odd: bool) -> str:
    return source.choice(ODD_NAMES) if odd and source.random() < 0.2 else source.choice(NAMES)


def _group(source: random.Random, *, depth: int, odd: bool) -> Table:
    table: Table = {"description": "A group."}
    if source.random() < 0.85:
        fields = {_name(source, odd=odd): _leaf(source, odd=odd) for _ in range(source.choice((0, 1, 2, 3, 6)))}
        if depth == 0 and not odd:  # counters stand in groups
            fields = {name: leaf for name, leaf in fields.items() if leaf["kind"] != "counter"}
        table["fields"] = fields
    if source.random() < (0.9, 0.6, 0.3, 0.2)[min(depth, 3)]:
        names = {_name(source, odd=odd) for _ in range(source.choice((0, 1, 2, 3)))} - set(table.get("fields", ()))
        table["groups"] = {name: _group(source, depth=depth + 1, odd=odd) for name in sorted(names)}
        if odd and source.random() < 0.2:
            for _ in range(source.choice((3, 13, 20))):
                table["groups"] = {"deep": {"description": "Deep.", "groups": table["groups"]}}
    if depth and source.random() < 0.3:
        table["optional"] = source.random() < 0.8
    return table


def _leaf(source: random.Random, *, odd: bool) -> Table:
    kind = source.choice(("counter", "counter", "gauge", "configuration", "identity", "time"))
    type_ = "integer" if kind == "counter" else source.choice(("integer", "string", "boolean"))
    leaf: Table = {"type": type_, "kind": kind, "unit": "none", "description": "A leaf."}
    allowed = [limit for limit in LIMITS if odd or -(2**63) <= limit < 2**64]
    if kind == "counter":
        leaf["minimum"] = source.choice((0, 0, 0, 0, 1, 5)) if not odd else source.choice(allowed)
    elif type_ == "integer" and source.random() < 0.5:
        leaf["minimum"] = source.choice(allowed)
    if type_ == "integer" and source.random() < 0.3:
        leaf["maximum"] = source.choice([limit for limit in allowed if odd or limit >= leaf.get("minimum", limit)])
    if type_ == "string" or (odd and source.random() < 0.2):
        if source.random() < 0.3:
            leaf["values"] = source.sample(
                ("on", "off", "é", 'q"', "\\", "\x1f", "", "x" * 99), source.randrange(not odd, 4)
            )
        if source.random() < 0.1:
            leaf["max_bytes"] = source.choice((0, 1, 3, 255))
        if source.random() < 0.1:
            leaf["form"] = "rfc3339-utc"
    if source.random() < 0.15:
        leaf["presence"] = source.choice(("conditional", "conditional", "always", "with-label"))
    return leaf


def _text(source: random.Random) -> Table:
    leaf: Table = {"type": "string", "kind": "identity", "unit": "none", "description": "A text."}
    if source.random() < 0.5:
        leaf["max_bytes"] = source.choice((255, 255, 255, 255, 1, 40))
    if source.random() < 0.05:
        leaf["form"] = "rfc3339-utc"
    return leaf


def _status(source: random.Random) -> Table:
    counter = {"type": "integer", "kind": "counter", "unit": "count", "minimum": 0, "description": "Counted."}
    fields: Table = {f"total_unstable_level{level}": dict(counter) for level in range(source.choice((1, 2, 4)))}
    level: Table = {"type": "integer", "kind": "gauge", "unit": "none", "minimum": 0, "description": "Now."}
    if source.random() < 0.5:
        level["maximum"] = 3
    if source.random() < 0.2:
        level["presence"] = "conditional"
    fields["unstable_level"] = level
    if source.random() < 0.2:
        fields["total"] = counter
    return {"description": "Levels.", "fields": fields}


def _labels(source: random.Random, *, odd: bool) -> Table:
    fields = {_name(source, odd=odd): _leaf(source, odd=odd) for _ in range(source.randrange(5))}
    model: Table = {"description": "A label.", "fields": fields}
    names = source.sample(("signaling", "#*", "#a", "notify", "e2ee"), source.choice((1, 1, 2, 3)))
    groups: Table = {names[0]: model} | {
        name: {"description": "Another.", "same_as": f"data_channel.{names[0]}"} for name in names[1:]
    }
    table: Table = {"description": "Labels.", "groups": groups}
    for group in (table, *groups.values()):
        group["optional"] = not odd or source.random() < 0.8
    if odd and source.random() < 0.2:
        table["fields"] = {"a": _leaf(source, odd=odd)}
    if odd and source.random() < 0.2:
        model["groups"] = {"g": _group(source, depth=3, odd=odd)}
    return table


def _undocumented(source: random.Random, document: Table) -> Table:
    path: list[str] = []
    table = document
    while (names := [*table.get("groups", ())]) and source.random() < 0.6:
        name = source.choice(names)
        path.append(name)
        table = table["groups"][name]
    path += ["away"] * (source.random() < 0.1)
    path.append(source.choice(("seen", "seen", "zz", "a", *OWN[:1])))
    leaf = {
        key: value for key, value in _leaf(source, odd=False).items() if key in ("type", "kind", "unit", "description")
    }
    return {"path": ".".join(path), "seen_in": "an answer", **leaf}


def to_toml(document: Table) -> str:
    """The text of a TOML document; keys of tables are always quoted."""
    return "".join(_toml(document, ()))


def _toml(table: Table, path: tuple[str, ...]) -> Iterator[str]:
    for key, value in table.items():
        if not isinstance(value, dict) and not (isinstance(value, list) and value and isinstance(value[0], dict)):
            yield f"{_quoted(key)} = {_inline(value)}\n"
    for key, value in table.items():
        here = (*path, key)
        if isinstance(value, dict) and key != "fields":
            yield f"[{'.'.join(map(_quoted, here))}]\n"
            yield from _toml(value, here)
        elif isinstance(value, dict):
            yield f"[{'.'.join(map(_quoted, here))}]\n"
            yield from (f"{_quoted(name)} = {_inline(leaf)}\n" for name, leaf in value.items())
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for each in value:
                yield f"[[{'.'.join(map(_quoted, here))}]]\n"
                yield from _toml(each, here)


def _quoted(text: str) -> str:
    return json.dumps(text).replace("\x7f", "\\u007f")


def _inline(value: Any) -> str:  # Any: as above
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_quoted(key)} = {_inline(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


# -- bodies ------------------------------------------------------------------------------------------------------------

IDS: Final = ("QX18W7FJ452XX9VZMRBNB96Q4W", "QX18W7FJ452XX9VZMRBNB96Q4R", "other")

VALUES: Final = (
    "0",
    "1",
    "-1",
    "-0",
    "2",
    "00",
    "255",
    "65535",
    "65536",
    "1.0",
    "1e0",
    "1.5",
    "9223372036854775807",
    "0.0",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "9" * 21,
    "9" * 400,
    "-9223372036854775808",
    "-9223372036854775809",
    "1e400",
    "1E-7",
    "null",
    "true",
    "false",
    "truth",
    "nul",
    '""',
    '"on"',
    '"o"',
    '"2023-02-28T23:59:60.000000Z"',
    '"2023-02-29T00:00:00.000000Z"',
    '"2024-02-29T00:00:00.000000Z"',
    '"2024-13-01T00:00:00.000000Z"',
    '"1969-12-31T00:00:00.000000Z"',
    '"2201-01-01T00:00:00.000000Z"',
    '"2024-07-01T24:00:00.000000Z"',
    '"2024-07-01T00:00:00.00000Z"',
    '"2024-07-01t00:00:00z"',
    f'"{"x" * 63}"',
    f'"{"x" * 64}"',
    f'"{"é" * 200}"',
    '"\x7f"',
    '"\x1f"',
    '"é"',
    '"\udcff"',
    '"\udcc3"',
    '"\udced\udca0\udc80"',
    '"\\u0041"',
    '"\\ud800"',
    '"q\\""',
    "{}",
    "[]",
    '{"a":1}',
    '{"a":1,"a":1}',
    "[1,",
    "-",
    "",
    "NaN",
    "[" * 99 + "]" * 99,
    "[" * 101 + "]" * 101,
    '{"a":' * 99 + "1" + "}" * 99,
    '"' + "x" * 300 + '"',
    "1" * 19,
)
"""What may stand where a leaf, a group or a label should: each limit, and one beyond it."""

PIECES: Final = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b" ",
    b"\n",
    b"\x00",
    b"\x1f",
    b"\x7f",
    b"\xff",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"\\",
    b'\\"',
    b"\\u0041",
    b"0",
    b"1",
    b"9",
    b"-",
    b"-0",
    b".",
    b".0",
    b"e",
    b"E5",
    b"01",
    b"null",
    b"true",
    b"false",
    b"NaN",
    b'"a":1,',
    b"{},",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9" * 25,
    b"\xef\xbb\xbf",
    b"[" * 120,
)
"""What damage puts in."""


def damaged(body: bytes, source: random.Random) -> bytes:
    """The body after one to three blows: bytes changed, taken out, put in, doubled, swapped."""
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        at = source.randrange(len(body) + 1)
        to = min(len(body), at + source.choice((0, 1, 1, 1, 2, 5, 30)))
        how = source.randrange(4)
        if how == 0:
            body = body[:at] + source.choice(PIECES) + body[to:]
        elif how == 1:
            body = body[:at] + body[to:]
        elif how == 2:
            body = body[:at] + body[at:to] * 2 + body[to:]
        else:
            keys = body.split(b",")
            one, two = source.randrange(len(keys)), source.randrange(len(keys))
            keys[one], keys[two] = (keys[two], keys[one]) if source.random() < 0.5 else (keys[two], keys[two])
            body = b",".join(keys)
    return body


class Talker:
    """Makes the samples of a few connections, whose counters grow, in the shape of an edition or nearly so."""

    def __init__(self, doc: Edition, source: random.Random) -> None:
        self._doc = doc
        self._source = source
        self._calm = source.random() < 0.4
        """Else readers soon have learned so much that they are slow, and the accelerator is left out."""
        self._year = source.choice((2024, 2024, 1970, 2039, 2200))
        self._counters: Counter[tuple[str, ...]] = Counter()
        self._fixed: dict[tuple[str, ...], Any] = {}  # Any: leaves
        self._absent = {path for path in (group.path for group in doc.root.walk_groups()) if source.random() < 0.03}

    def body(self) -> tuple[bytes, bool]:
        """The next body, and whether it is an array."""
        source = self._source
        many = source.random() < 0.3
        samples = [self._sample() for _ in range(source.choice((0, 1, 2, 5)) if many else 1)]
        edits = source.choice((0, 0, 0, 0, 0, 0, 1, 1, 2, 5)) if not self._calm or source.random() < 0.05 else 0
        for _ in range(edits):
            if samples:
                self._edit(source.choice(samples))
        separators = source.choice(((",", ":"), (",", ":"), (", ", ": "), (" ,\n", "\t: ")))
        text = (
            f"[{separators[0].join(_json(each, separators) for each in samples)}]"
            if many
            else _json(samples[0], separators)
        )
        body = text.encode(errors="surrogateescape")
        return (damaged(body, source) if source.random() < 0.1 else body), many

    def _sample(self) -> Table:
        who = self._source.choice(IDS)
        sample = self._group(self._doc.root, (who,))
        if isinstance(sample.get("connection_id"), str) and self._source.random() < 0.95:
            sample["connection_id"] = who
        if self._source.random() < 0.1:
            keys = [*sample]
            self._source.shuffle(keys)
            sample = {key: sample[key] for key in keys}
        return sample

    def _group(self, group: FieldGroup, where: tuple[str, ...]) -> Table:
        source = self._source
        made: Table = {}
        for leaf in group.fields:
            if leaf.presence is FieldPresence.CONDITIONAL and source.random() < 0.5:
                continue
            made[leaf.name] = self._value(leaf, (*where, leaf.name))
        for inner in group.groups:
            if (inner.optional and source.random() < 0.3) or inner.path in self._absent:
                continue
            names = (
                [inner.name] if not inner.is_label else source.sample(("#a", "#é", "#b:c", "#*"), source.randrange(3))
            )
            for name in names:
                made[name] = self._group(inner, (*where, name))
        return made

    def _value(self, leaf: FieldDefinition, where: tuple[str, ...]) -> Any:  # Any: a leaf
        source = self._source
        least = 0 if leaf.minimum is None else leaf.minimum
        if leaf.kind is FieldKind.COUNTER:
            self._counters[where] += source.choice((0, 0, 1, 1, 300, 2**33)) - (source.random() < 0.02)
            count = least + self._counters[where]
            return count if leaf.maximum is None else min(count, leaf.maximum)
        if where in self._fixed and source.random() < 0.8:
            return self._fixed[where]
        value: Any  # Any: as above
        if leaf.type is FieldType.BOOLEAN:
            value = source.random() < 0.5
        elif leaf.type is FieldType.INTEGER:
            most = least + 1000 if leaf.maximum is None else leaf.maximum
            value = source.choice((least, most, (least + most) // 2))
        elif leaf.values:
            value = source.choice(leaf.values)
        elif leaf.form is not None or leaf.name == "timestamp":
            value = f"{self._year}-07-01T00:00:{source.randrange(60):02}.{source.randrange(10**6):06}Z"
        else:
            value = source.choice(("", "sora", "sora", "チャネル", "x" * 64, "a:b", "a:b", 'q"', "\\"))
            if leaf.max_bytes is not None and source.random() < 0.9:
                value = value.encode()[: leaf.max_bytes].decode(errors="ignore")
        self._fixed[where] = value
        return value

    def _edit(self, sample: Table) -> None:
        """Change one place: another value, nothing, a new key, or a key that stands twice."""
        source = self._source
        table = sample
        while (inner := [each for each in table.values() if isinstance(each, dict)]) and source.random() < 0.7:
            table = source.choice(inner)
        name = source.choice([*table, "new"]) if table else "new"
        how = source.randrange(5)
        if how == 0:
            table.pop(name, None)
        elif how == 1:
            table[source.choice(("new", "a", "#new", "é", 'q"'))] = Token(source.choice(VALUES))
        elif how == 2:
            table[name] = Token(f"{_json(table.get(name, 1))},{json.dumps(name)}:{source.choice(VALUES)}")
        else:
            table[name] = Token(source.choice(VALUES))


class Token(str):
    """Text that goes into a body as it is."""

    __slots__ = ()


def _json(value: Any, separators: tuple[str, str] = (",", ":")) -> str:  # Any: JSON, or tokens
    if isinstance(value, Token):
        return value
    if isinstance(value, dict):
        members = (f"{_text_of(key)}{separators[1]}{_json(each, separators)}" for key, each in value.items())
        return "{" + separators[0].join(members) + "}"
    return _text_of(value) if isinstance(value, str) else json.dumps(value)


def _text_of(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


# -- cases -------------------------------------------------------------------------------------------------------------


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An edition, and what is read with it. Bytes beyond UTF-8 are surrogates."""

    edition: str
    bodies: list[str]
    many: list[bool]

    @property
    def pairs(self) -> list[tuple[bytes, bool]]:
        """Each body, and whether it should be an array."""
        return [
            (body.encode(errors="surrogateescape"), many) for body, many in zip(self.bodies, self.many, strict=True)
        ]


def case_of(text: str, pairs: Sequence[tuple[bytes, bool]]) -> Case:
    """A case that can be written down."""
    return Case(
        edition=text,
        bodies=[body.decode(errors="surrogateescape") for body, _ in pairs],
        many=[many for _, many in pairs],
    )


def corpus() -> dict[str, Case]:
    """The cases that are kept, by their names."""
    return {path.stem: Case(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(CORPUS.glob("*.json"))}


def draw(seed: int) -> Case:
    """A case, the same for the same seed; every tenth is about an edition that ships with the package."""
    source = random.Random(seed)
    text = source.choice(edition.shipped_edition_names()) if seed % 10 == 9 else edition_text(source)
    try:
        talker = Talker(opened(text), source)
    except EditionError:
        return case_of(text, [])
    return case_of(text, [talker.body() for _ in range(source.choice((3, 6, 12, 30)))])


def opened(text: str) -> Edition:
    """The edition of a case: one that ships, by its name, or the text of another."""
    return (
        edition.load_edition(text)
        if text in edition.shipped_edition_names()
        else edition.parse_edition(text, origin="drawn")
    )


def check(case: Case, counted: Counter[str]) -> None:
    """
    Read a case with and without the accelerator.

    Raises:
        AssertionError: They differ.
        Exception: Whatever else one of them should not have raised.
    """
    counted["cases"] += 1
    try:
        doc = opened(case.edition)
    except EditionError as error:
        counted["refused editions"] += 1
        if not str(error).isprintable():
            raise AssertionError(f"more than one line: {error}") from None
        return
    pair = Pair(doc, counted)
    builder = pair.swift._builder
    counted["scanned editions"] += builder is not None and builder.scan is not None
    source = random.Random(case.edition)
    for body, many in case.pairs:
        check_survey(pair.plain.codec, pair.read(body, many=many), body, many=many)
        check_scanner(pair, body, source, many=many)
    mine, theirs = (heard(doc, case, accelerated=accelerated) for accelerated in (True, False))
    assert mine == theirs, [f"{key}: {mine[key]} / {theirs[key]}" for key in mine if mine[key] != theirs[key]]


def check_scanner(pair: Pair, body: bytes, source: random.Random, *, many: bool) -> None:
    """
    Show the scanner alone what it mostly refuses, which takes it no time: a body's beginnings, and the body damaged.

    Whatever it accepts, both readers read.
    """
    builder = pair.swift._builder
    scan = None if builder is None else builder.scan
    if scan is None:
        return
    ends = source.sample(range(len(body)), min(len(body), SCANNED))
    for each in (*(body[:end] for end in ends), *(damaged(body, source) for _ in range(SCANNED))):
        pair.counted["scanned"] += 1
        if isinstance(scan(each, many), list):
            pair.read(each, many=many)


def check_survey(codec: EditionDecoder, parsed: ParsedBody, body: bytes, *, many: bool) -> None:
    """Hold what was decoded, and let through and judged alone, against what a survey of the same connection finds."""
    try:
        document = parse_strict_json(body)
    except StrictJsonError:
        return
    connections = document.value if many else [document.value]
    if parsed.fault or document.duplicates or not isinstance(connections, list):
        return
    for place, (sample, value) in enumerate(zip(parsed.samples, connections, strict=False)):
        if not all(isinstance(each, dict) for each in connections):
            return
        alone = StrictJsonDocument(value=value, duplicates=())
        surveyed = survey_sample(codec, alone, place if many else None)
        assert _outline(sample) == _outline(surveyed), body


def _outline(sample: Sample) -> tuple[Any, ...]:  # Any: whatever a sample has
    """What has to be the same however a sample was read; but for the order of deviations, and what is shown of them."""
    deviations = sorted((each.requirement, each.wire, each.path, each.fault) for each in sample.deviations)
    blocks = [None if block is None else tuple(block) for block in sample.blocks]
    labels = {label: tuple(counters) for label, counters in sample.labels.items()}
    leaves = (sample.timestamp, sample.channel_id, sample.client_id, sample.bundle_id, sample.connection_id)
    return (sample.index, leaves, blocks, labels, sample.configuration, sample.level, sample.absent, deviations)


def heard(doc: Edition, case: Case, *, accelerated: bool) -> dict[str, Any]:  # Any: what a result comes to
    """What a judge has to say of the same bodies as responses, every third of which overlaps the one before."""
    with mock.patch.object(pipeline, "SampleReader", partial(SampleReader, accelerated=accelerated)):
        judge = Judge(doc, run="fuzz")
    with mock.patch.object(counter_history, "MAX_VERSION_CHAIN", 3):  # evidence is looked up anew often
        for seq, exchange in enumerate(exchanges(case)):
            judge.judge_recorded(exchange, open_sent_ns=(seq * SECOND_NS,))
    judge.finish()
    result = judge.result()
    assert not result.crashed, result.crashed
    told: dict[str, Any] = msgspec.to_builtins(result, enc_hook=str)  # Any: as above
    told["coverage"]["slow_path"] = None  # the accelerator reads what is decoded slowly without it: unknown keys
    told["proof"] = [[each.key for each in judge.evidence(entry.fingerprint)] for entry in result.findings]
    return told


def exchanges(case: Case) -> Iterator[Exchange]:
    """The bodies of a case as responses, every third of which overlaps the one before."""
    for seq, (body, many) in enumerate(case.pairs):
        ask = partial(make_valid_request, server="http://127.0.0.1:3000")
        one = ask(Target.CONNECTION, channel_id="sora", connection_id=IDS[0])
        sent_ns = seq * SECOND_NS - (SECOND_NS // 2 if seq % 3 == 0 else -1)
        headers = (("content-type", "application/json"), ("content-length", str(len(body))))
        yield Exchange(
            run="fuzz",
            seq=seq,
            clock="one",
            request=ask(Target.ALL) if many else one,
            sent_ns=sent_ns,
            received_ns=(seq + 1) * SECOND_NS,
            sent_at="2024-07-01T00:00:00.000000Z",
            response=Response(status=200, headers=headers, body=body),
        )


# -- the module's entries ----------------------------------------------------------------------------------------------

TABLES: Final = ("counts", "blocks", "terms", "rows", "nodes", "entries")

SOME: Final = (-(2**63), -2, -1, 0, 0, 0, 1, 1, 1, 2, 3, 5, 7, 16, 255, 3700, 11000, 2**15, 2**31, 2**63 - 1)
"""
Numbers of a layout: those that it may have, and those that nothing may have. As the place of a counter 3700 is just behind
a scanner's memory, and so is 11000 as that of a block, where a sanitizer looks.
"""

TABLE_OF_COUNTER: Final = (0, 3, 3, 1, 0, -1, 0, -1, 0, 0)
"""An entry: kind, key, its length, whether required, place, block, limits, and nothing that it refers to."""

TABLE_OF_GROUP: Final = (5, 0, 3, 0, 0, 0, 0, 0)
"""The same without the object that it refers to."""


def table(*numbers: int) -> bytes:
    """Numbers as the module takes them."""
    return struct.pack(f"={len(numbers)}q", *numbers)


def layout(**changes: Any) -> dict[str, Any]:  # Any: what the module takes
    """What makes a scanner of one group with one counter, changed."""
    return {
        "keys": b'"g""c"',
        "strings": (),
        "counts": table(1, 0, 0, 1, 0, 0, 63),
        "blocks": table(1),
        "terms": b"",
        "rows": b"",
        "nodes": table(1, 1),
        "entries": table(*TABLE_OF_COUNTER, *TABLE_OF_GROUP, 0, 0),
        "labels": False,
        "unset": msgspec.UNSET,
    } | changes


LAYOUTS_PER_CASE: Final = 20

LAYOUTS: Final[tuple[dict[str, Any], ...]] = (  # Any: as above
    {},
    {"terms": table(1, 0, 2, 0), "rows": table(1, 1, 1, 0)},
    {"terms": table(1, 0, 1, 0, 1, 0), "rows": table(1, 1, 1, 1)},
    {"strings": ("x", "é"), "entries": table(4, 3, 3, 0, 0, -1, 0, 0, 0, 2, *TABLE_OF_GROUP, 0, 0)},
    {"counts": table(1, 0, 0, 1, 1, 0, 64), "entries": table(7, 3, 3, 0, 0, -1, 0, 0, 0, 0, *TABLE_OF_GROUP, 0, 0)},
    {
        "counts": table(1, 1, 1, 1, 0, 0, 64),
        "nodes": table(2, 1),
        "entries": table(*TABLE_OF_COUNTER, 3, 0, 3, 0, 0, -1, 0, 0, 0, 0, 6, 0, 3, 1, 0, -1, 0, 0, 0, 0),
        "labels": True,
    },
)
"""What a layout may have: a counter, relations that don't hold and that do, a choice, a value that is let through, labels."""

ENTRY_BODIES: Final = (
    b'{"g": {"c": 7}}',
    b"{}",
    b'{"g": {"g": {"c": 1}, "c": 1}}',
    b'{"c": "x"}',
    b'{"g": {"c": "x"}}',
    b'{"g": {"c": [1, {}]}}',
    b'{"g": {"a": {"c": 1, "g": "x"}, "b": {"c": 2}}}',
    b'{"g": {"c": %b}}' % (b"[" * 101 + b"]" * 101),
    b'{"g":"c"}',
    b"",
)


def check_entries(seed: int) -> None:
    """
    Call what the module has with whatever it may be given by mistake: an exception is right, and so is a result.

    What a sanitizer sees ends the process.
    """
    module = accelerator.MODULE
    if module is None:
        return
    source = random.Random(seed)
    for _ in range(LAYOUTS_PER_CASE):
        _check_layout(module.Scanner, source)
    odd: Sequence[Any] = (None, 1, "a", [], (1,), (1, 2), [None], [(1,)], {}, b"", msgspec.UNSET)  # Any: whatever
    for function in (module.merge_risen_blocks, module.merge_risen_labels, module.find_first_holders):
        with contextlib.suppress(TypeError):
            function(*source.choices(odd, k=source.randrange(4)))


def check_wrong_numbers() -> None:
    """Put each wrong number into each place of each layout, one at a time, as `check_entries` does with several."""
    module = accelerator.MODULE
    if module is None:
        return
    for changes in LAYOUTS:
        right = layout(**changes)
        assert any(module.Scanner(**right).read(body, False) for body in ENTRY_BODIES), "it is right"
        for name in TABLES:
            numbers = _numbers_of(right[name])
            for place, number in itertools.product(range(len(numbers)), dict.fromkeys(SOME)):
                wrong = table(*numbers[:place], number, *numbers[place + 1 :])
                _read_with(module.Scanner, right | {name: wrong}, ENTRY_BODIES)


def _check_layout(make: Any, source: random.Random) -> None:  # Any: the module's type
    """Make a scanner of a layout with wrong numbers in it, and read with it where it can be made."""
    given = layout(**source.choice(LAYOUTS))
    for name in source.sample(TABLES, source.randrange(1, 4)):
        numbers = _numbers_of(given[name])
        for _ in range(source.choice((0, 1, 1, 1, 2, 3))):
            if numbers:
                numbers[source.randrange(len(numbers))] = source.choice(SOME)
        if source.random() < 0.3:
            numbers += source.choices(SOME, k=source.choice((1, 3, 4, 10)))
        given[name] = table(*numbers)
    if source.random() < 0.2:
        given["labels"] = not given["labels"]
    if source.random() < 0.2:
        given["strings"] = source.choice(((), ("c", "é"), ("x" * 99,)))
    _read_with(make, given, [each for body in ENTRY_BODIES for each in (body, damaged(body, source))])


def _numbers_of(data: bytes) -> list[int]:
    return [number for (number,) in struct.iter_unpack("=q", data)]


def _read_with(make: Any, given: dict[str, Any], bodies: Sequence[bytes]) -> None:  # Any: as above
    with contextlib.suppress(ValueError):
        scanner = make(**given)
        for body in bodies:
            scanner.read(body, False)
            scanner.read(b"[%b,%b]" % (body, body), True)
