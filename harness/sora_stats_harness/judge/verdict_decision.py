"""
Decides the status of each requirement from the counts, and the verdict with its exit code from the statuses.

All contributions to the exit code are collected, and the worst one decides: an interrupted run or a crashed check never
hides a finding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ..api.errors import ExitCode, worst_exit_code
from .requirements import DEFAULT_SEVERITY, REQUIREMENTS, Level, RequiredCapability, Requirement, Severity
from .strength import excluded_share
from .verdict import JudgeResult, NotCheckedReason, RequirementStatus, Status, TargetStrength, VerdictName


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScope:
    """What a run was able to see."""

    observes: Collection[RequiredCapability]
    """The capabilities of the run; a requirement that needs others is not applicable."""
    excluded: Collection[str] = ()
    """Requirements that are not applicable for other reasons, such as targets that were left out."""

    def requirement_ids(self) -> frozenset[str]:
        """The ids of the applicable requirements."""
        observed = set(self.observes)
        return frozenset(
            rule.id for rule in REQUIREMENTS.values() if rule.needs <= observed and rule.id not in self.excluded
        )

    def to_options(self) -> dict[str, list[str]]:
        """The scope for the header line of a recording, so that `check` judges within it."""
        return {"observes": sorted(need.value for need in self.observes), "excluded": sorted(self.excluded)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnding:
    """How a run ended, as far as the verdict depends on it."""

    interrupted: bool = False
    """Whether the user ended it early."""
    aborted: str | None = None
    """Why it ended itself early; None where it did not."""
    broken: str | None = None
    """Which fault of the harness ended it early."""
    violated_slo: str | None = None
    """The SLO that the server violates; None if it violates none."""
    unchecked_slo: str | None = None
    """The SLO that could not be checked, and why."""
    weak: str | None = None
    """The requirement that was checked too seldom for the bound that the user stated."""


RAN_TO_ITS_END: Final = RunEnding()


def join_reasons(*reasons: str | None) -> str | None:
    """
    Join why a run ended early, each reason once: one that another contains is left out.

    >>> join_reasons("worker 1 failed", None, "worker 1 failed; worker 2 failed")
    'worker 1 failed; worker 2 failed'
    """
    given = list(dict.fromkeys(filter(None, reasons)))
    kept = [each for each in given if not any(each in other for other in given if other != each)]
    return "; ".join(kept) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictDecision:
    """The core of a verdict."""

    verdict: VerdictName
    exit_code: ExitCode
    reason: str | None
    requirements: list[RequirementStatus]


def decide_verdict(
    result: JudgeResult,
    scope: RunScope,
    ending: RunEnding = RAN_TO_ITS_END,
    *,
    severity: Severity = DEFAULT_SEVERITY,
    require: Collection[str] = (),
) -> VerdictDecision:
    """
    Decide all statuses and the verdict.

    Args:
        result: The judge's result; findings that are waived or known from a baseline are marked, and don't fail.
        scope: What the run was able to see.
        ending: How it ended.
        severity: The level from which on findings fail, and the levels that the user set.
        require: Requirements that must have been observed.

    Returns:
        `fail` if the level of a finding fails, or an SLO is violated; else `inconclusive` if no sample was judged, a
        MUST in scope was not checked for any reason but `no_traffic`, an SLO was not checked, a check crashed, or the
        run was cut short; else `pass`.
    """
    rows = [
        _requirement_status(rule, result, scope, severity)
        for rule in (*REQUIREMENTS.values(), *result.user_requirements)
    ]
    objections = list(_objections(rows, result, ending, require))
    code = worst_exit_code(*(code for code, _ in objections))
    names: dict[ExitCode, VerdictName] = {ExitCode.PASS: "pass", ExitCode.FAIL: "fail"}
    return VerdictDecision(
        verdict=names.get(code, "inconclusive"),
        exit_code=code,
        reason=next((reason for each, reason in objections if each is code), None),
        requirements=rows,
    )


def _objections(
    rows: Sequence[RequirementStatus], result: JudgeResult, ending: RunEnding, require: Collection[str]
) -> Iterator[tuple[ExitCode, str]]:
    """Everything that prevents a pass; among those with the same exit code, the most informative first."""
    if failing := [row.id for row in rows if row.fails]:
        others = f" and {len(failing) - 1} more are" if len(failing) > 1 else " is"
        yield ExitCode.FAIL, f"{failing[0]}{others} violated"
    if ending.violated_slo is not None:
        yield ExitCode.FAIL, ending.violated_slo
    for name, text in result.crashed.items():
        yield ExitCode.BROKEN, f"the check of {name} crashed: {text}"
    if ending.broken:
        yield ExitCode.BROKEN, ending.broken
    for reason in filter(None, (ending.aborted, ending.unchecked_slo, ending.weak)):
        yield ExitCode.INCONCLUSIVE, reason
    if ending.interrupted:
        yield ExitCode.INCONCLUSIVE, "interrupted"
    if result.coverage.samples == 0:
        yield ExitCode.INCONCLUSIVE, "no sample was judged"
    if result.coverage.truncated:
        yield ExitCode.INCONCLUSIVE, "the recording is not complete"
    missing = [row for row in rows if row.status == "not_checked" and _is_needed(row, require)]
    missing += [row for row in rows if row.status == "not_applicable" and row.id in require]
    if missing:
        why = missing[0].reason or "not applicable to this run"
        others = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        yield ExitCode.INCONCLUSIVE, f"{missing[0].id} was not checked ({why}){others}"


def _is_needed(row: RequirementStatus, require: Collection[str]) -> bool:
    return row.id in require or (row.level == "MUST" and row.reason != "no_traffic")


def _requirement_status(
    rule: Requirement, result: JudgeResult, scope: RunScope, severity: Severity
) -> RequirementStatus:
    entries = [entry for entry in result.findings if entry.requirement == rule.id]
    worst = max((Level[entry.level] for entry in entries if entry.status == "new"), default=None)
    status: Status = "violated"
    reason: NotCheckedReason | None = None
    if worst is None:
        status, reason = _unviolated_status(rule, result, scope, {entry.status for entry in entries})
    checked = 0 if status == "not_applicable" else result.checked.get(rule.id, 0)
    strengths = {
        operation: TargetStrength(checked=times, excludes_above=excluded_share(times))
        for operation, times in sorted(result.checked_by_target.get(rule.id, {}).items())
        if times > 0
    }
    return RequirementStatus(
        id=rule.id,
        level=severity.weigh(rule, rule.level).name,
        status=status,
        violated_level=None if worst is None else worst.name,  # type: ignore[arg-type]  # the same names
        fails=worst is not None and severity.fails(worst),
        reason=reason,
        checked=checked,
        excludes_above=excluded_share(checked) if status == "met" else None,
        by_target=strengths if status == "met" else {},
        violations=sum(entry.count for entry in entries),
        title="" if rule.id in REQUIREMENTS else rule.title,
    )


def _unviolated_status(
    rule: Requirement, result: JudgeResult, scope: RunScope, excused: Collection[str]
) -> tuple[Status, NotCheckedReason | None]:
    """The status of a requirement without a counted finding; `excused` are the statuses of its other findings."""
    if not excused and (not rule.needs <= set(scope.observes) or rule.id in scope.excluded):
        return "not_applicable", None
    if rule.id in result.crashed:
        return "not_checked", "check_crashed"
    if rule.id in result.withheld:
        return "not_checked", "withheld"
    if excused:  # checked after that, since an excused finding says nothing about what could not be judged
        return ("known" if "known" in excused else "waived"), None
    if rule.id in result.unusable:
        return "not_checked", "masked"
    if rule.id in result.late:
        return "not_checked", "late"
    if rule.id in result.forgotten:
        return "not_checked", "forgotten"
    if result.checked.get(rule.id, 0):
        return "met", None
    if rule.id in result.masked:
        return "not_checked", "masked"
    return "not_checked", "no_traffic" if rule.needs_traffic else "not_observed"
