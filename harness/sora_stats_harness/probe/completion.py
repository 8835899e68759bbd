"""
Decides when a conformance run has seen enough.

A fixed time would make the verdict depend on the machine: a slow one gets through fewer requests, and what it didn't get
to see leaves the verdict inconclusive. So rounds are counted instead, and the requirements that they showed.
"""

from __future__ import annotations

from typing import Final, Protocol

from ..api.exchange import ExchangeOpener
from ..judge.requirements import REQUIREMENTS
from ..judge.verdict import JudgeResult
from .conformance_plan import ConformancePlan

MIN_ROUNDS: Final = 2
"""Every kind of request has been sent after two rounds, the wrong ones both alone and beside others."""

MAX_IDLE_ROUNDS: Final = 3
"""Rounds in a row that show no further requirement; what is missing then can't be seen on this server."""

MAX_IDLE_ROUNDS_WITHOUT_TRAFFIC: Final = 1
"""The same where all that is missing needs traffic that the server may not have, which leaves no verdict inconclusive."""


class ConformanceJudge(ExchangeOpener, Protocol):
    """What a conformance run needs of a judge."""

    def result(self) -> JudgeResult:
        """What was counted until now."""


class CompletionTracker:
    """Follows which of a plan's requirements have been observed."""

    def __init__(self, plan: ConformancePlan, judge: ConformanceJudge) -> None:
        self._judge = judge
        self._rounds = 0
        self._idle_rounds = 0
        self.missing: frozenset[str] = plan.expected_requirements()
        """MUST and SHOULD requirements that were not observed yet."""

    def finish_round(self) -> bool:
        """
        Count a round.

        Returns:
            Whether enough was seen: each expected requirement, or all that the server shows.
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
        return self._rounds >= MIN_ROUNDS and (not missing or self._idle_rounds >= limit)
