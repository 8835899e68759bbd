"""
Finds the one target that disagrees with the others, from what each finding was compared with.

No target is blamed by chance, or because it was the only one asked: the others count as right about a connection only
if a sample of theirs came directly before a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ..api.exchange import Target
from .checks.channels import EXCLUSIVE
from .verdict import FindingEntry

MIN_LONE_RESPONSES: Final = 4
"""How many responses of a target must disagree with those of others to blame it alone: fewer may be chance."""


def compared_targets(target: str, entries: Iterable[FindingEntry]) -> list[str]:
    """The other targets with which a target was compared."""
    return sorted({name for entry in entries for name in (*entry.compared, entry.target or target)} - {target})


def _responses(entries: Iterable[FindingEntry]) -> int:
    """The least number of responses with findings of one target; each finding counts once per sample and field."""
    one = Target.CONNECTION.operation
    return max(
        (entry.count // (max(entry.connections, 1) if entry.target != one else 1) for entry in entries), default=0
    )


def find_lone_targets(entries: Sequence[FindingEntry]) -> Iterator[tuple[str, list[FindingEntry]]]:
    """Targets with faults that no other target has, although those had samples of the same connections before."""
    showing: dict[tuple[str, str], set[str | None]] = {}
    for entry in entries:
        showing.setdefault((entry.requirement, entry.field), set()).add(entry.target)
    for target in sorted({entry.target for entry in entries if entry.target}):
        # A check that judges a connection once, or when it changes, says nothing about targets requested later.
        lone = [
            entry
            for entry in entries
            if showing[entry.requirement, entry.field] == {target}
            and entry.requirement != EXCLUSIVE.id
            and entry.compared.keys() - {target}
        ]
        if _responses(lone) >= MIN_LONE_RESPONSES:
            yield target, lone


def find_lone_counter_target(entries: Sequence[FindingEntry]) -> tuple[str | None, list[FindingEntry]]:
    """
    The one target that is involved in all falls, whether its counters are ahead or behind.

    A counter that is ahead in one target makes the others seem to fall: the findings are then about the others,
    compared with that target.
    """
    pairs = {(entry.target or "", before) for entry in entries for before in entry.compared}
    common = set.intersection(*map(set, pairs)) if pairs else set()
    if len(common) != 1 or any(not entry.compared for entry in entries):
        return None, []  # of two targets that disagree, either may be right
    (target,) = common
    if (target, target) in pairs and any(entry.target != target for entry in entries):
        return None, []  # counters fall whichever target is requested
    by_target: dict[str | None, list[FindingEntry]] = {}
    for entry in entries:
        by_target.setdefault(entry.target, []).append(entry)
    if sum(map(_responses, by_target.values())) < MIN_LONE_RESPONSES:
        return None, []
    return target, list(entries)
