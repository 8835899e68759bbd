"""A client that knows nothing of the harness, an exporter, is tested with it: on the simulator, and on a recording."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sora_stats_harness.testing import ExchangeRecording, Simulator, StatsClient
from tests import forked

EXPORTER: Final = Path(__file__).parents[1] / "exporter.py"
SAMPLE: Final = re.compile(r'sora_(\w+?)_(total_\w+)\{.*connection_id="(\w+)"\} (\d+)')


def export(*options: str, scrapes: int = 1) -> subprocess.CompletedProcess[str]:
    """Run the exporter under `simulate -- COMMAND`, on a free port."""
    command = [sys.executable, "-m", "sora_stats_harness", "simulate", "--port", "0", *options]
    return forked.run(
        [*command, "--", sys.executable, str(EXPORTER)],
        text="\n" * (scrapes - 1),
        timeout=60,
    )


def samples(text: str) -> list[dict[tuple[str, str, str], int]]:
    """Each scrape's counters, by connection, group and field."""
    return [
        {(connection, group, name): int(value) for group, name, connection, value in SAMPLE.findall(scrape)}
        for scrape in text.split("sora_connections ")[1:]
    ]


def test_exporter_against_the_simulator() -> None:
    """It finds SORA_URL, exports every connection, its counters grow and never fall, and its status is handed on."""
    done = export("--no-churn", "--connections", "4", scrapes=3)
    assert done.returncode == 0, done.stderr
    first, second, third = samples(done.stdout)
    assert len(first) == 4 * 8
    assert first.keys() == second.keys() == third.keys()
    assert all(first[key] <= second[key] <= third[key] for key in first)
    assert sum(third.values()) > sum(first.values()) > 0


def test_exporter_against_a_server_that_is_wrong() -> None:
    """What it makes of a leaf that is missing, or of a proxy's page with status 200: no numbers, and a status of its own."""
    for fault, complaint in (
        ("missing-leaf:field=rtp.total_sent_rtp", "'total_sent_rtp'"),
        ("html", "JSONDecodeError"),
    ):
        done = export("--fault", fault, scrapes=20)
        assert done.returncode == 1
        assert complaint in done.stderr


def test_exporter_against_a_recording(
    sora_simulator: Simulator, sora_client: StatsClient, sora_recording: ExchangeRecording
) -> None:
    """Played back, each scrape exports the very numbers that a test recorded, in the same order."""
    replies = []
    for _ in range(3):
        replies.append(sora_client.get_stats_all_connections())
        sora_simulator.advance(10)
    done = export("--play", str(sora_recording.close()), scrapes=3)
    assert done.returncode == 0, done.stderr
    recorded = [
        {(sample.connection_id, group, name): value for sample in reply for group, name, value in counters(sample)}
        for reply in replies
    ]
    played = samples(done.stdout)
    assert len(played[0]) == 20 * 8
    assert played == [{key: scrape[key] for key in played[0]} for scrape in recorded]
    assert played[0] != played[1] != played[2]


def counters(sample: Mapping[str, object]) -> list[tuple[str, str, int]]:
    """Every counter of a group at the top of a sample."""
    return [
        (group, name, value)
        for group, below in sample.items()
        if isinstance(below, Mapping)
        for name, value in below.items()
        if isinstance(value, int)
    ]
