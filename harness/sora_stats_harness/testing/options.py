"""
The options `pytest --sora-…`, and the settings from these and the configuration.

Most options are those of `sora-harness conform` with the prefix `sora-`. `probe.run_settings` reads both, so the
configuration completes them in the same way, and the same mistakes get the same messages. A URL that is set but empty,
as from an unset CI secret, is an error, and the simulator is used only if it is named: a suite that tests nothing must
not be green by accident. What can't be used is a UsageError, in every function here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from ..api.errors import UsageError
from ..api.language import translate
from ..api.prefixed_options import PREFIX, PREFIXED_FLAGS, PREFIXED_LISTS, PREFIXED_OPTIONS
from ..api.server_url import SIMULATOR_URL, URL_VARIABLE, NamedUrl, environment_url, normalize_server_url

if TYPE_CHECKING:
    from ..probe.run_settings import RunSettings, SettingSources
    from ..reports.baseline import Baseline

URL_FIXTURE: Final = "the fixture sora_url"
"""Names the origin of a URL in error messages."""

GATE_FILES: Final = ("sora-harness.toml", "pyproject.toml")
"""
The names of configurations, which as arguments of pytest select the gate; `api.project_config` is too heavy to import.
"""

MATCHED_EDITIONS_KEY: Final[pytest.StashKey[dict[str, tuple[str, str]]]] = pytest.StashKey()
"""By a server's URL: the best edition, and a sentence that says how well it matches."""

_SHARED_OPTIONS: Final = (
    ("config", "FILE", "the configuration (default: that of the rootdir, as of sora-harness)"),
    *PREFIXED_OPTIONS,
    ("baseline", "FILE", "an earlier verdict.json: its findings are known, and fail no item of the gate"),
    ("wait", "TIME", "how long to wait for a server that is starting (default: 0)"),
    ("duration", "TIME", "how long the gate probes at least (default: 10)"),
    (
        "max-duration",
        "TIME",
        "how long the gate probes at most, if some requirements were not observed yet (default: 60)",
    ),
    ("rate", "N", "the gate sends at most this many requests per second (default: 50; to the simulator 400)"),
    ("targets", "NAMES", "the gate sends only these, separated by commas (default: all three)"),
)
_SHARED_FLAGS: Final = (*PREFIXED_FLAGS, ("valid-only", "the gate sends no request that is wrong on purpose"))
_SHARED_LISTS: Final = (
    *PREFIXED_LISTS,
    ("node", "URL", "another node of the server's cluster (repeatable)"),
    ("fault", "NAME[:KEY=VALUE]", f"make the simulator of `--sora-url {SIMULATOR_URL}` misbehave (repeatable)"),
)
"""Options that `conform` has as well, without the prefix `sora-`."""


def add_options(parser: pytest.Parser) -> None:
    """Add the command line's options, and the setting `sora_url`."""
    group = parser.getgroup("sora", translate("statistics API of WebRTC SFU Sora"))

    def add(name: str, *, help: str, **more: Any) -> None:  # Any: as pytest takes them
        group.addoption(name, help=translate(help), **more)

    add("--sora-conformance", action="store_true", help="add the conformance gate: an item for each requirement")
    add(
        "--sora-url",
        metavar="URL",
        help=f"the server, such as http://127.0.0.1:3000, or `{SIMULATOR_URL}` for the embedded simulator "
        f"(default: ${URL_VARIABLE}, else the setting sora_url, else the configuration)",
    )
    add(
        "--sora-allow-inconclusive",
        action="store_true",
        help="let the item `verdict` pass if too little was seen to decide",
    )
    add("--sora-report", metavar="DIR", help="where the gate writes verdict.json, report.html and the like")
    for name, metavar, text in _SHARED_OPTIONS:
        add(f"{PREFIX}{name}", metavar=metavar, help=text)
    for name, text in _SHARED_FLAGS:
        add(f"{PREFIX}{name}", action="store_true", help=text)
    for name, metavar, text in _SHARED_LISTS:
        add(f"{PREFIX}{name}", action="append", default=[], metavar=metavar, help=text)
    parser.addini("sora_fail_on", "the same as --sora-fail-on, which wins", default=None)
    # None, so that one that is set but empty can be told from one that is not set
    parser.addini("sora_url", "the server, if neither --sora-url nor SORA_URL names one", default=None)


@dataclass(frozen=True, kw_only=True)
class PluginSettings:
    """
    The settings from options, environment and configuration together.

    Settings that the commands have as well are in `RunSettings`: `server` has them for the named server, `no_server`
    for a test's own simulator, and `settings_for` for the URL of a fixture.
    """

    sources: SettingSources
    no_server: RunSettings
    """The settings without a server; values that are meant for a server are left out."""
    allow_inconclusive: bool
    baseline: Baseline | None
    faults: tuple[str, ...]
    report: Path | None
    item_timeout_s: float | None
    """The time after which pytest-timeout ends a test; None if it doesn't."""

    def baseline_for(self, settings: RunSettings) -> Baseline | None:
        """The baseline from the option, else from the configuration."""
        return self.baseline or _read_baseline(settings.baseline)

    @cached_property
    def server(self) -> RunSettings:
        """The settings for the named server, or for `simulator`."""
        from ..probe.run_settings import resolve_settings

        settings = resolve_settings(self.sources)
        if settings.url is None and not settings.names_simulator:
            raise UsageError(
                f"no server is named: give --sora-url URL (or {URL_VARIABLE}, or the setting sora_url), "
                f"or --sora-url {SIMULATOR_URL} to test against the embedded simulator"
            )
        if self.faults and not settings.names_simulator:
            raise UsageError(f"--sora-fault needs --sora-url {SIMULATOR_URL}: it makes that simulator misbehave")
        if settings.gate.nodes and settings.names_simulator:
            raise UsageError("--sora-node needs a URL")
        return settings

    def settings_for(self, url: str) -> RunSettings:
        """The settings for the server of the fixture `sora_url`; values that are meant for a server apply to it."""
        from ..probe.run_settings import resolve_settings

        url = read_fixture_url(url)
        try:
            named = self.server
        except UsageError:  # doesn't matter if a fixture returns another URL
            named = None
        if named is not None and named.url == url:
            return named
        return resolve_settings(self.sources.with_url(url, URL_FIXTURE))


def read_fixture_url(value: object) -> str:
    """The URL that the fixture `sora_url` returns."""
    if not isinstance(value, str) or value == SIMULATOR_URL:
        raise UsageError(
            f"{URL_FIXTURE} returns {value!r}: return the URL of a server, or of the fixture sora_simulator"
        )
    return normalize_server_url(value, URL_FIXTURE)


def url_candidates(config: pytest.Config) -> list[NamedUrl]:
    """The places that may name a URL besides the configuration: the option, the variable, the setting."""
    return [
        (config.getoption("sora_url"), "--sora-url"),
        environment_url(),
        (config.getini("sora_url"), "the setting sora_url"),
    ]


def add_gate_file(config: pytest.Config) -> Path | None:
    """
    Find the gate's file, and have pytest collect it if it exists.

    It is the effective configuration: that of `--sora-config`, else that of the rootdir. If there is none, it would be
    `sora-harness.toml`, which is then collected without a file.

    Returns:
        The file; None if neither `--sora-conformance` nor an argument such as `sora-harness.toml::counter` selects the
        gate.
    """
    folder = config.invocation_params.dir
    named = {path for arg in config.args if (path := _argument_path(folder, arg)).name in GATE_FILES}
    if not named and not config.getoption("sora_conformance"):
        return None
    from ..api.project_config import find_config

    given = config.getoption("sora_config")
    found = folder / given if given else find_config(config.rootpath)
    path = found if found is not None and found.is_file() else config.rootpath / GATE_FILES[0]
    for other in named - {path}:
        raise UsageError(
            f"{other} is not the effective configuration, which is {path}: name another one with --sora-config"
        )
    if path in named and found is None:
        raise UsageError(
            f"{path} does not exist: create it, even if empty, to name items of the gate on a command line"
        )
    # Not if its folder is collected: pytest 8 would then collect the file, but nothing else of the folder.
    collected = {_argument_path(folder, arg) for arg in config.args}
    if path.is_file() and collected.isdisjoint((path, *path.parents)):
        config.args.append(str(path))
    return path


def _argument_path(folder: Path, argument: str) -> Path:
    """The file that an argument of pytest's command line names."""
    return Path(os.path.normpath(folder / argument.partition("::")[0]))


def read_settings(config: pytest.Config) -> PluginSettings:
    """Read every option, and the configuration; this imports the modules that parse them."""
    from ..probe.run_settings import SettingSources, resolve_settings

    option = config.getoption
    file = option("sora_config")
    if file == "":
        raise UsageError("--sora-config is empty: name a file")
    names = [name.replace("-", "_") for name, *_ in (*_SHARED_OPTIONS, *_SHARED_FLAGS, *_SHARED_LISTS)]
    given = {name: None if (value := option(f"sora_{name}")) is False else value for name in names}
    if given["fail_on"] is None:
        given["fail_on"] = config.getini("sora_fail_on")
    sources = SettingSources(
        options=given,
        option_prefix=PREFIX,
        config_file=None if file is None else Path(file),
        folder=config.rootpath,
        urls=url_candidates(config),
    )
    report = option("sora_report")
    return PluginSettings(
        sources=sources,
        no_server=resolve_settings(replace(sources, asks_server=False)),
        allow_inconclusive=option("sora_allow_inconclusive"),
        baseline=_read_baseline(option("sora_baseline")),
        faults=tuple(option("sora_fault")),
        report=config.invocation_params.dir / report if report is not None else None,
        item_timeout_s=_read_item_timeout_s(config),
    )


def _read_item_timeout_s(config: pytest.Config) -> float | None:
    """The time-out of pytest-timeout, from its option, variable or setting; None if it isn't installed or set."""
    if not config.pluginmanager.hasplugin("timeout"):
        return None
    given = config.getoption("timeout", None) or os.environ.get("PYTEST_TIMEOUT") or config.getini("timeout")
    try:
        return float(given) if given and float(given) > 0 else None
    except ValueError:
        return None  # pytest-timeout itself refuses an invalid time


def _read_baseline(file: str | None) -> Baseline | None:
    from ..reports.baseline import read_baseline

    if file is None:
        return None
    if not file:
        raise UsageError("--sora-baseline is empty: name a verdict.json")
    return read_baseline(Path(file))


def match_server_edition(config: pytest.Config, settings: RunSettings) -> tuple[RunSettings, str | None]:
    """
    Replace the edition `auto`: for a server by the best match, for a simulator by the default.

    Returns:
        The settings, and a sentence about the edition if the server was asked, which only the first call in a process
        does.
    """
    from concurrent.futures import ThreadPoolExecutor

    from ..api.edition import DEFAULT_EDITION
    from ..probe.edition_detection import AUTO_EDITION, detect_by_server
    from ..probe.interrupt import InterruptHandler
    from ..probe.single_request import ProberAsk

    if settings.edition != AUTO_EDITION:
        return settings, None
    if settings.url is None:
        return replace(settings, edition=DEFAULT_EDITION), None
    matched = config.stash.setdefault(MATCHED_EDITIONS_KEY, {})
    if settings.url not in matched:
        headers, _ = settings.look_up()
        # In a thread, since asyncio.run would remove the main thread's event loop, on which a suite may rely.
        with ThreadPoolExecutor(1) as thread:
            ask = ProberAsk(settings.new_prober, InterruptHandler())
            name, remarks = thread.submit(detect_by_server, settings.url, headers, ask).result()
        matched[settings.url] = name, " ".join(remarks).replace("--edition", "--sora-edition")
    name, note = matched[settings.url]
    return replace(settings, edition=name), note
