"""
A load run in several processes: started together, ended together, and judged together.

Each process has its own users, its own judge for what it sees live, and a spool; one schedule is dealt out to all of
them in turn. This one sends nothing. It hands on what its user wants, holds the limits against what all processes
measure together, waits at the end until each has told its figures, names those that never did, and then judges the
spools.
"""

from __future__ import annotations

import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from ..api.errors import HarnessError
from ..probe.interrupt import InterruptHandler
from .abort_limit import AbortLimit
from .load_spec import WorkerJob
from .request_metrics import RequestMetrics, TimelineInterval
from .run_measurements import RunMeasurements

START_S: Final = 60.0
"""How long a process may take until it is ready to send."""

BARRIER_S: Final = 30.0
"""From the end of sending until its figures are here, beyond the longest exchange."""

AHEAD_NS: Final = 200_000_000
"""Between telling all processes to begin and their beginning."""

LOOK_S: Final = 0.1

INSISTING: Final = 2
"""Signals by which requests in flight are given up."""


@dataclass(slots=True)
class _Process:
    index: int
    process: subprocess.Popen[bytes]
    rest: bytes = b""
    ready: bool = False
    over: bool = False
    """Whether nothing more is to come from it."""
    final: dict[str, Any] | None = None  # Any: plain values, as `RunMeasurements.dump` gives them
    counts: dict[str, int] = field(default_factory=dict)
    """As it last told them."""
    trouble: str | None = None

    @property
    def name(self) -> str:
        return f"process {self.index + 1} (pid {self.process.pid})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run of several processes ended."""

    interrupted: bool
    aborted: str | None
    """Why it is not what it was to be: a limit, a process that died."""
    measures: RunMeasurements
    """Of those that reported."""
    reported: frozenset[int]
    counts: dict[int, int]
    """What each process had sent, as it last told."""
    began_ns: int
    notes: tuple[str, ...]


def run(
    jobs: Sequence[WorkerJob],
    *,
    limits: tuple[AbortLimit, ...],
    interrupt: InterruptHandler,
    watch: Callable[[float, dict[str, int]], None] = lambda elapsed_s, counts: None,
) -> Ended:
    """
    Run the jobs, a process each.

    Args:
        jobs: In the order of their indexes.
        limits: Any of which ends the run early.
        interrupt: By the first signal no more is sent, by the second what is in flight is given up.
        watch: Is told ten times a second what all of them have counted.

    Raises:
        HarnessError: They could not be started.
    """
    team = _Team(jobs)
    try:
        return team.run(limits, interrupt, watch)
    finally:
        team.end()


class _Team:
    def __init__(self, jobs: Sequence[WorkerJob]) -> None:
        self._jobs = jobs
        self._selector = selectors.DefaultSelector()
        self._processes: list[_Process] = []
        self._live = RequestMetrics()
        self._aborted: str | None = None
        self._draining_since_s: float | None = None
        for job in jobs:
            self._start(job)

    def _start(self, job: WorkerJob) -> None:
        command = [sys.executable, "-m", "sora_stats_harness.load.child"]
        try:
            process = subprocess.Popen(  # noqa: S603  # our own command
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
        except OSError as error:
            self.end()
            raise HarnessError(f"a process could not be started: {error.strerror or error}") from None
        one = _Process(index=job.index, process=process)
        self._processes.append(one)
        assert process.stdout is not None, "it was asked for"
        self._selector.register(process.stdout, selectors.EVENT_READ, one)
        self._order(one, msgspec.json.encode(job).decode())

    def run(
        self,
        limits: tuple[AbortLimit, ...],
        interrupt: InterruptHandler,
        watch: Callable[[float, dict[str, int]], None],
    ) -> Ended:
        spec = self._jobs[0].spec
        signals: list[float] = []
        interrupt.set_callback(lambda: signals.append(time.monotonic()))
        obeyed = 0
        until_s = time.monotonic() + START_S
        while not all(each.ready or each.over for each in self._processes) and not signals:
            self._hear(LOOK_S)
            if time.monotonic() > until_s:
                self._give_up(f"was not ready within {START_S:g} s", lambda each: not each.ready)
        began_ns = time.monotonic_ns() + AHEAD_NS
        self._tell_all(f"go {began_ns}")
        while not all(each.over for each in self._processes):
            self._hear(LOOK_S)
            elapsed_s = (time.monotonic_ns() - began_ns) / 1e9
            watch(elapsed_s, self._counts())
            while obeyed < min(len(signals), INSISTING):
                obeyed += 1
                self._drain("drain" if obeyed < INSISTING else "give up")
            reached = next((each for each in limits if each.is_exceeded(self._live)), None)
            if reached is not None and self._draining_since_s is None:
                self._abort(f"aborted at {reached.text}")
            if elapsed_s > spec.duration_s and self._draining_since_s is None:
                self._draining_since_s = time.monotonic()
            if self._draining_since_s is not None:
                patience_s = spec.timeout_s + BARRIER_S
                if time.monotonic() > self._draining_since_s + patience_s:
                    self._give_up(f"did not report within {patience_s:g} s", lambda each: not each.over)
        interrupt.set_callback(None)
        return self._ended(interrupt.is_interrupted, began_ns)

    def _ended(self, interrupted: bool, began_ns: int) -> Ended:
        measures = RunMeasurements()
        notes = []
        for each in self._processes:
            if each.final is not None:
                measures.add_serialized(each.final)
                sent = each.final["metrics"]["sent"]
                notes.append(f"{each.name} sent {sent:,} requests, and took {each.final['cpu_share']:.0%} of a core")
        troubles = [f"{each.name} {each.trouble}" for each in self._processes if each.trouble is not None]
        return Ended(
            interrupted=interrupted,
            aborted="; ".join([*([self._aborted] if self._aborted else []), *troubles]) or None,
            measures=measures,
            reported=frozenset(each.index for each in self._processes if each.final is not None),
            counts={each.index: each.counts.get("sent", 0) for each in self._processes},
            began_ns=began_ns,
            notes=tuple(notes),
        )

    # -- one process --------------------------------------------------------------------------------------------------

    def _hear(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            one: _Process = key.data
            data = one.process.stdout.read(1 << 20) if one.process.stdout is not None else b""
            if data:
                *lines, one.rest = (one.rest + data).split(b"\n")
                for line in lines:
                    self._take(one, msgspec.json.decode(line))
                continue
            self._selector.unregister(key.fileobj)
            self._bury(one)

    def _take(self, one: _Process, told: dict[str, Any]) -> None:  # Any: as the child said it
        if "ready" in told:
            one.ready = True
        elif "tick" in told:
            one.counts = told["tick"]
            for second in told["seconds"]:
                self._live.add_interval(TimelineInterval.deserialize(second))
        elif "final" in told:
            one.final = told["final"]
            one.counts = {name: told["final"]["metrics"][name] for name in one.counts or ("sent",)}
            if told["problem"]:
                one.trouble = f"cannot spool: {told['problem']}"
            if told["in_flight"]:
                one.trouble = f"lost {told['in_flight']} requests: a fault of the harness"
            if told["aborted"]:
                self._abort(told["aborted"])
        else:
            one.trouble = f"failed: {told['failed']}"

    def _bury(self, one: _Process) -> None:
        """Its output has ended: it is done, or dead."""
        status = one.process.wait()
        one.over = True
        if one.final is None and one.trouble is None:
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            one.trouble = f"{how} before it had reported: what it saw last is missing"

    def _order(self, one: _Process, words: str) -> None:
        if one.over or one.process.stdin is None:
            return
        try:
            one.process.stdin.write(words.encode("ascii") + b"\n")
        except OSError:
            pass  # it has just died, and its output will end

    def _tell_all(self, words: str) -> None:
        for each in self._processes:
            self._order(each, words)

    def _drain(self, words: str) -> None:
        self._draining_since_s = time.monotonic()
        self._tell_all(words)

    def _abort(self, why: str) -> None:
        self._aborted = self._aborted or why
        self._drain("drain")

    def _give_up(self, why: str, on: Callable[[_Process], bool]) -> None:
        for each in self._processes:
            if on(each) and not each.over:
                each.trouble = why
                each.process.kill()

    def _counts(self) -> dict[str, int]:
        names = ("sent", "judged", "errors", "abandoned")
        return {name: sum(each.counts.get(name, 0) for each in self._processes) for name in names}

    def end(self) -> None:
        """Leave no process behind."""
        for each in self._processes:
            if each.process.poll() is None:
                each.process.kill()
                each.process.wait()
            for pipe in (each.process.stdin, each.process.stdout):
                if pipe is not None:
                    pipe.close()
        self._selector.close()


def spools_of(folder: Path, processes: int) -> list[Path]:
    """The spool of each process."""
    return [folder / f"{index + 1}.jsonl.zst" for index in range(processes)]
