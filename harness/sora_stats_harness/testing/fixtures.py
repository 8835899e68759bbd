"""
The plugin's fixtures: a simulator, a client whose responses are judged, the judge itself, and a recording.

Every pytest run loads this module, so each fixture imports the heavy modules that it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest

from ..api.errors import HarnessError
from ..api.language import translate
from . import options

if TYPE_CHECKING:
    from ..api.exchange import Headers
    from ..api.secret_redaction import Secrets
    from ..probe.run_settings import RunSettings
    from ..simulator.server import Simulator
    from .background_loop import ProberPool
    from .client import StatsClient
    from .exchange_recording import ExchangeRecording
    from .per_test_judge import PerTestJudge
    from .simulator_settings import RunningSimulators

TEST_JUDGE_KEY: Final[pytest.StashKey[PerTestJudge]] = pytest.StashKey()
"""The judge of an item that uses the fixture `sora_judge`."""

SIMULATORS_KEY: Final[pytest.StashKey[RunningSimulators]] = pytest.StashKey()
"""The simulators of the session, once there is one."""

SIMULATOR_FIXTURES: Final = ("sora_simulator", "sora_module_simulator", "sora_session_simulator")
"""The simulator fixtures, in order of precedence: the client sends to the first one that a test uses."""


@contextmanager
def fail_in_one_line() -> Iterator[None]:
    """Fail with one line if a setting can't be used, instead of a traceback through the plugin."""
    try:
        yield
    except HarnessError as error:
        raise pytest.fail.Exception(translate(str(error)), pytrace=False) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedServer:
    """The server that one test uses, with the settings for it."""

    url: str | None
    """None if the test uses no server."""
    settings: RunSettings
    headers: Headers
    secrets: Secrets

    @property
    def kind(self) -> Literal["simulator", "server"]:
        """Whether it is one of the plugin's simulators."""
        return "simulator" if self.settings.url is None else "server"


@pytest.fixture(scope="session")
def _sora_settings(pytestconfig: pytest.Config) -> options.PluginSettings:
    with fail_in_one_line():
        return options.read_settings(pytestconfig)


@pytest.fixture(scope="session")
def _sora_simulators(pytestconfig: pytest.Config, _sora_settings: options.PluginSettings) -> RunningSimulators:
    from .simulator_settings import RunningSimulators

    with fail_in_one_line():
        simulators = RunningSimulators(_sora_settings.no_server.edition)
    pytestconfig.stash[SIMULATORS_KEY] = simulators
    return simulators


@pytest.fixture(scope="session")
def _sora_probers() -> Iterator[ProberPool]:
    from .background_loop import ProberPool

    with ProberPool() as probers:
        yield probers


@pytest.fixture(scope="session")
def sora_url(_sora_settings: options.PluginSettings, _sora_simulators: RunningSimulators) -> Iterator[str]:
    """
    The URL of the server that --sora-url, SORA_URL or the setting sora_url names.

    If that is `simulator`, one runs for the session, with the faults of --sora-fault. A suite may override this
    fixture; its value is treated like any other server.
    """
    with fail_in_one_line():
        url = _sora_settings.server.url
    if url is not None:
        yield url
        return
    with fail_in_one_line():
        running = _sora_simulators.run({"faults": _sora_settings.faults, "churn": True})
    with running as simulator:
        yield simulator.url


@pytest.fixture(scope="session")
def sora_simulator_settings() -> dict[str, Any]:  # Any: as Simulator takes them
    """The settings of all simulators of a suite, which may override this fixture; marks take precedence."""
    return {}


def _run_simulator(
    request: pytest.FixtureRequest, simulators: RunningSimulators, settings: dict[str, Any]
) -> Iterator[Simulator]:
    with fail_in_one_line():
        running = simulators.run_for(request, settings)
    with running as simulator:
        yield simulator


@pytest.fixture
def sora_simulator(
    request: pytest.FixtureRequest, _sora_simulators: RunningSimulators, sora_simulator_settings: dict[str, Any]
) -> Iterator[Simulator]:
    """
    A simulator for this test only.

    `@pytest.mark.sora_simulator(faults=["counter-falls"], seed=2, connections=5)` sets it up, or
    `@pytest.mark.parametrize("sora_simulator", [{...}, {...}], indirect=True)`, with any argument that
    `sora_stats_harness.simulator.server.Simulator` takes. By default connections neither join nor leave.
    """
    yield from _run_simulator(request, _sora_simulators, sora_simulator_settings)


@pytest.fixture(scope="module")
def sora_module_simulator(
    request: pytest.FixtureRequest, _sora_simulators: RunningSimulators, sora_simulator_settings: dict[str, Any]
) -> Iterator[Simulator]:
    """A simulator for all tests of a module, set up by the module's `pytestmark`; it is reset before each test."""
    yield from _run_simulator(request, _sora_simulators, sora_simulator_settings)


@pytest.fixture(scope="session")
def sora_session_simulator(
    request: pytest.FixtureRequest, _sora_simulators: RunningSimulators, sora_simulator_settings: dict[str, Any]
) -> Iterator[Simulator]:
    """
    A simulator for the whole session, set up by the fixture `sora_simulator_settings`; it is reset before each test.
    """
    yield from _run_simulator(request, _sora_simulators, sora_simulator_settings)


@pytest.fixture
def _sora_asked(
    request: pytest.FixtureRequest, _sora_settings: options.PluginSettings, _sora_simulators: RunningSimulators
) -> AskedServer:
    with fail_in_one_line():
        url = _asked_url(request)
        if url is None or url in _sora_simulators.urls:
            settings = _sora_settings.no_server
        else:
            settings = _sora_settings.settings_for(url)
        settings, note = options.match_server_edition(request.config, settings)
        headers, secrets = settings.look_up()
    if note is not None:
        request.node.add_report_section("setup", "sora", translate(note))
    return AskedServer(url=url, settings=settings, headers=headers, secrets=secrets)


@pytest.fixture
def sora_judge(request: pytest.FixtureRequest, _sora_asked: AskedServer) -> Iterator[PerTestJudge]:
    """
    The judge of this test: judges the exchanges of `sora_client` and of the test, and fails the test for findings.
    """
    from ..api.edition import load_edition
    from .per_test_judge import PerTestJudge

    settings = _sora_asked.settings
    judge = PerTestJudge(
        load_edition(settings.edition),
        severity=settings.severity,
        waivers=settings.waivers,
        secrets=_sora_asked.secrets,
        tear_s=settings.tear_s,
        has_standing_clock=lambda: _has_frozen_simulator(request),
    )
    request.node.stash[TEST_JUDGE_KEY] = judge
    yield judge
    late = judge.finish_test()
    if late is not None:
        pytest.fail(f"{translate('found after the test was over:')}\n{late}", pytrace=False)


def _has_frozen_simulator(request: pytest.FixtureRequest) -> bool:
    simulators = (request.node.funcargs.get(name) for name in SIMULATOR_FIXTURES)
    return any(each is not None and each.is_frozen for each in simulators)


@pytest.fixture
def sora_client(sora_judge: PerTestJudge, _sora_asked: AskedServer, _sora_probers: ProberPool) -> StatsClient:
    """
    A client of the three targets whose responses are judged; `sora_client.aio` has coroutines.

    It sends to the test's simulator if it has one, else to `sora_url`.
    """
    from .client import StatsClient

    assert _sora_asked.url is not None, "a test with this fixture asks a server"
    return StatsClient(
        _sora_asked.url,
        loop=_sora_probers.loop,
        prober=_sora_probers.prober_for(_sora_asked.settings),
        opener=sora_judge,
        headers=_sora_asked.headers,
    )


@pytest.fixture
def sora_recording(
    request: pytest.FixtureRequest, sora_judge: PerTestJudge, tmp_path: Path, _sora_asked: AskedServer
) -> Iterator[ExchangeRecording]:
    """A recording of this test's exchanges, in its `tmp_path`; `sora-harness check` judges it again."""
    from ..api.edition import load_edition
    from ..recording.writer import RecordedRun, RecordingWriter
    from .exchange_recording import ExchangeRecording
    from .per_test_judge import TEST_SCOPE

    with RecordingWriter(
        tmp_path / "sora.jsonl.zst",
        RecordedRun(
            subject=_sora_asked.url or "",
            subject_kind=_sora_asked.kind,
            edition=load_edition(_sora_asked.settings.edition).name,
            options={"test": request.node.nodeid} | TEST_SCOPE.to_options(),
            id=sora_judge.run_id,
        ),
        secrets=_sora_asked.secrets,
    ) as recorder:
        recording = ExchangeRecording(recorder)
        sora_judge.observers.append(recording.add)
        yield recording


def _asked_url(request: pytest.FixtureRequest) -> str | None:
    """The URL that this test sends to: that of its simulator, else `sora_url`; None if it sends nothing."""
    from .simulator_settings import read_simulator_url

    names = request.fixturenames
    for name in SIMULATOR_FIXTURES:
        if name in names:
            return read_simulator_url(name, request.getfixturevalue(name))
    if not {"sora_url", "sora_client", "sora_recording"}.intersection(names):
        return None
    return options.read_fixture_url(request.getfixturevalue("sora_url"))
