"""
An index of an edition's fields for the simulator: by path, by group, and by patterns of names.

The traffic modules name a field only if they model it. Families of fields (header extensions, chunks, RTCP subtypes,
TURN requests) are found by patterns of names, so that a user's edition may have more of them, or fewer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cached_property

from ..api.edition import Edition, FieldDefinition, FieldGroup
from .counter_increments import Direction, FieldPath

DATA_CHANNEL_GROUP = "data_channel"
"""The group whose children are data-channel labels."""

_EXTENSION_COUNTER = re.compile(r"total_(received|sent)_rtp_hdr_?ext_(.+)")


class FieldIndex:
    """An index of an edition's fields; the edition may have fields added, renamed or removed."""

    def __init__(self, edition: Edition) -> None:
        self.edition = edition
        self._fields = {field.path: field for field in edition.fields}
        self._counters: dict[str, list[FieldDefinition]] = {}
        for field in edition.counters:
            self._counters.setdefault(field.path[0], []).append(field)

    def __contains__(self, path: FieldPath) -> bool:
        return path in self._fields

    def counters(self, group: str) -> list[FieldDefinition]:
        """The counters of a top-level group, in the edition's order."""
        return self._counters.get(group, [])

    def match_counter_names(self, group: str, pattern: str) -> list[str]:
        """The first subgroup of the pattern in each counter name of a top-level group that matches it as a whole."""
        matches = (re.fullmatch(pattern, field.name) for field in self.counters(group))
        return [match[1] for match in matches if match]

    @cached_property
    def header_extension_counters(self) -> dict[tuple[Direction, str], FieldPath]:
        """The counter of each RTP header extension, by direction and name, whatever its group is called."""
        found: dict[tuple[Direction, str], FieldPath] = {}
        for path in self._fields:
            match = _EXTENSION_COUNTER.fullmatch(path[-1])
            if match and len(path) == 2:
                found["sent" if match[1] == "sent" else "received", match[2]] = path
        return found

    @cached_property
    def simulcast_layers(self) -> list[str]:
        """The simulcast layers: the groups below `simulcast`."""
        return [layer.name for group in self.edition.root.groups if group.name == "simulcast" for layer in group.groups]

    def expand_groups(self, labels: Collection[str]) -> Iterator[tuple[FieldPath, FieldGroup]]:
        """
        The groups of a connection that has these labels, parents first, with their paths in the response.

        Without any label there is no data_channel at all. The group for messaging labels appears once for each label
        that begins with `#`.
        """
        yield from _expand_group(self.edition.root, (), labels)


def _expand_group(
    group: FieldGroup, path: FieldPath, labels: Collection[str]
) -> Iterator[tuple[FieldPath, FieldGroup]]:
    if path == (DATA_CHANNEL_GROUP,) and not labels:
        return
    yield path, group
    for child in group.groups:
        if child.is_label:
            names = [label for label in labels if label.startswith("#")]
        elif path == (DATA_CHANNEL_GROUP,) and child.name not in labels:
            names = []
        else:
            names = [child.name]
        for name in names:
            yield from _expand_group(child, (*path, name), labels)
