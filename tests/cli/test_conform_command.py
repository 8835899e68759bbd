"""
`conform` from the command line, over real sockets: the self-test passes, and an interrupted run has a whole verdict.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sora_stats_harness.cli import main
from sora_stats_harness.simulator.server import Simulator
from tests import forked

from .. import hostile


def verdict_in(folder: Path) -> dict[str, Any]:
    verdict: dict[str, Any] = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    return verdict


def statuses(verdict: dict[str, Any], prefix: str = "") -> dict[str, str]:
    return {row["id"]: row["status"] for row in verdict["requirements"] if row["id"].startswith(prefix)}


def test_the_self_test_passes_and_says_what_it_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Several nodes, the most overlap, the large request: every MUST in scope is observed, every request row passes."""
    code = main(
        [
            "conform",
            "--nodes",
            "3",
            "--concurrency",
            "32",
            "--large-request",
            "--duration",
            "0.1",
            "--output",
            str(tmp_path / "out"),
        ]
    )
    verdict = verdict_in(tmp_path / "out")
    captured = capfd.readouterr()
    assert code == 0, verdict["reason"]
    assert verdict["findings"] == [] and verdict["subject_kind"] == "simulator"
    assert captured.err.startswith("SELF-TEST") and "SELF-TEST, no Sora was tested" in captured.out
    musts = {row["status"] for row in verdict["requirements"] if row["level"] == "MUST"}
    assert musts == {"met"}
    assert set(statuses(verdict, "request.").values()) == {"met"}


def test_a_subject_is_known_by_its_responses_whatever_the_url(tmp_path: Path) -> None:
    """A simulator that is asked by URL is no server; valid-only leaves wrong requests out of scope."""
    with Simulator(connections=5) as simulator:
        code = main(["conform", simulator.url, "--valid-only", "--duration", "0.1", "--output", str(tmp_path / "out")])
    verdict = verdict_in(tmp_path / "out")
    assert code == 0, verdict["reason"]
    assert verdict["subject_kind"] == "simulator" and verdict["subject"] == simulator.url
    assert set(statuses(verdict, "request.").values()) == {"not_applicable"}


def test_until_ends_with_the_bound_or_says_what_is_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A share that a short run excludes, of each MUST and target; one that the longest run allowed does not."""
    words = ["conform", "--duration", "0.1", "--output", str(tmp_path / "out")]
    assert main([*words, "--until", "30%"]) == 0
    for row in verdict_in(tmp_path / "out")["requirements"]:
        if row["level"] == "MUST" and row["status"] == "met" and not row["id"].startswith("request."):
            assert row["excludes_above"] <= 0.3
            assert row["checked"] >= sum(each["checked"] for each in row["by_target"].values())
            assert all(each["excludes_above"] == 3 / each["checked"] <= 0.3 for each in row["by_target"].values()), row
    assert main([*words, "--until", "0.1%", "--max-duration", "1", "-v"]) == 3
    out = capsys.readouterr().out
    assert re.search(r"too weak for 0.1 %: [a-z._]+ of GetStats[A-Za-z]+ was checked\s+on", out)
    assert re.search(r"counter.monotonic +met +[0-9,]+ checked +> [0-9.]+ % of comparable pairs", out)
    assert "would have been seen, with 95 %" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_only_some_targets_and_given_connections(tmp_path: Path) -> None:
    """A proxy that lets only GetStatsConnection through can be gated: what needs the others is out of scope."""
    with Simulator(connections=5) as simulator:
        state = first_listed(simulator)
        words = [
            "conform",
            simulator.url,
            "--targets",
            "GetStatsConnection",
            "--duration",
            "0.1",
            "--channel-id",
            state["channel_id"],
            "--connection-id",
            state["connection_id"],
            "--output",
            str(tmp_path / "out"),
        ]
        code = main(words)
    verdict = verdict_in(tmp_path / "out")
    assert code == 0, verdict["reason"]
    assert set(verdict["coverage"]["by_target"]) == {"GetStatsConnection"}
    rows = statuses(verdict)
    assert rows["identity.asked"] == rows["counter.monotonic"] == rows["request.shape.missing_key"] == "met"
    assert {rows[id] for id in ("identity.client", "identity.present", "cluster.union")} == {"not_applicable"}


def first_listed(simulator: Simulator) -> dict[str, Any]:
    """The first connection that the simulator lists."""
    headers = {"x-sora-target": "Sora_20171101.GetStatsAllConnections"}
    listing: list[dict[str, Any]] = httpx.post(simulator.url, headers=headers).json()
    return listing[0]


@contextlib.contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process group of its own, as a terminal would start it; it ends with the context."""
    with forked.start(
        [sys.executable, "-m", "sora_stats_harness", "conform", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_in_the_middle_leaves_a_whole_verdict(tmp_path: Path) -> None:
    """The terminal sends it to the whole group, the simulator included; what was seen is judged, nobody is accused."""
    record = tmp_path / "run.jsonl"
    with started("--duration", "60", "--output", str(tmp_path / "out"), "--record", str(record)) as process:
        while not (record.exists() and record.stat().st_size > 100_000):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    verdict = verdict_in(tmp_path / "out")
    assert process.returncode == verdict["exit_code"] == 3
    assert verdict["interrupted"] and verdict["verdict"] == "inconclusive" and verdict["reason"] == "interrupted"
    assert verdict["findings"] == [] and verdict["coverage"]["samples"] > 0
    assert "Traceback" not in told
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"junit.xml", "report.html", "summary.md"}
    last = json.loads(record.read_bytes().rstrip(b"\n").rpartition(b"\n")[2])
    assert last["sent"] == last["judged"] + last["errors"] + last["abandoned"]
    assert judged_again(record, tmp_path) == judged(verdict)


def judged(verdict: dict[str, Any]) -> tuple[Any, ...]:
    """What a run came to."""
    return tuple(verdict[key] for key in ("verdict", "reason", "exit_code", "interrupted"))


def judged_again(recording: Path, folder: Path) -> tuple[Any, ...]:
    """The same by `check`."""
    code = main(["check", str(recording), "--output", str(folder / "again")])
    again = verdict_in(folder / "again")
    assert code == again["exit_code"]
    return judged(again)


def test_ctrl_c_while_nothing_responses(tmp_path: Path) -> None:
    """What is in flight is given up at once, not waited for."""
    record = tmp_path / "run.jsonl"

    def list_once(talk: hostile.Talk) -> None:
        hostile.says(hostile.response(b"[]"))(talk) if len(server.seen) == 1 else hostile.hang(talk)

    with hostile.serve(list_once) as server:
        waits = ("--timeout", "10m", "--duration", "10m")
        with started(server.url, *waits, "--output", str(tmp_path / "out"), "--record", str(record)) as process:
            while len(server.seen) < 2:
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    verdict = verdict_in(tmp_path / "out")
    assert process.returncode == 3 and verdict["interrupted"]
    assert verdict["coverage"]["errors"] == 1 and verdict["findings"] == []
    assert judged_again(record, tmp_path) == judged(verdict) == ("inconclusive", "interrupted", 3, True)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (hostile.close_at_once, "gives no complete response: "),
        (hostile.says(hostile.response(b'"busy"')), "responds, but not with a list of connections (status 200)"),
    ],
)
def test_a_run_that_gave_up_is_judged_the_same_from_its_recording(
    tmp_path: Path, behaviour: hostile.Behaviour, reason: str
) -> None:
    """Its end line tells why nothing more was sent; what was violated by then comes first all the same."""
    record = tmp_path / "run.jsonl"
    with hostile.serve(behaviour) as server:
        main(["conform", server.url, "--duration", "0.1", "--output", str(tmp_path / "out"), "--record", str(record)])
    verdict = verdict_in(tmp_path / "out")
    end = json.loads(record.read_bytes().splitlines()[-1])
    assert (end["ended"], reason in end["why"]) == ("aborted", True)
    assert judged_again(record, tmp_path) == judged(verdict)
