"""`sora-harness help COMMAND`: the same as `sora-harness COMMAND --help`."""

from __future__ import annotations

from typing import Final

import click

from .framework import Arguments, Command

EXAMPLES: Final = """\
examples:
  sora-harness help
  sora-harness help load
"""


def run(arguments: Arguments) -> int:
    """Print the overview, or the help of one command."""
    from .command_group import run_words

    return run_words([*([arguments.name] if arguments.name else []), "--help"])


def _complete_name(context: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from . import COMMANDS

    return [name for name in COMMANDS if name.startswith(incomplete)]


command: Command = Command(
    "help",
    [click.Argument(["name"], metavar="COMMAND", required=False, shell_complete=_complete_name)],
    examples=EXAMPLES,
    run=run,
)
