"""
Bugs planted in the judge's code, one at a time: does a test notice?

`code_mutants` makes the bugs. All tests run once without one, and which lines each of them executes is written down. Then
each bug has a process of its own, forked from this one: it puts the changed code in place of the right one, runs the tests
that reach it, the cheapest first, and ends with the first that fails. Run as `python -m tests.oracle.planted`.
"""

from __future__ import annotations

import argparse
import ast
import gc
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol

from sora_stats_harness.judge import accelerator

from .code_mutants import PACKAGE, ROOT, CodeMutant, drawn, mutants, parse

EQUIVALENTS: Final = Path(__file__).parent / "equivalent_mutants.txt"
"""A line for each bug that no verdict shows: its id, two blanks and a number sign, and why."""

FILES: Final = (
    "tests/judge",
    "tests/oracle",
    "tests/api/test_editions.py",
    "tests/api/test_strict_json.py",
    "tests/cli/test_checks_option.py",
    "tests/reports/test_verdict_assembly.py",
)
SKIPPED: Final = "tests/oracle/test_planted.py"
"""It would run all this again."""

ONE_IN: Final = 14
"""How many of all the bugs that can be made `make oracle` plants."""

MAX_TRACED_CALLS: Final = 200
"""Calls of one function by one test whose lines are written down; it may reach others later on."""

LEAST_CPU_S: Final = 5
"""A bug may keep a test from ending: each test is given so much time of the processor, and more where it needs more."""
LEAST_WAIT_S: Final = 200
"""The same for a test that waits, by the clock on the wall."""
LIMIT_BYTES: Final = 4 << 30

Line = tuple[str, int]


def equivalents() -> dict[str, str]:
    """The reason for each bug that is known to change no verdict."""
    lines = EQUIVALENTS.read_text(encoding="utf-8").splitlines()
    parts = [line.partition("  # ") for line in lines if line and not line.startswith("#")]
    return {name: reason for name, _, reason in parts}


def stale_equivalents() -> list[str]:
    """Entries about code that is not there any more, or without a reason."""
    known = {mutant.id for mutant in mutants()}
    return [name for name, reason in equivalents().items() if name not in known or not reason]


# -- planting ---------------------------------------------------------------------------------------------------------


def plant(mutant: CodeMutant) -> None:
    """Change the code of this process."""
    name = "sora_stats_harness." + mutant.module.removesuffix(".py").replace("/", ".")
    module = sys.modules[name]
    made = compile(ast.fix_missing_locations(mutant.make()), str(PACKAGE / mutant.module), "exec")
    before = compile(parse(mutant.module), str(PACKAGE / mutant.module), "exec")
    changed = 0
    for function in _functions(module):
        here = _find_code(before, function.__code__)
        if here is not None and (other := _find_code(made, here)) is not None and other != here:
            function.__code__ = other
            changed += 1
    if mutant.function.isupper() or (mutant.function.startswith("_") and mutant.function[1:].isupper()):
        scope: dict[str, Any] = {**vars(module)}
        value = next(
            eval(compile(ast.Expression(node.value), name, "eval"), scope)
            for node in mutant.make().body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
            if node.target.id == mutant.function
        )
        old = getattr(module, mutant.function)
        for other_module in _loaded():
            if other_module.__dict__.get(mutant.function) == old:
                setattr(other_module, mutant.function, value)
                changed += 1
    assert changed, f"{mutant.id} is not in place"
    _clear_caches()


def _clear_caches() -> None:
    for each in _loaded():
        for value in list(vars(each).values()):
            if callable(clear := getattr(value, "cache_clear", None)):
                clear()


def _loaded() -> list[ModuleType]:
    return [module for name, module in list(sys.modules.items()) if name.startswith("sora_stats_harness.")]


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """The functions of a module and of its classes, whatever they are wrapped in."""
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == module.__name__:
            yield from (each for member in vars(value).values() if (each := _unwrap(member)) is not None)
        elif (each := _unwrap(value)) is not None and each.__module__ == module.__name__:
            yield each


def _unwrap(value: Any) -> FunctionType | None:
    for name in ("fget", "__func__", "__wrapped__", "func"):
        if not isinstance(value, FunctionType):
            value = getattr(value, name, value)
    return value if isinstance(value, FunctionType) else None


def _find_code(within: CodeType, wanted: CodeType) -> CodeType | None:
    """The code of a function by its name and its first line."""
    for each in within.co_consts:
        if isinstance(each, CodeType):
            if (each.co_qualname, each.co_firstlineno) == (wanted.co_qualname, wanted.co_firstlineno):
                return each
            if (found := _find_code(each, wanted)) is not None:
                return found
    return None


# -- the tests that reach a line --------------------------------------------------------------------------------------


class Reach:
    """Which lines each test executes, and for how long it runs."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._files = {str(PACKAGE / module): module for module in modules}
        self.lines: dict[Line, set[int]] = {}
        self.often: dict[str, dict[tuple[int, int], set[int]]] = {}
        """By module, functions (first and last line) whose lines are not known to the last, and the tests."""
        self.seconds: dict[int, float] = {}
        self._calls: Counter[CodeType] = Counter()
        self._seen: set[Line] = set()

    def begin(self) -> None:
        """A test begins; what others have left in caches is made again, so that it is seen to reach that too."""
        _clear_caches()
        self._calls.clear()
        self._seen = set()
        sys.settrace(self._trace)

    def end(self, number: int, seconds: float) -> None:
        """A test has ended."""
        sys.settrace(None)
        self.seconds[number] = seconds
        for line in self._seen:
            self.lines.setdefault(line, set()).add(number)
        for code, calls in self._calls.items():
            if calls > MAX_TRACED_CALLS:
                span = (code.co_firstlineno, max((line for *_, line in code.co_lines() if line), default=0))
                self.often.setdefault(self._files[code.co_filename], {}).setdefault(span, set()).add(number)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:  # Any: as `sys.settrace` has it
        code = frame.f_code
        if code.co_filename not in self._files:
            return None
        self._calls[code] += 1
        return self._trace_line if self._calls[code] <= MAX_TRACED_CALLS else None

    def _trace_line(self, frame: FrameType, event: str, argument: object) -> Any:  # Any: as `sys.settrace` has it
        self._seen.add((self._files[frame.f_code.co_filename], frame.f_lineno))
        return self._trace_line

    def tests_of(self, mutant: CodeMutant) -> list[int]:
        """Tests that execute a changed line, the cheapest first; then those that may."""
        if mutant.function.isupper():  # of a constant nobody knows who looks at it
            known = {number for (module, _), tests in self.lines.items() if module == mutant.module for number in tests}
            return sorted(known, key=self.seconds.__getitem__)
        first, last = mutant.lines
        surely: set[int] = set()
        for line in range(first, last + 1):
            surely |= self.lines.get((mutant.module, line), set())
        perhaps: set[int] = set()
        for (begin, end), tests in self.often.get(mutant.module, {}).items():
            if begin <= first <= end:
                perhaps |= tests
        return sorted(surely, key=self.seconds.__getitem__) + sorted(perhaps - surely, key=self.seconds.__getitem__)


# -- the campaign -----------------------------------------------------------------------------------------------------


class Campaign:
    """A plugin of pytest that runs the tests once, and then those that matter for each bug."""

    def __init__(self, chosen: Sequence[CodeMutant], jobs: int, most_s: float, journal: Path | None) -> None:
        self._chosen = chosen
        self._jobs = jobs
        self._most_s = most_s
        self._journal = journal
        self.outcomes: dict[str, str | None] = {}
        """For each bug the test that noticed it, or how its process ended; None where nobody did."""
        self.failed: list[str] = []
        """Tests that fail without a bug, and so notice none; bugs that could not be planted."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of pytest's own."""
        reach = Reach(sorted({mutant.module for mutant in self._chosen}))
        for number, item in enumerate(session.items):
            started = time.process_time()
            reach.begin()
            failed = [report for report in runtestprotocol(item, log=False, nextitem=None) if report.failed]
            reach.end(number, time.process_time() - started)
            self.failed += [f"{report.nodeid}: {report.longreprtext}" for report in failed]
        if not self.failed:
            gc.collect()
            gc.freeze()
            self._run_all(session.items, reach)
        return True

    def _run_all(self, items: Sequence[pytest.Item], reach: Reach) -> None:
        running: dict[int, tuple[CodeMutant, int]] = {}
        noticed_last: dict[tuple[str, str], list[int]] = {}
        waiting = list(self._chosen)[::-1]
        while waiting or running:
            while waiting and len(running) < self._jobs:
                mutant = waiting.pop()
                place = (mutant.module, mutant.function)
                tests = [number for number in reach.tests_of(mutant) if reach.seconds[number] <= self._most_s]
                tests.sort(key=lambda number: number not in noticed_last.get(place, ()))  # what has noticed one here
                reader, writer = os.pipe()
                pid = os.fork()
                if pid == 0:
                    _run_child(mutant, {number: items[number] for number in tests}, reach.seconds, writer)
                os.close(writer)
                running[pid] = (mutant, reader)
            pid, status = os.wait()
            mutant, reader = running.pop(pid)
            with os.fdopen(reader) as pipe:
                text = pipe.read()
            if os.WIFSIGNALED(status):
                self.outcomes[mutant.id] = f"signal {os.WTERMSIG(status)}"
            elif os.WEXITSTATUS(status) == 0:
                self.outcomes[mutant.id] = None
            elif not text.isdecimal():
                self.failed.append(f"{mutant.id} could not be planted: {text}")
                continue
            else:
                self.outcomes[mutant.id] = items[int(text)].nodeid
                noticed_last.setdefault((mutant.module, mutant.function), []).append(int(text))
            if self._journal is not None:
                with self._journal.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([mutant.id, self.outcomes[mutant.id]]) + "\n")
            if self.outcomes[mutant.id] is None:
                print(f"  not noticed: {mutant.id}", file=sys.__stderr__, flush=True)
            if len(self.outcomes) % 50 == 0:
                print(f"  {len(self.outcomes):,} of {len(self._chosen):,} bugs", file=sys.__stderr__, flush=True)


def _run_child(mutant: CodeMutant, items: Mapping[int, pytest.Item], seconds: Mapping[int, float], out: int) -> None:
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
        plant(mutant)
        noticed = None
        for number, item in items.items():
            limit_s = int(time.process_time() + LEAST_CPU_S + 4 * seconds[number])
            resource.setrlimit(resource.RLIMIT_CPU, (limit_s, resource.RLIM_INFINITY))
            signal.alarm(LEAST_WAIT_S + int(10 * seconds[number]))
            if not _passes(item):
                noticed = number
                break
        code = 0 if noticed is None else 1
        os.write(out, b"" if noticed is None else str(noticed).encode())
    except BaseException as error:  # it could not even be planted
        os.write(out, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(code)


def _passes(item: pytest.Item) -> bool:
    try:
        return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))
    except BaseException:  # what no test survives is noticed
        return False


def run(
    chosen: Sequence[CodeMutant],
    files: Sequence[str] = FILES,
    *,
    jobs: int = 2,
    most_s: float = math.inf,
    journal: Path | None = None,
) -> dict[str, str | None]:
    """
    Plant bugs, and have the tests look for them. To be called in a process of its own.

    Returns:
        For each bug's id what noticed it; None where nothing did.
    """
    campaign = Campaign(chosen, jobs, most_s, journal)
    options = [
        f"--ignore={SKIPPED}",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:terminal",
        "-p",
        "no:doctest",
        "-o",
        "addopts=",
    ]
    code = pytest.main([*options, "--import-mode=importlib", "--hypothesis-profile=planted", *files], [campaign])
    assert not campaign.failed, f"fails without a bug, or is none: {', '.join(campaign.failed)}"
    assert code == 0, f"pytest ended with {code}"
    return campaign.outcomes


def run_apart(*arguments: str) -> dict[str, str | None]:
    """
    The same in processes of their own, by their command line.

    The accelerator leaves much of the code out, so all are planted without it first; what nobody notices there is planted
    again with it, since some of the code is only for what it has read.
    """
    outcomes = _run_process(arguments, pure=True)
    left = [bug for bug, noticed_by in outcomes.items() if noticed_by is None]
    if left and accelerator.is_available():
        again = _run_process((*arguments, "--only", *left), pure=False)
        outcomes |= {bug: again[bug] for bug in left}
    return outcomes


def _run_process(arguments: Sequence[str], *, pure: bool) -> dict[str, str | None]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.oracle.planted", *arguments],
        cwd=ROOT,
        env=os.environ | {"SORA_HARNESS_PURE": "1" if pure else ""},
        stdout=subprocess.PIPE,
        check=True,
    )
    outcomes: dict[str, str | None] = json.loads(done.stdout)
    return outcomes


def main() -> None:
    """Plant bugs as the command line says, and print what noticed each as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--one-in", type=int, default=1, help="one in so many of each module's")
    parser.add_argument("--only", nargs="*", default=(), help="modules, or beginnings of ids")
    parser.add_argument("--equivalent", action="store_true", help="also those that are known to be equivalent")
    parser.add_argument("--first", type=int, help="so many of them")
    parser.add_argument("--files", nargs="*", default=FILES, help="tests")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--most-s", type=float, default=math.inf, help="leave out tests that take longer than this")
    parser.add_argument(
        "--journal", type=Path, help="a line for each outcome; what is noticed there isn't planted again"
    )
    arguments = parser.parse_args()
    equivalent = equivalents().keys()
    drawn_ids = {mutant.id for mutant in drawn(arguments.one_in)} - equivalent
    journal: Path | None = arguments.journal
    noticed: dict[str, str | None] = {}
    if journal is not None and journal.exists():
        noticed = {bug: by for bug, by in map(json.loads, journal.read_text(encoding="utf-8").splitlines()) if by}
    wanted = (drawn_ids | equivalent if arguments.equivalent else drawn_ids) - noticed.keys()
    chosen = [
        mutant
        for mutant in mutants()
        if mutant.id in wanted and (not arguments.only or mutant.id.startswith(tuple(arguments.only)))
    ][: arguments.first]
    outcomes = run(chosen, arguments.files, jobs=arguments.jobs, most_s=arguments.most_s, journal=journal)
    print(json.dumps(noticed | outcomes, indent=1))


if __name__ == "__main__":
    main()
