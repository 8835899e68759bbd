"""A server that reads its counters piece by piece is never accused; a fault planted in its answers is found all the same."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from sora_stats_harness import edition
from sora_stats_harness.checks.requirements import Finding, Level

from . import judged, reference, torn

DOC = edition.load()


def judge_polls(history: Sequence[torn.Poll]) -> list[Finding]:
    """Everything that a judge says of a history with more than INFO, and no check that crashed."""
    judge, heard = judged.listen(DOC)
    judged.replay(judge, [poll.exchange for poll in history], horizon=True)
    judge.finish()
    assert judge.tally().crashed == {}
    return [finding for finding in heard.findings if finding.level > Level.INFO]


@pytest.mark.parametrize("seed", range(6))
def test_a_correct_server_that_tears_its_reads_is_not_accused(seed: int) -> None:
    """Three pollers that overlap, reads torn by up to 20 ms: no MUST and no confirmed SHOULD, though relations fail."""
    rng = Random(seed)
    history = torn.polls(rng, torn.world(rng, DOC, 160), pollers=3)
    assert judge_polls(history) == []
    assert sum(bool(reference.missed_relations(poll.document)) for poll in history) > len(history) // 10


@pytest.mark.parametrize("stepped_ms", [200, -200])
def test_a_clock_that_is_set_by_ntp_is_no_fault(stepped_ms: int) -> None:
    """Stamps that jump by 200 ms between overlapping answers prove nothing about the counters."""
    rng = Random(stepped_ms)
    history = torn.polls(rng, torn.world(rng, DOC, 160), pollers=3, stepped_ns=stepped_ms * 1_000_000)
    assert judge_polls(history) == []


def test_relations_are_judged_as_the_reference_judges_them() -> None:
    """With one poller, each answer has its neighbours: the confirmed misses are those of the P, R, N rule, field by field."""
    planted = 0
    for seed in range(100, 112):
        rng = Random(seed)
        states = torn.world(rng, DOC, 100)
        for _ in range(4):
            history, _ = torn.plant(rng, torn.polls(rng, states, pollers=1))
            found = [
                (finding.requirement, finding.field, finding.exchanges[1].seq)
                for finding in judge_polls(history)
                if finding.requirement.startswith("relation.")
            ]
            expected = sorted(torn.expected(history))
            assert sorted(found) == expected, f"world {seed}"
            planted += bool(expected)
    assert planted > 20


def test_a_bare_body_misses_the_relations_that_the_reference_names() -> None:
    """A single body has no neighbours, so each relation is compared as it stands."""
    missed = 0
    for seed in range(60):
        document = torn.off(Random(seed), DOC)
        judge, heard = judged.listen(DOC)
        found = judged.relations(judge, heard, document)
        expected = sorted(reference.missed_relations(document))
        assert found == expected, f"document {seed}"
        missed += bool(expected)
    assert missed > 20
