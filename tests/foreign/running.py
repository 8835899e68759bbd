"""A run of the harness against the foreign server, which is a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests import forked

from .faults import FAULTS

ROOT: Final = Path(__file__).resolve().parents[2]
COMMANDS: Final = {
    "conform": ("conform", "--duration", "3", "--max-duration", "20"),
    "load": ("load", "--scenario", "mixed", "--users", "6", "--interval", "20ms", "--duration", "3s"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    verdict: dict[str, Any]  # Any: verdict.json
    found_after_s: float | None
    """From the first wrong response to the response that showed it; None where nothing that was to be found was."""

    def requirements(self, *levels: str) -> set[str]:
        """What has findings of these levels."""
        return {finding["requirement"] for finding in self.verdict["findings"] if finding["level"] in levels}


@contextmanager
def foreign_server(fault: str, manners: dict[str, Any]) -> Iterator[tuple[list[str], list[str]]]:  # Any: as Manners
    """Its URLs; and what it said at the end, once that has come."""
    command = [sys.executable, "-m", "tests.foreign.server", "--fault", fault, "--manners", json.dumps(manners)]
    said: list[str] = []
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        end, lines = process.stdin, process.stdout
        assert end is not None and lines is not None, "pipes"
        try:
            yield list(iter(lambda: lines.readline().strip(), "")), said
            end.close()
            said += lines.read().split()
        finally:
            process.kill()


def run_on_foreign_server(
    command: str, fault: str, folder: Path, *options: str, manners: dict[str, Any] | None = None
) -> Outcome:  # Any: as Manners
    """Judge a server that has a fault; `none` is one."""
    recording = folder / "recording.jsonl"
    with foreign_server(fault, manners or {}) as (urls, said):
        words: Sequence[str] = (*COMMANDS[command], *options)
        if command == "conform":
            words = [*words, *(word for url in urls[1:] for word in ("--node", url))]
        files = ("--json", "--output", str(folder / "reports"), "--record", str(recording))
        done = forked.run(
            [sys.executable, "-m", "sora_stats_harness", words[0], urls[0], *words[1:], *files],
        )
    assert done.stdout and "Traceback" not in done.stderr, done.stderr
    verdict = json.loads(done.stdout)
    wrong = [
        finding["wrong_exchange"][1]
        for finding in verdict["findings"]
        if finding["requirement"] in FAULTS[fault].found_by
    ]
    if not wrong:
        return Outcome(verdict, None)
    received_ns = {
        line["seq"]: line["received_ns"]
        for line in map(json.loads, recording.read_text(encoding="utf-8").splitlines())
        if "seq" in line
    }
    assert said[0] != "None", "something was found on a server that did nothing wrong"
    return Outcome(verdict, (min(received_ns[seq] or 0 for seq in wrong) - int(said[0])) / 1e9)
