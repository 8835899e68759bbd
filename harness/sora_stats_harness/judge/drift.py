"""
Measures how much a server's fields differ from the documented ones.

A field that is absent, undocumented, moved, or of another type may be a fault, or a sign of another version of the
server. Each of these has a finding already. Here they are collected by field, over all targets and the whole run, and
the responses are compared with every shipped edition, to find the one that fits best.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from ..api import edition as editions
from ..api.edition import ANY_LABEL, Edition, FieldPath, FieldPresence, make_json_pointer, split_json_pointer
from ..api.edition_rules import LABELS_GROUP
from ..api.exchange import Exchange, Response
from .checks.shape import ENUM, GROUP, LEXICAL, PATTERN, RANGE, REQUIRED, TYPE, UNDOCUMENTED, UNKNOWN
from .verdict import CoverageSummary, DocumentationDrift, DriftEntry, FindingEntry

_WAY_OF_REQUIREMENT: Final = {
    **dict.fromkeys((REQUIRED.id, GROUP.id), "absent"),
    **dict.fromkeys((UNKNOWN.id, UNDOCUMENTED.id), "undocumented"),
    **dict.fromkeys((TYPE.id, RANGE.id, PATTERN.id, ENUM.id, LEXICAL.id), "changed"),
}

_MAX_DECODED_BYTES: Final = 32 << 20
"""In a larger body, the content of an undocumented group is not looked up."""

_MAX_NAMED_FIELDS: Final = 3


class _SchemaDifference(msgspec.Struct, kw_only=True):
    """One difference, over all targets."""

    way: str
    path: FieldPath
    documented: str
    seen: str
    connections: int
    samples: int
    first_seen_at: str
    leaves: list[FieldPath]
    """The paths in an undocumented group when it was first seen; for a leaf, its own path."""


def measure_drift(
    edition: Edition,
    findings: Iterable[FindingEntry],
    coverage: CoverageSummary,
    evidence: Callable[[str], Sequence[Exchange]],
) -> DocumentationDrift | None:
    """
    Measure the drift over a run.

    Args:
        edition: The edition by which the run was judged.
        findings: All findings; those that are not about documentation and fields are ignored.
        coverage: What was seen of the edition.
        evidence: Returns the exchanges that prove the first finding with a fingerprint.

    Returns:
        None if no sample was judged.
    """
    if coverage.samples == 0:
        return None
    bodies: dict[Response, Any] = {}  # Any: JSON
    found: dict[tuple[str, FieldPath], _SchemaDifference] = {}
    for entry in findings:
        way = _WAY_OF_REQUIREMENT.get(entry.requirement)
        path = split_json_pointer(entry.field)
        if way is None or not path:
            continue
        exchanges = evidence(entry.fingerprint)
        at = exchanges[0].sent_at_text if exchanges else ""
        known = found.get((way, path))
        if known is None:
            leaves = _leaf_paths(path, _value_at(entry.pointer, exchanges, bodies)) if way == "undocumented" else []
            found[way, path] = _SchemaDifference(
                way=way,
                path=path,
                documented=_documented_text(edition, path, entry),
                seen=_object_paths(leaves, path) or entry.actual,
                connections=entry.connections,
                samples=entry.count,
                first_seen_at=at,
                leaves=leaves,
            )
        else:
            known.connections = max(known.connections, entry.connections)
            known.samples = max(known.samples, entry.count)
            known.first_seen_at = min(filter(None, (known.first_seen_at, at)), default="")
    others = [editions.load_edition(name) for name in editions.shipped_edition_names() if name != edition.name]
    responded = _observed_paths(edition, coverage, found.values())
    distance = {each.name: _edition_distance(each, responded) for each in (edition, *others)}
    nearest = min(distance, key=lambda name: distance[name])  # among equals, prefer the edition that was judged by
    return DocumentationDrift(
        entries=[_drift_entry(each, others, coverage) for each in _merge_moved_fields(edition, list(found.values()))],
        nearest=nearest,
        distance=distance,
        headline=_headline(edition.name, nearest, distance),
    )


def _headline(name: str, nearest: str, distance: dict[str, int]) -> str | None:
    """The sentence that recommends another edition, if that explains most of the differences; else None."""
    if 2 * distance[nearest] > distance[name] or distance[name] == 0:
        return None
    how = "in every field" if distance[nearest] == 0 else f"but for {distance[nearest]} fields"
    return (
        f"this server responds like edition {nearest} {how}, and {distance[name]} fields differ from {name}: "
        f"run with --edition {nearest}"
    )


def find_nearest_edition(document: Any) -> tuple[str, int]:  # Any: whatever JSON can hold
    """
    Find the shipped edition that fits one response best, and the number of fields that differ.

    Args:
        document: A connection object, or an array of them; a field counts as present if any of them has it.
    """
    samples = document if isinstance(document, list) else [document]
    responded = {path for sample in samples if isinstance(sample, dict) for path in _leaf_paths((), sample)}
    distance = {
        name: _edition_distance(editions.load_edition(name), responded) for name in editions.shipped_edition_names()
    }
    name = min(distance, key=lambda each: distance[each])
    return name, distance[name]


# What was observed, and its distance from an edition.


def _observed_paths(edition: Edition, coverage: CoverageSummary, found: Iterable[_SchemaDifference]) -> set[FieldPath]:
    unseen = set(coverage.never_seen)
    responded = {field.path for field in edition.fields if field.dotted not in unseen}
    for each in found:
        responded.update(each.leaves)
    return responded


def _edition_distance(edition: Edition, responded: set[FieldPath]) -> int:
    """
    The number of fields that were seen but are not in the edition, and of those that should be there but were not seen.
    """
    listed = {field.path for field in (*edition.fields, *edition.undocumented)}
    needed = {field.path for field in edition.fields if field.presence is FieldPresence.ALWAYS}
    return len(responded - listed) + len(needed - responded)


def _leaf_paths(path: FieldPath, value: Any) -> list[FieldPath]:  # Any: JSON
    if not isinstance(value, dict):
        return [path]
    found: dict[FieldPath, None] = {}
    for key, below in value.items():
        name = ANY_LABEL if path == (LABELS_GROUP,) and key.startswith(ANY_LABEL[0]) else key
        found.update(dict.fromkeys(_leaf_paths((*path, name), below)))
    return list(found)


def _value_at(at: str, exchanges: Sequence[Exchange], bodies: dict[Response, Any]) -> Any:  # Any: JSON
    """The value at a place of the last response; None if its body is not available any more."""
    exchange = exchanges[-1] if exchanges else None
    response = None if exchange is None else exchange.response
    if response is None or len(response.body) > _MAX_DECODED_BYTES:
        return None
    if response not in bodies:
        bodies.clear()  # findings come in the order of their responses, so it is enough to keep one body
        try:
            bodies[response] = json.loads(response.body)
        except (ValueError, RecursionError):
            bodies[response] = None
    value = bodies[response]
    excerpt = response.excerpt
    for part in split_json_pointer(at):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal():
            place = int(part) if excerpt is None else excerpt.place_of(int(part))
            value = value[place] if place is not None and place < len(value) else None
            excerpt = None
        else:
            return None
    return value


# Wording.


def _documented_text(edition: Edition, path: FieldPath, entry: FindingEntry) -> str:
    if entry.requirement == UNDOCUMENTED.id:
        return "known from responses, not in the list"
    if entry.requirement == UNKNOWN.id:
        return ""
    below = sum(field.path[: len(path)] == path for field in edition.fields if len(field.path) > len(path))
    return f"a group of {below} fields" if below else entry.expected


def _object_paths(leaves: Sequence[FieldPath], path: FieldPath) -> str:
    if list(leaves) in ([], [path]):
        return ""
    named = ", ".join(".".join(leaf[len(path) :]) for leaf in leaves[:_MAX_NAMED_FIELDS])
    return f"a group of {len(leaves)} fields: {named}{', …' if len(leaves) > _MAX_NAMED_FIELDS else ''}"


def _merge_moved_fields(edition: Edition, found: list[_SchemaDifference]) -> list[_SchemaDifference]:
    """Merge a field absent at one place with one undocumented at another place under the same name into one entry."""
    places: dict[str, list[tuple[_SchemaDifference, FieldPath]]] = {}
    for each in found:
        for leaf in each.leaves:
            places.setdefault(leaf[-1], []).append((each, leaf))
    gone: set[int] = set()
    """The ids of the differences that were merged."""
    moved: list[_SchemaDifference] = []
    for each in found:
        if each.way != "absent":
            continue
        own = [field.path for field in edition.fields if field.path[: len(each.path)] == each.path]
        targets = [places.get(path[-1], []) for path in own]
        if not own or any(len(target) != 1 for target in targets):
            continue  # only if it is clear where all of its fields went
        new = [target[0] for target in targets]
        if len({leaf[:-1] for _, leaf in new}) != 1:
            continue
        whole = len(own) > 1 or own[0] != each.path
        seen = (
            f"{len(own)} fields at {make_json_pointer(new[0][1][:-1]) or 'the connection itself'}"
            if whole
            else make_json_pointer(new[0][1])
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


def _drift_entry(each: _SchemaDifference, others: Sequence[Edition], coverage: CoverageSummary) -> DriftEntry:
    own = each.way == "undocumented" and each.documented != ""  # known without another edition
    return DriftEntry(
        way=each.way,  # type: ignore[arg-type]  # one of the words above
        field=make_json_pointer(each.path),
        documented=each.documented,
        seen=each.seen,
        connections=each.connections,
        connections_without=max(0, coverage.connections - each.connections) if each.connections else 0,
        samples=each.samples,
        first_seen_at=each.first_seen_at,
        known_from=None if own else next((other.name for other in others if _edition_allows(other, each)), None),
    )


def _edition_allows(edition: Edition, each: _SchemaDifference) -> bool:
    """Whether an edition has the field as it was seen."""
    paths = {field.path for field in (*edition.fields, *edition.undocumented)}
    there = any(path[: len(each.path)] == each.path for path in paths)
    if each.way == "undocumented":
        return there and paths.issuperset(each.leaves)
    return each.way in ("absent", "moved") and not there
