"""
The reader in C gives what the one in Python gives, or refuses: whatever the body, and however it was damaged.

The reader in Python is the slow and obvious one here, and is itself held to a reference (tests/oracle). So each test
feeds both, and compares; what the accelerator accepts must in Python be a body without a repeated key.
"""

from __future__ import annotations

import functools
import gc
import itertools
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sora_stats_harness.api import edition
from sora_stats_harness.judge import accelerator
from sora_stats_harness.judge.counter_history import _find_first_holders
from sora_stats_harness.judge.edition_decoder import Counters as BlockCounters
from sora_stats_harness.judge.sample_reader import SampleReader
from sora_stats_harness.simulator.world import SimulatedWorld

from .. import fuzzing
from ..examples import FULL, some_of
from ..fuzzing import TABLE_OF_COUNTER, TABLE_OF_GROUP, Pair, damaged, layout, table
from ..oracle import agreement, documents, histories

NEEDED: Final = os.environ.get("SORA_HARNESS_ACCELERATOR") == "required"

pytestmark = pytest.mark.skipif(
    not accelerator.is_available() and not NEEDED,
    reason="there is no accelerator: no C compiler, or it is switched off",
)

DOC: Final = edition.load_edition()

Counters: Final[Any] = getattr(accelerator.MODULE, "Counters", None)  # Any: a type that is there only with the module

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


def scan_of(reader: SampleReader) -> Any:  # Any: what the accelerator gives
    """A reader's scanner; None where it has none."""
    assert reader._builder is not None
    return reader._builder.scan


def test_it_is_there() -> None:
    """Where it is asked for, the tests of this file are about something."""
    assert accelerator.is_available()
    assert scan_of(SampleReader(DOC)) is not None
    assert scan_of(SampleReader(SMALL)) is not None
    assert scan_of(SampleReader(DOC, accelerated=False)) is None


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
    for seed in range(some_of(60) if fresh else some_of(240)):
        made = documents.document(seed, DOC)
        if fresh:
            pair = Pair(DOC, pair.counted)
        pair.read(made.body, many=made.many)
    assert pair.counted["faulty"] >= some_of(3) and pair.counted["deviating"] >= some_of(10), pair.counted


@pytest.mark.parametrize("fresh", [False, True], ids=["learned", "fresh"])
def test_edges_are_read_the_same(fresh: bool) -> None:
    """Numbers, strings and worse, on which parsers disagree, at every kind of place: alone, hidden, and hiding."""
    pair = Pair(histories.SMALL)
    for made in documents.window_edges_ns(agreement.base(), step=(61 if fresh else 7) * (1 if FULL else 12)):
        if fresh:
            pair = Pair(histories.SMALL, pair.counted)
            pair.read(json.dumps(agreement.base()).encode())  # its labels are known from now on
        pair.read(made.body, many=made.many)
    assert pair.counted["accepted"] > some_of(20), pair.counted
    assert pair.counted["repeated"] > some_of(50), pair.counted


@pytest.mark.parametrize("seed", range(some_of(4)))
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


@pytest.mark.parametrize("seed", range(some_of(4)))
def test_a_damaged_documented_response_is_read_the_same(seed: int) -> None:
    """The same for a response of the documented size."""
    source = random.Random(seed)
    pair = Pair(DOC)
    text = (Path(__file__).parents[1] / "data" / "example_response.json").read_bytes()
    for _ in range(80):
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
    '"2023-02-28T12:30:60.000000Z"',
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
    for number, path in enumerate(path for path in _paths(whole) if not alike & set(path)):
        values = VALUES if FULL or path[-1] == "timestamp" else VALUES[number % 4 :: 4]
        for value in (*values, None):
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
    assert pair.counted["accepted"] > some_of(100), pair.counted
    assert pair.counted["deviating"] > some_of(500), pair.counted


@pytest.mark.parametrize(("red", "related"), [("5331", True), ("5332", False), ("5331.0", None), ("5332.0", None)])
def test_relations_of_a_counter_that_is_let_through(red: str, related: bool | None) -> None:
    """The accelerator reads it where it is as it should be; else what it says of relations is not enough."""
    document = json.loads((Path(__file__).parents[1] / "data" / "example_response.json").read_bytes())
    del document["sctp"]["total_pruned_sctp_data_chunk"]
    assert document["rtp"]["total_received_rtp"] == 5331
    reader = SampleReader(DOC)
    for number in (1.0, json.loads(red), json.loads(red)):
        document["rtp"]["total_received_rtp_red"] = number
        (sample,) = reader.read(json.dumps(document).encode(), many=False, scan=False).samples
    assert sample.related is related


def test_a_repeated_key_is_found_where_a_body_is_taken_in_slices() -> None:
    """The accelerator has seen it, though nobody asked for a look."""
    text = LABELLED.replace(b'"rate"', b'"rate":1,"rate"', 1)
    reader = SampleReader(SMALL)
    *_, parsed = reader.read_in_slices(b"[%b]" % text, many=True, scan=False)
    assert parsed is not None
    assert parsed.duplicates == [(0, "cc", "rate")]


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
        assert scan_of(pair.swift)(text, False) == accelerator.REPEATED_KEY, member
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
    document["network_status"][f"total_unstable_level{document['network_status']['unstable_level']}"] = (
        1  # else none holds
    )
    whole = msgspec.json.encode(document)
    pair.read(whole)
    blocks = pair.plain.codec.blocks
    seen = set()
    lack = carried = 0
    for row in pair.plain.relations.rows:
        places = [(block, at) for _, block, at in (row.left[0], row.right[0], *row.unless[:1])]
        counters = [(_group(document, blocks[block].path), blocks[block].counters[at].name) for block, at in places]
        for values in itertools.product(EDGES, EDGES, *[(0, 1)] * (len(counters) - 2)):
            for (group, name), value in zip(counters, values, strict=True):
                group[name] = value
            (sample,) = pair.read(msgspec.json.encode(document)).samples
            seen.add((row.requirement.id, any(pair.filter.violated_relations(sample.blocks))))
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
    assert pair.counted["related"] >= 16 * len(pair.plain.relations.rows)
    assert {missed for _, missed in seen} == {False, True}
    assert len(seen) > len({id for id, _ in seen})


@pytest.mark.parametrize("id", sorted({row.requirement.id for row in SampleReader(DOC).relations.rows}))
def test_relations_of_counters_that_deviated_once_are_looked_at_as_well(id: str) -> None:
    """Such a counter is let through from then on, unread: its relations are Python's."""
    world = SimulatedWorld(DOC, seed=4, connections=1, churn=False)
    (connection,) = world.connections_of_node(0)
    document = connection.read_sample(0, "2024-07-01T00:00:01.000001Z")
    for block in SampleReader(DOC).codec.blocks:
        _group(document, block.path).update(dict.fromkeys((counter.name for counter in block.counters), 0))
    document["network_status"][f"total_unstable_level{document['network_status']['unstable_level']}"] = 1  # as above
    row = next(row for row in SampleReader(DOC).relations.rows if row.requirement.id == id)
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
            seen.add(any(pair.filter.violated_relations(sample.blocks)))
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
    document["connection_id"] = "@"
    body = json.dumps(document, ensure_ascii=False).encode()
    for number in range(50_000):
        reader.read(body.replace(b"@", b"other%d" % (number % others)), many=False, scan=False)
    assert sys.getrefcount(gone) == held - 1


@functools.cache
def reader(size: int, any_may_be_missing: bool) -> SampleReader:
    """A reader of an edition with one group of so many counters; each of them may have been missing before."""
    lines = [
        f'c{place} = {{ type = "integer", kind = "counter", unit = "count", minimum = 0, description = "C." }}'
        for place in range(size)
    ]
    head = ['format = "sora-harness/edition/1"', 'name = "array"', 'title = "One group"', 'source = "the tests"']
    made = SampleReader(edition.parse_edition("\n".join([*head, "[groups.g.fields]", *lines]), origin="tests"))
    if any_may_be_missing:
        made.read(b'{"g": {}}', many=False, scan=False)
    return made


def as_array(block: Sequence[int] | None) -> Any:  # Any: a type that is there only with the module
    """The same counters as the scanner makes them, if it can."""
    if not block or not all(-1 <= each < 2**64 - 1 for each in block):
        return block
    body = json.dumps({"g": {f"c{place}": each for place, each in enumerate(block) if each >= 0}}).encode()
    parsed = reader(len(block), -1 in block).read(body, many=False, scan=False)
    assert parsed.strict and type(parsed.samples[0].blocks[0]) is Counters
    return parsed.samples[0].blocks[0]


COUNTER: Final = st.sampled_from([-1, 0, 1, 2, 2**63 - 1, 2**63, 2**64 - 2])


@given(one=st.lists(COUNTER, min_size=1, max_size=3), other=st.lists(COUNTER, min_size=1, max_size=3))
def test_an_array_acts_as_the_tuple_of_its_counters(one: list[int], other: list[int]) -> None:
    """Equal to it, and to another array, where that has the same counters; and to nothing else."""
    array, second = as_array(one), as_array(other)
    assert (list(array), len(array)) == (one, len(one))
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


class Number(int):
    """An integer of another type."""


@given(
    known=st.lists(
        st.lists(
            st.integers(-1, 4) | st.sampled_from([2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1, 2**200]),
            min_size=2,
            max_size=2,
        ).map(tuple)
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
@example(known=[(1, 2), (3, 4), (5, 6)], change=[(1, 1, 5)], dropped=set(), arrays={(True, 1), (False, 1)})
@example(known=[(1, 2), (3, 4), (5, 6)], change=[(1, 1, 3)], dropped=set(), arrays={(True, 1)})
@example(known=[(1, 2), (3, -1), (5, 6)], change=[(1, 0, 4)], dropped=set(), arrays={(True, 1), (False, 1)})
@example(known=[(1, 2), (3, -1), (5, 6)], change=[(1, 1, 4)], dropped=set(), arrays={(True, 1), (False, 1)})
@example(known=[(1, 2), (3, 4), (5, 6)], change=[(1, 1, -1)], dropped=set(), arrays={(True, 1), (False, 1)})
def test_rising_is_what_the_loop_in_python_comes_to(
    known: list[Sequence[int] | None],
    change: list[tuple[int, int, int]],
    dropped: set[int],
    arrays: set[tuple[bool, int]],
) -> None:
    """
    Of arrays it takes over what grew, shares what is the same, and leaves what fell; all else it leaves to Python.

    Blocks are tuples, as the reader in Python makes them, or arrays, as the scanner in C does.
    """
    blocks: list[BlockCounters | None] = [
        None if block is None or place in dropped else (*block,) for place, block in enumerate(known)
    ]
    for place, counter, value in change:
        block = blocks[place]
        if block is not None:
            blocks[place] = (*block[:counter], value, *block[counter + 1 :])
    known = [as_array(block) if (False, place) in arrays else block for place, block in enumerate(known)]
    blocks = [as_array(block) if (True, place) in arrays else block for place, block in enumerate(blocks)]
    before, mine, theirs = list(known), list(blocks), list(blocks)
    if None not in known and None not in blocks:
        labels: list[dict[str, Any]] = [dict(zip("abc", each, strict=True)) for each in (known, blocks)]  # Any: blocks
        merged, plain = accelerator.merge_risen_labels(*labels), accelerator._merge_risen_labels(*labels)
        assert merged is plain or merged is None
        all_arrays = all(type(block) is Counters for each in labels for block in each.values())
        assert merged is not None or plain is None or not all_arrays
    top, left = accelerator.merge_risen_blocks(known, mine)
    plain_top, plain_left = accelerator._merge_risen_blocks(known, theirs)
    assert known == before
    assert (top is known) is (top == known)
    assert set(plain_left) <= set(left)
    for place in set(left) - set(plain_left):
        assert not (type(known[place]) is Counters and type(blocks[place]) is Counters)
        assert top[place] is known[place] and mine[place] is blocks[place]
    for place in set(range(3)) - set(left):
        assert top[place] == plain_top[place] and mine[place] == theirs[place]
        assert mine[place] is known[place] or mine[place] != known[place]


@pytest.mark.parametrize("wrong", [((), []), ([], ()), ([1],), ([1], [2], [3]), ({}, {})], ids=str)
def test_rising_takes_two_lists(wrong: tuple[Any, ...]) -> None:  # Any: all that is wrong
    """Anything else is a TypeError, and no crash; what is in them may be anything."""
    assert accelerator.MODULE is not None
    with pytest.raises(TypeError):
        accelerator.MODULE.merge_risen_blocks(*wrong)
    odd: list[Any] = [Number(1), "a", None, [], (Number(1),), as_array((1,)), as_array((1, 2))]  # Any: as above
    for one, two in itertools.product(odd, odd):
        top, left = accelerator.merge_risen_blocks([one], [two])
        assert (top, [*left]) == ([one], [] if one is two else [0])


def test_labels_are_merged_only_where_they_are_the_same() -> None:
    """In their order; the same text in another object is the same label."""
    merge, one, two = accelerator.merge_risen_labels, as_array((1,)), as_array((2,))
    known = {"".join(("la", "bel")): one, "b": one}
    labels: Any  # Any: whatever a caller may have
    for labels, expected in (
        ({"label": one, "b": as_array((1,))}, known),
        ({"label": two, "b": one}, {"label": two, "b": one}),
        ({"b": one, "label": one}, None),
        ({"label": one, "c": one}, None),
        ({"label": one}, None),
        ({"label": one, "b": one, "c": one}, None),
        ({"label": one, "b": as_array((0,))}, None),
        ({"label": one, "b": as_array((1, 1))}, None),
        ({"label": one, "b": (1,)}, None),
        ({"label": one, 1: one}, None),
    ):
        merged = merge(known, labels)
        assert merged == expected
        assert merged in (None, known) or merged is labels
    wrong: Any  # Any: as above
    for wrong in ((), ([], {}), ({}, []), ({},), ({}, {}, {})):
        with pytest.raises(TypeError):
            merge(*wrong)


@given(
    steps=st.lists(st.tuples(*[st.sampled_from([0, 0, 1, 2**64])] * 3) | st.none(), min_size=1, max_size=6),
    arrays=st.sets(st.integers(0, 5)),
    same=st.sets(st.integers(1, 5)),
)
@example(steps=[(0, 0, 0), (0, 1, 0)], arrays={0, 1}, same=set())
@example(steps=[(0, 0, 0), None, (0, 1, 0)], arrays={0, 1, 2}, same=set())
def test_first_holders_are_those_that_a_search_from_the_front_finds(
    steps: list[tuple[int, ...] | None], arrays: set[int], same: set[int]
) -> None:
    """Of values that grow step by step, and are not there in each; with the accelerator and without."""
    grown: list[Sequence[int] | None] = []
    for number, more in enumerate(steps):
        before = grown[-1] if grown else None
        if more is None or (before is not None and number in same):
            grown.append(before if more is not None else None)
            continue
        now = tuple(map(int.__add__, before or (0, 1, 300), more))
        grown.append(as_array(now) if number in arrays else now)
    owners = [f"owner {number}" for number in range(len(grown))]
    held = ["held 0", "held 1", "held 2"]
    since = len(grown) - grown[::-1].index(None) if None in grown else 0
    if since == len(grown):
        return
    holders = _find_first_holders([[None, each] for each in grown], 1, owners, held)
    for place, holder in enumerate(holders):
        values = [each[place] for each in grown[since:] if each is not None]
        first = since + values.index(values[-1])
        assert holder == (held[place] if first == 0 else owners[first])


@pytest.mark.parametrize(
    "wrong",
    [
        ([], 0, []),
        ((), 0, [], []),
        ([], 0, (), []),
        ([], 0, [], ()),
        ([], "0", [], []),
        ([], -1, [], []),
        ([[]], 0, [], []),
    ],
)
def test_first_holders_takes_three_lists_and_a_block(wrong: tuple[Any, ...]) -> None:  # Any: all that is wrong
    """Anything else is a TypeError, and no crash; steps that are no counters are left to Python, and very many."""
    search = accelerator.find_first_holders
    assert search is not None
    with pytest.raises(TypeError):
        search(*wrong)
    one, two = as_array((1,)), as_array((2,))
    steps: Any  # Any: as above
    for steps in (
        ([1], [2]),
        ([(1,)], [(2,)]),
        ([one], [(2,)]),
        ([one], [as_array((1, 2))]),
        (one, [one]),
        ([one], []),
    ):
        assert search([*steps], 0, ["a", "b"], ["c"]) is None
    assert search([[one], [two]], 0, ["a", "b"], ["c"]) == ["b"]
    assert search([[one], [one]], 0, ["a", "b"], ["c"]) == ["c"]
    assert search([[None], [one]], 0, ["a", "b"], ["c"]) == search([[None], [one]], 0, ["a", "b"], []) == ["b"]
    for odd in ([], ["c", "d"]):
        assert search([[one]], 0, ["a"], odd) is None
    assert search([[one], [as_array((1,))]] * 40, 0, [*range(80)], ["c"]) is None
    assert _find_first_holders([[(1,)], [(2,)]], 0, ["a", "b"], ["c"]) == ["b"]


def test_a_scanner_is_made_whole_or_not_at_all() -> None:
    """There is no way to one that is half made: not around its constructor, nor by calling that again."""
    assert accelerator.MODULE is not None
    made = accelerator.MODULE.Scanner
    for wrong in (
        lambda: made.__new__(made),
        lambda: made(),
        lambda: made(**layout(unknown=1)),
        lambda: made(**layout(keys="g")),
        lambda: made(**layout(strings=[])),
        lambda: made(**layout(entries=bytearray(160))),
        lambda: Counters(),
        lambda: Counters((1,)),
        lambda: object.__new__(made),
        lambda: type("Other", (made,), {}),
    ):
        with pytest.raises(TypeError):
            wrong()
    scanner = made(**layout())
    for again in ((), (1, 2), (b"",)):
        scanner.__init__(*again)  # it is object's, and changes nothing
    assert scanner.read(b'{"g": {"c": 7}}', False)[0][0][1] == [(7,)]
    for arguments in (
        (),
        (b"{}",),
        ("{}", False),
        (bytearray(b"{}"), False),
        (b"{}", 1),
        (b"{}", None),
        (b"{}", True, 1),
    ):
        with pytest.raises(TypeError):
            scanner.read(*arguments)


@pytest.mark.parametrize("name", fuzzing.corpus())
def test_cases_that_once_differed_are_read_the_same(name: str) -> None:
    """Editions of all shapes, and what readers, judges and the module once took differently, or crashed on."""
    fuzzing.check(fuzzing.corpus()[name], Counter())


@pytest.mark.parametrize("seed", range(some_of(160)))
def test_drawn_cases_are_read_the_same(seed: int) -> None:
    """A little of what `make fuzz` does for long, and with sanitizers."""
    counted: Counter[str] = Counter()
    fuzzing.check(fuzzing.draw(seed), counted)
    fuzzing.check_entries(seed)


@pytest.mark.parametrize(
    "wrong",
    [
        {"keys": b""},
        {"counts": b""},
        {"counts": table(17, 0, 0, 1, 0, 0, 63)},
        {"counts": table(0, 0, 0, 1, 0, 0, 63) * 2},
        {"counts": table(1, 0, 0, 1, 0, 1, 63)},
        {"counts": table(1, 0, 0, 1, 0, 0, -1)},
        {"blocks": b""},
        {"blocks": b"1"},
        {"blocks": table(-1)},
        {"blocks": table(*[1000] * 3)},
        {"nodes": b""},
        {"nodes": table(1, 2)},
        {"nodes": table(1, -1)},
        {"entries": table(*[0] * 9)},
        {"labels": True},
        {"rows": table(1, 1, 1, 0)},
        {"rows": table(1, -1, 1, 0)},
        {"terms": table(257, 0), "rows": table(1, 1, 0, 0)},
        {"terms": table(1, 1), "rows": table(1, 1, 0, 0)},
        {"strings": ("\ud800",)},
        {"strings": tuple("a" * 5000)},
        {"terms": table(*(200, 0) * 2), "rows": table(1, 1, 1, 0)},
        {"strings": (b"a",)},
    ],
    ids=str,
)
def test_a_wrong_layout_is_an_error(wrong: dict[str, Any]) -> None:  # Any: as above
    """One that refers to what is not there, or is larger than there is room for."""
    assert accelerator.MODULE is not None
    with pytest.raises(ValueError):
        accelerator.MODULE.Scanner(**layout(**wrong))


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (0, {}),
        (1, {"counts": table(1, 1, 0, 1, 0, 0, 63)}),
        (3, {"counts": table(1, 1, 0, 1, 0, 0, 63)}),
        (7, {"counts": table(1, 0, 0, 1, 1, 0, 63)}),
    ],
)
def test_an_entry_has_a_place_within_its_table(kind: int, changes: dict[str, bytes]) -> None:
    """Of a counter, an integer, a string, and what is let through: there is one place, and none after it."""
    assert accelerator.MODULE is not None
    for place in (0, 1):
        entries = table(kind, 3, 3, 1, place, -1, 0, 0, 0, 0, *TABLE_OF_GROUP, 0, 0)
        given = layout(entries=entries, **changes)
        if place == 0:
            accelerator.MODULE.Scanner(**given)
        else:
            with pytest.raises(ValueError):
                accelerator.MODULE.Scanner(**given)


def test_a_group_cannot_be_within_itself() -> None:
    """Groups refer to those that stand before them: none leads round in a circle, and none is deeper than 16."""
    assert accelerator.MODULE is not None
    for around in (0, 1):  # itself, and one that follows
        entries = table(*TABLE_OF_GROUP, around, 0, *TABLE_OF_GROUP, 0, 0)
        with pytest.raises(ValueError):
            accelerator.MODULE.Scanner(**layout(nodes=table(1, 1), entries=entries))
    for depth in (5, 16, 17, 40):
        groups = [number for place in range(depth) for number in (*TABLE_OF_GROUP, place, 0)]
        given = layout(nodes=table(*[1] * (depth + 1)), entries=table(*TABLE_OF_COUNTER, *groups))
        if depth > 16:
            with pytest.raises(ValueError):
                accelerator.MODULE.Scanner(**given)
        else:
            body = b'{"g":' * depth + b'{"c":1}' + b"}" * depth
            assert accelerator.MODULE.Scanner(**given).read(body, False) is not None


def test_a_scanner_that_is_reading_refuses_to_read() -> None:
    """Collecting garbage runs any code, in the middle of a body as well: what is read there is read in Python."""
    whole = json.dumps(small(random.Random(3)), ensure_ascii=False).encode()
    small_reader = SampleReader(SMALL)
    small_reader.read(LABELLED, many=False, scan=True)
    scan = scan_of(small_reader)
    assert scan is not None
    found: list[Any] = []  # Any: what a scanner gives

    def read_again(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            found.append(scan(whole, False))

    threshold = gc.get_threshold()
    gc.callbacks.append(read_again)
    try:
        gc.set_threshold(1)
        for _ in range(50):
            outer = scan(b"[%b,%b,%b]" % (whole, whole, whole), True)
            assert isinstance(outer, list) and len(outer) == 3
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(read_again)
    assert all(each == 0 or len(each) == 1 for each in found)


def test_what_was_handed_out_may_be_changed() -> None:
    """The next sample is read the same, whatever somebody did to the lists and dictionaries of the one before."""
    body = json.dumps(json.loads(LABELLED), ensure_ascii=False).encode()
    odds: tuple[Any, ...] = (None, 5, (), "x")  # Any: what should not be there
    for odd in odds:
        swift, plain = SampleReader(SMALL), SampleReader(SMALL, accelerated=False)
        swift.read(body, many=False, scan=True)  # labels are looked at in Python when they are new
        for _ in range(3):
            (mine,), (theirs,) = (each.read(body, many=False, scan=True).samples for each in (swift, plain))
            assert type(mine.blocks[0]) is Counters
            assert mine.blocks == theirs.blocks
            assert (mine.labels, mine.configuration) == (theirs.labels, theirs.configuration)
            mine.blocks[:] = [odd] * (odd is not None)
            labels: dict[Any, Any] = mine.labels  # Any: as above
            labels[5] = labels["#a"] = labels[next(iter(labels))] = odd
            with pytest.raises(TypeError):
                del mine.configuration["#a"]  # type: ignore[attr-defined]  # it is the same in all samples until it changes


INTERPRETERS: Final = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"


def test_other_interpreters_have_a_module_of_their_own() -> None:
    """Nothing is shared between interpreters of one process: no types, and no state."""
    inner = (
        "import sys; sys.path[:] = {path!r}",
        "from sora_stats_harness.judge import _accelerator",
        "assert id(_accelerator.Counters) != {own!r}",
        "assert _accelerator.merge_risen_blocks([], []) == ([], ())",
    )
    outer = (
        f"import {INTERPRETERS} as interpreters, sys",
        "from sora_stats_harness.judge import accelerator",
        f"source = {chr(10).join(inner)!r}.format(path=sys.path, own=id(accelerator.MODULE.Counters))",
        "for _ in range(3):",
        "    other = interpreters.create()",
        "    failed = interpreters.run_string(other, source)",
        "    assert failed is None, failed",
        "    interpreters.destroy(other)",
        "assert accelerator.MODULE.merge_risen_blocks([], []) == ([], ())",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(outer)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_can_be_switched_off() -> None:
    """With SORA_HARNESS_PURE=1 all is judged in Python."""
    code = "from sora_stats_harness.judge import accelerator as a; print(a.is_available(), a.MODULE)"
    for value, said in (("1", "False None"), ("0", "True <"), ("", "True <")):
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"SORA_HARNESS_PURE": value}, capture_output=True, text=True
        )
        assert done.stdout.startswith(said), done.stdout + done.stderr
