"""
The command line: which commands there are, and how each of them ends.

A command's module is imported only when the command is called, so `--help` stays fast; the overview's line about each
command is in `COMMANDS`. Whatever happens inside a command, its caller sees one line and an exit code, never a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from .. import __version__
from ..api.errors import ExitCode, HarnessError
from .framework import Option, describe_click_error, help_option, refuse_unknown_command
from .output import discard_broken_streams, print_error, write_output

PROGRAM: Final = "sora-harness"

COMMANDS: Final = {
    "conform": "probe a server, judge every response, and write a verdict",
    "simulate": "run the embedded simulator until interrupted, or around a command",
    "load": "run a load scenario, and judge every response",
    "estimate": "estimate what polling costs, from a few polite requests",
    "capacity": "search for the highest rate that keeps objectives, or measure what polling costs",
    "check": "judge recordings, or single responses in files",
    "compare": "compare two verdicts, or two sets of runs",
    "report": "write a verdict in another format",
    "config": "show the settings that hold, and where each comes from",
    "redact": "copy a recording with ids and labels replaced",
    "schemas": "write the JSON Schemas, or check that they are up to date",
    "fields": "print the field list of an edition",
    "requirements": "print the rules that a server is checked against",
    "help": "explain a command",
}
"""Each command, in the order of the overview; the same text begins its own help."""

DEBUG_VARIABLE: Final = "SORA_HARNESS_DEBUG"
"""Environment variable; where it is set an unexpected exception shows its traceback."""

COMPLETION_VARIABLE: Final = "_SORA_HARNESS_COMPLETE"
"""Environment variable by which a shell asks for completions; click's name for it."""

_OVERVIEW: Final = """\
Usage: {program} COMMAND [OPTIONS]

  Load-testing and conformance harness for the statistics API of WebRTC SFU Sora.

Commands:
{commands}

Options:
  -h, --help     show this overview; `{program} help COMMAND` explains a command
  --version      show the version

exit codes:
  0 pass, 1 fail, 2 wrong usage, 3 inconclusive (too little was seen), 4 the harness itself broke

examples:
  {program} conform                          probe the embedded simulator (SELF-TEST)
  {program} conform http://127.0.0.1:3000    probe a server
  {program} help load                        explain a command
"""


class CommandGroup(click.Group):
    """All commands; each module is imported when its command is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name, in the order of the overview."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f".{cmd_name}", __name__).command
        command.help = command.short_help = COMMANDS[cmd_name]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names."""
        if (command := self.get_command(ctx, args[0])) is None:
            refuse_unknown_command(ctx, args[0], COMMANDS)
        return args[0], command, args[1:]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview, which needs no command's module."""
        wide = max(map(len, COMMANDS))
        commands = "\n".join(f"  {name:<{wide}}  {text}" for name, text in COMMANDS.items())
        formatter.write(_OVERVIEW.format(program=PROGRAM, commands=commands))


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        argv: The command line without the program's name; that of the process if None.

    Returns:
        The exit code. Every error is one line on stderr; a reader who closes stdout early (`| head`) is no error.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # a terminal without UTF-8 still shows every report
    if argv is None and (instruction := os.environ.get(COMPLETION_VARIABLE)):
        from click.shell_completion import shell_complete

        return shell_complete(CommandGroup(), {}, PROGRAM, COMPLETION_VARIABLE, instruction)
    try:
        code = run_words(words, ends_process=argv is None)
        write_output("")
    except HarnessError as error:
        print_error(str(error))
        return int(error.exit_code)
    except click.ClickException as error:
        print_error(describe_click_error(error))
        return int(ExitCode.USAGE)
    except (KeyboardInterrupt, click.Abort):
        print_error("interrupted")
        return int(ExitCode.INCONCLUSIVE)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and discard_broken_streams():
            return int(ExitCode.INCONCLUSIVE)
        if os.environ.get(DEBUG_VARIABLE):
            raise
        text = " ".join(str(error).split())
        print_error(f"{type(error).__name__}: {text} (a fault of the harness; {DEBUG_VARIABLE}=1 shows where)")
        return int(ExitCode.BROKEN)
    return code


def run_words(words: Sequence[str], *, ends_process: bool = False) -> int:
    """
    Run the command that some words name, and give its exit code.

    Args:
        words: The command line without the program's name.
        ends_process: Whether the process ends with the command.

    Raises:
        HarnessError: Whatever the command raises.
        click.ClickException: The words are wrong usage.
    """
    group = CommandGroup(PROGRAM, params=[help_option(), _version_option()], add_help_option=False)
    if not words:
        write_output(group.get_help(click.Context(group)), sys.stderr)
        return int(ExitCode.USAGE)
    try:
        with group.make_context(PROGRAM, list(words), obj=ends_process) as context:
            return int(group.invoke(context))
    except click.exceptions.Exit as end:  # after --help and --version
        return end.exit_code


def _version_option() -> Option:
    def show(context: click.Context, option: click.Parameter, wanted: bool) -> None:
        if wanted:
            from ..judge import accelerator

            how = "by the accelerator" if accelerator.is_available() else "in Python alone"
            write_output(f"{PROGRAM} {__version__} (responses are read {how})\n")
            context.exit()

    return Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show)
