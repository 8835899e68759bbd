"""
Asks checks stage by stage, and keeps a crash in one of them from the others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .check import Check, Observed, Stage
from .findings import FindingAggregator
from .requirement import RequiredCapability
from .state import State
from .verdict import JudgeResult


class CheckGroup:
    """Checks that are asked together; their methods are looked up once."""

    __slots__ = ("checks", "observers")

    def __init__(self, checks: Sequence[Check]) -> None:
        self.checks = tuple(checks)
        self.observers = tuple(check.observe for check in checks)

    def without_times(self) -> CheckGroup:
        """Those that are not about the times of requests and responses."""
        return CheckGroup([check for check in self.checks if not _needs_times(check)])


class CheckRunner:
    """
    All checks of one judge.

    Args:
        checks: In the order in which they are asked within a stage.
        findings: Takes their violations.
    """

    def __init__(self, checks: Sequence[Check], findings: FindingAggregator) -> None:
        self._checks = tuple(checks)
        self._findings = findings
        self.checked = {row.id: 0 for check in checks for row in check.requirements}
        """How often each requirement was checked, as far as the checks count as they go."""
        self.crashed: dict[str, str] = {}
        """Requirements whose check raised, with one line of what it said."""
        self.masked: set[str] = set()
        """Requirements whose checks could not be asked about some sample."""

    def between(self, first: Stage, last: Stage) -> CheckGroup:
        """The checks of some stages, in their order."""
        found = [check for check in self._checks if first <= check.stage <= last]
        return CheckGroup(sorted(found, key=lambda check: check.stage))

    def ask(self, group: CheckGroup, seen: Observed, state: State) -> bool:
        """Ask each check; whether any gave a violation."""
        violated = False
        for observe in group.observers:
            try:
                found = observe(seen, state)
                if not found:
                    continue
                found = tuple(found)  # it may be a generator, which raises only now
            except Exception as error:
                self._note_crash(group.checks[group.observers.index(observe)], error)
                continue
            for violation in found:
                violated = True
                self._findings.add_violation(violation)
        return violated

    def mask(self, *groups: CheckGroup) -> None:
        """Note that checks can't be asked about a sample."""
        self.masked.update(row.id for group in groups for check in group.checks for row in check.requirements)

    def settle(self, state: State) -> None:
        """Have every check settle what waits for the connections that are leaving."""
        for check in self._checks:
            try:
                found = tuple(check.finish(state))
            except Exception as error:
                self._note_crash(check, error)
                continue
            for violation in found:
                self._findings.add_violation(violation)

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Have every check add what it counts only now; then tell which have crashed."""
        for check in self._checks:
            try:
                check.add_to_result(states, result)
            except Exception as error:
                self._note_crash(check, error)
        result.crashed = self.crashed.copy()

    def requirements_on_bodies(self) -> list[str]:
        """What can't be told while a response's body is withheld."""
        without = {RequiredCapability.PROBES, RequiredCapability.NODES}
        return [row.id for check in self._checks for row in check.requirements if not row.needs & without]

    def _note_crash(self, check: Check, error: Exception) -> None:
        for row in check.requirements:
            self.crashed.setdefault(row.id, f"{type(error).__name__}: {error}"[:200])


def _needs_times(check: Check) -> bool:
    """Whether a check is about the times of requests and responses."""
    return any(RequiredCapability.TIMES in row.needs for row in check.requirements)
