"""
What `pytest --sora-…` takes, and what follows from it before anything heavy is imported.

Most options are those of `sora-harness conform` with `sora-` before the name, and are read by the same code, so that a
configuration lies below them in the same way, and the same mistakes are called by the same words. A URL that is set but
empty is what an unset CI secret leaves behind, so it is never taken for "none"; and where there is none, the simulator
stands in only by name: a suite that tests nothing must not be green by accident.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from ..api.errors import UsageError

if TYPE_CHECKING:
    from ..api.exchange import Headers
    from ..api.secret_redaction import Secrets
    from ..reports.baseline import Baseline
    from ..reports.waivers import Waiver

SIMULATOR_URL: Final = "simulator"
"""Given for a URL, it stands for a simulator of the plugin's own."""

URL_VARIABLE: Final = "SORA_URL"

DEFAULT_GATE_DURATION_S: Final = 10.0

_SHARED_OPTIONS: Final = (
    ("config", "FILE", "the configuration (default: that of the rootdir, as of sora-harness)"),
    ("edition", "NAME|FILE", "the field list to judge by (default: doc-2024; auto: the nearest one)"),
    ("baseline", "FILE", "an earlier verdict.json: what was found then is known, and fails no item of the gate"),
    ("ca-file", "FILE", "trust the certificates in this file alone"),
    ("timeout", "TIME", "for a whole exchange (default: 5)"),
)
_SHARED_FLAGS: Final = (
    ("strict", "a violated SHOULD fails, too: in the gate and in tests"),
    ("insecure", "accept any certificate"),
)
_SHARED_LISTS: Final = (
    ("require", "ID", "the gate is inconclusive unless this requirement was observed (repeatable)"),
    ("label", "KEY=VALUE", "put into the gate's reports, such as build=123 (repeatable)"),
    ("header", "'NAME: VALUE'", "send this as well (repeatable); for secrets 'NAME: env:VARIABLE'"),
    ("fault", "NAME[:KEY=VALUE]", f"make the simulator of `--sora-url {SIMULATOR_URL}` misbehave (repeatable)"),
)
"""Options that `conform` has as well, without `sora-` before the name."""


def add_options(parser: pytest.Parser) -> None:
    """Add the command line's options, and the setting `sora_url`."""
    add = parser.getgroup("sora", "statistics API of WebRTC SFU Sora").addoption
    add("--sora-conformance", action="store_true", help="add the conformance gate: an item for each requirement")
    add(
        "--sora-url",
        metavar="URL",
        help=f"the server, such as http://127.0.0.1:3000, or `{SIMULATOR_URL}` for one of the plugin's own "
        f"(default: ${URL_VARIABLE}, else the setting sora_url, else the configuration)",
    )
    add("--sora-node", action="append", default=[], metavar="URL", help="another node of its cluster (repeatable)")
    add(
        "--sora-duration",
        metavar="TIME",
        help=f"how long the gate probes at least (default: {DEFAULT_GATE_DURATION_S:g})",
    )
    add(
        "--sora-max-duration",
        metavar="TIME",
        help="how long it probes at most, where not every requirement was observed yet (default: 60)",
    )
    add("--sora-valid-only", action="store_true", help="the gate sends no request that is wrong on purpose")
    add(
        "--sora-allow-inconclusive",
        action="store_true",
        help="sora::verdict passes where too little was seen to decide",
    )
    add("--sora-report", metavar="DIR", help="where the gate writes verdict.json, report.html and the like")
    for name, metavar, text in _SHARED_OPTIONS:
        add(f"--sora-{name}", metavar=metavar, help=text)
    for name, text in _SHARED_FLAGS:
        add(f"--sora-{name}", action="store_true", help=text)
    for name, metavar, text in _SHARED_LISTS:
        add(f"--sora-{name}", action="append", default=[], metavar=metavar, help=text)
    # None, so that one that is set but empty can be told from one that is not set
    parser.addini("sora_url", "the server, where neither --sora-url nor SORA_URL names one", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSettings:
    """The options as the rest of the plugin needs them, the configuration below them."""

    url: str | None
    """Of the server, or `simulator`; None where nothing was given that can be used."""
    problem: str | None
    """Why what was given for a URL can't be used: no matter to a test that needs none."""
    nodes: tuple[str, ...]
    duration_s: float
    max_duration_s: float | None
    valid_only: bool
    strict: bool
    require: tuple[str, ...]
    allow_inconclusive: bool
    labels: dict[str, str]
    baseline: Baseline | None
    waivers: Sequence[Waiver]
    edition: str
    given_headers: Sequence[str]
    """Of the command line, as it has them; they may be references to secrets that aren't there."""
    all_headers: Sequence[str]
    """Those of the configuration as well."""
    ca_file: str | None
    insecure: bool
    timeout_s: float
    faults: tuple[str, ...]
    report: Path | None
    notes: tuple[str, ...] = ()
    """For the gate's verdict."""

    @property
    def uses_simulator(self) -> bool:
        """Whether a simulator of the plugin's own is what is asked."""
        return self.url == SIMULATOR_URL

    @property
    def server_url(self) -> str:
        """
        The server's URL, or `simulator`.

        Raises:
            UsageError: Neither was given, or what was can't be used.
        """
        if self.problem is not None:
            raise UsageError(self.problem)
        if self.url is None:
            raise UsageError(
                f"no server is named: give --sora-url URL (or {URL_VARIABLE}, or the setting sora_url), "
                f"or --sora-url {SIMULATOR_URL} to test against the embedded simulator"
            )
        return self.url

    def read_headers_and_secrets(self, *, simulated: bool) -> tuple[Headers, Secrets]:
        """
        Read what is sent besides, and which of it is secret.

        Args:
            simulated: Whether a simulator is asked, which needs none of the configuration's, nor the secrets in them.

        Raises:
            UsageError: A variable or file that isn't there, or no header.
        """
        from ..cli.command_support import read_headers

        return read_headers(self.given_headers if simulated else self.all_headers)


def find_server_url(config: pytest.Config) -> str | None:
    """
    Find what was given for a URL: the option, else the variable, else the setting.

    Returns:
        A URL, `simulator`, or None where nothing was given but perhaps in a configuration.

    Raises:
        UsageError: It is set but empty, no URL, or holds credentials.
    """
    given: dict[str, str | None] = {
        "--sora-url": config.getoption("sora_url"),
        URL_VARIABLE: os.environ.get(URL_VARIABLE),
        "the setting sora_url": config.getini("sora_url"),
    }
    for origin, url in given.items():
        if url is not None:
            if url != SIMULATOR_URL:
                _check_url(origin, url)
            return url
    return None


def _check_url(origin: str, url: str) -> None:
    """What can be seen of a URL without what would send to it."""
    if not url.strip():
        raise UsageError(f"{origin} is set but empty: give a URL like http://127.0.0.1:3000, or `{SIMULATOR_URL}`")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError(f"{origin} is no URL: {error}") from None
    if "@" in parts.netloc:
        raise UsageError(f"{origin} must not hold credentials: pass them by --sora-header 'Authorization: env:NAME'")
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc:
        raise UsageError(f"{origin} is no http or https URL: give one like http://127.0.0.1:3000, or `{SIMULATOR_URL}`")


def read_settings(config: pytest.Config) -> PluginSettings:
    """
    Read every option, and the configuration; imports what is needed to understand them.

    Raises:
        UsageError: One of them can't be used.
    """
    try:
        return _parse_settings(config)
    except UsageError as error:
        # said by the code of the command line, which calls the same options by their names there
        raise UsageError(re.sub(r"(?<![\w-])--(?!sora-)(?=[a-z])", "--sora-", str(error))) from None


def _parse_settings(config: pytest.Config) -> PluginSettings:
    from ..api import project_config as configuration
    from ..cli import command_support as common
    from ..cli.argument_parser import CommandArgumentParser
    from ..cli.argument_types import parse_duration

    option = config.getoption
    words = [f"--{name}" for name, _ in _SHARED_FLAGS if option(f"--sora-{name}")]
    for name, *_ in (*_SHARED_OPTIONS, *_SHARED_LISTS):
        given: str | list[str] | None = option(f"--sora-{name}")
        values = [given] if isinstance(given, str) else given or []
        words += [f"--{name}={value}" for value in values]
    for name in ("duration", "max-duration"):
        if (given := option(f"--sora-{name}")) is not None:
            words.append(f"--{name}={given}")
    if option("sora_config") is None and (file := configuration.read_config(folder=config.rootpath).source) is not None:
        words.append(f"--config={file}")
    parser = CommandArgumentParser(prog="pytest", allow_abbrev=False)
    common.add_server_options(parser)
    common.add_judging_options(parser)
    common.add_simulator_options(parser)
    parser.add_argument("--duration", type=parse_duration, default=DEFAULT_GATE_DURATION_S)
    parser.add_argument("--max-duration", type=parse_duration)
    arguments = parser.parse_args(words)
    url, problem = None, None
    try:
        url = find_server_url(config) or common.server_url(arguments)
    except UsageError as error:
        problem = str(error)
    if arguments.fault and url != SIMULATOR_URL:
        raise UsageError(f"--fault goes with --url {SIMULATOR_URL}: it makes that one misbehave")
    if option("sora_node") and url in (None, SIMULATOR_URL):
        raise UsageError("--node goes with a URL")
    if url is not None:
        common.check_simulator_options(arguments, None if url == SIMULATOR_URL else url)
    report = option("sora_report")
    return PluginSettings(
        url=url,
        problem=problem,
        nodes=tuple(option("sora_node")),
        duration_s=arguments.duration,
        max_duration_s=arguments.max_duration,
        valid_only=option("sora_valid_only"),
        strict=arguments.strict,
        require=tuple(arguments.require),
        allow_inconclusive=option("sora_allow_inconclusive"),
        labels=dict(arguments.label),
        baseline=arguments.baseline,
        waivers=arguments.waivers,
        edition=arguments.edition,
        given_headers=option("sora_header"),
        all_headers=arguments.header,
        ca_file=arguments.ca_file,
        insecure=arguments.insecure,
        timeout_s=arguments.timeout,
        faults=tuple(arguments.fault or ()),
        report=config.invocation_params.dir / report if report is not None else None,
    )
