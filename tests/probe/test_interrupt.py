"""Signals are noted while a command works, and mean what they meant before as soon as it is through."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from sora_stats_harness.probe.interrupt import SIGNALS, InterruptHandler


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_sets_the_flag_and_calls_once(number: signal.Signals) -> None:
    """The handler that was there before is back afterwards."""
    before = signal.getsignal(number)
    calls: list[str] = []
    with InterruptHandler() as interrupt:
        interrupt.set_callback(lambda: calls.append("called"))
        seen = [interrupt.is_interrupted]
        os.kill(os.getpid(), number)
        seen.append(interrupt.is_interrupted)
        assert seen == [False, True] and calls == ["called"]
    assert signal.getsignal(number) is before


def test_who_asks_late_is_told_at_once() -> None:
    """The signal came before anybody wanted to know."""
    calls: list[str] = []
    with InterruptHandler() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        interrupt.set_callback(lambda: calls.append("called"))
    assert calls == ["called"]


def test_nobody_is_called_who_does_not_want_to_know() -> None:
    """A run that is over takes its name off the list."""
    calls: list[str] = []
    with InterruptHandler() as interrupt:
        interrupt.set_callback(lambda: calls.append("called"))
        interrupt.set_callback(None)
        os.kill(os.getpid(), signal.SIGINT)
    assert calls == []


def test_who_insists_gets_a_keyboard_interrupt() -> None:
    """The third signal raises, the first two do not."""
    with InterruptHandler():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_outside_of_the_main_thread_nothing_is_touched() -> None:
    """Only the main thread may set handlers."""
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with InterruptHandler():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_command_that_has_its_verdict_is_not_interrupted() -> None:
    """Its process is about to end: signals are ignored from there on."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        with InterruptHandler(ends_process=True) as interrupt:
            os.kill(os.getpid(), signal.SIGINT)
        for number in SIGNALS:
            os.kill(os.getpid(), number)
        assert interrupt.is_interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_signal_that_is_ignored_stays_so() -> None:
    """`nohup` ignores SIGHUP, and means the command as well."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with InterruptHandler() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupt.is_interrupted
    finally:
        signal.signal(signal.SIGHUP, before)
