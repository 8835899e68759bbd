"""Starts of `load`, `capacity` and `conform` that signals end at a random moment: two in the tests, hundreds in `make proof`."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.hostile import closed_port

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

LATEST_S: Final = 2.0

HANG_S: Final = 120.0
"""Nothing that a run waits for takes so long, however busy the machine is."""

SEARCH: Final = ("--slo", "p50<100ms", "--window", "300ms", "--max-rate", "40", "--max-in-flight", "4")

COMMANDS: Final[tuple[tuple[str, ...], ...]] = (
    ("load", "--users", "2", "--interval", "20ms", "--duration", "30s"),
    ("load", "--users", "2", "--interval", "20ms", "--duration", "30s", "--processes", "2"),
    ("capacity", *SEARCH),
    ("capacity", *SEARCH, "--processes", "2"),
)

CONFORM: Final = ("conform", "--duration", "30s")


class Started:
    """
    A command that was started, as the leader of a group of its own.

    Args:
        words: Its own.
        log: Where it prints to.
    """

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self._log = log
        with log.open("wb") as file:
            command = [sys.executable, "-m", "sora_stats_harness", *words]
            # as in life: what forks processes for tests would get the signals as well
            self._process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()

    def wait_for_first_line(self) -> None:
        """Until Python has come to the first line of ours, which holds signals back: before, it is Python's to end."""
        path = Path(f"/proc/{self._process.pid}/status")
        while self._process.poll() is None:
            fields = dict(line.split(":", 1) for line in path.read_text().splitlines())
            if any(int(fields[name], 16) >> (signal.SIGTERM - 1) & 1 for name in ("SigBlk", "SigCgt")):
                return
            time.sleep(0.002)

    def signal(self, number: signal.Signals, *, group: bool) -> None:
        """As a supervisor does, or as a terminal, which tells the whole group."""
        if group:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                pass  # it has ended
        else:
            self._process.send_signal(number)

    def end(self, what: str) -> int:
        """Its exit code; an AssertionError where it hangs or shows a traceback."""
        try:
            code = self._process.wait(HANG_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{what}: it hung") from None
        finally:
            self.kill()
        assert "Traceback" not in self.said and "Exception" not in self.said, f"{what}: {self.said}"
        assert code in (0, 1, 3), f"{what}: exit {code}: {self.said}"
        return code

    def kill(self) -> None:
        """Where it has not ended."""
        self._process.kill()
        self._process.wait()


def interrupt_once(url: str, folder: Path, seed: int) -> int:
    """
    Start a command on a server, send it one to three signals from a random moment on, and check how it ends.

    Returns:
        Its exit code.

    Raises:
        AssertionError: It hung, showed a traceback, or left neither whole reports nor one line; the message has the seed.
    """
    draw = random.Random(seed)
    number, count, words = draw.choice(SIGNALS), draw.choice((1, 1, 1, 2, 3)), draw.choice((*COMMANDS, CONFORM))
    group, where = draw.random() < 0.3, draw.choice(([url], [url], []))
    what = f"seed {seed}: {number.name} x {count}, {' '.join(words)}"
    folder.mkdir()
    started = Started([words[0], *where, *words[1:], "--output", str(folder / "out")], folder / "log")
    try:
        started.wait_for_first_line()
        time.sleep(draw.uniform(0, LATEST_S))
        for _ in range(count):
            started.signal(number, group=group)
            time.sleep(draw.uniform(0, 0.2))
    finally:
        code = started.end(what)
    check_what_is_left(folder, code, started.said, what)
    return code


def check_what_is_left(folder: Path, code: int, said: str, what: str) -> None:
    """Whole reports whose exit code is that of the process, or one line."""
    if "reports in " in said:
        told = json.loads((folder / "out" / "verdict.json").read_text())
        assert told["exit_code"] == code, f"{what}: {told['exit_code']}, exit {code}"
    else:
        assert said.count("sora-harness: interrupted") == 1, f"{what}: {said}"


def interrupt_one_of_three(url: str, folder: Path, seed: int) -> int:
    """
    The same for a master and two workers, which are processes of their own: one of the three gets the signals.

    Returns:
        The exit code of the master.
    """
    draw = random.Random(seed)
    number, count, words = draw.choice(SIGNALS), draw.choice((1, 1, 1, 2, 3)), draw.choice(COMMANDS[::2])
    victim, port = draw.randrange(3), closed_port().rpartition(":")[2]
    what = f"seed {seed}: {number.name} x {count} to {'master' if not victim else 'a worker'}, {words[0]}"
    words = tuple("4s" if word == "30s" else word for word in words)
    folder.mkdir()
    as_master = ("--master", "--expect-workers", "2", "--master-bind-port", port, "--output", str(folder / "out"))
    master = Started([words[0], url, *words[1:], *as_master], folder / "log")
    worker = (words[0], "--worker", "--master-port", port)
    started = [master, *(Started(worker, folder / f"log-{number}") for number in (1, 2))]
    try:
        for each in started:
            each.wait_for_first_line()
        time.sleep(draw.uniform(0, LATEST_S))
        for _ in range(count):
            started[victim].signal(number, group=False)
            time.sleep(draw.uniform(0, 0.2))
        if victim:
            started[victim].end(f"{what}, the worker")
            if "working for" not in started[victim].said:  # its master never heard of it, and waits for another one
                master.signal(signal.SIGINT, group=False)
        code = master.end(what)
        check_what_is_left(folder, code, master.said, what)
        for each in started[1:]:
            if "working for" not in each.said:  # it waits for a master
                each.signal(signal.SIGINT, group=False)
            each.end(f"{what}, a worker")
    finally:
        for each in started:
            each.kill()
    return code
