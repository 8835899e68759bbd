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
    from ..probe.client import Prober
    from ..simulator.server import Simulator
    from .client import Client
    from .hearing import Hearing
    from .items import Gate
    from .loop import Background
    from .record import Recording

T = TypeVar("T")

MARKERS: Final = (
    "sora: an item of the conformance gate",
    "sora_must: an item of the gate whose requirement is a MUST (the verdict is among them)",
    "sora_should: the same for SHOULD",
    "sora_info: the same for INFO",
    "sora_simulator(**settings): what the fixture sora_simulator is like: faults=[...], seed, connections, nodes, "
    "churn, and whatever else Simulator takes",
)

GATE: Final[pytest.StashKey[Gate]] = pytest.StashKey()
SHARED: Final[pytest.StashKey[Path]] = pytest.StashKey()
HEARING: Final[pytest.StashKey[Hearing]] = pytest.StashKey()
ANSWERED: Final[pytest.StashKey[tuple[str, str]]] = pytest.StashKey()
"""By which edition the server answers, where it was asked, and how near that is."""

WORKER_INPUT: Final = "sora_shared"
"""How the folder that processes share is told to xdist's workers."""
WORKER_EDITION: Final = "sora_answered"
"""And what the server was found to answer by."""


@contextmanager
def _usage() -> Iterator[None]:
    """What the command line says wrong ends the run as pytest ends it."""
    try:
        yield
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None


def _answered(config: pytest.Config, settings: options.Settings) -> tuple[str, str]:
    """By which edition the server answers, and how near that is; it is asked once, when that is first wanted."""
    from concurrent.futures import ThreadPoolExecutor

    from ..probe.client import Prober, server_of
    from ..probe.recognise import of_server

    if ANSWERED not in config.stash:
        server, (headers, _) = server_of(settings.server), settings.headers(simulated=False)
        prober = Prober(timeout_s=settings.timeout_s, ca_file=settings.ca_file, insecure=settings.insecure)
        # In a thread, since asyncio.run leaves the main one without the event loop that a suite may rely on.
        with ThreadPoolExecutor(1) as thread:
            name, told = thread.submit(of_server, server, headers, prober).result()
        config.stash[ANSWERED] = name, " ".join(told).replace("--edition", "--sora-edition")
    return config.stash[ANSWERED]


def _is_auto(settings: options.Settings) -> bool:
    from ..probe.recognise import AUTO

    return settings.edition == AUTO


def _gate_settings(config: pytest.Config) -> options.Settings:
    """What the gate is told, with an edition in the place of `auto`."""
    settings = options.read(config)
    if not _is_auto(settings) or config.option.collectonly:
        return settings
    from ..api.edition import DEFAULT
    from ..reports.baseline import mismatch
    from .gate import check

    if settings.simulated:
        return replace(settings, edition=DEFAULT)
    if ANSWERED not in config.stash:
        check(replace(settings, edition=DEFAULT))  # what is wrong is said before anything is sent
    name, told = _answered(config, settings)
    if settings.baseline is not None and (problem := mismatch(settings.baseline, edition=name)):
        raise UsageError(problem)
    return replace(settings, edition=name, notes=(told,))


# The gate.


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options `--sora-…`."""
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, and see whether the gate is wanted and can be had."""
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    gate_wanted = config.getoption("sora_conformance")
    if not gate_wanted and config.getoption("sora_url") is None:
        return
    with _usage():
        if options.where(config) is None and gate_wanted:
            _ = options.read(config).server  # only a configuration may still name one


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Read what the gate is told, and complain before anything else is done."""
    config = session.config
    if not config.getoption("sora_conformance"):
        return
    from .items import Gate

    worker: dict[str, Any] | None = getattr(config, "workerinput", None)  # Any: xdist's own
    shared = Path(tempfile.mkdtemp(prefix="sora-")) if worker is None else Path(worker[WORKER_INPUT])
    config.stash[SHARED] = shared
    if worker is not None and WORKER_EDITION in worker:
        config.stash[ANSWERED] = tuple(worker[WORKER_EDITION])
    gate = config.stash[GATE] = Gate(lambda: _gate_settings(config), shared)
    if worker is None and not config.option.collectonly:
        from .gate import check

        with _usage():
            check(gate.settings)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # Any: xdist's, which may not be there
    """Tell a worker of xdist where all of them meet."""
    shared = node.config.stash.get(SHARED, None)
    if shared is not None:
        node.workerinput[WORKER_INPUT] = str(shared)
    if ANSWERED in node.config.stash:
        node.workerinput[WORKER_EDITION] = node.config.stash[ANSWERED]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    shared = config.stash.get(SHARED, None)
    if shared is not None and not hasattr(config, "workerinput"):
        shutil.rmtree(shared, ignore_errors=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Add the gate's items before others select and sort, and see afterwards that the verdict is still there."""
    gate = config.stash.get(GATE, None)
    if gate is None:
        return (yield)
    from .items import collect, select_verdict

    own = collect(session, gate)
    items.extend(own)
    yield
    select_verdict(config, own, items)


def pytest_report_header(config: pytest.Config) -> str | list[str] | None:
    """Say what is tested, and by which field list."""
    gate = config.stash.get(GATE, None)
    if gate is None:
        return None
    if config.option.collectonly and (url := options.where(config)) is not None:
        return f"sora: {url}"  # the rest takes a configuration, which takes long to understand
    settings = gate.settings
    what = "SELF-TEST against the embedded simulator, no Sora" if settings.simulated else settings.server
    line = f"sora: {what}, edition {settings.edition}, {settings.duration_s:g} s"
    _, told = config.stash.get(ANSWERED, ("", ""))
    return [line, f"sora: {told}"] if told else line


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # Any: not exported by pytest
    """Print the verdict, family by family; the findings stand with the items that failed."""
    gate = config.stash.get(GATE, None)
    report = gate.known() if gate is not None else None
    if gate is None or report is None:
        return
    from .told import table

    terminalreporter.section(f"sora: {report.verdict.verdict}")
    terminalreporter.write(table(report, colour=terminalreporter.hasmarkup))
    if gate.settings.report is not None:
        terminalreporter.write_line(f"reports in {gate.settings.report}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """See that the verdict isn't skipped."""
    report = yield
    if GATE in item.config.stash:
        from .items import VerdictItem, refuse_skip

        if isinstance(item, VerdictItem):
            refuse_skip(report)
    return report


# Tests of one's own.


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, T, T]:
    """Fail a test whose answers have findings, in the phase in which they arose."""
    try:
        result = yield
    except BaseException:  # the test's own failure comes first, what was found stands below it
        failure, remarks = _conclude(item)
        _add_section(item, failure)
        _add_section(item, remarks)
        raise
    failure, remarks = _conclude(item)
    _add_section(item, remarks)
    if failure is not None:
        pytest.fail(failure, pytrace=False)
    return result


def _conclude(item: pytest.Item) -> tuple[str | None, str | None]:
    """Why the judge fails a test, and what else was found."""
    hearing = item.stash.get(HEARING, None)
    return (hearing.conclude(), hearing.remarks) if hearing is not None else (None, None)


def _add_section(item: pytest.Item, text: str | None) -> None:
    if text is not None:
        item.add_report_section("call", "sora", text)


@contextmanager
def _plainly() -> Iterator[None]:
    """What can't be done as asked is told in one line, not as a traceback through the plugin."""
    try:
        yield
    except HarnessError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture(scope="session")
def _sora_settings(pytestconfig: pytest.Config) -> options.Settings:
    with _plainly():
        return options.read(pytestconfig)


@pytest.fixture(scope="session")
def _sora_edition(_sora_settings: options.Settings) -> Edition:
    """Of a simulator of the plugin's own, and of what answers unless `auto` was given."""
    from ..api.edition import DEFAULT, load

    with _plainly():
        return load(DEFAULT if _is_auto(_sora_settings) else _sora_settings.edition)


@pytest.fixture(scope="session")
def _sora_sender(_sora_settings: options.Settings) -> Iterator[tuple[Background, Prober]]:
    from ..probe.client import Prober
    from .loop import Background

    with _plainly():
        prober = Prober(
            timeout_s=_sora_settings.timeout_s, ca_file=_sora_settings.ca_file, insecure=_sora_settings.insecure
        )
    with Background() as loop:
        yield loop, prober
        loop.submit(prober.__aexit__(None, None, None)).result()


@pytest.fixture(scope="session")
def sora_url(_sora_settings: options.Settings, _sora_edition: Edition) -> Iterator[str]:
    """
    The URL of the server that --sora-url, SORA_URL or the setting sora_url names.

    Where that is `simulator`, one runs for the session, with the faults of --sora-fault.
    """
    if not _sora_settings.simulated:
        from ..probe.client import server_of

        with _plainly():
            url = server_of(_sora_settings.server)
        yield url
        return
    from ..simulator.server import Simulator

    with _plainly():
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
    with _plainly():
        simulator = Simulator(**settings)
    with simulator:
        yield simulator


@pytest.fixture
def _sora_judging(request: pytest.FixtureRequest, _sora_settings: options.Settings, _sora_edition: Edition) -> Edition:
    """By which this test's answers are judged."""
    from ..api.edition import load

    if not _is_auto(_sora_settings) or _is_simulated(request, _sora_settings):
        return _sora_edition
    with _plainly():
        name, told = _answered(request.config, _sora_settings)
    request.node.add_report_section("setup", "sora", told)
    return load(name)


@pytest.fixture
def sora_judge(
    request: pytest.FixtureRequest, _sora_settings: options.Settings, _sora_judging: Edition
) -> Iterator[Hearing]:
    """
    The judge of this test: what is shown to it, by `sora_client` or by the test, fails the test where it is wrong.
    """
    from .hearing import Hearing

    settings = _sora_settings
    with _plainly():
        _, secrets = settings.headers(simulated=_is_simulated(request, settings))
    hearing = Hearing(_sora_judging, strict=settings.strict, waivers=settings.waivers, secrets=secrets)
    request.node.stash[HEARING] = hearing
    yield hearing
    late = hearing.conclude()
    if late is not None:
        pytest.fail(f"found after the test was over:\n{late}", pytrace=False)


@pytest.fixture
def sora_client(
    request: pytest.FixtureRequest,
    sora_judge: Hearing,
    _sora_settings: options.Settings,
    _sora_sender: tuple[Background, Prober],
) -> Client:
    """
    A client of the three targets, each of whose answers is judged; `sora_client.aio` has coroutines.

    It asks this test's `sora_simulator` where the test has one, else the server of `sora_url`.
    """
    from .client import Client

    loop, prober = _sora_sender
    server = _server(request)
    with _plainly():
        headers, _ = _sora_settings.headers(simulated=_is_simulated(request, _sora_settings))
    return Client(server, loop=loop, prober=prober, clerk=sora_judge, headers=headers)


@pytest.fixture
def sora_recording(
    request: pytest.FixtureRequest,
    sora_judge: Hearing,
    tmp_path: Path,
    _sora_settings: options.Settings,
    _sora_judging: Edition,
) -> Iterator[Recording]:
    """
    What this test exchanges, in a file of its `tmp_path` that `sora-harness check` judges again.
    """
    from ..recording.writer import Recorder
    from .hearing import OBSERVES
    from .record import Recording

    simulated = _is_simulated(request, _sora_settings)
    _, secrets = _sora_settings.headers(simulated=simulated)
    with Recorder(
        tmp_path / "sora.jsonl.zst",
        subject=_server(request),
        subject_kind="simulator" if simulated else "server",
        edition=_sora_judging.name,
        options={"test": request.node.nodeid, "observes": sorted(need.value for need in OBSERVES)},
        secrets=secrets,
        run=sora_judge.run,
    ) as recorder:
        recording = Recording(recorder)
        sora_judge.observers.append(recording.add)
        yield recording


def _is_simulated(request: pytest.FixtureRequest, settings: options.Settings) -> bool:
    """Whether this test asks a simulator, or nobody at all."""
    return settings.simulated or "sora_simulator" in request.fixturenames or settings.url is None


def _server(request: pytest.FixtureRequest) -> str:
    """The URL of whom this test asks."""
    if "sora_simulator" in request.fixturenames:
        simulator: Simulator = request.getfixturevalue("sora_simulator")
        return simulator.url
    url: str = request.getfixturevalue("sora_url")
    return url
