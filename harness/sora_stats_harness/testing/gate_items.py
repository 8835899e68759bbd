"""
The gate's items: one for each requirement, and `sora::verdict` for the whole run.

No file holds them. They belong to a collector of their own, which calls the hooks that pytest calls for a file, so that
the counts at the end are right. What is heavy is imported when one of them runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from ..api.errors import ExitCode, HarnessError
from ..judge.checks.user_checks import load_check_files
from ..judge.requirements import REQUIREMENTS, Requirement
from .session_findings import fail_skipped

if TYPE_CHECKING:
    from ..reports.report import VerdictReport
    from .options import PluginSettings

ITEM_NAME_PREFIX: Final = "sora"
VERDICT_NODE_ID: Final = f"{ITEM_NAME_PREFIX}::verdict"

MAX_FINDINGS_PER_ITEM: Final = 20
"""Findings of one requirement that its failure shows."""


class ConformanceGate:
    """
    The session's gate: its settings, the folder that its processes share, and its report once there is one.

    Args:
        read_settings: Reads the settings; called once, when they are needed.
    """

    def __init__(self, read_settings: Callable[[], PluginSettings], shared: Path) -> None:
        self._read_settings = read_settings
        self._settings: PluginSettings | None = None
        self.shared = shared
        self._report: VerdictReport | None = None

    @property
    def settings(self) -> PluginSettings:
        """The settings, read when they are first needed."""
        if self._settings is None:
            self._settings = self._read_settings()
        return self._settings

    def run_and_report(self) -> VerdictReport:
        """
        Return the report; the first call in any process runs the gate.

        Raises:
            HarnessError: It couldn't be run.
        """
        from .gate_run import run_gate_once

        if self._report is None:
            self._report = run_gate_once(self.settings, self.shared)
        return self._report

    def finished_report(self) -> VerdictReport | None:
        """The report, if the gate has run in any process."""
        if self._report is None and not any(self.shared.iterdir()):
            return None
        from .gate_run import read_finished_report

        return self._report or read_finished_report(self.shared)

    def failure_reason(self) -> str | None:
        """Why the gate doesn't pass; None where it does, or never ran."""
        report = self.finished_report()
        if report is not None:
            return self.explain_failure(report)
        if not any(self.shared.iterdir()):
            return None
        from .gate_run import read_problem

        problem = read_problem(self.shared)
        return None if problem is None else f"the gate could not be run: {problem}"

    def explain_failure(self, report: VerdictReport) -> str | None:
        """Why a verdict doesn't let the session pass; None where it does."""
        from ..reports import summary
        from ..reports.escaping import escape_terminal

        verdict = report.verdict
        if verdict.verdict == "pass" or self.allows_inconclusive(report):
            return None
        text = f"{verdict.verdict}: {escape_terminal(summary.verdict_headline(verdict))}"
        if verdict.exit_code != ExitCode.INCONCLUSIVE:
            return text
        if self.settings.allow_inconclusive:
            return f"{text}\nNo response came at all; --sora-allow-inconclusive is for a server that responds."
        return f"{text}\nToo little was seen to decide; --sora-allow-inconclusive lets this pass."

    def allows_inconclusive(self, report: VerdictReport) -> bool:
        """Whether a verdict is inconclusive and may be: too little was seen, but the server responds."""
        seen = report.verdict.coverage
        return (
            self.settings.allow_inconclusive
            and report.verdict.exit_code == ExitCode.INCONCLUSIVE
            and seen.exchanges > seen.errors
        )


class GateCollector(pytest.Collector):
    """Holds the gate's items; it is the `sora` of their ids."""

    def __init__(self, gate: ConformanceGate, **more: Any) -> None:  # Any: pytest's own arguments
        super().__init__(**more)
        self.gate = gate

    def collect(self) -> Iterator[pytest.Item]:
        """Make the items: the requirements in their order, the user's own after them, the verdict last."""
        own = [row for check in load_check_files(self.gate.settings.checks) for row in check.requirements]
        for rule in (*REQUIREMENTS.values(), *own):
            yield RequirementItem.from_parent(self, name=rule.id, rule=rule)
        yield VerdictItem.from_parent(self, name="verdict")


class GateItem(pytest.Item):
    """What the gate's items have in common."""

    parent: GateCollector

    def __init__(self, **more: Any) -> None:  # Any: as above
        super().__init__(**more)
        self.add_marker("sora")

    @property
    def gate(self) -> ConformanceGate:
        """The session's gate."""
        return self.parent.gate

    def reportinfo(self) -> tuple[str, int, str]:
        """Where the item stands: in no file, but pytest needs a line for an item that a mark skips."""
        return ITEM_NAME_PREFIX, 0, f"{ITEM_NAME_PREFIX}::{self.name}"

    def add_report_properties(self, **properties: Any) -> None:  # Any: JUnit writes each as text
        """Add properties that JUnit's XML and other reports show of this item."""
        self.user_properties.extend((f"sora_{name}", value) for name, value in properties.items())


class RequirementItem(GateItem):
    """One requirement: fails with its findings, is skipped with the reason where it wasn't observed."""

    def __init__(self, rule: Requirement, **more: Any) -> None:  # Any: as above
        super().__init__(**more)
        self.rule = rule
        self.add_marker(f"sora_{rule.level.name.lower()}")

    def runtest(self) -> None:
        """Look up the requirement's result."""
        from ..reports import summary
        from .finding_text import format_finding

        try:
            report = self.gate.run_and_report()
        except HarnessError as error:
            pytest.skip(f"the gate could not be run: {error}")
        row = next(row for row in report.verdict.requirements if row.id == self.rule.id)
        self.add_report_properties(level=row.level, status=row.status, checked=row.checked, violations=row.violations)
        entries = [entry for entry in report.verdict.findings if entry.requirement == row.id]
        texts = [
            format_finding(report, entry, folder=self.gate.settings.report) for entry in entries[:MAX_FINDINGS_PER_ITEM]
        ]
        if len(entries) > MAX_FINDINGS_PER_ITEM:
            texts.append(f"… and {len(entries) - MAX_FINDINGS_PER_ITEM} more")
        text = "\n\n".join(texts)
        if row.fails:
            _fail_without_traceback(text)
        if row.reason == "check_crashed":
            _fail_without_traceback(f"the check itself crashed: {report.verdict.reason}")
        if row.status in ("not_checked", "not_applicable"):
            pytest.skip(summary.not_checked_reason(row))
        if row.status in ("waived", "known"):
            pytest.xfail(f"{row.status}\n{text}")
        if text:
            self.add_report_section("call", ITEM_NAME_PREFIX, text)


class VerdictItem(GateItem):
    """The gate's verdict; never skipped."""

    def __init__(self, **more: Any) -> None:  # Any: as above
        super().__init__(**more)
        for level in ("must", "proven", "habit", "info"):
            self.add_marker(f"sora_{level}")

    def runtest(self) -> None:
        """Fail where the verdict is fail or inconclusive."""
        from ..reports import summary
        from ..reports.escaping import escape_terminal

        try:
            report = self.gate.run_and_report()
        except HarnessError as error:
            raise pytest.fail.Exception(f"the gate could not be run: {error}", pytrace=False) from None
        verdict = report.verdict
        seen = verdict.coverage
        self.add_report_properties(
            verdict=verdict.verdict,
            subject=verdict.subject,
            subject_kind=verdict.subject_kind,
            edition=verdict.edition,
            fail_on=verdict.fail_on,
            started_at=verdict.started_at,
            finished_at=verdict.finished_at,
            harness_version=verdict.harness_version,
            exchanges=seen.exchanges,
            samples=seen.samples,
            connections=seen.connections,
        )
        if reason := self.gate.explain_failure(report):
            _fail_without_traceback(reason)
        if verdict.verdict != "pass":
            text = f"{verdict.verdict}: {escape_terminal(summary.verdict_headline(verdict))}"
            self.add_report_section("call", ITEM_NAME_PREFIX, text)


def _fail_without_traceback(text: str) -> NoReturn:
    pytest.fail(text, pytrace=False)


def collect_gate_items(session: pytest.Session, gate: ConformanceGate) -> list[pytest.Item]:
    """Collect the gate's items as pytest collects those of a file, with every hook that other plugins use."""
    collector = GateCollector.from_parent(session, name=ITEM_NAME_PREFIX, nodeid=ITEM_NAME_PREFIX, gate=gate)
    hook = session.ihook
    hook.pytest_collectstart(collector=collector)
    report: pytest.CollectReport = hook.pytest_make_collect_report(collector=collector)
    items = [each for each in report.result if isinstance(each, pytest.Item)]
    for item in items:
        hook.pytest_itemcollected(item=item)
    hook.pytest_collectreport(report=report)
    return items


def reselect_verdict(config: pytest.Config, own: list[pytest.Item], items: list[pytest.Item]) -> None:
    """
    Bring the verdict back if it was deselected and another item of the gate was not.

    Requirements that weren't observed are skipped, which is green; the verdict is what fails then.
    """
    verdict = own[-1]
    if verdict in items or not any(item in items for item in own):
        return
    items.append(verdict)
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")  # Any: pytest's own, not exported
    deselected = reporter.stats.get("deselected", []) if reporter is not None else []
    if verdict in deselected:
        deselected.remove(verdict)


def fail_skipped_verdict(report: pytest.TestReport) -> None:
    """Turn a verdict that was skipped, or failed as somebody expected, into a failed one."""
    if report.outcome == "skipped":
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
        fail_skipped(report, f"sora::verdict cannot be skipped, nor be expected to fail ({why})")
