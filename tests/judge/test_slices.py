"""
Large bodies are judged connection by connection, so that others have their turn in between, and come to the same.

The other way is to read the whole body in one go.
"""

from __future__ import annotations

import json
from typing import Any, Final
from unittest import mock

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sora_stats_harness.judge import sample_reader as body_module
from sora_stats_harness.judge.sample import ParsedBody
from sora_stats_harness.judge.sample_reader import (
    ALWAYS_DECODED_BYTES,
    CONNECTIONS_PER_SLICE,
    SampleReader,
)

from ..examples import some_of
from ..oracle import agreement, documents, histories

SMALL: Final = histories.SMALL

BLANKS: Final = ("", "", "", " ", "\n", "\r\n\t", "  ")
"""What stands around commas."""

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

blanks = st.sampled_from(BLANKS)


def stew(most: int) -> st.SearchStrategy[bytes]:
    """Tokens in any order, of which few are arrays."""
    return st.lists(st.sampled_from((*PUT_IN, b"{}", b'{"a":1}', b'"a":')), max_size=most).map(b"".join)


def test_it_gives_way_after_some_connections_and_by_bytes() -> None:
    """Small ones are counted, large ones are measured."""
    for size, most in ((10, 2), (100_000, 2 * CONNECTIONS_PER_SLICE)):
        body = b"[" + b",".join([b'{"x":"' + b"x" * size + b'"}'] * 2 * CONNECTIONS_PER_SLICE) + b"]"
        pauses = sum(step is None for step in SampleReader(SMALL).read_in_slices(body, many=True, scan=True))
        assert 2 <= pauses <= most


BASE: Final = json.dumps(agreement.base())


class Two:
    """A reader that takes slices and one that doesn't, which are shown the same bodies."""

    def __init__(self, accelerated: bool) -> None:
        self.parts = SampleReader(SMALL, accelerated=accelerated)
        self.whole = SampleReader(SMALL, accelerated=accelerated)

    def read(self, body: bytes, *, many: bool = True) -> ParsedBody:
        """Read with both, and compare."""
        *pauses, mine = self.parts.read_in_slices(body, many=many, scan=True)
        assert pauses == [None] * len(pauses)
        assert mine is not None
        other = self.whole.read(body, many=many, scan=True)
        assert (mine.fault, mine.deviations, mine.duplicates) == (other.fault, other.deviations, other.duplicates)
        assert [unrelated(each) for each in mine.samples] == [unrelated(each) for each in other.samples]
        assert self.parts.codec.learned == self.whole.codec.learned, body
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
@given(body=listings(), many=st.sampled_from((True, True, True, False)))
@example(body=f"[{BASE[:-1]},{BASE},{BASE}]".encode(), many=True)
def test_a_body_comes_to_what_it_comes_to_in_one_go(accelerated: bool, body: bytes, many: bool) -> None:
    """Samples, deviations, repeated keys, faults and where they are; and the decoder has learned the same."""
    two = TWO[accelerated]
    if len(two.parts.codec.learned) > 4:
        two = TWO[accelerated] = Two(accelerated)
    two.read(body, many=many)


@pytest.mark.parametrize("accelerated", [True, False])
def test_made_up_bodies_come_to_what_they_come_to_in_one_go(accelerated: bool) -> None:
    """Those by which the judge is held to its reference."""
    two = Two(accelerated)
    for seed in range(some_of(300)):
        made = documents.document(seed, SMALL)
        two.read(made.body, many=made.many)
        if not made.many:
            two.read(b"[" + b",".join([made.body] * 3) + b"]")


FAULTY: Final = BASE[:-1] + f',"new":{"9" * 4301}}}'
"""The decoder lets it through, the strict parser does not."""

DIGITS: Final = "a number of 4301 digits"

DEEP: Final = "nested deeper than 100"

AFTER: Final = (
    (f"[{BASE},{FAULTY},{BASE}]", f"{DIGITS} (in element 1 of the array)"),
    (f"[{BASE},{BASE},{FAULTY},{BASE},{FAULTY}]", f"{DIGITS} (in element 2 of the array)"),
    (f"[{BASE},{FAULTY},{BASE}", f"Expecting ',' delimiter at character {len(BASE) * 2 + len(FAULTY) + 3}"),
    (f"[{FAULTY},{BASE},]", f"Expecting value at character {len(BASE) + len(FAULTY) + 3}"),
    (f"[{FAULTY},{BASE},{'[' * 20_000}{']' * 20_000},{BASE}]", DEEP),
    (f"[{BASE},{BASE}", f"Expecting ',' delimiter at character {len(BASE) * 2 + 2}"),
    (f"[{BASE},{BASE},,{BASE}]", f"Expecting value at character {len(BASE) * 2 + 3}"),
    (f"[{BASE},{BASE}],{BASE}]", f"Extra data at character {len(BASE) * 2 + 3}"),
    (f"[{BASE},{BASE},{'[' * 20_000}{']' * 20_000},{BASE}]", DEEP),
    (f"{BASE},{BASE}", f"Extra data at character {len(BASE)}"),
)
"""Elements that are at fault by themselves, and damage behind, with which the body is no array at all."""


@pytest.mark.parametrize(("text", "fault"), AFTER, ids=range(len(AFTER)))
@pytest.mark.parametrize("accelerated", [True, False])
def test_damage_far_behind_makes_the_body_no_array(text: str, fault: str, accelerated: bool) -> None:
    """No element is at fault then, none has a finding, and nothing is learned from what stood before."""
    two = Two(accelerated)
    read = two.read(text.encode())
    assert read == ParsedBody(
        fault=fault, fault_offset=read.fault_offset, exceeded=fault.startswith((DIGITS, DEEP)), scanned=True
    )
    assert read.fault_offset is None or 0 < read.fault_offset <= len(text.encode())
    two.read(text.replace(BASE, BASE[:-1] + ',"newer":1}').encode())
    assert bool(two.parts.codec.learned) == (BASE in text.split(FAULTY)[0] and "element" in fault)


@pytest.mark.parametrize("many", [True, False])
@given(body=listings() | stew(40))
def test_a_body_with_too_much_in_it_is_not_taken_apart(many: bool, body: bytes) -> None:
    """Where the limit is so low that it is reached here, nothing breaks either."""
    with mock.patch.object(body_module, "ALWAYS_DECODED_BYTES", 40):
        *_, found = SampleReader(SMALL, accelerated=False).read_in_slices(body, many=many, scan=True)
    assert found is not None


@pytest.mark.parametrize("lacking", [0, 1])
def test_the_limit_on_objects_is_kept_to_the_byte(lacking: int) -> None:
    """One object fewer, and the body is taken apart."""
    length, objects = ALWAYS_DECODED_BYTES + 64, ALWAYS_DECODED_BYTES // 64 + 2 - lacking
    body = b"[" + b",".join([b"{}"] * objects)
    body += b" " * (length - len(body) - 1) + b"]"
    *_, found = SampleReader(SMALL, accelerated=False).read_in_slices(body, many=False, scan=False)
    assert found is not None
    assert [each.expected for each in found.deviations] == ["object" if lacking else "connections of some 13 KB each"]
