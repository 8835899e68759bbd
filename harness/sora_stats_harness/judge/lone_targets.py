"""
Finds the one target that disagrees with the others, by what each finding was compared with.

Nobody is blamed by chance or for want of others: a target counts as right about a connection only where a sample of its own
came directly before one that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ..api.exchange import Target
from .checks.channels import EXCLUSIVE
from .verdict import FindingEntry

MIN_LONE_RESPONSES: Final = 4
"""Responses of one target that disagree with those of others before it is said to be alone: fewer may be chance."""


def compared_targets(target: str, entries: Iterable[FindingEntry]) -> list[str]:
    """Those that a target was compared with."""
    return sorted({name for entry in entries for name in (*entry.compared, entry.target or target)} - {target})


def _responses(entries: Iterable[FindingEntry]) -> int:
    """The least number of responses that findings of one target were seen in: each is seen once a sample and field."""
    one = Target.CONNECTION.operation
    return max(
        (entry.count // (max(entry.connections, 1) if entry.target != one else 1) for entry in entries), default=0
    )


def find_lone_targets(entries: Sequence[FindingEntry]) -> Iterator[tuple[str, list[FindingEntry]]]:
    """Targets with faults that no other target has, although its samples of the same connections came before."""
    showing: dict[tuple[str, str], set[str | None]] = {}
    for entry in entries:
        showing.setdefault((entry.requirement, entry.field), set()).add(entry.target)
    for target in sorted({entry.target for entry in entries if entry.target}):
        # A check that looks at a connection once, or when it changes, says nothing of the targets asked later.
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
    The one target that has a part in all falls, whether its counters are ahead or behind.

    A counter that is ahead in one target makes the others seem to fall: the findings are about these, and what they are
    compared with is the one.
    """
    pairs = {(entry.target or "", before) for entry in entries for before in entry.compared}
    common = set.intersection(*map(set, pairs)) if pairs else set()
    if len(common) != 1 or any(not entry.compared for entry in entries):
        return None, []  # of two targets that disagree nobody knows which one is right
    (target,) = common
    if (target, target) in pairs and any(entry.target != target for entry in entries):
        return None, []  # counters fall, whichever target is asked
    by_target: dict[str | None, list[FindingEntry]] = {}
    for entry in entries:
        by_target.setdefault(entry.target, []).append(entry)
    if sum(map(_responses, by_target.values())) < MIN_LONE_RESPONSES:
        return None, []
    return target, list(entries)
