"""What several processes measured and found, added up as if it had been one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.exchange import ErrorCode, Exchange, Response, Target, TransportError, make_valid_request
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.load import sample_trail
from sora_stats_harness.load.histogram import decode_histogram
from sora_stats_harness.load.merged_judge import MergedJudge, WorkerReport, make_worker_report
from sora_stats_harness.load.request_metrics import RequestMetrics
from sora_stats_harness.load.run_measurements import LoadPlan, MeasuredState, RunMeasurements
from sora_stats_harness.load.sample_trail import SampleTrail
from sora_stats_harness.load.worker_messages import encode_message

DOC = edition.load_edition()
EXAMPLE = json.loads((Path(__file__).parents[1] / "data" / "example_response.json").read_text())
SERVER = "http://127.0.0.1:3000"
MS = 1_000_000


def exchange(sent_ms: int, took_ms: int, *, error: ErrorCode | None = None) -> Exchange:
    """A listing of nobody, sent as it was due."""
    return Exchange(
        run="test",
        seq=sent_ms,
        request=make_valid_request(Target.ALL, server=SERVER),
        clock="test",
        sent_ns=sent_ms * MS,
        received_ns=(sent_ms + took_ms) * MS,
        sent_at="",
        intended_ns=sent_ms * MS,
        arrived_ns=(sent_ms + took_ms) * MS,
        response=Response(status=200, headers=(), body=b"[]"),
        error=TransportError(code=error, detail="") if error is not None else None,
    )


def counted(exchanges: list[Exchange], began_ns: int) -> RequestMetrics:
    """By one process that began then."""
    metrics = RequestMetrics()
    metrics.start(began_ns)
    for each in exchanges:
        metrics.sent += 1
        metrics.record(each)
    return metrics


def test_measures_of_two_processes_are_those_of_one() -> None:
    """Counts, percentiles and the timeline, though the second began two seconds later."""
    first = [exchange(1000 + 100 * n, 5) for n in range(30)]
    second = [exchange(3000 + 100 * n, 50, error=ErrorCode.RESET if n == 3 else None) for n in range(30)]
    whole = counted(sorted([*first, *second], key=lambda each: each.received_ns), 1000 * MS)
    both = RunMeasurements()
    for metrics in (counted(first, 1000 * MS), counted(second, 3000 * MS)):
        state = RunMeasurements(metrics=metrics, lasted_s=5.0, scheduled=30).state()
        both.add(msgspec.json.decode(encode_message(state), type=MeasuredState, dec_hook=decode_histogram))
    alone = RunMeasurements(metrics=whole, lasted_s=5.0, scheduled=60)
    told, wanted = (each.to_load_summary(LoadPlan(scenario="x", model="open")) for each in (both, alone))
    assert told == wanted
    assert (told.sent, told.judged, told.errors, told.planned_per_s) == (60, 59, 1, 12.0)
    assert [row.responses for row in told.timeline] == [row.responses for row in wanted.timeline]


def sample(value: int, at: str) -> dict[str, Any]:
    """The example with another value of one counter, stamped at another time."""
    changed: dict[str, Any] = json.loads(json.dumps(EXAMPLE))
    changed["sctp"]["total_received_sctp"] = value
    changed["timestamp"] = f"2026-01-01T{at}Z"
    return changed


def judged(*counters: int, at: str = "12:00:00.000000", server: str = SERVER, local: bool | None = None) -> Judge:
    """
    A judge that saw one connection with these values of a counter, one response after the other.

    All were stamped at one time; where `local` is given, by listings.
    """
    judge = Judge(DOC, run=f"run-{at}-{counters}")
    request = make_valid_request(
        Target.CONNECTION, server=server, channel_id=EXAMPLE["channel_id"], connection_id=EXAMPLE["connection_id"]
    )
    if local is not None:
        request = make_valid_request(Target.ALL, server=server, local=local)
    for value in counters:
        body = json.dumps(sample(value, at) if local is None else [sample(value, at)]).encode()
        judge.begin_exchange(request).complete(
            Response(status=200, headers=(("Content-Type", "application/json"),), body=body)
        )
    return judge


def test_findings_of_two_machines_are_added_up() -> None:
    """One entry with both counts and the evidence of whoever had it first; what moved on either has moved."""
    here, there = judged(1, 2), judged(50, 40, 30)
    merged = MergedJudge(DOC, here, [report_of(there)])
    merged.finish()
    tally = merged.result()
    (fallen,) = [entry for entry in tally.findings if entry.requirement == "counter.monotonic"]
    assert fallen.count == 2
    first, second = merged.evidence(fallen.fingerprint)
    assert first.response is not None
    assert second.response is not None
    assert b'"total_received_sctp": 50' in first.response.body
    assert b'"total_received_sctp": 40' in second.response.body
    assert tally.coverage.exchanges == 5
    assert tally.checked["counter.monotonic"] == 3
    assert tally.checked_by_target["counter.monotonic"] == {"GetStatsConnection": 3}
    assert tally.coverage.counters_grew == 1
    assert "sctp.total_received_sctp" not in tally.coverage.never_grew
    assert merged.subject_kind == "server"


def trail_of(judge: Judge) -> SampleTrail:
    """What is noted of it at its end."""
    trail = SampleTrail(judge)
    trail.note()
    return trail


def report_of(judge: Judge) -> WorkerReport:
    """What a master gets from it."""
    return msgspec.json.decode(encode_message(make_worker_report(judge, trail_of(judge))), type=WorkerReport)


def stamped_late(merged: MergedJudge) -> list[tuple[str, str, str, int]]:
    """Field, expected, actual and count of what was found by the server's timestamps; twice the same."""
    merged.finish()
    merged.finish()
    return [
        (each.field, each.expected, each.actual, each.count)
        for each in merged.result().findings
        if each.requirement == "counter.timestamp_order"
    ]


FALLEN = [("/sctp/total_received_sctp", "at least 7", "5", 1)]


def test_what_fell_between_two_machines_is_told_by_the_servers_timestamps() -> None:
    """Which of them is here does not matter; both responses are shown, and no judge by itself has found anything."""
    early, late = (3, 7), (5,)
    for here, there in (
        (judged(*early), judged(*late, at="12:00:01.000000")),
        (judged(*late, at="12:00:01.000000"), judged(*early)),
    ):
        merged = MergedJudge(DOC, here, [report_of(there)], trail_of(here))
        assert stamped_late(merged) == FALLEN
        tally = merged.result()
        assert tally.checked["counter.timestamp_order"] == 1
        (entry,) = [each for each in tally.findings if each.requirement == "counter.timestamp_order"]
        assert (entry.level, entry.target, entry.connection_id) == (
            "INFO",
            "GetStatsConnection",
            EXAMPLE["connection_id"],
        )
        first, second = merged.evidence(entry.fingerprint)
        assert entry.exchanges == [first.key, second.key]
        assert first.response is not None and b'"total_received_sctp": 7' in first.response.body
        assert second.response is not None and b'"total_received_sctp": 5' in second.response.body
    reports = [report_of(judged(*early)), report_of(judged(*late, at="12:00:01.000000"))]
    assert stamped_late(MergedJudge(DOC, None, reports)) == FALLEN, "nor whether any of them is"


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
    merged = MergedJudge(DOC, here, [report_of(late)], trail_of(here))
    found = stamped_late(merged)
    assert merged.result().checked.get("counter.timestamp_order", 0) == compared
    assert found == (FALLEN if late.result().coverage.by_target.get(Target.ALL.operation) and compared else [])


def test_a_message_holds_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose ids come first, on every machine; and without room for their responses the finding has none."""
    monkeypatch.setattr(sample_trail, "MAX_CONNECTIONS", 0)
    assert (
        stamped_late(MergedJudge(DOC, None, [report_of(judged(7)), report_of(judged(5, at="12:00:01.000000"))])) == []
    )
    monkeypatch.setattr(sample_trail, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(sample_trail, "MAX_EVIDENCE_BYTES", 1)
    merged = MergedJudge(DOC, None, [report_of(judged(7)), report_of(judged(5, at="12:00:01.000000"))])
    assert stamped_late(merged) == FALLEN
    (entry,) = [each for each in merged.result().findings if each.requirement == "counter.timestamp_order"]
    assert merged.evidence(entry.fingerprint) == () and entry.exchanges == []


def seen_over_time(*samples: tuple[str, int]) -> SampleTrail:
    """The trail of a judge that saw a counter at these times; what it saw is noted each time."""
    judge = Judge(DOC, run=f"run-{samples}")
    trail = SampleTrail(judge)
    for at, value in samples:
        request = make_valid_request(
            Target.CONNECTION, server=SERVER, channel_id=EXAMPLE["channel_id"], connection_id=EXAMPLE["connection_id"]
        )
        body = json.dumps(sample(value, at)).encode()
        judge.begin_exchange(request).complete(
            Response(status=200, headers=(("Content-Type", "application/json"),), body=body)
        )
        trail.note()
    return trail


def test_a_counter_that_fell_and_rose_again_is_found_between_two_machines() -> None:
    """
    One machine saw 7 and 9, the other 2, then 5 between these two, and 10: none saw it fall, and the last samples
    agree.
    """
    here = seen_over_time(("12:00:01.000000", 7), ("12:00:03.000000", 9))
    there = seen_over_time(("12:00:00.000000", 2), ("12:00:02.000000", 5), ("12:00:04.000000", 10))
    merged = MergedJudge(DOC, here.judge, [make_worker_report(there.judge, there)], here)
    assert stamped_late(merged) == FALLEN


def test_a_long_trail_is_thinned_out_and_keeps_the_last_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are too many, those that are kept are twice as far apart."""
    monkeypatch.setattr(sample_trail, "MAX_SAMPLES", 5)
    trail = seen_over_time(*((f"12:00:{second:02}.000000", second) for second in range(16)))
    (kept,) = trail.samples().values()
    assert [each.stamp_ns // 10**9 % 60 for each in kept] == [0, 4, 8, 12, 15]
