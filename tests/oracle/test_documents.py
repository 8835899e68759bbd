"""Every path of the judge gives the same set of (requirement, pointer) as the slow reference, whatever the body."""

from __future__ import annotations

import pytest

from sora_stats_harness.api import edition

from ..examples import FULL, some_of
from . import agreement

DOC = edition.load_edition()


def test_a_judge_that_has_learned_agrees_with_the_reference() -> None:
    """After each body it knows more deviations, and must neither miss nor invent any; a third leave the fast path."""
    counted = agreement.bodies(DOC, range(150), fresh=False)
    assert counted["slow"] * 3 >= counted["bodies"], counted
    assert counted["nothing"] >= 20
    assert all(counted[rule] for rule in ("http.json", "http.duplicate_key", "identity.form", "identity.unique"))
    shapes = ("required", "type", "range", "pattern", "enum", "group", "unknown", "lexical", "undocumented")
    assert all(counted[f"shape.{name}"] for name in shapes), counted


def test_a_judge_that_knows_nothing_yet_agrees_with_the_reference() -> None:
    """The first deviation that a server shows is judged as the thousandth is."""
    counted = agreement.bodies(DOC, range(10_000, 10_000 + some_of(50)), fresh=True)
    assert counted["slow"] * 3 >= counted["bodies"], counted


@pytest.mark.parametrize("fresh", [False, True], ids=["learned", "fresh"])
def test_edges_are_judged_as_the_reference_judges_them(fresh: bool) -> None:
    """Numbers, strings and worse, on which parsers disagree, at every kind of place: alone, hidden, and hiding."""
    counted = agreement.window_edges_ns(fresh=fresh, step=(20 if fresh else 7) * (1 if FULL else 8))
    assert counted["bodies"] > some_of(600)
    assert counted["slow"] * 3 >= counted["bodies"]
