"""
What a command line says of a fault, read one value at a time.
"""

from __future__ import annotations

from collections.abc import Mapping

FaultParameters = Mapping[str, str]


def parse_integer_parameter(parameters: FaultParameters, key: str, least: int = 1) -> int:
    """A parameter as a whole number."""
    text = parameters[key]
    if not text.isascii() or not text.isdecimal() or int(text) < least:
        raise ValueError(f"{key} must be a whole number of at least {least}, not {text!r}")
    return int(text)


def parse_seconds_parameter(parameters: FaultParameters, key: str) -> float:
    """A parameter as a time in seconds."""
    try:
        value = float(parameters[key])
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise ValueError(f"{key} must be a number of seconds, not {parameters[key]!r}")
    return value
