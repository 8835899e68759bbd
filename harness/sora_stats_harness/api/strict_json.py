"""
A strict JSON parser, for whatever the fast decoder does not accept.

Lenient parsers hide faults: `json.loads` takes a byte order mark, NaN and repeated keys, and others turn 1.0 into 1.
This parser reports every deviation from RFC 8259, and keeps how a number was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any, Final

import msgspec

MAX_DEPTH: Final = 100
"""The most nested containers; a document of the API has four levels."""

MAX_DIGITS: Final = 4300
"""The most digits of a number: Python's own limit for integers, since longer ones take quadratic time."""

MAX_SEARCHED_BRACKETS: Final = 1 << 20
"""The brackets that are counted to find where a document is nested too deeply."""

_HALF_DIGITS: Final = MAX_DIGITS // 2
_HALF_OF_A_LONG_NUMBER: Final = re.compile(f"[-0-9]{{{_HALF_DIGITS}}}")
_BRACKET: Final = re.compile(rb"[\[{}\]]")

Path = tuple[str | int, ...]


class StrictJsonError(ValueError):
    """The bytes are not strict JSON; the text says why, in one line, and `offset` at which byte, if known."""

    def __init__(self, text: str, offset: int | None = None) -> None:
        super().__init__(text)
        self.offset = offset


class JsonLimitError(StrictJsonError):
    """A limit of this parser, not of JSON, is exceeded. The bytes can't be judged; this is no fault of theirs."""


class StrictJsonDocument(msgspec.Struct, frozen=True, kw_only=True):
    """
    A parsed document. Numbers with a fraction or an exponent are Decimals; of a repeated key the last value counts.
    """

    value: Any  # Any: whatever JSON can hold
    duplicates: tuple[Path, ...]
    """The paths of keys that their object already had."""


def parse_strict_json(body: bytes, *, depth: int = 0) -> StrictJsonDocument:
    """
    Parse bytes strictly; `depth` is the number of containers around the value.

    Raises:
        StrictJsonError: Not UTF-8, a byte order mark, NaN or Infinity, a lone surrogate, anything before or after the
        value,
            or not JSON at all.
        JsonLimitError: None of this was found, but containers nested deeper than 100, a number of more than 4,300
        digits, or an exponent of more than 18 digits.

    >>> parse_strict_json(b'{"a": 1, "a": 2}')
    StrictJsonDocument(value={'a': 2}, duplicates=(('a',),))
    """
    if body.startswith(b"\xef\xbb\xbf"):
        raise StrictJsonError("begins with a byte order mark")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJsonError(f"not UTF-8 at byte {error.start}", error.start) from None
    exceeded: list[tuple[str, int | None]] = []
    try:
        value, repeated = _load_with_repeated(text, exceeded)
    except json.JSONDecodeError as error:
        reason = "empty" if not text.strip() else f"{error.msg} at character {error.pos}"
        raise StrictJsonError(reason, _byte_offset(text, error.pos)) from None
    surrogates = "\\ud" in text or "\\uD" in text
    duplicates, deepest = (
        _collect_duplicates(value, repeated, surrogates) if repeated or surrogates else ((), _count_nesting(value))
    )
    if deepest > MAX_DEPTH - depth:
        exceeded.append((_TOO_DEEP, _find_depth(body)))
    if exceeded:
        raise JsonLimitError(*exceeded[0])
    return StrictJsonDocument(value=value, duplicates=tuple(duplicates))


def is_integral(number: Decimal) -> bool:
    """Whether a number written with a fraction or an exponent is an integer, like 1.0 or 1e3."""
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int), "JSON has neither infinities nor NaN"
    return exponent >= 0 or not any(digits[exponent:])


_Repeated = dict[int, tuple[dict[str, Any], list[str], list[tuple[str, Any]]]]
"""Objects with repeated keys by id(): the object, these keys, and all its pairs."""


_CONTAINERS: Final = (dict, list)

_TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH}"


def _byte_offset(text: str, place: int) -> int:
    return len(text[:place].encode("utf-8", "surrogatepass"))


def _find_depth(body: bytes) -> int | None:
    """The approximate offset of the first bracket that is too deep; brackets in strings count as well."""
    depth = 0
    for found in islice(_BRACKET.finditer(body), MAX_SEARCHED_BRACKETS):
        depth += 1 if found[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            return found.start()
    return None


def _load_with_repeated(text: str, exceeded: list[tuple[str, int | None]]) -> tuple[Any, _Repeated]:
    """
    Parse any value, and collect the objects in it that repeat a key; a number beyond the limits becomes 0.

    `exceeded` receives these numbers, each with the offset of its first place in bytes.
    """
    repeated: _Repeated = {}

    def exceed(what: str, number: str) -> None:
        exceeded.append((what, None if exceeded else _byte_offset(text, text.find(number))))

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            again = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
            repeated[id(result)] = (result, again, pairs)  # keeping the object keeps its id from being reused
        return result

    def parse_integer(digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            exceed(f"a number of {len(digits)} digits", digits)
            return 0
        return int(digits)

    def parse_decimal(digits: str) -> Decimal:
        if len(digits) > MAX_DIGITS:
            exceed(f"a number of {len(digits)} digits", digits)
            return Decimal()
        try:
            return Decimal(digits)
        except InvalidOperation:
            exceed("a number whose exponent has more than 18 digits", digits)
            return Decimal()

    def refuse_constant(word: str) -> object:
        raise StrictJsonError(f"{word} is not JSON", _byte_offset(text, text.find(word)))

    try:
        value = json.loads(
            text,
            object_pairs_hook=collect,
            parse_float=parse_decimal,
            parse_int=parse_integer if _may_hold_long_number(text) else None,  # without a function json parses in C
            parse_constant=refuse_constant,
        )
    except RecursionError:
        raise JsonLimitError(_TOO_DEEP, _find_depth(text.encode())) from None
    return value, repeated


def _may_hold_long_number(text: str) -> bool:
    """Whether a number may have more than 4,300 digits: any such holds half of them from a multiple of 2,150 on."""
    return any(_HALF_OF_A_LONG_NUMBER.match(text, place) for place in range(0, len(text), _HALF_DIGITS))


def _count_nesting(value: object) -> int:
    """How deep containers are nested."""
    depth = 0
    level = [value] if isinstance(value, _CONTAINERS) else []
    while level:
        depth += 1
        level = [
            below
            for node in level
            for below in (node.values() if isinstance(node, dict) else node)
            if isinstance(below, _CONTAINERS)
        ]
    return depth


def _collect_duplicates(value: object, repeated: _Repeated, surrogates: bool) -> tuple[list[Path], int]:
    """The same, and the paths of repeated keys."""
    kinds = (*_CONTAINERS, str) if surrogates else _CONTAINERS
    found: list[Path] = []
    deepest = 0
    todo: list[tuple[object, Path]] = [(value, ())]
    while todo:
        node, path = todo.pop()
        if isinstance(node, dict):
            deepest = max(deepest, len(path) + 1)
            members: Collection[tuple[str, Any]] = node.items()
            if id(node) in repeated:
                _, again, members = repeated[id(node)]  # a value that a later one replaces must be JSON as well
                found.extend((*path, key) for key in again)
            if surrogates:
                for key in node:
                    _check_surrogates(key)
            todo.extend((below, (*path, key)) for key, below in members if isinstance(below, kinds))
        elif isinstance(node, list):
            deepest = max(deepest, len(path) + 1)
            todo.extend((below, (*path, i)) for i, below in enumerate(node) if isinstance(below, kinds))
        elif surrogates and isinstance(node, str):
            _check_surrogates(node)
    return sorted(set(found), key=str), deepest


def _check_surrogates(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise StrictJsonError("a string contains half of a surrogate pair") from None
