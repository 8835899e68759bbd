"""
What holds: the command line, else the environment, else the configuration, else the default; and where it comes from.

A command that takes options which a configuration may hold gets them filled in while its line is parsed, so it need not
know of configurations at all.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..api.errors import ConfigError, UsageError
from .argument_parser import CommandArgumentParser

if TYPE_CHECKING:
    from ..api.project_config import ConfigValues, LoadedConfig

URL_VARIABLE: Final = "SORA_URL"

ORIGIN_COMMAND_LINE: Final = "command line"
ORIGIN_DEFAULT: Final = "default"

_OPTION_BY_CONFIG_KEY: Final = {
    "edition": "edition",
    "strict": "strict",
    "require": "require",
    "headers": "header",
    "ca_file": "ca_file",
    "insecure": "insecure",
    "timeout": "timeout",
    "slos": "slo",
    "labels": "label",
}
"""Each key of a configuration that is an option, and the option's name inside."""

_MERGED_BY_NAME: Final = {"headers", "labels"}
"""The command line wins name by name."""

_MERGED_BY_UNION: Final = {"require"}
"""The command line adds: asking for one more must not mean to ask for fewer. Any other list it replaces."""


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Add --config, and have the configuration fill in what the command line leaves open."""
    assert isinstance(parser, CommandArgumentParser)
    if parser.fill_defaults is not None:
        return
    parser.add_argument(
        "--config",
        type=_parse_config_path,
        metavar="FILE",
        help="the configuration (default: sora-harness.toml, else [tool.sora-harness] in pyproject.toml, of the current "
        "folder)",
    )
    parser.fill_defaults = _fill_from_configuration
    parser.fillable_options = tuple(_OPTION_BY_CONFIG_KEY.values())


def _parse_config_path(text: str) -> Path:
    if not text:
        raise UsageError("--config is empty: name a file")
    return Path(text)


def _fill_from_configuration(
    parsed: argparse.Namespace, defaults: Mapping[str, Any], actions: Mapping[str, argparse.Action]
) -> None:  # Any: whatever an option holds
    from ..api.project_config import read_config

    configuration = read_config(parsed.config)
    values, source = configuration.values, configuration.source or ""
    has_url = hasattr(parsed, "url") and url_and_origin(parsed.url, configuration) is not None
    parsed.configuration = configuration
    parsed.waivers = values.waivers
    parsed.origins = {}
    for key, name in _OPTION_BY_CONFIG_KEY.items():
        if name not in actions:
            continue
        given = getattr(parsed, name)
        # Headers are for a server, and the simulator needs no secret that may not be there.
        texts = _option_texts(values, key) if key != "headers" or has_url else []
        configured = _convert_texts(texts, actions[name], f"{source}: {key}")
        if given is None:
            single = not isinstance(getattr(values, key), list | dict)
            found = configured[0] if single and configured else configured
            setattr(parsed, name, found if configured else defaults[name])
            parsed.origins[key] = source if configured else ORIGIN_DEFAULT
        elif kept := _kept_from_configuration(key, configured, given):
            setattr(parsed, name, [*kept, *(value for value in given if value not in kept)])
            parsed.origins[key] = f"{source}, {ORIGIN_COMMAND_LINE}"
        else:
            parsed.origins[key] = ORIGIN_COMMAND_LINE


def _kept_from_configuration(
    key: str, configured: list[Any], given: list[Any]
) -> list[Any]:  # Any: texts, or pairs of them
    """What stays of a configuration's list beside what the command line gives."""
    if key in _MERGED_BY_UNION:
        return configured
    if key in _MERGED_BY_NAME:
        names = {_header_or_label_name(value) for value in given}
        return [value for value in configured if _header_or_label_name(value) not in names]
    return []


def _option_texts(values: ConfigValues, key: str) -> list[Any]:  # Any: texts, or a truth value
    """What a configuration says, as a command line would say it; empty where it says nothing."""
    value = getattr(values, key)
    if key == "headers":
        return [f"{name}: {reference}" for name, reference in value.items()]
    if key == "labels":
        return [f"{name}={text}" for name, text in value.items()]
    if isinstance(value, list):
        return value
    if value is None:
        return []
    return [f"{value:f}" if isinstance(value, float) else value]


def _convert_texts(
    texts: list[Any], action: argparse.Action, where: str
) -> list[Any]:  # Any: whatever the option holds
    convert = action.type
    if not callable(convert):
        return texts
    try:
        return [convert(text) if isinstance(text, str) else text for text in texts]
    except (argparse.ArgumentTypeError, UsageError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _header_or_label_name(value: str | tuple[str, str]) -> str:
    """Of a header, in any case, or of a label."""
    return value.partition(":")[0].strip().lower() if isinstance(value, str) else value[0]


def url_and_origin(argument: str | None, configuration: LoadedConfig) -> tuple[str, str] | None:
    """
    Find the server's URL, unchecked: the argument, else SORA_URL, else the configuration.

    Returns:
        The URL and what to call its origin; None where there is none.
    """
    if argument is not None:
        return argument, "the URL"
    if (url := os.environ.get(URL_VARIABLE)) is not None:
        return url, URL_VARIABLE
    if (url := configuration.values.url) is not None:
        return url, f"url in {configuration.source}"
    return None
