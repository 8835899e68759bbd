"""One watcher and one timer for many waits: none ends too early, none goes on for ever, nothing that came is missed."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import gevent
import pytest

from sora_stats_harness.load.readiness import ReadinessWaiter

MS = 1_000_000


class Pair(NamedTuple):
    """A gate, the socket that it is of, and that socket's peer."""

    gate: ReadinessWaiter
    mine: socket.socket
    peer: socket.socket


@pytest.fixture
def pair() -> Iterator[Pair]:
    mine, peer = socket.socketpair()
    with mine, peer:
        gate = ReadinessWaiter(mine.fileno())
        yield Pair(gate, mine, peer)
        gate.close()


def wait(pair: Pair, due_ns: int, *, ready_s: float | None = None) -> None:
    """Wait for what comes so much later; for what never does, where that is None. It is read when it came."""
    sender = None if ready_s is None else gevent.spawn_later(ready_s, pair.peer.send, b"x")
    try:
        pair.gate.wait(due_ns)
        assert pair.mine.recv(1) == b"x"
    finally:
        if sender is not None:
            sender.join()


def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds."""
    while not holds():
        gevent.sleep(0)


def let_loop_turn() -> None:
    """So often that whatever can be read is seen."""
    for _ in range(5):
        gevent.sleep(0)


def test_a_wait_ends_when_it_is_due_and_not_before(pair: Pair) -> None:
    due_ns = time.monotonic_ns() + 30 * MS
    with pytest.raises(TimeoutError):
        wait(pair, due_ns)
    assert time.monotonic_ns() >= due_ns


def test_a_deadline_holds_over_several_waits(pair: Pair) -> None:
    """What is ready again and again puts nothing off: a slow drip ends as well."""

    def drip(until_ns: int) -> None:
        while True:
            wait(pair, until_ns, ready_s=0.005)

    due_ns = time.monotonic_ns() + 50 * MS
    with pytest.raises(TimeoutError):
        drip(due_ns)
    assert time.monotonic_ns() >= due_ns


def test_an_earlier_deadline_does_not_end_a_later_wait(pair: Pair) -> None:
    """The timer of the first rings within the second, for which it is too early; and so on."""
    due_ns = 0
    for _ in range(4):
        with suppress(TimeoutError):  # on a machine that stood still meanwhile
            wait(pair, time.monotonic_ns() + 20 * MS, ready_s=0.0)
        pair.mine.setblocking(False)
        with suppress(BlockingIOError):
            pair.mine.recv(10)
        due_ns = time.monotonic_ns() + 40 * MS
        with pytest.raises(TimeoutError):
            wait(pair, due_ns)
        assert time.monotonic_ns() >= due_ns


def test_a_timer_that_rings_while_nobody_waits_disturbs_nobody(pair: Pair, capfd: pytest.CaptureFixture[str]) -> None:
    """The greenlet does something else then; and the next wait has a timer again."""
    with suppress(TimeoutError):
        wait(pair, time.monotonic_ns() + 10 * MS, ready_s=0.0)
    pair.mine.setblocking(False)
    with suppress(BlockingIOError):
        pair.mine.recv(10)
    until(lambda: pair.gate._timer is None)
    with pytest.raises(TimeoutError):
        wait(pair, time.monotonic_ns() + 10 * MS)
    assert capfd.readouterr().err == ""  # where gevent tells what goes wrong in its loop


def test_a_deadline_that_has_passed_ends_the_wait_at_once(pair: Pair) -> None:
    with pytest.raises(TimeoutError):
        wait(pair, time.monotonic_ns() - MS)


def test_what_comes_while_nobody_waits_rings_once_and_is_there_for_the_next_wait(pair: Pair) -> None:
    """And does not keep the loop busy: it would be ready in each of its rounds."""
    pair.peer.send(b"x")
    until(lambda: pair.gate.has_pending_data)
    assert not pair.gate._watcher.active
    for _ in range(3):
        wait(pair, time.monotonic_ns() + 10_000 * MS)
        assert not pair.gate.has_pending_data
        pair.peer.send(b"x")


def test_what_was_read_rings_for_nobody(pair: Pair) -> None:
    wait(pair, time.monotonic_ns() + 10_000 * MS, ready_s=0.0)
    let_loop_turn()
    assert not pair.gate.has_pending_data


def test_the_end_of_the_peer_is_something_to_read(pair: Pair) -> None:
    pair.peer.close()
    pair.gate.wait(time.monotonic_ns() + 10_000 * MS)
    assert pair.mine.recv(1) == b""


def test_a_greenlet_that_is_killed_while_it_waits_leaves_the_gate_as_it_was(pair: Pair) -> None:
    waiter = gevent.spawn(pair.gate.wait, time.monotonic_ns() + 10_000 * MS)
    until(lambda: pair.gate._waiting is not None)
    waiter.kill()
    wait(pair, time.monotonic_ns() + 10_000 * MS, ready_s=0.0)
    let_loop_turn()
    assert not pair.gate.has_pending_data  # nothing was left behind
