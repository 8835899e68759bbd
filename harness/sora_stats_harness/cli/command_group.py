"""The click group of all commands: finds a command by its name, and turns click's errors into the harness's."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import click

from .. import __version__
from ..api.errors import UsageError, suggest_nearest
from . import COMMANDS, COMPLETION_VARIABLE, PROGRAM, overview
from .framework import Option, describe_click_error, help_option, language_option
from .output import write_message


class CommandGroup(click.Group):
    """All commands; a command's module is imported when the command is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name, in the order of the overview."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f".{cmd_name}", __package__).command
        command.help = command.short_help = COMMANDS[cmd_name]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names."""
        name, *others = args
        if (command := self.get_command(ctx, name)) is None:
            see = f"see {ctx.find_root().command_path} --help"
            raise UsageError(f"there is no command {name!r}{suggest_nearest(name, COMMANDS)}; {see}")
        return name, command, others

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview, which needs no command's module."""
        formatter.write(overview())


def run_words(words: Sequence[str], *, ends_process: bool = False) -> int:
    """
    Run the command that some words name, and return its exit code.

    Raises:
        HarnessError: Whatever the command raises.
        UsageError: The words are wrong usage.
    """
    try:
        with _group().make_context(PROGRAM, list(words), obj=ends_process) as context:
            return int(context.command.invoke(context))
    except click.exceptions.Exit as end:  # after --help and --version
        return end.exit_code
    except click.ClickException as error:
        raise UsageError(describe_click_error(error)) from None


def complete(instruction: str) -> int:
    """Print what a shell asked for: its completion script, or the words that may come next."""
    from click.shell_completion import shell_complete

    return shell_complete(_group(), {}, PROGRAM, COMPLETION_VARIABLE, instruction)


def _group() -> CommandGroup:
    version = Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="show the version"
    )
    return CommandGroup(PROGRAM, params=[language_option(), help_option(), version], add_help_option=False)


def _show_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from ..judge import accelerator

        how = "by the accelerator" if accelerator.is_available() else "in Python alone"
        write_message(f"{PROGRAM} {__version__} (responses are read {how})\n")
        context.exit()
