"""What a run found is found again in its evidence, by the code that reads recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.api.edition import load
from sora_stats_harness.api.exchange import Answer, Target, valid_request
from sora_stats_harness.cli import main
from sora_stats_harness.judge.judge import Judge
from sora_stats_harness.reports import files
from sora_stats_harness.reports.assemble import assemble
from sora_stats_harness.simulator.world import World

from ..reports import verdicts

Reading = dict[str, Any]  # Any: JSON


def judged(*readings: Reading) -> Judge:
    """A judge that was shown one answer after the other, none overlapping."""
    judge = Judge(load())
    for reading in readings:
        request = valid_request(
            Target.CONNECTION,
            server=verdicts.SERVER,
            channel_id=reading["channel_id"],
            connection_id=reading["connection_id"],
        )
        body = json.dumps(reading).encode()
        headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
        judge.sent(request).end(Answer(status=200, headers=headers, body=body))
    return judge


def test_a_counter_that_fell_falls_again_in_the_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same fingerprint, field, expectation and exchanges; only the run of the harness differs."""
    world = World(load(), connections=1)
    world.advance(5_000_000_000)
    (connection, *_) = world.connections(0)
    earlier = connection.reading(5_000_000_000, "2026-11-24T03:15:05.000000Z")
    later = connection.reading(5_000_000_000, "2026-11-24T03:15:06.000000Z")
    later["dtls"]["total_received_dtls"] = earlier["dtls"]["total_received_dtls"] - 1
    report = assemble(
        judged(earlier, later),
        command="conform",
        edition="doc-2024",
        subject=verdicts.SERVER,
        judged_from="live",
        observes=verdicts.LIVE,
        started_at="2026-11-24T03:15:00.000Z",
    )
    files.write(report, tmp_path)
    (found,) = [entry for entry in report.verdict.findings if entry.requirement == "order.realtime"]
    assert found.field == "/dtls/total_received_dtls"
    (name,) = found.evidence
    assert main(["check", str(tmp_path / name), "--json"]) == 1
    verdict = json.loads(capsys.readouterr().out)
    (again,) = [entry for entry in verdict["findings"] if entry["requirement"] == "order.realtime"]
    for key in ("fingerprint", "field", "pointer", "connection_id", "expected", "actual"):
        assert again[key] == getattr(found, key)
    assert again["exchanges"] == [list(key) for key in found.exchanges]
    assert verdict["judged_from"] == "recording"
