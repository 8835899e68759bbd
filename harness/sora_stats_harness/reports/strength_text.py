"""Says how strong a pass is: which share of faults a met requirement excludes."""

from __future__ import annotations

from typing import Final

from ..judge.requirements import REQUIREMENTS
from ..judge.verdict import RequirementStatus
from .figure_cells import format_share

STRENGTH_NOTE: Final = (
    "A fault in a larger share than the stated one, of all targets or of one, would have been seen, with 95 % "
    "confidence."
)


def strength_text(row: RequirementStatus) -> str:
    """What a met requirement excludes: `> 0.024 % of comparable pairs (GetStatsClient > 0.05 %)`."""
    if row.excludes_above is None:
        return ""
    rule = REQUIREMENTS.get(row.id)
    text = f"> {format_share(row.excludes_above)} of {rule.unit if rule else 'checks'}"
    targets = [f"{name} > {format_share(each.excludes_above)}" for name, each in row.by_target.items()]
    if len(targets) == 1:
        targets = list(row.by_target)
    return f"{text} ({', '.join(targets)})" if targets else text
