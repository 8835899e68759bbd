"""Recognises how a server refuses a request, and how it says that an id is unknown: 400 and an error_type."""

from __future__ import annotations

from typing import Final

from ...api import strict_json
from ...api.exchange import Response, Target
from ..value_text import format_value

MAX_REFUSAL_BYTES: Final = 1 << 16
"""The largest body in which the error_type is looked for."""


def is_accepted_not_found(target: Target, response: Response) -> bool:
    """Whether a response says in an accepted way that an id is unknown."""
    if response.status != 400 or target is Target.ALL:
        return False
    try:
        value = strict_json.parse_strict_json(response.body).value
    except strict_json.JsonLimitError:
        return True  # the error_type is unknown
    except strict_json.StrictJsonError:
        return False
    return isinstance(value, dict) and isinstance(value.get("error_type"), str)


def describe_refusal(response: Response) -> str:
    """The status, and the error_type if the body has one."""
    try:
        value = strict_json.parse_strict_json(response.body if len(response.body) <= MAX_REFUSAL_BYTES else b"").value
    except strict_json.StrictJsonError:
        value = None
    found = value.get("error_type") if isinstance(value, dict) else None
    return str(response.status) if found is None else f"{response.status}, error_type {format_value(found)}"
