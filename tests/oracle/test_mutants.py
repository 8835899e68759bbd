"""The oracle, tested: no mutant survives, none causes a second MUST, and the right history is clean."""

from __future__ import annotations

from collections import Counter
from functools import cache

from sora_stats_harness import edition
from sora_stats_harness.checks.requirements import REQUIREMENTS, Level

from . import mutants

DOC = edition.load()

EQUIVALENTS = {
    "decrease": 12,  # the three counters that never move, at four positions each
    "left for good": 4,  # connections leave
}
"""How many mutants of an operator no client can tell from a right history; besides, right answers are shown as such."""


@cache
def population() -> list[mutants.Mutant]:
    """All mutants, as `make oracle` judges them."""
    return list(mutants.mutants(DOC, seed=1))


def test_the_right_history_raises_nothing() -> None:
    """What the mutants are made from is sound in every respect."""
    shots = mutants.right(DOC)
    base = mutants.Mutant(operator="none", field="", position=0, seed=0, declared=frozenset(), shots=shots)
    assert mutants.found(DOC, base) == {}


def test_mutants_are_killed_without_collateral() -> None:
    """The declared requirement and field are found, and no other MUST: one mutant of each operator, and every 151st."""
    first = {one.operator: one for one in reversed(population())}
    chosen = [*first.values(), *population()[::151]]
    scores = mutants.judge_all(DOC, chosen)
    assert sum(score.killed for score in scores.values()) > 100
    assert [name for score in scores.values() for name in score.survivors + score.collateral] == []


def test_equivalent_mutants_are_few_and_known() -> None:
    """An operator that declares nothing tests nothing: each has a ceiling."""
    counted = Counter(one.operator for one in population() if not one.declared and not one.operator.endswith(": right"))
    assert all(count <= EQUIVALENTS.get(name, 0) for name, count in counted.items()), counted


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
