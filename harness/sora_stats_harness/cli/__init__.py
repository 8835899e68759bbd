"""
The command line's frame: which commands there are, and how each of them ends.

A command's module is imported when it is called, not before, so that `--help` costs next to nothing; the one line that
the overview says of each stands here. Whatever happens inside a command, its caller sees one line and an exit code,
never a traceback.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from .. import __version__
from ..api.errors import ExitCode, HarnessError, UsageError, suggest_nearest
from ..probe.interrupt import ProcessInterruptHandler
from ..reports.escaping import escape_terminal
from . import github_actions as github
from .argument_parser import CommandArgumentParser
from .output import discard_broken_streams, write_output

PROGRAM: Final = "sora-harness"

COMMANDS: Final = {
    "conform": "probe a server, judge every response, and write a verdict",
    "simulate": "run the embedded simulator until interrupted, or around a command",
    "load": "run a load scenario, and judge every response",
    "estimate": "tell what polling costs, by a few polite requests",
    "capacity": "search the highest rate that keeps objectives, or what it costs",
    "check": "judge recordings, or single responses in files",
    "compare": "compare two verdicts, or two sets of runs",
    "report": "write a verdict in another format",
    "config": "show what the configuration comes to, and where each part is from",
    "redact": "copy a recording with ids and labels replaced",
    "schemas": "write the JSON Schemas, or check that they are up to date",
    "fields": "print the field list of an edition",
    "requirements": "print the rules that a server is held against",
}
"""Each command and its `HELP`, in the order of the overview."""

DEBUG_VARIABLE: Final = "SORA_HARNESS_DEBUG"
"""Environment variable; where it is set an unexpected exception shows its traceback."""

_OVERVIEW_TEXT: Final = """\
usage: {program} COMMAND [options]

Load-testing and conformance harness for the statistics API of WebRTC SFU Sora.

commands:
{commands}

options:
  -h, --help     this overview; `{program} COMMAND --help` tells of a command
  --version      the version

exit codes:
  0 pass, 1 fail, 2 wrong usage, 3 inconclusive (too little was seen), 4 the harness itself broke

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
    if argv is None:
        signal.signal(signal.SIGINT, ProcessInterruptHandler())
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # a terminal that knows no UTF-8 still shows every report
    try:
        code = _dispatch(words)
        write_output("")  # what argparse wrote; a reader who has gone is no error here either
    except HarnessError as error:
        _print_error(str(error))
        return int(error.exit_code)
    except KeyboardInterrupt:
        _print_error("interrupted")
        return int(ExitCode.INCONCLUSIVE)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and discard_broken_streams():
            return int(ExitCode.INCONCLUSIVE)
        if os.environ.get(DEBUG_VARIABLE):
            raise
        text = " ".join(str(error).split())
        _print_error(f"{type(error).__name__}: {text} (a fault of the harness; {DEBUG_VARIABLE}=1 shows where)")
        return int(ExitCode.BROKEN)
    return code


def _dispatch(words: list[str]) -> int:
    if not words:
        write_output(_overview_text(), sys.stderr)
        return int(ExitCode.USAGE)
    name, *rest = words
    if name in ("-h", "--help"):
        write_output(_overview_text())
        return int(ExitCode.PASS)
    if name == "--version":
        from ..judge import accelerator

        how = (
            "responses are read by the accelerator"
            if accelerator.is_available()
            else "responses are read in Python alone"
        )
        write_output(f"{PROGRAM} {__version__} ({how})\n")
        return int(ExitCode.PASS)
    if name not in COMMANDS:
        what = "option" if name.startswith("-") else "command"
        known = ["--help", "--version"] if what == "option" else list(COMMANDS)
        raise UsageError(f"there is no {what} {name!r}{suggest_nearest(name, known)}; see {PROGRAM} --help")
    command = import_module(f".{name}", __name__)
    parser = CommandArgumentParser(
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


def _overview_text() -> str:
    wide = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{wide}}  {text}" for name, text in COMMANDS.items())
    return _OVERVIEW_TEXT.format(program=PROGRAM, commands=commands)


def _print_error(text: str) -> None:
    write_output(f"{PROGRAM}: {escape_terminal(text, 2000)}\n", sys.stderr)
    github.annotate_error(text)
