"""Translates the keys of a response into the edition's paths."""

from __future__ import annotations

from ..api.edition import ANY_LABEL, Edition, FieldGroup

Path = tuple[str, ...]


def edition_path(edition: Edition, wire: Path) -> Path:
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
