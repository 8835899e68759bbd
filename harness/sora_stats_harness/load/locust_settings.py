"""
The settings of a run under plain Locust: its options `--sora-…`, with environment and configuration as for any command.

Each process reads them itself, workers with the options of their master, and once a test has begun they stay as they
are.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ..api.edition import Edition, load_edition
from ..api.errors import UsageError
from ..api.exchange import Headers, Target, TransportError
from ..api.language import environment_language, translate, use_language
from ..api.option_values import FAIL_ON_LEVELS, parse_choice, parse_interval
from ..api.prefixed_options import PREFIX, PREFIXED_FLAGS, PREFIXED_LISTS, PREFIXED_OPTIONS
from ..api.secret_redaction import Secrets
from ..api.server_address import ServerAddress
from ..api.server_url import environment_url, normalize_server_url
from ..probe.edition_detection import AUTO_EDITION, detect_by_server
from ..probe.interrupt import InterruptHandler
from ..probe.run_settings import ORIGIN_OPTION, RunSettings, SettingSources, resolve_settings
from ..reports import report_folder as files
from ..reports.baseline import Baseline, baseline_mismatch, read_baseline
from .http_connection import resolve_server
from .single_request import ConnectionAsk
from .slo import Slo, parse_slo
from .spools import JudgingRules

OPTIONS_ON_PAGE: Final = ("sora_interval", "sora_edition", "sora_fail_on", "sora_output")
"""The options on Locust's page, where anybody who opens it can change them; so none names files or secrets."""

_HIDDEN_OPTIONS: Final = ("sora-run", "sora-spool", "sora-clock", "sora-workers")
"""Options that the master sets for its workers."""


def add_locust_options(parser: Any) -> None:  # Any: Locust's parser, a configargparse one
    """Add our options to Locust's, explained in the language of the environment."""
    with use_language(environment_language()):
        _add_options(parser)
    parser.set_defaults(web_host="127.0.0.1")  # Locust's own default lets everybody in who can reach the machine
    for name in _HIDDEN_OPTIONS:
        parser.add_argument(f"--{name}", default="", help=argparse.SUPPRESS, include_in_web_ui=False)


def _add_options(parser: Any) -> None:  # Any: as above
    group = parser.add_argument_group(translate("Sora statistics"))
    group.add_argument(
        f"{PREFIX}interval",
        type=_of_option(parse_interval),
        metavar="SECONDS",
        env_var="SORA_INTERVAL",
        help=translate(
            "from one sending of a user to its next; 0: at once after the response (default: the scenario's)"
        ),
    )
    group.add_argument(f"{PREFIX}output", default="", metavar="DIR", help=translate("write the reports there as well"))
    types = {"fail-on": _of_option(lambda text: parse_choice(text, FAIL_ON_LEVELS)), "edition": _of_option(_parse_name)}
    for name, metavar, text in PREFIXED_OPTIONS:
        # a group doesn't support include_in_web_ui
        is_shown = f"sora_{name.replace('-', '_')}" in OPTIONS_ON_PAGE
        add = group.add_argument if is_shown else parser.add_argument
        more = {} if is_shown else {"include_in_web_ui": False}
        add(
            f"{PREFIX}{name}",
            type=types.get(name, str),
            metavar=metavar,
            help=translate(text).replace("%", "%%"),
            **more,
        )
    slo = ("slo", "SLO", "fail unless this holds: p99<50ms, GetStatsAllConnections:p95<800ms, errors<0.1% (repeatable)")
    for name, metavar, text in (*PREFIXED_LISTS, slo):
        add, text = parser.add_argument, translate(text).replace("%", "%%")
        add(f"{PREFIX}{name}", action="append", default=[], metavar=metavar, help=text, include_in_web_ui=False)
    for name, text in PREFIXED_FLAGS:
        parser.add_argument(f"{PREFIX}{name}", action="store_true", help=translate(text), include_in_web_ui=False)
    parser.add_argument(
        f"{PREFIX}config",
        metavar="FILE",
        help=translate("the configuration (default: that of the current folder)"),
        include_in_web_ui=False,
    )


def _parse_name(text: str) -> str:
    if not text:  # what an unset variable leaves behind; on the page it is a field that was left empty
        raise UsageError("it is empty")
    return text


def _of_option(parse: Any) -> Any:  # Any: takes a text
    def read(text: str) -> Any:
        try:
            return parse(text)
        except UsageError as error:
            with use_language(environment_language()):
                raise argparse.ArgumentTypeError(translate(str(error))) from None

    return read


@dataclass(frozen=True)
class LocustSettings:
    """The settings of a run under plain Locust."""

    run: RunSettings

    @cached_property
    def edition(self) -> Edition:
        """The field list to judge by."""
        return load_edition(self.run.edition)

    @cached_property
    def looked_up(self) -> tuple[Headers, Secrets]:
        """The headers and secrets, as of `RunSettings.look_up`."""
        return self.run.look_up()

    @cached_property
    def slos(self) -> tuple[Slo, ...]:
        """The SLOs, without repetitions."""
        origin = self.run.origins["slos"]
        where = f"{PREFIX}slo" if origin == ORIGIN_OPTION else f"{origin}: slos"
        return tuple(parse_slo(text, where) for text in dict.fromkeys(self.run.slos))

    def slos_on(self, targets: Collection[Target]) -> Sequence[Slo]:
        """The SLOs that apply to a run that sends these targets; SLOs of the configuration on other targets don't."""
        if self.run.origins["slos"] == ORIGIN_OPTION:
            return self.slos
        return [slo for slo in self.slos if slo.target is None or slo.target in {each.operation for each in targets}]

    @cached_property
    def baseline(self) -> Baseline | None:
        """The baseline of the configuration."""
        return None if self.run.baseline is None else read_baseline(Path(self.run.baseline))

    @property
    def rules(self) -> JudgingRules:
        """The rules by which the master judges."""
        return JudgingRules(self.edition, self.run.checks, self.run.tear_s, self.run.severity)

    def address(self) -> ServerAddress:
        """
        The server's address.

        Raises:
            UsageError: No server is named, or its name can't be resolved.
        """
        url = self.run.url
        if url is None:
            what = "plain Locust starts no simulator" if self.run.names_simulator else "no server is named"
            raise UsageError(f"{what}: give the server by --host, such as --host http://127.0.0.1:3000")
        address = resolve_server(url, self.run.route())
        if isinstance(address, TransportError):
            raise UsageError(f"{url}: {address.detail}")
        return address

    def check(self) -> None:
        """
        Refuse invalid settings before any user begins.

        Raises:
            UsageError: A value can't be used.
        """
        _ = self.looked_up, self.slos
        name = None if self.run.edition == AUTO_EDITION else self.edition.name
        if self.baseline is not None and (mismatch := baseline_mismatch(self.baseline, edition=name)):
            raise UsageError(mismatch)


def read_locust_settings(environment: Any) -> LocustSettings:  # Any: locust.env.Environment
    """
    Combine Locust's options, environment and configuration, as they are now.

    Raises:
        ConfigError: The configuration can't be used.
        UsageError: A value can't be used.
    """
    options = vars(environment.parsed_options)
    rows = (*PREFIXED_OPTIONS, *PREFIXED_FLAGS, *PREFIXED_LISTS, ("slo",))
    given = {name: _given(options, f"sora_{name}") for name in (row[0].replace("-", "_") for row in rows)}
    config = options.get("sora_config")
    if config == "":
        raise UsageError(f"{PREFIX}config is empty: name a file")
    sources = SettingSources(
        options=given,
        option_prefix=PREFIX,
        config_file=None if config is None else Path(config),
        urls=[(environment.host, "--host"), environment_url()],
    )
    return LocustSettings(resolve_settings(sources))


def _given(options: Mapping[str, Any], name: str) -> Any:  # Any: a text, a truth value, or several texts
    """An option's value; None if it was not given, or its field on the page is empty."""
    value = options.get(name)
    return None if value is False or (value == "" and name in OPTIONS_ON_PAGE) else value


def begin_with_settings(environment: Any) -> LocustSettings:  # Any: as above, to which we add an attribute
    """
    The settings for the tests of an environment; the first test reads them and detects the edition.

    Raises:
        UsageError: As of `read_locust_settings`, or the server's name can't be resolved.
    """
    settings = getattr(environment, "sora_settings", None)
    if not isinstance(settings, LocustSettings):
        settings = read_locust_settings(environment)
        if settings.run.edition == AUTO_EDITION:
            address, (headers, _) = settings.address(), settings.looked_up
            ask = ConnectionAsk(settings.run.route(), settings.run.timeout_s, InterruptHandler(), address)
            edition, environment.sora_notes = detect_by_server(address.server, headers, ask)
            environment.parsed_options.sora_edition = edition  # sent to the workers
            settings = LocustSettings(replace(settings.run, edition=edition))
        environment.sora_settings = settings
    return settings


def address_of_host(environment: Any, settings: LocustSettings) -> ServerAddress:  # Any: as above
    """
    The address of the current host, which may be changed on the page between tests.

    Raises:
        UsageError: The host is not a server's URL, or its name can't be resolved.
    """
    if environment.host is None:
        return settings.address()
    return LocustSettings(replace(settings.run, url=normalize_server_url(environment.host, "--host"))).address()


def check_locust_options(environment: Any) -> None:  # Any: as above
    """
    Refuse invalid options before any user begins.

    Raises:
        UsageError: The host, the edition, the folder for reports or another value is wrong.
    """
    settings = read_locust_settings(environment)
    settings.check()
    if output := getattr(environment.parsed_options, "sora_output", ""):
        files.check_report_folder(Path(output))
    if settings.run.url is not None or environment.web_ui is None:  # otherwise it is entered on the web page
        settings.address()
        environment.host = environment.host or settings.run.url


def selected_interval_s(environment: Any) -> float:  # Any: as above
    """
    The time from a user's request to its next.

    Raises:
        UsageError: The text on the page is not a time.
    """
    given = getattr(environment.parsed_options, "sora_interval", None)
    if given in (None, ""):
        interval_s: float = min(each.interval_s for each in environment.user_classes if hasattr(each, "interval_s"))
    else:
        interval_s = parse_interval(given) if isinstance(given, str) else given
    return interval_s
