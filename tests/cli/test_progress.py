"""Progress is one line that is rewritten on a terminal, and a line now and then elsewhere."""

from __future__ import annotations

import io

import pytest

from sora_stats_harness.cli.output import ProgressLine


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_that_changes() -> None:
    """The same text isn't written twice, and the line is gone at the end."""
    stream = Terminal()
    progress = ProgressLine(stream)
    for elapsed_s, text in ((0.0, "one"), (0.25, "one"), (0.5, "two")):
        progress.show(elapsed_s, text)
    progress.end()
    shown = stream.getvalue()
    assert shown.count("one") == 1
    assert shown.index("one") < shown.index("two")
    assert shown.endswith("\x1b[2K")  # the line is erased
    assert shown.count("\x1b[?25h") == shown.count("\x1b[?25l")  # and the cursor is visible again


def test_a_line_is_no_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that wraps could not be taken away again."""
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    progress = ProgressLine(stream)
    progress.show(0.0, "x" * 30)
    progress.end()
    assert "x" * 19 + "…" in stream.getvalue()


def test_a_file_gets_a_line_every_few_seconds() -> None:
    """Whole lines without control characters, none at the very beginning."""
    stream = io.StringIO()
    progress = ProgressLine(stream)
    for quarter in range(49):
        progress.show(quarter / 4, f"{quarter / 4:g} s")
    progress.end()
    assert stream.getvalue() == "5 s\n10 s\n"


def test_a_run_without_progress_leaves_no_trace() -> None:
    """Nothing was shown, so there is nothing to take away."""
    stream = Terminal()
    ProgressLine(stream).end()
    assert stream.getvalue() == ""
