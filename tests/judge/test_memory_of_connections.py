"""A connection is remembered for as long as memory allows, however seldom it is asked for."""

from __future__ import annotations

import pytest

from sora_stats_harness.judge import state
from sora_stats_harness.judge.pipeline import Judge, JudgeOptions
from sora_stats_harness.judge.requirements import OBSERVED_BY_CLIENTS
from sora_stats_harness.judge.state import SILENCE_FACTOR
from sora_stats_harness.judge.verdict_decision import RunScope, decide_verdict

from .build import DOC, IDS, MS, SECOND, Talk, ask, connection

MINUTE = 60 * SECOND


def poll(talk: Talk, connection_id: str, at_ns: int, count: int) -> None:
    """One sample, with a counter of dtls."""
    talk.add(
        ask(connection_id),
        at_ns,
        at_ns + 10 * MS,
        connection(connection_id, stamp_ns=at_ns % (5000 * SECOND) + MS, dtls__total_received_dtls=count),
    )


@pytest.mark.parametrize("after_s", [1, 59, 61, 600, 3600])
def test_a_reset_under_the_same_id_is_found_however_late(after_s: int) -> None:
    """Also where a connection was seen once before, and another one was polled meanwhile."""
    talk = Talk()
    poll(talk, IDS[0], 0, 7)
    for second in range(2, after_s, max(1, after_s // 50)):
        poll(talk, IDS[1], second * SECOND, 0)
    poll(talk, IDS[0], after_s * SECOND, 0)
    assert talk.end().coverage.forgotten == 0
    assert talk.told() == ["counter.monotonic"]


def test_polling_once_a_minute_is_checked_for_order() -> None:
    """Every poll but the first."""
    talk = Talk()
    for minute in range(10):
        poll(talk, IDS[0], minute * MINUTE, minute)
    assert talk.end().checked["counter.monotonic"] == 9


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one connection that has left; looked for after every exchange."""
    monkeypatch.setattr(state, "MAX_SILENT_CONNECTIONS", 1)
    monkeypatch.setattr(state, "EXPIRY_CHECK_INTERVAL_NS", 0)


@pytest.mark.usefixtures("little_memory")
def test_the_longest_silent_are_forgotten_where_memory_is_short() -> None:
    """Which is counted, and so is their return: the order across the gap is unknown, whatever else was compared."""
    talk = Talk()
    for place, each in enumerate(IDS[:3]):
        poll(talk, each, place * SECOND, 7)
        poll(talk, each, place * SECOND + 100 * MS, 7)
    for step in range(3, 9):
        poll(talk, IDS[3], step * SECOND, 0)
    poll(talk, IDS[0], 10 * SECOND, 0)
    result = talk.end()
    coverage = result.coverage
    assert talk.told() == []
    assert coverage.forgotten == 1
    assert result.checked["counter.monotonic"] > 0
    decision = decide_verdict(result, RunScope(observes=OBSERVED_BY_CLIENTS))
    rows = {row.id: (row.status, row.reason) for row in decision.requirements}
    assert rows["counter.monotonic"] == rows["clock.order"] == ("not_checked", "forgotten")
    assert (decision.verdict, rows["shape.type"]) == ("inconclusive", ("met", None))
    assert "2 connections that had been silent the longest were forgotten, to bound the memory" in coverage.notes
    poll(talk, IDS[2], 11 * SECOND, 0)
    assert talk.told() == ["counter.monotonic"]


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(("silent_minutes", "kept"), [(SILENCE_FACTOR, True), (SILENCE_FACTOR + 1, False)])
def test_how_long_is_too_long_follows_from_the_connection_s_own_interval(silent_minutes: int, kept: bool) -> None:
    """One that is asked for once a minute is awaited for some minutes, beside another that has left a second ago."""
    talk = Talk()
    for minute in range(3):
        poll(talk, IDS[0], minute * MINUTE, 7)
    start = 2 * MINUTE + silent_minutes * MINUTE - 10 * SECOND
    for number in (1, 2):
        for step in range(2):
            poll(talk, IDS[number], start + number * SECOND + step * 100 * MS, 0)
    poll(talk, IDS[3], start + 9 * SECOND, 0)
    poll(talk, IDS[0], start + 10 * SECOND, 0)
    talk.end()
    assert talk.told() == (["counter.monotonic"] if kept else [])


def test_bodies_of_connections_that_have_left_are_bounded() -> None:
    """The newest are kept as evidence, packed; the counters of all."""
    talk = Talk(Judge(DOC, options=JudgeOptions(evidence_bytes=64 << 10)))
    for place, each in enumerate(IDS):
        poll(talk, each, 2 * place * SECOND, 7)
        poll(talk, each, 2 * place * SECOND + 100 * MS, 7)
    assert talk.judge._evidence.size <= 64 << 10
    for place, each in enumerate(IDS):
        poll(talk, each, 100 * SECOND + place * SECOND, 0)
    talk.end()
    (fallen,) = [each for each in talk.judge.result().findings if each.requirement == "counter.monotonic"]
    assert fallen.count == len(IDS)
