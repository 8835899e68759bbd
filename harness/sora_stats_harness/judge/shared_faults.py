"""
Groups findings that are one fault: seen by several targets, in several copies of a field, or by several relations.

Findings are distinguished by requirement, target and field, so that a baseline can tell what is new. So one wrong
counter of a server causes a finding for each target, and for each relation that it is part of.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final

from .checks.monotonic import MONOTONIC
from .verdict import FindingEntry

MAX_SEPARATE_FIELDS: Final = 10
"""Faults of one requirement in more fields than this count as one: nobody reads them one by one."""

_COPIES: Final = re.compile(r"^/(data_channel|simulcast)/[^/]+(?=/)")
"""Groups with the same fields: labels, and layers."""

_COUNTER: Final = re.compile(r"[a-z]\w*(?:\.[\w#*]+)+")
_OPERATOR: Final = re.compile(r" (?:==|<=) ")
"""Splits the text of a relation into its parts."""

FindingSet = list[FindingEntry]


def group_shared_faults(entries: Sequence[FindingEntry]) -> list[FindingSet]:
    """
    Group findings by fault; the groups with the highest level first, then by their first finding.

    Returns:
        Groups that together contain every finding once; a fault that was seen in one way only is a group of one.
    """
    groups = _merge_by([[entry] for entry in entries], _name_fault)
    families: dict[str, list[FindingSet]] = {}
    for group in groups:
        families.setdefault(group[0].requirement, []).append(group)
    merged: list[FindingSet] = []
    relations: list[FindingSet] = []
    for requirement, members in families.items():
        if len(members) > MAX_SEPARATE_FIELDS:
            merged.append([entry for group in members for entry in group])
        elif requirement.startswith("relation."):
            relations += members
        elif requirement == MONOTONIC.id:
            merged += _merge_by(members, lambda group: group[0].wrong_exchange or _name_fault(group))
        else:
            merged += members
    relations = _merge_relations(relations)
    if len(relations) > MAX_SEPARATE_FIELDS:
        relations = [[entry for group in relations for entry in group]]
    merged += relations
    place = {entry.fingerprint: number for number, entry in enumerate(entries)}
    return sorted(
        (sorted(group, key=lambda entry: place[entry.fingerprint]) for group in merged),
        key=lambda group: place[group[0].fingerprint],
    )


def _name_fault(group: FindingSet) -> Hashable:
    """A key that findings of one fault share, whichever target shows it."""
    entry = group[0]
    if entry.requirement.startswith("clock."):
        return "clock"  # one wrong stamp violates several rules
    if entry.requirement.startswith("request."):
        return "request", entry.message.rpartition(" gets ")[2]  # all refusals are made alike
    return entry.requirement, _COPIES.sub(r"/\1/*", entry.field), "" if entry.field else entry.message


def _merge_by(groups: Iterable[FindingSet], key: Callable[[FindingSet], Hashable]) -> list[FindingSet]:
    merged: dict[Hashable, FindingSet] = {}
    for group in groups:
        merged.setdefault(key(group), []).extend(group)
    return list(merged.values())


def _merge_relations(groups: list[FindingSet]) -> list[FindingSet]:
    """
    Merge the findings of relations that one wrong counter explains.

    Each violated relation suspects its counters: those on one side of being too large, those on the other of being too
    small. The counter that most relations suspect comes first.
    """
    rest = list(groups)
    merged: list[FindingSet] = []
    while rest:
        suspects = Counter(suspect for group in rest for suspect in _suspects(group))
        most, times = max(suspects.items(), key=lambda each: each[1], default=(None, 0))
        if times < 2:
            return merged + rest
        explained = [group for group in rest if most in _suspects(group)]
        merged.append([entry for group in explained for entry in group])
        rest = [group for group in rest if most not in _suspects(group)]
    return merged


def _suspects(group: FindingSet) -> set[tuple[str, str]]:
    """The suspected counters, each as too large or too small."""
    found: set[tuple[str, str]] = set()
    for entry in group:
        sides = _OPERATOR.split(entry.expected)
        values = [int(text) for text in entry.actual.split(" and ") if text.isdecimal()]
        if len(sides) == len(values) == 2:
            ways = ("large", "small") if values[0] > values[1] else ("small", "large")
            found.update((name, way) for side, way in zip(sides, ways, strict=True) for name in _COUNTER.findall(side))
    return found
