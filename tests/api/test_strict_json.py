"""
A document that is parsed in parts comes to what it comes to in one go.

That is the fault, word for word and with its place; or how the document is shown, and the keys that it repeats.
"""

from __future__ import annotations

import json
from typing import Final
from unittest import mock

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sora_stats_harness.api import strict_json
from sora_stats_harness.api.strict_json import (
    DUE_KEY,
    MAX_DIGITS,
    MAX_PART_TOKENS,
    MAX_PREFIX_CHARACTERS,
    MIN_KEPT_CHARACTERS,
    PartwiseDocument,
    StrictJsonError,
    parse_in_parts,
    parse_strict_json,
)

Found = str | tuple[type, str, int, tuple[strict_json.Path, ...]]


def at_once(body: bytes) -> Found:
    """The fault; or the type, the beginning and the length of what it is, and its repeated keys."""
    try:
        document = parse_strict_json(body)
    except StrictJsonError as error:
        return str(error)
    text = msgspec.json.encode(document.value).decode()
    return type(document.value), text[:MIN_KEPT_CHARACTERS], len(text), document.duplicates


def in_parts(body: bytes, part: int, *, once_more: bool = True) -> Found:
    """The same in parts; with or without parsing it in one go at the end."""
    steps = parse_in_parts(body, part=part)
    try:
        with mock.patch.object(
            strict_json, "parse_strict_json", parse_strict_json if once_more or len(body) <= part else None
        ):
            while True:
                next(steps)
    except StrictJsonError as error:
        return str(error)
    except StopIteration as end:
        document = end.value
    if not isinstance(document, PartwiseDocument):
        text = msgspec.json.encode(document.value).decode()
        return type(document.value), text[:MIN_KEPT_CHARACTERS], len(text), document.duplicates
    return type(document.value), document.text[:MIN_KEPT_CHARACTERS], document.characters, document.duplicates


# -- documents --------------------------------------------------------------------------------------------------------

TEXTS: Final = (
    '""',
    '"a"',
    '"]}"',
    '"{\\"["',
    '"\\\\"',
    '",:"',
    '"\\ud83d\\ude00"',
    '"\\u00e9\\n"',
    '"é😀"',
    '"' + "long" * 20 + '"',
    '"' + "\\ud83d\\ude00" * 9 + '"',
    '"' + '\\\\\\"' * 9 + '"',
)
SCALARS: Final = (*TEXTS, "0", "-0", "1.50", "1e3", "12345678901234567890123", "true", "false", "null")
BLANKS: Final = ("", "", "", "", " ", "\n", "\r\n\t ", " " * 30)
KEYS: Final = ('"a"', '"b"', '"c"', '"\\u0061"', '""', '"é"', f'"{DUE_KEY}"', '"' + "key" * 9 + '"', '"\\\\"')
WRONG: Final = (
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    '"',
    "\\",
    "tru",
    "nul",
    "NaN",
    "-Infinity",
    "-",
    "+1",
    "01",
    "1.",
    ".5",
    "1e",
    "x",
    "\x00",
    '"\\ud800"',
    '"\\udc00"',
    '"\\ud83d\\ud83d\\ude00"',
    '"\\ud83dx"',
    '"\\ud83d\\\\"',
    '"\\u12"',
    '"\\u12G4"',
    '"\\q"',
    '"\x01"',
    "\ufeff",
    "\u3000",
    "\x0b",
    "\x85",
    "'a'",
    "{}",
    "[]",
    '"a":',
    '"a":1',
    "//",
    "9" * 4301,
    "-" + "9" * 4300,
    "9" * 4300,
    "9" * 9000,
    f"1.{'9' * 9000}e+{'9' * 5000}",
    f"0{'9' * 9000}",
    f"1{'9' * 9000}x{'9' * 9000}",
    f"1e{'9' * 4000}",
    "x" * 9000,
    "[" * 99,
    "[" * 101,
    "[" * 3000,
    '{"a":' * 3000,
    "[" * 101 + "]" * 101,
    '{"a":' * 99 + "1" + "}" * 99,
    " " * 300,
)
BYTES: Final = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xe3\x81", b"\xf0\x9f\x98", b"\xef\xbb\xbf")

blanks = st.sampled_from(BLANKS)


@st.composite
def values(draw: st.DrawFn, depth: int = 0) -> str:
    """Any JSON, with white space anywhere, and with repeated keys here and there."""
    kind = draw(st.sampled_from("[{[{s" if depth < 4 else "s"))
    if kind == "s":
        return draw(st.sampled_from(SCALARS))
    members = draw(st.lists(values(depth + 1), max_size=5))
    if kind == "{":
        keys = st.sampled_from(KEYS) | st.integers(0, 999).map(lambda number: f'"k{number}"')
        members = [f"{draw(keys)}{draw(blanks)}:{draw(blanks)}{member}" for member in members]
    inner = ",".join(f"{draw(blanks)}{member}{draw(blanks)}" for member in members)
    return f"{kind}{inner or draw(blanks)}{']' if kind == '[' else '}'}"


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The same after one or two blows, if any."""
    body = (draw(blanks) + draw(values()) + draw(blanks)).encode()
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(body)))
        wrong = draw(st.sampled_from(WRONG).map(str.encode) | st.sampled_from(BYTES) | st.just(b""))
        body = body[:at] + wrong + body[at + draw(st.integers(0, 2)) :]
    return body


stew = st.lists(st.sampled_from((*WRONG, *SCALARS, *KEYS, *BLANKS, "{", "[", "]", "}", ",", ":")), max_size=25)


def parts(body: bytes) -> st.SearchStrategy[int]:
    """From a character on where that does not take too long."""
    return st.integers(1, 12) | st.integers(1, 200) if len(body) < 3000 else st.integers(90, 2000)


@given(st.data(), damaged() | stew.map(lambda tokens: "".join(tokens).encode()))
def test_any_document_comes_to_what_it_comes_to_in_one_go(data: st.DataObject, body: bytes) -> None:
    """Whatever the size of a part, and whatever is wrong."""
    assert in_parts(body, data.draw(parts(body), label="part")) == at_once(body)


@given(values().map(str.encode), st.integers(1, 40))
@example(b'{"a":[1,{"b":2,"c":[]}],"d":{"e":{}}}', 1)
@example(b'{ "a" : [ 1 , { "b" : 2 , "c" : [ ] } ] , "d" : { "e" : { } } }', 1)
def test_sound_documents_without_oddities_are_parsed_once(body: bytes, part: int) -> None:
    """No fault, no repeated key, no long key: what is known of them is known from the parts."""
    expected = at_once(body)
    assert not isinstance(expected, str)
    if not expected[3] and DUE_KEY not in body.decode() and b"keykey" not in body and part > 9:
        assert in_parts(body, part, once_more=False) == expected


EDGES: Final = (
    "",
    " ",
    "\n\n",
    "\u3000 ",
    " \ufeff1",
    "\ufeff",
    "1",
    "1 ",
    " 1 1",
    "1,",
    "1:",
    "]",
    "}",
    "[",
    "{",
    "[1",
    '["',
    '"',
    '"\\',
    '"\\u',
    '"\\u1',
    '"\\ud83d',
    '"\\ud83d\\',
    '"\\ud83d\\ude0',
    "[1,]",
    "[1 , ]",
    "[,1]",
    "[1,,2]",
    "[1 2]",
    '["a" "b"]',
    "[1:2]",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{"a":1 , }',
    '{"a" 1}',
    '{"a":1 "b":2}',
    "{1:2}",
    '{"a"::1}',
    "{,}",
    '{"a":1,,"b":2}',
    "[}",
    "{]",
    '{"a":[}',
    "[]]",
    "[][]",
    "{}{}",
    '"a""b"',
    "[] .5",
    "[].5",
    "1.5.5",
    "[1].5",
    "nullnull",
    "[truefalse]",
    "[true false]",
    '["a"1]',
    '{"a":1]',
    '["a":1]',
    "[1}",
    '"\\ud83d\\ud83d\\ude00"',
    '{"a":1,"a":2}',
    '{"a":[1,2,3],"b":{"c":1},"a":4}',
    '{"b":{"a":1,"c":[{}],"a":2}}',
    '[{"a":1,"a":2},{"a":1}]',
    '{"a":1,"\\u0061":2}',
    f'{{"{DUE_KEY}":1,"b":2}}',
    f'{{"b":1,"{DUE_KEY}":2,"c":3,"{DUE_KEY}":4}}',
    '{"":1,"":2}',
    '{"":{"":[{"":1}]},"a":2}',
    '{"\\ud800":1,"b":2}',
    '["\\ud800",' + "[" * 101 + "]" * 101 + "]",
    "[" + "[" * 101 + "]" * 101 + ',"\\ud800"]',
    "[" * 100 + "]" * 100,
    "[" * 101 + "]" * 101,
    '{"a":{"\\ud800":1,"b":' + "[" * 101 + "]" * 101 + "}}",
    '{"' + "key" * 99 + '":1,"b":[1,2]}',
    '{"' + "k" * 50 + '":1,"' + "k" * 50 + '":2}',
    "[" + "9" * 4300 + "]",
    "[1," + "9" * 4301 + ",2]",
    "-" + "9" * 4300,
    "9" * 9000 + ".5e",
    "9" * 9000 + ".",
    "0" * 9000,
    "[" + "9" * 9000,
    "9" * 9000 + "x",
    "1" + "x" * 9000 + "9" * 9000,
    "1e3" + "9" * 5000 + "x",
    "1.5e" + "9" * 4290 + "x" + "9" * 9000,
    "tru" + "e" * 9000,
    "[1,2,NaN]",
)
"""Documents by hand."""


@pytest.mark.parametrize("text", EDGES, ids=range(len(EDGES)))
def test_edges_come_to_what_they_come_to_in_one_go(text: str) -> None:
    """In parts of any size."""
    body = text.encode()
    for part in (*range(1, min(len(body), 20) + 1), 50, 200, 1000):
        assert in_parts(body, part) == at_once(body), part


@pytest.mark.parametrize("part", [100, 1000])
def test_documents_with_many_keys_come_to_the_same(part: int) -> None:
    """Where they stand before each part, and where there are too many of them for that."""
    few = json.dumps(
        {f"key {number}": [number, {"é": None}] for number in range(MAX_PREFIX_CHARACTERS // 400)}
    ).encode()
    assert in_parts(few, part, once_more=False) == at_once(few)
    for body in (few[:-1], few[:-1] + b',"key 7":1}', few[:-1] + b',"x":"\\ud800"}'):
        assert in_parts(body, part) == at_once(body)
    many = json.dumps(
        {f"{number:0999d}": [number, {"é": None}] for number in range(MAX_PREFIX_CHARACTERS // 400)}
    ).encode()
    for body in (many, many[:-1], many[:-1] + b",}", many.replace(b"null", b'"\\ud800"', 1)):
        with mock.patch.object(strict_json, "_load_with_repeated", wraps=strict_json._load_with_repeated) as load:
            assert in_parts(body, 1000) == at_once(body)
        sizes = [len(call.args[0]) for call in load.call_args_list]
        assert (
            MAX_PREFIX_CHARACTERS
            < max(size for size in sizes if size < len(body) - 1000)
            < MAX_PREFIX_CHARACTERS + 4000
        )


LONG: Final = "7" * 7000


@pytest.mark.parametrize("end", ["", ",", "]", ".", ".5]", "e5", "e+5,", "e", ".5.5", "x", ' "'])
@pytest.mark.parametrize("begin", ["", "-", "[", "[1, ", "1.", "1e-", "0", '{"a":', LONG, f"{LONG}.{LONG}e+"])
def test_long_numbers_have_all_digits_counted(begin: str, end: str) -> None:
    """Of which only the first are looked at."""
    body = f"{begin}{'9' * (20 * MAX_DIGITS)}{end}".encode()
    with mock.patch.object(strict_json, "_load_with_repeated", wraps=strict_json._load_with_repeated) as load:
        assert in_parts(body, 1000) == at_once(body)
    assert max(len(call.args[0]) for call in load.call_args_list[:-1]) < 2 * MAX_DIGITS


@pytest.mark.parametrize("body", [b"[" + b"[]," * 9999 + b"1]", b"[" + b"1," * 19999 + b"x"])
def test_a_part_has_only_so_many_tokens(body: bytes) -> None:
    """Few characters may be a lot of work; what is left at last is less than a part."""
    with mock.patch.object(strict_json, "_load_with_repeated", wraps=strict_json._load_with_repeated) as load:
        assert in_parts(body, 16 << 10, once_more=False) == at_once(body)
    assert max(len(call.args[0]) for call in load.call_args_list[:-2]) < 2 * MAX_PART_TOKENS
