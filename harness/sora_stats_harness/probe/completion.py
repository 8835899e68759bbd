"""
Decides when a conformance run has seen enough.

With a fixed time the verdict would depend on the machine: a slow one sends fewer requests, and requirements that it
didn't observe would leave the verdict inconclusive. So rounds are counted instead, and the requirements that they
showed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from ..api.exchange import ExchangeOpener
from ..judge.requirements import REQUIREMENTS, Level, RequiredCapability, Requirement
from ..judge.strength import checks_needed
from ..judge.verdict import JudgeResult
from .conformance_plan import ConformancePlan

MIN_ROUNDS: Final = 2
"""After two rounds every kind of request was sent, the wrong ones both alone and together with others."""

MAX_IDLE_ROUNDS: Final = 3
"""After so many rounds without a new requirement, the missing ones can't be observed on this server."""

MAX_IDLE_ROUNDS_WITHOUT_TRAFFIC: Final = 1
"""The same if all missing ones need traffic that the server may not have; these don't make a verdict inconclusive."""


class ConformanceJudge(ExchangeOpener, Protocol):
    """The part of a judge that a conformance run uses."""

    def result(self) -> JudgeResult:
        """The result so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakRequirement:
    """A requirement that was checked too seldom to exclude a share of faults."""

    requirement: Requirement
    operation: str
    checked: int
    share: float
    """The share of faults to exclude."""

    @property
    def needed(self) -> int:
        """How often it would have to be checked."""
        return checks_needed(self.share)

    def describe(self, elapsed_s: float) -> str:
        """Say how many checks are missing, and how much longer a run would take."""
        left_s = elapsed_s * (self.needed / self.checked - 1)
        left = f"{left_s / 60:.0f} min" if left_s >= 120 else f"{left_s:.0f} s"
        return (
            f"too weak for {self.share * 100:g} %: {self.requirement.id} of {self.operation} was checked on "
            f"{self.checked:,} "
            f"{self.requirement.unit}, and {self.needed:,} are needed: about {left} more"
        )


class CompletionTracker:
    """Tracks which of a plan's requirements were observed."""

    def __init__(self, plan: ConformancePlan, judge: ConformanceJudge) -> None:
        self._plan = plan
        self._judge = judge
        self._rounds = 0
        self._idle_rounds = 0
        self.missing: frozenset[str] = plan.expected_requirements()
        """Requirements above INFO that were not observed yet."""

    def weakest(self) -> WeakRequirement | None:
        """
        The MUST and the target that are furthest from the plan's `until`; None if all exclude that share.

        Only requirements that this server shows count. Wrong requests are left out: they are a fixed set, each sent a
        few times.
        """
        until = self._plan.until
        if until is None:
            return None
        needed = checks_needed(until)
        checked = self._judge.result().checked_by_target
        rows = [REQUIREMENTS[id] for id in self._plan.scope.requirement_ids()]
        found = [
            WeakRequirement(requirement=row, operation=operation, checked=count, share=until)
            for row in rows
            if self._plan.severity.weigh(row, row.level) is Level.MUST and RequiredCapability.PROBES not in row.needs
            for operation, count in checked.get(row.id, {}).items()
            if 0 < count < needed
        ]
        return min(found, key=lambda each: each.checked, default=None)

    def finish_round(self) -> bool:
        """
        Count a round.

        Returns:
            Whether enough was seen: each expected requirement, or all that the server shows, each as often as the plan
            demands.
        """
        result = self._judge.result()
        observed = {id for id, count in result.checked.items() if count}
        observed.update(entry.requirement for entry in result.findings)
        missing = self.missing - observed
        self._idle_rounds = self._idle_rounds + 1 if missing == self.missing else 0
        self.missing = missing
        self._rounds += 1
        needs_traffic = all(REQUIREMENTS[id].needs_traffic for id in missing)
        limit = MAX_IDLE_ROUNDS_WITHOUT_TRAFFIC if needs_traffic else MAX_IDLE_ROUNDS
        seen = self._rounds >= MIN_ROUNDS and (not missing or self._idle_rounds >= limit)
        return seen and self.weakest() is None
