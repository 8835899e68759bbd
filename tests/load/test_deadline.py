"""One timer for many waits: none ends too early, none goes on for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import gevent
import pytest

from sora_stats_harness.load.deadline import Deadline

MS = 1_000_000


@pytest.fixture
def deadline() -> Iterator[Deadline]:
    made = Deadline()
    yield made
    made.close()


def wait(deadline: Deadline, due_ns: int, *, ready_s: float | None = None) -> None:
    """Wait for what is ready so much later; for what never is, where that is None."""
    loop = gevent.get_hub().loop
    watcher = loop.async_() if ready_s is None else loop.timer(ready_s)
    try:
        deadline.wait(watcher, due_ns)
    finally:
        watcher.close()


def test_a_wait_ends_when_it_is_due_and_not_before(deadline: Deadline) -> None:
    due_ns = time.monotonic_ns() + 30 * MS
    with pytest.raises(TimeoutError):
        wait(deadline, due_ns)
    assert time.monotonic_ns() >= due_ns


def test_a_deadline_holds_over_several_waits(deadline: Deadline) -> None:
    """What is ready again and again puts nothing off: a slow drip ends as well."""

    def drip(until_ns: int) -> None:
        while True:
            wait(deadline, until_ns, ready_s=0.005)

    due_ns = time.monotonic_ns() + 50 * MS
    with pytest.raises(TimeoutError):
        drip(due_ns)
    assert time.monotonic_ns() >= due_ns


def test_an_earlier_deadline_does_not_end_a_later_wait(deadline: Deadline) -> None:
    """The timer of the first rings within the second, for which it is too early; and so on."""
    due_ns = 0
    for _ in range(4):
        with suppress(TimeoutError):  # on a machine that stood still meanwhile
            wait(deadline, time.monotonic_ns() + 20 * MS, ready_s=0.0)
        due_ns = time.monotonic_ns() + 40 * MS
        with pytest.raises(TimeoutError):
            wait(deadline, due_ns)
        assert time.monotonic_ns() >= due_ns


def test_a_timer_that_rings_while_nobody_waits_disturbs_nobody(
    deadline: Deadline, capfd: pytest.CaptureFixture[str]
) -> None:
    """The greenlet does something else then; and the next wait has a timer again."""
    with suppress(TimeoutError):
        wait(deadline, time.monotonic_ns() + 10 * MS, ready_s=0.0)
    gevent.sleep(0.05)
    with pytest.raises(TimeoutError):
        wait(deadline, time.monotonic_ns() + 10 * MS)
    assert capfd.readouterr().err == ""  # where gevent tells what goes wrong in its loop


def test_a_deadline_that_has_passed_ends_the_wait_at_once(deadline: Deadline) -> None:
    with pytest.raises(TimeoutError):
        wait(deadline, time.monotonic_ns() - MS)
