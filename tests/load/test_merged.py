"""What several processes measured and found, added up as if it had been one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sora_stats_harness import edition
from sora_stats_harness.exchange import Answer, ErrorCode, Exchange, Target, TransportError, valid_request
from sora_stats_harness.judge import Judge
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


def judged(*counters: int) -> Judge:
    """A judge that saw one connection with these values of a counter, one answer after the other."""
    judge = Judge(DOC)
    request = valid_request(
        Target.CONNECTION, server=SERVER, channel_id=EXAMPLE["channel_id"], connection_id=EXAMPLE["connection_id"]
    )  # fmt: skip
    for value in counters:
        reading: dict[str, Any] = json.loads(json.dumps(EXAMPLE))
        reading["sctp"]["total_received_sctp"] = value
        body = json.dumps(reading).encode()
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
