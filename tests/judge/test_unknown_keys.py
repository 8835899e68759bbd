"""Connections with keys that the edition does not know are decoded without them, and judged as if they were surveyed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from sora_stats_harness.judge import sample_reader
from sora_stats_harness.judge.sample import ParsedBody
from sora_stats_harness.judge.sample_reader import SampleReader
from sora_stats_harness.judge.unknown_keys import cut_unknown_keys

from .test_sample_reader import DOC, EXAMPLE

Changes = Sequence[tuple[tuple[str, ...], Any]]  # Any: JSON


def changed(changes: Changes) -> dict[str, Any]:  # Any: as above
    """The example with other values at some paths."""
    document: dict[str, Any] = json.loads(json.dumps(EXAMPLE))
    for path, value in changes:
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
    return document


def compact(document: Any) -> bytes:  # Any: as above
    """As servers write it."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def found(parsed: ParsedBody) -> list[set[tuple[str, tuple[str, ...], str, str]]]:
    """What deviates in each sample."""
    return [{(d.requirement, d.path, d.expected, d.actual) for d in sample.deviations} for sample in parsed.samples]


@pytest.mark.parametrize("accelerated", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        [(("new",), 1)],
        [(("new é",), {"a": [1, {"b": None}]}), (("rtp", "other"), "x"), (("rtp", "more"), -1.5)],
        [(("sctp", "total_pruned_sctp_data_chunk"), 3), (("turn", "x"), True)],
    ],
)
def test_what_is_cut_out_is_found_as_by_the_slow_path(changes: Changes, accelerated: bool) -> None:
    """One connection and a listing; with white space it is surveyed, and that gives the same."""
    document = changed(changes)
    for body, spaced, many in (
        (compact(document), json.dumps(document).encode(), False),
        (compact([EXAMPLE, document]), json.dumps([EXAMPLE, document]).encode(), True),
    ):
        fast = SampleReader(DOC, accelerated=accelerated).read(body, many=many, scan=True)
        slow = SampleReader(DOC, accelerated=False).read(spaced, many=many, scan=True)
        assert (fast.slow, slow.slow) == (0, 1)
        assert found(fast) == found(slow)
        assert any(found(fast))
        for one, other in zip(fast.samples, slow.samples, strict=True):
            assert list(map(tuple, one.blocks)) == list(map(tuple, other.blocks))  # type: ignore[arg-type]  # all are there


def test_a_value_reads_the_same_wherever_it_is_looked_at() -> None:
    """In white space or not, with a key that is new or has come before, and with the accelerator or without."""
    document = changed([(("new",), "HERE")])
    for value in ("1e5", '{"a": [1, 2]}', "-0", '"' + 300 * "x" + '"', '"\\u0041"', "18446744073709551616"):
        shown = set()
        for text in (compact(document).decode(), json.dumps(document)):
            body = text.replace('"HERE"', value).encode()
            for accelerated in (True, False):
                reader = SampleReader(DOC, accelerated=accelerated)
                for _ in range(3):
                    ((found_once,),) = found(reader.read(body, many=False, scan=True))
                    shown.add(found_once)
        assert len(shown) == 1, shown


def test_a_key_is_learned_when_it_comes_again() -> None:
    """Not before: one that never comes again would cost more to learn than to cut out."""
    reader = SampleReader(DOC)
    for number in range(300):
        parsed = reader.read(compact(changed([((f"new_{number}",), 1)])), many=False, scan=False)
        assert [len(each) for each in found(parsed)] == [1]
    assert not reader.codec.learned
    for _ in range(2):
        reader.read(compact(changed([(("again",), 1)])), many=False, scan=False)
    assert reader.codec.learned == {("again",)}


@pytest.mark.parametrize(
    ("value", "duplicates", "is_json"),
    [
        (b"12", [], True),
        (b'"x"', [], True),
        (b'{"a":1,"b":2}', [], True),
        (b'{"a":1,"a":2}', [("new", "a")], True),
        (b'"\\ud800"', [], False),
        (b"[[[[1e400]]]]", [], True),
        (b"1" * 5000, [], False),
        (b"0", [], True),
        (b"007", [], False),
        (b"00", [], False),
    ],
)
@pytest.mark.parametrize("accelerated", [True, False])
def test_what_is_let_through_is_parsed_as_strictly_as_ever(
    value: bytes, duplicates: list[tuple[str, ...]], is_json: bool, accelerated: bool
) -> None:
    """Whatever stood at the same place before; and where the key never came before."""
    first = SampleReader(DOC, accelerated=accelerated)
    parsed = first.read(
        compact(changed([(("new",), 1)])).replace(b'"new":1', b'"new":' + value), many=False, scan=False
    )
    assert (parsed.duplicates, parsed.fault is None) == (duplicates, is_json)
    reader = SampleReader(DOC, accelerated=accelerated)
    known = compact(changed([(("new",), 1)]))
    for _ in range(3):
        reader.read(known, many=False, scan=False)
    assert reader.codec.learned == {("new",)}
    parsed = reader.read(known.replace(b'"new":1', b'"new":' + value), many=False, scan=False)
    assert (parsed.duplicates, parsed.fault is None) == (duplicates, is_json)


def test_keys_that_came_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more, those before are forgotten: one of them that comes again has come once."""
    monkeypatch.setattr(sample_reader, "MAX_SEEN_ONCE", 2)
    reader = SampleReader(DOC)
    for key in ("a", "b", "c", "a", "c"):
        reader.read(compact(changed([((key,), 1)])), many=False, scan=False)
    assert reader.codec.learned == {("c",)}


@pytest.mark.parametrize(
    "piece",
    [
        compact(changed([(("new",), 1)])).replace(b'"new":1', b'"new":1,"new":2'),
        compact(changed([(("new",), 1)])).replace(b'"new":1', b'"new" :1'),
        compact(changed([(("new",), 1), (("rtp",), 7)])),
        compact(changed([(("data_channel", "signaling", "new"), 1)])),
    ],
)
def test_whatever_else_is_wrong_is_surveyed(piece: bytes) -> None:
    """A repeated key, white space, a group that is a number, a label's key."""
    codec = SampleReader(DOC).codec
    with pytest.raises(msgspec.ValidationError) as refused:
        codec.one.decode(piece)
    assert cut_unknown_keys(codec, piece, refused.value) is None
