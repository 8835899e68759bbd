"""
The pytest plugin: the conformance gate as items of any suite, and fixtures for a user's own tests.

Every pytest run loads it if the package is installed, so it imports only pytest and light modules; an item or a fixture
imports the rest when it needs it. It doesn't conflict with Locust's plugin (`--host`, `session`, `fastsession`), and
works with and without pytest-xdist.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest

from ..api.errors import HarnessError
from ..api.language import LANGUAGE, environment_language, translate, use_language
from ..api.server_url import pick_server_url
from . import options
from .fixtures import (  # pytest finds fixtures among the names of the plugin
    SIMULATORS_KEY,
    TEST_JUDGE_KEY,
    _sora_asked,  # noqa: F401
    _sora_probers,  # noqa: F401
    _sora_settings,  # noqa: F401
    _sora_simulators,  # noqa: F401
    fail_in_one_line,
    sora_client,  # noqa: F401
    sora_judge,  # noqa: F401
    sora_module_simulator,  # noqa: F401
    sora_recording,  # noqa: F401
    sora_session_simulator,  # noqa: F401
    sora_simulator,  # noqa: F401
    sora_simulator_settings,  # noqa: F401
    sora_url,  # noqa: F401
)
from .session_findings import JUNIT_ATTRIBUTE, SessionFindings, name_junit_case

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

LANGUAGE_KEY: Final[pytest.StashKey[str]] = pytest.StashKey()
"""The language before this session."""
GATE_KEY: Final[pytest.StashKey[ConformanceGate]] = pytest.StashKey()
SHARED_FOLDER_KEY: Final[pytest.StashKey[Path]] = pytest.StashKey()
FINDINGS_KEY: Final[pytest.StashKey[SessionFindings]] = pytest.StashKey()
SESSION_KEY: Final[pytest.StashKey[pytest.Session]] = pytest.StashKey()

WORKER_SHARED_FOLDER: Final = "sora_shared"
"""The key under which xdist's workers get the shared folder."""
WORKER_MATCHED_EDITIONS: Final = "sora_editions"
"""And which editions the responses of servers were found to follow."""
WORKER_FINDINGS: Final = "sora_findings"
"""How a worker tells what it found, besides by its reports, which another plugin may keep back."""


@contextmanager
def _as_pytest_usage_error() -> Iterator[None]:
    """Turn a usage error of ours into one of pytest's."""
    try:
        yield
    except HarnessError as error:
        raise pytest.UsageError(translate(str(error))) from None


# The gate.


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options `--sora-…`."""
    with use_language(environment_language()):
        options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, and add the gate's file to what is collected, where the gate is wanted."""
    config.stash[LANGUAGE_KEY] = LANGUAGE.get()
    LANGUAGE.set(environment_language())
    config.stash[FINDINGS_KEY] = SessionFindings()
    config.pluginmanager.register(_ReportReader(config, config.stash[FINDINGS_KEY]), "sora-reports")
    for line in MARKER_LINES:
        config.addinivalue_line("markers", translate(line))
    with _as_pytest_usage_error():
        pick_server_url([(config.getoption("sora_url"), "--sora-url")])
        gate_file = options.add_gate_file(config)
    if gate_file is None:
        return
    from .gate_items import ConformanceGate

    worker: dict[str, Any] | None = getattr(config, "workerinput", None)  # Any: xdist's own
    shared = Path(tempfile.mkdtemp(prefix="sora-")) if worker is None else Path(worker[WORKER_SHARED_FOLDER])
    config.stash[SHARED_FOLDER_KEY] = shared
    if worker is not None:
        config.stash[options.MATCHED_EDITIONS_KEY] = {
            url: (name, note) for url, name, note in worker[WORKER_MATCHED_EDITIONS]
        }
    config.stash[GATE_KEY] = ConformanceGate(config, gate_file, shared)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse settings that can't be used before anything else is done; pytest knows the fixtures by now."""
    session.config.stash[SESSION_KEY] = session
    gate = session.config.stash.get(GATE_KEY, None)
    if gate is None or hasattr(session.config, "workerinput"):
        return
    from .gate_items import is_url_overridden

    with _as_pytest_usage_error():
        gate.check_settings(names_server=not is_url_overridden(session))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # Any: xdist's, which may not be there
    """Give a worker of xdist the shared folder, and the detected editions of servers."""
    shared = node.config.stash.get(SHARED_FOLDER_KEY, None)
    if shared is not None:
        node.workerinput[WORKER_SHARED_FOLDER] = str(shared)
        matched = node.config.stash.get(options.MATCHED_EDITIONS_KEY, {})
        node.workerinput[WORKER_MATCHED_EDITIONS] = [[url, *found] for url, found in matched.items()]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # Any: as above
    """Note what a worker of xdist found."""
    for node_id, line in getattr(node, "workeroutput", {}).get(WORKER_FINDINGS, ()):
        node.config.stash[FINDINGS_KEY].add(node_id, [line])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> Generator[None, None, None]:
    """Set the exit status once more, after hooks of others that may have set it as well, and leave nothing behind."""
    yield
    session, findings = config.stash.get(SESSION_KEY, None), config.stash.get(FINDINGS_KEY, None)
    if session is not None and findings is not None and not hasattr(config, "workerinput"):
        session.exitstatus = findings.exit_status(session.exitstatus)
    if LANGUAGE_KEY in config.stash:
        LANGUAGE.set(config.stash[LANGUAGE_KEY])
    shared = config.stash.get(SHARED_FOLDER_KEY, None)
    if shared is not None and not hasattr(config, "workerinput"):
        shutil.rmtree(shared, ignore_errors=True)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the gate's items from its file."""
    gate = parent.config.stash.get(GATE_KEY, None)
    if gate is None or file_path != gate.path:
        return None
    from .gate_items import GateFile

    return GateFile.from_gate(parent, gate)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """
    Add the gate's items if its file doesn't exist; after all deselection, make sure that the verdict is still there.
    """
    gate = config.stash.get(GATE_KEY, None)
    if gate is None:
        return (yield)
    from .gate_items import GateItem, collect_absent_file, reselect_verdict

    if not gate.path.is_file():
        items.extend(collect_absent_file(session, gate))
    collected = [*items]
    if not session.testsfailed and not any(isinstance(item, GateItem) for item in items):
        text = f"the gate was asked for, but something keeps pytest from collecting {gate.path}"
        raise pytest.UsageError(translate(text))
    yield
    reselect_verdict(config, collected, items)


def pytest_report_header(config: pytest.Config) -> str | list[str] | None:
    """Say what is tested, and by which field list."""
    gate = config.stash.get(GATE_KEY, None)
    return None if gate is None else gate.header_lines()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # Any: not exported by pytest
    """Print the verdict, family by family; the failed items show the findings."""
    findings = config.stash[FINDINGS_KEY]
    gate = config.stash.get(GATE_KEY, None)
    report = gate.finished_report() if gate is not None else None
    if gate is not None and report is not None:
        from .finding_text import format_verdict_table

        terminalreporter.section(f"sora: {report.verdict.verdict}")
        terminalreporter.write(format_verdict_table(report, colour=terminalreporter.hasmarkup))
        if gate.settings.report is not None:
            terminalreporter.write_line(translate(f"reports in {gate.settings.report}"))
    if lines := findings.unfailed_lines(terminalreporter):
        terminalreporter.section(translate("sora: found, so the session fails"))
        for line in lines:
            terminalreporter.write_line(line)
    if report is not None or len(findings):
        from .finding_text import annotate_session

        annotate_session(findings, gate, report, terminalreporter)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Set the exit status by all that was found."""
    config, findings = session.config, session.config.stash[FINDINGS_KEY]
    if (told := getattr(config, "workeroutput", None)) is not None:  # the process that started this one decides
        told[WORKER_FINDINGS] = [*findings]
        return (yield)
    gate = config.stash.get(GATE_KEY, None)
    if gate is not None and (reason := gate.failure_reason()) is not None:
        findings.add(gate.verdict_node_id, [reason])
    yield
    session.exitstatus = findings.exit_status(session.exitstatus)


class _ReportReader:
    """Reads every logged report, also those from pytest-xdist's workers."""

    def __init__(self, config: pytest.Config, findings: SessionFindings) -> None:
        self._config = config
        self._findings = findings

    @pytest.hookimpl(tryfirst=True)  # before the plugin that writes JUnit XML
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the findings that the report carries, also those of a rerun."""
        self._findings.read(report)
        name_junit_case(self._config, report)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note the findings, and make sure that neither these nor the verdict are skipped."""
    report = yield
    findings = item.config.stash[FINDINGS_KEY]
    if (judge := item.stash.get(TEST_JUDGE_KEY, None)) is not None:
        findings.add(item.nodeid, judge.fatal_lines)
    findings.attach_to(report)
    if GATE_KEY in item.config.stash:
        from .gate_items import GateItem, VerdictItem, fail_skipped_verdict

        if isinstance(item, GateItem):
            setattr(report, JUNIT_ATTRIBUTE, item.junit_class)
        if isinstance(item, VerdictItem):
            fail_skipped_verdict(report)
    return report


# The user's own tests.


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a mark that would have no effect, and reset the simulators that the test shares."""
    names: list[str] = getattr(item, "fixturenames", [])
    if any(mark.name == "sora_simulator" for mark in item.own_markers):
        from .simulator_settings import check_mark_use

        with fail_in_one_line():
            check_mark_use(item, names)
    simulators = item.config.stash.get(SIMULATORS_KEY, None)
    if simulators is not None:
        simulators.reset_shared(names)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, T, T]:
    """Fail a test whose responses have findings, in the phase in which these occurred."""
    try:
        result = yield
    except BaseException:  # the test's own failure comes first, with the findings below it
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
    """Why the judge fails a test, and its other findings; noted at once, since `pytest.exit` leaves no report."""
    judge = item.stash.get(TEST_JUDGE_KEY, None)
    if judge is None:
        return None, None
    failure = judge.finish_test()
    item.config.stash[FINDINGS_KEY].add(item.nodeid, judge.fatal_lines)
    return failure, judge.nonfatal_findings


def _add_section(item: pytest.Item, text: str | None) -> None:
    if text is not None:
        item.add_report_section("call", "sora", text)
