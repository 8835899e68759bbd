"""
The command line: the list of commands, and how each command ends.

A command's module is imported only when the command is called, so `--help` stays fast; `COMMANDS` has the overview's
line about each command. If a command fails, its caller sees one line and an exit code, never a traceback.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from ..api.errors import DEBUG_VARIABLE, ExitCode, HarnessError, worst_exit_code
from ..api.language import take_language, translate, use_language
from .output import guard_standard_streams, print_error, stdout_problem, write_output

PROGRAM: Final = "sora-harness"

COMMANDS: Final = {
    "doctor": "say what stands at a URL, and what to type next",
    "conform": "probe a server, judge every response, and write a verdict",
    "simulate": "run the embedded simulator until interrupted, or around a command",
    "load": "run a load scenario, and judge every response",
    "estimate": "estimate what polling costs, from a few polite requests",
    "capacity": "search for the highest rate that keeps objectives, or measure what polling costs",
    "check": "judge recordings, or single responses in files",
    "compare": "compare two verdicts, or two sets of runs",
    "history": "show all runs below a folder on one page, by release and time",
    "report": "write a verdict in another format",
    "config": "show the effective settings, and where each comes from",
    "redact": "copy a recording with ids and labels replaced",
    "schemas": "write the JSON Schemas, or check that they are up to date",
    "fields": "print the field list of an edition",
    "requirements": "print the rules that a server is checked against",
    "explain": "explain a requirement: why it is one, how a violation looks, how to waive it",
    "help": "explain a command",
}
"""Each command, in the order of the overview; its own help begins with the same text."""

COMMANDS_ON_LOCUST: Final = ("load", "capacity")

COMPLETION_VARIABLE: Final = "_SORA_HARNESS_COMPLETE"
"""Environment variable with which a shell asks for completions, as click names it."""

_DISK_ERRORS: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
)
"""Errors of output: a full disk, or missing permissions."""

_OVERVIEW: Final = """\
Usage: {program} COMMAND [OPTIONS]

  Load-testing and conformance harness for the statistics API of WebRTC SFU Sora.

Commands:
{commands}

Options:
  -h, --help     show this overview; `{program} help COMMAND` explains a command
  --lang LANG    speak en or ja (default: that of LC_ALL, LC_MESSAGES or LANG, else en)
  --version      show the version

exit codes:
  0 pass, 1 fail, 2 wrong usage, 3 inconclusive (too little was seen), 4 the harness itself broke

examples:
  {program} conform                          probe the embedded simulator (SELF-TEST)
  {program} conform http://127.0.0.1:3000    probe a server
  {program} help load                        explain a command
"""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        argv: The command line without the program's name; that of the process if None.

    Returns:
        The exit code. Every error is one line on stderr; it is not an error if a reader closes stdout early (`| head`).
    """
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # so that a terminal without UTF-8 can show every report
    language, words = take_language(sys.argv[1:] if argv is None else argv, os.environ)
    with use_language(language):
        return _main(words, ends_process=argv is None)


def _main(words: list[str], *, ends_process: bool) -> int:
    """Run one command in the language of the run."""
    if not ends_process:
        return _run_and_explain(words, ends_process=False)
    guard_standard_streams()
    if instruction := os.environ.get(COMPLETION_VARIABLE):
        from .command_group import complete

        return complete(instruction)
    code = _run_and_explain(words, ends_process=True)
    if (problem := stdout_problem()) is not None:
        print_error(f"stdout cannot be written: {problem}")
        code = int(worst_exit_code(code, ExitCode.USAGE))
    return code


def _run_and_explain(words: list[str], *, ends_process: bool) -> int:
    """Run a command; turn an exception into one line on stderr and an exit code."""
    try:
        return _run(words, ends_process=ends_process)
    except HarnessError as error:
        print_error(str(error))
        return int(error.exit_code)
    except KeyboardInterrupt:
        if ends_process:
            from ..probe.interrupt import handle_signals

            handle_signals(signal.SIG_IGN)  # another one would end the process with a traceback, or another code
        print_error("interrupted")
        return int(ExitCode.INCONCLUSIVE)
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        text = " ".join(str(error).split())
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            print_error(f"{text} (a problem of the disk or its permissions, not of the harness)")
            return int(ExitCode.USAGE)
        print_error(f"{type(error).__name__}: {text} (a fault of the harness; {DEBUG_VARIABLE}=1 shows where)")
        return int(ExitCode.BROKEN)


def _run(words: list[str], *, ends_process: bool) -> int:
    """Run a command. The overview is printed without click, whose import would take most of the time."""
    if not words:
        write_output(overview(), sys.stderr)
        return int(ExitCode.USAGE)
    if words in (["-h"], ["--help"]):
        write_output(overview())
        return int(ExitCode.PASS)
    if ends_process:
        from ..probe.interrupt import SIGNALS, end_process_at_signal, handle_signals

        # Locust's import takes most of a second, and can't cope with an exception from a signal handler.
        handle_signals(end_process_at_signal if words[0] in COMMANDS_ON_LOCUST else signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # signals were blocked during this module's own imports
    from .command_group import run_words

    return run_words(words, ends_process=ends_process)


def overview() -> str:
    """The help of the whole program."""
    wide = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{wide}}  {translate(text)}" for name, text in COMMANDS.items())
    return translate(_OVERVIEW).format(program=PROGRAM, commands=commands)
