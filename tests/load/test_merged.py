"""What several processes measured and found, added up as if it had been one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.exchange import Answer, ErrorCode, Exchange, Target, TransportError, valid_request
from sora_stats_harness.judge.judge import Judge
from sora_stats_harness.load import merged as merged_module
from sora_stats_harness.load.measures import Measures, sections
from sora_stats_harness.load.merged import Merged, report_of
from sora_stats_harness.load.metrics import Metrics

DOC = edition.load()
EXAMPLE = json.loads((Path(__file__).parents[1] / "data" / "example_answer.json").read_text())
SERVER = "http://127.0.0.1:3000"
MS = 1_000_000


def exchange(sent_ms: int, took_ms: int, *, error: ErrorCode | None = None) -> Exchange:
    """A listing of nobody, sent as it was due."""
    return Exchange(
        run="test", seq=sent_ms, request=valid_request(Target.ALL, server=SERVER), clock="test", sent_ns=sent_ms * MS,
        received_ns=(sent_ms + took_ms) * MS, sent_at="", intended_ns=sent_ms * MS, arrived_ns=(sent_ms + took_ms) * MS,
        answer=Answer(status=200, headers=(), body=b"[]"),
        error=TransportError(code=error, detail="") if error is not None else None,
    )  # fmt: skip


def counted(exchanges: list[Exchange], began_ns: int) -> Metrics:
    """By one process that began then."""
    metrics = Metrics()
    metrics.begin(began_ns)
    for each in exchanges:
        metrics.sent += 1
        metrics.add(each)
    return metrics


def test_measures_of_two_processes_are_those_of_one() -> None:
    """Counts, percentiles and the timeline, though the second began two seconds later."""
    first = [exchange(1000 + 100 * n, 5) for n in range(30)]
    second = [exchange(3000 + 100 * n, 50, error=ErrorCode.RESET if n == 3 else None) for n in range(30)]
    whole = counted(sorted([*first, *second], key=lambda each: each.received_ns), 1000 * MS)
    both = Measures()
    for metrics in (counted(first, 1000 * MS), counted(second, 3000 * MS)):
        both.add_dump(json.loads(json.dumps(Measures(metrics=metrics, lasted_s=5.0, due=30).dump())))
    alone = Measures(metrics=whole, lasted_s=5.0, due=60)
    told, wanted = (each.load(scenario="x", model="open", planned_per_s=None) for each in (both, alone))
    assert told == wanted
    assert (told.sent, told.judged, told.errors, told.planned_per_s) == (60, 59, 1, 12.0)
    assert [row.answers for row in told.timeline] == [row.answers for row in wanted.timeline]
    assert sections(both, told)[0] == sections(alone, wanted)[0]


def judged(*counters: int, at: str = "12:00:00.000000", server: str = SERVER, local: bool | None = None) -> Judge:
    """
    A judge that saw one connection with these values of a counter, one answer after the other.

    All were stamped at one time; where `local` is given, by listings.
    """
    judge = Judge(DOC, run=f"run-{at}-{counters}")
    request = valid_request(
        Target.CONNECTION, server=server, channel_id=EXAMPLE["channel_id"], connection_id=EXAMPLE["connection_id"]
    )  # fmt: skip
    if local is not None:
        request = valid_request(Target.ALL, server=server, local=local)
    for value in counters:
        reading: dict[str, Any] = json.loads(json.dumps(EXAMPLE))
        reading["sctp"]["total_received_sctp"] = value
        reading["timestamp"] = f"2026-01-01T{at}Z"
        body = json.dumps(reading if local is None else [reading]).encode()
        judge.sent(request).end(Answer(status=200, headers=(("Content-Type", "application/json"),), body=body))
    return judge


def test_findings_of_two_machines_are_added_up() -> None:
    """One entry with both counts and the evidence of whoever had it first; what moved on either has moved."""
    here, there = judged(1, 2), judged(50, 40, 30)
    merged = Merged(DOC, here, [report_of(there)])
    merged.finish()
    tally = merged.tally()
    (fallen,) = [entry for entry in tally.findings if entry.requirement == "order.realtime"]
    assert fallen.count == 2
    first, second = merged.evidence(fallen.fingerprint)
    assert first.answer is not None
    assert second.answer is not None
    assert b'"total_received_sctp": 50' in first.answer.body
    assert b'"total_received_sctp": 40' in second.answer.body
    assert tally.coverage.exchanges == 5
    assert tally.checked["order.realtime"] == 3
    assert tally.coverage.counters_grew == 1
    assert "sctp.total_received_sctp" not in tally.coverage.never_grew
    assert merged.subject_kind == "server"


def stamped_late(merged: Merged) -> list[tuple[str, str, str, int]]:
    """Field, expected, actual and count of what was found by the server's timestamps; twice the same."""
    merged.finish()
    merged.finish()
    return [
        (each.field, each.expected, each.actual, each.count)
        for each in merged.tally().findings
        if each.requirement == "order.timestamp"
    ]


FALLEN = [("/sctp/total_received_sctp", "at least 7", "5", 1)]


def test_what_fell_between_two_machines_is_told_by_the_servers_timestamps() -> None:
    """Which of them is here does not matter; both answers are shown, and no judge by itself has found anything."""
    early, late = (3, 7), (5,)
    for here, there in (
        (judged(*early), judged(*late, at="12:00:01.000000")), (judged(*late, at="12:00:01.000000"), judged(*early))
    ):  # fmt: skip
        merged = Merged(DOC, here, [report_of(there)], here)
        assert stamped_late(merged) == FALLEN
        tally = merged.tally()
        assert tally.checked["order.timestamp"] == 1
        (entry,) = [each for each in tally.findings if each.requirement == "order.timestamp"]
        assert (entry.level, entry.target, entry.connection_id) == (
            "SHOULD", "GetStatsConnection", EXAMPLE["connection_id"]
        )  # fmt: skip
        first, second = merged.evidence(entry.fingerprint)
        assert entry.exchanges == [first.key, second.key]
        assert first.answer is not None and b'"total_received_sctp": 7' in first.answer.body
        assert second.answer is not None and b'"total_received_sctp": 5' in second.answer.body
    reports = [report_of(judged(*early)), report_of(judged(*late, at="12:00:01.000000"))]
    assert stamped_late(Merged(DOC, None, reports)) == FALLEN, "nor whether any of them is"


@pytest.mark.parametrize(
    ("late", "compared"),
    [
        (judged(9, at="12:00:01.000000"), 1),
        (judged(5, at="12:00:00.050000"), 0),
        (judged(5, at="12:00:01.000000", server="http://127.0.0.1:3001"), 0),
        (judged(5, at="12:00:01.000000", local=False), 0),
        (judged(5, at="12:00:01.000000", local=True), 1),
        (judged(9, 5, at="12:00:01.000000"), 0),
        (judged(-1, at="12:00:01.000000"), 1),
        (judged(at="12:00:01.000000"), 0),
    ],
    ids=[
        "grew",
        "50 ms apart",
        "another node",
        "of the whole cluster",
        "a listing",
        "fell there",
        "unsound",
        "not seen",
    ],
)
def test_only_what_the_timestamps_tell_is_compared(late: Judge, compared: int) -> None:
    """Of one node, further apart than a server may take between stamping and reading, and not accused of already."""
    here = judged(3, 7)
    merged = Merged(DOC, here, [report_of(late)], here)
    found = stamped_late(merged)
    assert merged.tally().checked.get("order.timestamp", 0) == compared
    assert found == (FALLEN if late._by_target[Target.ALL] and compared else [])


def test_a_message_holds_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose ids come first, on every machine; and without room for their answers the finding has none."""
    monkeypatch.setattr(merged_module, "MAX_CONNECTIONS", 0)
    assert stamped_late(Merged(DOC, None, [report_of(judged(7)), report_of(judged(5, at="12:00:01.000000"))])) == []
    monkeypatch.setattr(merged_module, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(merged_module, "MAX_EVIDENCE_BYTES", 1)
    merged = Merged(DOC, None, [report_of(judged(7)), report_of(judged(5, at="12:00:01.000000"))])
    assert stamped_late(merged) == FALLEN
    (entry,) = [each for each in merged.tally().findings if each.requirement == "order.timestamp"]
    assert merged.evidence(entry.fingerprint) == () and entry.exchanges == []
