"""A fault of the harness in the middle of a run, or at its end: what was seen by then is judged and reported, with exit code 4."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import pytest

from sora_stats_harness.simulator.server import Simulator
from tests import forked
from tests.hostile import closed_port

from .build import UntilSeen

HEAD: Final = """
from sora_stats_harness.judge.checks import Check, Level, Requirement
from sora_stats_harness.load.load_session import LoadSession
from sora_stats_harness.load.request_metrics import RequestMetrics


class Nothing(Check):
    requirements = (
        Requirement(id="mine.nothing", level=Level.INFO, title="-", reason="-", source="-", message="-"),
    )

    def observe(self, seen, state):
        state.count(self.requirements[0])


"""

COUNTING: Final = """
record, seen = RequestMetrics.record, []


def fail(self, exchange):
    seen.append(exchange)
    if len(seen) == 20:
        raise RuntimeError("a bug")
    record(self, exchange)


RequestMetrics.record = fail
"""
"""One user of those who share a process is at fault; the others could go on."""

DRAINING: Final = """
def fail(self):
    raise RuntimeError("a bug")


LoadSession.drain = fail
"""

LOAD: Final = ("-m", "sora_stats_harness", "load", "--rate", "100", "--duration", "2s")
CAPACITY: Final = (
    *("-m", "sora_stats_harness", "capacity", "--slo", "errors<30%", "--window", "300ms", "--scenario", "drill"),
    *("--start", "40", "--max-rate", "40"),
)
LOCUST: Final = (
    *("-m", "locust", "-f", str(Path(__file__).parents[2] / "locustfiles" / "mixed.py"), "--headless", "-u", "4"),
    *("-r", "100", "--sora-interval", "40ms"),
)


@pytest.mark.parametrize(
    ("command", "processes", "fault"),
    [
        (LOAD, 1, COUNTING),
        (LOAD, 2, DRAINING),
        (CAPACITY, 1, DRAINING),
        (CAPACITY, 2, COUNTING),
        (LOCUST, 1, DRAINING),
        (LOCUST, 2, COUNTING),
    ],
    ids=["load", "load 2", "capacity", "capacity 2", "locust", "locust 2"],
)
def test_what_was_seen_is_reported(command: tuple[str, ...], processes: int, fault: str, tmp_path: Path) -> None:
    """No user, worker or end of a run is missing without a word."""
    (tmp_path / "breaking.py").write_text(HEAD + fault)
    option, port = "--" if command is not LOCUST else "--sora-", closed_port().rpartition(":")[2]
    words = [*command, f"{option}checks", str(tmp_path / "breaking.py"), f"{option}output", str(tmp_path / "out")]
    words += ["--processes", f"{processes}"] if processes > 1 else []
    words += ["--master-bind-port", port, "--master-port", port] if processes > 1 and command is LOCUST else []
    with Simulator(connections=3, churn=False) as simulator:
        if command is LOCUST:
            until = UntilSeen(tmp_path)
            words[words.index("-f") + 1] += f",{until.locustfile}"
            code, said = until.run(
                simulator, [sys.executable, *words, "--host", simulator.url], requests=100, listings=0
            )
        else:
            done = forked.run([sys.executable, *words, simulator.url])
            code, said = done.returncode, done.stderr
    told = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert (code, told["exit_code"], told["findings"]) == (4, 4, []), said
    expected = "requests are not accounted for" if command is LOCUST and fault is COUNTING else "RuntimeError: a bug"
    assert expected in told["reason"]
    assert told["coverage"]["samples"] > 10
    assert command is LOCUST or "Traceback" not in said, said
