"""
`pytest --processes 6`: the tests in several processes, each a copy of the one that has collected them.

To import and collect all tests takes three seconds of CPU time, which every worker of pytest-xdist spends again. A copy
has them at once. The copies read the number of the next unit from one pipe, run the unit, and send what came of its
tests to the first process, which reports it as if it had run them itself.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import traceback
from collections import Counter
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, Final, NoReturn

import pytest

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

OWN_FOLDER: Final = "process-"
"""How the folder of a process's temporary files begins."""

NUMBER_BYTES: Final = 4

Unit = list[pytest.Item]
Event = tuple[str, Any]  # Any: what the hook of that name takes


def pytest_addoption(parser: pytest.Parser) -> None:
    """One option."""
    parser.addoption("--processes", type=int, default=0, help="run the tests in so many copies of this process")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run all tests; leaves it to pytest where there is nothing to share."""
    count = session.config.getoption("processes")
    if not count or session.testsfailed or session.config.option.collectonly:
        return None
    units = _units(session.items)
    queue, feed = os.pipe()
    os.write(feed, b"".join(number.to_bytes(NUMBER_BYTES, "big") for number in range(len(units))))
    os.close(feed)
    copies: dict[Connection, int] = {}
    try:
        for number in range(min(count, len(units))):
            ours, theirs = Pipe(duplex=False)
            if (process := os.fork()) == 0:
                for each in (ours, *copies):
                    each.close()
                _become_copy(session, number, units, queue, theirs)
            theirs.close()
            copies[ours] = process
        _report(session, copies)
    finally:
        for connection, process in copies.items():  # none, unless something went wrong here
            connection.close()
            os.kill(process, signal.SIGINT)
        for process in copies.values():
            os.waitpid(process, 0)
        unread = len(os.read(queue, len(units) * NUMBER_BYTES)) // NUMBER_BYTES
        os.close(queue)
    if unread:
        raise session.Interrupted(f"{unread} of {len(units)} units were not run")
    return True


def _unit_of(nodeid: str) -> str:
    """What one process runs at a stretch: a module, or one of the tests that take long."""
    return nodeid if nodeid.startswith(APART) else nodeid.partition("::")[0]


def _units(items: list[pytest.Item]) -> list[Unit]:
    """The units, mixed from all folders, since those of some wait and those of others compute."""
    units: dict[str, Unit] = {}
    for item in items:
        units.setdefault(_unit_of(item.nodeid), []).append(item)
    folders = {name: "/".join(name.split("/")[:2]) for name in units}
    sizes, seen = Counter(folders.values()), Counter[str]()
    places = {}
    for name, folder in folders.items():
        places[name] = (name.startswith(LAST), seen[folder] / sizes[folder])
        seen[folder] += 1
    return [units[name] for name in sorted(units, key=places.__getitem__)]


def _become_copy(
    session: pytest.Session, number: int, units: list[Unit], queue: int, connection: Connection
) -> NoReturn:
    """Run units, and end."""
    try:
        atexit._clear()  # what the first process does at its end
        _run_units(session, number, units, queue, connection)
        atexit._run_exitfuncs()
    except BaseException:
        connection.send([("broken", traceback.format_exc())])
    finally:
        os._exit(0)


def _run_units(session: pytest.Session, number: int, units: list[Unit], queue: int, connection: Connection) -> None:
    """Run units until none is left, as a process of its own."""
    config = session.config
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()  # into files that no other process writes to
    capture.suspend_global_capture()
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(sender := _Sender(connection, config))
    temporary = config._tmp_path_factory  # type: ignore[attr-defined]  # pytest's own
    temporary._basetemp = temporary.getbasetemp() / f"{OWN_FOLDER}{number}"
    temporary._basetemp.mkdir()
    try:
        while place := os.read(queue, NUMBER_BYTES):
            unit = units[int.from_bytes(place, "big")]
            for item, following in zip(unit, [*unit[1:], session], strict=True):  # fixtures of the session stay
                config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            sender.flush()
    finally:
        session._setupstate.teardown_exact(None)
    connection.send([("end", None)])


class _Sender:
    """Sends what came of each test; a message each."""

    def __init__(self, connection: Connection, config: pytest.Config) -> None:
        self._connection = connection
        self._config = config
        self._events: list[Event] = []

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self._events.append(("start", {"nodeid": nodeid, "location": location}))
        self.flush()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._events.append(
            ("report", self._config.hook.pytest_report_to_serializable(config=self._config, report=report))
        )

    def pytest_runtest_logfinish(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self._events.append(("finish", {"nodeid": nodeid, "location": location}))

    def pytest_warning_recorded(
        self, warning_message: Any, when: str, nodeid: str, location: Any
    ) -> None:  # Any: pytest's own
        try:
            pickle.dumps(warning_message)
        except Exception:
            warning_message.message, warning_message.category = Warning(str(warning_message.message)), Warning
        told = {"warning_message": warning_message, "when": when, "nodeid": nodeid, "location": location}
        self._events.append(("warning", told))

    def flush(self) -> None:
        """Send what has not been sent yet."""
        self._connection.send(self._events)
        self._events = []


def _report(session: pytest.Session, copies: dict[Connection, int]) -> None:
    """Tell pytest what the copies send, until each has ended; of those that have, none is left."""
    running: dict[Connection, dict[str, Any]] = {}  # Any: nodeid and location
    while copies:
        for connection in wait(list(copies)):
            assert isinstance(connection, Connection)
            try:
                events = connection.recv()
            except EOFError:
                events = [("broken", "the process has ended")]
            for name, told in events:
                if name == "start":
                    running[connection] = told
                elif name == "finish":
                    del running[connection]
                _tell(session, name, told, running.get(connection, {"nodeid": "tests", "location": ("tests", 0, "")}))
                if name in ("end", "broken"):
                    os.waitpid(copies.pop(connection), 0)
                    connection.close()
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)


def _tell(session: pytest.Session, name: str, told: Any, running: dict[str, Any]) -> None:  # Any: see Event
    """Call pytest's hook for an event; a copy that breaks is a failure of the test that it ran."""
    hook = session.config.hook
    if name == "start":
        hook.pytest_runtest_logstart(**told)
    elif name == "finish":
        hook.pytest_runtest_logfinish(**told)
    elif name == "warning":
        hook.pytest_warning_recorded.call_historic(kwargs=told)
    elif name == "report":
        report = hook.pytest_report_from_serializable(config=session.config, data=told)
        hook.pytest_runtest_logreport(report=report)
    elif name == "broken":
        failed = pytest.TestReport(**running, keywords={}, outcome="failed", longrepr=told, when="call")
        hook.pytest_runtest_logreport(report=failed)
