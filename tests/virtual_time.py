"""Virtual time: an event loop whose clock jumps to the next timer instead of waiting for it, for tests of code that sleeps."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final, TypeVar
from unittest import mock

from sora_stats_harness.judge import exchange_queue
from sora_stats_harness.simulator.asgi_app import Clock

T = TypeVar("T")

EPOCH_NS: Final = 1_700_000_000_000_000_000
"""The time of day when a virtual clock begins."""


class VirtualClock:
    """A time in seconds, which every loop that it is given to moves on."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_ns(self) -> int:
        """As `time.monotonic_ns`."""
        return round(self.now_s * 1e9)

    def time_ns(self) -> int:
        """As `time.time_ns`."""
        return EPOCH_NS + self.monotonic_ns()

    def of_simulator(self) -> Clock:
        """The same for a simulator."""
        return Clock(monotonic_ns=self.monotonic_ns, wall_ns=self.time_ns, sleep=asyncio.sleep)

    def run(self, main: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine sends and is sent
        """As `asyncio.run`."""
        with asyncio.Runner(loop_factory=lambda: _VirtualTimeLoop(self)) as runner:
            return runner.run(main)


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits for a timer: it adds the time that the loop would have waited to the clock."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        # one socket is the loop's own, by which threads end a wait: here there is none
        ready = super().select(0) if len(self.get_map()) > 1 else []
        if not ready:
            self._clock.now_s += max(0.0, timeout)
        return ready


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Tells the time of a clock; sockets and `call_soon_threadsafe` work as ever."""

    def __init__(self, clock: VirtualClock) -> None:
        self._virtual_clock = clock
        super().__init__(_JumpingSelector(clock))

    def time(self) -> float:
        return self._virtual_clock.now_s


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine sends and is sent
    """As `asyncio.run`."""
    return VirtualClock().run(main)


@contextmanager
def virtual_time() -> Iterator[VirtualClock]:
    """Let `asyncio.run` and every judge go by a virtual clock while the context lasts."""
    clock = VirtualClock()
    told = SimpleNamespace(monotonic_ns=clock.monotonic_ns, time_ns=clock.time_ns)
    with mock.patch.object(asyncio, "run", clock.run), mock.patch.object(exchange_queue, "time", told):
        yield clock
