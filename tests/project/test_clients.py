"""Real clients on the simulator: HTTPie, with the lines that people copy, and sorastats, a viewer in a terminal."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from sora_stats_harness.api.edition import load_edition
from sora_stats_harness.simulator.planned_world import read_world_plan
from sora_stats_harness.simulator.response_file import read_response_file
from sora_stats_harness.simulator.server import Simulator

WORLD: Final = """
[[connection]]
channel_id = "sora"
client_id = "camera"
connection_id = "CAMERA"
start.rtp = { total_received_rtp = 1000 }

[[connection]]
channel_id = "sora"
client_id = "screen"
connection_id = "SCREEN"
"""


def client(name: str) -> str:
    """A client's program; the test is skipped where it isn't installed, unless that is an error."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        assert os.environ.get("SORA_HARNESS_CLIENTS") != "required", f"{name} is not installed"
        pytest.skip(f"{name} is not installed")
    return found


@contextmanager
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    """Two connections, with numbers that are known; one more target."""
    path, license_ = tmp_path / "world.toml", tmp_path / "license.json"
    path.write_text(WORLD, encoding="utf-8")
    license_.write_text('{"json": {"expired_at": "2030-01"}}', encoding="utf-8")
    responses = dict([read_response_file(f"Sora_20171010.GetLicense={license_}")])
    world = read_world_plan(str(path), load_edition())
    with Simulator(world=world, responses=responses) as running:
        yield running


def http(url: str, *words: str) -> Any:  # Any: JSON
    """What HTTPie prints for a request, which it has to take for a success."""
    command = [client("http"), "--ignore-stdin", "--check-status", "--body", "POST", url, *words]
    return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)


def test_httpie_reads_all_three_targets_and_a_given_one(tmp_path: Path) -> None:
    """It sends what it is told, and understands what comes."""
    with simulator(tmp_path) as running:
        listing = http(running.url, "x-sora-target:Sora_20171101.GetStatsAllConnections")
        assert [each["connection_id"] for each in listing] == ["CAMERA", "SCREEN"]
        asked = ["x-sora-target:Sora_20170529.GetStatsConnection", "channel_id=sora", "connection_id=CAMERA"]
        assert http(running.url, *asked)["rtp"]["total_received_rtp"] == 1000
        asked = ["x-sora-target:Sora_20170529.GetStatsClient", "channel_id=sora", "client_id=screen"]
        assert [each["connection_id"] for each in http(running.url, *asked)] == ["SCREEN"]
        assert http(running.url, "x-sora-target:Sora_20171010.GetLicense") == {"expired_at": "2030-01"}


def test_sorastats_shows_and_records_the_connections(tmp_path: Path) -> None:
    """It polls every second; what it records has the numbers of the world."""
    recording = tmp_path / "recording.jsonl"
    program = client("sorastats")
    with simulator(tmp_path) as running:
        master, slave = os.openpty()
        termios.tcsetwinsize(slave, (40, 160))
        process = subprocess.Popen(
            [program, f"{running.url}/", "--record", str(recording)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=os.environ | {"TERM": "xterm"},
            start_new_session=True,
        )
        os.close(slave)
        try:
            shown = b""
            while b"Connections" not in shown or b"CAMERA" not in shown:
                assert select.select([master], [], [], 60)[0], shown
                shown += os.read(master, 65_536)  # ends with an OSError where sorastats does
            os.write(master, b"q")
            process.wait(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=60)
            os.close(master)
    first, *_ = recording.read_text(encoding="utf-8").splitlines()
    values = json.loads(first)["values"]
    assert {each["connection_id"]: each["rtp"]["total_received_rtp"] for each in values} == {
        "CAMERA": 1000,
        "SCREEN": 0,
    }
