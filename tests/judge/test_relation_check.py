"""A relation that does not hold in a sample is decided by the samples before and after it, and by no overlapping one."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from sora_stats_harness.api.exchange import Target
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.requirements import Finding, Level

from .build import DOC, MS, Talk, ask, connection

SUBSET = "relation.rtp_subset"
TOTAL = "relation.decrypt_skipped"
Row = tuple[int, int, int, int]
"""When a request was sent and its response received, in milliseconds, and two counters."""


def subset(sent: int, rtx: int, rtp: int) -> dict[str, object]:
    """Retransmitted packets, of all packets and of many bytes: no other relation is broken."""
    return connection(
        stamp_ns=sent * MS,
        rtp__total_received_rtp_rtx=10**6 + rtx,
        rtp__total_received_rtp=10**6 + rtp,
        rtp__total_received=0,
        rtp__total_received_srtp_invalid="?",
    )


def total(sent: int, whole: int, part: int) -> dict[str, object]:
    """A total and the larger of its parts."""
    return connection(
        stamp_ns=sent * MS,
        rtp__total_decrypt_skipped_srtp=whole,
        rtp__total_decrypt_skipped_audio_srtp=part,
        rtp__total_decrypt_skipped_video_srtp=0,
    )


def told(requirement: str, rows: Sequence[Row], level: Level = Level.PROVEN) -> list[tuple[int, ...]]:
    """The exchanges that prove each finding of a requirement, of those that weigh so much."""
    talk = Talk()
    make = subset if requirement == SUBSET else total
    for sent, received, one, two in rows:
        talk.add(ask(), sent * MS, received * MS, make(sent, one, two))
    talk.end()
    return [
        tuple(one.seq for one in each.exchanges)
        for each in talk.findings
        if each.requirement == requirement and each.level is level
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([(0, 10, 4, 5), (20, 30, 5, 5)], [], id="equal is no more than"),
        pytest.param([(0, 10, 4, 5), (20, 30, 9, 5), (40, 50, 9, 8)], [(0, 1, 2)], id="more than ever"),
        pytest.param([(0, 10, 4, 5), (20, 30, 9, 5), (40, 50, 9, 9)], [], id="as many by then"),
        pytest.param([(0, 10, 4, 5), (20, 30, 9, 5)], [], id="nothing came after it"),
        pytest.param([(20, 30, 9, 5), (40, 50, 9, 8)], [(0, 1)], id="nothing came before it"),
        pytest.param(
            [(0, 10, 4, 5), (20, 30, 9, 5), (30, 40, 9, 8), (50, 60, 9, 9)],
            [],
            id="an overlapping response confirms nothing",
        ),
        pytest.param(
            [(0, 10, 4, 5), (20, 30, 9, 5), (31, 40, 9, 8), (50, 60, 9, 9)],
            [(0, 1, 2)],
            id="one that was sent just after does",
        ),
        pytest.param(
            [(0, 10, 4, 5), (20, 30, 9, 5), (40, 50, 10, 6), (60, 70, 10, 7)],
            [(0, 1, 2), (1, 2, 3)],
            id="each sample by itself",
        ),
        pytest.param(
            [(0, 10, 4, 5), (20, 30, 4, 5), (40, 50, 9, 5), (60, 70, 9, 8)], [(1, 2, 3)], id="the sample just before"
        ),
        pytest.param(
            [(0, 10, 4, 5), (20, 45, 4, 5), (40, 50, 9, 5), (60, 70, 9, 8)],
            [(0, 2, 3)],
            id="the last one before, where one overlaps",
        ),
    ],
)
def test_a_part_is_no_more_than_the_whole(rows: Sequence[Row], expected: list[tuple[int, ...]]) -> None:
    """Not more than the whole was by the next sample."""
    assert told(SUBSET, rows) == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([(0, 10, 5, 5), (20, 30, 6, 6)], [], id="equal"),
        pytest.param([(0, 10, 6, 6), (20, 30, 6, 7)], [], id="the parts grew since"),
        pytest.param([(0, 10, 5, 6), (20, 30, 5, 7)], [(0, 1)], id="less than the parts were"),
        pytest.param([(0, 10, 6, 6), (10, 30, 5, 7)], [], id="an overlapping one says nothing"),
        pytest.param([(0, 10, 6, 6), (20, 30, 9, 7), (40, 50, 9, 8)], [(0, 1, 2)], id="too large"),
        pytest.param([(0, 10, 6, 6), (20, 30, 9, 7), (40, 50, 9, 9)], [], id="the parts follow"),
    ],
)
def test_a_total_is_the_sum_of_its_parts(rows: Sequence[Row], expected: list[tuple[int, ...]]) -> None:
    """Not less than they were, nor more than they will be."""
    assert told(TOTAL, rows) == expected


def test_what_nothing_can_tell_is_for_information() -> None:
    """The neighbour that could is not there, or overlaps."""
    assert told(SUBSET, [(0, 10, 4, 5), (20, 30, 9, 5)], Level.INFO) == [(1,)]
    assert told(SUBSET, [(0, 10, 4, 5), (20, 30, 9, 5), (30, 40, 9, 8)], Level.INFO) == [(1,), (2,)]
    assert told(TOTAL, [(0, 10, 6, 6), (10, 30, 5, 7)], Level.INFO) == [(1,)]
    assert told(TOTAL, [(0, 10, 6, 6), (20, 30, 6, 7)], Level.INFO) == []


def test_a_counter_that_fell_breaks_no_relation_besides() -> None:
    """One fault, one finding."""
    talk = Talk()
    for place, (rtx, rtp) in enumerate(((4, 9), (4, 9), (4, 3), (4, 3), (4, 3))):
        talk.add(ask(), 20 * place * MS, (20 * place + 10) * MS, subset(20 * place, rtx, rtp))
    talk.end()
    assert SUBSET not in talk.told()
    assert talk.told().count("counter.monotonic") == 3


def test_of_a_bare_body_a_relation_is_taken_as_it_stands() -> None:
    """There is nothing to wait for."""
    findings: list[Finding] = []
    judge = Judge(DOC, on_finding=findings.append)
    judge.judge_bare_body(Target.ALL, json.dumps([total(0, 5, 6)]).encode(), "body.json")
    judge.finish()
    assert [(each.requirement, each.level, each.pointer) for each in findings] == [
        (TOTAL, Level.HABIT, "/0/rtp/total_decrypt_skipped_srtp")
    ]
    assert (findings[0].actual, judge.result().checked[TOTAL]) == ("5 and 6", 1)


@pytest.mark.parametrize(
    ("whole", "found"),
    [(float(2**53), 1), (float(2**53 + 2), 0), (2**53 + 2, 1)],
)
def test_a_float_that_cannot_be_exact_breaks_no_relation(whole: float, found: int) -> None:
    """Its form is wrong, and what it rounds is that fault."""
    talk = Talk()
    for place in range(3):
        talk.add(ask(), 20 * place * MS, (20 * place + 10) * MS, total(20 * place, whole, int(whole) - 1))  # type: ignore[arg-type]
    talk.end()
    assert (TOTAL in talk.told()) is bool(found)


def test_how_often_a_relation_was_checked() -> None:
    """In every sample, unless all of its counters are 0 or one of them can't be used."""
    talk = Talk()
    for place in range(3):
        talk.add(ask(), 20 * place * MS, (20 * place + 10) * MS, total(20 * place, 5, 5))
    result = talk.end()
    assert result.checked[TOTAL] == 3
    assert result.coverage.relations_unconfirmed == 0
    talk = Talk()
    for place in range(3):
        talk.add(ask(), 20 * place * MS, (20 * place + 10) * MS, total(20 * place, 0, 0))
    assert talk.end().checked[TOTAL] == 0


def test_what_is_unconfirmed_is_counted_and_says_so() -> None:
    """Once each; what is confirmed says nothing of the kind."""
    talk = Talk()
    for place, (rtx, rtp) in enumerate(((4, 5), (9, 5), (9, 8))):
        talk.add(ask(), 20 * place * MS, (20 * place + 10) * MS, subset(20 * place, rtx, rtp))
    result = talk.end()
    told_ = {each.level: each.message for each in talk.findings if each.requirement == SUBSET}
    unsure = [each for each in talk.findings if each.requirement.startswith("relation.") and each.level is Level.INFO]
    assert result.coverage.relations_unconfirmed == len(unsure) > 0
    assert "no responses before and after to confirm it" not in told_[Level.PROVEN]
    assert "no responses before and after to confirm it" in told_[Level.INFO]
