"""
The options `pytest --sora-…`, and the settings that they and the configuration give.

Most options are those of `sora-harness conform` with `sora-` before the name. `probe.run_settings` reads both, so the
configuration completes them in the same way, and the same mistakes get the same messages. A URL that is set but empty is
what an unset CI secret leaves behind, so it is an error; and without a URL the simulator is used only where it is named: a
suite that tests nothing must not be green by accident.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from ..api.errors import UsageError
from ..api.option_values import FAIL_ON_LEVELS
from ..api.server_url import SIMULATOR_URL, URL_VARIABLE, normalize_server_url

if TYPE_CHECKING:
    from ..api.exchange import Headers
    from ..api.project_config import Waiver
    from ..api.secret_redaction import Secrets
    from ..judge.requirements import Severity
    from ..judge.verdict import SubjectKind
    from ..probe.run_settings import RunSettings
    from ..reports.baseline import Baseline

DEFAULT_GATE_DURATION_S: Final = 10.0

_SHARED_OPTIONS: Final = (
    ("config", "FILE", "the configuration (default: that of the rootdir, as of sora-harness)"),
    ("edition", "NAME|FILE", "the field list to judge by (default: doc-2024; auto: the nearest one)"),
    ("baseline", "FILE", "an earlier verdict.json: what was found then is known, and fails no item of the gate"),
    ("ca-file", "FILE", "trust the certificates in this file alone"),
    ("timeout", "TIME", "for a whole exchange (default: 5)"),
    (
        "fail-on",
        "|".join(FAIL_ON_LEVELS),
        "the lowest level of a finding that fails, in the gate and in tests (default: proven)",
    ),
    ("tear", "TIME", "how far apart the server stamps a response and reads its counters"),
)
_SHARED_FLAGS: Final = (
    ("insecure", "accept any certificate"),
    ("trust-config", "let a configuration that was found name checks, and secrets for the server that it names itself"),
)
_SHARED_LISTS: Final = (
    ("require", "ID", "the gate is inconclusive unless this requirement was observed (repeatable)"),
    ("checks", "FILE.py", "the gate judges by the checks of your own in this file as well (repeatable)"),
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
        help="how long the gate probes at most, where not every requirement was observed yet (default: 60)",
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
    parser.addini("sora_fail_on", "the same as --sora-fail-on, which wins", default=None)
    # None, so that one that is set but empty can be told from one that is not set
    parser.addini("sora_url", "the server, where neither --sora-url nor SORA_URL names one", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSettings:
    """The settings that options, environment and configuration give together."""

    url: str | None
    """Of the server, or `simulator`; None where no usable URL was given."""
    problem: str | None
    """Why the URL that was given can't be used: no matter to a test that needs none."""
    nodes: tuple[str, ...]
    duration_s: float
    max_duration_s: float | None
    valid_only: bool
    severity: Severity
    require: tuple[str, ...]
    checks: tuple[str, ...]
    """Files with checks of the user's own."""
    allow_inconclusive: bool
    labels: dict[str, str]
    baseline: Baseline | None
    waivers: Sequence[Waiver]
    edition: str
    given_headers: Sequence[str]
    """The lines of the options alone, still with their references to secrets."""
    all_headers: Sequence[str]
    """Those of the configuration as well."""
    ca_file: str | None
    insecure: bool
    timeout_s: float
    tear_s: float | None
    faults: tuple[str, ...]
    report: Path | None
    item_timeout_s: float | None
    """After which pytest-timeout ends a test; None where it doesn't."""
    notes: tuple[str, ...] = ()
    """For the gate's verdict."""

    @property
    def uses_simulator(self) -> bool:
        """Whether the server is a simulator of the plugin's own."""
        return self.url == SIMULATOR_URL

    @property
    def server_url(self) -> str:
        """
        The server's URL, or `simulator`.

        Raises:
            UsageError: Neither was given, or the URL can't be used.
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
        Read the headers to send, and which of their values are secret.

        Args:
            simulated: Whether the requests go to a simulator, which needs none of the configuration's headers.

        Raises:
            UsageError: A variable or file that isn't there, or no header.
        """
        from ..api.request_headers import read_headers

        return read_headers(self.given_headers if simulated else self.all_headers)


def find_server_url(config: pytest.Config) -> str | None:
    """
    Find the URL outside of a configuration: the option, else the variable, else the setting.

    Returns:
        A server's URL, or `simulator`; None where nothing was given.

    Raises:
        UsageError: It is set but empty, or no URL of a server.
    """
    for url, origin in _url_candidates(config):
        if url is not None:
            return url if url == SIMULATOR_URL else normalize_server_url(url, origin)
    return None


def _url_candidates(config: pytest.Config) -> list[tuple[str | None, str]]:
    return [
        (config.getoption("sora_url"), "--sora-url"),
        (os.environ.get(URL_VARIABLE), URL_VARIABLE),
        (config.getini("sora_url"), "the setting sora_url"),
    ]


def read_settings(config: pytest.Config) -> PluginSettings:
    """
    Read every option, and the configuration; imports what is needed to understand them.

    Raises:
        UsageError: One of them can't be used.
    """
    from ..api.project_config import read_config
    from ..probe import run_settings

    option = config.getoption
    file = option("sora_config")
    if file == "":
        raise UsageError("--sora-config is empty: name a file")
    loaded = read_config(None if file is None else Path(file), folder=config.rootpath)
    url, problem = None, None
    try:
        url = run_settings.find_server_url(
            *_url_candidates(config), (loaded.values.url, f"url in {loaded.source}"), allow_simulator=True
        )
    except UsageError as error:
        problem = str(error)
    names = [name.replace("-", "_") for name, *_ in (*_SHARED_OPTIONS, *_SHARED_FLAGS, *_SHARED_LISTS)]
    given = {name: option(f"sora_{name}") or None for name in names}
    given["fail_on"] = given["fail_on"] or config.getini("sora_fail_on")
    settings = run_settings.resolve_settings(given, loaded, url, option_prefix="--sora-")
    simulated = settings.url == SIMULATOR_URL
    if option("sora_fault") and not simulated:
        raise UsageError(f"--sora-fault goes with --sora-url {SIMULATOR_URL}: it makes that one misbehave")
    if option("sora_node") and (settings.url is None or simulated):
        raise UsageError("--sora-node goes with a URL")
    report = option("sora_report")
    duration_s = _parse_gate_duration("--sora-duration", option("sora_duration"))
    return PluginSettings(
        url=settings.url,
        problem=problem,
        nodes=tuple(normalize_server_url(node, f"--sora-node {node}") for node in option("sora_node")),
        duration_s=DEFAULT_GATE_DURATION_S if duration_s is None else duration_s,
        max_duration_s=_parse_gate_duration("--sora-max-duration", option("sora_max_duration")),
        valid_only=option("sora_valid_only"),
        severity=settings.severity,
        require=settings.require,
        checks=settings.checks,
        allow_inconclusive=option("sora_allow_inconclusive"),
        labels=settings.labels,
        baseline=_read_baseline(option("sora_baseline"), settings),
        waivers=settings.waivers,
        edition=settings.edition,
        given_headers=option("sora_header"),
        all_headers=settings.headers,
        ca_file=settings.ca_file,
        insecure=settings.insecure,
        timeout_s=settings.timeout_s,
        tear_s=settings.tear_s,
        faults=tuple(option("sora_fault")),
        report=config.invocation_params.dir / report if report is not None else None,
        item_timeout_s=_read_item_timeout_s(config),
    )


def _read_item_timeout_s(config: pytest.Config) -> float | None:
    """Its option, else its variable, else its setting, where it is installed."""
    if not config.pluginmanager.hasplugin("timeout"):
        return None
    given = config.getoption("timeout", None) or os.environ.get("PYTEST_TIMEOUT") or config.getini("timeout")
    try:
        return float(given) if given and float(given) > 0 else None
    except ValueError:
        return None  # what is no time is for pytest-timeout to refuse


def _parse_gate_duration(option: str, text: str | None) -> float | None:
    from ..api.option_values import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None


def _read_baseline(file: str | None, settings: RunSettings) -> Baseline | None:
    from ..api.edition import load_edition
    from ..probe.edition_detection import AUTO_EDITION
    from ..reports.baseline import baseline_mismatch, read_baseline

    if file is None:
        return None
    if not file:
        raise UsageError("--sora-baseline is empty: name a verdict.json")
    baseline = read_baseline(Path(file))
    if settings.url is not None:
        edition = None if settings.edition == AUTO_EDITION else load_edition(settings.edition).name
        kind: SubjectKind | None = "simulator" if settings.url == SIMULATOR_URL else None
        if mismatch := baseline_mismatch(baseline, edition=edition, subject_kind=kind):
            raise UsageError(mismatch)
    return baseline
