"""
A strict reading of JSON, for whatever the fast decoder does not accept.

Lenient parsers hide faults: `json.loads` takes a byte order mark, NaN and repeated keys, and others turn 1.0 into 1.
Here every departure from RFC 8259 is told apart from a document that is sound, and numbers keep the way in which they
were written.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection, Generator, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

MAX_DEPTH: Final = 100
"""Containers within containers; a document of the API has four."""

MAX_DIGITS: Final = 4300
"""Digits of a number: Python's own limit for integers, since longer ones take quadratic time."""

MAX_PART_TOKENS: Final = 2000
"""Tokens, or brackets with all that is between them, after which a part of a document ends at the latest."""

MAX_PREFIX_CHARACTERS: Final = 128 << 10
"""Characters that are put before a part at most: 4,000 keys as long as an id take 2 ms."""

MIN_KEPT_CHARACTERS: Final = 1000
"""Characters that are kept of a document which is parsed in parts, at least."""

DUE_KEY: Final = "(due)"
"""A key that is put after a comma; a document may have it as well."""

_BRACKET: Final = re.compile(r'(?:[^][{}"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+[][{}]', re.DOTALL)
"""All up to the next bracket that is in no string."""

_TOKEN: Final = re.compile(r'[ \t\n\r]*+(?:([,:])|"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^][{}",: \t\n\r]++(?=.))', re.DOTALL)
"""The next token that is no bracket; a number or a word is known to have ended where something follows."""

_SPACE: Final = re.compile(r"[ \t\n\r]++")

_STRING_PREFIX: Final = re.compile(
    r'"(?:[^"\\]++|\\[^u]|\\u(?![dD][89abAB])....|\\u....(?:\\u....|(?=[^\\]|\\[^u])))++', re.DOTALL
)
"""As much of a string as may be cut off: in no escape, and in no pair of them."""

_DIGITS: Final = re.compile(r"[0-9]++")

_NUMBER: Final = re.compile(r"-?[0-9]++(?:\.[0-9]++)?+(?:[eE][-+]?[0-9]++)?+")

Path = tuple[str | int, ...]


class StrictJsonError(ValueError):
    """The bytes are no strict JSON; the text says why, in one line."""


class StrictJsonDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed document; numbers with a fraction or an exponent are Decimals, of repeated keys the last counts."""

    value: Any  # Any: whatever JSON can hold
    duplicates: tuple[Path, ...]
    """Where a key stood that the same object already had."""


def parse_strict_json(body: bytes, *, depth: int = 0) -> StrictJsonDocument:
    """
    Parse bytes strictly; `depth` is how many containers the value stands in already.

    Raises:
        StrictJsonError: Not UTF-8, a byte order mark, NaN or Infinity, a lone surrogate, anything before or after the value,
            containers nested deeper than 100, a number of more than 4,300 digits, or no JSON at all.

    >>> parse_strict_json(b'{"a": 1, "a": 2}')
    StrictJsonDocument(value={'a': 2}, duplicates=(('a',),))
    """
    if body.startswith(b"\xef\xbb\xbf"):
        raise StrictJsonError("begins with a byte order mark")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJsonError(f"not UTF-8 at byte {error.start}") from None
    try:
        value, repeated = _load_with_repeated(text)
    except json.JSONDecodeError as error:
        raise StrictJsonError("empty" if not text.strip() else f"{error.msg} at character {error.pos}") from None
    return StrictJsonDocument(
        value=value, duplicates=tuple(_collect_duplicates(value, repeated, text, limit=MAX_DEPTH - depth))
    )


class PartwiseDocument(StrictJsonDocument, frozen=True, kw_only=True):
    """A document that was parsed in parts: of a string, an array or an object, `value` is no more than the type."""

    text: str
    """How it begins where it is written without white space."""
    characters: int
    """How long it is then."""


def parse_in_parts(body: bytes, *, part: int) -> Generator[None, None, StrictJsonDocument]:
    """
    As `parse_strict_json`, but gives way after every `part` characters, more or less, and keeps nothing of what it has read.

    Where no syntax is wrong, some documents are parsed in one go after all: those with a repeated key, with one that is
    longer than a part, or with 128 KB of them in one object, and those that are nested too deep and have half a surrogate
    pair as well.

    Raises:
        StrictJsonError: As `parse_strict_json`, with the same text.
    """
    if len(body) <= part:
        return parse_strict_json(body)
    if body.startswith(codecs.BOM_UTF8):
        raise StrictJsonError("begins with a byte order mark")
    texts: list[str] = []
    start, step = 0, 16 * part
    while start < len(body):
        try:
            text, taken = codecs.utf_8_decode(body[start : start + step], "strict", start + step >= len(body))
        except UnicodeDecodeError as error:
            raise StrictJsonError(f"not UTF-8 at byte {start + error.start}") from None
        texts.append(text)
        start += taken
        yield None
    parts = _PartwiseParser(part)
    try:
        yield from parts.parse_pieces(text[at : at + part] for text in texts for at in range(0, len(text), part))
    except json.JSONDecodeError as error:
        empty = not any(text.strip() for text in texts)
        raise StrictJsonError("empty" if empty else f"{error.msg} at character {error.pos}") from None
    if len(parts.faults) == 1:
        raise StrictJsonError(*parts.faults)
    if parts.faults or parts.once_more:
        return parse_strict_json(body)
    return PartwiseDocument(value=parts.value, duplicates=(), text=parts.text, characters=parts.characters)


class _PartwiseParser:
    """
    Parses a document part by part.

    Each part becomes a document by itself: before it stands whatever is open where it begins, with all keys, but an empty
    string for every value that is done; behind it what brings to an end whatever is open there. So the parser comes to
    each character as it would in the whole, and says the same of it. A part ends between two tokens, or within a string:
    that is closed there, and opened again for the next part.
    """

    def __init__(self, part: int) -> None:
        self.value: Any = None
        self.text, self.characters = "", 0
        self.faults: set[str] = set()
        """Those that are found only where all syntax is right."""
        self.once_more = False
        """Whether the document has to be parsed in one go if nothing is wrong with it."""
        self._part = part
        self._stack: list[str] = []
        """Brackets that are open."""
        self._state = ""
        """What came last: a "key", a "value", ":", ",", or nothing since the bracket."""
        self._before = ""
        """What stands before the next part."""
        self._at = 0
        """Where that begins in the document."""
        self._mark = 0
        """Where the last comma was, or the quotation mark of the string that was cut."""
        self._within = False
        """Whether one was; the next part begins with a quotation mark that is not in the document."""
        self._digits = 0
        """How many were left out of a number that is too long in any case."""

    def parse_pieces(self, pieces: Iterator[str]) -> Generator[None, None, None]:
        """
        Parse what comes in pieces.

        Raises:
            json.JSONDecodeError: With the position in the document.
            StrictJsonError: A number or a word that is none, or brackets deeper than the parser can go.
        """
        text, least = "", self._part
        while True:
            while len(text) < least and (piece := next(pieces, None)) is not None:
                if least > self._part + MAX_DIGITS and _DIGITS.fullmatch(piece) and _NUMBER.fullmatch(text):
                    self._digits += len(piece)
                    yield None
                else:
                    text += piece
            if len(text) < least or len(text) > 8 * self._part + 2 * MAX_DIGITS:
                break  # at the end, or in what is neither a number nor a word
            end, stack, state = self._find_cut(text)
            least = self._part
            if end:
                self._parse_part(text[:end], stack, state)
                text = text[end:]
            elif some := _STRING_PREFIX.match(text):
                self._parse_string_start(some[0])
                text = f'"{text[some.end() :]}'
            else:
                least = len(text) + 1
            yield None
        self._parse_part(text, [], "value")

    def _find_cut(self, text: str) -> tuple[int, list[str], str]:
        """Where to cut a text, which brackets are open there, and after what; wrong only after wrong syntax."""
        end, stack, state = 0, self._stack.copy(), self._state
        for _ in range(MAX_PART_TOKENS):
            if (found := _BRACKET.match(text, end)) is None:
                break
            end = found.end()
            if (bracket := text[end - 1]) in "[{":
                stack.append(bracket)
            elif stack:
                stack.pop()
            state = "" if bracket in "[{" else "value"
        if end:
            return end, stack, state
        for _ in range(MAX_PART_TOKENS):
            if (found := _TOKEN.match(text, end)) is None:
                break
            end = found.end()
            state = found[1] or ("key" if _wants_key(stack, state) else "value")
        space = _SPACE.match(text, end)
        return space.end() if space else end, stack, state

    def _parse_part(self, text: str, stack: list[str], state: str, quote: str = "") -> None:
        """Parse a part, with which it comes to this state."""
        member = f'"{DUE_KEY}":""' if _wants_key(stack, state) else '""'
        behind = {"": "" if stack else '""', "key": ':""', ":": '""', ",": member, "value": ""}[state]
        behind = quote + behind + "".join("]" if bracket == "[" else "}" for bracket in reversed(stack))
        try:  # after a space, since at the very beginning a byte order mark is something else
            value, repeated = _load_with_repeated(f" {self._before}{text}{behind}")
        except json.JSONDecodeError as error:
            place = error.pos - 1 - len(self._before)
            place = self._at + place if place >= self._within else self._mark
            raise json.JSONDecodeError(error.msg, "", place) from None
        except StrictJsonError:
            if self._digits and (number := _NUMBER.match(text)):
                raise StrictJsonError(f"a number of {len(number[0]) + self._digits} digits") from None
            raise
        try:
            _collect_duplicates(value, repeated, text, limit=MAX_DEPTH)
        except StrictJsonError as error:
            self.faults.add(str(error))
        if not self._stack and not self._state:
            self.value = value
        self.once_more = self.once_more or bool(repeated) or len(self._before) > MAX_PREFIX_CHARACTERS
        if not self.once_more and not self.faults:
            written = msgspec.json.encode(value).decode()
            written = written[len(self._before) + self._within : len(written) - len(behind)]
            self.text += written if len(self.text) < MIN_KEPT_CHARACTERS else ""
            self.characters += len(written)
        if (comma := text.rfind(",")) >= 0:
            self._mark = self._at + comma
        self._at += len(text)
        self._before = self._reopened_prefix(value, stack, state)
        self._stack, self._state, self._within = stack, state, False

    def _parse_string_start(self, text: str) -> None:
        """Parse the beginning of a string; the rest comes to stand where it was, with a quotation mark."""
        stack, state, before = self._stack, self._state, self._before
        mark = self._mark if self._within else self._at
        key = _wants_key(stack, state)
        self.once_more = self.once_more or key
        self._parse_part(text, stack, "key" if key else "value", '"')
        self._state, self._before, self._mark, self._within = state, before, mark, True
        self._at -= 1

    def _reopened_prefix(self, value: Any, stack: list[str], state: str) -> str:
        """What comes to the same state as a part that has this value."""
        before = ""
        for depth, bracket in enumerate(stack, 1):
            last = state if depth == len(stack) else ":"
            if bracket == "[":
                opened = '[""' if last else "["
            elif self.once_more:
                opened = '{"":""' if last else "{"
            else:
                members = dict.fromkeys(value, "")
                if last == ",":
                    del members[DUE_KEY]
                opened = json.dumps(members, ensure_ascii=False, separators=(",", ":"))[:-1]
            before += opened[: {"key": -3, ":": -2}.get(last)] + ("," if last == "," else "")
            if value and not self.once_more:
                value = value[-1] if bracket == "[" else value[next(reversed(value))]
        return before or ('""' if state == "value" else "")


def _wants_key(stack: list[str], state: str) -> bool:
    return stack[-1:] == ["{"] and state in ("", ",")


def is_integral(number: Decimal) -> bool:
    """Whether a number written with a fraction or an exponent is an integer all the same, like 1.0 or 1e3."""
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return False
    return exponent >= 0 or not any(digits[exponent:])


_Repeated = dict[int, tuple[dict[str, Any], list[str], list[tuple[str, Any]]]]
"""Objects with repeated keys, by id: the object, these keys, and all its pairs."""


def _load_with_repeated(text: str) -> tuple[Any, _Repeated]:
    """Any value, and the objects in it that repeat a key."""
    repeated: _Repeated = {}

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            again = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
            repeated[id(result)] = (result, again, pairs)  # holding the object keeps its id from being used again
        return result

    try:
        value = json.loads(
            text,
            object_pairs_hook=collect,
            parse_float=_parse_decimal,
            parse_int=_parse_integer,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise StrictJsonError(f"nested deeper than {MAX_DEPTH}") from None
    return value, repeated


def _collect_duplicates(value: object, repeated: _Repeated, text: str, *, limit: int) -> list[Path]:
    surrogates = "\\ud" in text or "\\uD" in text
    kinds = (dict, list, str) if surrogates else (dict, list)
    found: list[Path] = []
    todo: list[tuple[object, Path]] = [(value, ())]
    while todo:
        node, path = todo.pop()
        if isinstance(node, dict):
            if len(path) >= limit:
                raise StrictJsonError(f"nested deeper than {MAX_DEPTH}")
            members: Collection[tuple[str, Any]] = node.items()
            if id(node) in repeated:
                _, again, members = repeated[id(node)]  # values that a later one hides must be JSON as well
                found.extend((*path, key) for key in again)
            if surrogates:
                for key in node:
                    _check_surrogates(key)
            todo.extend((below, (*path, key)) for key, below in members if isinstance(below, kinds))
        elif isinstance(node, list):
            if len(path) >= limit:
                raise StrictJsonError(f"nested deeper than {MAX_DEPTH}")
            todo.extend((below, (*path, i)) for i, below in enumerate(node) if isinstance(below, kinds))
        elif surrogates and isinstance(node, str):
            _check_surrogates(node)
    return sorted(set(found), key=str)


def _check_surrogates(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise StrictJsonError("half of a surrogate pair stands alone in a string") from None


def _parse_integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise StrictJsonError(f"a number of {len(text)} digits")
    return int(text)


def _parse_decimal(text: str) -> Decimal:
    if len(text) > MAX_DIGITS:
        raise StrictJsonError(f"a number of {len(text)} digits")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise StrictJsonError("a number whose exponent is beyond all bounds") from None


def _refuse_constant(text: str) -> object:
    raise StrictJsonError(f"{text} is no JSON")
