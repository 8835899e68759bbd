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
import sys
from collections import Counter
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

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
    assert "locust" not in sys.modules, "a test module imports Locust, which replaces the sockets of all tests"


LAST: Final = (
    "tests/cli/test_broken_outputs.py",
    "tests/cli/test_first_contact.py",
    "tests/project/test_docs.py",
    "tests/simulator/test_faults_tripped.py",
)
"""What comes last, so that all processes are done at about the same time: many tests of a second."""

APART: Final = (
    *LAST,
    "tests/cli/test_recognise.py",
    "tests/foreign/",
    "tests/load/capacity/test_command.py",
    "tests/load/capacity/test_workers.py",
    "tests/load/test_command.py",
    "tests/load/test_locust_distributed.py",
    "tests/load/test_locust_web_page.py",
    "tests/load/test_machines.py",
    "tests/load/test_master.py",
    "tests/load/test_mix.py",
    "tests/load/test_plain_locust.py",
    "tests/load/test_workers.py",
    "tests/probe/test_conform_hostile.py",
    "tests/probe/test_proxies.py",
    "tests/project/test_packaging.py",
    "tests/simulator/test_strategies.py",
    "tests/testing/test_gate_file.py",
    "tests/testing/test_gate_run.py",
)
"""Where tests take seconds each and share nothing, so that any process may run any of them."""


def _unit_of(nodeid: str) -> str:
    """What one process runs at a stretch: a module, or one of the tests that take long."""
    return nodeid if nodeid.startswith(APART) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:  # Any: xdist's own
    """Hand out units in the order of the collection, the next one to whichever process is done with its own."""
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _unit_of(nodeid)

    config.option.loadscopereorder = False
    return Units(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mix the units of all folders, since those of some wait and those of others compute."""
    if not hasattr(config, "workerinput"):
        return
    folders = {_unit_of(item.nodeid): "/".join(item.nodeid.split("/")[:2]) for item in items}
    sizes, seen = Counter(folders.values()), Counter[str]()
    places = {}
    for unit, folder in folders.items():
        places[unit] = seen[folder] / sizes[folder]
        seen[folder] += 1
    items.sort(key=lambda item: (item.nodeid.startswith(LAST), places[_unit_of(item.nodeid)]))
