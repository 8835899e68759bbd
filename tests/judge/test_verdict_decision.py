"""From what was counted to a requirement's status, and why."""

from __future__ import annotations

from typing import Any, Final

import pytest

from sora_stats_harness.judge.requirements import REQUIREMENTS, RequiredCapability
from sora_stats_harness.judge.verdict import CoverageSummary, FindingEntry, JudgeResult
from sora_stats_harness.judge.verdict_decision import RunScope, decide_verdict

from ..reports import verdicts

HELD: Final = "counter.monotonic"
ALL: Final = RunScope(observes=frozenset(RequiredCapability))
NOTHING: Final = RunScope(observes=())
LEFT_OUT: Final = RunScope(observes=frozenset(RequiredCapability), excluded=(HELD,))


def found(*states: str) -> list[FindingEntry]:
    """A finding for each status."""
    return [verdicts.entry(HELD, fingerprint=f"{place:016x}", status=each) for place, each in enumerate(states)]


@pytest.mark.parametrize(
    ("scope", "counted", "status", "reason"),
    [
        (ALL, {"checked": {HELD: 1}}, "met", None),
        (ALL, {}, "not_checked", "not_observed"),
        (NOTHING, {}, "not_applicable", None),
        (LEFT_OUT, {"checked": {HELD: 1}}, "not_applicable", None),
        (ALL, {"findings": found("known", "new")}, "violated", None),
        (NOTHING, {"findings": found("new")}, "violated", None),
        (ALL, {"findings": found("known", "waived")}, "known", None),
        (ALL, {"findings": found("waived")}, "waived", None),
        (NOTHING, {"findings": found("waived")}, "waived", None),
        (ALL, {"findings": found("known"), "unusable": (HELD,)}, "known", None),
        (ALL, {"findings": found("known"), "withheld": (HELD,)}, "not_checked", "withheld"),
        (ALL, {"findings": found("known"), "crashed": {HELD: "boom"}}, "not_checked", "check_crashed"),
        (ALL, {"checked": {HELD: 1}, "crashed": {HELD: "boom"}}, "not_checked", "check_crashed"),
        (ALL, {"checked": {HELD: 1}, "withheld": (HELD,)}, "not_checked", "withheld"),
        (ALL, {"checked": {HELD: 1}, "unusable": (HELD,)}, "not_checked", "masked"),
        (ALL, {"checked": {HELD: 1}, "late": (HELD,)}, "not_checked", "late"),
        (ALL, {"checked": {HELD: 1}, "forgotten": (HELD,)}, "not_checked", "forgotten"),
        (ALL, {"checked": {HELD: 1}, "masked": (HELD,)}, "met", None),
        (ALL, {"masked": (HELD,)}, "not_checked", "masked"),
    ],
)
def test_a_requirement_has_one_status(
    scope: RunScope,
    counted: dict[str, Any],  # Any: what `JudgeResult` takes
    status: str,
    reason: str | None,
) -> None:
    """What fails comes first, then what could not be judged, then what was let pass."""
    given: dict[str, Any] = {"checked": {}, "findings": [], "coverage": CoverageSummary()}  # Any: as above
    result = JudgeResult(**(given | counted))
    (row,) = [row for row in decide_verdict(result, scope).requirements if row.id == HELD]
    assert (row.status, row.reason) == (status, reason)
    assert row.checked == (0 if status == "not_applicable" else result.checked.get(HELD, 0))


def test_a_run_is_held_to_what_it_can_see() -> None:
    """Whatever needs no more than it has, and was not left out."""
    assert ALL.requirement_ids() == REQUIREMENTS.keys()
    assert LEFT_OUT.requirement_ids() == REQUIREMENTS.keys() - {HELD}
    assert NOTHING.requirement_ids() == {name for name, rule in REQUIREMENTS.items() if not rule.needs}
