"""
The configuration of a project: `[tool.sora-harness]` in pyproject.toml, or a file sora-harness.toml.

Options win over the environment, and the environment over the file; `probe.run_settings` puts them together. An unknown
key is an error, because a mistyped one would weaken a gate in silence. The file never contains a secret: the values of
headers are references to a variable or to another file.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from . import edition as editions
from .edition_schemas import JSON_SCHEMA_DIALECT
from .errors import ConfigError, UsageError, suggest_nearest
from .input_budget import MAX_CONFIG_BYTES, parse_toml, read_small_text
from .option_values import FAIL_ON_LEVELS, SEVERITY_LEVELS
from .server_url import normalize_server_url

CONFIG_FILE: Final = "sora-harness.toml"
"""Looked for first; if it exists, pyproject.toml is ignored."""
PYPROJECT: Final = "pyproject.toml"
PYPROJECT_TABLE: Final = "tool.sora-harness"

_HEADER_NAME: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
_VALUE_REFERENCE: Final = r"^(env:[A-Za-z_][A-Za-z0-9_]*|@.+)$"


def _described(text: str, **more: Any) -> msgspec.Meta:  # Any: msgspec's own constraints
    return msgspec.Meta(description=text, **more)


_Text = Annotated[str, msgspec.Meta(pattern=r"\S")]
_Duration = (
    Annotated[float, msgspec.Meta(gt=0)] | Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)?(us|ms|[smh])?$")]
)


class Waiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A known deviation that somebody decided to accept for a while; every key is required."""

    requirement: Annotated[str, _described("The id of a requirement, such as shape.unknown")]
    field: Annotated[
        str,
        _described(
            "Where: a pattern over the finding's field, such as /rtp/total_* (* any characters, ? one, [ab] one of "
            "these; empty for findings about a complete response)"
        ),
    ]
    reason: Annotated[_Text, _described("Why the deviation may stay")]
    by: Annotated[_Text, _described("Who decided")]
    until: Annotated[date, _described("The last day on which it holds, in UTC")]


class GivenConnection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A connection or a client to request."""

    channel_id: _Text
    connection_id: _Text | None = None
    client_id: _Text | None = None


class ConfigValues(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The values of a configuration; None or empty for a key that it doesn't have."""

    url: Annotated[str | None, _described("The server, where neither the command line nor SORA_URL names one")] = None
    edition: Annotated[
        str | None, _described("The field list to judge by: a name, or a .toml file relative to this one")
    ] = None
    fail_on: Annotated[
        str | None,
        _described("The lowest level of a finding that fails", extra_json_schema={"enum": [*FAIL_ON_LEVELS]}),
    ] = None
    severity: Annotated[
        dict[str, Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*SEVERITY_LEVELS]})]],
        _described("The level of a requirement's findings, by its id, instead of the one that it has"),
    ] = {}
    require: Annotated[list[str], _described("Requirements that must have been observed")] = []
    checks: Annotated[list[_Text], _described("Python files with checks of your own; relative to this one")] = []
    headers: Annotated[
        dict[
            Annotated[str, msgspec.Meta(pattern=_HEADER_NAME)], Annotated[str, msgspec.Meta(pattern=_VALUE_REFERENCE)]
        ],
        _described("Sent to the server; each value is a reference: env:VARIABLE, or @FILE relative to this one"),
    ] = {}
    ca_file: Annotated[str | None, _described("Trust the certificates in this file alone; relative to this one")] = None
    insecure: Annotated[bool | None, _described("Accept any certificate")] = None
    timeout: Annotated[_Duration | None, _described("For a whole exchange: seconds, or a text such as 500ms")] = None
    tear: Annotated[
        _Duration | None, _described("How far apart the server stamps a response and reads its counters")
    ] = None
    client_cert: Annotated[
        str | None,
        _described("Present the certificate in this PEM file, which may contain its key as well; relative to this one"),
    ] = None
    client_key: Annotated[str | None, _described("The key of client_cert, as PEM; relative to this one")] = None
    proxy: Annotated[
        str | None, _described("Send everything through this proxy: http://HOST:PORT, or env:VARIABLE with credentials")
    ] = None
    wait: Annotated[_Duration | None, _described("How long to wait for a server that is starting")] = None
    duration: Annotated[_Duration | None, _described("How long the gate probes at least")] = None
    max_duration: Annotated[_Duration | None, _described("How long the gate probes at most")] = None
    until: Annotated[
        str | None, _described("Probe until each MUST has excluded a fault in more than this share, with 95 %: 0.1%")
    ] = None
    rate: Annotated[
        Annotated[float, msgspec.Meta(gt=0, le=1000)] | None,
        _described("Requests a second that the gate sends at most"),
    ] = None
    concurrency: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=32)] | None, _described("Requests of the gate that may overlap")
    ] = None
    targets: Annotated[list[str], _described("The operations that the gate requests; all three if none is named")] = []
    nodes: Annotated[list[str], _described("URLs of the other nodes of the server's cluster")] = []
    connections: Annotated[
        list[GivenConnection], _described("What the gate requests instead of the connections in a listing")
    ] = []
    valid_only: Annotated[bool | None, _described("Whether the gate sends no request that is wrong on purpose")] = None
    large_request: Annotated[
        bool | None, _described("Whether the gate sends a wrong request of more than 8 MB as well")
    ] = None
    baseline: Annotated[
        str | None, _described("An earlier verdict.json, whose findings are known; relative to this one")
    ] = None
    slos: Annotated[list[str], _described("What the server has to keep under load, as --slo takes it")] = []
    no_worse_than: Annotated[
        str | None, _described("By how much a figure may at most be worse, as compare --no-worse-than takes it")
    ] = None
    labels: Annotated[dict[str, str], _described("Put into every report")] = {}
    waivers: Annotated[list[Waiver], _described("Deviations that may stay for a while")] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """The values of the configuration, and the file that they come from."""

    source: str | None = None
    """The file, as a person would name it; None if there is no configuration."""
    values: ConfigValues = field(default_factory=ConfigValues)
    was_found: bool = False
    """Whether the file was found in a folder; False if the user named it."""


def read_config(file: Path | None = None, *, folder: Path | None = None) -> LoadedConfig:
    """
    Read the configuration: sora-harness.toml of the folder, else `[tool.sora-harness]` of its pyproject.toml.

    Args:
        file: Read this file instead. If it is called pyproject.toml the table is read, else the keys at the top level.
        folder: Where to look; the current one if None. Parent folders are not searched.

    Returns:
        The values, with files (edition, ca_file, checks, `@FILE`) as paths from the current folder; all empty if there
        is no configuration. `probe.run_settings`, which knows the user's own checks, validates requirement ids.

    Raises:
        ConfigError: A file is missing or not TOML, or has an unknown key or an invalid value.
    """
    if file is not None:
        table = _read_table(file)
        if table is None:
            raise ConfigError(f"{file} has no table [{PYPROJECT_TABLE}]")
        return _validate_config(table, file)
    found = find_config(folder)
    if found is None:
        return LoadedConfig()
    return replace(_validate_config(_read_table(found) or {}, found), was_found=True)


def find_config(folder: Path | None = None) -> Path | None:
    """
    Find the configuration file of a folder, the current one if None; None if there is no such file.

    Raises:
        ConfigError: A file is not TOML.
    """
    for name in (CONFIG_FILE, PYPROJECT):
        path = (folder or Path()) / name
        if os.path.lexists(path) and _read_table(path) is not None:
            return path
    return None


def ignored_pyproject(configuration: LoadedConfig, folder: Path | None = None) -> str | None:
    """The folder's pyproject.toml if it has the table but another file takes precedence; else None."""
    path = (folder or Path()) / PYPROJECT
    if configuration.source in (None, str(path)) or not path.exists():
        return None
    return str(path) if _read_table(path) is not None else None


def config_schema(requirement_ids: Collection[str]) -> dict[str, Any]:  # Any: JSON
    """The JSON Schema (draft 2020-12) of sora-harness.toml, for editors; it lists all requirement ids."""
    _, components = msgspec.json.schema_components((ConfigValues,), ref_template="#/$defs/{name}")
    top = components.pop("ConfigValues")
    for definition in (top, *components.values()):
        definition["properties"] = {name: _without_null(value) for name, value in definition["properties"].items()}
    known = {"enum": list(requirement_ids)}
    rules = {
        "require": {"type": "array", "items": known},
        "waivers": {"type": "array", "items": {"type": "object", "properties": {"requirement": known}}},
        "severity": {"type": "object", "propertyNames": known},
    }
    # Ajv refuses a format unless a package of formats is loaded
    del components["Waiver"]["properties"]["until"]["format"]
    components["Waiver"]["properties"]["until"]["pattern"] = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
    # the user's own checks have requirements that the schema can't know
    top |= {"if": {"not": {"required": ["checks"]}}, "then": {"properties": rules}}
    head = {
        "$schema": JSON_SCHEMA_DIALECT,
        "$id": "urn:sora-stats-harness:config",
        "title": "Configuration of sora-harness",
        "description": f"The keys of {CONFIG_FILE}, and of [{PYPROJECT_TABLE}] in {PYPROJECT}.",
    }
    return head | {key: value for key, value in top.items() if key not in head} | {"$defs": components}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove null from a schema: TOML has none, and leaves out what is optional."""
    schema = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    choices: list[dict[str, Any]] = [choice for choice in schema.pop("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        return choices[0] | schema
    return schema | {"anyOf": choices} if choices else schema


def _read_table(path: Path) -> dict[str, Any] | None:  # Any: TOML
    """The keys of a file; None for a pyproject.toml without our table."""
    text = read_small_text(path, limit=MAX_CONFIG_BYTES, name=f"the configuration {path}", error=ConfigError)
    try:
        document = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_error(path, text, str(error))) from None
    if path.name != PYPROJECT:
        return document
    tool = document.get("tool", {})
    own = PYPROJECT_TABLE.removeprefix("tool.")
    for other in tool if isinstance(tool, dict) else ():
        # a mistyped table would weaken a gate in silence, as a mistyped key would
        if other != own and re.sub("[-_. ]", "", other.lower()) in ("soraharness", "sorastatsharness"):
            raise ConfigError(f"{path}: unknown table [tool.{other}] (did you mean [{PYPROJECT_TABLE}]?)")
    table: dict[str, Any] | None = tool.get(own) if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{path}: {PYPROJECT_TABLE} is not a table")
    return table


def _syntax_error(path: Path, text: str, message: str) -> str:
    at = re.search(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$", message)
    line = at[1] if at and at[1] else str(len(text.splitlines()) or 1)
    return f"{path} is not TOML: line {line}: {message[: at.start()] if at else message}"


def _validate_config(table: dict[str, Any], path: Path) -> LoadedConfig:  # Any: TOML
    _refuse_unknown(table, ConfigValues, path, "")
    waivers = table.get("waivers")
    if isinstance(waivers, list):
        for place, waiver in enumerate(waivers, start=1):
            if isinstance(waiver, dict):
                _refuse_unknown(waiver, Waiver, path, f"waiver {place}: ")
    proxy = table.get("proxy")
    if isinstance(proxy, str) and "@" in proxy:
        raise ConfigError(f"{path}: proxy has credentials in the file: name a variable that holds the URL (env:NAME)")
    headers = table.get("headers")
    for name, value in headers.items() if isinstance(headers, dict) else ():
        # msgspec's message would repeat the value, which may be a secret
        if isinstance(value, str) and not re.fullmatch(_VALUE_REFERENCE, value):
            raise ConfigError(
                f"{path}: headers: {name} has its value in the file: name a variable (env:NAME) or a file (@FILE)"
            )
    try:
        values = msgspec.convert(table, ConfigValues)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_explain_error(str(error))}") from None
    try:
        if values.url is not None:
            normalize_server_url(values.url, f"url in {path}")
    except UsageError as error:
        raise ConfigError(str(error)) from None
    return LoadedConfig(source=str(path), values=_resolve_paths(values, path.parent))


def _refuse_unknown(table: Iterable[str], struct: type[msgspec.Struct], path: Path, where: str) -> None:
    known = struct.__struct_fields__
    for key in table:
        if key not in known:
            raise ConfigError(f"{path}: {where}unknown key {key!r}{suggest_nearest(key, known)}")


_TYPE_HINTS: Final = {
    **dict.fromkeys(
        ("timeout", "tear", "wait", "duration", "max_duration"),
        "it must be a time: seconds, or a number with us, ms, s, m or h",
    ),
    "headers": "it must be the name of a header",
}
"""The messages for texts that don't match their key's pattern; for any other key such a text is blank."""


def _explain_error(message: str) -> str:
    """Reword msgspec's message with the place first: `Expected `str`, got `int` - at `$.waivers[0].by``."""
    text, _, place = message.partition(" - at `")
    key = re.sub(r"^(key` in `)?\$\.?|\[\.\.\.\]|`$", "", place)
    if "matching regex" in text:
        text = _TYPE_HINTS.get(key, "it is blank")
    if key == "severity" and "got `object`" in text:  # what TOML reads an id without quotation marks as
        text = 'an id needs quotation marks, as in "family.name" = "info"'
    key = re.sub(r"^waivers\[([0-9]+)\]\.?", lambda found: f"waiver {int(found[1]) + 1}: ", key)
    return f"{key.removesuffix(': ')}: {text}" if key else text


def _resolve_paths(values: ConfigValues, folder: Path) -> ConfigValues:
    """Resolve files relative to the configuration's folder, so that `--config ../gate.toml` means the same anywhere."""
    edition = values.edition
    return msgspec.structs.replace(
        values,
        edition=edition
        if edition is None or edition in ("auto", *editions.shipped_edition_names())
        else str(folder / edition),
        **{
            key: str(folder / file)
            for key in ("ca_file", "client_cert", "client_key", "baseline")
            if (file := getattr(values, key)) is not None
        },
        checks=[str(folder / file) for file in values.checks],
        headers={
            name: f"@{folder / value[1:]}" if value.startswith("@") else value for name, value in values.headers.items()
        },
    )
