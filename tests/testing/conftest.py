"""
Loads what runs of pytest inside of this process use.

`pytester` drops the modules that such a run imports, and a later run would then mix old and new ones.
"""

from __future__ import annotations

import httpcore  # noqa: F401  # httpx imports it when it first sends
import pytest
import uvicorn.protocols.http.httptools_impl  # noqa: F401  # uvicorn imports it when it first listens

from sora_stats_harness.api import project_config  # noqa: F401
from sora_stats_harness.cli import command_support  # noqa: F401
from sora_stats_harness.probe import edition_detection  # noqa: F401
from sora_stats_harness.reports import github_actions, terminal  # noqa: F401
from sora_stats_harness.simulator import server  # noqa: F401
from sora_stats_harness.testing import background_loop, client, exchange_recording, gate_run  # noqa: F401


@pytest.fixture(autouse=True)
def _only_what_is_asked_for(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of pytest load our plugin and those that a test names, and don't read the source of pytest for tracebacks."""
    if "pytester" in request.fixturenames:
        request.getfixturevalue("pytester")  # which forgets such variables
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p sora --tb=native")
