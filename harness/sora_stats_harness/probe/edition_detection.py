"""
`--edition auto`: finds the edition that a server's responses match best, before anything is judged.

One listing is enough, or the first responses in the files. Without a response to compare, the default edition is used,
and a note says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..api.edition import DEFAULT_EDITION
from ..api.exchange import Exchange, Headers, Target, make_valid_request
from ..judge.drift import find_nearest_edition

if TYPE_CHECKING:
    from .doctor import Ask
    from .file_check import OpenedFile

AUTO_EDITION: Final = "auto"

MAX_RESPONSES_READ: Final = 100
"""How many responses of a recording are compared."""

MAX_DETECTION_BODY_BYTES: Final = 64 << 20
"""A larger body is not parsed."""


def detect_by_server(server: str, headers: Headers, ask: Ask) -> tuple[str, list[str]]:
    """Ask a server for its connections once; returns the edition's name, and a line that says how well it matches."""
    return nearest_to_exchange(ask(make_valid_request(Target.ALL, server=server, headers=headers)))


def nearest_to_exchange(exchange: Exchange | None) -> tuple[str, list[str]]:
    """The edition that matches an exchange's response best, and a line that says how well."""
    response = exchange.response if exchange is not None else None
    found = response is not None and response.complete and response.status == 200
    return _nearest_edition([response.body] if response is not None and found else [])


def detect_by_files(files: Sequence[OpenedFile]) -> tuple[str, list[str]]:
    """The edition that matches the first responses in some files best, and a line that says how well."""
    return _nearest_edition(body for file in files for body in _file_bodies(file))


def _file_bodies(file: OpenedFile) -> Iterable[bytes]:
    from ..recording import format as lines
    from ..recording import sorastats
    from .file_check import FileKind

    if file.kind is FileKind.BODY:
        yield file.store.read()
        return
    looked = 0
    for piece in file.store.lines():
        if not isinstance(piece, bytes):
            continue
        if file.kind is FileKind.SORASTATS:
            poll = sorastats.decode_sorastats_line(piece)
            body = None if poll is None else bytes(poll.values)
        else:
            try:
                line = lines.decode_line(piece)
            except lines.DamagedLineError:
                continue
            found = line.response if isinstance(line, lines.RecordedExchange) and line.target is not None else None
            body = bytes(found.json) if found is not None and found.status == 200 and found.json else None
        if body is None:
            continue
        yield body
        looked += 1
        if looked == MAX_RESPONSES_READ:
            return


def _nearest_edition(bodies: Iterable[bytes]) -> tuple[str, list[str]]:
    samples: list[Any] = []  # Any: JSON
    for body in bodies:
        if len(body) > MAX_DETECTION_BODY_BYTES:
            continue
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            continue
        samples += [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]
    if not samples:
        return DEFAULT_EDITION, [f"--edition auto: there was no response to compare, so {DEFAULT_EDITION} was used"]
    name, distance = find_nearest_edition(samples)
    return name, [f"--edition auto: the responses are like {describe_distance(name, distance)}"]


def describe_nearness(body: bytes) -> str:
    """Say which edition matches a listing best, and how well."""
    if len(body) > MAX_DETECTION_BODY_BYTES:
        return "not looked at: the listing is too large"
    return describe_distance(*find_nearest_edition(json.loads(body)))


def describe_distance(name: str, distance: int) -> str:
    """An edition, and in how many fields responses differ from it."""
    if distance == 0:
        return f"{name} in every field"
    return f"{name} but for {distance} field{'s' if distance > 1 else ''}"
