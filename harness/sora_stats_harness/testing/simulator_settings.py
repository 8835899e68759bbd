"""
What the simulators of tests are like, from marks, parameters and fixtures; each mistake is an error that says the fix.
"""

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
"""The mark, and the fixture that it sets up."""

Settings = Mapping[str, Any]
"""As Simulator takes them. Any: whatever its arguments hold."""


class RunningSimulators:
    """
    The simulators that run in this session: nothing that is meant for a server goes to them.

    Args:
        edition: Which edition they serve, unless they are told otherwise: a name or a file.
    """

    def __init__(self, edition: str) -> None:
        self._edition = load_edition(DEFAULT_EDITION if edition == AUTO_EDITION else edition)
        self._urls: set[str] = set()
        self._shared: dict[str, Simulator] = {}

    def reset_shared(self, fixture_names: list[str]) -> None:
        """Let a test find the simulators that it shares with others as they were when they started."""
        for name in fixture_names:
            if name in self._shared:
                self._shared[name].reset()

    def has_url(self, url: str) -> bool:
        """Whether a simulator of this session listens there."""
        return url in self._urls

    def run_for(self, request: pytest.FixtureRequest, settings: Settings) -> AbstractContextManager[Simulator]:
        """
        Run the simulator of a fixture as marks and parameters describe it; `settings` are what holds besides.

        Raises:
            UsageError: It can't be run so.
        """
        given = dict(check_names(settings, "the fixture sora_simulator_settings gives"))
        for mark in reversed(list(request.node.iter_markers(MARK))):
            given |= read_mark(mark)
        given |= check_names(getattr(request, "param", {}), f"the parameters of {request.fixturename} have")
        return self.run(given, shared_as=None if request.scope == "function" else request.fixturename)

    def run(self, settings: Settings, *, shared_as: str | None = None) -> AbstractContextManager[Simulator]:
        """
        Run a simulator; by default its connections neither join nor leave.

        Raises:
            UsageError: It can't be run so.
        """
        given: dict[str, Any] = {"edition": self._edition, "churn": False, **settings}  # Any: as Settings
        if isinstance(given["edition"], str):
            given["edition"] = load_edition(given["edition"])
        return self._listen(Simulator(**given), shared_as)

    @contextmanager
    def _listen(self, simulator: Simulator, shared_as: str | None) -> Iterator[Simulator]:
        with simulator:
            self._urls.update(simulator.urls)
            if shared_as is not None:
                self._shared[shared_as] = simulator
            try:
                yield simulator
            finally:
                self._urls.difference_update(simulator.urls)
                if shared_as is not None:
                    del self._shared[shared_as]


def read_mark(mark: pytest.Mark) -> Settings:
    """
    The settings of one mark.

    Raises:
        UsageError: It has settings without a name, or with one that there isn't.
    """
    if mark.args:
        faults = [f'"{value}"' for value in mark.args if isinstance(value, str)]
        example = f"faults=[{', '.join(faults)}]" if len(faults) == len(mark.args) else "seed=2"
        raise UsageError(f"the mark {MARK} takes its settings by name: write {MARK}({example})")
    return check_names(mark.kwargs, f"the mark {MARK} has")


def check_names(settings: Settings, where: str) -> Settings:
    """
    Refuse a setting that no simulator has.

    Args:
        where: Who names it, with a verb.

    Raises:
        UsageError: There is one, or these are no settings at all.
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
    """
    The URL of the simulator that a fixture gives.

    Raises:
        UsageError: It gives none, because a test was parametrized in its place.
    """
    if not isinstance(value, Simulator):
        raise UsageError(f'parametrize("{name}", …) sets no simulator up: write indirect=True beside it')
    return value.url


def check_mark_use(item: pytest.Item, fixture_names: list[str]) -> None:
    """
    Refuse a mark on a test that has no simulator of its own, where it would do nothing.

    Raises:
        UsageError: There is one, or it is wrong by itself.
    """
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
        raise UsageError(f"the mark {MARK} sets up the fixture {MARK}, which this test lacks: add it to the arguments")
