"""
Validates an edition as a whole, after the parser has validated each statement of its file.

Some checks know fields by name: the connection's ids, its timestamp, the data channels, the unstable level. An edition
may lack any of these; then such a check has nothing to judge. If it has one, the field must have the type that the
check expects. All other fields are free.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .field_definitions import ANY_LABEL, Edition, FieldDefinition, FieldGroup, FieldKind, FieldPath, FieldType

CONNECTION_TEXTS: Final = ("timestamp", "channel_id", "client_id", "bundle_id", "connection_id")
"""The connection's own leaves that checks are about."""

UNSTABLE_LEVEL: Final = ("network_status", "unstable_level")
"""The one gauge that a relation is about."""

LABELS_GROUP: Final = "data_channel"
"""The group whose members are labels, free to come and go."""

CLOCKWORK_BASE32_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""The digits of a connection_id: digits and letters without I, L, O and U."""

NAME_RULE: Final = "a name must consist of printable characters"

Problem = tuple[str, str]
"""A place in the file, and what is wrong there."""


def shared_label_path(path: FieldPath) -> FieldPath:
    """The path of a field, with `#*` in place of its label: all labels have the same fields."""
    return (LABELS_GROUP, ANY_LABEL, *path[2:]) if path[:1] == (LABELS_GROUP,) and len(path) > 2 else path


def edition_path(edition: Edition, wire: FieldPath) -> FieldPath:
    """The edition's path for the keys of a response; a messaging label that the edition does not name becomes `#*`."""
    group: FieldGroup | None = edition.root
    path: list[str] = []
    for key in wire:
        below = {inner.name: inner for inner in group.groups} if group is not None else {}
        if key not in below and ANY_LABEL in below and key.startswith(ANY_LABEL[0]):
            key = ANY_LABEL
        path.append(key)
        group = below.get(key)
    return tuple(path)


def find_problems(edition: Edition) -> Iterator[Problem]:
    """Yield everything that is wrong with an edition."""
    for group in edition.root.walk_groups():
        for path in (*[group.path] * bool(group.path), *(field.path for field in group.fields)):
            if not path[-1].isprintable():
                yield ".".join(path), NAME_RULE
            if path[-1] == ANY_LABEL and path != (LABELS_GROUP, ANY_LABEL):
                yield ".".join(path), f"{ANY_LABEL} may only stand for the labels of {LABELS_GROUP}"
    yield from _find_problems_of_root(edition.root)
    yield from _find_problems_of_level(edition.root)
    yield from _find_problems_of_labels(edition.root)
    yield from _find_problems_of_undocumented(edition)


def _find_problems_of_root(root: FieldGroup) -> Iterator[Problem]:
    for field in root.fields:
        if field.kind is FieldKind.COUNTER:
            yield f"field {field.name}", "counters must stand in a group"
        if field.name in CONNECTION_TEXTS and field.type is not FieldType.STRING:
            yield f"field {field.name}", "must be a string: checks know it by its name"
        if field.name == LABELS_GROUP:
            yield f"field {field.name}", "must be a group, whose members are labels"
    for group in root.groups:
        if group.name in CONNECTION_TEXTS:
            yield f"group {group.name}", "must be a string: checks know it by its name"


def _find_problems_of_level(root: FieldGroup) -> Iterator[Problem]:
    for group in root.groups:
        if group.path != UNSTABLE_LEVEL[:1]:
            continue
        wrong = [field for field in group.fields if field.path == UNSTABLE_LEVEL and not _is_level(field)]
        if wrong or any(inner.path == UNSTABLE_LEVEL for inner in group.groups):
            yield ".".join(UNSTABLE_LEVEL), "must be an integer but not a counter: checks know it by its name"


def _is_level(field: FieldDefinition) -> bool:
    return field.type is FieldType.INTEGER and field.kind is not FieldKind.COUNTER


def _find_problems_of_labels(root: FieldGroup) -> Iterator[Problem]:
    place = f"group {LABELS_GROUP}"
    for labels in root.groups:
        if labels.name != LABELS_GROUP:
            continue
        if labels.fields:
            yield place, "may hold labels only"
        if not all(group.optional for group in (labels, *labels.groups)):
            yield place, "it and its labels must be optional, since they come and go"
        if any(group.groups for group in labels.groups):
            yield place, "labels may not hold groups"
        if len({tuple(map(_comparable, group.fields)) for group in labels.groups}) > 1:
            yield place, "all labels must have the same fields"


def _comparable(field: FieldDefinition) -> tuple[object, ...]:
    limits = (field.minimum, field.maximum, field.values, field.max_bytes, field.form)
    return (field.name, field.type, field.kind, field.presence, *limits)


def _find_problems_of_undocumented(edition: Edition) -> Iterator[Problem]:
    documented = {shared_label_path(field.path) for field in edition.fields}
    documented |= {group.path for group in edition.root.walk_groups()}
    for field in edition.undocumented:
        if shared_label_path(field.path) in documented:
            yield "undocumented", f"{field.dotted} is documented in the same file"
        if not field.dotted.isprintable():
            yield "undocumented", NAME_RULE
