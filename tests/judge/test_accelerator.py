"""
The reader in C gives what the one in Python gives, or refuses: whatever the body, and however it was damaged.

The reader in Python is the slow and obvious one here, and is itself held to a reference (tests/oracle). So each test
feeds both, and compares; what the accelerator accepts must in Python be a body without a repeated key.
"""

from __future__ import annotations

import itertools
import json
import operator
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sora_stats_harness.api import accelerator_loader as built
from sora_stats_harness.api import edition
from sora_stats_harness.judge import accelerator
from sora_stats_harness.judge.checks import relations
from sora_stats_harness.judge.checks.unstable_level import find_level_block
from sora_stats_harness.judge.counter_history import CounterHistory, _find_first_holders
from sora_stats_harness.judge.sample_reader import ParsedBody, SampleReader
from sora_stats_harness.simulator.world import SimulatedWorld

from ..oracle import agreement, documents, histories

NEEDED: Final = os.environ.get("SORA_HARNESS_ACCELERATOR") == "required"

pytestmark = pytest.mark.skipif(
    not accelerator.is_available() and not NEEDED,
    reason="there is no accelerator: no C compiler, or it is switched off",
)

DOC: Final = edition.load_edition()

Counters: Final[Any] = getattr(
    built.ACCELERATOR_MODULE, "Counters", None
)  # Any: a type that is there only with the module

SMALL: Final = edition.parse_edition(
    """
format = "sora-harness/edition/1"
name = "small"
title = "One of everything"
source = "the tests"

[fields]
timestamp = { type = "string", kind = "time", unit = "none", form = "rfc3339-utc", description = "When." }
channel_id = { type = "string", kind = "identity", unit = "none", max_bytes = 255, description = "Where." }
client_id = { type = "string", kind = "identity", unit = "none", max_bytes = 255, description = "Who." }
bundle_id = { type = "string", kind = "identity", unit = "none", max_bytes = 255, description = "With whom." }
connection_id = { type = "string", kind = "identity", unit = "none", max_bytes = 255, description = "What." }

[groups.network_status.fields]
total_unstable_level0 = { type = "integer", kind = "counter", unit = "count", minimum = 0, description = "Good." }
total_unstable_level1 = { type = "integer", kind = "counter", unit = "count", minimum = 0, description = "Bad." }
unstable_level = { type = "integer", kind = "gauge", unit = "none", minimum = 0, maximum = 1, description = "Now." }

[groups.cc.fields]
rate = { type = "integer", kind = "gauge", unit = "none", description = "Either sign." }
mode = { type = "string", kind = "configuration", unit = "none", values = ["on", "off"], description = "One of two." }
word = { type = "string", kind = "configuration", unit = "none", description = "Any." }
open = { type = "boolean", kind = "configuration", unit = "none", description = "Or not." }

[groups.cc.groups.deep.fields]
total_small = { type = "integer", kind = "counter", unit = "count", minimum = 0, maximum = 70000, description = "S." }
total_deep = { type = "integer", kind = "counter", unit = "count", minimum = 0, description = "D." }

[groups.data_channel.groups.signaling.fields]
total_sent = { type = "integer", kind = "counter", unit = "count", minimum = 0, description = "Sent." }
label = { type = "string", kind = "configuration", unit = "none", description = "Name." }
ordered = { type = "boolean", kind = "configuration", unit = "none", description = "In order." }
direction = { type = "string", kind = "configuration", unit = "none", values = ["sendrecv", "recvonly"], description = "Way." }
max_retransmits = { type = "integer", kind = "configuration", unit = "none", minimum = 0, maximum = 65535, presence = "conditional", description = "Tries." }

[groups.data_channel.groups."#*"]
same_as = "data_channel.signaling"
""",
    origin="tests",
)
"""An edition so small that a change of one byte is nearly always a change of something that matters."""


LABELS: Final = ("signaling", "#a", "#é", "#b:c")


def small(source: random.Random) -> dict[str, Any]:  # Any: whatever JSON can hold
    """A response of the small edition."""

    def label() -> dict[str, Any]:  # Any: as above
        made = {
            "total_sent": source.choice((0, 1, 255, 70_000, 2**40)),
            "label": source.choice(("signaling", "#é", "")),
            "ordered": source.random() < 0.5,
            "direction": source.choice(("sendrecv", "recvonly")),
        }
        return made | ({"max_retransmits": source.choice((0, 7, 65535))} if source.random() < 0.5 else {})

    made: dict[str, Any] = {  # Any: as above
        "timestamp": f"2024-07-01T00:00:{source.randrange(60):02}.{source.randrange(10**6):06}Z",
        "channel_id": source.choice(("sora", "チャネル", "x" * 64)),
        "client_id": "c",
        "bundle_id": "b",
        "connection_id": source.choice(("QX18W7FJ452XX9VZMRBNB96Q4W", "QX18W7FJ452XX9VZMRBNB96Q4R")),
        "network_status": {
            "total_unstable_level0": source.randrange(300),
            "total_unstable_level1": 0,
            "unstable_level": 0,
        },
        "cc": {
            "rate": source.choice((0, -1, 10**12)),
            "mode": source.choice(("on", "off")),
            "word": source.choice(("", "wörd")),
            "open": source.random() < 0.5,
            "deep": {
                "total_small": source.randrange(70_001),
                "total_deep": source.choice((0, 7, 2**47, 2**63, 2**64 - 1)),
            },
        },
    }
    if source.random() < 0.8:
        made["data_channel"] = {name: label() for name in source.sample(LABELS, source.randrange(4))}
    keys = list(made)
    if source.random() < 0.3:
        source.shuffle(keys)
    return {key: made[key] for key in keys}


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


@dataclass
class Pair:
    """A reader with the accelerator and one without, which are shown the same bodies."""

    edition: edition.Edition
    counted: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.swift = SampleReader(self.edition)
        self.plain = SampleReader(self.edition, accelerated=False)
        self.filter = relations.RelationFilter(self.plain.relations)

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
        return level is not None and counters is not None and level < len(counters) and counters[level] == 0

    def _same(self, one: Any, other: Any, body: bytes) -> None:  # Any: samples
        related, one.related = one.related, None
        assert one == other, body
        if related is not None:
            self.counted["related"] += 1
            missed = bool(self.filter.violated_relations(other.blocks))
            assert related is not (missed or self._is_uncounted(other)), body
            assert self.filter.may_be_violated(other.blocks, None) or not missed, body
        for key, counters in one.labels.items():
            assert [type(count) for count in counters] == [type(count) for count in other.labels[key]]


LABELLED: Final = json.dumps(
    small(random.Random(1))
    | {
        "data_channel": {
            name: {"total_sent": 0, "label": "", "ordered": True, "direction": "sendrecv"} for name in LABELS
        }
    }
).encode()
"""With all labels, which are first looked at in Python."""


def bodies(seed: int, count: int) -> Iterator[bytes]:
    """Bodies of the small edition: whole ones, and each of them damaged in several ways."""
    source = random.Random(seed)
    for _ in range(count):
        separators = source.choice(((",", ":"), (", ", ": "), (" ,\n", "\t: ")))
        text = json.dumps(small(source), ensure_ascii=source.random() < 0.1, separators=separators)
        yield text.encode()
        for _ in range(6):
            yield damaged(text.encode(), source)


def test_it_is_there() -> None:
    """Where it is asked for, the tests of this file are about something."""
    assert accelerator.is_available()
    assert SampleReader(DOC)._builder.scan is not None
    assert SampleReader(SMALL)._builder.scan is not None
    assert SampleReader(DOC, accelerated=False)._builder.scan is None


@pytest.mark.parametrize("name", edition.shipped_edition_names())
def test_samples_of_a_world_are_the_same(name: str) -> None:
    """All editions that ship: every connection of a world as it goes on, alone and in a listing, is accepted."""
    doc = edition.load_edition(name)
    world = SimulatedWorld(doc, seed=4, connections=12)
    pair = Pair(doc)
    for second in range(1, 40):
        world.advance(second * 500_000_000)
        samples = [
            each.read_sample(second * 500_000_000, "2024-07-01T00:00:01.000001Z")
            for each in world.connections_of_node(0)
        ]
        for sample in samples:
            pair.read(msgspec.json.encode(sample))
        pair.read(msgspec.json.encode(samples), many=True)
    counted = pair.counted
    assert counted["accepted"] >= counted["bodies"] - 20, (
        counted
    )  # the first time each label is met, Python looks at it
    assert counted["related"] > 400
    assert counted["faulty"] == counted["deviating"] == 0


@pytest.mark.parametrize("fresh", [False, True], ids=["learned", "fresh"])
def test_bodies_with_edits_are_read_the_same(fresh: bool) -> None:
    """Legal, nearly legal and no JSON at all: the bodies by which the judge is held to its reference."""
    pair = Pair(DOC)
    for seed in range(60):
        made = documents.document(seed, DOC)
        if fresh:
            pair = Pair(DOC, pair.counted)
        pair.read(made.body, many=made.many)
    assert pair.counted["faulty"] >= 3 and pair.counted["deviating"] >= 10, pair.counted


@pytest.mark.parametrize("fresh", [False, True], ids=["learned", "fresh"])
def test_edges_are_read_the_same(fresh: bool) -> None:
    """Numbers, strings and worse, on which parsers disagree, at every kind of place: alone, hidden, and hiding."""
    pair = Pair(histories.SMALL)
    for made in documents.window_edges_ns(agreement.base(), step=61 if fresh else 7):
        if fresh:
            pair = Pair(histories.SMALL, pair.counted)
            pair.read(json.dumps(agreement.base()).encode())  # its labels are known from now on
        pair.read(made.body, many=made.many)
    assert pair.counted["accepted"] > 20, pair.counted
    assert pair.counted["repeated"] > 50, pair.counted


@pytest.mark.parametrize("seed", range(2))
def test_damaged_bodies_are_read_the_same(seed: int) -> None:
    """A few bytes are changed: it accepts nothing that has a fault, and finds no fault that is not there."""
    pair = Pair(SMALL)
    for number, body in enumerate(bodies(seed, 150)):
        if number % 14 == 0:  # else it has soon learned so much that it is left out
            pair = Pair(SMALL, pair.counted)
            pair.read(LABELLED)
        pair.read(body)
        if number % 7 == 0:
            pair.read(b"[%b , %b]" % (body, body), many=True)
    counted = pair.counted
    assert counted["accepted"] > 100, counted
    assert counted["faulty"] > 300, counted
    assert counted["deviating"] > 50, counted
    assert counted["repeated"] > 5, counted


@pytest.mark.parametrize("seed", range(2))
def test_a_damaged_documented_response_is_read_the_same(seed: int) -> None:
    """The same for a response of the documented size."""
    source = random.Random(seed)
    pair = Pair(DOC)
    text = (Path(__file__).parents[1] / "data" / "example_response.json").read_bytes()
    for _ in range(60):
        pair.read(damaged(text, source))
        pair.read(text)
    assert pair.counted["faulty"] > 20, pair.counted


VALUES: Final = (
    "0",
    "1",
    "-1",
    "-0",
    "2",
    "00",
    "65535",
    "65536",
    "70000",
    "70001",
    "1.0",
    "1e0",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "9" * 21,
    "null",
    "true",
    "false",
    "truth",
    '""',
    '"on"',
    '"o"',
    '"one"',
    '"2023-02-28T23:59:60.000000Z"',
    '"2023-02-29T00:00:00.000000Z"',
    '"2024-02-29T00:00:00.000000Z"',
    '"2024-13-01T00:00:00.000000Z"',
    '"1969-12-31T00:00:00.000000Z"',
    '"2024-07-01T24:00:00.000000Z"',
    '"2024-07-01T00:00:00.00000Z"',
    f'"{"x" * 63}"',
    f'"{"x" * 64}"',
    f'"{"x" * 256}"',
    '"\x7f"',
    '"\x1f"',
    '"é"',
    '"\udcff"',
    '"\udcc3"',
    '"\udced\udca0\udc80"',
    '"\\u0041"',
    "{}",
    "[]",
    '{"a":1}',
)
"""What may stand where a leaf should: each limit, and one beyond it."""


def test_every_leaf_with_every_value_is_read_the_same() -> None:
    """Types, limits, words and forms, one at a time, at a leaf of each kind; and the leaf or the group left out."""
    whole = json.loads(LABELLED)
    whole["cc"]["deep"]["total_deep"] = whole["cc"]["rate"] = 3
    pair = Pair(SMALL)
    alike = {"client_id", "bundle_id", "total_unstable_level1", "total_deep", "#é", "#b:c", "#a"}
    for path in (path for path in _paths(whole) if not alike & set(path)):
        for value in (*VALUES, None):
            document = json.loads(json.dumps(whole))
            group = document
            for key in path[:-1]:
                group = group[key]
            if value is None:
                del group[path[-1]]
            else:
                group[path[-1]] = "HERE"
            pair = Pair(SMALL, pair.counted)
            pair.read(LABELLED)
            text = json.dumps(document, ensure_ascii=False).replace('"HERE"', value or "")
            pair.read(text.encode(errors="surrogateescape"))
    assert pair.counted["accepted"] > 100, pair.counted
    assert pair.counted["deviating"] > 500, pair.counted


def _paths(value: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:  # Any: JSON
    for key, below in value.items():
        yield (*above, key)
        if isinstance(below, dict):
            yield from _paths(below, (*above, key))


@pytest.mark.parametrize("cut", [0, 1, 2, 50, 300, -1, -2, -30])
def test_a_body_that_ends_early_is_refused(cut: int) -> None:
    """Nothing is read beyond the end, and what is not whole is never accepted."""
    text = json.dumps(small(random.Random(2))).encode()
    pair = Pair(SMALL)
    assert pair.read(text).fault is None
    assert pair.read(text[:cut]).fault is not None
    assert pair.read(b"[" + text[:cut], many=True).fault is not None


def test_a_repeated_key_is_found_at_every_place() -> None:
    """Every member of every object, repeated at its end: the accelerator says so at once."""
    document = json.loads(LABELLED)
    pair = Pair(SMALL)
    whole = json.dumps(document)
    found = 0
    groups = (
        document,
        document["cc"],
        document["network_status"],
        document["data_channel"],
        document["data_channel"]["#a"],
    )
    for key, value in [member for group in groups for member in group.items()]:
        member = f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
        text = json.dumps(document, ensure_ascii=False).replace(member, f"{member}, {member}", 1).encode()
        pair.read(whole.encode())
        assert pair.swift._builder.scan is not None and pair.swift._builder.scan(text, False) == 1, member
        assert pair.read(text).duplicates, member
        found += 1
    assert found >= 24


EDGES: Final = (0, 1, 2, 2**32, 2**64 - 1)


def test_relations_are_looked_at_as_in_python() -> None:
    """
    Each relation of the edition, with a counter of either side at 0, 1 and 2 and at the largest that there is: below, at
    and above its limit, with and without what excuses it, and without each of its groups.
    """
    world = SimulatedWorld(DOC, seed=4, connections=1, churn=False)
    (connection,) = world.connections_of_node(0)
    document = connection.read_sample(0, "2024-07-01T00:00:01.000001Z")
    pair = Pair(DOC)
    for block in pair.plain.codec.blocks:
        group = _group(document, block.path)
        group.update(dict.fromkeys((counter.name for counter in block.counters), 0))
    whole = msgspec.json.encode(document)
    pair.read(whole)
    blocks = pair.plain.codec.blocks
    seen = set()
    lack = carried = 0
    for row in pair.plain.relations:
        places = [(block, at) for _, block, at in (row.left[0], row.right[0], *row.unless[:1])]
        counters = [(_group(document, blocks[block].path), blocks[block].counters[at].name) for block, at in places]
        for values in itertools.product(EDGES, EDGES, *[(0, 1)] * (len(counters) - 2)):
            for (group, name), value in zip(counters, values, strict=True):
                group[name] = value
            (sample,) = pair.read(msgspec.json.encode(document)).samples
            seen.add((row.requirement.id, bool(pair.filter.violated_relations(sample.blocks))))
        for values in itertools.product((0, 1, 2), repeat=2):
            for (group, name), value in zip(counters, values, strict=False):
                group[name] = value
            for path in {blocks[block].path for _, block, _ in (*row.left, *row.right, *row.unless)}:
                above = _group(document, path[:-1])
                without = {key: each for key, each in above.items() if key != path[-1]}
                lacking = without if above is document else document | {path[0]: without}
                mine, theirs = (
                    each.read(msgspec.json.encode(lacking), many=False, scan=True).samples[0]
                    for each in (pair.swift, pair.plain)
                )
                lack += mine.related is not None
                pair._same(mine, theirs, b"")
        for group, name in counters:
            group[name] = 0
        for several, other in ((row.left, row.right[0]), (row.right, row.left[0])):
            if len(several) < 2:
                continue
            terms = [
                (_group(document, blocks[b].path), blocks[b].counters[at].name) for _, b, at in (*several[:2], other)
            ]
            for values in itertools.product((2**32 - 1,), (1,), (2**32 - 1, 2**32, 2**32 + 1)):
                for (group, name), value in zip(terms, values, strict=True):
                    group[name] = value
                pair.read(msgspec.json.encode(document))
                carried += 1
            for group, name in terms:
                group[name] = 0
    assert carried > 10
    assert lack > 0, "some groups may be absent"
    assert pair.counted["related"] >= 16 * len(pair.plain.relations)
    assert {missed for _, missed in seen} == {False, True}
    assert len(seen) > len({id for id, _ in seen})


@pytest.mark.parametrize("id", sorted({row.requirement.id for row in SampleReader(DOC).relations}))
def test_relations_of_counters_that_deviated_once_are_looked_at_as_well(id: str) -> None:
    """Such a counter is let through from then on, unread: its relations are Python's."""
    world = SimulatedWorld(DOC, seed=4, connections=1, churn=False)
    (connection,) = world.connections_of_node(0)
    document = connection.read_sample(0, "2024-07-01T00:00:01.000001Z")
    for block in SampleReader(DOC).codec.blocks:
        _group(document, block.path).update(dict.fromkeys((counter.name for counter in block.counters), 0))
    row = next(row for row in SampleReader(DOC).relations if row.requirement.id == id)
    seen = set()
    for learned in (row.left[0], row.right[0]):
        pair = Pair(DOC)
        places = [(pair.plain.codec.blocks[block], at) for _, block, at in (learned, row.left[0], row.right[0])]
        (group, name), *sides = [(_group(document, block.path), block.counters[at].name) for block, at in places]
        for odd in ("1", 0, "1"):
            group[name] = odd
            pair.read(msgspec.json.encode(document))
        group[name] = 0
        assert pair.swift.codec.learned
        for values in itertools.product((0, 1, 2), repeat=2):
            for (side, counter), value in zip(sides, values, strict=True):
                side[counter] = value
            accepted = pair.counted["accepted"]
            (sample,) = pair.read(msgspec.json.encode(document)).samples
            assert pair.counted["accepted"] == accepted + 1
            seen.add(bool(pair.filter.violated_relations(sample.blocks)))
        for side, counter in sides:
            side[counter] = 0
    assert seen == {False, True}


def _group(value: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:  # Any: JSON
    for key in path:
        value = value[key]
    return value


def test_samples_share_what_did_not_change() -> None:
    """A block that is as before is the very same object."""
    reader = SampleReader(SMALL)
    document = small(random.Random(7))
    document["network_status"]["total_unstable_level0"] = 10**6
    document["cc"]["deep"] = {"total_small": 60_000, "total_deep": 10**7}
    for _ in range(2):  # a label that is new is first looked at in Python
        first = reader.read(json.dumps(document, ensure_ascii=False).encode(), many=False, scan=False).samples[0]
    document["cc"]["deep"]["total_deep"] += 1
    second = reader.read(json.dumps(document, ensure_ascii=False).encode(), many=False, scan=False).samples[0]
    same = [one is other for one, other in zip(first.blocks, second.blocks, strict=True)]
    assert sorted(same) == [False, True]
    ((one, other),) = [pair for pair in zip(first.blocks, second.blocks, strict=True) if pair[0] is not pair[1]]
    assert one is not None and other is not None
    assert one[0] == other[0] and other[1] == one[1] + 1
    assert isinstance(one, Counters) and isinstance(other, Counters)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("labels_raw", [False, True])
def test_repeated_keys_are_looked_for_in_what_it_refuses(many: bool, labels_raw: bool) -> None:
    """Where that is asked for: an escape in a key is nothing for it, nor anything at all once labels are no objects."""
    document = small(random.Random(7)) | {"data_channel": {}}
    reader = SampleReader(SMALL)
    if labels_raw:
        reader.read(json.dumps(document | {"data_channel": 5}).encode(), many=False, scan=False)
    text = json.dumps(document)
    for again in (', "channel_id": "x"}', ', "channel_i\\u0064": "x"}'):
        body = (text[:-1] + again).encode()
        found = reader.read(b"[" + body + b"]" if many else body, many=many, scan=True)
        assert found.duplicates == [(0, "channel_id") if many else ("channel_id",)]
        assert found.scanned


@pytest.mark.parametrize("others", [100, 10**6], ids=["few others", "ever new ones"])
def test_it_does_not_keep_connections_that_have_gone(others: int) -> None:
    """What it shares with is let go once a connection is not seen any more, however many follow."""
    reader = SampleReader(SMALL)
    document = small(random.Random(7)) | {"data_channel": {}}
    document["cc"]["deep"]["total_deep"] = 0
    gone = reader.read(json.dumps(document, ensure_ascii=False).encode(), many=False, scan=False).samples[0].blocks[0]
    assert gone is not None
    held = sys.getrefcount(gone)
    for number in range(50_000):
        document["connection_id"] = f"other{number % others}"
        reader.read(json.dumps(document, ensure_ascii=False).encode(), many=False, scan=False)
    assert sys.getrefcount(gone) == held - 1


def as_array(block: Sequence[int] | None) -> Sequence[int] | None:
    """The same counters as the reader in C makes them, if it can."""
    return block if block is None or not all(0 <= each < 2**64 for each in block) else Counters(block)


@given(
    one=st.lists(st.sampled_from([0, 1, 2**64 - 1]), max_size=3),
    other=st.lists(st.sampled_from([0, 1, 2**64 - 1]), max_size=3),
)
def test_an_array_acts_as_the_tuple_of_its_counters(one: list[int], other: list[int]) -> None:
    """Equal to it, and to another array, where that has the same counters; and to nothing else."""
    array, second = Counters(one), Counters(other)
    assert (list(array), len(array), repr(array)) == (one, len(one), repr(tuple(one)))
    assert all(array[-1 - place] == each for place, each in enumerate(reversed(one)))
    assert (array == second) is (one == other) is not (array != second)
    assert (array == tuple(other)) is (tuple(other) == array) is (one == other)
    assert array != one and array != None and array != 0  # noqa: E711  # what it is compared with is the point
    with pytest.raises(IndexError):
        array[len(one)]
    with pytest.raises(TypeError):
        hash(array)
    with pytest.raises(TypeError):
        array < second  # noqa: B015  # it raises


@pytest.mark.parametrize("wrong", [[-1], [2**64], ["1"], [None], 5], ids=str)
def test_an_array_holds_counters_only(wrong: Any) -> None:  # Any: all that is wrong
    """Whatever is no integer of 64 bits without a sign is an error."""
    with pytest.raises((TypeError, OverflowError)):
        Counters(wrong)


@given(
    known=st.lists(
        st.lists(st.integers(-1, 4) | st.sampled_from([2**63 - 1, 2**63, 2**64, 2**200]), min_size=2, max_size=2).map(
            tuple
        )
        | st.none(),
        min_size=3,
        max_size=3,
    ),
    change=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(-1, 5) | st.just(2**64)), max_size=4),
    dropped=st.sets(st.integers(0, 2), max_size=1),
    arrays=st.sets(st.tuples(st.booleans(), st.integers(0, 2))),
)
@example(known=[(1, 2), (3, 4), None], change=[(0, 0, 2), (1, 1, 3)], dropped=set(), arrays=set())
@example(known=[(1, 2), (3, 4), (5, 6)], change=[(1, 1, 3)], dropped=set(), arrays={(True, 1), (False, 1)})
@example(known=[(1, 2), (3, 4), (5, 6)], change=[(1, 1, 3)], dropped=set(), arrays={(True, 1)})
def test_rising_is_what_the_loop_in_python_comes_to(
    known: list[Sequence[int] | None],
    change: list[tuple[int, int, int]],
    dropped: set[int],
    arrays: set[tuple[bool, int]],
) -> None:
    """
    Where it gives the larger blocks, so does the loop, and finds no fall; where it gives none, something fell.

    Blocks are tuples, as the reader in Python makes them, or arrays, as the one in C does.
    """
    assert accelerator.merge_risen_blocks is not None
    blocks = [None if block is None or place in dropped else (*block,) for place, block in enumerate(known)]
    for place, counter, value in change:
        block = blocks[place]
        if block is not None:
            blocks[place] = (*block[:counter], value, *block[counter + 1 :])
    known = [as_array(block) if (False, place) in arrays else block for place, block in enumerate(known)]
    blocks = [as_array(block) if (True, place) in arrays else block for place, block in enumerate(blocks)]
    before, mine, theirs = list(known), list(blocks), list(blocks)
    risen = accelerator.merge_risen_blocks(known, mine)
    lineage: CounterHistory[str] = CounterHistory(3)
    base = lineage.current_maxima
    base.blocks, base.holder = list(known), "earlier"
    falls: list[Any] = []  # Any: falls
    top = lineage._merge_blocks(theirs, known, base, falls)
    assert known == before
    if risen is None:
        assert any(
            (old is None) != (new is None) or (old is not None and any(map(operator.lt, new or (), old)))
            for old, new in zip(known, blocks, strict=True)
        )
        return
    assert risen == top and mine == theirs and not falls
    assert (risen is known) is (blocks == known)
    assert all(one is other for one, other in zip(mine, known, strict=True) if one == other)


NAMES: Final = st.sampled_from(["a", "b", "é"])


@given(
    known=st.dictionaries(NAMES, st.tuples(*[st.sampled_from([-1, 0, 1, 2**64])] * 2), max_size=3),
    change=st.lists(st.tuples(NAMES, st.integers(0, 1), st.sampled_from([-1, 0, 1, 2])), max_size=3),
    order=st.randoms(use_true_random=False),
    arrays=st.sets(st.tuples(st.booleans(), NAMES)),
)
@example(known={"a": (1, 1), "b": (1, 1)}, change=[("b", 0, 1)], order=random.Random(1), arrays=set())
@example(known={"a": (1, 1)}, change=[("a", 0, 2)], order=random.Random(1), arrays={(True, "a"), (False, "a")})
def test_labels_rise_as_blocks_do(
    known: dict[str, Sequence[int]],
    change: list[tuple[str, int, int]],
    order: random.Random,
    arrays: set[tuple[bool, str]],
) -> None:
    """As long as they are the same labels in the same order; neither dictionary is touched."""
    assert accelerator.merge_risen_labels is not None
    labels = dict(known)
    for label, counter, value in change:
        before = labels.get(label, (0, 0))
        labels[label] = (*before[:counter], value, *before[counter + 1 :])
    if order.random() < 0.2:
        labels = dict(order.sample([*labels.items()], len(labels)))
    known = {label: (as_array(each) or ()) if (False, label) in arrays else each for label, each in known.items()}
    labels = {label: (as_array(each) or ()) if (True, label) in arrays else each for label, each in labels.items()}
    copies = dict(known), dict(labels)
    risen = accelerator.merge_risen_labels(known, labels)
    assert (known, labels) == copies
    fell = any(any(map(operator.lt, labels.get(label, each), each)) for label, each in known.items())
    if [*known] != [*labels] or fell:
        assert risen is None
    else:
        assert risen == labels
        assert (risen is known) is (known == labels)


def test_labels_in_another_order_are_left_to_python() -> None:
    """Whatever they counted: they would be compared across."""
    assert accelerator.merge_risen_labels is not None
    known: dict[str, Sequence[int]] = {"a": (1, 1), "b": (1, 1)}
    assert accelerator.merge_risen_labels(known, {"a": (1, 1), "b": (1, 2)}) == {"a": (1, 1), "b": (1, 2)}
    assert accelerator.merge_risen_labels(known, {"b": (1, 1), "a": (1, 1)}) is None


@given(
    known=st.lists(st.tuples(*[st.sampled_from([0, 1, 2**64 - 1])] * 2) | st.none(), min_size=3, max_size=3),
    other=st.lists(st.tuples(*[st.sampled_from([0, 1, 2**64 - 1])] * 2) | st.none(), min_size=3, max_size=3),
    tuples=st.sets(st.tuples(st.booleans(), st.integers(0, 2)), max_size=1),
    same=st.sets(st.integers(0, 2)),
)
@example(known=[(0, 1)] * 3, other=[(1, 0)] * 3, tuples=set(), same=set())
@example(known=[(1, 1)] * 3, other=[(1, 0)] * 3, tuples=set(), same={1})
@example(known=[(0, 1)] * 3, other=[(1, 1)] * 3, tuples={(True, 1)}, same=set())
def test_the_highest_is_the_larger_of_each_two(
    known: list[Sequence[int] | None],
    other: list[Sequence[int] | None],
    tuples: set[tuple[bool, int]],
    same: set[int],
) -> None:
    """What is known stays the very same list where it has them all, and neither list is touched."""
    assert accelerator.merge_highest_blocks is not None
    before = [block if (False, place) in tuples else as_array(block) for place, block in enumerate(known)]
    blocks = [
        before[place] if place in same else block if (True, place) in tuples else as_array(block)
        for place, block in enumerate(other)
    ]
    copies = list(before), list(blocks)
    top = accelerator.merge_highest_blocks(before, blocks)
    assert (before, blocks) == copies and all(one is two for one, two in zip(before, copies[0], strict=True))
    pairs = list(zip(before, blocks, strict=True))
    if any(one is not two and not (isinstance(one, Counters) and isinstance(two, Counters)) for one, two in pairs):
        assert top is None
        return
    expected = [None if one is None or two is None else tuple(map(max, one, two)) for one, two in pairs]
    assert top == expected
    assert (top is before) is (expected == before)
    for block, one, two in zip(top, before, blocks, strict=True):
        assert block is one or block != one
        assert block is one or block is two or block != two


def test_the_highest_takes_two_lists() -> None:
    """Anything else is a TypeError, and no crash."""
    assert accelerator.merge_highest_blocks is not None
    for wrong in ((), ([],), ([], ()), ([1], []), ({}, {})):
        with pytest.raises(TypeError):
            accelerator.merge_highest_blocks(*wrong)


def test_rising_labels_are_two_dictionaries() -> None:
    """Anything else is a TypeError, and no crash."""
    assert accelerator.merge_risen_labels is not None
    for wrong in ((), ({},), ({}, []), ([], {})):
        with pytest.raises(TypeError):
            accelerator.merge_risen_labels(*wrong)


@given(
    steps=st.lists(
        st.tuples(*[st.none() | st.tuples(*[st.sampled_from([0, 0, 1, 2**64])] * 3)] * 2), min_size=1, max_size=6
    ),
    known=st.tuples(st.booleans(), st.booleans()),
    arrays=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 1))),
    same=st.sets(st.tuples(st.integers(1, 5), st.integers(0, 1))),
)
@example(steps=[((0, 0, 0), None), ((0, 1, 0), (0, 0, 0))], known=(True, False), arrays={(0, 0), (1, 0)}, same=set())
def test_first_holders_are_those_that_the_walk_in_python_finds(
    steps: list[tuple[tuple[int, ...] | None, ...]],
    known: tuple[bool, bool],
    arrays: set[tuple[int, int]],
    same: set[tuple[int, int]],
) -> None:
    """Of values that grow step by step, and not all in each; both are held to a search from the front."""
    assert accelerator.find_first_evidence is not None
    grown: list[list[Sequence[int] | None]] = []
    for number, step in enumerate(steps):
        blocks: list[Sequence[int] | None] = []
        for block, more in enumerate(step):
            before = grown[-1][block] if grown else (0, 1, 300)
            if more is None:
                blocks.append(None)
            elif before is not None and (number, block) in same and number:
                blocks.append(before)
            else:
                block_now = tuple(map(int.__add__, before or (0, 1, 300), more))
                blocks.append(as_array(block_now) if (number, block) in arrays else block_now)
        grown.append(blocks)
    owners = [f"owner {number}" for number in range(len(grown))]
    held = [[f"held {block}.{place}" for place in range(3)] if known[block] else None for block in range(2)]
    found = accelerator.find_first_evidence(grown, owners, held)
    assert found == _find_first_holders(grown, owners, held)
    for block, holders in enumerate(found):
        mine = [step[block] for step in grown]
        since = len(mine) - mine[::-1].index(None) if None in mine else 0
        if since == len(mine):
            assert holders is None
            continue
        assert holders is not None
        for place, holder in enumerate(holders):
            values = [each[place] for each in mine[since:] if each is not None]
            first = since + values.index(values[-1])
            before_all = held[block] if first == 0 else None
            assert holder == (owners[first] if before_all is None else before_all[place])


@pytest.mark.parametrize(
    "wrong",
    [
        ([], [], []),
        ([[(1,)]], [], [None]),
        ([[(1,)]], [1], [[1, 2]]),
        ([[(1,)]], [1], [(1,)]),
        ([(1,)], [1], [None]),
        ([[[1]]], [1], [None]),
        (((1,),), [1], [None]),
        ([[(1,)], [(1, 2)]], [1, 2], [None]),
        ([[(1,)]], [1], []),
        ([[Counters((1,)) if Counters else (1,)]], [1], [[]]),
        ([[(1,)]], [1]),
    ],
    ids=str,
)
def test_first_holders_takes_three_lists(wrong: tuple[Any, ...]) -> None:  # Any: all that is wrong
    """Anything else is a TypeError, and no crash."""
    assert accelerator.find_first_evidence is not None
    with pytest.raises(TypeError):
        accelerator.find_first_evidence(*wrong)


@pytest.mark.parametrize("wrong", [((), []), ([], [()]), ([1],), ([1], [2], [3])], ids=str)
def test_rising_takes_two_lists_of_blocks(wrong: tuple[Any, ...]) -> None:  # Any: all that is wrong
    """Anything else is a TypeError, and no crash."""
    assert accelerator.merge_risen_blocks is not None
    with pytest.raises(TypeError):
        accelerator.merge_risen_blocks(*wrong)


def test_it_can_be_switched_off() -> None:
    """With SORA_HARNESS_PURE=1 all is judged in Python."""
    code = "from sora_stats_harness.judge import accelerator as a; print(a.is_available(), a.merge_risen_blocks)"
    for value, said in (("1", "False None"), ("0", "True <"), ("", "True <")):
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"SORA_HARNESS_PURE": value}, capture_output=True, text=True
        )
        assert done.stdout.startswith(said), done.stdout + done.stderr
