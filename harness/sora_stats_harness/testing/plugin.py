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

if TYPE_CHECKING:
    from ..api.edition import Edition
    from ..probe.prober import Prober
    from ..simulator.server import Simulator
    from .background_loop import BackgroundLoop
    from .client import StatsClient
    from .exchange_recording import ExchangeRecording
    from .gate_items import ConformanceGate
    from .per_test_judge import PerTestJudge

T = TypeVar("T")

MARKER_LINES: Final = (
    "sora: an item of the conformance gate",
    "sora_must: an item of the gate whose requirement is a MUST (the verdict is among them)",
    "sora_should: the same for SHOULD",
    "sora_info: the same for INFO",
    "sora_simulator(**settings): what the fixture sora_simulator is like: faults=[...], seed, connections, nodes, "
    "churn, and whatever else Simulator takes",
)

GATE_KEY: Final[pytest.StashKey[ConformanceGate]] = pytest.StashKey()
SHARED_FOLDER_KEY: Final[pytest.StashKey[Path]] = pytest.StashKey()
TEST_JUDGE_KEY: Final[pytest.StashKey[PerTestJudge]] = pytest.StashKey()
MATCHED_EDITION_KEY: Final[pytest.StashKey[tuple[str, str]]] = pytest.StashKey()
"""By which edition the server responds, where it was asked, and how near that is."""

WORKER_SHARED_FOLDER: Final = "sora_shared"
"""How the folder that processes share is told to xdist's workers."""
WORKER_MATCHED_EDITION: Final = "sora_responded"
"""And what the server was found to respond by."""


@contextmanager
def _as_pytest_usage_error() -> Iterator[None]:
    """What the command line says wrong ends the run as pytest ends it."""
    try:
        yield
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None


def _match_server_edition(config: pytest.Config, settings: options.PluginSettings) -> tuple[str, str]:
    """By which edition the server responds, and how near that is; it is asked once, when that is first wanted."""
    from concurrent.futures import ThreadPoolExecutor

    from ..probe.edition_detection import detect_by_server
    from ..probe.prober import Prober, normalize_server_url

    if MATCHED_EDITION_KEY not in config.stash:
        server, (headers, _) = (
            normalize_server_url(settings.server_url),
            settings.read_headers_and_secrets(simulated=False),
        )
        prober = Prober(timeout_s=settings.timeout_s, ca_file=settings.ca_file, insecure=settings.insecure)
        # In a thread, since asyncio.run leaves the main one without the event loop that a suite may rely on.
        with ThreadPoolExecutor(1) as thread:
            name, told = thread.submit(detect_by_server, server, headers, prober).result()
        config.stash[MATCHED_EDITION_KEY] = name, " ".join(told).replace("--edition", "--sora-edition")
    return config.stash[MATCHED_EDITION_KEY]


def _is_auto_edition(settings: options.PluginSettings) -> bool:
    from ..probe.edition_detection import AUTO_EDITION

    return settings.edition == AUTO_EDITION


def _read_gate_settings(config: pytest.Config) -> options.PluginSettings:
    """What the gate is told, with an edition in the place of `auto`."""
    settings = options.read_settings(config)
    if not _is_auto_edition(settings) or config.option.collectonly:
        return settings
    from ..api.edition import DEFAULT_EDITION
    from ..reports.baseline import baseline_mismatch
    from .gate_run import check_gate_settings

    if settings.uses_simulator:
        return replace(settings, edition=DEFAULT_EDITION)
    if MATCHED_EDITION_KEY not in config.stash:
        check_gate_settings(replace(settings, edition=DEFAULT_EDITION))  # what is wrong is said before anything is sent
    name, told = _match_server_edition(config, settings)
    if settings.baseline is not None and (problem := baseline_mismatch(settings.baseline, edition=name)):
        raise UsageError(problem)
    return replace(settings, edition=name, notes=(told,))


# The gate.


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options `--sora-…`."""
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, and see whether the gate is wanted and can be had."""
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
    """Read what the gate is told, and complain before anything else is done."""
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
    _, told = config.stash.get(MATCHED_EDITION_KEY, ("", ""))
    return [line, f"sora: {told}"] if told else line


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # Any: not exported by pytest
    """Print the verdict, family by family; the findings stand with the items that failed."""
    gate = config.stash.get(GATE_KEY, None)
    report = gate.finished_report() if gate is not None else None
    if gate is None or report is None:
        return
    from .finding_text import format_verdict_table

    terminalreporter.section(f"sora: {report.verdict.verdict}")
    terminalreporter.write(format_verdict_table(report, colour=terminalreporter.hasmarkup))
    if gate.settings.report is not None:
        terminalreporter.write_line(f"reports in {gate.settings.report}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """See that the verdict isn't skipped."""
    report = yield
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
    hearing = item.stash.get(TEST_JUDGE_KEY, None)
    return (hearing.finish_test(), hearing.nonfatal_findings) if hearing is not None else (None, None)


def _add_section(item: pytest.Item, text: str | None) -> None:
    if text is not None:
        item.add_report_section("call", "sora", text)


@contextmanager
def _fail_in_one_line() -> Iterator[None]:
    """What can't be done as asked is told in one line, not as a traceback through the plugin."""
    try:
        yield
    except HarnessError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture(scope="session")
def _sora_settings(pytestconfig: pytest.Config) -> options.PluginSettings:
    with _fail_in_one_line():
        return options.read_settings(pytestconfig)


@pytest.fixture(scope="session")
def _sora_edition(_sora_settings: options.PluginSettings) -> Edition:
    """Of a simulator of the plugin's own, and of what responses unless `auto` was given."""
    from ..api.edition import DEFAULT_EDITION, load_edition

    with _fail_in_one_line():
        return load_edition(DEFAULT_EDITION if _is_auto_edition(_sora_settings) else _sora_settings.edition)


@pytest.fixture(scope="session")
def _sora_prober(_sora_settings: options.PluginSettings) -> Iterator[tuple[BackgroundLoop, Prober]]:
    from ..probe.prober import Prober
    from .background_loop import BackgroundLoop

    with _fail_in_one_line():
        prober = Prober(
            timeout_s=_sora_settings.timeout_s, ca_file=_sora_settings.ca_file, insecure=_sora_settings.insecure
        )
    with BackgroundLoop() as loop:
        yield loop, prober
        loop.submit(prober.__aexit__(None, None, None)).result()


@pytest.fixture(scope="session")
def sora_url(_sora_settings: options.PluginSettings, _sora_edition: Edition) -> Iterator[str]:
    """
    The URL of the server that --sora-url, SORA_URL or the setting sora_url names.

    Where that is `simulator`, one runs for the session, with the faults of --sora-fault.
    """
    if not _sora_settings.uses_simulator:
        from ..probe.prober import normalize_server_url

        with _fail_in_one_line():
            url = normalize_server_url(_sora_settings.server_url)
        yield url
        return
    from ..simulator.server import Simulator

    with _fail_in_one_line():
        simulator = Simulator(_sora_edition, faults=_sora_settings.faults)
    with simulator:
        yield simulator.url


@pytest.fixture
def sora_simulator(request: pytest.FixtureRequest, _sora_edition: Edition) -> Iterator[Simulator]:
    """
    A simulator of this test's own.

    What it is like is said by `@pytest.mark.sora_simulator(faults=["counter-falls"], seed=2, connections=5)`, or by
    `@pytest.mark.parametrize("sora_simulator", [{...}, {...}], indirect=True)`, with any argument that
    `sora_stats_harness.simulator.server.Simulator` takes. Unless told otherwise connections neither join nor leave.
    """
    from ..simulator.server import Simulator

    settings: dict[str, Any] = {"edition": _sora_edition, "churn": False}  # Any: as Simulator takes them
    for mark in reversed(list(request.node.iter_markers("sora_simulator"))):
        settings |= mark.kwargs
    settings |= getattr(request, "param", {})
    with _fail_in_one_line():
        simulator = Simulator(**settings)
    with simulator:
        yield simulator


@pytest.fixture
def _sora_judged_edition(
    request: pytest.FixtureRequest, _sora_settings: options.PluginSettings, _sora_edition: Edition
) -> Edition:
    """By which this test's responses are judged."""
    from ..api.edition import load_edition

    if not _is_auto_edition(_sora_settings) or _uses_simulator(request, _sora_settings):
        return _sora_edition
    with _fail_in_one_line():
        name, told = _match_server_edition(request.config, _sora_settings)
    request.node.add_report_section("setup", "sora", told)
    return load_edition(name)


@pytest.fixture
def sora_judge(
    request: pytest.FixtureRequest, _sora_settings: options.PluginSettings, _sora_judging: Edition
) -> Iterator[PerTestJudge]:
    """
    The judge of this test: what is shown to it, by `sora_client` or by the test, fails the test where it is wrong.
    """
    from .per_test_judge import PerTestJudge

    settings = _sora_settings
    with _fail_in_one_line():
        _, secrets = settings.read_headers_and_secrets(simulated=_uses_simulator(request, settings))
    hearing = PerTestJudge(_sora_judging, strict=settings.strict, waivers=settings.waivers, secrets=secrets)
    request.node.stash[TEST_JUDGE_KEY] = hearing
    yield hearing
    late = hearing.finish_test()
    if late is not None:
        pytest.fail(f"found after the test was over:\n{late}", pytrace=False)


@pytest.fixture
def sora_client(
    request: pytest.FixtureRequest,
    sora_judge: PerTestJudge,
    _sora_settings: options.PluginSettings,
    _sora_sender: tuple[BackgroundLoop, Prober],
) -> StatsClient:
    """
    A client of the three targets, each of whose responses is judged; `sora_client.aio` has coroutines.

    It asks this test's `sora_simulator` where the test has one, else the server of `sora_url`.
    """
    from .client import StatsClient

    loop, prober = _sora_sender
    server = _server_url(request)
    with _fail_in_one_line():
        headers, _ = _sora_settings.read_headers_and_secrets(simulated=_uses_simulator(request, _sora_settings))
    return StatsClient(server, loop=loop, prober=prober, clerk=sora_judge, headers=headers)


@pytest.fixture
def sora_recording(
    request: pytest.FixtureRequest,
    sora_judge: PerTestJudge,
    tmp_path: Path,
    _sora_settings: options.PluginSettings,
    _sora_judging: Edition,
) -> Iterator[ExchangeRecording]:
    """
    What this test exchanges, in a file of its `tmp_path` that `sora-harness check` judges again.
    """
    from ..recording.writer import RecordingWriter
    from .exchange_recording import ExchangeRecording
    from .per_test_judge import TEST_OBSERVED_NEEDS

    simulated = _uses_simulator(request, _sora_settings)
    _, secrets = _sora_settings.read_headers_and_secrets(simulated=simulated)
    with RecordingWriter(
        tmp_path / "sora.jsonl.zst",
        subject=_server_url(request),
        subject_kind="simulator" if simulated else "server",
        edition=_sora_judging.name,
        options={"test": request.node.nodeid, "observes": sorted(need.value for need in TEST_OBSERVED_NEEDS)},
        secrets=secrets,
        run=sora_judge.run_id,
    ) as recorder:
        recording = ExchangeRecording(recorder)
        sora_judge.observers.append(recording.add)
        yield recording


def _uses_simulator(request: pytest.FixtureRequest, settings: options.PluginSettings) -> bool:
    """Whether this test asks a simulator, or nobody at all."""
    return settings.uses_simulator or "sora_simulator" in request.fixturenames or settings.url is None


def _server_url(request: pytest.FixtureRequest) -> str:
    """The URL of whom this test asks."""
    if "sora_simulator" in request.fixturenames:
        simulator: Simulator = request.getfixturevalue("sora_simulator")
        return simulator.url
    url: str = request.getfixturevalue("sora_url")
    return url
