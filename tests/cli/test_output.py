"""Colour for terminals only, tables without surprises, and readers who go away."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from sora_stats_harness.cli import output


class Stream(io.StringIO):
    """A stream that is a terminal, or says so."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("terminal", "environment", "colour"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
    ],
)
def test_colour_is_for_terminals(
    terminal: bool, environment: dict[str, str], colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And NO_COLOR is obeyed, unless it is empty."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert output.wants_colour(Stream(terminal)) is colour


def test_tables_are_harmless() -> None:
    """Columns as wide as their widest cell, controls spelled."""
    assert output.format_columns([("A", "B"), ("x\x1b[2J", "y"), ("z", "")]) == "A         B\nx\\x1b[2J  y\nz\n"


def test_a_narrow_terminal_wraps_the_last_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide characters take two columns; without a terminal no line is wrapped."""
    rows = [("A", "B"), ("接続", "one two three four five six")]
    monkeypatch.setenv("COLUMNS", "20")
    assert output.format_columns(rows, terminal=True) == "A     B\n接続  one two three\n      four five six\n"
    assert output.format_columns(rows) == "A     B\n接続  one two three four five six\n"


def test_a_guarded_stream_never_raises() -> None:
    """Buffered or not: a reader who has gone away is no problem, a full disk is; what comes after goes nowhere."""
    for buffering in (1, -1):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "w", buffering=buffering, encoding="utf-8") as stream:
            guarded = output.GuardedStream(stream)
            guarded.write("x\n" * 100_000)
            guarded.write("more\n")
            guarded.flush()
            assert guarded.problem is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
def test_a_guarded_stream_remembers_a_full_disk() -> None:
    """In the words of the system."""
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        guarded = output.GuardedStream(stream)
        guarded.write("x")
        guarded.flush()
        assert guarded.problem == "No space left on device"
