"""The house stays as docs/ARCHITECTURE.md draws it: rooms, sizes, names."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from sora_stats_harness.judge.requirements import REQUIREMENTS

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "harness" / "sora_stats_harness"
MODULES: Final = sorted(PACKAGE.rglob("*.py"))
ROOMS: Final = {"api", "cli", "judge", "load", "probe", "recording", "reports", "simulator", "testing"}

JUDGING: Final = [path for path in MODULES if PACKAGE / "simulator" not in path.parents]
"""A fault and a mutation name what they violate, and may know nothing of the judge."""

MAX_MODULE_LINES: Final = 500
MAX_CLASS_LINES: Final = 300
MAX_FUNCTION_LINES: Final = 60
MAX_PARAMETERS: Final = 6
MAX_C_LINES: Final = 1_500

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """A module as docs/ARCHITECTURE.md names it."""
    return path.relative_to(PACKAGE).as_posix()


@cache
def statements() -> list[tuple[Path, ast.stmt]]:
    """The definitions of the package, of all kinds."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Global)
    trees = ((path, ast.parse(path.read_text(encoding="utf-8"))) for path in MODULES)
    return [(path, node) for path, tree in trees for node in ast.walk(tree) if isinstance(node, kinds)]


def definitions(kind: type[ast.stmt] | tuple[type[ast.stmt], ...]) -> Iterator[tuple[Path, ast.stmt]]:
    """All definitions of a kind in the package."""
    return ((path, node) for path, node in statements() if isinstance(node, kind))


def test_nothing_stands_loose_at_the_root() -> None:
    """Nine rooms, and beside them only what Python, pytest and `python -m` look for."""
    entries = {path.name for path in PACKAGE.iterdir() if not path.name.startswith((".", "__pycache__"))}
    assert entries == ROOMS | {"__init__.py", "__main__.py", "py.typed", "pytest_plugin.py"}


def test_modules_and_classes_have_a_bound() -> None:
    """No module is longer than 500 lines, no class than 300."""
    long = {name_of(path): n for path in MODULES if (n := len(path.read_text().splitlines())) > MAX_MODULE_LINES}
    classes = {
        (name_of(path), node.name)
        for path, node in definitions(ast.ClassDef)
        if isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno >= MAX_CLASS_LINES
    }
    assert (long, classes) == ({}, set())


def test_a_function_of_more_than_60_lines_says_why() -> None:
    """A remark `# long:` with the reason stands beside the `def`."""
    unexplained = set()
    for path, node in definitions((ast.FunctionDef, ast.AsyncFunctionDef)):
        assert isinstance(node, Function)
        if (node.end_lineno or 0) - node.lineno < MAX_FUNCTION_LINES:
            continue
        head = path.read_text(encoding="utf-8").splitlines()[node.lineno - 1 : node.body[0].lineno]
        if not any(re.search(r"# long: \w", line) for line in head):
            unexplained.add((name_of(path), node.name))
    assert unexplained == set()


def test_functions_have_at_most_six_parameters() -> None:
    """What belongs together travels as one object."""
    many = set()
    for path, node in definitions((ast.FunctionDef, ast.AsyncFunctionDef)):
        assert isinstance(node, Function)
        names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > MAX_PARAMETERS:
            many.add((name_of(path), node.name, count))
    assert many == set()


def test_no_state_belongs_to_the_process() -> None:
    """What changes belongs to a run: no module keeps a container that is filled later, or assigns to a global."""
    empty = re.compile(r"^\w+(: [^=]+)? = (\{\}|\[\]|(set|dict|list|deque|Counter|defaultdict)\()", re.MULTILINE)
    filled = [
        (name_of(path), match[0])
        for path in MODULES
        for match in empty.finditer(path.read_text(encoding="utf-8"))
        if "Final[Increments]" not in match[0]  # a Mapping, which nothing is written to
    ]
    assigned = [name_of(path) for path, _ in definitions(ast.Global)]
    assert (filled, assigned) == ([], [])


def test_a_class_name_exists_once() -> None:
    """So a name alone says which class is meant."""
    names = Counter(node.name for _, node in definitions(ast.ClassDef) if isinstance(node, ast.ClassDef))
    assert {name for name, count in names.items() if count > 1} == set()


def test_a_requirement_is_spelled_in_one_module() -> None:
    """A rule is changed in one place."""
    texts = {name_of(path): path.read_text("utf-8") for path in JUDGING}
    places = {
        id: {name for name, text in texts.items() if f'"{id}"' in text or f"'{id}'" in text} for id in REQUIREMENTS
    }
    assert {id: modules for id, modules in places.items() if len(modules) > 1} == {}


def test_the_formatter_decides_the_layout() -> None:
    """No line of the project asks to be left alone."""
    marker = "fmt: " + "skip"
    folders = (PACKAGE, ROOT / "tests", ROOT / "scripts", ROOT / "locustfiles")
    assert [str(p) for folder in folders for p in folder.rglob("*.py") if marker in p.read_text("utf-8")] == []


def test_the_accelerator_stays_small() -> None:
    """At most 1,500 lines of C."""
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.c")) <= MAX_C_LINES
