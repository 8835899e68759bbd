"""
Runs the event loop on which all requests of tests are sent and judged, in a thread of its own, and keeps its probers.

So the synchronous client also works inside a running loop, the asynchronous one works with any loop, and the judge runs
in a single thread. The times of an exchange are recorded in this thread, where its bytes are handled.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextvars import Context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from ..api.server_route import Route
    from ..probe.prober import Prober
    from ..probe.run_settings import RunSettings

T = TypeVar("T")


class BackgroundLoop:
    """An event loop that runs while the context lasts."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sora-client", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.submit(_cancel_other_tasks()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:  # Any: what a coroutine sends and is sent
        """Start a coroutine on the loop; cancelling the future cancels it."""
        # In a new context: under trio, the libraries below would otherwise believe that they run in trio.
        return Context().run(asyncio.run_coroutine_threadsafe, work, self._loop)


async def _cancel_other_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class ProberPool:
    """A loop, and the probers that send on it while the context lasts: one for each combination of settings."""

    def __init__(self) -> None:
        self.loop: BackgroundLoop = BackgroundLoop()
        self._probers: dict[tuple[float, Route], Prober] = {}

    def prober_for(self, settings: RunSettings) -> Prober:
        """The prober for some settings."""
        key = (settings.timeout_s, settings.route())
        if key not in self._probers:
            self._probers[key] = settings.new_prober()
        return self._probers[key]

    def __enter__(self) -> Self:
        self.loop.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.__exit__(kind, error, trace)
