"""`sora-harness config`: what holds, and where it comes from."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from . import command_support as common
from . import configured_options as settings
from .output import format_columns, write_output

if TYPE_CHECKING:
    from ..api.project_config import ConfigValues

HELP: Final = "show what the configuration comes to, and where each part is from"

EXAMPLES: Final = """\
examples:
  sora-harness config                                    of the current folder
  sora-harness config --strict                           with an option of other commands
  sora-harness config --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options that a configuration may hold."""
    common.add_server_options(parser)
    common.add_rule_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """
    Show every setting.

    Raises:
        UsageError: The configuration cannot be read, or the URL is one that a run would refuse.
    """
    from ..api.project_config import ignored_pyproject

    values = arguments.configuration.values
    common.server_url(arguments)
    found = settings.url_and_origin(arguments.url, arguments.configuration)
    url, origin = found or (None, settings.ORIGIN_DEFAULT)
    source = arguments.configuration.source
    passed_over = ignored_pyproject(arguments.configuration)
    rows: dict[str, tuple[Any, str]] = {"url": (url, _url_origin(origin, source))}  # Any: JSON
    rows |= {key: (_effective_value(key, arguments, values), arguments.origins[key]) for key in arguments.origins}
    if url is None and values.headers:
        rows["headers"] = (dict(values.headers), f"{source}, not sent: there is no URL")
    rows["slos"] = (values.slos, source if values.slos and source else settings.ORIGIN_DEFAULT)
    if arguments.json:
        write_output(_render_json(rows, values, source, passed_over))
    else:
        write_output(_render_text(rows, values, source, passed_over))
    return 0


def _url_origin(origin: str, source: str | None) -> str:
    """As the other settings name theirs."""
    return {"the URL": settings.ORIGIN_COMMAND_LINE, f"url in {source}": source or ""}.get(origin, origin)


def _effective_value(key: str, arguments: argparse.Namespace, values: ConfigValues) -> Any:  # Any: JSON
    """A setting's value; of a header only where its value comes from, and nothing where the value itself was given."""
    if key == "headers":
        return dict(_masked_header(line) for line in arguments.header)
    if key == "labels":
        return dict(arguments.label)
    return getattr(arguments, key)


def _masked_header(line: str) -> tuple[str, str]:
    name, separator, value = (part.strip() for part in line.partition(":"))
    if name == "env" or line.startswith("@"):
        return line, "whole lines"
    reference = separator and value.startswith(("env:", "@"))
    return name, value if reference else "(not shown)"


def _render_text(
    rows: dict[str, tuple[Any, str]], values: ConfigValues, source: str | None, passed_over: str | None
) -> str:  # Any: JSON
    table = [
        ("SETTING", "VALUE", "FROM"),
        *((key, _value_text(value), origin) for key, (value, origin) in rows.items()),
    ]
    text = f"configuration: {source or 'none'}\n"
    if passed_over:
        text += f"passed over: {passed_over}, since {source} is there\n"
    text += "\n" + format_columns(table)
    if values.waivers:
        head = ("WAIVER", "FIELD", "UNTIL", "BY", "REASON")
        waivers = [
            (each.requirement, each.field, _expiry_text(each.until.isoformat()), each.by, each.reason)
            for each in values.waivers
        ]
        text += "\n" + format_columns([head, *waivers])
    return text


def _expiry_text(day: str) -> str:
    today = datetime.now(UTC).date().isoformat()
    return f"{day} (expired)" if day < today else day


def _value_text(value: Any) -> str:  # Any: JSON
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {text}" for key, text in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g} s" if isinstance(value, float) else str(value)


def _render_json(
    rows: dict[str, tuple[Any, str]], values: ConfigValues, source: str | None, passed_over: str | None
) -> str:  # Any: JSON
    import msgspec

    document = {
        "source": source,
        "passed_over": passed_over,
        "settings": {key: {"value": value, "from": origin} for key, (value, origin) in rows.items()},
        "waivers": msgspec.to_builtins(values.waivers),
    }
    return json.dumps(document, indent=2) + "\n"
