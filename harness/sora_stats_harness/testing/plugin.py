"""
The pytest plugin: the conformance gate as items of any suite, and fixtures for tests of one's own.

It is loaded by every pytest run of an environment in which the package is installed, so at that moment it imports
nothing but pytest and what is light; the rest waits for an item or a fixture that needs it. It keeps away from Locust's
plugin (`--host`, `session`, `fastsession`) and works with pytest-xdist, whether or not that is there.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest

from ..api.errors import HarnessError, UsageError
from . import options
from .edition_match import MATCHED_EDITION_KEY, is_auto_edition, match_server_edition
from .fixtures import (  # pytest finds fixtures among the names of the plugin
    TEST_JUDGE_KEY,
    _sora_edition,  # noqa: F401
    _sora_judged_edition,  # noqa: F401
    _sora_prober,  # noqa: F401
    _sora_settings,  # noqa: F401
    sora_client,  # noqa: F401
    sora_judge,  # noqa: F401
    sora_recording,  # noqa: F401
    sora_simulator,  # noqa: F401
    sora_url,  # noqa: F401
)
from .session_findings import SessionFindings

if TYPE_CHECKING:
    from .gate_items import ConformanceGate

T = TypeVar("T")

MARKER_LINES: Final = (
    "sora: an item of the conformance gate",
    "sora_must: an item of the gate whose requirement is a MUST (the verdict is among them)",
    "sora_proven: the same for PROVEN",
    "sora_habit: the same for HABIT",
    "sora_info: the same for INFO",
    "sora_simulator(**settings): what the fixture sora_simulator is like: faults=[...], seed, connections, nodes, "
    "churn, and whatever else Simulator takes",
)

GATE_KEY: Final[pytest.StashKey[ConformanceGate]] = pytest.StashKey()
SHARED_FOLDER_KEY: Final[pytest.StashKey[Path]] = pytest.StashKey()
FINDINGS_KEY: Final[pytest.StashKey[SessionFindings]] = pytest.StashKey()

WORKER_SHARED_FOLDER: Final = "sora_shared"
"""How the folder that processes share is told to xdist's workers."""
WORKER_MATCHED_EDITION: Final = "sora_responded"
"""And which edition the server's responses were found to follow."""


@contextmanager
def _as_pytest_usage_error() -> Iterator[None]:
    """What the command line says wrong ends the run as pytest ends it."""
    try:
        yield
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None


def _read_gate_settings(config: pytest.Config) -> options.PluginSettings:
    """The settings of the gate, with an edition in the place of `auto`."""
    settings = options.read_settings(config)
    if not is_auto_edition(settings) or config.option.collectonly:
        return settings
    from ..api.edition import DEFAULT_EDITION
    from ..reports.baseline import baseline_mismatch
    from .gate_run import check_gate_settings

    if settings.uses_simulator:
        return replace(settings, edition=DEFAULT_EDITION)
    if MATCHED_EDITION_KEY not in config.stash:
        check_gate_settings(replace(settings, edition=DEFAULT_EDITION))  # what is wrong is said before anything is sent
    name, note = match_server_edition(config, settings)
    if settings.baseline is not None and (problem := baseline_mismatch(settings.baseline, edition=name)):
        raise UsageError(problem)
    return replace(settings, edition=name, notes=(note,))


# The gate.


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options `--sora-…`."""
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, and see whether the gate is wanted and can be had."""
    config.stash[FINDINGS_KEY] = SessionFindings()
    config.pluginmanager.register(_ReportReader(config.stash[FINDINGS_KEY]), "sora-reports")
    for line in MARKER_LINES:
        config.addinivalue_line("markers", line)
    gate_wanted = config.getoption("sora_conformance")
    if not gate_wanted and config.getoption("sora_url") is None:
        return
    with _as_pytest_usage_error():
        if options.find_server_url(config) is None and gate_wanted:
            _ = options.read_settings(config).server_url  # only a configuration may still name one


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Read the settings of the gate, and refuse them before anything else is done."""
    config = session.config
    if not config.getoption("sora_conformance"):
        return
    from .gate_items import ConformanceGate

    worker: dict[str, Any] | None = getattr(config, "workerinput", None)  # Any: xdist's own
    shared = Path(tempfile.mkdtemp(prefix="sora-")) if worker is None else Path(worker[WORKER_SHARED_FOLDER])
    config.stash[SHARED_FOLDER_KEY] = shared
    if worker is not None and WORKER_MATCHED_EDITION in worker:
        config.stash[MATCHED_EDITION_KEY] = tuple(worker[WORKER_MATCHED_EDITION])
    gate = config.stash[GATE_KEY] = ConformanceGate(lambda: _read_gate_settings(config), shared)
    if worker is None and not config.option.collectonly:
        from .gate_run import check_gate_settings

        with _as_pytest_usage_error():
            check_gate_settings(gate.settings)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # Any: xdist's, which may not be there
    """Tell a worker of xdist where all of them meet."""
    shared = node.config.stash.get(SHARED_FOLDER_KEY, None)
    if shared is not None:
        node.workerinput[WORKER_SHARED_FOLDER] = str(shared)
    if MATCHED_EDITION_KEY in node.config.stash:
        node.workerinput[WORKER_MATCHED_EDITION] = node.config.stash[MATCHED_EDITION_KEY]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    shared = config.stash.get(SHARED_FOLDER_KEY, None)
    if shared is not None and not hasattr(config, "workerinput"):
        shutil.rmtree(shared, ignore_errors=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Add the gate's items before others select and sort, and see afterwards that the verdict is still there."""
    gate = config.stash.get(GATE_KEY, None)
    if gate is None:
        return (yield)
    from .gate_items import collect_gate_items, reselect_verdict

    own = collect_gate_items(session, gate)
    items.extend(own)
    yield
    reselect_verdict(config, own, items)


def pytest_report_header(config: pytest.Config) -> str | list[str] | None:
    """Say what is tested, and by which field list."""
    gate = config.stash.get(GATE_KEY, None)
    if gate is None:
        return None
    if config.option.collectonly and (url := options.find_server_url(config)) is not None:
        return f"sora: {url}"  # the rest takes a configuration, which takes long to understand
    settings = gate.settings
    what = "SELF-TEST against the embedded simulator, no Sora" if settings.uses_simulator else settings.server_url
    line = f"sora: {what}, edition {settings.edition}, {settings.duration_s:g} s"
    _, note = config.stash.get(MATCHED_EDITION_KEY, ("", ""))
    return [line, f"sora: {note}"] if note else line


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # Any: not exported by pytest
    """Print the verdict, family by family; the findings stand with the items that failed."""
    findings = config.stash[FINDINGS_KEY]
    gate = config.stash.get(GATE_KEY, None)
    report = gate.finished_report() if gate is not None else None
    if gate is not None and report is not None:
        from .finding_text import format_verdict_table

        terminalreporter.section(f"sora: {report.verdict.verdict}")
        terminalreporter.write(format_verdict_table(report, colour=terminalreporter.hasmarkup))
        if gate.settings.report is not None:
            terminalreporter.write_line(f"reports in {gate.settings.report}")
    if lines := findings.unfailed_lines(terminalreporter):
        terminalreporter.section("sora: found, so the session fails")
        for line in lines:
            terminalreporter.write_line(line)
    if report is not None or len(findings):
        from .ci_annotations import annotate_session

        annotate_session(findings, report, terminalreporter)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Set the exit status by all that was found."""
    config = session.config
    if hasattr(config, "workerinput"):  # the process that started this one decides
        return (yield)
    findings = config.stash[FINDINGS_KEY]
    gate = config.stash.get(GATE_KEY, None)
    if gate is not None and (reason := gate.failure_reason()) is not None:
        from .gate_items import VERDICT_NODE_ID

        findings.add(VERDICT_NODE_ID, [reason])
    yield
    session.exitstatus = findings.exit_status(session.exitstatus)


class _ReportReader:
    """Reads every report that is logged, of this process and of those of pytest-xdist."""

    def __init__(self, findings: SessionFindings) -> None:
        self._findings = findings

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what the report carries, a rerun's like any other."""
        self._findings.read(report)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what was found, and see that neither it nor the verdict is skipped."""
    report = yield
    findings = item.config.stash[FINDINGS_KEY]
    if (judge := item.stash.get(TEST_JUDGE_KEY, None)) is not None:
        findings.add(item.nodeid, judge.fatal_lines)
    findings.attach_to(report)
    if GATE_KEY in item.config.stash:
        from .gate_items import VerdictItem, fail_skipped_verdict

        if isinstance(item, VerdictItem):
            fail_skipped_verdict(report)
    return report


# Tests of one's own.


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, T, T]:
    """Fail a test whose responses have findings, in the phase in which they arose."""
    try:
        result = yield
    except BaseException:  # the test's own failure comes first, what was found stands below it
        failure, remarks = _finish_test_judge(item)
        _add_section(item, failure)
        _add_section(item, remarks)
        raise
    failure, remarks = _finish_test_judge(item)
    _add_section(item, remarks)
    if failure is not None:
        pytest.fail(failure, pytrace=False)
    return result


def _finish_test_judge(item: pytest.Item) -> tuple[str | None, str | None]:
    """Why the judge fails a test, and what else was found."""
    judge = item.stash.get(TEST_JUDGE_KEY, None)
    return (judge.finish_test(), judge.nonfatal_findings) if judge is not None else (None, None)


def _add_section(item: pytest.Item, text: str | None) -> None:
    if text is not None:
        item.add_report_section("call", "sora", text)
