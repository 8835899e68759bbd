"""
The gate's pytest items: one for each requirement, and `verdict` for the whole run.

pytest collects them from the configuration, such as sora-harness.toml, as it collects tests from a Python file. So they
have ids like those of any test, `sora-harness.toml::counter::counter.monotonic`, for command lines, editors and other
plugins. Without a configuration the ids are the same, but a command line can't use them. Heavy modules are imported
only when an item runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest
from _pytest.fixtures import TopRequest

from ..api.errors import ExitCode, HarnessError
from ..api.language import translate
from ..judge.checks.user_checks import load_check_files
from ..judge.requirements import REQUIREMENTS, Requirement
from .options import PluginSettings, match_server_edition, read_settings
from .session_findings import fail_skipped

if TYPE_CHECKING:
    from ..reports.report import VerdictReport
    from .gate_run import GateTask

SECTION: Final = "sora"
"""The section of an item's report for findings that don't fail it."""

VERDICT: Final = "verdict"
"""The name of the item for the whole run."""

MAX_FINDINGS_PER_ITEM: Final = 20
"""How many findings of one requirement its failure shows."""


class ConformanceGate:
    """
    The session's gate: its file, its settings, the folder that its processes share, and its report after the run.

    Args:
        path: The file that its items belong to, whether or not it exists.
    """

    def __init__(self, config: pytest.Config, path: Path, shared: Path) -> None:
        self._config = config
        self.path = path
        self.node_id: str = os.path.relpath(path, config.rootpath).replace(os.sep, "/")
        """The file's node id: its path from the rootdir."""
        self.shared = shared
        self._names_server = True
        self._report: VerdictReport | None = None

    @property
    def verdict_node_id(self) -> str:
        """The id of the item for the whole run."""
        return f"{self.node_id}::{VERDICT}"

    @cached_property
    def settings(self) -> PluginSettings:
        """The settings, read when they are first needed."""
        return read_settings(self._config)

    def check_settings(self, *, names_server: bool) -> None:
        """
        Check before the run whether it is possible, and detect the edition of the server.

        Args:
            names_server: Whether options, environment or configuration name the server, not a fixture.
        """
        self._names_server = names_server
        run = self.settings.server if names_server else self.settings.no_server
        if self._config.option.collectonly:
            return
        from .gate_run import check_gate_settings

        check_gate_settings(self.settings, run)
        if names_server:
            self.make_task()

    def header_lines(self) -> list[str]:
        """What is tested, and by which field list."""
        run, note = (self.settings.server, None) if self._names_server else (self.settings.no_server, None)
        if not self._config.option.collectonly and self._names_server:
            run, note = match_server_edition(self._config, run)
        what = run.url or ("SELF-TEST against the embedded simulator, not Sora" if run.names_simulator else "")
        what = what or "the server of the fixture sora_url"
        line = f"sora: {what}, edition {run.edition}, {run.gate.duration_s:g} s"
        return [translate(each) for each in ([line] if note is None else [line, f"sora: {note}"])]

    def make_task(self, url: str | None = None) -> GateTask:
        """
        Make the task for the named server, or for that of the fixture `sora_url`; detects the edition.

        Raises:
            HarnessError: The gate can't be run.
        """
        from .gate_run import GateTask, check_gate_settings

        run = self.settings.server if url is None else self.settings.settings_for(url)
        run, note = match_server_edition(self._config, run)
        check_gate_settings(self.settings, run)
        return GateTask(settings=self.settings, run=run, notes=() if note is None else (note,))

    def run_and_report(self, read_fixture: Callable[[], str | None]) -> VerdictReport:
        """
        Return the report; the first call in any process runs the gate.

        Args:
            read_fixture: Returns the value of the fixture `sora_url`, if a suite overrides it.

        Raises:
            HarnessError: It couldn't be run.
        """
        from .gate_run import run_gate_once

        if self._report is None:
            self._report = run_gate_once(lambda: self.make_task(read_fixture()), self.shared)
        return self._report

    def finished_report(self) -> VerdictReport | None:
        """The report, if the gate has run in any process."""
        if self._report is None and not any(self.shared.iterdir()):
            return None
        from .gate_run import read_finished_report

        return self._report or read_finished_report(self.shared)

    def failure_reason(self) -> str | None:
        """Why the gate doesn't pass; None if it does, or never ran."""
        report = self.finished_report()
        if report is not None:
            return self.explain_failure(report)
        if not any(self.shared.iterdir()):
            return None
        from .gate_run import read_problem

        problem = read_problem(self.shared)
        return None if problem is None else f"the gate could not be run: {problem}"

    def explain_failure(self, report: VerdictReport) -> str | None:
        """Why a verdict fails the session; None if it doesn't."""
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
        """Whether a verdict is inconclusive and that is allowed: too little was seen, but the server responds."""
        seen = report.verdict.coverage
        return (
            self.settings.allow_inconclusive
            and report.verdict.exit_code == ExitCode.INCONCLUSIVE
            and seen.exchanges > seen.errors
        )


class GateFile(pytest.Collector):
    """
    The gate's file: the configuration, whose items the requirements are.

    It is not a `pytest.File`, because `--lf` skips a file that doesn't exist, even if its items failed.
    """

    def __init__(self, gate: ConformanceGate, **more: Any) -> None:  # Any: pytest's own arguments
        super().__init__(**more)
        self.gate = gate

    @classmethod
    def from_gate(cls, parent: pytest.Collector, gate: ConformanceGate) -> GateFile:
        """Make the collector of the gate's file."""
        return cls.from_parent(parent, name=gate.path.name, path=gate.path, nodeid=gate.node_id, gate=gate)

    def collect(self) -> Iterator[pytest.Collector | pytest.Item]:
        """Make a family of items for each kind of requirement, then for the user's own, and finally the verdict."""
        families: dict[str, list[Requirement]] = {}
        own = load_check_files(self.gate.settings.no_server.checks)
        for rule in (*REQUIREMENTS.values(), *(row for check in own for row in check.requirements)):
            families.setdefault(rule.family, []).append(rule)
        for name, rules in families.items():
            yield RequirementFamily.from_parent(self, name=name, rules=rules)
        yield VerdictItem.from_parent(self, name=VERDICT)


class RequirementFamily(pytest.Collector):
    """The requirements of one family, such as `counter`."""

    def __init__(self, rules: Sequence[Requirement], **more: Any) -> None:  # Any: as above
        super().__init__(**more)
        self._rules = rules

    def collect(self) -> Iterator[pytest.Item]:
        """Make an item for each requirement."""
        for rule in self._rules:
            yield RequirementItem.from_parent(self, name=rule.id, rule=rule)


class GateItem(pytest.Item):
    """The base of the gate's items."""

    junit_class: str
    """The class of its case in JUnit XML, the same as from `sora-harness conform`."""

    def __init__(self, **more: Any) -> None:  # Any: as above
        super().__init__(**more)
        self.add_marker("sora")

    @property
    def gate(self) -> ConformanceGate:
        """The session's gate."""
        file = self.getparent(GateFile)
        assert file is not None, "every item of the gate is below its file"
        return file.gate

    def run_gate(self) -> VerdictReport:
        """The gate's report; the first item runs the gate."""
        return self.gate.run_and_report(lambda: read_overridden_url(self))

    def reportinfo(self) -> tuple[Path, int, str]:
        """The item's location: pytest needs a line if a mark skips the item."""
        return self.path, 0, self.name

    def add_report_properties(self, **properties: Any) -> None:  # Any: JUnit writes each as text
        """Add properties that JUnit XML and other reports show for this item."""
        self.user_properties.extend((f"sora_{name}", value) for name, value in properties.items())


class RequirementItem(GateItem):
    """One requirement: fails with its findings, is skipped with the reason if it wasn't observed."""

    def __init__(self, rule: Requirement, **more: Any) -> None:  # Any: as above
        super().__init__(**more)
        self.rule = rule
        self.junit_class: str = f"sora.{rule.family}"
        self.add_marker(f"sora_{rule.level.name.lower()}")

    def runtest(self) -> None:
        """Look up the requirement's result."""
        from ..reports import summary
        from .finding_text import format_finding

        try:
            report = self.run_gate()
        except HarnessError as error:
            pytest.skip(f"{self.rule.id}: {translate(f'the gate could not be run: {error}')}")
        row = next(row for row in report.verdict.requirements if row.id == self.rule.id)
        self.add_report_properties(level=row.level, status=row.status, checked=row.checked, violations=row.violations)
        entries = [entry for entry in report.verdict.findings if entry.requirement == row.id]
        texts = [
            format_finding(report, entry, folder=self.gate.settings.report) for entry in entries[:MAX_FINDINGS_PER_ITEM]
        ]
        if len(entries) > MAX_FINDINGS_PER_ITEM:
            texts.append(translate(f"… and {len(entries) - MAX_FINDINGS_PER_ITEM} more"))
        text = "\n\n".join(texts)
        if row.fails:
            _fail_without_traceback(text)
        if row.reason == "check_crashed":
            _fail_without_traceback(translate(f"the check itself crashed: {report.verdict.reason}"))
        if row.status in ("not_checked", "not_applicable"):
            pytest.skip(f"{row.id}: {translate(summary.not_checked_reason(row))}")
        if row.status in ("waived", "known"):
            pytest.xfail(f"{row.id}: {translate(row.status)}\n{text}")
        if text:
            self.add_report_section("call", SECTION, text)


class VerdictItem(GateItem):
    """The gate's verdict; never skipped."""

    junit_class = "sora"

    def __init__(self, **more: Any) -> None:  # Any: as above
        super().__init__(**more)
        for level in ("must", "proven", "habit", "info"):
            self.add_marker(f"sora_{level}")

    def runtest(self) -> None:
        """Fail if the verdict is fail or inconclusive."""
        from ..reports import summary
        from ..reports.escaping import escape_terminal

        try:
            report = self.run_gate()
        except HarnessError as error:
            text = translate(f"the gate could not be run: {error}")
            raise pytest.fail.Exception(text, pytrace=False) from None
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
            _fail_without_traceback(translate(reason))
        if verdict.verdict != "pass":
            text = f"{verdict.verdict}: {escape_terminal(summary.verdict_headline(verdict))}"
            self.add_report_section("call", SECTION, translate(text))


def _fail_without_traceback(text: str) -> NoReturn:
    pytest.fail(text, pytrace=False)


def read_overridden_url(item: pytest.Item) -> str | None:
    """The value of the fixture `sora_url`, if a suite overrides it; sets it up as for a test that uses it."""
    if not is_url_overridden(item):
        return None
    anywhere: Any = item  # Any: pytest has no public way for an item that is not a function; doctest items do the same
    anywhere._fixtureinfo = anywhere.session._fixturemanager.getfixtureinfo(node=item, func=None, cls=None)
    anywhere.fixturenames, anywhere.funcargs = anywhere._fixtureinfo.names_closure, {}
    url: str = TopRequest(anywhere, _ispytest=True).getfixturevalue("sora_url")
    return url


def is_url_overridden(node: pytest.Session | pytest.Item) -> bool:
    """Whether a suite overrides the fixture `sora_url`, as visible from a node."""
    session: Any = node.session  # Any: as above
    return len(session._fixturemanager.getfixturedefs("sora_url", node) or ()) > 1


def collect_absent_file(session: pytest.Session, gate: ConformanceGate) -> list[pytest.Item]:
    """Collect the gate's items if its file doesn't exist, as pytest collects those of a file, with every hook."""
    items: list[pytest.Item] = []
    hook = session.ihook
    collectors: list[pytest.Collector] = [GateFile.from_gate(session, gate)]
    while collectors:
        collector = collectors.pop(0)
        hook.pytest_collectstart(collector=collector)
        report: pytest.CollectReport = hook.pytest_make_collect_report(collector=collector)
        for each in report.result:
            if isinstance(each, pytest.Collector):
                collectors.append(each)
            else:
                hook.pytest_itemcollected(item=each)
                items.append(each)
        hook.pytest_collectreport(report=report)
    return sorted(items, key=lambda item: isinstance(item, VerdictItem))


def reselect_verdict(config: pytest.Config, collected: list[pytest.Item], items: list[pytest.Item]) -> None:
    """
    Bring the verdict back if it was deselected and another item of the gate was not.

    Requirements that weren't observed are skipped, which is green; only the verdict fails then.
    """
    verdict = next((item for item in collected if isinstance(item, VerdictItem)), None)
    if verdict is None or verdict in items or not any(isinstance(item, GateItem) for item in items):
        return
    items.append(verdict)
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")  # Any: pytest's own, not exported
    deselected = reporter.stats.get("deselected", []) if reporter is not None else []
    if verdict in deselected:
        deselected.remove(verdict)


def fail_skipped_verdict(report: pytest.TestReport) -> None:
    """Turn a verdict item that was skipped, or expected to fail, into a failed one."""
    if report.outcome == "skipped":
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
        fail_skipped(report, translate(f"{report.nodeid} cannot be skipped, nor be expected to fail ({why})"))
