"""
What the format asks of an edition as a whole, beyond each statement in its file by itself.

Some checks know fields by their names: what a connection is called, when a sample was taken, which level is counted.
An edition may lack any of these, and what can't be judged then isn't; but where it has one, it is what its name says.
All else is free: names, groups, limits, and how deep they are nested, up to a size that no field list has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .edition import Edition, Field, Group

Path = tuple[str, ...]

MAX_BYTES: Final = 256 << 10
"""Of an edition's file; the longest that ships has 45 KB."""

MAX_PARTS: Final = 40
"""Of a key in the file. The time that a TOML parser takes grows with their square."""

MAX_DEPTH: Final = 16
"""Groups within groups."""

MAX_LEAVES: Final = 2000
"""Five times as many as are documented."""

MAX_GROUPS: Final = 200

MAX_NAME: Final = 200
"""Characters."""

MAX_STARS: Final = 4
"""In a pattern of paths."""

LARGEST: Final = 2**64 - 1
SMALLEST: Final = -(2**63)

ANY_LABEL: Final = "#*"
"""Stands for every messaging label: in paths, tables and schemas."""

LABELS: Final = "data_channel"
"""The group whose members are labels, free to come and go."""

OWN_TEXTS: Final = ("timestamp", "channel_id", "client_id", "bundle_id", "connection_id")
"""The connection's own leaves that checks are about."""

LEVEL: Final = ("network_status", "unstable_level")
"""The one gauge that a relation is about."""

FORBIDDEN: Final = frozenset('."\\')
"""In names: dots separate the names of a path, and the others would be written with an escape."""


def problems(edition: Edition) -> Iterator[tuple[str, str]]:
    """Whatever is wrong with an edition: the place, and why."""
    for group in edition.root.walk():
        if group.path:
            yield from _of_name(group.path, f"group {'.'.join(group.path)}")
        for field in group.fields:
            yield from _of_name(field.path, f"field {field.dotted}")
    yield from _of_own(edition.root)
    yield from _of_labels(edition.root)
    yield from _of_undocumented(edition)


def name_problem(name: str) -> str | None:
    """Why a key can't be the name of a field or a group; None where it can."""
    if not name or len(name) > MAX_NAME or not name.isprintable() or FORBIDDEN.intersection(name):
        return (
            f"a name must have 1 to {MAX_NAME} characters, all of them printable, and no dots, quotes or backslashes"
        )
    return None


def _of_name(path: Path, place: str) -> Iterator[tuple[str, str]]:
    if problem := name_problem(path[-1]):
        yield place, problem
    if path[-1] == ANY_LABEL and path != (LABELS, ANY_LABEL):
        yield place, f"{ANY_LABEL} stands for the labels of {LABELS}, and for nothing else"


def _of_own(root: Group) -> Iterator[tuple[str, str]]:
    groups = {group.name: group for group in root.groups}
    for field in root.fields:
        if field.name in OWN_TEXTS and field.type.value != "string":
            yield f"field {field.name}", "must be a string: checks know it by its name"
        if field.kind.value == "counter":
            yield f"field {field.name}", "counters must stand in a group"
        if field.name == LABELS:
            yield f"field {field.name}", "must be a group: its members are labels"
    for name in OWN_TEXTS:
        if name in groups:
            yield f"group {name}", "must be a string: checks know it by its name"
    status = groups.get(LEVEL[0])
    for field in status.fields if status is not None else ():
        if field.path == LEVEL and not _is_level(field):
            yield f"field {'.'.join(LEVEL)}", "must be an integer and no counter: checks know it by its name"
    if any(group.path == LEVEL for group in root.walk()):
        yield f"group {'.'.join(LEVEL)}", "must be an integer and no counter: checks know it by its name"


def _is_level(field: Field) -> bool:
    return field.type.value == "integer" and field.kind.value != "counter"


def _of_labels(root: Group) -> Iterator[tuple[str, str]]:
    labels = next((group for group in root.groups if group.name == LABELS), None)
    if labels is None:
        return
    place = f"group {LABELS}"
    if labels.fields:
        yield place, "may hold labels only"
    if not all(group.optional for group in (labels, *labels.groups)):
        yield place, "it and its labels must be `optional = true`: they come and go"
    if any(group.groups for group in labels.groups):
        yield place, "labels may not hold groups"
    if len({tuple(map(_signature, group.fields)) for group in labels.groups}) > 1:
        yield place, "all labels must have the same fields"


def _signature(field: Field) -> tuple[object, ...]:
    return field.name, field.type, field.kind, field.presence, field.minimum, field.maximum, field.values


def _of_undocumented(edition: Edition) -> Iterator[tuple[str, str]]:
    documented = {field.path for field in edition.fields}
    groups = {group.path for group in edition.root.walk()}
    for field in edition.undocumented:
        if field.path in documented | groups:
            yield "undocumented", f"{field.dotted} is documented in the same file"
        elif field.path[:-1] not in groups or field.path[0] == LABELS:
            yield "undocumented", f"{field.dotted} is in no group of the file that may have other fields"
        elif problem := name_problem(field.name):
            yield "undocumented", problem
        elif len(field.path) == 1 and field.name in OWN_TEXTS:
            yield "undocumented", f"{field.name} may not be undocumented: checks know it by its name"
