"""The loop on which tests send: it shares neither a thread nor a context with them."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from contextvars import ContextVar
from typing import Final

import pytest

from sora_stats_harness.testing.background_loop import BackgroundLoop

LIBRARY: Final = ContextVar("library", default="asyncio")


def test_work_runs_elsewhere() -> None:
    """In another thread, and not in the caller's context: under trio the libraries below would take it for trio."""

    async def look() -> tuple[str, str]:
        return threading.current_thread().name, LIBRARY.get()

    token = LIBRARY.set("trio")
    try:
        with BackgroundLoop() as loop:
            assert loop.submit(look()).result() == ("sora-client", "asyncio")
    finally:
        LIBRARY.reset(token)


def test_leaving_cancels_what_is_under_way() -> None:
    """Nobody waits for a response that a test no longer wants, and no thread is left behind."""
    begun = threading.Event()
    before = set(threading.enumerate())

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    with BackgroundLoop() as loop:
        assert len(set(threading.enumerate()) - before) == 1
        waiting = loop.submit(wait())
        assert begun.wait(10)
    with pytest.raises(CancelledError):
        waiting.result()
    assert set(threading.enumerate()) <= before
