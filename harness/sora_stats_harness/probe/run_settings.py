"""
The settings of a run: which server it asks and how it judges, read from options, environment and configuration.

The command line, the pytest plugin and the configuration name the same settings. `SETTINGS` has a row for each, and every
value goes through it; so a mistake is refused in the same words everywhere, before anything is sent.
Options win over the environment, the environment over the configuration, and the configuration over the default.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..api.edition import DEFAULT_EDITION, load_edition
from ..api.errors import ConfigError, UsageError, suggest_nearest
from ..api.input_budget import MAX_CERTIFICATES_BYTES, read_small_file
from ..api.option_values import FAIL_ON_LEVELS, SEVERITY_LEVELS, parse_choice, parse_duration, parse_percent
from ..api.project_config import ConfigValues, LoadedConfig, Waiver
from ..api.request_headers import read_headers
from ..api.server_url import SIMULATOR_URL, normalize_server_url
from ..judge.checks.user_checks import load_check_files
from ..judge.requirements import REQUIREMENTS, Level, Severity
from .edition_detection import AUTO_EDITION

if TYPE_CHECKING:
    from ..api.exchange import Headers
    from ..api.secret_redaction import Secrets

ORIGIN_OPTION: Final = "command line"
ORIGIN_DEFAULT: Final = "default"

DEFAULT_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUrl:
    """The URL that was found, and where."""

    url: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """The settings of one run; all of them are valid."""

    url: str | None
    """The server; None where none was named: only then may a simulator stand in."""
    edition: str
    severity: Severity
    """From which level on a finding fails, and what each requirement weighs."""
    require: tuple[str, ...]
    checks: tuple[str, ...]
    """Files with checks of the user's own."""
    headers: tuple[str, ...]
    """Header lines, still with their references to secrets; for a simulator only those of the command line."""
    ca_file: str | None
    insecure: bool
    timeout_s: float
    tear_s: float | None
    """How far apart the server stamps a response and reads its counters; None where nobody says."""
    labels: dict[str, str]
    slos: tuple[str, ...]
    no_worse_than: float | None
    """By what share of the earlier runs' figures those of new ones may be worse, for `compare`."""
    waivers: Sequence[Waiver]
    origins: Mapping[str, str]
    """Where each setting comes from, by its key."""

    def look_up(self) -> tuple[Headers, Secrets]:
        """
        Look up what the settings refer to, before anything is sent: the edition, the certificates, the headers' values.

        Returns:
            The headers, and which of their values are secret.

        Raises:
            EditionError: There is no such edition.
            UsageError: The certificates can't be read; a line is no header; or a variable or file is missing.
        """
        if self.edition != AUTO_EDITION:
            load_edition(self.edition)
        if self.ca_file is not None:
            import ssl  # not earlier: Locust replaces it

            name = f"the certificates in {self.ca_file}"
            read_small_file(self.ca_file, limit=MAX_CERTIFICATES_BYTES, name=name)
            try:
                ssl.create_default_context(cafile=self.ca_file)
            except (OSError, ValueError) as error:
                reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
                raise UsageError(f"{name} cannot be read: {reason}") from None
        return read_headers(self.headers)

    def refuse_simulator_options(self, given: Collection[str]) -> None:
        """
        Refuse options of the embedded simulator beside a URL.

        Raises:
            UsageError: There are some, and a URL.
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
    """What stays of the configuration's list beside the options' one; an option replaces anything else."""


def _parse_label(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise UsageError(f"{text!r} must have the form KEY=VALUE")
    return key, value


def parse_fail_on(text: str) -> Level:
    """
    Read the lowest level that fails a run.

    Raises:
        UsageError: It is none of must, proven and habit.
    """
    return Level[parse_choice(text, FAIL_ON_LEVELS).upper()]


def _parse_severity(text: str) -> tuple[str, Level]:
    id, _, level = text.rpartition("=")
    try:
        return id, Level[parse_choice(level, SEVERITY_LEVELS).upper()]
    except UsageError as error:
        raise UsageError(f"{id}: {error}") from None


def _keep_all(configured: Sequence[Any], given: Sequence[Any]) -> list[Any]:  # Any: texts
    """To require one more must not mean to require fewer."""
    return [value for value in configured if value not in given]


def _keep_other_names(configured: Sequence[Any], given: Sequence[Any]) -> list[Any]:  # Any: lines, or pairs
    """Headers and labels are replaced name by name."""
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
    _Setting(key="timeout", option="timeout", parse=parse_duration, default=DEFAULT_TIMEOUT_S),
    _Setting(key="tear", option="tear", parse=parse_duration),
    _Setting(key="slos", option="slo", default=()),
    _Setting(key="no_worse_than", option="no-worse-than", parse=lambda text: parse_percent(text, 0, 1000)),
    _Setting(key="labels", option="label", parse=_parse_label, default=(), merge=_keep_other_names),
)
"""Every setting but the URL, in the order in which they are shown."""


def find_server_url(*candidates: tuple[str | None, str], allow_simulator: bool = False) -> ServerUrl | None:
    """
    Take the first URL that is set.

    Args:
        candidates: URLs, and what to call where each comes from; the winning one first.
        allow_simulator: Whether `simulator` is one.

    Raises:
        UsageError: It is set but empty, as an unset CI secret is, or it is no URL of a server.
    """
    for url, origin in candidates:
        if url is not None:
            if not (allow_simulator and url == SIMULATOR_URL):
                url = normalize_server_url(url, origin)
            return ServerUrl(url=url, origin=origin)
    return None


def resolve_settings(
    given: Mapping[str, Any],  # Any: a text, a truth value, or several texts
    config: LoadedConfig,
    url: ServerUrl | None,
    *,
    option_prefix: str = "--",
) -> RunSettings:
    """
    Put options, configuration and defaults together.

    Args:
        given: The options that were given, by `_Setting.option` with `_` for `-`; None or empty where not given.
        url: As `find_server_url` gives it, with `url in FILE` as origin where the configuration has it. Without one the configuration's headers are left out: they are for a server,
            and a simulator needs no secret that may not be there.
        option_prefix: What stands before an option's name in error messages.

    Raises:
        ConfigError: A value of the configuration can't be used.
        UsageError: An option's value can't be used.
    """
    has_server = url is not None and url.url != SIMULATOR_URL
    if config.was_found and not given.get("trust_config"):
        _refuse_untrusted_checks(config, option_prefix)
        if url is not None and url.origin == f"url in {config.source}":
            _refuse_untrusted_headers(config, given.get("header") or (), option_prefix)
    values, origins = {}, {"url": ORIGIN_DEFAULT if url is None else url.origin}
    for setting in SETTINGS:
        is_for_server = setting.key in ("headers", "ca_file")
        values[setting.key], origins[setting.key] = _resolve(
            setting,
            given.get(setting.option.replace("-", "_")),
            config if has_server or not is_for_server else LoadedConfig(),
            option_prefix,
        )
    _refuse_unknown_requirements(values, config, f"{option_prefix}require")
    return RunSettings(
        url=None if url is None else url.url,
        edition=values["edition"],
        severity=Severity(fail_on=values["fail_on"], by_requirement=dict(values["severity"])),
        require=tuple(values["require"]),
        checks=tuple(values["checks"]),
        headers=tuple(values["headers"]),
        ca_file=values["ca_file"],
        insecure=values["insecure"],
        timeout_s=values["timeout"],
        tear_s=values["tear"],
        labels=dict(values["labels"]),
        slos=tuple(values["slos"]),
        no_worse_than=values["no_worse_than"],
        waivers=config.values.waivers,
        origins=origins,
    )


def resolve_setting(key: str, given: Any, config: LoadedConfig) -> tuple[Any, str]:  # Any: whatever the setting holds
    """
    Put one setting together, for a command that asks no server.

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
    if given is None or given == ():
        value = _single_or_tuple(setting, configured) if configured else setting.default
        return value, (config.source or "") if configured else ORIGIN_DEFAULT
    texts = [given] if isinstance(given, str | bool) else list(given)
    converted = _convert(setting, texts, f"{option_prefix}{setting.option}", UsageError)
    kept = setting.merge(configured, converted) if setting.merge is not None else []
    origin = f"{config.source}, {ORIGIN_OPTION}" if kept else ORIGIN_OPTION
    return _single_or_tuple(setting, [*kept, *converted]), origin


def _refuse_unknown_requirements(values: Mapping[str, Any], config: LoadedConfig, option: str) -> None:  # Any: as above
    """Refuse ids that neither the judge nor a check of the user's own has; runs the files with these checks."""
    known = [*REQUIREMENTS, *(row.id for check in load_check_files(values["checks"]) for row in check.requirements)]
    named = [(f"{config.source}: require", id) for id in config.values.require]
    named += [(f"{config.source}: severity", id) for id in config.values.severity]
    named += [(f"{config.source}: waiver {i}", each.requirement) for i, each in enumerate(config.values.waivers, 1)]
    for where, id in [*named, *((option, id) for id in values["require"])]:
        if id not in known:
            error_type = UsageError if where == option else ConfigError
            raise error_type(f"{where}: there is no requirement {id!r}{suggest_nearest(id, known)}")


def _refuse_untrusted_checks(config: LoadedConfig, option_prefix: str) -> None:
    """Refuse a file that names code, and that nobody has named."""
    if config.values.checks:
        raise ConfigError(
            f"{config.source} names code to be run, in checks: name it yourself by {option_prefix}checks, or the file by "
            f"{option_prefix}config, or say {option_prefix}trust-config"
        )


def _refuse_untrusted_headers(config: LoadedConfig, given: Sequence[str], option_prefix: str) -> None:
    """
    Refuse a file that names both a secret and the server that gets it, and that nobody has named.

    Whoever can change a repository, by a fork's pull request for example, could have a build send its secrets anywhere.
    """
    names = {_name_of(line) for line in given}
    untrusted = [name for name in config.values.headers if name.lower() not in names]
    if untrusted:
        raise ConfigError(
            f"{config.source} names the server as well as a secret for it, in the header {untrusted[0]}: give the URL "
            f"yourself, or say {option_prefix}trust-config if you trust the file"
        )


def _config_texts(values: ConfigValues, key: str) -> list[Any]:  # Any: texts, or a truth value
    """What a configuration says, as options would say it; empty where it says nothing."""
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
