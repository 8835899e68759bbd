"""
Replaces strings in the text of a JSON document without changing anything else.

A document that is parsed and written again loses how its numbers were written, repeated keys, and white space. Here
only strings change, and everything else stays byte for byte.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final

_TOKEN: Final = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|[\[\]{}]', re.DOTALL)
"""A string, with the colon after it if it is a key; or a bracket."""

KeyReplacer = Callable[[str], str]
StringReplacer = Callable[[str | None, str], str]
"""Returns a string's replacement, given the key that it belongs to (or None) and the string."""


def replace_strings(text: str, replace_key: KeyReplacer, replace_string: StringReplacer) -> str:
    """
    Replace keys and strings in the text of a JSON document, and leave everything else unchanged.

    A string belongs to the key before it, even if it is in an array under that key.
    """
    above: list[str | None] = []
    """The key that each open array belongs to; None for objects, which have keys of their own."""
    key: str | None = None

    def replace(match: re.Match[str]) -> str:
        nonlocal key
        raw, colon = match.groups()
        if raw is None:
            if (bracket := match[0]) == "[":
                above.append(key if key is not None else above[-1] if above else None)
            elif bracket == "{":
                above.append(None)
            elif above:
                above.pop()
            key = None
            return bracket
        string = _unquote(raw)
        if colon is not None:
            key = string
            return _quote(raw, string, replace_key(string)) + colon
        owner = key if key is not None else above[-1] if above else None
        key = None
        return _quote(raw, string, replace_string(owner, string))

    return _TOKEN.sub(replace, text)


def _quote(raw: str, old: str, new: str) -> str:
    return f'"{raw}"' if new == old else json.dumps(new, ensure_ascii=False)


def _unquote(raw: str) -> str:
    return str(json.loads(f'"{raw}"')) if "\\" in raw else raw


def mask_text(text: str) -> str:
    """
    Mask a text except its punctuation and white space; text that is not JSON does not become JSON.

    >>> mask_text('{"channel_id": "lobb')
    '{"xxxxxxxxxx": "xxxx'
    """
    return re.sub(r"\w", "x", text)


_MASK_TABLE: Final = bytes(
    ord("x") if chr(byte).isalnum() and byte < 0x80 else 0xFF if byte >= 0x80 else byte for byte in range(256)
)


def mask_base64(packed: str) -> str:
    """Mask bytes that are not text, given and returned in base64; they do not become text."""
    try:
        data = b64decode(packed, validate=True)
    except binascii.Error:
        return "damaged"  # like the original, it cannot be decoded
    return b64encode(data.translate(_MASK_TABLE)).decode("ascii")
