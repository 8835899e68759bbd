"""
Cuts excerpts out of bodies: the part that proves a finding, with its place.

For a finding about a connection these are its own bytes; about a connection missing from a listing, the ids in the
listing; about a body as a whole, a part around the fault. So a finding needs a few kilobytes, however long the listing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from ..api.exchange import Excerpt, ExcerptPart, Response
from .check import Place
from .sample_reader import is_implausibly_dense

MAX_IDS_BYTES: Final = 1 << 20
"""The most bytes for the ids of a listing; enough for 15,000 connections."""

ID_PART_BYTES: Final = 150
"""The additional size for each of them."""

_SPLITTER: Final = msgspec.json.Decoder(list[msgspec.Raw])
_GAP: Final = re.compile(rb"[ \t\r\n]*[\[,][ \t\r\n]*")
_ID_MEMBER: Final = re.compile(rb'"connection_id"[ \t\r\n]*:[ \t\r\n]*"(?:[^"\\]|\\.)*"')
_BOUNDARY: Final = re.compile(rb"[\s\",;:<>{}\[\]]")
"""Where a part may begin or end without cutting a word, so that a secret in it stays recognisable."""


class _Identified(msgspec.Struct):
    connection_id: Any = None  # Any: JSON


_ID_DECODER: Final = msgspec.json.Decoder(_Identified)


def read_listed_ids(kept: bytes) -> list[str]:
    """The ids in an excerpt of a listing."""
    try:
        members = msgspec.json.decode(kept, type=list[_Identified])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    return [each.connection_id for each in members if isinstance(each.connection_id, str)]


class WantedPart(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a body that is wanted."""

    place: Place = ()
    connection_id: str | None = None
    offset: int | None = None
    most_bytes: int


class Body(Protocol):
    """A body that can be read in parts."""

    length: int
    is_whole: bool
    """Whether it is available; if not, only its length, its hash and an earlier excerpt are known."""

    def read(self, start: int, stop: int) -> bytes:
        """Read some of its bytes."""

    def hash(self) -> str:
        """The SHA-256 of the whole body."""


class ElementIndex:
    """The places of an array's elements, and the connection of each."""

    def __init__(self, spans: list[tuple[int, int]], places: dict[str, int]) -> None:
        self.spans = spans
        self.places = places
        """The first element of each connection_id."""

    @classmethod
    def of(cls, body: bytes) -> ElementIndex | None:
        """Index a body; None if it is not an array of connections."""
        if is_implausibly_dense(body):
            return None
        try:
            pieces = _SPLITTER.decode(body)
        except (msgspec.MsgspecError, RecursionError):
            return None
        spans: list[tuple[int, int]] = []
        places: dict[str, int] = {}
        end = 0
        for element, piece in enumerate(pieces):
            gap = _GAP.match(body, end)
            start = end if gap is None else gap.end()
            end = start + memoryview(piece).nbytes
            spans.append((start, end))
            try:
                connection_id = _ID_DECODER.decode(piece).connection_id
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            if isinstance(connection_id, str):
                places.setdefault(connection_id, element)
        return cls(spans, places)


def cut_body(response: Response, body: Body, wanted: WantedPart, index: Callable[[], ElementIndex | None]) -> Response:
    """
    Cut the wanted part out of a response.

    Args:
        response: The response, with its body if that is available unchanged.
        index: Returns the index of the body's elements, or None if it is not an array.
    """
    most = wanted.most_bytes
    if response.withheld:
        return response
    if not body.is_whole:
        return _shorten(response, most)
    element = wanted.place[0] if wanted.place and isinstance(wanted.place[0], int) else None
    about_one = element is not None or wanted.connection_id is not None
    if about_one and body.read(0, 64).lstrip()[:1] == b"[" and (found := index()) is not None:
        if element is None and wanted.connection_id is not None:
            element = found.places.get(wanted.connection_id)
        if element is not None and element < len(found.spans):
            return _cut_element(response, body, wanted, element, found.spans[element])
        if wanted.connection_id is not None and found.spans:
            return _cut_ids(response, body, most, found)
    if body.length <= most:
        return _with(response, body.read(0, body.length), None)
    at = wanted.offset if wanted.offset is not None else _find_place(body, (0, body.length), wanted.place)
    return _cut_text(response, body, most, at, (0, body.length))


def _shorten(response: Response, most: int) -> Response:
    """Shorten a response that is already an excerpt."""
    told = response.excerpt
    if told is None or len(response.body) <= most:
        return response
    part = ExcerptPart(told.parts[0].offset if told.parts else 0, most)
    short = Excerpt(of="text", length=told.length, sha256=told.sha256, parts=(part,))
    return _with(response, response.body[:most], short)


def _cut_element(response: Response, body: Body, wanted: WantedPart, element: int, span: tuple[int, int]) -> Response:
    start, stop = span
    if stop - start > wanted.most_bytes:
        at = _find_place(body, span, wanted.place[1:])
        return _cut_text(response, body, wanted.most_bytes, at, span)
    kept = b"[" + body.read(start, stop) + b"]"
    if len(kept) == body.length:
        return _with(response, body.read(0, body.length), None)
    part = ExcerptPart(start, stop - start, element)
    told = Excerpt(of="connections", length=body.length, sha256=body.hash(), parts=(part,))
    return _with(response, kept, told)


def _cut_ids(response: Response, body: Body, most: int, index: ElementIndex) -> Response:
    """The ids in a listing, to prove that a connection is missing."""
    whole = body.read(0, body.length)
    members: list[bytes] = []
    parts: list[ExcerptPart] = []
    room = min(most * 16, MAX_IDS_BYTES)
    for element, (start, stop) in enumerate(index.spans):
        found = _ID_MEMBER.search(whole, start, stop)
        if found is None:
            continue
        members.append(found[0])
        parts.append(ExcerptPart(found.start(), len(found[0]), element))
        room -= len(found[0]) + ID_PART_BYTES
        if room < 0:
            return _cut_text(response, body, most, 0, (0, body.length))
    kept = b"[" + b",".join(b"{%b}" % member for member in members) + b"]"
    return _with(response, kept, Excerpt(of="ids", length=body.length, sha256=body.hash(), parts=tuple(parts)))


def _cut_text(response: Response, body: Body, most: int, at: int, within: tuple[int, int]) -> Response:
    """A part around a place; it begins and ends between words."""
    start = max(within[0], min(at - most // 2, within[1] - most))
    data = body.read(start, min(within[1], start + most))
    quarter = len(data) // 4
    if start + len(data) < body.length:
        ends = [found.start() for found in _BOUNDARY.finditer(data, len(data) - quarter)]
        data = data[: ends[-1] if ends else len(data)]
    if start and (first := _BOUNDARY.search(data, 0, quarter)) is not None:
        start += first.end()
        data = data[first.end() :]
    parts = (ExcerptPart(start, len(data)),) if data else ()
    return _with(response, data, Excerpt(of="text", length=body.length, sha256=body.hash(), parts=parts))


def _find_place(body: Body, span: tuple[int, int], place: Place) -> int:
    """The byte at which a place within a span begins, found by its keys one after the other."""
    start, stop = span
    keys = [key for key in place if isinstance(key, str)]
    if not keys:
        return start
    data, at = body.read(start, stop), 0
    for key in keys:
        found = data.find(json.dumps(key, ensure_ascii=False).encode("utf-8", "surrogatepass"), at)
        if found < 0:
            break
        at = found
    return start + at


def _with(response: Response, body: bytes, excerpt: Excerpt | None) -> Response:
    if response.excerpt == excerpt and response.body == body:
        return response
    return msgspec.structs.replace(response, body=body, excerpt=excerpt)
