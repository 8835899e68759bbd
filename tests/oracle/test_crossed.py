"""A lesser defect takes no value away from a MUST: some of the crossings that `make oracle` judges."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.judge.requirements import Level

from . import crossed, mutants, scores

DOC = edition.load_edition()


@cache
def population() -> list[crossed.Crossing]:
    """All crossings."""
    return list(crossed.crossings(DOC, crossed.must_faults(DOC, scores.of_level(Level.MUST))))


def test_every_requirement_is_crossed() -> None:
    """Each MUST as a fault, each PROVEN or HABIT as a defect; those of leaves on the same leaf and on another."""
    faults = crossed.must_faults(DOC, scores.of_level(Level.MUST))
    assert {requirement for fault in faults for requirement, _ in fault.declared} == scores.of_level(Level.MUST)
    lesser = {defect.requirement for defect in crossed.defects(DOC)}
    assert lesser == scores.of_level(Level.PROVEN) | scores.of_level(Level.HABIT)
    names = [each.name for each in population()]
    assert len(names) > 1000
    for defect in ("shape.lexical", "shape.unknown", "relation.rtp_subset"):
        assert f"decrease x {defect} on the same leaf" in names, defect


@pytest.mark.parametrize("start", range(3))
def test_the_fault_is_found_whatever_else_is_wrong(start: int) -> None:
    """And no other MUST; a counter of which a value could not be used is not said never to have moved."""
    chosen = population()[31 * start :: 97]
    assert scores.judge_crossings(DOC, [each.make() for each in chosen]) == []


def test_a_fault_that_is_lost_is_told() -> None:
    """One that is declared and not there, and one that is there and not declared."""
    one = next(each for each in population() if each.name.startswith("decrease x shape.lexical")).make()
    told = scores.judge_crossings(DOC, [replace(one, declared=frozenset({("http.json", "")}))])
    assert [line.partition(":")[0] for line in told] == ["lost", "too many"]


def test_a_value_that_cannot_be_used_is_told_apart() -> None:
    """By the documents alone."""
    shots = mutants.right(DOC)
    keys = ("dtls", "total_received_dtls")
    wrong = [shots[0].change(0, mutants._put(keys, value)) for value in ("1", -1, 1.5)]
    assert all(crossed.uncountable(DOC, [shot]) == {"dtls.total_received_dtls"} for shot in wrong)
    assert crossed.uncountable(DOC, [shots[0].change(0, mutants._put(keys, 7.0))]) == set()
