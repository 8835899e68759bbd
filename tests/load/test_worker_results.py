"""One verdict of what several workers saw: from their spools where these are whole, else from their own judges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.exchange import Response, Target, make_valid_request
from sora_stats_harness.api.server_address import ServerAddress
from sora_stats_harness.judge.requirements import Level, Severity
from sora_stats_harness.load.http_connection import resolve_server
from sora_stats_harness.load.load_session import LoadSession
from sora_stats_harness.load.load_spec import LoadSpec, WorkerShare
from sora_stats_harness.load.run_measurements import RunStopwatch
from sora_stats_harness.load.sample_trail import SampleTrail
from sora_stats_harness.load.spools import JudgingRules, WorkerSpool
from sora_stats_harness.load.worker_messages import WorkerResult
from sora_stats_harness.load.worker_results import JudgedWorkers, WorkerNames, judge_workers, make_worker_result

DOC = edition.load_edition()
EXAMPLE = json.loads((Path(__file__).parents[1] / "data" / "example_response.json").read_text())
SERVER = "http://127.0.0.1:3000"
NAMES = WorkerNames()


class Working:
    """A worker that saw a counter at some values, one response after the other, and wrote a spool."""

    def __init__(self, folder: Path, index: int) -> None:
        address = resolve_server(SERVER)
        assert isinstance(address, ServerAddress)
        share = WorkerShare(index=index, count=2, run="one")
        self.session = LoadSession(DOC, address, LoadSpec(edition=edition.DEFAULT_EDITION), share=share)
        self.spool = WorkerSpool(folder, index)
        self.session.observer = self.spool.open(self.session)

    def see(self, value: int, second: int) -> None:
        """A response."""
        sample: dict[str, Any] = json.loads(json.dumps(EXAMPLE))
        sample["sctp"]["total_received_sctp"] = value
        sample["timestamp"] = f"2026-01-01T12:00:{second:02}.000000Z"
        request = make_valid_request(
            Target.CONNECTION, server=SERVER, channel_id=EXAMPLE["channel_id"], connection_id=EXAMPLE["connection_id"]
        )
        self.session.begin_exchange(request).complete(
            Response(status=200, headers=(("Content-Type", "application/json"),), body=json.dumps(sample).encode())
        )
        self.session.judge.judge_pending()

    def result(self) -> WorkerResult:
        """What it reports."""
        measures = RunStopwatch().measures(self.session)
        return make_worker_result(self.session, measures, spool=self.spool, trail=SampleTrail(self.session.judge))


@pytest.fixture
def workers(tmp_path: Path) -> tuple[Working, Working]:
    """Of which the second was told fewer after the first was told more: neither saw the counter fall."""
    first, second = Working(tmp_path, 0), Working(tmp_path, 1)
    first.see(5, 1)
    second.see(6, 2)
    first.see(9, 3)
    second.see(7, 4)
    return first, second


def found(judged: JudgedWorkers) -> dict[str, int]:
    """Findings about counters, by requirement."""
    judged.judge.finish()
    findings = judged.judge.result().findings
    return {entry.requirement: entry.count for entry in findings if entry.requirement.startswith("counter.")}


def test_what_fell_between_two_workers_is_found_in_their_spools(
    workers: tuple[Working, Working], tmp_path: Path
) -> None:
    """Exactly, by the clock that they share."""
    judged = judge_workers(JudgingRules(edition=DOC), [each.result() for each in workers], tmp_path, names=NAMES)
    assert (judged.reasons, judged.measures.metrics.sent) == ((), 4)
    assert found(judged) == {"counter.monotonic": 1}


def test_an_unreadable_spool_costs_its_own_part_only(
    workers: tuple[Working, Working], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Its worker's own judge is believed, and the server's timestamps order what passed between the two; also where the
    master names the folder of the spools in another way than its workers do.
    """
    results = [each.result() for each in workers]
    (tmp_path / "2.jsonl.zst").write_bytes(b"no zstd at all")
    monkeypatch.chdir(tmp_path)
    judged = judge_workers(JudgingRules(edition=DOC), results, Path(), names=NAMES)
    assert judged.measures.metrics.sent == 4
    assert judged.reasons == (f"the spool of worker 2 is incomplete: {tmp_path / '2.jsonl.zst'} is not a recording",)
    assert found(judged) == {"counter.timestamp_order": 1}
    assert judged.judge.result().coverage.exchanges == 4


def test_of_a_worker_that_never_reported_its_spool_is_judged(workers: tuple[Working, Working], tmp_path: Path) -> None:
    """And what it measured is worked out from there."""
    first, second = workers
    second.spool.close()
    judged = judge_workers(JudgingRules(edition=DOC), [first.result()], tmp_path, names=NAMES)
    assert (judged.measures.metrics.sent, judged.measures.metrics.judged) == (4, 4)
    assert found(judged) == {"counter.monotonic": 1}


def test_an_unreadable_spool_of_a_worker_that_never_reported_is_named(
    workers: tuple[Working, Working], tmp_path: Path
) -> None:
    """The rest is judged, and the file is kept."""
    first, second = workers
    second.spool.close()
    (tmp_path / "2.jsonl.zst").write_bytes(b"no zstd at all")
    judged = judge_workers(JudgingRules(edition=DOC), [first.result()], tmp_path, names=NAMES)
    assert judged.has_unread_spools
    (reason,) = judged.reasons
    assert "2.jsonl.zst" in reason
    assert "what its worker saw is missing" in reason
    assert found(judged) == {}
    assert judged.judge.result().coverage.exchanges == 2


def test_a_spool_that_lacks_exchanges_is_named(workers: tuple[Working, Working], tmp_path: Path) -> None:
    """What a worker sent and what its spool has are counted apart."""
    first, second = workers
    second.session.observer = None
    second.see(8, 5)
    judged = judge_workers(JudgingRules(edition=DOC), [first.result(), second.result()], tmp_path, names=NAMES)
    assert judged.reasons == ("worker 2 sent 3 requests, and its spool has 2",)


def test_a_master_judges_by_the_rules_of_the_run() -> None:
    """What the user says of findings' weight, of the server's stamps and of further checks holds for its own judge as well."""
    severity = Severity(fail_on=Level.MUST, by_requirement={"counter.monotonic": Level.INFO})
    rules = JudgingRules.of(
        LoadSpec(edition=edition.DEFAULT_EDITION, checks=("mine.py",), tear_s=0.5, severity=severity)
    )
    assert rules == JudgingRules(DOC, ("mine.py",), 0.5, severity)
