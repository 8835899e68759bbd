"""What a run found is found again in its evidence, by the code that reads recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.api.edition import load_edition
from sora_stats_harness.api.exchange import Response, Target, make_valid_request
from sora_stats_harness.cli import main
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.verdict_decision import RunScope
from sora_stats_harness.reports import report_folder as files
from sora_stats_harness.reports.verdict_assembly import RunFacts, assemble_verdict
from sora_stats_harness.simulator.world import SimulatedWorld

from ..reports import verdicts

Sample = dict[str, Any]  # Any: JSON


def judged(*samples: Sample) -> Judge:
    """A judge that was shown one response after the other, none overlapping."""
    judge = Judge(load_edition())
    for sample in samples:
        request = make_valid_request(
            Target.CONNECTION,
            server=verdicts.SERVER,
            channel_id=sample["channel_id"],
            connection_id=sample["connection_id"],
        )
        body = json.dumps(sample).encode()
        headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
        judge.begin_exchange(request).complete(Response(status=200, headers=headers, body=body))
    return judge


def test_a_counter_that_fell_falls_again_in_the_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same fingerprint, field, expectation and exchanges; only the run of the harness differs."""
    world = SimulatedWorld(load_edition(), connections=1)
    world.advance(5_000_000_000)
    (connection, *_) = world.connections_of_node(0)
    earlier = connection.read_sample(5_000_000_000, "2026-11-24T03:15:05.000000Z")
    later = connection.read_sample(5_000_000_000, "2026-11-24T03:15:06.000000Z")
    later["dtls"]["total_received_dtls"] = earlier["dtls"]["total_received_dtls"] - 1
    facts = RunFacts(
        command="conform",
        edition=load_edition(),
        subject=verdicts.SERVER,
        scope=RunScope(observes=verdicts.LIVE),
        started_at="2026-11-24T03:15:00.000Z",
    )
    report = assemble_verdict(judged(earlier, later), facts)
    files.write_reports(report, tmp_path)
    (found,) = [entry for entry in report.verdict.findings if entry.requirement == "counter.monotonic"]
    assert found.field == "/dtls/total_received_dtls"
    (name,) = found.evidence
    assert main(["check", str(tmp_path / name), "--json"]) == 1
    verdict = json.loads(capsys.readouterr().out)
    (again,) = [entry for entry in verdict["findings"] if entry["requirement"] == "counter.monotonic"]
    for key in ("fingerprint", "field", "pointer", "connection_id", "expected", "actual"):
        assert again[key] == getattr(found, key)
    assert again["exchanges"] == [list(key) for key in found.exchanges]
    assert verdict["judged_from"] == "recording"
