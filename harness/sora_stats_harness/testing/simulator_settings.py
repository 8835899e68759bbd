"""The settings of tests' simulators, from marks, parameters and fixtures; each UsageError says how to fix the mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from typing import Any, Final

import pytest

from ..api.edition import DEFAULT_EDITION, load_edition
from ..api.errors import UsageError, suggest_nearest
from ..probe.edition_detection import AUTO_EDITION
from ..simulator.server import Simulator

MARK: Final = "sora_simulator"
"""The name of the mark, and of the fixture that it configures."""

Settings = Mapping[str, Any]
"""The arguments of Simulator. Any: of its arguments' types."""


class RunningSimulators:
    """
    The simulators that run in this session; they never get what is meant for a server.

    Args:
        edition: The default edition that they serve: a name or a file.
    """

    def __init__(self, edition: str) -> None:
        self._edition = load_edition(DEFAULT_EDITION if edition == AUTO_EDITION else edition)
        self.urls: set[str] = set()
        """Where they listen."""
        self._shared: dict[str, Simulator] = {}

    def reset_shared(self, fixture_names: list[str]) -> None:
        """Reset the simulators that a test shares with others."""
        for name in fixture_names:
            if name in self._shared:
                self._shared[name].reset()

    def run_for(self, request: pytest.FixtureRequest, settings: Settings) -> AbstractContextManager[Simulator]:
        """Run the simulator of a fixture according to marks and parameters; `settings` are the defaults."""
        given = dict(check_names(settings, "the fixture sora_simulator_settings gives"))
        for mark in reversed(list(request.node.iter_markers(MARK))):
            given |= read_mark(mark)
        given |= check_names(getattr(request, "param", {}), f"the parameters of {request.fixturename} have")
        return self.run(given, shared_as=None if request.scope == "function" else request.fixturename)

    def run(self, settings: Settings, *, shared_as: str | None = None) -> AbstractContextManager[Simulator]:
        """Run a simulator; by default its connections neither join nor leave."""
        given: dict[str, Any] = {"edition": self._edition, "churn": False, **settings}  # Any: as Settings
        if isinstance(given["edition"], str):
            given["edition"] = load_edition(given["edition"])
        return self._listen(Simulator(**given), shared_as)

    @contextmanager
    def _listen(self, simulator: Simulator, shared_as: str | None) -> Iterator[Simulator]:
        with simulator:
            self.urls.update(simulator.urls)
            if shared_as is not None:
                self._shared[shared_as] = simulator
            try:
                yield simulator
            finally:
                self.urls.difference_update(simulator.urls)
                if shared_as is not None:
                    del self._shared[shared_as]


def read_mark(mark: pytest.Mark) -> Settings:
    """The settings of one mark."""
    if mark.args:
        faults = [f'"{value}"' for value in mark.args if isinstance(value, str)]
        example = f"faults=[{', '.join(faults)}]" if len(faults) == len(mark.args) else "seed=2"
        raise UsageError(f"the mark {MARK} takes its settings by name: write {MARK}({example})")
    return check_names(mark.kwargs, f"the mark {MARK} has")


def check_names(settings: Settings, where: str) -> Settings:
    """
    Refuse a setting that no simulator has.

    Args:
        where: Where the settings come from, with a verb.
    """
    known = [each.name for each in fields(Simulator)]
    if not isinstance(settings, Mapping):
        raise UsageError(f"{where} {settings!r} where a dict of settings is expected, such as {{'connections': 3}}")
    for name in settings:
        if name not in known:
            hint = suggest_nearest(name, known) or f": there are {', '.join(known)}"
            raise UsageError(f"{where} the setting {name!r}, which no simulator has{hint}")
    return settings


def read_simulator_url(name: str, value: object) -> str:
    """The URL of the simulator that a fixture returns."""
    if not isinstance(value, Simulator):
        raise UsageError(f'parametrize("{name}", …) does not set up a simulator: add indirect=True')
    return value.url


def check_mark_use(item: pytest.Item, fixture_names: list[str]) -> None:
    """Refuse a mark on a test without its own simulator, where it would have no effect."""
    for mark in item.own_markers:
        if mark.name != MARK:
            continue
        read_mark(mark)
        if MARK in fixture_names:
            continue
        if "sora_module_simulator" in fixture_names:
            raise UsageError(
                f"sora_module_simulator is for all tests of the module: write pytestmark = pytest.mark.{MARK}(…)"
            )
        if "sora_session_simulator" in fixture_names:
            raise UsageError(
                "sora_session_simulator is for all tests: write a fixture sora_simulator_settings in conftest.py"
            )
        raise UsageError(
            f"the mark {MARK} configures the fixture {MARK}, which this test doesn't use: add it to the arguments"
        )
