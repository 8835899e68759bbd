"""A network level that a connection has had for three samples in a row has been counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from sora_stats_harness.api.exchange import Target
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.requirements import Finding, Level

from .build import DOC, MS, Talk, ask, connection

LEVEL = "relation.unstable_level"
Counts = tuple[int, int, int, int]
Row = tuple[int, int, object, Counts]
"""When a request was sent and its response received, in milliseconds; the level, and how often each was counted."""

NEVER: Counts = (9, 0, 0, 0)
"""Only level 0 was ever counted."""


def document(sent: int, level: object, counts: Counts) -> dict[str, object]:
    """A connection at a level."""
    changes: dict[str, Any] = {
        f"network_status__total_unstable_level{place}": count for place, count in enumerate(counts)
    }
    return connection(stamp_ns=sent * MS, network_status__unstable_level=level, **changes)


def talked(*rows: Row) -> Talk:
    """One connection that is asked for so."""
    talk = Talk()
    for sent, received, level, counts in rows:
        talk.add(ask(), sent * MS, received * MS, document(sent, level, counts))
    return talk


def found(talk: Talk) -> list[tuple[Level, int]]:
    """How much each finding weighs, and whose sample it is about."""
    talk.end()
    return [
        (each.level, each.exchanges[-1].seq if each.wrong is None else each.wrong.seq) for each in of(talk.findings)
    ]


def of(findings: Sequence[Finding]) -> list[Finding]:
    """Those about the level."""
    return [each for each in findings if each.requirement == LEVEL]


def steady(*levels: object, counts: Counts = NEVER) -> list[Row]:
    """One response after the other."""
    return [(100 * place, 100 * place + 10, level, counts) for place, level in enumerate(levels)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(steady(2, 2, 2, counts=(9, 0, 1, 0)), [], id="counted"),
        pytest.param(steady(2, 2, 2), [(Level.PROVEN, 1), (Level.INFO, 2)], id="not counted"),
        pytest.param(steady(3, 3, 3), [(Level.PROVEN, 1), (Level.INFO, 2)], id="the highest"),
        pytest.param(steady(0, 0, 0, counts=(0, 1, 0, 0)), [(Level.PROVEN, 1), (Level.INFO, 2)], id="the lowest"),
        pytest.param(steady(2, 2, 2, counts=(0, 0, 0, 0)), [], id="nothing was ever counted"),
        pytest.param(steady(2, 2), [(Level.INFO, 1)], id="twice may be chance"),
        pytest.param(steady(1, 2, 2), [(Level.INFO, 2)], id="another before"),
        pytest.param(steady(2, 2, 1), [(Level.INFO, 2)], id="another after"),
        pytest.param(steady(2, 1, 2), [(Level.INFO, 2)], id="another in between"),
        pytest.param(steady(2, 0, 2, 2), [(Level.INFO, 3)], id="another two before"),
        pytest.param([*steady(2, 2), (200, 210, 2, (9, 0, 1, 0))], [], id="counted by the third"),
        pytest.param([*steady(2, 2), (200, 210, "2", NEVER)], [], id="no sound level after"),
        pytest.param(
            [(0, 10, 2, NEVER), (10, 20, 2, NEVER), (30, 40, 2, NEVER)],
            [(Level.INFO, 2)],
            id="the first is received as the second is sent",
        ),
        pytest.param(
            [(0, 10, 2, NEVER), (11, 20, 2, NEVER), (30, 40, 2, NEVER)],
            [(Level.PROVEN, 1), (Level.INFO, 2)],
            id="just before",
        ),
        pytest.param(
            [(0, 10, 2, NEVER), (20, 30, 2, NEVER), (30, 40, 2, NEVER)],
            [(Level.INFO, 1), (Level.INFO, 2)],
            id="the second is received as the third is sent",
        ),
        pytest.param(
            [(0, 10, 2, NEVER), (20, 30, 2, NEVER), (30, 40, 2, NEVER), (50, 60, 2, NEVER)],
            [(Level.PROVEN, 1), (Level.INFO, 3)],
            id="a fourth tells",
        ),
        pytest.param(
            [(0, 10, 2, (9, 5, 0, 0)), (20, 30, 2, (9, 4, 0, 0)), (40, 50, 2, (9, 5, 0, 0)), (60, 70, 2, (9, 5, 0, 0))],
            [],
            id="one of the counters fell: that is another requirement's",
        ),
        pytest.param(
            [(0, 10, 2, (9, 5, 0, 0)), (20, 30, 2, (9, 5, 0, 0)), (40, 50, 2, (9, 4, 0, 0))],
            [],
            id="one of them falls in the sample that was to tell",
        ),
    ],
)
def test_a_steady_level_has_been_counted(rows: Sequence[Row], expected: list[tuple[Level, int]]) -> None:
    """None of the three overlap; of a level that may just have come nothing is said for certain."""
    assert found(talked(*rows)) == expected


def test_the_three_responses_are_shown() -> None:
    """The field is the counter of the level."""
    talk = talked(*steady(2, 2, 2))
    talk.end()
    certain = of(talk.findings)[0]
    assert [each.seq for each in certain.exchanges] == [0, 1, 2]
    assert (certain.field, certain.pointer) == ("/network_status/total_unstable_level2",) * 2
    assert "no responses before and after" not in certain.message
    assert "no responses before and after" in of(talk.findings)[1].message


def test_of_a_bare_body_the_level_is_taken_as_it_stands() -> None:
    """There is nothing to wait for."""
    findings: list[Finding] = []
    judge = Judge(DOC, on_finding=findings.append)
    judge.judge_bare_body(Target.ALL, json.dumps([document(0, 2, NEVER)]).encode(), "body.json")
    judge.judge_bare_body(Target.CONNECTION, json.dumps(document(0, 2, (9, 0, 1, 0))).encode(), "body.json")
    judge.finish()
    assert [(each.level, each.pointer) for each in of(findings)] == [
        (Level.HABIT, "/0/network_status/total_unstable_level2")
    ]
    assert judge.result().checked[LEVEL] == 2


def test_how_often_the_level_was_checked() -> None:
    """In every sample of a connection of which any level was counted."""
    assert talked(*steady(2, 2, 2)).end().checked[LEVEL] == 3
    assert talked(*steady(2, 2, 2, counts=(0, 0, 0, 0))).end().checked[LEVEL] == 0
    result = talked(*steady(2, 2)).end()
    assert result.coverage.relations_unconfirmed == 1
    assert result.unusable == ()
    talk = talked(*steady(0, 0))
    talk.add(ask(), 500 * MS, 510 * MS, connection(stamp_ns=500 * MS, network_status__total_unstable_level1="1"))
    assert LEVEL in talk.end().unusable
