"""Colour for terminals only, tables without surprises, and readers who go away."""

from __future__ import annotations

import io
import os

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


def test_writing_to_a_reader_who_has_gone_is_silent() -> None:
    """Buffered or not; what comes after goes nowhere, and to whom still reads everything goes."""
    for buffering in (1, -1):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "w", buffering=buffering, encoding="utf-8") as stream:
            output.write_output("x\n" * 100_000, stream)
            output.write_output("more\n", stream)
    heard = io.StringIO()
    output.write_output("heard", heard)
    assert heard.getvalue() == "heard"


def test_only_a_broken_output_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe without reader is noticed before anything is written; one with a reader is left alone."""
    read, write = os.pipe()
    with os.fdopen(write, "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        assert output.discard_broken_streams() is False
        os.close(read)
        assert output.discard_broken_streams() is True
        stream.write("nowhere")
