"""
What several commands share: their common options, where URL and headers come from, and how a run ends.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..api.errors import ExitCode, HarnessError, UsageError, suggest_nearest
from ..api.secret_redaction import Secrets
from ..probe.edition_detection import AUTO_EDITION
from . import github_actions as github
from .argument_types import parse_duration, parse_size
from .configured_options import URL_VARIABLE, add_config_option, url_and_origin
from .output import wants_colour, write_output

if TYPE_CHECKING:
    from ..api.exchange import Headers
    from ..judge.requirements import RequiredCapability
    from ..judge.verdict import (
        CapacityResult,
        EvidenceSource,
        ListingCost,
        LoadResult,
        MediaResult,
        PollingEstimate,
        ReportTable,
        SubjectKind,
    )
    from ..reports.baseline import Baseline
    from ..reports.report import VerdictReport
    from ..reports.verdict_assembly import JudgeResultSource

RECORD_LIMIT_BYTES: Final = 2 << 30
"""As the recorder's own; written here, since that is not to be loaded for --help."""

_HEADER_NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_ENV_REFERENCE: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_RESERVED_HEADERS: Final = frozenset(
    {"x-sora-target", "content-length", "content-type", "transfer-encoding", "connection", "host"}
)
"""Headers that the harness sets itself; another value would make every request another one."""
_SECRET_NAME_PATTERN: Final = re.compile(r"auth|cookie|token|secret|key|password|credential|session", re.IGNORECASE)


# Options.


def add_recording_options(parser: argparse.ArgumentParser) -> None:
    """Add --record and --record-limit."""
    parser.add_argument("--record", metavar="FILE", help="write every exchange to a .jsonl or .jsonl.zst file")
    parser.add_argument(
        "--record-limit",
        type=parse_size,
        default=RECORD_LIMIT_BYTES,
        metavar="SIZE",
        help="end the recording, not the run, at this size: 500M, 2G (default: 2G)",
    )


def add_judging_options(parser: argparse.ArgumentParser, *, no_output: str = "a new folder below reports/") -> None:
    """
    Add what decides over the verdict, and where it goes: --edition --strict --require --label --baseline --json --output.

    Args:
        parser: The command's.
        no_output: Where reports go without --output, for the help text.
    """
    add = add_rule_options(parser)
    add(
        "--baseline",
        type=_read_baseline,
        metavar="FILE",
        help="an earlier verdict.json: what was found then is known, and only new findings fail",
    )
    add("--json", action="store_true", help="print the whole verdict as JSON on stdout, and nothing else there")
    add(
        "--output",
        type=_parse_output,
        metavar="DIR",
        help=f"where to write the reports (default: {no_output})",
    )


def add_rule_options(parser: argparse.ArgumentParser) -> Callable[..., argparse.Action]:
    """Add what decides over the verdict; gives the group's `add_argument`, for more of the kind."""
    from ..api.edition import DEFAULT_EDITION

    add_config_option(parser)
    add = parser.add_argument_group("judging and reports").add_argument
    add(
        "--edition",
        default=DEFAULT_EDITION,
        metavar="NAME|FILE",
        help=f"the field list to judge by (default: {DEFAULT_EDITION}; auto: the one that the responses are nearest to)",
    )
    add("--strict", action=argparse.BooleanOptionalAction, default=False, help="a violated SHOULD fails, too")
    add(
        "--require",
        action="append",
        default=[],
        type=_parse_requirement,
        metavar="ID",
        help="inconclusive unless this requirement was observed (repeatable)",
    )
    add(
        "--label",
        action="append",
        default=[],
        type=_parse_label,
        metavar="KEY=VALUE",
        help="put into every report, such as build=123 (repeatable)",
    )
    return add


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add which server to ask, and how: URL --header --ca-file --insecure --timeout."""
    add_config_option(parser)
    parser.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help=f"the server, such as http://127.0.0.1:3000 (default: ${URL_VARIABLE}, else the configuration)",
    )
    add = parser.add_argument_group("the server").add_argument
    add(
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="send this as well (repeatable); for secrets take 'NAME: env:VARIABLE' or 'NAME: @FILE', or give whole "
        "lines by env:VARIABLE or @FILE",
    )
    add("--ca-file", metavar="FILE", help="trust the certificates in this file alone")
    add("--insecure", action=argparse.BooleanOptionalAction, default=False, help="accept any certificate")
    add("--timeout", type=parse_duration, default=5.0, metavar="TIME", help="for a whole exchange (default: 5)")


def add_simulator_options(
    parser: argparse.ArgumentParser,
    *,
    connections: Callable[[str], object] | None = None,
    connections_help: str = "how many connections (default: 20)",
) -> Callable[..., argparse.Action]:
    """
    Add what the embedded simulator is like, where no URL is given: --fault --seed --connections --nodes.

    Args:
        connections: Reads --connections, where it is not one number.

    Returns:
        The group's `add_argument`, for more of the kind.
    """
    add = parser.add_argument_group("the embedded simulator, where no URL is given").add_argument
    add("--fault", action="append", metavar="NAME[:KEY=VALUE]", help="make it misbehave (repeatable)")
    add("--seed", type=int, metavar="N", help="another world (default: 1)")
    add("--connections", type=connections or _parse_positive, metavar="N", help=connections_help)
    add("--nodes", type=_parse_positive, metavar="N", help="how many nodes (default: 1)")
    return add


_SIMULATOR_ARGUMENT_NAMES: Final = {"fault": "faults", "seed": "seed", "connections": "connections", "nodes": "nodes"}
"""Each option, and what the simulator calls it."""


def check_simulator_options(arguments: argparse.Namespace, url: str | None) -> None:
    """
    Refuse options of the simulator beside a URL, and a baseline that cannot be meant for either.

    Raises:
        UsageError: There is a URL, and one of the options; or a baseline of another edition, or not of the simulator.
    """
    from ..api.edition import load_edition

    given = [option for option in _SIMULATOR_ARGUMENT_NAMES if getattr(arguments, option) is not None]
    if "seed" in given and getattr(arguments, "fuzz", None) is not None:
        given.remove("seed")  # there it is what made-up requests are drawn from
    if url is not None and given:
        raise UsageError(f"--{given[0]} is for the embedded simulator, and {url} was given: leave one out")
    baseline: Baseline | None = getattr(arguments, "baseline", None)
    if baseline is not None:
        kind: SubjectKind | None = "simulator" if url is None else None
        name = None if arguments.edition == AUTO_EDITION else load_edition(arguments.edition).name
        if mismatch := _baseline_mismatch(baseline, edition=name, subject_kind=kind):
            raise UsageError(mismatch)


def simulator_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was given of the simulator's options, by the names of its arguments; Any: numbers, and a tuple of faults."""
    given = {name: getattr(arguments, option) for option, name in _SIMULATOR_ARGUMENT_NAMES.items()}
    settings = {name: value for name, value in given.items() if value is not None}
    return settings | ({"faults": tuple(settings["faults"])} if "faults" in settings else {})


MAX_PROCESSES: Final = 256


def parse_processes(text: str) -> int:
    """Read --processes."""
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= MAX_PROCESSES:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 to {MAX_PROCESSES}")
    return int(text)


def check_enough_users(option: str, count: int | None, users: int) -> None:
    """
    Refuse what would have nothing to do.

    Raises:
        UsageError: There is more of it than there are requests at a time.
    """
    if count is not None and count > users:
        raise UsageError(f"{option} {count}: there are no more than {users} requests at a time to share among them")


def _parse_positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def _parse_requirement(text: str) -> str:
    from ..judge.requirements import REQUIREMENTS

    if text not in REQUIREMENTS:
        raise UsageError(f"--require: there is no requirement {text!r}{suggest_nearest(text, REQUIREMENTS)}")
    return text


def _parse_label(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return key, value


def _read_baseline(text: str) -> Baseline:
    from ..reports.baseline import read_baseline

    if not text:
        raise UsageError("--baseline is empty: name a verdict.json")
    return read_baseline(Path(text))  # now, and not after a run of ten minutes


def _parse_output(text: str) -> Path:
    from ..reports.report_folder import check_report_folder

    if not text:
        raise UsageError("--output is empty: name a folder")
    folder = Path(text)
    check_report_folder(folder)  # now, and not after a run of ten minutes
    return folder


# Where things come from.


def server_url(arguments: argparse.Namespace) -> str | None:
    """
    Find the server's URL: the argument, else SORA_URL, else the configuration.

    Returns:
        None where none of them is set: only then may the simulator stand in.

    Raises:
        UsageError: It is set but empty, as an unset CI secret is, or it holds credentials.
    """
    from ..api.project_config import validate_url

    found = url_and_origin(arguments.url, arguments.configuration)
    return None if found is None else validate_url(*found)


def check_edition(arguments: argparse.Namespace) -> None:
    """
    See before anything is started or sent that there is such an edition.

    Raises:
        EditionError: There is none.
    """
    from ..api.edition import load_edition

    if arguments.edition != AUTO_EDITION:
        load_edition(arguments.edition)


def simulator_edition(arguments: argparse.Namespace) -> str | None:
    """What the embedded simulator responds by; None leaves it at its default."""
    return None if arguments.edition == AUTO_EDITION else arguments.edition


def edition_plan_text(arguments: argparse.Namespace) -> str:
    """What a plan says of the edition, behind the rest of it."""
    return (
        "; the edition is found out first, by one listing (--edition auto)" if arguments.edition == AUTO_EDITION else ""
    )


def detect_edition(arguments: argparse.Namespace, ask: Callable[[], tuple[str, list[str]]]) -> list[str]:
    """
    Put the edition by which a server responds in the place of `auto`, and say so.

    Args:
        ask: As `recognise.of_server`; not called where an edition was named.

    Returns:
        Notes for the verdict.

    Raises:
        UsageError: The baseline is of another edition.
    """
    if arguments.edition != AUTO_EDITION:
        return []
    arguments.edition, notes = ask()
    write_output("".join(f"{note}\n" for note in notes), sys.stderr)
    baseline: Baseline | None = getattr(arguments, "baseline", None)
    if baseline is not None and (mismatch := _baseline_mismatch(baseline, edition=arguments.edition)):
        raise UsageError(mismatch)
    return notes


def read_headers(values: Iterable[str]) -> tuple[Headers, Secrets]:
    """
    Read the values of --header.

    Each is `Name: value`; `Name: env:VARIABLE` and `Name: @FILE` take the value from elsewhere; `env:VARIABLE` and
    `@FILE` alone take whole lines of that form. What comes from elsewhere is a secret, and so is the value of a header
    that is named like one.

    Raises:
        UsageError: No header, one that the harness sets itself, or a variable or file that is not there.
    """
    headers: list[tuple[str, str]] = []
    secrets: list[str] = []
    for given in values:
        elsewhere = _resolve_reference(given)
        for line in [given] if elsewhere is None else elsewhere.splitlines():
            if not line.strip():
                continue
            name, value, secret = _parse_header(line)
            headers.append((name, value))
            if secret or elsewhere is not None or _SECRET_NAME_PATTERN.search(name):
                secrets.append(value)
    return tuple(headers), Secrets(secrets)


def _parse_header(line: str) -> tuple[str, str, bool]:
    name, separator, value = line.partition(":")
    name, value = name.strip(), value.strip()
    # The line itself may be a secret that was given in the wrong form, so no complaint repeats it.
    if not separator or not _HEADER_NAME_PATTERN.fullmatch(name):
        raise UsageError("a header is not of the form 'Name: value'")
    if name.lower() in _RESERVED_HEADERS:
        raise UsageError(f"header {name}: the harness sets this one itself")
    elsewhere = _resolve_reference(value)
    value = value if elsewhere is None else elsewhere.strip()
    if not value:
        raise UsageError(f"header {name}: the value is empty")
    if not value.isprintable():
        raise UsageError(f"header {name}: the value holds a line break or another control character")
    return name, value, elsewhere is not None


def _resolve_reference(text: str) -> str | None:
    """What a reference stands for; None where the text is none."""
    if reference := _ENV_REFERENCE.fullmatch(text):
        value = os.environ.get(reference[1])
        if not value:
            raise UsageError(f"header: the environment variable {reference[1]} is not set, or empty")
        return value
    if text.startswith("@"):
        try:
            return Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = (error.strerror or "unreadable") if isinstance(error, OSError) else "not UTF-8 text"
            raise UsageError(f"header: the file {text[1:]} cannot be read: {reason}") from None
    return None


# How a run ends.


def report_and_exit_code(
    arguments: argparse.Namespace,
    *,
    command: str,
    judge: JudgeResultSource,
    observes: Collection[RequiredCapability],
    subject: str,
    judged_from: EvidenceSource,
    started_at: str,
    options: dict[str, Any],  # Any: whatever a command's options hold, as JSON
    excluded: Collection[str] = (),
    interrupted: bool = False,
    aborted: str | None = None,
    extra_notes: Collection[str] = (),
    secrets: Secrets | None = None,
    write: bool = True,
    sections: Sequence[ReportTable] = (),
    violated_slo: str | None = None,
    load: LoadResult | None = None,
    capacity: CapacityResult | None = None,
    estimate: PollingEstimate | None = None,
    cost: ListingCost | None = None,
    media: MediaResult | None = None,
) -> int:
    """
    Sum up, write the reports, tell the person (and the CI server), and give the exit code.

    Args:
        arguments: With what `add_judging_options` added.
        command: The command's name; names the default folder.
        judge: Is finished here.
        write: Whether files are written where --output was not given.
        observes, subject, judged_from, started_at, options, excluded, interrupted, aborted, sections, violated_slo,
            load, capacity, estimate, cost, media: As in `reporters.assemble.assemble`.
        extra_notes: Its `notes`.
        secrets: None are known if None.

    Raises:
        HarnessError: The reports could not be written; not where the verdict is fail, which outranks that.
        UsageError: The baseline is of another edition or kind of subject; the reports are written, without it.
    """
    from ..api.edition import load_edition as load_edition
    from ..reports.verdict_assembly import assemble_verdict, verdict_subject_kind

    secrets = secrets or Secrets()
    edition = load_edition(arguments.edition)
    wanted = write or arguments.output is not None
    baseline: Baseline | None = arguments.baseline
    mismatch = None
    if baseline is not None:
        mismatch = _baseline_mismatch(
            baseline, edition=edition.name, subject_kind=verdict_subject_kind(judge, judged_from)
        )
        fields = [field.path for field in edition.fields]
        baseline = replace(baseline, documented=fields) if mismatch is None else None
    report = assemble_verdict(
        judge,
        command=command,
        edition=edition.name,
        subject=subject,
        judged_from=judged_from,
        observes=observes,
        started_at=started_at,
        strict=arguments.strict,
        require=arguments.require,
        excluded=excluded,
        interrupted=interrupted,
        aborted=aborted,
        labels=dict(arguments.label),
        options=options,
        notes=extra_notes,
        sections=sections,
        violated_slo=violated_slo,
        load=load,
        capacity=capacity,
        estimate=estimate,
        cost=cost,
        media=media,
        waived=arguments.waivers,
        baseline=baseline,
        name_evidence=wanted,
        fields=edition,
        secrets=secrets,
    )
    written, problem = None, None
    if wanted:
        try:
            written = _write_reports(report, arguments.output)
        except OSError as error:
            problem = f"the reports could not be written: {error.strerror or error}"
    _print_report(report, written, as_json=arguments.json)
    if mismatch is not None:
        raise UsageError(f"{mismatch}; what the reports say is without it")
    if problem is not None:
        if report.verdict.exit_code != ExitCode.FAIL:
            raise HarnessError(problem)
        write_output(f"sora-harness: {problem}\n", sys.stderr)
    return report.verdict.exit_code


def _baseline_mismatch(
    baseline: Baseline, *, edition: str | None = None, subject_kind: SubjectKind | None = None
) -> str | None:
    from ..reports.baseline import baseline_mismatch

    return baseline_mismatch(baseline, edition=edition, subject_kind=subject_kind)


def _write_reports(report: VerdictReport, output: Path | None) -> Path:
    from ..reports import report_folder as files

    folder = output or files.make_report_folder(report.verdict.command)
    files.write_reports(report, folder)
    return folder


def _print_report(report: VerdictReport, written: Path | None, *, as_json: bool) -> None:
    from ..reports import report_folder as files
    from ..reports import terminal

    stream = sys.stderr if as_json else sys.stdout
    write_output(github.guard_log_text(terminal.render_terminal(report, colour=wants_colour(stream))), stream)
    if written is not None:
        write_output(f"reports in {written}/: {', '.join(files.list_report_files(written))}\n", stream)
    github.annotate_report(report, stream)
    if as_json:
        write_output(files.verdict_to_json(report.verdict))
