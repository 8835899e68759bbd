"""
What holds for all tests: nobody's shell and no machine's speed decides on them.

Hypothesis gives each example 200 ms unless told otherwise, which is a limit on the wall clock, and draws other examples
each time; so here it has neither, and a run that fails is failed by what was changed. `make test` uses the profile
`fast`, `make proof` the profile `full`, with four times the examples.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator
from typing import Final

import pytest
from hypothesis import Phase, settings

pytest_plugins = ["tests.processes"]

OF_THE_SHELL: Final = (
    "SORA_URL",
    "PYTHONDONTWRITEBYTECODE",
    "SORA_HARNESS_DEBUG",
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
    "GITHUB_ACTIONS",
    "GITHUB_STEP_SUMMARY",
    "CI_PROJECT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
)
"""Variables that change what a command does, prints or costs; commands that tests start don't inherit them."""

for name in OF_THE_SHELL:
    os.environ.pop(name, None)
os.environ["LC_ALL"] = "C.UTF-8"  # English

for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:  # of a shell that runs the tests in the background
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)

UNEXPLAINED: Final = [each for each in Phase if each is not Phase.explain]
"""Which lines a failure depends on is traced line by line, and a test that plants a bug knows it."""

settings.register_profile("full", deadline=None, derandomize=True, database=None, phases=UNEXPLAINED)
settings.register_profile("fast", settings.get_profile("full"), max_examples=25)
settings.register_profile("planted", settings.get_profile("fast"), phases=[Phase.explicit, Phase.generate])
settings.load_profile("fast")  # pytest loads the one of --hypothesis-profile later

gc.disable()  # until all tests are collected, none of which is garbage


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Look for no doctests here: they are in the package."""
    found = yield
    return [each for each in found if type(each).__name__ != "DoctestModule"]


def pytest_collection_finish() -> None:
    """Let the collector run again; `gc.freeze` would hide from old versions of Hypothesis who refers to what."""
    gc.enable()
