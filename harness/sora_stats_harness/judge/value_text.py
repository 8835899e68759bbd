"""Formats a server's value for a finding."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from ..api.strict_json import is_integral

Json = Any
"""A value from strict_json: numbers with a fraction or an exponent are Decimals."""

MAX_SHOWN_CHARACTERS: Final = 200
"""The most characters of a value that a finding shows."""

MAX_SHOWN_INTEGER_BITS: Final = 14_000
"""The most bits of an integer that is written out: Python refuses beyond 4,300 digits, which a sum may exceed."""


def format_value(value: Json) -> str:
    """Format a value (or its JSON as bytes) as a person would write it; a long one is shortened."""
    if isinstance(value, bytes):
        text = value[: 4 * MAX_SHOWN_CHARACTERS].decode("utf-8", "replace")
        return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}… ({len(value)} bytes)"
    if isinstance(value, Decimal):
        return str(value)[:MAX_SHOWN_CHARACTERS]
    if isinstance(value, int) and value.bit_length() > MAX_SHOWN_INTEGER_BITS:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = msgspec.json.encode(value, enc_hook=str).decode("utf-8", "replace")
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}… ({len(text)} characters)"


def format_leaf(value: Json) -> str:
    """As `format_value`, for a leaf that may be absent."""
    return "absent" if value is msgspec.UNSET else format_value(value)


def json_type_name(value: Json) -> str:
    """The JSON type of a value, in the words of JSON Schema."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, Decimal) and is_integral(value)):
        return "integer"
    if isinstance(value, Decimal):
        return "number"
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return names[type(value)]
