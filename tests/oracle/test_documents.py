"""Every path of the judge gives the same set of (requirement, pointer) as the slow reference, whatever the body."""

from __future__ import annotations

from collections import Counter

from sora_stats_harness import edition

from . import documents, judged, reference

DOC = edition.load()


def compare(seeds: range, *, fresh: bool) -> Counter[str]:
    """
    Hold the judge against the reference.

    Args:
        seeds: One body each.
        fresh: Whether each body has a judge of its own, rather than one that has learned from those before.

    Returns:
        How many bodies there were, left the fast path, and missed each requirement.
    """
    counted: Counter[str] = Counter()
    judge, heard = judged.listen(DOC)
    slow = 0
    for seed in seeds:
        document = documents.document(seed, DOC)
        if fresh:
            judge, heard = judged.listen(DOC)
            slow = 0
        found = judged.document_findings(judge, heard, document.body, many=document.many)
        expected = reference.document_findings(DOC, document.body, many=document.many)
        assert set(found) == expected, f"body {seed}"
        assert len(found) == len(expected), f"body {seed}: a finding twice"
        before, slow = slow, judge.tally().coverage.slow_path
        counted["bodies"] += 1
        counted["slow"] += slow > before or ("http.json", "") in expected
        counted.update({requirement for requirement, _ in expected} or {"nothing"})
    return counted


def test_a_judge_that_has_learned_agrees_with_the_reference() -> None:
    """After each body it knows more deviations, and must neither miss nor invent any; a third leave the fast path."""
    counted = compare(range(300), fresh=False)
    assert counted["slow"] * 3 >= counted["bodies"], counted
    assert counted["nothing"] >= 30
    assert all(counted[rule] for rule in ("http.json", "http.duplicate_key", "shape.type", "shape.required", "shape.range"))
    assert all(counted[rule] for rule in ("shape.unknown", "shape.lexical", "shape.group", "shape.undocumented"))
    assert all(counted[rule] for rule in ("shape.enum", "shape.pattern", "identity.form", "identity.unique"))


def test_a_judge_that_knows_nothing_yet_agrees_with_the_reference() -> None:
    """The first deviation that a server shows is judged as the thousandth is."""
    counted = compare(range(10_000, 10_120), fresh=True)
    assert counted["slow"] * 3 >= counted["bodies"], counted
