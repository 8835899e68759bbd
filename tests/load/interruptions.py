"""Starts of `load` that a signal ends at a random moment: a few in the tests, hundreds in `make proof`."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

EARLIEST_S: Final = 0.05
"""Before that Python itself may not have come to our first line."""

LATEST_S: Final = 2.0

HANG_S: Final = 30.0


def interrupt_once(url: str, folder: Path, seed: int) -> int:
    """
    Start `load` on a server, send it one to three signals from a random moment on, and check how it ends.

    Returns:
        Its exit code.

    Raises:
        AssertionError: It hung, showed a traceback, or left neither whole reports nor one line; the message has the seed.
    """
    draw = random.Random(seed)
    number, count = draw.choice(SIGNALS), draw.choice((1, 1, 1, 2, 3))
    processes = draw.choice(("1", "1", "2"))
    command = [sys.executable, "-m", "sora_stats_harness", "load", url, "--users", "2", "--interval", "20ms"]
    command += ["--duration", "30s", "--processes", processes, "--output", str(folder)]
    what = f"seed {seed}: {number.name} x {count}, {processes} processes"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            time.sleep(draw.uniform(EARLIEST_S, LATEST_S))
            for _ in range(count):
                process.send_signal(number)
                time.sleep(draw.uniform(0, 0.2))
            out, said = process.communicate(timeout=HANG_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{what}: it hung") from None
        finally:
            process.kill()
    assert "Traceback" not in said and "Exception" not in said, f"{what}: {said}"
    assert process.returncode in (0, 1, 3), f"{what}: exit {process.returncode}: {said}"
    if "reports in " in out:
        told = json.loads((folder / "verdict.json").read_text())
        assert told["exit_code"] == process.returncode, f"{what}: {told['exit_code']}, exit {process.returncode}"
    else:
        assert said.count("sora-harness: interrupted") == 1, f"{what}: {out}{said}"
    return process.returncode
