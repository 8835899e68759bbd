"""
The command line's frame: which commands there are, and how each of them ends.

A command's module is imported when it is called, not before, so that `--help` costs next to nothing; the one line that
the overview says of each stands here. Whatever happens inside a command, its caller sees one line and an exit code,
never a traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from .. import __version__
from ..api.errors import ExitCode, HarnessError, UsageError, nearest
from ..probe.interrupt import Interrupt
from ..reports.escape import plain
from . import github
from .output import close_broken, emit
from .parser import Parser

PROGRAM: Final = "sora-harness"

COMMANDS: Final = {
    "conform": "probe a server, judge every answer, and write a verdict",
    "simulate": "run the embedded simulator until interrupted, or around a command",
    "load": "run a load scenario, and judge every answer",
    "estimate": "tell what polling costs, by a few polite requests",
    "capacity": "search the highest rate that keeps objectives, or what it costs",
    "check": "judge recordings, or single answers in files",
    "compare": "compare two verdicts, or two sets of runs",
    "report": "write a verdict in another format",
    "config": "show what the configuration comes to, and where each part is from",
    "redact": "copy a recording with ids and labels replaced",
    "schemas": "write the JSON Schemas, or check that they are up to date",
    "fields": "print the field list of an edition",
    "requirements": "print the rules that a server is held against",
}
"""Each command and its `HELP`, in the order of the overview."""

DEBUG: Final = "SORA_HARNESS_DEBUG"
"""Environment variable; where it is set an unexpected exception shows its traceback."""

_OVERVIEW: Final = """\
usage: {program} COMMAND [options]

Load-testing and conformance harness for the statistics API of WebRTC SFU Sora.

commands:
{commands}

options:
  -h, --help     this overview; `{program} COMMAND --help` tells of a command
  --version      the version

exit codes:
  0 pass, 1 fail, 2 wrong usage, 3 unknown (too little was seen), 4 the harness itself broke

examples:
  {program} conform                          probe the embedded simulator (SELF-TEST)
  {program} conform http://127.0.0.1:3000    probe a server
"""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        argv: The command line without the program's name; that of the process if None.

    Returns:
        The exit code. Whatever goes wrong is one line on stderr; a reader who closes stdout early (`| head`) is none.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    Interrupt.is_last = argv is None
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # a terminal that knows no UTF-8 still shows every report
    try:
        code = _dispatch(words)
        emit("")  # what argparse wrote; a reader who has gone is no error here either
    except HarnessError as error:
        _complain(str(error))
        return int(error.exit_code)
    except KeyboardInterrupt:
        _complain("interrupted")
        return int(ExitCode.UNKNOWN)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and close_broken():
            return int(ExitCode.UNKNOWN)
        if os.environ.get(DEBUG):
            raise
        text = " ".join(str(error).split())
        _complain(f"{type(error).__name__}: {text} (a fault of the harness; {DEBUG}=1 shows where)")
        return int(ExitCode.BROKEN)
    return code


def _dispatch(words: list[str]) -> int:
    if not words:
        emit(_overview(), sys.stderr)
        return int(ExitCode.USAGE)
    name, *rest = words
    if name in ("-h", "--help"):
        emit(_overview())
        return int(ExitCode.PASS)
    if name == "--version":
        from ..judge import accelerator

        how = "answers are read by the accelerator" if accelerator.is_there() else "answers are read in Python alone"
        emit(f"{PROGRAM} {__version__} ({how})\n")
        return int(ExitCode.PASS)
    if name not in COMMANDS:
        what = "option" if name.startswith("-") else "command"
        known = ["--help", "--version"] if what == "option" else list(COMMANDS)
        raise UsageError(f"there is no {what} {name!r}{nearest(name, known)}; see {PROGRAM} --help")
    command = import_module(f".{name}", __name__)
    parser = Parser(
        prog=f"{PROGRAM} {name}",
        description=f"{command.HELP[0].upper()}{command.HELP[1:]}.",
        epilog=command.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.configure(parser)
    try:
        arguments = parser.parse_args(rest)
    except SystemExit as end:  # --help, after it has printed
        return int(end.code or 0)
    return int(command.run(arguments))


def _overview() -> str:
    wide = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{wide}}  {text}" for name, text in COMMANDS.items())
    return _OVERVIEW.format(program=PROGRAM, commands=commands)


def _complain(text: str) -> None:
    emit(f"{PROGRAM}: {plain(text, 2000)}\n", sys.stderr)
    github.complain(text)
