"""Extends click: option groups in `--help`, values read by our own functions, and one-line errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import BadOptionUsage, MissingParameter, NoSuchOption

from ..api.errors import UsageError, suggest_nearest
from ..api.language import LANGUAGES, translate
from .output import write_message, write_output

if TYPE_CHECKING:
    from ..probe.run_settings import RunSettings


class Arguments(SimpleNamespace):
    """The values of a command's options and arguments, by name."""

    settings: RunSettings
    """The settings from options, environment and configuration together; only in commands that have them."""
    ends_process: bool
    """Whether the process ends with the command."""

    def say(self, text: str) -> None:
        """Tell the user something on stderr, unless --quiet was given."""
        if not getattr(self, "quiet", False):
            write_message(f"{text}\n", sys.stderr)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # Any: whatever an option holds


class Option(click.Option):
    """An option with the heading under which `--help` shows it."""

    group = "options"


class HelpFormatter(click.HelpFormatter):
    """click's formatter, for text whose characters may be two columns wide."""

    def write_text(self, text: str) -> None:
        """Write a paragraph."""
        from ..reports.text_wrapping import wrap_text

        indent = " " * self.current_indent
        self.write("".join(f"{indent}{line}\n" for line in wrap_text(text, self.width - self.current_indent)))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write names, each with its explanation."""
        from ..reports.text_wrapping import pad, wrap_text

        rows = [*rows]
        column = min(max(len(name) for name, _ in rows), col_max) + col_spacing
        start = " " * self.current_indent
        for name, text in rows:
            first, *others = wrap_text(text, max(self.width - self.current_indent - column, 10)) or [""]
            lines = [name, first] if len(name) > column - col_spacing else [pad(name, column) + first]
            below = [" " * column + line for line in (lines[1:] + others)]
            self.write("".join(f"{start}{line}".rstrip() + "\n" for line in (lines[0], *below)))


class HelpContext(click.Context):
    """click's context, with our formatter."""

    formatter_class: type[click.HelpFormatter] = HelpFormatter


class Command(click.Command):
    """
    A command whose help groups the options, and keeps the lines of the examples.

    Args:
        run: Does the work, and returns the exit code: that of the verdict, if it makes one. What a user did wrong is a
            UsageError, which becomes one line.
    """

    context_class: type[click.Context] = HelpContext

    def __init__(
        self, name: str, params: list[click.Parameter], *, examples: str, run: Callable[[Arguments], int]
    ) -> None:
        @click.pass_context
        def callback(context: click.Context, /, **values: Any) -> int:  # Any: whatever an option holds
            return run(Arguments(**values, ends_process=context.obj))

        params = [*params, language_option(), help_option()]
        super().__init__(name, params=params, callback=callback, epilog=examples, add_help_option=False)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write usage, purpose, arguments, options by group, and examples."""
        purpose = self.help or ""
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), f"{translate('Usage')}: ")
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(translate(f"{purpose[:1].upper()}{purpose[1:]}."))
        arguments = [param for param in self.params if isinstance(param, click.Argument)]
        groups = {"arguments": [(param.make_metavar(ctx), param.help or "") for param in arguments]}
        for param in self.params:
            if (record := None if param in arguments else param.get_help_record(ctx)) is not None:
                groups.setdefault(getattr(param, "group", "options"), []).append(record)
        groups["options"] = groups.pop("options")  # the options that every command has come last
        for title, records in groups.items():
            if records:
                with formatter.section(translate(title[0].upper() + title[1:])):
                    formatter.write_dl([(names, translate(text)) for names, text in records])
        formatter.write(translate(f"\n{self.epilog or ''}"))


def language_option() -> Option:
    """`--lang`. `main` has removed it before click sees the words; it is declared here for help and completion."""
    text = "the language of texts for people (default: that of LC_ALL, LC_MESSAGES or LANG, else en)"
    return Option(["--lang"], type=Choice(LANGUAGES), expose_value=False, help=text)


def help_option() -> Option:
    """`--help` as in click, but it tolerates a reader who closes stdout early."""

    def show(context: click.Context, option: click.Parameter, wanted: bool) -> None:
        if wanted:
            write_output(f"{context.get_help().rstrip()}\n")
            context.exit()

    return Option(
        ["-h", "--help"], is_flag=True, is_eager=True, expose_value=False, callback=show, help="show this help"
    )


def group(title: str, *options: Option) -> list[click.Parameter]:
    """Options that `--help` shows under one heading."""
    for option in options:
        option.group = title
    return [*options]


class Parsed(click.ParamType[Any]):
    """
    An option type whose values one of our functions reads.

    Args:
        parse: Takes the text; a UsageError that it raises becomes the option's error.
    """

    name = "text"

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse a text; a default value is returned as it is."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Choice(click.Choice[str]):
    """One of several words; the error suggests the one that was probably meant."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """The error message for an unknown word."""
        return f"{value!r} must be one of {', '.join(self.choices)}{suggest_nearest(str(value), self.choices)}"


def describe_click_error(error: click.ClickException) -> str:
    """Describe what is wrong with a command line in one line, in the harness's own words."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    see = f"; see {context.command_path} --help" if context is not None else ""
    match error:
        case NoSuchOption():
            known = _option_names(context.command.params) if context is not None else []
            text = f"there is no option {error.option_name!r}{suggest_nearest(error.option_name, known)}"
        case MissingParameter() if error.param is not None and context is not None:
            text = f"{error.param.make_metavar(context)} is missing"
        case BadOptionUsage():
            text = f"option {error.option_name} needs a value"
        case click.BadParameter() if error.param is not None:
            name = error.param.opts[-1] if isinstance(error.param, click.Option) else error.param.human_readable_name
            text = f"{name}: {error.message}"
        case _:
            message = error.format_message().rstrip(".")
            text = message[:1].lower() + message[1:]
    return text + see


def _option_names(params: Iterable[click.Parameter]) -> list[str]:
    return [
        name for param in params if isinstance(param, click.Option) for name in (*param.opts, *param.secondary_opts)
    ]


def flag(name: str, text: str) -> Option:
    """An option without a value."""
    return Option([name], is_flag=True, help=text)


def with_value(name: str, metavar: str, text: str, **more: Any) -> Option:  # Any: click's own parameters
    """An option with a value."""
    return Option([name], metavar=metavar, help=text, **more)


def with_values(name: str, metavar: str, text: str, **more: Any) -> Option:  # Any: as above
    """An option with a value that may be given several times."""
    return with_value(name, metavar, text, multiple=True, **more)
