"""
How far a server and its documentation have come apart, told from faults.

A field that is documented and absent, present and undocumented, moved, or of another type may be a fault, or a server of
another time. Each of these has a finding already; here they are put together by field, over all targets and the whole
run, and the answers are held against every edition that ships, to tell which one the server is nearest to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from ..api import edition as editions
from ..api.edition import ANY_LABEL, Edition, Presence, pointer
from ..api.exchange import Exchange
from .verdict import Coverage, Drift, DriftEntry, FindingEntry

Path = tuple[str, ...]

_WAYS: Final = {
    "shape.required": "absent", "shape.group": "absent", "shape.unknown": "undocumented",
    "shape.undocumented": "undocumented", "shape.type": "changed", "shape.range": "changed", "shape.pattern": "changed",
    "shape.enum": "changed", "shape.lexical": "changed",
}  # fmt: skip

_LARGE_BYTES: Final = 32 << 20
"""Of a body beyond this, what is in an undocumented group is not looked up."""

_MAX_NAMED: Final = 3


class _Seen(msgspec.Struct, kw_only=True):
    """One difference, over all targets."""

    way: str
    path: Path
    documented: str
    seen: str
    connections: int
    readings: int
    first_seen_at: str
    leaves: list[Path]
    """Of an undocumented group, what was in it when it was first seen; of a leaf, itself."""


def measure(
    edition: Edition,
    findings: Iterable[FindingEntry],
    coverage: Coverage,
    evidence: Callable[[str], Sequence[Exchange]],
) -> Drift | None:
    """
    Sum up a run.

    Args:
        edition: By which it was judged.
        findings: All of them; those that are about no field of the documentation are passed over.
        coverage: What was seen of the edition.
        evidence: Gives the exchanges that prove the first finding with a fingerprint.

    Returns:
        None where no reading was judged.
    """
    if coverage.readings == 0:
        return None
    bodies: dict[tuple[str, int], Any] = {}  # Any: JSON
    found: dict[tuple[str, Path], _Seen] = {}
    for entry in findings:
        way = _WAYS.get(entry.requirement)
        path = _path(entry.field)
        if way is None or not path:
            continue
        exchanges = evidence(entry.fingerprint)
        at = exchanges[0].sent_at if exchanges else ""
        known = found.get((way, path))
        if known is None:
            leaves = _leaves(path, _value(entry.pointer, exchanges, bodies)) if way == "undocumented" else []
            found[way, path] = _Seen(
                way=way, path=path, documented=_documented(edition, path, entry), seen=_objects(leaves, path) or entry.actual,
                connections=entry.connections, readings=entry.count, first_seen_at=at, leaves=leaves,
            )  # fmt: skip
        else:
            known.connections = max(known.connections, entry.connections)
            known.readings = max(known.readings, entry.count)
            known.first_seen_at = min(filter(None, (known.first_seen_at, at)), default="")
    others = [editions.load(name) for name in editions.names() if name != edition.name]
    answered = _answered(edition, coverage, found.values())
    distance = {each.name: _distance(each, answered) for each in (edition, *others)}
    nearest = min(distance, key=lambda name: distance[name])  # of several the one that was judged by
    return Drift(
        entries=[_entry(each, others, coverage) for each in _moved(edition, list(found.values()))],
        nearest=nearest,
        distance=distance,
        headline=_headline(edition.name, nearest, distance),
    )


def _headline(name: str, nearest: str, distance: dict[str, int]) -> str | None:
    """Says so only where what differs is mostly the other edition's difference."""
    if 2 * distance[nearest] > distance[name] or distance[name] == 0:
        return None
    how = "in every field" if distance[nearest] == 0 else f"but for {distance[nearest]} fields"
    return (
        f"this server answers like edition {nearest} {how}, and {distance[name]} fields differ from {name}: "
        f"run with --edition {nearest}"
    )  # fmt: skip


def nearest_to(document: Any) -> tuple[str, int]:  # Any: whatever JSON can hold
    """
    The shipped edition that one answer is nearest to, and in how many fields it differs.

    Args:
        document: A connection object, or an array of them; each counts, and a field that any of them has is there.
    """
    readings = document if isinstance(document, list) else [document]
    answered = {path for reading in readings if isinstance(reading, dict) for path in _leaves((), reading)}
    distance = {name: _distance(editions.load(name), answered) for name in editions.names()}
    name = min(distance, key=lambda each: distance[each])
    return name, distance[name]


# What was answered, and how far that is from an edition.


def _answered(edition: Edition, coverage: Coverage, found: Iterable[_Seen]) -> set[Path]:
    unseen = set(coverage.never_seen)
    answered = {field.path for field in edition.fields if field.dotted not in unseen}
    for each in found:
        answered.update(each.leaves)
    return answered


def _distance(edition: Edition, answered: set[Path]) -> int:
    """Fields that are there and not in the edition, and those that should be there and are not."""
    listed = {field.path for field in (*edition.fields, *edition.undocumented)}
    needed = {field.path for field in edition.fields if field.presence is Presence.ALWAYS}
    return len(answered - listed) + len(needed - answered)


def _leaves(path: Path, value: Any) -> list[Path]:  # Any: JSON
    if not isinstance(value, dict):
        return [path]
    found: dict[Path, None] = {}
    for key, below in value.items():
        name = ANY_LABEL if path == ("data_channel",) and key.startswith("#") else key
        found.update(dict.fromkeys(_leaves((*path, name), below)))
    return list(found)


def _value(at: str, exchanges: Sequence[Exchange], bodies: dict[tuple[str, int], Any]) -> Any:  # Any: JSON
    """What stands at a place of the last answer; None where that cannot be told any more."""
    exchange = exchanges[-1] if exchanges else None
    if exchange is None or exchange.answer is None or len(exchange.answer.body) > _LARGE_BYTES:
        return None
    if exchange.key not in bodies:
        bodies.clear()  # findings come in the order of their answers: one body at a time is enough
        try:
            bodies[exchange.key] = json.loads(exchange.answer.body)
        except (ValueError, RecursionError):
            bodies[exchange.key] = None
    value = bodies[exchange.key]
    for part in _path(at):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _path(text: str) -> Path:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


# Words.


def _documented(edition: Edition, path: Path, entry: FindingEntry) -> str:
    if entry.requirement == "shape.undocumented":
        return "known from answers, not in the list"
    if entry.requirement == "shape.unknown":
        return ""
    below = sum(field.path[: len(path)] == path for field in edition.fields if len(field.path) > len(path))
    return f"a group of {below} fields" if below else entry.expected


def _objects(leaves: Sequence[Path], path: Path) -> str:
    if list(leaves) in ([], [path]):
        return ""
    named = ", ".join(".".join(leaf[len(path) :]) for leaf in leaves[:_MAX_NAMED])
    return f"a group of {len(leaves)} fields: {named}{', …' if len(leaves) > _MAX_NAMED else ''}"


def _moved(edition: Edition, found: list[_Seen]) -> list[_Seen]:
    """What is absent at one place and, under the same name, undocumented at another, becomes one entry."""
    places: dict[str, list[tuple[_Seen, Path]]] = {}
    for each in found:
        for leaf in each.leaves:
            places.setdefault(leaf[-1], []).append((each, leaf))
    gone: set[int] = set()
    """By identity."""
    moved: list[_Seen] = []
    for each in found:
        if each.way != "absent":
            continue
        own = [field.path for field in edition.fields if field.path[: len(each.path)] == each.path]
        targets = [places.get(path[-1], []) for path in own]
        if not own or any(len(target) != 1 for target in targets):
            continue  # it must be clear where all of it went
        new = [target[0] for target in targets]
        if len({leaf[:-1] for _, leaf in new}) != 1:
            continue
        whole = len(own) > 1 or own[0] != each.path
        seen = (
            f"{len(own)} fields at {pointer(new[0][1][:-1]) or 'the connection itself'}"
            if whole
            else pointer(new[0][1])
        )
        moved.append(msgspec.structs.replace(each, way="moved", seen=seen))
        gone.add(id(each))
        for other, leaf in new:
            other.leaves.remove(leaf)
            if not other.leaves:
                gone.add(id(other))
    kept = [each for each in found if id(each) not in gone]
    return sorted((*moved, *kept), key=lambda each: (_ORDER.index(each.way), each.path))


_ORDER: Final = ("moved", "absent", "undocumented", "changed")


def _entry(each: _Seen, others: Sequence[Edition], coverage: Coverage) -> DriftEntry:
    own = each.way == "undocumented" and each.documented != ""  # it needs no other edition to know it
    return DriftEntry(
        way=each.way,  # type: ignore[arg-type]  # one of the words above
        field=pointer(each.path),
        documented=each.documented,
        seen=each.seen,
        connections=each.connections,
        connections_without=max(0, coverage.connections - each.connections) if each.connections else 0,
        readings=each.readings,
        first_seen_at=each.first_seen_at,
        known_from=None if own else next((other.name for other in others if _knows(other, each)), None),
    )


def _knows(edition: Edition, each: _Seen) -> bool:
    """Whether an edition has it as it is seen here."""
    paths = {field.path for field in (*edition.fields, *edition.undocumented)}
    there = any(path[: len(each.path)] == each.path for path in paths)
    if each.way == "undocumented":
        return there and paths.issuperset(each.leaves)
    return each.way in ("absent", "moved") and not there
