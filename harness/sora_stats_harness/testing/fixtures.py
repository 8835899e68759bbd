"""
The plugin's fixtures: a simulator, a client whose responses are judged, the judge itself, and a recording.

Every pytest run loads this module, so what is heavy is imported by the fixture that needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from ..api.errors import HarnessError
from . import options
from .edition_match import is_auto_edition, match_server_edition

if TYPE_CHECKING:
    from ..api.edition import Edition
    from ..probe.prober import Prober
    from ..simulator.server import Simulator
    from .background_loop import BackgroundLoop
    from .client import StatsClient
    from .exchange_recording import ExchangeRecording
    from .per_test_judge import PerTestJudge

TEST_JUDGE_KEY: Final[pytest.StashKey[PerTestJudge]] = pytest.StashKey()
"""The judge of an item, where it uses the fixture `sora_judge`."""


@contextmanager
def _fail_in_one_line() -> Iterator[None]:
    """Fail with one line where a setting can't be used, not with a traceback through the plugin."""
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
    """The edition of the plugin's simulators, and of servers unless `auto` was given."""
    from ..api.edition import DEFAULT_EDITION, load_edition

    with _fail_in_one_line():
        return load_edition(DEFAULT_EDITION if is_auto_edition(_sora_settings) else _sora_settings.edition)


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
        from ..api.server_url import normalize_server_url

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

    `@pytest.mark.sora_simulator(faults=["counter-falls"], seed=2, connections=5)` sets it up, or
    `@pytest.mark.parametrize("sora_simulator", [{...}, {...}], indirect=True)`, with any argument that
    `sora_stats_harness.simulator.server.Simulator` takes. By default connections neither join nor leave.
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
    """The edition by which this test's responses are judged."""
    from ..api.edition import load_edition

    if not is_auto_edition(_sora_settings) or _uses_simulator(request, _sora_settings):
        return _sora_edition
    with _fail_in_one_line():
        name, note = match_server_edition(request.config, _sora_settings)
    request.node.add_report_section("setup", "sora", note)
    return load_edition(name)


@pytest.fixture
def sora_judge(
    request: pytest.FixtureRequest, _sora_settings: options.PluginSettings, _sora_judged_edition: Edition
) -> Iterator[PerTestJudge]:
    """
    The judge of this test: it judges the exchanges of `sora_client` and of the test, and fails the test for its findings.
    """
    from .per_test_judge import PerTestJudge

    settings = _sora_settings
    with _fail_in_one_line():
        _, secrets = settings.read_headers_and_secrets(simulated=_uses_simulator(request, settings))
    judge = PerTestJudge(
        _sora_judged_edition,
        severity=settings.severity,
        waivers=settings.waivers,
        secrets=secrets,
        tear_s=settings.tear_s,
        has_standing_clock=lambda: _has_frozen_simulator(request),
    )
    request.node.stash[TEST_JUDGE_KEY] = judge
    yield judge
    late = judge.finish_test()
    if late is not None:
        pytest.fail(f"found after the test was over:\n{late}", pytrace=False)


def _has_frozen_simulator(request: pytest.FixtureRequest) -> bool:
    simulator = request.node.funcargs.get("sora_simulator")
    return simulator is not None and simulator.is_frozen


@pytest.fixture
def sora_client(
    request: pytest.FixtureRequest,
    sora_judge: PerTestJudge,
    _sora_settings: options.PluginSettings,
    _sora_prober: tuple[BackgroundLoop, Prober],
) -> StatsClient:
    """
    A client of the three targets whose responses are judged; `sora_client.aio` has coroutines.

    It sends to this test's `sora_simulator` if the test has one, else to `sora_url`.
    """
    from .client import StatsClient

    loop, prober = _sora_prober
    server = _server_url(request)
    with _fail_in_one_line():
        headers, _ = _sora_settings.read_headers_and_secrets(simulated=_uses_simulator(request, _sora_settings))
    return StatsClient(server, loop=loop, prober=prober, opener=sora_judge, headers=headers)


@pytest.fixture
def sora_recording(
    request: pytest.FixtureRequest,
    sora_judge: PerTestJudge,
    tmp_path: Path,
    _sora_settings: options.PluginSettings,
    _sora_judged_edition: Edition,
) -> Iterator[ExchangeRecording]:
    """A recording of this test's exchanges, in its `tmp_path`; `sora-harness check` judges it again."""
    from ..recording.writer import RecordedRun, RecordingWriter
    from .exchange_recording import ExchangeRecording
    from .per_test_judge import TEST_SCOPE

    simulated = _uses_simulator(request, _sora_settings)
    _, secrets = _sora_settings.read_headers_and_secrets(simulated=simulated)
    with RecordingWriter(
        tmp_path / "sora.jsonl.zst",
        RecordedRun(
            subject=_server_url(request),
            subject_kind="simulator" if simulated else "server",
            edition=_sora_judged_edition.name,
            options={"test": request.node.nodeid} | TEST_SCOPE.to_options(),
            id=sora_judge.run_id,
        ),
        secrets=secrets,
    ) as recorder:
        recording = ExchangeRecording(recorder)
        sora_judge.observers.append(recording.add)
        yield recording


def _uses_simulator(request: pytest.FixtureRequest, settings: options.PluginSettings) -> bool:
    """Whether this test uses a simulator, or no server at all."""
    return settings.uses_simulator or "sora_simulator" in request.fixturenames or settings.url is None


def _server_url(request: pytest.FixtureRequest) -> str:
    """The URL that this test sends to."""
    if "sora_simulator" in request.fixturenames:
        simulator: Simulator = request.getfixturevalue("sora_simulator")
        return simulator.url
    url: str = request.getfixturevalue("sora_url")
    return url
