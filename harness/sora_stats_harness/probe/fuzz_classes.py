"""Finds the kind of a failing made-up request: the features that all requests failing in the same way share."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..api.exchange import TARGET_HEADER

if TYPE_CHECKING:
    from ..simulator.strategies import WireRequest

RequestFeatures = frozenset[str]
"""The features of a request, in words."""

_ARGUMENTS: Final = frozenset({"channel_id", "client_id", "connection_id", "local"})
_LONG_BYTES: Final = 255


def request_features(wire: WireRequest) -> RequestFeatures:
    """Where a request goes, and what its body contains: types, and kinds of characters."""
    return frozenset(_features(wire))


def request_class(
    smallest: WireRequest, tried: Mapping[WireRequest, bool], passed: Collection[RequestFeatures]
) -> RequestFeatures:
    """
    The features that identify requests which fail like the smallest one.

    These are the ones that all of the failing requests share that led to it (`tried`); but if a request with these has
    passed, all features of the smallest.
    """
    own = request_features(smallest)
    common = own.intersection(*(request_features(wire) for wire, fails in tried.items() if fails))
    return own if any(common <= each for each in passed) else common


def _features(wire: WireRequest) -> Iterator[str]:
    yield f"method {wire.method}"
    yield f"path {wire.path}"
    yield "targets " + " ".join(value for name, value in wire.headers if name.lower() == TARGET_HEADER)
    if not wire.body:
        yield "no body"
        return
    text = wire.body.decode("utf-8", "surrogateescape")
    if any("\udc80" <= char <= "\udcff" for char in text):
        yield "invalid UTF-8"
    try:
        value = json.loads(text)
    except RecursionError:
        yield "deep"
    except ValueError:
        yield "no JSON"
    else:
        yield from _describe("", value)


def _describe(place: str, value: Any) -> Iterator[str]:  # Any: whatever JSON can hold
    yield f"{place}: {type(value).__name__}"
    if isinstance(value, str):
        yield from (f"{place}: {name}" for name in _kinds_of_characters(value))
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _describe(f"{place}/{key if key in _ARGUMENTS else '*'}", below)
    elif isinstance(value, list):
        for below in value:
            yield from _describe(f"{place}/0", below)


def _kinds_of_characters(text: str) -> Iterator[str]:
    if not text:
        yield "empty"
    if "\x00" in text:
        yield "NUL"
    if any(char < " " or char == "\x7f" for char in text.replace("\x00", "")):
        yield "control characters"
    if any(char in "\"\\/%'<&;{}[]$`" for char in text):
        yield "punctuation"
    if not text.isascii():
        yield "beyond ASCII"
    if any(char > "\uffff" for char in text):
        yield "beyond 16 bits"
    if any("\ud800" <= char <= "\udfff" for char in text):
        yield "half of a surrogate pair"
    if len(text.encode("utf-8", "surrogatepass")) > _LONG_BYTES:
        yield "long"
