"""
Replacing strings in the text of a JSON document without changing anything else.

A document that is parsed and written again loses how its numbers were written, repeated keys, and white space. Here only
strings change, and everything else stays byte for byte.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final

ID_SUFFIX: Final = "_id"
"""The end of every id's key."""

_PLAIN_KEY: Final = re.compile(r"[a-z][a-z0-9_]*")
_STRING_PATTERN: Final = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_STRING_REGEX: Final = re.compile(
    # First what can be skipped: runs of plain keys whose values are no strings, which are most of a body.
    r'(?:"[a-z][a-z0-9_]*(?<!_id)":(?:[-+.0-9eE]+|true|false|null|[\[{])[,\[\]{}]*)+'
    # Then a key with its string, a key alone, or a string alone.
    rf"|{_STRING_PATTERN}(\s*:\s*(?:{_STRING_PATTERN})?)?",
    re.DOTALL,
)

_BRACKETS: Final = re.compile(r"[\[\]{}]")

StringReplacer = Callable[[str | None, str], str]
"""Gives a string's replacement, from the key that it belongs to, or None, and the string."""


def replace_strings(text: str, replace: StringReplacer) -> str:
    """
    Replace strings in the text of a JSON document, and leave all else as it is.

    `replace` gets each string value, with its key if that is an id's (also for strings in an array under that key), else
    with None. It also gets each key that is not plain lower case, with None.
    """
    above: list[str | None] = []
    """The id's key that each open array belongs to; None for objects, which have keys of their own."""
    last: str | None = None
    end = 0

    def walk(between: str) -> None:
        nonlocal last
        for bracket in _BRACKETS.findall(between):
            if bracket == "[":
                above.append(last if last is not None else above[-1] if above else None)
            elif bracket == "{":
                above.append(None)
            elif above:
                above.pop()
            last = None

    def one(match: re.Match[str]) -> str:
        nonlocal last, end
        walk(text[end : match.start()])
        end = match.end()
        first, colon, second = match.groups()
        if first is None:
            last = None
            walk(match[0])
            return match[0]
        if colon is None:
            return _replace_quoted(first, above[-1] if above else None, replace)
        key = _unquote(first)
        written = f'"{first}"' if _PLAIN_KEY.fullmatch(key) else _replace_quoted(first, None, replace)
        last = key if key.endswith(ID_SUFFIX) else None
        if second is None:
            return written + colon
        value = _replace_quoted(second, last, replace)
        last = None
        return f"{written}{colon[: -len(second) - 2]}{value}"

    return _STRING_REGEX.sub(one, text)


def _replace_quoted(raw: str, key: str | None, replace: StringReplacer) -> str:
    text = _unquote(raw)
    new = replace(key, text)
    return f'"{raw}"' if new == text else json.dumps(new, ensure_ascii=False)


def _unquote(raw: str) -> str:
    return str(json.loads(f'"{raw}"')) if "\\" in raw else raw


def mask_text(text: str) -> str:
    """
    Mask all of a text but punctuation and white space; text that is no JSON does not become JSON.

    >>> mask_text('{"channel_id": "lobb')
    '{"xxxxxxxxxx": "xxxx'
    """
    return re.sub(r"\w", "x", text)


_MASK_TABLE: Final = bytes(
    ord("x") if chr(byte).isalnum() and byte < 0x80 else 0xFF if byte >= 0x80 else byte for byte in range(256)
)


def mask_base64(packed: str) -> str:
    """Mask bytes that are no text, in base64 before and after; they do not become text."""
    try:
        data = b64decode(packed, validate=True)
    except binascii.Error:
        return "damaged"  # as before, it cannot be decoded
    return b64encode(data.translate(_MASK_TABLE)).decode("ascii")
