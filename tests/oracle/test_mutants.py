"""The oracle, tested: no mutant survives, none causes a second MUST, and the right history is clean."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.judge.requirements import REQUIREMENTS, Level

from . import mutants, scores

DOC = edition.load_edition()


@cache
def families() -> dict[str, list[mutants.Mutant]]:
    """The mutants, as `make oracle` judges them, but for the many positions at which a counter can fall."""
    return {name: list(made) for name, made in mutants.families(DOC, seed=1, every=20)}


def population() -> list[mutants.Mutant]:
    """All of them."""
    return [one for each in families().values() for one in each]


def test_the_right_history_raises_nothing() -> None:
    """What the mutants are made from is sound in every respect."""
    shots = mutants.right(DOC)
    base = mutants.Mutant(operator="none", field="", position=0, seed=0, declared=frozenset(), shots=shots)
    assert scores.found(DOC, base) == {}


@pytest.mark.parametrize("family", mutants.FAMILIES)
def test_mutants_are_killed_without_collateral(family: str) -> None:
    """The declared requirement and field are found, and no other MUST: one mutant of each operator, and every 301st."""
    made = families()[family]
    first = {one.operator: one for one in reversed(made)}
    counted = scores.judge_all(DOC, [*first.values(), *made[300::301]])
    assert scores.failures(counted) == []
    assert any(score.killed for score in counted.values())


def test_equivalent_mutants_are_few_and_known() -> None:
    """An operator that declares nothing tests nothing: each has a ceiling."""
    counted = Counter(one.operator for one in population() if not one.declared)
    assert {name: count for name, count in counted.items() if count > mutants.ceiling(name)} == {}
    assert set(counted) <= {*mutants.CEILINGS, *(name for name in counted if name.endswith(": right"))}
    ordered = ("decrease", "spike", "restart", "wraps at 32 bits", "swapped ways")
    undeclared = {one.field for one in population() if one.operator in ordered and not one.declared}
    assert len(undeclared) == 3, "the counters that never move; every counter has a fall here, so none may be another"


def test_a_survivor_a_collateral_finding_and_too_many_equivalents_are_failures() -> None:
    """A mutant that declares what is not so survives, one that declares too little has collateral."""
    shots = mutants.right(DOC)
    fall = next(one for one in population() if one.operator == "decrease" and one.declared)
    wrong = replace(fall, operator="wrong", declared=frozenset({("http.json", "")}))
    idle = replace(fall, operator="idle", declared=frozenset(), shots=shots)
    counted = scores.judge_all(DOC, [fall, wrong, idle])
    assert [line.partition(":")[0] for line in scores.failures(counted)] == ["survived", "collateral", "idle"]
    assert scores.table(counted)[-1] == "| **all** | 3 | 1 | 69 | 1 | 1 | 1 |"


@pytest.mark.parametrize("module", ["mutants", "crossed", "reference", "histories", "documents", "torn"])
def test_what_must_be_found_is_worked_out_without_the_judge(module: str) -> None:
    """No module that says what is right imports a check, the codec or the judge, nor what knows them."""
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            imported |= {
                f"{node.module or ''}.{alias.name}".removeprefix("sora_stats_harness.") for alias in node.names
            }
    first = {name.removeprefix(".").partition(".")[0] for name in imported}
    assert first & {"judge", "judged", "agreement", "scores"} == set()
    assert first & {"api", "reference", "strategies"}


def test_every_requirement_has_a_mutant() -> None:
    """Whatever the registry promises with more than INFO, some mutant is declared to miss it."""
    declared = {requirement for one in population() for requirement, _ in one.declared}
    assert {rule.id for rule in REQUIREMENTS.values() if rule.level > Level.INFO} - declared == set()


def test_every_documented_leaf_has_mutants() -> None:
    """Each of the 362 leaves that are always there is dropped, retyped, renamed and repeated somewhere."""
    fields: dict[str, set[str]] = {}
    for one in population():
        fields.setdefault(one.operator, set()).add(one.field)
    always = {leaf.pointer for leaf in DOC.fields if leaf.presence.value != "conditional"}
    for operator in ("shape drop", "shape null", "shape retype", "rename", "duplicate key"):
        assert always <= fields[operator], operator
    assert {leaf.pointer for leaf in DOC.counters} <= fields["decrease"] & fields["spike"] & fields["shape too_small"]
