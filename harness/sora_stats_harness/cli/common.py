"""
What several commands share: their common options, where URL and headers come from, and how a run ends.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ..errors import ExitCode, HarnessError, UsageError
from ..redaction import Secrets
from .output import emit, wants_colour
from .parser import nearest
from .values import duration

if TYPE_CHECKING:
    from ..checks.requirements import Need
    from ..exchange import Headers
    from ..reporters.assemble import Judged
    from ..reporters.report import Report
    from ..verdict import JudgedFrom, Section

URL_VARIABLE: Final = "SORA_URL"

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_REFERENCE: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_RESERVED: Final = frozenset(
    {"x-sora-target", "content-length", "content-type", "transfer-encoding", "connection", "host"}
)
"""Headers that the harness sets itself; another value would make every request another one."""
_SECRET_NAME: Final = re.compile(r"auth|cookie|token|secret|key|password|credential|session", re.IGNORECASE)


# Options.


def add_judging_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides over the verdict, and where it goes: --edition --strict --require --label --json --output."""
    from ..edition import DEFAULT

    add = parser.add_argument_group("judging and reports").add_argument
    add("--edition", default=DEFAULT, metavar="NAME|FILE", help=f"the field list to judge by (default: {DEFAULT})")
    add("--strict", action="store_true", help="a missed SHOULD fails, too")
    add(
        "--require",
        action="append",
        default=[],
        type=_requirement,
        metavar="ID",
        help="unknown unless this requirement was observed (repeatable)",
    )
    add(
        "--label",
        action="append",
        default=[],
        type=_label,
        metavar="KEY=VALUE",
        help="put into every report, such as build=123 (repeatable)",
    )
    add("--json", action="store_true", help="print the whole verdict as JSON on stdout, and nothing else there")
    add(
        "--output",
        type=_output,
        metavar="DIR",
        help="where to write the reports (default: a new folder below reports/)",
    )


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add which server to ask, and how: URL --header --ca-file --insecure --timeout."""
    parser.add_argument(
        "url", nargs="?", metavar="URL", help=f"the server, such as http://127.0.0.1:3000 (default: ${URL_VARIABLE})"
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
    add("--insecure", action="store_true", help="accept any certificate")
    add("--timeout", type=duration, default=5.0, metavar="TIME", help="for a whole exchange (default: 5)")


def add_simulator_options(parser: argparse.ArgumentParser) -> None:
    """Add what the embedded simulator is like, where no URL is given: --fault --seed --connections --nodes."""
    add = parser.add_argument_group("the embedded simulator, where no URL is given").add_argument
    add("--fault", action="append", metavar="NAME[:KEY=VALUE]", help="make it misbehave (repeatable)")
    add("--seed", type=int, metavar="N", help="another world (default: 1)")
    add("--connections", type=_positive, metavar="N", help="how many connections (default: 20)")
    add("--nodes", type=_positive, metavar="N", help="how many nodes (default: 1)")


_SIMULATOR_OPTIONS: Final = {"fault": "faults", "seed": "seed", "connections": "connections", "nodes": "nodes"}
"""Each option, and what the simulator calls it."""


def check_simulator_options(arguments: argparse.Namespace, url: str | None) -> None:
    """
    Refuse options of the simulator beside a URL.

    Raises:
        UsageError: There is a URL, and one of the options.
    """
    given = [option for option in _SIMULATOR_OPTIONS if getattr(arguments, option) is not None]
    if url is not None and given:
        raise UsageError(f"--{given[0]} is for the embedded simulator, and {url} was given: leave one out")


def simulator_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was given of the simulator's options, by the names of its arguments; Any: numbers, and a tuple of faults."""
    given = {name: getattr(arguments, option) for option, name in _SIMULATOR_OPTIONS.items()}
    settings = {name: value for name, value in given.items() if value is not None}
    return settings | ({"faults": tuple(settings["faults"])} if "faults" in settings else {})


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def _requirement(text: str) -> str:
    from ..checks.requirements import REQUIREMENTS

    if text not in REQUIREMENTS:
        raise UsageError(f"--require: there is no requirement {text!r}{nearest(text, REQUIREMENTS)}")
    return text


def _label(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return key, value


def _output(text: str) -> Path:
    from ..reporters.files import check_folder

    if not text:
        raise UsageError("--output is empty: name a folder")
    folder = Path(text)
    check_folder(folder)  # now, and not after a run of ten minutes
    return folder


# Where things come from.


def resolve_url(arguments: argparse.Namespace) -> str | None:
    """
    Find the server's URL: the argument, else SORA_URL.

    Returns:
        None where neither is set: only then may the simulator stand in.

    Raises:
        UsageError: It is set but empty, as an unset CI secret is, or it holds credentials.
    """
    url: str | None = arguments.url
    origin = "the URL"
    if url is None:
        url = os.environ.get(URL_VARIABLE)
        origin = URL_VARIABLE
    if url is None:
        return None
    if not url.strip():
        raise UsageError(f"{origin} is set but empty: give a URL like http://127.0.0.1:3000")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError(f"{origin} is no URL: {error}") from None
    if "@" in parts.netloc:
        raise UsageError(f"{origin} must not hold credentials: pass them by --header 'Authorization: env:NAME'")
    return url


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
        elsewhere = _elsewhere(given)
        for line in [given] if elsewhere is None else elsewhere.splitlines():
            if not line.strip():
                continue
            name, value, secret = _header(line)
            headers.append((name, value))
            if secret or elsewhere is not None or _SECRET_NAME.search(name):
                secrets.append(value)
    return tuple(headers), Secrets(secrets)


def _header(line: str) -> tuple[str, str, bool]:
    name, separator, value = line.partition(":")
    name, value = name.strip(), value.strip()
    # The line itself may be a secret that was given in the wrong form, so no complaint repeats it.
    if not separator or not _HEADER_NAME.fullmatch(name):
        raise UsageError("--header is not of the form 'Name: value'")
    if name.lower() in _RESERVED:
        raise UsageError(f"--header {name}: the harness sets this one itself")
    elsewhere = _elsewhere(value)
    value = value if elsewhere is None else elsewhere.strip()
    if not value:
        raise UsageError(f"--header {name}: the value is empty")
    if not value.isprintable():
        raise UsageError(f"--header {name}: the value holds a line break or another control character")
    return name, value, elsewhere is not None


def _elsewhere(text: str) -> str | None:
    """What a reference stands for; None where the text is none."""
    if reference := _REFERENCE.fullmatch(text):
        value = os.environ.get(reference[1])
        if not value:
            raise UsageError(f"--header: the environment variable {reference[1]} is not set, or empty")
        return value
    if text.startswith("@"):
        try:
            return Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = (error.strerror or "unreadable") if isinstance(error, OSError) else "not UTF-8 text"
            raise UsageError(f"--header: the file {text[1:]} cannot be read: {reason}") from None
    return None


# How a run ends.


def finish(
    arguments: argparse.Namespace,
    *,
    command: str,
    judge: Judged,
    observes: Collection[Need],
    subject: str,
    judged_from: JudgedFrom,
    started_at: str,
    options: dict[str, Any],  # Any: whatever a command's options hold, as JSON
    excluded: Collection[str] = (),
    interrupted: bool = False,
    aborted: str | None = None,
    extra_notes: Collection[str] = (),
    secrets: Secrets | None = None,
    write: bool = True,
    sections: Sequence[Section] = (),
) -> int:
    """
    Sum up, write the reports, tell the person, and give the exit code.

    Args:
        arguments: With what `add_judging_options` added.
        command: The command's name; names the default folder.
        judge: Is finished here.
        write: Whether files are written where --output was not given.
        observes, subject, judged_from, started_at, options, excluded, interrupted, aborted, sections: As in
            `reporters.assemble.assemble`.
        extra_notes: Its `notes`.
        secrets: None are known if None.

    Raises:
        HarnessError: The reports could not be written; not where the verdict is fail, which outranks that.
    """
    from ..edition import load
    from ..reporters.assemble import assemble

    secrets = secrets or Secrets()
    report = assemble(
        judge,
        command=command,
        edition=load(arguments.edition).name,
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
        secrets=secrets,
    )
    written, problem = None, None
    if write or arguments.output is not None:
        try:
            written = _write(report, arguments.output)
        except OSError as error:
            problem = f"the reports could not be written: {error.strerror or error}"
    _tell(report, written, as_json=arguments.json)
    if problem is not None:
        if report.verdict.exit_code != ExitCode.FAIL:
            raise HarnessError(problem)
        emit(f"sora-harness: {problem}\n", sys.stderr)
    return report.verdict.exit_code


def _write(report: Report, output: Path | None) -> Path:
    from ..reporters import files

    folder = output or files.new_folder(report.verdict.command)
    files.write(report, folder)
    return folder


def _tell(report: Report, written: Path | None, *, as_json: bool) -> None:
    from ..reporters import files, terminal

    stream = sys.stderr if as_json else sys.stdout
    emit(terminal.render(report, colour=wants_colour(stream)), stream)
    if written is not None:
        emit(f"reports in {written}/: {', '.join(files.list_own(written))}\n", stream)
    if as_json:
        emit(files.to_json(report.verdict))
