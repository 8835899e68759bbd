"""Calls checks stage by stage, and keeps a crash of one from affecting the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from ..api.exchange import Target
from .check import Check, Observed, Stage, Violation
from .exchange_counts import ASKED_FOR, AskedFor, ExchangeCounts
from .findings import FindingAggregator
from .requirement import RequiredCapability
from .state import State
from .verdict import JudgeResult

Observer = Callable[[Observed, State], Iterable[Violation]]
"""A check's `observe`."""


class CheckRunner:
    """All checks of one judge, in the order in which they are called within a stage."""

    def __init__(self, checks: Sequence[Check], findings: FindingAggregator, counts: ExchangeCounts) -> None:
        self._checks = tuple(checks)
        self._check_of: dict[Observer, Check] = {check.observe: check for check in checks}
        self._findings = findings
        self._counts = counts
        self.checked_of: dict[AskedFor, dict[str, int]] = {
            target: {row.id: 0 for check in checks for row in check.requirements} for target in ASKED_FOR
        }
        """How often each requirement was checked, by target, as far as checks count with `state.count`."""
        self.crashed: dict[str, str] = {}
        """Requirements whose check raised, with one line about the exception."""
        self.masked: set[str] = set()
        """Requirements whose checks had to skip some sample."""

    def observers(self, *stages: Stage, timeless: bool = False) -> tuple[Observer, ...]:
        """The `observe` methods of the checks of some stages, in order; `timeless` leaves out those that need times."""
        found = [check for stage in sorted(stages) for check in self._checks if check.stage is stage]
        return tuple(check.observe for check in found if not (timeless and _needs_times(check)))

    def ask(self, observers: Sequence[Observer], seen: Observed, state: State) -> bool:
        """Call checks; returns whether any yielded a violation."""
        violated = False
        for observe in observers:
            try:
                found = observe(seen, state)
                if not found:
                    continue
                found = tuple(found)  # observe may be a generator, which raises only now
            except Exception as error:
                self._note_crash(self._check_of[observe], error)
                continue
            if found:
                violated = True
                self._add_violations(found, state)
        return violated

    def mask(self, *groups: Sequence[Observer]) -> None:
        """Note that checks have to skip a sample."""
        self.masked.update(
            row.id for group in groups for observe in group for row in self._check_of[observe].requirements
        )

    def settle(self, state: State) -> None:
        """Call `finish` of every check, for the connections that are leaving."""
        for check in self._checks:
            try:
                found = tuple(check.finish(state))
            except Exception as error:
                self._note_crash(check, error)
                continue
            self._add_violations(found, state)

    def _add_violations(self, found: Iterable[Violation], state: State) -> None:
        add_violation = self._findings.add_violation
        known: str | None = None
        """The connection of the last violation, if that had no proof of its own: what others of it were compared with."""
        compared: Target | None = None
        for violation in found:
            connection_id = violation.connection_id
            if connection_id is None or connection_id != known or violation.proof:
                compared = _compared_target(violation, state)
                known = None if violation.proof else connection_id
            add_violation(violation, compared)

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add the counts and those that checks compute only now, and then which checks have crashed."""
        rows = {row.id: row for check in self._checks for row in check.requirements}.values()
        for target, checked in self.checked_of.items():
            counts = self._counts.of_target[target]
            for row in rows:
                result.count(row, target, checked[row.id] + (getattr(counts, row.checked_in) if row.checked_in else 0))
        for check in self._checks:
            try:
                check.add_to_result(states, result)
            except Exception as error:
                self._note_crash(check, error)
        result.crashed = self.crashed.copy()

    def requirements_on_bodies(self) -> list[str]:
        """The requirements that can't be judged if a response's body is withheld."""
        without = {RequiredCapability.PROBES, RequiredCapability.NODES}
        return [row.id for check in self._checks for row in check.requirements if not row.needs & without]

    def _note_crash(self, check: Check, error: Exception) -> None:
        for row in check.requirements:
            self.crashed.setdefault(row.id, f"{type(error).__name__}: {error}"[:200])


def _compared_target(violation: Violation, state: State) -> Target | None:
    """The target of the response with which a violation was compared; None if there was none."""
    proof, connection_id = violation.proof, violation.connection_id
    if proof and proof[0] is not violation.exchange:
        return proof[0].request.target
    if connection_id is None:
        target, state.responding = state.responding, None
        return target
    connection = state.connections.get(connection_id)
    last = None if connection is None else connection.last
    return None if last is None else last.exchange.request.target


def _needs_times(check: Check) -> bool:
    """Whether a check needs the times of requests and responses."""
    return any(RequiredCapability.TIMES in row.needs for row in check.requirements)
