"""
Writes to stdout and stderr: tables, colour, progress and errors; copes with closed pipes and full disks.

rich is imported only when something is laid out.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from ..api.errors import OutputError
from ..api.language import translate

if TYPE_CHECKING:
    from rich.live import Live

PLAIN_INTERVAL_S: Final = 5.0
"""The time between two lines of progress without a terminal."""

PROGRESS_AFTER_S: Final = 2.0
"""Progress of reading files is shown only after this time."""

LINES_PER_TICK: Final = 64
"""How many lines are read between two looks at the clock."""

_UNLIMITED_WIDTH: Final = 100_000
"""The width of a table without a terminal."""


class GuardedStream:
    """
    A standard stream that never raises: after a failed write, everything else is dropped.

    A reader who closes the pipe early (`| head`) or a stream that was closed from the start is not a problem. Any other
    failure is kept as `problem`.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.problem: str | None = None
        """Why output was lost; None if no output was lost that somebody wants to read."""

    def write(self, text: str) -> int:
        """Write, or drop the text."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or drop the buffered text."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        if not isinstance(error, BrokenPipeError):
            self.problem = self.problem or error.strerror or str(error)
        _redirect_to_null(self._stream)

    def __getattr__(self, name: str) -> Any:  # Any: whatever the stream has
        return getattr(self._stream, name)


def guard_standard_streams() -> None:
    """Replace stdout and stderr with guarded streams; a closed descriptor is opened on the null device."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, so that no other file gets it
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # until the end
        setattr(sys, name, GuardedStream(stream))


def stdout_problem() -> str | None:
    """Why output to stdout was lost; None if none was."""
    return getattr(sys.stdout, "problem", None)


def write_output(text: str, stream: TextIO | None = None) -> None:
    """Write to stdout (or `stream`), and flush."""
    stream = stream or sys.stdout
    stream.write(text)
    stream.flush()


def write_message(text: str, stream: TextIO | None = None) -> None:
    """Write to stdout (or `stream`) in the language of the run."""
    write_output(translate(text), stream)


def write_result(text: str, path: Path | None) -> None:
    """
    Write to a file, or to stdout if `path` is None.

    Raises:
        OutputError: The file cannot be written.
    """
    if path is None:
        write_output(text)
        return
    from ..reports.report_folder import write_file_atomically

    try:
        write_file_atomically(path, text.encode("utf-8"))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from None


def print_error(text: str) -> None:
    """Write one line to stderr, and an annotation if this is a step of a GitHub workflow."""
    from ..reports.escaping import escape_terminal

    write_output(f"sora-harness: {translate(escape_terminal(text, 2000))}\n", sys.stderr)
    if os.environ.get("GITHUB_ACTIONS"):
        from ..reports import github_actions as github

        write_output(github.error_annotation(text) if github.is_in_github_actions() else "", sys.stderr)


def _redirect_to_null(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def wants_colour(stream: TextIO) -> bool:
    """Whether to use colour, as rich decides: by NO_COLOR, FORCE_COLOR, TERM, and whether the stream is a terminal."""
    from rich.console import Console

    console = Console(file=stream)
    return console.color_system is not None and not console.no_color


def report_width(stream: TextIO) -> int:
    """The width of a report: that of the terminal, if there is one."""
    from rich.console import Console

    from ..reports.terminal import DEFAULT_WIDTH

    return Console(file=stream).width if stream.isatty() else DEFAULT_WIDTH


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout; on a terminal its last column is wrapped."""
    write_output(format_columns(rows, terminal=sys.stdout.isatty(), is_named=True))


def format_columns(rows: Sequence[Sequence[str]], *, terminal: bool = False, is_named: bool = False) -> str:
    """
    Lay out a table with its strings escaped; without a terminal no line is wrapped.

    Args:
        is_named: Whether the table has a head, and names in the first column, which are not translated.

    >>> print(format_columns([("A", "B"), ("long", "x")]), end="")
    A     B
    long  x
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..reports.escaping import escape_terminal

    table = Table.grid(padding=(0, 2, 0, 0))
    for place, _ in enumerate(rows[0]):
        table.add_column(no_wrap=place < len(rows[0]) - 1)
    for place, row in enumerate(rows):
        cells = [escape_terminal(cell, 1000) for cell in row]
        names = 1 if is_named and place else 0
        table.add_row(*map(Text, cells[:names]), *(Text(translate(cell)) for cell in cells[names:]))
    stream = io.StringIO()
    console = Console(file=stream, width=None if terminal else _UNLIMITED_WIDTH, color_system=None)
    console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


class ProgressLine:
    """
    Shows the progress of a run: one changing line on a terminal, a line every few seconds elsewhere.

    It writes to stderr, because stdout is for data; `end` leaves the terminal as it was.
    """

    def __init__(self, stream: TextIO | None = None, *, is_shown: bool = True) -> None:
        self._is_shown = is_shown
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._next_s = PLAIN_INTERVAL_S
        self._shown = ""
        self._live: Live | None = None

    def show(self, elapsed_s: float, text: str) -> None:
        """Show a text; cheap enough to be called often."""
        if not self._is_shown:
            return
        text = translate(text)
        if self._is_terminal:
            if text != self._shown:
                self._shown = text
                self._update(text)
        elif elapsed_s >= self._next_s:
            self._next_s = elapsed_s + PLAIN_INTERVAL_S
            write_output(f"{text}\n", self._stream)

    def _update(self, text: str) -> None:
        from rich.text import Text

        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(file=self._stream),
                auto_refresh=False,  # no thread: Locust replaces threads
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)

    def end(self) -> None:
        """Remove the line."""
        if self._live is not None:
            self._live.stop()
            self._live, self._shown = None, ""


def make_line_ticker(progress: ProgressLine, text: Callable[[int], str]) -> Callable[[], None]:
    """Make a function to call at every line of a file; after a while it shows `text` with the number of lines."""
    started_s = time.monotonic()
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count % LINES_PER_TICK == 0 and (elapsed_s := time.monotonic() - started_s) > PROGRESS_AFTER_S:
            progress.show(elapsed_s, text(count))

    return tick
