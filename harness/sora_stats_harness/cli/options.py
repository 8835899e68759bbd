"""
The options that several commands share, and how they, the environment and the configuration become settings.

What can't be used is a UsageError, in every function here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..api.errors import OutputError, UsageError
from ..api.input_budget import path_exists
from ..api.option_values import FAIL_ON_LEVELS, parse_duration, parse_integer, parse_rate, parse_size
from ..api.server_url import SIMULATOR_URL, URL_VARIABLE, environment_url
from .framework import Arguments, Option, Parsed, flag, group, with_value, with_values

if TYPE_CHECKING:
    from ..judge.verdict import SubjectKind
    from ..load.slo import AbortLimit, Slo
    from ..probe.run_settings import RunSettings
    from ..reports.baseline import Baseline

RECORD_LIMIT_BYTES: Final = 2 << 30
"""The recorder's default, repeated here because `--help` does not load the recorder."""

DEFAULT_EDITION: Final = "doc-2024"
"""As in `api.edition`, which `--help` does not load."""

DEFAULT_ABORT_LIMITS: Final = ("errors>5%", "p99>10s")

DURATION: Final = Parsed(parse_duration)
RATE: Final = Parsed(parse_rate)
SIZE: Final = Parsed(parse_size)

CONFIG_HELP: Final = (
    "the configuration (default: sora-harness.toml, else [tool.sora-harness] in pyproject.toml, of the current folder)"
)


def integer(least: int, most: int | None = None) -> Parsed:
    """A type for integers within limits."""
    return Parsed(lambda text: parse_integer(text, least, most))


def config_option() -> Option:
    """--config."""
    return with_value("--config", "FILE", CONFIG_HELP, type=_Path("a file", Path))


def server_options() -> list[click.Parameter]:
    """Which server to ask, and how: URL --header --ca-file --insecure --client-cert --client-key --proxy --timeout."""
    url = click.Argument(
        ["url"],
        required=False,
        metavar="[URL]",
        help=f"the server, such as http://127.0.0.1:3000 (default: ${URL_VARIABLE}, else the configuration); "
        f"`{SIMULATOR_URL}`: the embedded simulator, whatever these name",
    )
    return [
        url,
        *group(
            "the server",
            with_values(
                "--header",
                "'NAME: VALUE'",
                "send this header as well (repeatable); for secrets use 'NAME: env:VARIABLE' or 'NAME: @FILE', or "
                "give whole lines with env:VARIABLE or @FILE",
            ),
            with_value("--ca-file", "FILE", "trust only the certificates in this file"),
            Option(["--insecure/--no-insecure"], default=None, help="accept any certificate"),
            with_value("--client-cert", "FILE", "present this certificate (PEM), which may contain its key as well"),
            with_value("--client-key", "FILE", "the key of --client-cert, if that file contains none"),
            with_value(
                "--proxy",
                "URL",
                "send everything through this proxy: http://HOST:PORT, or env:VARIABLE with credentials in it (the "
                "environment's own is never used)",
            ),
            with_value("--timeout", "TIME", "the limit for a whole exchange (default: 5)"),
        ),
    ]


def wait_option() -> Option:
    """--wait."""
    return with_value("--wait", "TIME", "how long to wait for a server that is starting, such as 30s (default: 0)")


def rule_options() -> list[click.Parameter]:
    """What decides the verdict: --config --edition --fail-on --require --checks --label."""
    return group(
        "judging and reports",
        config_option(),
        flag(
            "--trust-config",
            "let the configuration of this folder name checks, and secrets for the server that it names itself",
        ),
        with_value(
            "--edition",
            "NAME|FILE",
            f"the field list to judge by (default: {DEFAULT_EDITION}; auto: the one that matches the responses best)",
        ),
        Option(
            ["--tear"],
            metavar="TIME",
            help="how far apart the server stamps a response and reads its counters; then counter.timestamp_order is "
            "PROVEN",
        ),
        with_value("--fail-on", "|".join(FAIL_ON_LEVELS), "the lowest level of a finding that fails (default: proven)"),
        with_values("--require", "ID", "inconclusive unless this requirement was observed (repeatable)"),
        with_values("--checks", "FILE.py", "also judge by your own checks in this file (repeatable)"),
        with_values("--label", "KEY=VALUE", "add this to every report, such as build=123 (repeatable)"),
    )


def judging_options(*, no_output: str = "a new folder below reports/") -> list[click.Parameter]:
    """What decides the verdict, and where the reports go: in addition --baseline --json --quiet --verbose --output."""
    return rule_options() + group(
        "judging and reports",
        with_value(
            "--baseline",
            "FILE",
            "an earlier verdict.json: its findings are known, and only new findings fail",
            type=_Path("a verdict.json", _read_baseline),
        ),
        flag("--json", "print the whole verdict as JSON on stdout, and nothing else there"),
        Option(["-q", "--quiet"], is_flag=True, help="print the verdict's line and errors, and nothing else"),
        verbose_option(),
        with_value(
            "--output",
            "DIR",
            f"where to write the reports (default: {no_output})",
            type=_Path("a folder", _parse_output),
        ),
    )


def verbose_option() -> Option:
    """--verbose."""
    return Option(
        ["-v", "--verbose"],
        is_flag=True,
        help="print each requirement, and draw counters and timestamps that are wrong",
    )


def recording_options() -> list[click.Parameter]:
    """--record and --record-limit."""
    return group(
        "recording",
        with_value("--record", "FILE", "write every exchange to a .jsonl or .jsonl.zst file"),
        with_value(
            "--record-limit",
            "SIZE",
            "end the recording, not the run, at this size: 500M, 2G (default: 2G)",
            type=SIZE,
            default=RECORD_LIMIT_BYTES,
        ),
    )


def slo_option(help_text: str) -> Option:
    """--slo."""
    return with_values("--slo", "SLO", f"{help_text} (repeatable)")


def read_slos(settings: RunSettings) -> tuple[Slo, ...]:
    """Read the SLOs of the command line or the configuration, each once."""
    from ..load.slo import parse_slo
    from ..probe.run_settings import ORIGIN_OPTION

    origin = settings.origins["slos"]
    where = "--slo" if origin == ORIGIN_OPTION else f"{origin}: slos"
    return tuple({slo.text: slo for slo in (parse_slo(text, where) for text in settings.slos)}.values())


def abort_option(effect: str) -> Option:
    """--abort-when; `effect` says what it does."""
    limits = " or ".join(DEFAULT_ABORT_LIMITS)
    return with_values("--abort-when", "LIMIT", f"{effect} at {limits} over the last 10 s (default: both; repeatable)")


def read_abort_limits(arguments: Arguments) -> tuple[AbortLimit, ...]:
    """Read --abort-when."""
    from ..load.slo import parse_abort_limit

    return tuple(parse_abort_limit(text) for text in arguments.abort_when or DEFAULT_ABORT_LIMITS)


def pace_options(*, default: float | None = None) -> tuple[Option, ...]:
    """How long the simulator takes: --service-time --workers --per-connection-cost; `default` is that of the times."""
    return (
        with_value(
            "--service-time", "TIME", "each request occupies a worker this long", type=DURATION, default=default
        ),
        with_value(
            "--workers",
            "N",
            "how many requests are served at a time (default: 1)",
            type=integer(1),
            default=None if default is None else 1,
        ),
        with_value(
            "--per-connection-cost",
            "TIME",
            "and this long for each connection of the response",
            type=DURATION,
            default=default,
        ),
    )


def simulator_options(
    *more: Option, connections: Parsed | None = None, connections_help: str = "how many connections (default: 20)"
) -> list[click.Parameter]:
    """Options of the embedded simulator: --fault --seed --connections --nodes, and a command's further ones."""
    return group(
        "the embedded simulator, if no URL is given",
        with_values("--fault", "NAME[:KEY=VALUE]", "make it misbehave (repeatable)"),
        with_value("--seed", "N", "another world (default: 1)", type=integer(-(2**63))),
        with_value("--connections", "N", connections_help, type=connections or integer(1)),
        with_value("--nodes", "N", "how many nodes (default: 1)", type=integer(1)),
        *more,
    )


class _Path(click.ParamType[Any]):
    """A file or folder that is checked while the command line is parsed, not after a run of ten minutes."""

    name = "path"

    def __init__(self, what: str, read: Callable[[str], Any]) -> None:
        self._what = what
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value and param is not None:  # as from an unset variable
            raise UsageError(f"{param.opts[0]} is empty: name {self._what}")
        return self._read(value)


def _read_baseline(text: str) -> Baseline:
    from ..reports.baseline import read_baseline

    return read_baseline(Path(text))


def _parse_output(text: str) -> Path:
    from ..reports.report_folder import check_report_folder

    folder = Path(text)
    check_report_folder(folder)
    return folder


# From options to settings.


def read_settings(arguments: Arguments, *, writes_reports: bool = True) -> RunSettings:
    """
    Combine options, environment and configuration; also stores the result as `arguments.settings`.

    Args:
        writes_reports: Whether the command writes reports even without `--output`.

    Raises:
        OutputError: The reports or the recording can't be written to their default place.
        ConfigError: The configuration can't be used.
        UsageError: A value can't be used; options of the simulator are given with a URL; or the baseline is of another
        edition or subject.
    """
    from ..probe.run_settings import SettingSources, resolve_settings

    values = vars(arguments)
    if values.get("quiet") and values.get("verbose"):
        raise UsageError("--quiet and --verbose exclude each other")
    sources = SettingSources(
        options=values,
        config_file=arguments.config,
        asks_server="url" in values,
        urls=[(values.get("url"), "the URL"), environment_url()],
    )
    settings = arguments.settings = resolve_settings(sources)
    given = [name for name in _SIMULATOR_PARAMETERS if values.get(name) not in (None, ())]
    if values.get("fuzz") is not None and "seed" in given:
        given.remove("seed")  # --seed also seeds the made-up requests
    settings.refuse_simulator_options([f"--{name}" for name in given])
    if values.get("baseline", "") is None and settings.baseline is not None:
        arguments.baseline = _read_baseline(settings.baseline)
    if "url" in values and values.get("baseline") is not None:
        check_baseline(arguments, subject_kind="simulator" if settings.url is None else None)
    if "output" in values and not values.get("dry_run"):
        _try_folders(arguments, writes_reports=writes_reports)
    return settings


def _try_folders(arguments: Arguments, *, writes_reports: bool) -> None:
    """Check where the run will write, before it sends anything; `--output` was checked while it was parsed."""
    from ..reports.report_folder import DEFAULT_FOLDER, try_folder

    if writes_reports and arguments.output is None:
        try_folder(DEFAULT_FOLDER)
    recording = Path(getattr(arguments, "record", None) or os.devnull)
    if not path_exists(recording):
        try_folder(recording.parent)
    elif recording.is_dir():
        raise OutputError(f"the recording {recording} cannot be written: it is a folder")
    elif not os.access(recording, os.W_OK):
        raise OutputError(f"the recording {recording} cannot be written: it is read-only")


def check_baseline(arguments: Arguments, *, subject_kind: SubjectKind | None = None) -> None:
    """Refuse a baseline of another edition or kind of subject."""
    from ..probe.edition_detection import AUTO_EDITION
    from ..reports import baseline

    name = arguments.settings.edition
    baseline.check_baseline(
        arguments.baseline, edition=None if name == AUTO_EDITION else name, subject_kind=subject_kind
    )


_SIMULATOR_PARAMETERS: Final = {"fault": "faults", "seed": "seed", "connections": "connections", "nodes": "nodes"}
"""Each option of the simulator, with the name of the simulator's parameter."""


def simulator_parameters(arguments: Arguments) -> dict[str, Any]:  # Any: numbers, and a tuple of faults
    """The options of the simulator that were given, by the names of its parameters."""
    given = {name: getattr(arguments, option) for option, name in _SIMULATOR_PARAMETERS.items()}
    return {name: value for name, value in given.items() if value is not None and value != ()}
