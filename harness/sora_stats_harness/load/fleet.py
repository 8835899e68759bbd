"""
A bench of several processes: one rate, dealt out to all of them, and one window of what all of them saw.

For the search it is what `window.Rig` is. A window is void if any process was late, since nobody can tell what its share
would have met; and where a process has died the search ends, and says which. Each process judges what it sees itself, the
order of counters included; only a counter that falls between a response that one of them saw and one that another saw is
not found, and that is said.
"""

from __future__ import annotations

import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ..api.errors import HarnessError
from ..judge.verdict import LatencyDistribution
from ..probe.interrupt import InterruptHandler
from .capacity.load_window import LoadWindow
from .capacity.rate_search import LoadAborted, SearchEnded
from .interruptible_request import silence_keyboard_interrupt
from .request_metrics import RequestMetrics
from .run_measurements import summarize_latencies
from .shares import Errand, together

START_S: Final = 60.0
"""How long a process may take until it is ready to send."""

AHEAD_NS: Final = 500_000_000
"""Between telling all processes a rate and its first request: each of them tidies its memory before."""

BARRIER_S: Final = 30.0
"""How much longer a response to an order may take than what was ordered."""

LOOK_S: Final = 0.1


@dataclass(slots=True)
class _Hand:
    index: int
    process: subprocess.Popen[bytes]
    rest: bytes = b""
    said: list[dict[str, Any]] = field(default_factory=list)  # Any: plain values, as `hand` says them
    over: bool = False
    failed: str | None = None

    @property
    def name(self) -> str:
        return f"process {self.index + 1} (pid {self.process.pid})"


class Fleet:
    """
    Drives several processes step by step; what `capacity.search` calls a bench. A context: they end with it.

    Args:
        errands: One for each process, in the order of their indexes.
        interrupt: Ends the run.
        watch: Is called ten times a second with what is going on.
    """

    def __init__(
        self,
        errands: Sequence[Errand],
        *,
        interrupt: InterruptHandler,
        watch: Callable[[str], None] = lambda text: None,
    ) -> None:
        silence_keyboard_interrupt()
        self._errands = errands
        self._interrupt = interrupt
        self._watch = watch
        self._selector = selectors.DefaultSelector()
        self._hands: list[_Hand] = []
        self._rate = 0.0
        self._patience_s = errands[0].patience_s + errands[0].timeout_s + BARRIER_S
        self.finished: list[tuple[float, list[LatencyDistribution]]] = []
        """As `Rig.finished`."""
        self.reports: list[str] = []
        """What each process found, as `merged.report_of` gives it; of those that ended as they should."""

    def __enter__(self) -> Fleet:
        try:
            for errand in self._errands:
                self._start(errand)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._tell("quit")
            for one, final in self._gather(("final",), self._patience_s, heed=False):
                self.reports.append(final["final"])
                one.over = True
        finally:
            self._leave()

    def ready(self) -> None:
        """
        Wait until all of them are.

        Raises:
            Ended: One of them is not, or the user has had enough.
        """
        self._gather(("ready",), START_S)

    def start_step(self, rate: float) -> None:
        """Let requests fall due at this rate, in turn from each of them."""
        self._rate = rate
        begins_ns, count = time.monotonic_ns() + AHEAD_NS, len(self._hands)
        for one in self._hands:
            self._order(one, f"begin {rate / count!r} {begins_ns + round(one.index * 1e9 / rate)}")

    def wait_for_window(self, lasts_s: float) -> LoadWindow:
        """
        Wait for the next window of all of them.

        Raises:
            Ended: A process has died, or the user has had enough.
            Overrun: One of them has reached a limit.
        """
        self._tell(f"window {lasts_s!r}")
        said = self._gather(("window", "overrun"), lasts_s + self._patience_s)
        for each in (each for _, each in said if "overrun" in each):
            raise LoadAborted(each["overrun"], None if each["seen"] is None else together([each["seen"]]))
        return together([each["window"] for _, each in said])

    def end_step(self) -> tuple[str, ...]:
        """As `Rig.end`; of those that are left."""
        self._tell("end now" if self._interrupt.is_interrupted else "end")
        metrics, findings, silent = RequestMetrics(), list[str](), None
        for _, each in self._gather(("ended",), self._patience_s, heed=False):
            metrics.add_serialized(each["metrics"])
            findings += each["ended"]
            silent = silent or each["silent"]
        told = [msgspec.structs.replace(each, buckets=[]) for each in summarize_latencies(metrics)]
        self.finished.append((self._rate, told))
        if silent is not None:
            raise SearchEnded(silent)
        return tuple(findings)

    # -- the processes ------------------------------------------------------------------------------------------------

    def _start(self, errand: Errand) -> None:
        command = [sys.executable, "-m", "sora_stats_harness.load.hand"]
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)  # noqa: S603  # our own command
        except OSError as error:
            raise HarnessError(f"a process could not be started: {error.strerror or error}") from None
        one = _Hand(index=errand.index, process=process)
        self._hands.append(one)
        assert process.stdout is not None, "it was asked for"
        self._selector.register(process.stdout, selectors.EVENT_READ, one)
        self._order(one, msgspec.json.encode(errand).decode())

    def _gather(
        self, names: Sequence[str], within_s: float, *, heed: bool = True
    ) -> list[tuple[_Hand, dict[str, Any]]]:  # Any: as said
        """
        The next response of this kind from each of them, in the order of their indexes; others are passed over.

        With `heed` the user and a death end it; else it is for those that are left.
        """
        got: dict[int, dict[str, Any]] = {}
        until_s = time.monotonic() + within_s
        while awaited := [one for one in self._hands if one.index not in got and not one.over]:
            self._hear()
            self._watch(f"{self._rate:,.0f}/s from {len(self._hands)} processes")
            for one in awaited:
                while one.said and one.index not in got:
                    each = one.said.pop(0)
                    if any(name in each for name in names):
                        got[one.index] = each
                        if "overrun" in each:
                            self._tell("halt")
                            names = [*names, "halted"]
            if heed and self._interrupt.is_interrupted:
                self._tell("halt")
                raise SearchEnded("interrupted")
            if time.monotonic() > until_s:
                for one in awaited:
                    one.failed, one.over = f"did not respond within {within_s:.0f} s", True
                    one.process.kill()
            if heed and (trouble := self._trouble()) is not None:
                self._tell("halt")
                raise SearchEnded(trouble)
        if heed and not got:
            raise SearchEnded(self._trouble() or "no process is left")
        return [(one, got[one.index]) for one in self._hands if one.index in got]

    def _trouble(self) -> str | None:
        troubles = [f"{one.name} {one.failed}" for one in self._hands if one.failed is not None]
        return "; ".join(troubles) or None

    def _hear(self) -> None:
        for key, _ in self._selector.select(LOOK_S):
            one: _Hand = key.data
            data = one.process.stdout.read(1 << 20) if one.process.stdout is not None else b""
            if not data:
                self._selector.unregister(key.fileobj)
                self._bury(one)
                continue
            *lines, one.rest = (one.rest + data).split(b"\n")
            for line in lines:
                each = msgspec.json.decode(line)
                if "failed" in each:
                    one.failed = f"failed: {each['failed']}"
                else:
                    one.said.append(each)

    def _bury(self, one: _Hand) -> None:
        """Its output has ended: it is done, or dead."""
        status = one.process.wait()
        one.over = not any("final" in each for each in one.said)
        if one.failed is None and status != 0:
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            one.failed = f"{how}: what it saw is missing"

    def _order(self, one: _Hand, words: str) -> None:
        if one.over or one.process.stdin is None:
            return
        try:
            one.process.stdin.write(words.encode("ascii") + b"\n")
        except OSError:
            pass  # it has just died, and its output will end

    def _tell(self, words: str) -> None:
        for one in self._hands:
            self._order(one, words)

    def _leave(self) -> None:
        """Leave no process behind."""
        for one in self._hands:
            if one.process.poll() is None:
                one.process.kill()
                one.process.wait()
            for pipe in (one.process.stdin, one.process.stdout):
                if pipe is not None:
                    pipe.close()
        self._selector.close()
