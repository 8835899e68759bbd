"""
The settings of a run: which server it tests and how it judges, from options, environment and configuration.

The command line, the pytest plugin and the configuration name the same settings. `SETTINGS` has a row for
each, and parses every value; so a mistake is refused in the same words everywhere, before anything is sent. Options win
over the environment, the environment over the configuration, and the configuration over the default. `resolve_settings`
combines them: a server gets the same headers, certificates, time-out and edition wherever it was named, and a simulator
never gets what is meant for a server.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..api.edition import DEFAULT_EDITION, load_edition
from ..api.errors import ConfigError, UsageError, suggest_nearest
from ..api.exchange import Exchange, Headers, Target
from ..api.input_budget import MAX_CERTIFICATES_BYTES, read_small_file
from ..api.option_values import (
    FAIL_ON_LEVELS,
    SEVERITY_LEVELS,
    parse_choice,
    parse_duration,
    parse_integer,
    parse_percent,
)
from ..api.project_config import ConfigValues, LoadedConfig, Waiver, read_config
from ..api.request_headers import mask_header, read_headers
from ..api.secret_redaction import Secrets
from ..api.server_route import Route, parse_proxy
from ..api.server_url import SIMULATOR_URL, NamedUrl, pick_server_url
from ..judge.checks.user_checks import load_check_files
from ..judge.requirements import REQUIREMENTS, Level, Severity
from .conformance_plan import MAX_CONCURRENCY
from .edition_detection import AUTO_EDITION
from .gate_settings import GateSettings, parse_gate_rate, parse_node, parse_target

if TYPE_CHECKING:
    from ..judge.pipeline import Judge
    from .prober import Prober

ORIGIN_OPTION: Final = "command line"
ORIGIN_DEFAULT: Final = "default"

DEFAULT_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSources:
    """Where the settings of a run come from."""

    options: Mapping[str, Any] = field(default_factory=dict)  # Any: a text, a truth value, or several texts
    """The given options, by `_Setting.option` with `_` for `-`; None or empty for one that was not given."""
    option_prefix: str = "--"
    """The prefix of option names in error messages."""
    config_file: Path | None = None
    """The configuration that the user named; None to search for one."""
    folder: Path | None = None
    """The folder to search; the current one if None."""
    asks_server: bool = True
    """Whether there is a server at all: `check` reads files, and a test may have its own simulator."""
    urls: Sequence[NamedUrl] = ()
    """The places that may name a URL besides the configuration, in order of precedence."""

    def with_url(self, url: str, origin: str) -> SettingSources:
        """The same sources with a URL that wins over all others."""
        return replace(self, asks_server=True, urls=((url, origin), *self.urls))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """The settings of one run; all of them are valid."""

    url: str | None
    """The server; None if none was named, or `simulator` was: only then a simulator is used."""
    names_simulator: bool
    """Whether `simulator` was named instead of a URL."""
    edition: str
    severity: Severity
    """The level from which on findings fail, and the levels that the user set."""
    require: tuple[str, ...]
    checks: tuple[str, ...]
    """Files with the user's own checks."""
    headers: tuple[str, ...]
    """Header lines with unresolved references to secrets; for a simulator only those of the command line."""
    ca_file: str | None
    insecure: bool
    client_cert: str | None
    client_key: str | None
    proxy: str | None
    """The proxy as given, which may be a reference to a variable."""
    timeout_s: float
    wait_s: float
    """How long to wait for a server that is starting."""
    tear_s: float | None
    """How far apart the server stamps a response and reads its counters; None if unknown."""
    labels: dict[str, str]
    slos: tuple[str, ...]
    no_worse_than: float | None
    """By which share figures may be worse than those of earlier runs, for `compare`."""
    baseline: str | None
    """A verdict.json that the configuration names."""
    gate: GateSettings
    config: LoadedConfig
    origins: Mapping[str, str]
    """The origin of each setting, by its key."""

    @property
    def waivers(self) -> Sequence[Waiver]:
        """The waivers of the configuration."""
        return self.config.values.waivers

    def new_prober(self) -> Prober:
        """A prober that sends as the settings say."""
        from .prober import Prober

        return Prober(timeout_s=self.timeout_s, route=self.route())

    def new_judge(self, *, observer: Callable[[Exchange], None] | None = None, nodes: Collection[str] = ()) -> Judge:
        """A judge by the edition and with the user's checks; the edition must not be `auto` any more."""
        from ..judge.pipeline import Judge, JudgeOptions

        return Judge(
            load_edition(self.edition),
            observer=observer,
            checks=load_check_files(self.checks),
            options=JudgeOptions(nodes=nodes, tear_s=self.tear_s, severity=self.severity),
        )

    def server_words(self) -> str:
        """The command-line options to reach the server, to be typed again; secrets are left out."""
        words = []
        configured = {name.lower() for name in self.config.values.headers}
        for name, value in map(mask_header, self.headers):
            if name.lower() not in configured:
                shown = "…" if value == "(not shown)" else value
                words += ["--header", name if value == "whole lines" else f"{name}: {shown}"]
        for setting in SETTINGS:
            if setting.key in _ROUTE_KEYS and self.origins[setting.key] == ORIGIN_OPTION:
                value = getattr(self, setting.key)
                if setting.key == "proxy" and "@" in value:
                    value = f"http://…@{value.rpartition('@')[2]}"
                words += [f"--{setting.option}"] if setting.key == "insecure" else [f"--{setting.option}", value]
        return "".join(f" {shlex.quote(word)}" for word in words)

    def look_up(self) -> tuple[Headers, Secrets]:
        """
        Load whatever the settings refer to, before anything is sent: the edition, certificates, values of headers.

        Returns:
            The headers, and which of their values are secret.

        Raises:
            EditionError: There is no such edition.
            UsageError: The certificates or the proxy can't be used; a line is not a header; or a variable or file is
            missing.
        """
        if self.edition != AUTO_EDITION:
            load_edition(self.edition)
        if self.ca_file is not None:
            import ssl  # not imported earlier, since Locust replaces it

            name = f"the certificates in {self.ca_file}"
            read_small_file(self.ca_file, limit=MAX_CERTIFICATES_BYTES, name=name)
            try:
                ssl.create_default_context(cafile=self.ca_file)
            except (OSError, ValueError) as error:
                reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
                raise UsageError(f"{name} cannot be read: {reason}") from None
        route = self.route()
        if route.client_cert is not None:
            route.make_tls_context()
        headers, secrets = read_headers(self.headers)
        return headers, secrets if route.proxy is None else Secrets([*secrets.values, *route.proxy.secrets])

    def route(self) -> Route:
        """
        How the server is reached.

        Raises:
            UsageError: There is a key without its certificate, or the proxy is invalid.
        """
        if self.client_key is not None and self.client_cert is None:
            raise UsageError("--client-key goes with --client-cert")
        return Route(
            ca_file=self.ca_file,
            insecure=self.insecure,
            client_cert=self.client_cert,
            client_key=self.client_key,
            proxy=None if self.proxy is None else parse_proxy(self.proxy),
        )

    def refuse_simulator_options(self, given: Collection[str]) -> None:
        """
        Refuse options of the embedded simulator together with a URL.

        Raises:
            UsageError: There are such options, and a URL.
        """
        if self.url is not None and given:
            option = next(iter(given))
            raise UsageError(f"{option} is for the embedded simulator, and {self.url} was given: leave one of them out")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """One setting: its key in the configuration, its option, and how a text becomes a value."""

    key: str
    option: str
    parse: Callable[[str], Any] = str  # Any: whatever the setting holds
    default: Any = None
    merge: Callable[[Sequence[Any], Sequence[Any]], list[Any]] | None = None
    """Merges the lists of configuration and options; without it, an option replaces the configuration's value."""
    separator: str | None = None
    """Separates several values in one option."""

    @property
    def attribute(self) -> str:
        """Its name in `RunSettings` and `GateSettings`, with the unit of a time."""
        return f"{self.key}_s" if self.parse is parse_duration else self.key


def _parse_label(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise UsageError(f"{text!r} must have the form KEY=VALUE")
    return key, value


def parse_fail_on(text: str) -> Level:
    """
    Read the lowest level that fails a run.

    Raises:
        UsageError: It is not must, proven or habit.
    """
    return Level[parse_choice(text, FAIL_ON_LEVELS).upper()]


def _parse_severity(text: str) -> tuple[str, Level]:
    id, _, level = text.rpartition("=")
    try:
        return id, Level[parse_choice(level, SEVERITY_LEVELS).upper()]
    except UsageError as error:
        raise UsageError(f"{id}: {error}") from None


def _keep_all(configured: Sequence[Any], given: Sequence[Any]) -> list[Any]:  # Any: texts
    """Keep both lists, so that requiring one more doesn't drop others."""
    return [value for value in configured if value not in given]


def _keep_other_names(configured: Sequence[Any], given: Sequence[Any]) -> list[Any]:  # Any: lines, or pairs
    """Replace headers or labels by name, and keep the others."""
    names = {_name_of(value) for value in given}
    return [value for value in configured if _name_of(value) not in names]


def _name_of(value: str | tuple[str, str]) -> str:
    return value.partition(":")[0].strip().lower() if isinstance(value, str) else value[0]


SETTINGS: Final = (
    _Setting(key="edition", option="edition", default=DEFAULT_EDITION),
    _Setting(key="fail_on", option="fail-on", parse=parse_fail_on, default=Level.PROVEN),
    _Setting(key="severity", option="severity", parse=_parse_severity, default=()),
    _Setting(key="require", option="require", default=(), merge=_keep_all),
    _Setting(key="checks", option="checks", default=(), merge=_keep_all),
    _Setting(key="headers", option="header", default=(), merge=_keep_other_names),
    _Setting(key="ca_file", option="ca-file"),
    _Setting(key="insecure", option="insecure", default=False),
    _Setting(key="client_cert", option="client-cert"),
    _Setting(key="client_key", option="client-key"),
    _Setting(key="proxy", option="proxy"),
    _Setting(key="timeout", option="timeout", parse=parse_duration, default=DEFAULT_TIMEOUT_S),
    _Setting(key="wait", option="wait", parse=parse_duration, default=0.0),
    _Setting(key="tear", option="tear", parse=parse_duration),
    _Setting(key="slos", option="slo", default=()),
    _Setting(key="no_worse_than", option="no-worse-than", parse=lambda text: parse_percent(text, 0, 1000)),
    _Setting(key="labels", option="label", parse=_parse_label, default=(), merge=_keep_other_names),
    _Setting(key="baseline", option="baseline"),
)
"""Every setting of all commands except the URL, in the order in which they are shown."""

GATE_SETTINGS: Final = (
    _Setting(key="duration", option="duration", parse=parse_duration, default=10.0),
    _Setting(key="max_duration", option="max-duration", parse=parse_duration),
    _Setting(key="until", option="until", parse=lambda text: parse_percent(text, 0.0001, 50)),
    _Setting(key="rate", option="rate", parse=parse_gate_rate),
    _Setting(
        key="concurrency", option="concurrency", parse=lambda text: parse_integer(text, 1, MAX_CONCURRENCY), default=8
    ),
    _Setting(key="targets", option="targets", parse=parse_target, default=(), separator=","),
    _Setting(key="nodes", option="node", parse=parse_node, default=(), merge=_keep_all),
    _Setting(key="connections", option="given-connections", default=()),
    _Setting(key="valid_only", option="valid-only", default=False),
    _Setting(key="large_request", option="large-request", default=False),
)
"""Settings of the gate only: other commands use options of the same names for something else."""

_ROUTE_KEYS: Final = ("ca_file", "insecure", "client_cert", "client_key", "proxy")

_FOR_SERVERS: Final = ("headers", "ca_file", "client_cert", "client_key", "proxy", "baseline", "nodes", "connections")
"""Settings that don't apply to a simulator."""


def resolve_settings(sources: SettingSources) -> RunSettings:
    """
    Combine options, environment, configuration and defaults.

    The configuration's headers and certificates are for a server. If none was named they are left out, since a
    simulator must not need secrets, which may be missing.

    Raises:
        ConfigError: The configuration can't be read, or a value of it can't be used.
        UsageError: An option's value can't be used. Or the first URL that is set is empty, as an unset CI secret is, or
        not the URL of a server.
    """
    prefix, given = sources.option_prefix, sources.options
    config = read_config(sources.config_file, folder=sources.folder)
    candidates = [*sources.urls, (config.values.url, f"url in {config.source}")] if sources.asks_server else []
    url, origin = pick_server_url(candidates) or (None, ORIGIN_DEFAULT)
    names_simulator = url == SIMULATOR_URL
    has_server = url is not None and not names_simulator
    if config.was_found and not given.get("trust_config"):
        _refuse_untrusted_checks(config, prefix)
        named = {"the URL": origin == f"url in {config.source}", f"{prefix}proxy": bool(config.values.proxy)}
        named[f"{prefix}proxy"] &= not given.get("proxy")
        if has_server and (who := next((name for name, is_named in named.items() if is_named), None)):
            _refuse_untrusted_headers(config, given.get("header") or (), prefix, who)
    values: dict[str, Any] = {}
    origins = {"url": origin}
    is_gate = "valid_only" in given
    for setting in (*SETTINGS, *GATE_SETTINGS):
        is_other = setting.key == "baseline" or (setting in GATE_SETTINGS and not is_gate)
        values[setting.attribute], origins[setting.key] = _resolve(
            setting,
            None if is_other else given.get(setting.option.replace("-", "_")),
            config if has_server or setting.key not in _FOR_SERVERS else LoadedConfig(),
            prefix,
        )
    _refuse_unknown_requirements(values, config, f"{prefix}require")
    severity = Severity(fail_on=values.pop("fail_on"), by_requirement=dict(values.pop("severity")))
    gate = {setting.attribute: values.pop(setting.attribute) for setting in GATE_SETTINGS}
    gate["targets"] = frozenset(gate["targets"] or Target)
    return RunSettings(
        url=url if has_server else None,
        names_simulator=names_simulator,
        severity=severity,
        labels=dict(values.pop("labels")),
        gate=GateSettings(severity=severity, **gate),
        config=config,
        origins=origins,
        **values,
    )


def resolve_setting(key: str, given: Any, config: LoadedConfig) -> tuple[Any, str]:  # Any: whatever the setting holds
    """
    Resolve one setting, for a command without a server.

    Returns:
        The value, and where it comes from.

    Raises:
        ConfigError: The configuration's value can't be used.
        UsageError: The option's value can't be used.
    """
    [setting] = [each for each in SETTINGS if each.key == key]
    return _resolve(setting, given, config, "--")


def _resolve(setting: _Setting, given: Any, config: LoadedConfig, option_prefix: str) -> tuple[Any, str]:
    texts = _config_texts(config.values, setting.key)
    configured = _convert(setting, texts, f"{config.source}: {setting.key}", ConfigError)
    if given in (None, (), []):
        value = _single_or_tuple(setting, configured) if configured else setting.default
        return value, (config.source or "") if configured else ORIGIN_DEFAULT
    texts = [given] if isinstance(given, str | bool) else list(given)
    if setting.separator is not None:
        texts = [part for text in texts for part in text.split(setting.separator)]
    converted = _convert(setting, texts, f"{option_prefix}{setting.option}", UsageError)
    kept = setting.merge(configured, converted) if setting.merge is not None else []
    origin = f"{config.source}, {ORIGIN_OPTION}" if kept else ORIGIN_OPTION
    return _single_or_tuple(setting, [*kept, *converted]), origin


def _refuse_unknown_requirements(values: Mapping[str, Any], config: LoadedConfig, option: str) -> None:  # Any: as above
    """Refuse ids that neither the judge nor the user's own checks have; this runs the files with these checks."""
    known = [*REQUIREMENTS, *(row.id for check in load_check_files(values["checks"]) for row in check.requirements)]
    named = [(f"{config.source}: require", id) for id in config.values.require]
    named += [(f"{config.source}: severity", id) for id in config.values.severity]
    named += [(f"{config.source}: waiver {i}", each.requirement) for i, each in enumerate(config.values.waivers, 1)]
    for where, id in [*named, *((option, id) for id in values["require"])]:
        if id not in known:
            error_type = UsageError if where == option else ConfigError
            raise error_type(f"{where}: there is no requirement {id!r}{suggest_nearest(id, known)}")


def _refuse_untrusted_checks(config: LoadedConfig, option_prefix: str) -> None:
    """Refuse a configuration that names code to run, if the user did not name the configuration itself."""
    if config.values.checks:
        raise ConfigError(
            f"{config.source} names code to run, in checks: name that yourself with {option_prefix}checks, or the "
            f"configuration with {option_prefix}config, or say {option_prefix}trust-config"
        )


def _refuse_untrusted_headers(config: LoadedConfig, given: Sequence[str], option_prefix: str, receiver: str) -> None:
    """
    Refuse a configuration that names both a secret and its receiver, if the user did not name the configuration itself.

    Otherwise anybody who can change a repository, for example with a pull request from a fork, could make a build send
    its secrets anywhere.
    """
    names = {_name_of(line) for line in given}
    untrusted = [name for name in config.values.headers if name.lower() not in names]
    if untrusted:
        raise ConfigError(
            f"{config.source} names who gets a secret as well as the secret, in the header {untrusted[0]}: give "
            f"{receiver} yourself, or say {option_prefix}trust-config if you trust the file"
        )


def _config_texts(values: ConfigValues, key: str) -> list[Any]:  # Any: texts, or a truth value
    """The value of a configuration's key in the form of options; empty if it has none."""
    value = getattr(values, key)
    if key == "headers":
        return [f"{name}: {reference}" for name, reference in value.items()]
    if key in ("labels", "severity"):
        return [f"{name}={text}" for name, text in value.items()]
    if value is None or isinstance(value, list):
        return value or []
    return [f"{value:f}" if isinstance(value, float) else value]


def _convert(setting: _Setting, texts: list[Any], where: str, error_type: type[UsageError]) -> list[Any]:
    try:
        return [setting.parse(text) if isinstance(text, str) else text for text in texts]
    except UsageError as error:
        raise error_type(f"{where}: {error}") from None


def _single_or_tuple(setting: _Setting, values: list[Any]) -> Any:  # Any: whatever the setting holds
    return tuple(values) if setting.default == () else values[0]
