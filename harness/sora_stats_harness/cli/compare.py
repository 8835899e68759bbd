"""`sora-harness compare`: what changed between two verdicts, or two sets of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from ..api.errors import ExitCode, OutputError, UsageError, suggest_nearest
from ..api.option_values import parse_percent
from .framework import Arguments, Choice, Command, Option, Parsed, flag, group, with_value, with_values
from .options import config_option
from .output import print_error, write_result

EXAMPLES: Final = """\
examples:
  sora-harness compare reports/old/verdict.json reports/new/verdict.json
  sora-harness compare 'reports/old-*' 'reports/new-*' --fail-on new-findings,latency
  sora-harness compare 'reports/old-*' 'reports/new-*' --no-worse-than 10%
  sora-harness compare reports/old reports/new --format markdown --output changes.md
  sora-harness compare reports/old reports/new --format html --output changes.html
"""

_COMPARISON_FORMATS: Final = ("text", "markdown", "json", "html")


def run(arguments: Arguments) -> int:
    """Compare, and print what has changed; a file that cannot be written outranks any exit code but FAIL."""
    from ..api.project_config import read_config
    from ..probe.run_settings import resolve_setting
    from ..reports.comparison_formats import COMPARISON_RENDERERS
    from ..reports.comparison_result import ComparisonPolicy
    from ..reports.run_comparison import compare_runs
    from ..reports.verdict_files import read_runs

    given = {name: getattr(arguments, name) for name in ("time", "percentiles", "min_effect", "alpha")}
    no_worse_than, _ = resolve_setting("no_worse_than", arguments.no_worse_than, read_config(arguments.config))
    policy = ComparisonPolicy(
        fail_on=frozenset(each for listed in arguments.fail_on for each in listed),
        no_worse_than=no_worse_than,
        **{name: value for name, value in given.items() if value is not None},
    )
    result = compare_runs(read_runs(arguments.base), read_runs(arguments.new), policy)
    text = COMPARISON_RENDERERS["json" if arguments.json else arguments.format](result)
    try:
        write_result(text, arguments.output)
    except OutputError as error:
        if result.exit_code != ExitCode.FAIL:
            raise
        print_error(str(error))
    return result.exit_code


def _parse_thresholds(text: str) -> list[str]:
    from ..reports.comparison_result import THRESHOLDS

    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in THRESHOLDS:
            raise UsageError(f"there is no {name!r}{suggest_nearest(name, THRESHOLDS)}")
    return names


def _parse_percentiles(text: str) -> tuple[float, ...]:
    known = ("50", "90", "95", "99", "99.9", "99.99")
    names = [name.strip().removeprefix("p") for name in text.split(",")]
    for name in names:
        if name not in known:
            raise UsageError(f"{name!r} must be one of {', '.join(known)}")
    return tuple(dict.fromkeys(float(name) for name in names))


def _parse_alpha(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 1e-6 <= value <= 0.5:
        raise UsageError(f"{text!r} must be a probability from 0.000001 to 0.5")
    return value


_RUNS_HELP: Final = "a verdict.json, a folder that contains some, or a quoted pattern for either"

command: Command = Command(
    "compare",
    [
        click.Argument(["base"], metavar="BASE", help=f"the runs to compare with: {_RUNS_HELP}"),
        click.Argument(["new"], metavar="NEW", help="the runs to judge, given in the same way"),
        Option(["--format"], type=Choice(_COMPARISON_FORMATS), default="text", help="what to write (default: text)"),
        flag("--json", "the same as --format json"),
        with_value("--output", "FILE", "where to write it (default: stdout)", type=Path),
        with_values(
            "--fail-on",
            "WHAT,…",
            "exit 1 on any of these, 3 if too little is known: new-findings, fields-gone, latency, capacity",
            type=Parsed(_parse_thresholds),
        ),
        with_value(
            "--no-worse-than",
            "PERCENT",
            "exit 0 only where latencies and capacity are shown to be worse by no more, 1 where one is, 3 where the "
            "runs cannot tell",
        ),
        config_option(),
        *group(
            "latencies",
            Option(["--time"], type=Choice(("response", "service")), help="which time to compare (default: response)"),
            with_value(
                "--percentiles",
                "P,…",
                "some of 50, 90, 95, 99, 99.9 and 99.99, the most important first (default: 50,99)",
                type=Parsed(_parse_percentiles),
            ),
            with_value(
                "--min-effect",
                "PERCENT",
                "the least change that counts (default: 5 %)",
                type=Parsed(lambda text: parse_percent(text, 0, 1000)),
            ),
            with_value(
                "--alpha",
                "P",
                "the probability of a false alarm, over all latencies together (default: 0.01)",
                type=Parsed(_parse_alpha),
            ),
        ),
    ],
    examples=EXAMPLES,
    run=run,
)
