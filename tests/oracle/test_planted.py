"""Bugs are made from the judge's code and planted in it; a few of them, all the way. `make oracle` plants hundreds."""

from __future__ import annotations

from collections import Counter

import pytest

from . import code_mutants, planted, planted_in_c


@pytest.mark.parametrize("bug", planted_in_c.BUGS, ids=lambda bug: bug.name)
def test_a_bug_planted_in_c_is_about_code_that_is_there(bug: planted_in_c.Bug) -> None:
    """The text that it replaces occurs exactly once: after a change of the code, the bug changes with it."""
    assert (code_mutants.PACKAGE / planted_in_c.SOURCE).read_text(encoding="utf-8").count(bug.right) == 1
    assert bug.wrong != bug.right


def test_bugs_are_drawn_from_every_module_that_decides() -> None:
    """By every operator; the same each time, and no two alike."""
    drawn = code_mutants.drawn(planted.ONE_IN)
    assert len(drawn) >= 300
    assert {mutant.module for mutant in drawn} == set(code_mutants.modules())
    assert set(Counter(mutant.operator for mutant in drawn)) == set(code_mutants.OPERATORS)
    assert len({mutant.id for mutant in drawn}) == len(drawn)


def test_modules_that_are_left_alone_are_there() -> None:
    """An entry about a module that has gone would hide its successor."""
    assert all((code_mutants.PACKAGE / path).is_file() for path in code_mutants.LEFT_ALONE)


def test_bugs_that_change_nothing_are_there() -> None:
    """An entry about code that has gone explains nothing."""
    assert planted.stale_equivalents() == []


def test_a_few_planted_bugs_are_noticed() -> None:
    """Six of those about the server's clock, by the tests of clocks alone; in a process of its own."""
    files = [f"tests/judge/test_{name}.py" for name in ("server_clock", "stamp_order", "clock_checks")]
    outcomes = planted.run_apart("--only", "judge/server_clock.py", "--first", "6", "--files", *files)
    assert len(outcomes) == 6
    assert [bug for bug, noticed_by in outcomes.items() if noticed_by is None] == []
