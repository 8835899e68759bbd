"""
Large bodies are read a part at a time, so that others have their turn in between, and come to what they always came to.

The slow and obvious way stands here: the whole array is split in one go, and its elements are read one after the other.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sora_stats_harness.api import edition, strict_json
from sora_stats_harness.judge import sample_reader as body_module
from sora_stats_harness.judge import shape_deviations as shape
from sora_stats_harness.judge.sample_reader import (
    ALWAYS_DECODED_BYTES,
    CONNECTIONS_PER_SLICE,
    MAX_WASTE_FACTOR,
    SCAN_SLICE_BYTES,
    STRICT_PARSE_DIVISOR,
    ParsedBody,
    SampleReader,
    _density_deviation,
)
from sora_stats_harness.simulator import strategies

from ..oracle import agreement, documents, histories

DOC: Final = edition.load_edition()
SMALL: Final = histories.SMALL
SPLITTER: Final = SampleReader(SMALL)

Pieces = list[bytes] | type[Exception]


class Straight(SampleReader):
    """Takes everything in one go."""

    def slices(self, body: bytes, *, many: bool, scan: bool, slice_bytes: int = 0) -> Iterator[ParsedBody | None]:
        """As the reader did before it gave way within a body."""
        objects = body.count(b"{")
        if len(body) > body_module.ALWAYS_DECODED_BYTES and (
            objects > len(body) // 64 or body.count(b",") > 100 * objects + 1000
        ):
            yield ParsedBody(deviations=[_density_deviation(body)], scanned=True, slow=1)
            return
        try:
            pieces = [bytes(raw) for raw in self.codec.split.decode(body)] if many else [body]
        except (msgspec.MsgspecError, RecursionError):
            yield no_array(body)
            return
        result = ParsedBody(scanned=True)
        for index, piece in enumerate(pieces):
            try:
                self._read_element(piece, index if many else None, scan, result)
            except strict_json.StrictJsonError as error:
                place = f" (in element {index} of the array)" if many else ""
                yield ParsedBody(fault=f"{error}{place}", scanned=True)
                return
        yield result


def no_array(body: bytes) -> ParsedBody:
    """What a body is that is none, parsed in one go."""
    try:
        document = strict_json.parse_strict_json(body)
    except strict_json.StrictJsonError as error:
        return ParsedBody(fault=str(error), scanned=True)
    deviation = msgspec.structs.replace(shape.not_an_object_deviation((), (), document.value), expected="array")
    return ParsedBody(deviations=[deviation], duplicates=list(document.duplicates), scanned=True, slow=1)


def whole(body: bytes) -> Pieces:
    """The elements as the decoder gives them at once; a kind of exception where it is no array."""
    try:
        return [bytes(raw) for raw in SPLITTER.codec.split.decode(body)]
    except (msgspec.MsgspecError, RecursionError) as error:
        return RecursionError if isinstance(error, RecursionError) else msgspec.MsgspecError


def in_parts(body: bytes, slice_bytes: int, decoded: list[int] | None = None) -> tuple[Pieces, int]:
    """The same a part at a time, and how often it gave way; adds the length of whatever was decoded."""
    reader = SampleReader(SMALL) if decoded is not None else SPLITTER
    if decoded is not None:
        decode = reader.codec.split.decode

        def measured(part: bytes) -> list[msgspec.Raw]:
            decoded.append(len(part))
            return decode(part)

        reader.codec.split = SimpleNamespace(decode=measured)
    steps, pauses = reader._split_array(body, slice_bytes), 0
    try:
        while True:
            next(steps)
            pauses += 1
    except StopIteration as end:
        return end.value, pauses
    except (msgspec.MsgspecError, RecursionError) as error:
        return (RecursionError if isinstance(error, RecursionError) else msgspec.MsgspecError), pauses


# -- the elements -----------------------------------------------------------------------------------------------------

HOSTILE: Final = (
    "},{",
    '"',
    '\\"',
    "\\",
    "\\\\",
    "}",
    "{",
    "[",
    "]",
    ",",
    "} , {",
    "},\n{",
    '},{"',
    '"},{"',
    '":',
    "}]",
    "[{",
    "é",
    "\u2028",
    "😀",
    "\x7f",
    "",
)
"""What strings are made of."""

BLANKS: Final = ("", "", "", " ", "\n", "\r\n\t", "  ", " " * 90)
"""What stands around commas; the longest does not fit into a window."""

PUT_IN: Final = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b",,",
    b"},{",
    b"} , {",
    b":",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\xed\xa0\x80",
    b"\xff",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"\x00",
    b"\x0b",
    b"\x0c",
    b"\xc2\xa0",
    b" ",
    b"\n",
    b"1",
    b"-",
    b"x",
    b"null",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"//",
)
"""What damage puts in."""

texts = st.lists(st.sampled_from(HOSTILE), max_size=4).map("".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(texts, below, max_size=3),
    max_leaves=8,
)
blanks = st.sampled_from(BLANKS)
slice_sizes = st.integers(1, 12) | st.integers(1, 200)


@st.composite
def arrays(draw: st.DrawFn) -> bytes:
    """Arrays of anything, of objects for the most part, with white space wherever it may stand."""
    kind = st.dictionaries(texts, values, max_size=3) | values.map(lambda value: {"": value})
    elements = draw(st.sampled_from(([], [{}], [{"": 0}]))) + draw(st.lists(kind | kind | values, max_size=8))
    parts = []
    for element in elements:
        separators = draw(blanks) + "," + draw(blanks), draw(blanks) + ":" + draw(blanks)
        parts.append(json.dumps(element, separators=separators, ensure_ascii=draw(st.booleans())))
    text = "".join(draw(blanks) + part + draw(blanks) + "," for part in parts)[:-1]
    return f"{draw(blanks)}[{text}{draw(blanks)}]{draw(blanks)}".encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The same after one to three blows: something put in, taken out, doubled; or cut off."""
    body = draw(arrays())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        to = min(len(body), at + draw(st.sampled_from((0, 1, 1, 2, 9))))
        body = draw(
            st.sampled_from(PUT_IN).map(lambda piece, body=body, at=at, to=to: body[:at] + piece + body[to:])
            | st.just(body[:at] + body[to:])
            | st.just(body[:at] + body[at:to] * 2 + body[to:])
            | st.just(body[:at])
        )
    return body


def stew(most: int) -> st.SearchStrategy[bytes]:
    """Tokens in any order, of which few are arrays."""
    return st.lists(st.sampled_from((*PUT_IN, b"{}", b'{"a":1}', b'"a":')), max_size=most).map(b"".join)


EDGES: Final = (
    b"",
    b" ",
    b"[]",
    b" [ ] ",
    b"[",
    b"]",
    b"{}",
    b"[{}]",
    b"[{},]",
    b"[,{}]",
    b"[{},,{}]",
    b"[{} {}]",
    b"[{},{}",
    b"{},{}",
    b"{},{}]",
    b"[{},{}],{}",
    b"[{}],{}]",
    b"[{},{}]x",
    b"x[{},{}]",
    b"[{},{}][{},{}]",
    b"\xef\xbb\xbf[{},{}]",
    b"[{},1]",
    b"[1,{},{}]",
    b"[{},[{},{}],{}]",
    b"[[{},{}],[{},{}]]",
    b"[[{},{}]",
    b'[{"a":[{},{}]},{}]',
    b'[{"a":"x},{"},{"b":1}]',
    b'[{"a":"x},{"b":1},{}]',
    b'[{"a":"\\"},{"},{}]',
    b'[{"a":"\\\\"},{},{"b":"},{"}]',
    b'["},{","},{"]',
    b'["},{]',
    b'[{"},{":"},{"},{"},{":"},{"}]',
    b'[{"},{}]',
    b'["a},{"},{"a"]',
    b'[{"a":{},{}]',
    b"[{}\x0b,{}]",
    b"[{},\x0c{}]",
    b"[{}\xc2\xa0,{}]",
    b"[{}\x00,{}]",
    b"[{}, ,{}]",
    b"[{},{}, ]",
    b"[{},{},",
    b"[{}" + b" " * 500 + b"," + b"\n" * 500 + b"{},{}]",
    b"[{}," + b"[" * 90 + b"]" * 90 + b",{},{}]",
    b"[{},{}," + b"[" * 9000 + b"]" * 9000 + b",{},{}]",
    b"[{},{}," + b'{"a":' * 9000 + b"1" + b"}" * 9000 + b",{},{}]",
    b"[{},{}," + b"[" * 9000,
    b'[{"a":' + b"[{},{}]," * 40 + b"},{}]",
)
"""Bodies by hand."""


@pytest.mark.parametrize("body", EDGES, ids=range(len(EDGES)))
def test_edges_have_the_elements_that_they_have_at_once(body: bytes) -> None:
    """Whatever the size of a part."""
    for slice_bytes in range(1, min(len(body), 300) + 2):
        assert in_parts(body, slice_bytes)[0] == whole(body), slice_bytes


@given(arrays(), slice_sizes)
def test_arrays_have_the_elements_that_they_have_at_once(body: bytes, slice_bytes: int) -> None:
    """White space, nested arrays, strings that look like the end of one object and the beginning of the next."""
    assert isinstance(whole(body), list)
    assert in_parts(body, slice_bytes)[0] == whole(body)


@given(damaged() | stew(30), slice_sizes)
@example(b'[{"a":"x},{"},{"b":1}]', 1)
def test_damaged_arrays_are_refused_where_they_are_at_once(body: bytes, slice_bytes: int) -> None:
    """For the same kind of reason, or give the same elements where they are still arrays."""
    assert in_parts(body, slice_bytes)[0] == whole(body)


def test_all_short_bodies_of_what_cuts_are_made_of() -> None:
    """All sequences of up to five tokens in and without brackets: no two samples of one body."""
    tokens = (b"{}", b"},{", b'"', b",", b"[", b"]", b"\\", b'{"":')
    arrays = 0
    for count in range(6):
        for chosen in itertools.product(tokens, repeat=count):
            body = b"[{}," + b"".join(chosen) + b"]"
            expected = whole(body)
            arrays += isinstance(expected, list)
            for slice_bytes in (1, 4, 7):
                assert in_parts(body, slice_bytes)[0] == expected, (body, slice_bytes)
    assert arrays > 100


# -- giving way -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("between", [b",", b", ", b" ,\n  ", b"\r\n,\r\n"])
def test_objects_are_cut_whatever_stands_around_the_comma(between: bytes) -> None:
    """Of 400 objects no part has more than its size and one object's, also in an array that is written out prettily."""
    body = b"[\n" + between.join([b'{"a": {"b": 1}}'] * 400) + b"\n]\n"
    decoded: list[int] = []
    pieces, pauses = in_parts(body, 100, decoded)
    assert pieces == whole(body)
    assert len(decoded) > len(body) // 150 and max(decoded) < 150
    assert pauses >= len(decoded) - 1


@given(arrays() | damaged() | stew(60), slice_sizes)
@example(b'["' + b"},{" * 5000 + b'"]', 10)
@example(b'[{"a":[' + b"{}," * 5000 + b"{}]}]", 10)
@example(b"[" + b'{"a":[{},{},{},{},{},{},{},{},{},{},{},{},{},{}]},' * 300 + b"{}]", 40)
@example(b'[{},{},{},"' + b"},{" * 5000, 4)
def test_no_body_makes_it_decode_many_times_as_much(body: bytes, slice_bytes: int) -> None:
    """Each byte once; as many times its size in vain as are granted, and the one that goes beyond."""
    decoded: list[int] = []
    in_parts(body, slice_bytes, decoded)
    assert sum(decoded) - 2 * len(decoded) <= (1 + MAX_WASTE_FACTOR + 1) * len(body)


def test_a_long_string_of_cuts_is_given_up_soon() -> None:
    """In 10 MB of them as many are tried as twice the body has room for."""
    body = b'[{},"' + b"},{" * 3_500_000 + b'"]'
    decoded: list[int] = []
    pieces, pauses = in_parts(body, SCAN_SLICE_BYTES, decoded)
    assert pieces == [b"{}", body[4:-1]]
    assert 2 < len(decoded) < 90 and pauses >= len(decoded) - 1


@pytest.mark.parametrize("within", [b"", b"{},{},{},{},{},{}", b'{"b":"},{"},{"b":2}', b'"},{\\"a\\":[]},{"'])
def test_arrays_of_objects_within_connections_are_no_hindrance(within: bytes) -> None:
    """Their objects begin in another way than connections do: hardly any place is tried in vain."""
    body = b"[" + b",".join([b'{"a":"' + b"x" * 900 + b'","b":[' + within + b"]}"] * 2000) + b"]"
    decoded: list[int] = []
    pieces, _ = in_parts(body, 20_000, decoded)
    assert pieces == whole(body)
    assert max(decoded) < 22_000 and sum(decoded) < 1.1 * len(body)


class Watched(bytes):
    """A body that notes how much of it is counted in."""

    counted = 0

    def count(self, sub: Any, start: Any = 0, end: Any = None) -> int:  # Any: as `bytes` has it
        """As `bytes`."""
        Watched.counted += min(len(self), len(self) if end is None else end) - start
        return super().count(sub, start, end)


@pytest.mark.parametrize("accelerated", [True, False])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["dense", "spaced"])
def test_no_step_of_a_long_listing_handles_more_than_half_a_megabyte(
    accelerated: bool, separators: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 connections: of counting, splitting and reading there is so much between two times that it gives way."""
    one = json.dumps(strategies.make_connection("busy", {}, DOC), separators=separators)
    name = json.dumps(json.loads(one)["connection_id"])
    listing = "[" + separators[0].join(one.replace(name, f'"{number:026d}"') for number in range(1000)) + "]"
    body = Watched(listing.encode())
    assert len(body) > 2 * ALWAYS_DECODED_BYTES
    reader = SampleReader(DOC, accelerated=accelerated)
    handled = 0

    def splits(part: bytes) -> list[msgspec.Raw]:
        nonlocal handled
        handled += len(part)
        return split(part)

    def reads(piece: bytes, *others: Any) -> None:  # Any: passed on
        nonlocal handled
        handled += len(piece)
        read(piece, *others)

    split, read = reader.codec.split.decode, reader._read_element
    monkeypatch.setattr(reader.codec, "split", SimpleNamespace(decode=splits))
    monkeypatch.setattr(reader, "_read_element", reads)
    blocks, results = [], []
    for step in reader.read_in_slices(body, many=True, scan=True):
        blocks.append(handled + Watched.counted)
        results.append(step)
        handled = Watched.counted = 0
    result = results[-1]
    assert result is not None and len(result.samples) == 1000 and not result.deviations
    assert sum(blocks) > 3.9 * len(body), "twice counted, once split, once read"
    assert max(blocks) <= 2 * SCAN_SLICE_BYTES


LISTING: Final = [
    json.dumps(strategies.make_connection("busy", {}, DOC) | {"connection_id": f"{number:026d}"}, separators=(",", ":"))
    for number in range(350)
]

BLOWS: Final[dict[str, Callable[[str], str]]] = {
    "colon": lambda one: one.replace('":', '" ', 1),
    "quote": lambda one: one[:7000] + '"' + one[7000:],
    "bracket": lambda one: one[:-1],
    "comma": lambda one: one + ",",
    "half a pair": lambda one: one[:-1] + ',"new":"\\ud800"}',
    "digits": lambda one: one[:-1] + f',"new":{"9" * 5000}x}}',
    "depth": lambda one: one[:-1] + f',"new":{"[" * 20_000}{"]" * 20_000}}}',  # beyond any interpreter
    "space": lambda one: one.replace(",", ",\xa0", 1),
}
"""Damage to a connection with which the listing is no array."""


def most_at_once(body: bytes, accelerated: bool) -> tuple[int, ParsedBody]:
    """How much is parsed strictly between two times that a reader gives way, and what the body comes to."""
    handled, most = 0, 0
    results: list[ParsedBody | None] = []

    def loads(text: str) -> Any:  # Any: passed on
        nonlocal handled
        handled += len(text)
        return load(text)

    load = strict_json._load_with_repeated
    with mock.patch.object(strict_json, "_load_with_repeated", loads):
        for step in SampleReader(DOC, accelerated=accelerated).read_in_slices(body, many=True, scan=True):
            results.append(step)
            most, handled = max(most, handled), 0
    assert results[-1] is not None
    return most, results[-1]


@pytest.mark.parametrize("accelerated", [True, False])
@pytest.mark.parametrize("place", [0, len(LISTING) // 2, len(LISTING) - 1], ids=["beginning", "middle", "end"])
@pytest.mark.parametrize("blow", BLOWS)
def test_a_long_broken_listing_is_parsed_little_by_little(blow: str, place: int, accelerated: bool) -> None:
    """And has the fault at the place that it has in one go."""
    listing = list(LISTING)
    listing[place] = BLOWS[blow](listing[place])
    body = f"[{','.join(listing)}]".encode()
    assert len(body) > ALWAYS_DECODED_BYTES
    most, found = most_at_once(body, accelerated)
    assert found == no_array(body) and found.fault is not None
    assert 0 < most < 3 * SCAN_SLICE_BYTES / STRICT_PARSE_DIVISOR


@pytest.mark.parametrize("accelerated", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        f'{{"data":[{",".join(LISTING)}],"next":null}}',
        f'{{"data":[{",".join(LISTING)}],"next":null',
        f'{{"data":[{",".join(LISTING)}],next:null}}',
        json.dumps(dict(enumerate(map(json.loads, LISTING)))),
        json.dumps(",".join(LISTING)),
        json.dumps("あ" * 1_500_000, ensure_ascii=False),
        '"' + "\\u3042" * 800_000,
        "1" * (ALWAYS_DECODED_BYTES + 1),
        f"1.5{'1' * ALWAYS_DECODED_BYTES}e+7",
        "t" * (ALWAYS_DECODED_BYTES + 1),
        f"[{','.join(LISTING)},{'1' * ALWAYS_DECODED_BYTES},]",
        "{}" + " " * ALWAYS_DECODED_BYTES,
        f"{' ' * 100}{{{' ' * ALWAYS_DECODED_BYTES}x",
    ],
    ids=[
        "wrapped",
        "wrapped and cut off",
        "wrapped with a bare key",
        "object",
        "string",
        "wide string",
        "escapes without an end",
        "integer",
        "fraction",
        "word",
        "array with a number",
        "space behind",
        "space within",
    ],
)
def test_what_is_long_and_no_array_is_parsed_little_by_little(body: str, accelerated: bool) -> None:
    """An object, a string, a number; it is shown as it is in one go."""
    most, found = most_at_once(body.encode(), accelerated)
    assert found == no_array(body.encode())
    assert 0 < most < 3 * SCAN_SLICE_BYTES / STRICT_PARSE_DIVISOR or body[0] == "t", (
        "of a word it is more, and only its beginning counts"
    )


@pytest.mark.parametrize(
    "body", [b'"' + b"x" * 1000 + b'"', b" \n" + b"9" * 1000, b"{" + b" " * 1000 + b"}", b"t" * 1000]
)
def test_what_does_not_begin_as_an_array_is_not_split(body: bytes) -> None:
    """The decoder might read all of it before it says so."""
    decoded: list[int] = []
    assert in_parts(body, 10, decoded) == (whole(body), 0)
    assert not decoded


def test_what_is_no_array_is_cut_where_it_is_in_one_go() -> None:
    """From a length on that counts what is written, not what was sent."""
    for length in (0, 1, 7, 50, 99, *range(180, 210), 999, 1000, 1001):
        for text in ("x" * length, "é" * length, "\\u00e9" * length):
            for body in (
                f'"{text}"',
                f'{{"a" : "{text}"}}',
                f'{{"{text}":[1, 2.5, "{text}"]}}',
                f'{{"a":1, "b":["{text}"]}} ',
            ):
                Two(accelerated=False).read(body.encode(), 16 * 9)


def test_large_connections_are_read_one_at_a_time() -> None:
    """It gives way by bytes as well as by connections."""
    body = b"[" + b",".join([b'{"x":"' + b"x" * 1000 + b'"}'] * CONNECTIONS_PER_SLICE) + b"]"
    assert (
        sum(step is None for step in SampleReader(SMALL).read_in_slices(body, many=True, scan=True, slice_bytes=1000))
        > CONNECTIONS_PER_SLICE
    )


# -- what a body comes to ---------------------------------------------------------------------------------------------

BASE: Final = json.dumps(agreement.base())


class Two:
    """The reader and the straight one, which are shown the same bodies and learn the same."""

    def __init__(self, accelerated: bool) -> None:
        self.parts = SampleReader(SMALL, accelerated=accelerated)
        self.straight = Straight(SMALL, accelerated=accelerated)
        self.whole = SampleReader(SMALL, accelerated=accelerated)

    def read(self, body: bytes, slice_bytes: int, *, many: bool = True, scan: bool = True) -> ParsedBody:
        """Read with both, and with `read` of a third, and compare."""
        *pauses, mine = self.parts.read_in_slices(body, many=many, scan=scan, slice_bytes=slice_bytes)
        *_, theirs = self.straight.slices(body, many=many, scan=scan)
        assert pauses == [None] * len(pauses)
        assert mine is not None and theirs is not None
        assert mine == theirs, body
        assert self.parts.codec.learned == self.straight.codec.learned, body
        if scan:
            other = self.whole.read(body, many=many, scan=True)
            assert (mine.fault, mine.deviations, mine.duplicates) == (other.fault, other.deviations, other.duplicates)
            assert [unrelated(each) for each in mine.samples] == [unrelated(each) for each in other.samples]
        return mine


def unrelated(sample: Any) -> Any:  # Any: a sample
    """Whether relations hold is said where the accelerator has looked, which may be at the whole body or at a part."""
    return msgspec.structs.replace(sample, related=None)


TWO: Final = {accelerated: Two(accelerated) for accelerated in (True, False)}

ELEMENTS: Final = (
    BASE,
    BASE,
    BASE,
    BASE.replace(": ", ":").replace(", ", ","),
    json.dumps(agreement.base(), indent=1),
    BASE[:-1] + ', "new": [{}, {},{}]}',
    BASE[:-1] + ',"new":"},{"}',
    BASE[:-1] + ',"new":{"a":1,"a":2}}',
    BASE[:-1] + ', "timestamp": "2024-07-01T00:00:00Z"}',
    BASE.replace('"timestamp"', '"times"'),
    BASE.replace('"plain"', '"plane"'),
    BASE[:-1] + ',"new":"\\ud800"}',
    BASE[:-1] + ',"new":NaN}',
    BASE[:-1] + f',"new":{"9" * 4301}}}',
    BASE[:-1] + f',"new":{"[" * 99}{"]" * 99}}}',
    BASE[:-1] + f',"new":{"[" * 3000}{"]" * 3000}}}',
    BASE[:-1] + ',"new":\x00}',
    BASE[:-1] + ",}",
    BASE[:-1],
    "{}",
    "{},",
    ",{}",
    "null",
    "1",
    "[]",
    '"},{"',
    '["},{",{},{}]',
    '{"a":1,"a":2}',
    '"\\ud800"',
    "",
    "x",
    "{",
    "}",
    "[",
    "]",
)
"""Connections, sound and not, and what else an array may hold, or had better not."""

elements = st.sampled_from(ELEMENTS[:1]) | st.sampled_from(ELEMENTS)

INSTEAD: Final = (
    b'{"data":%s}',
    b'{"data":{"list":%s},"page":1}',
    b'{"a":%s,"b":%s}',
    b'{"a":%s,"a":%s}',
    b'{"\\u0061":1,"b":%s,"a":2}',
    b'{"%s":%s}',
    b"%t",
    b"{%t:1,%t:%t}",
    b'["\\ud800",%s]',
    b'{"a":%s,"b":"\\udfff"}',
    b"1%s",
    b"null",
    b"-1.50",
    b'"',
)
"""What may stand instead of an array: with it in it, or a string of it."""


@st.composite
def listings(draw: st.DrawFn) -> bytes:
    """Several of them, at times damaged, cut off, or in other wrappings."""
    text = ""
    for element in draw(st.lists(elements, max_size=6)):
        text += draw(blanks) + element + draw(blanks) + ","
    body = f"[{text[:-1]}]".encode()
    match draw(st.integers(0, 10)):
        case 0:
            body = body[: draw(st.integers(0, len(body)))]
        case 10:
            body = draw(st.sampled_from(INSTEAD)).replace(b"%s", body).replace(b"%t", json.dumps(text).encode())
        case 1 | 2:
            at = draw(st.integers(0, len(body)))
            body = body[:at] + draw(st.sampled_from(PUT_IN)) + body[at:]
        case 3:
            body = draw(st.sampled_from(documents.WRAPPINGS)).replace(b"%s", body)
    return body


@pytest.mark.parametrize("accelerated", [True, False])
@given(
    body=listings(),
    slice_bytes=st.integers(1, 3000),
    many=st.sampled_from((True, True, True, False)),
    scan=st.booleans(),
)
@example(body=f"[{BASE[:-1]},{BASE},{BASE}]".encode(), slice_bytes=9, many=True, scan=True)
def test_a_body_comes_to_what_it_came_to(
    accelerated: bool, body: bytes, slice_bytes: int, many: bool, scan: bool
) -> None:
    """Samples, deviations, repeated keys, faults and where they are; and the decoder has learned the same."""
    two = TWO[accelerated]
    if len(two.parts.codec.learned) > 4 or not scan:  # what is learned changes what is read without a look for keys
        two = TWO[accelerated] = Two(accelerated)
    two.read(body, slice_bytes, many=many, scan=scan)


@pytest.mark.parametrize("accelerated", [True, False])
def test_made_up_bodies_come_to_what_they_came_to(accelerated: bool) -> None:
    """Those by which the judge is held to its reference."""
    two = Two(accelerated)
    for seed in range(300):
        made = documents.document(seed, SMALL)
        two.read(made.body, random.Random(seed).choice((1, 50, 500)), many=made.many)
        if not made.many:
            two.read(b"[" + b",".join([made.body] * 3) + b"]", 1)


FAULTY: Final = BASE[:-1] + f',"new":{"9" * 4301}}}'
"""The decoder lets it through, the strict parser does not."""

DIGITS: Final = "a number of 4301 digits"

AFTER: Final = (
    (f"[{BASE},{FAULTY},{BASE}]", f"{DIGITS} (in element 1 of the array)"),
    (f"[{BASE},{BASE},{FAULTY},{BASE},{FAULTY}]", f"{DIGITS} (in element 2 of the array)"),
    (f"[{BASE},{FAULTY},{BASE}", DIGITS),
    (f"[{FAULTY},{BASE},]", DIGITS),
    (f"[{FAULTY},{BASE},{'[' * 20_000}{']' * 20_000},{BASE}]", DIGITS),
    (f"[{BASE},{BASE}", f"Expecting ',' delimiter at character {len(BASE) * 2 + 2}"),
    (f"[{BASE},{BASE},,{BASE}]", f"Expecting value at character {len(BASE) * 2 + 3}"),
    (f"[{BASE},{BASE}],{BASE}]", f"Extra data at character {len(BASE) * 2 + 3}"),
    (f"[{BASE},{BASE},{'[' * 20_000}{']' * 20_000},{BASE}]", "nested deeper than 100"),
    (f"{BASE},{BASE}", f"Extra data at character {len(BASE)}"),
)
"""Elements that are at fault by themselves, and damage behind, with which the body is no array at all."""


@pytest.mark.parametrize(("text", "fault"), AFTER, ids=range(len(AFTER)))
@pytest.mark.parametrize("accelerated", [True, False])
def test_damage_far_behind_makes_the_body_no_array(text: str, fault: str, accelerated: bool) -> None:
    """No element is at fault then, none has a finding, and nothing is learned from what stood before."""
    for slice_bytes in (1, 100, len(BASE), 100_000):
        two = Two(accelerated)
        found = two.read(text.encode(), slice_bytes)
        assert found == ParsedBody(fault=fault, scanned=True)
        two.read(text.replace(BASE, BASE[:-1] + ',"newer":1}').encode(), slice_bytes)
        assert bool(two.parts.codec.learned) == (BASE in text.split(FAULTY)[0] and "element" in fault)


@pytest.mark.parametrize("many", [True, False])
@given(body=listings() | stew(40), slice_bytes=st.integers(1, 300))
def test_a_body_with_too_much_in_it_comes_to_what_it_came_to(many: bool, body: bytes, slice_bytes: int) -> None:
    """Also where the limit is so low that it is reached here; what is counted in parts is counted once."""
    with mock.patch.object(body_module, "ALWAYS_DECODED_BYTES", 40):
        Two(accelerated=False).read(body, slice_bytes, many=many)


@pytest.mark.parametrize("lacking", [0, 1])
def test_the_limit_on_objects_is_kept_to_the_byte(lacking: int) -> None:
    """Objects that lie across two parts are counted, and in one of them."""
    length, objects = ALWAYS_DECODED_BYTES + 64, ALWAYS_DECODED_BYTES // 64 + 2 - lacking
    body = b"[" + b",".join([b"{}"] * objects)
    body += b" " * (length - len(body) - 1) + b"]"
    *pauses, found = SampleReader(SMALL, accelerated=False).read_in_slices(body, many=False, scan=False)
    assert found is not None
    assert [each.expected for each in found.deviations] == ["object" if lacking else "connections of some 13 KB each"]
    assert len(pauses) == -(-length // SCAN_SLICE_BYTES) + lacking, "and one when it has been read"
