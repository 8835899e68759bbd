"""Stamps of overlapping responses order nothing for certain, unless the user says how far a server stamps and reads apart."""

from __future__ import annotations

import pytest

from sora_stats_harness.judge.pipeline import Judge, JudgeOptions
from sora_stats_harness.judge.requirements import Finding, Level

from .build import DOC, MS, Talk, ask, connection


def told(apart_ms: float, *, tear_s: float | None = None, seconds: bool = False) -> list[Finding]:
    """Two overlapping responses of 400 ms, of which the earlier stamped has the larger counter."""
    findings: list[Finding] = []
    talk = Talk(Judge(DOC, on_finding=findings.append, options=JudgeOptions(tear_s=tear_s)))
    for place, (moment, count) in enumerate(((10, 8), (10 + apart_ms, 7))):
        document = connection(stamp_ns=round(moment * MS), dtls__total_received_dtls=count)
        if seconds:
            document["timestamp"] = document["timestamp"][:19] + "Z"
        talk.add(ask(), place * MS, (400 + place) * MS, document)
        talk.judge.judge_pending()
    talk.end()
    return [finding for finding in findings if finding.requirement.startswith("counter.")]


@pytest.fixture(autouse=True)
def overlapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording that says that a request was under way."""
    judged = Judge.judge_recorded
    monkeypatch.setattr(
        Judge, "judge_recorded", lambda self, exchange, **_: judged(self, exchange, open_sent_ns=(0, 1))
    )


def test_without_a_tear_it_is_for_information() -> None:
    """A correct server may read its counters long before it stamps them."""
    (finding,) = told(300)
    assert finding.level is Level.INFO
    assert finding.message == (
        "dtls.total_received_dtls is larger in a response with an earlier timestamp: 2026-11-24T12:00:00.010000Z "
        "(in 400.0 ms) is earlier than 2026-11-24T12:00:00.310000Z (in 400.0 ms)"
    )
    assert told(50) == []


@pytest.mark.parametrize(
    ("apart_ms", "tear_s", "seconds", "found"),
    [
        (100, 0.1, False, 0),
        (100.002, 0.1, False, 0),
        (100.003, 0.1, False, 1),
        (300, 0.1, False, 1),
        (300, 0.3, False, 0),
        (300, 0.1, True, 0),
        (20, 0, False, 1),
    ],
)
def test_with_a_tear_it_is_a_should_beyond_it(apart_ms: float, tear_s: float, seconds: bool, found: int) -> None:
    """And beyond what the timestamps can tell: a microsecond each; whole seconds tell nothing here."""
    assert [finding.level for finding in told(apart_ms, tear_s=tear_s, seconds=seconds)] == [Level.PROVEN] * found


def test_a_response_that_comes_late_is_put_in_no_order() -> None:
    """Which is said of the requirement."""
    talk = Talk()
    talk.add(ask(), 20 * MS, 30 * MS, connection(stamp_ns=25 * MS))
    talk.add(ask(), 0, 10 * MS, connection(stamp_ns=5 * MS))
    assert "counter.timestamp_order" in talk.end().late
