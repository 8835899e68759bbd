"""`sora-harness config`: the effective settings, and where each comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import options
from .framework import Arguments, Command, flag
from .output import print_table, write_message, write_output

if TYPE_CHECKING:
    from ..api.project_config import LoadedConfig
    from ..probe.run_settings import RunSettings

EXAMPLES: Final = """\
examples:
  sora-harness config                                    of the current folder
  sora-harness config --check                            exit 2 if a command would refuse a setting
  sora-harness config --fail-on habit                    with an option of other commands
  sora-harness config --json
"""

Rows = Mapping[str, tuple[Any, str]]  # Any: JSON


def run(arguments: Arguments) -> int:
    """Show every setting; with `--check` look also at what the settings refer to."""
    from ..api.project_config import ignored_pyproject

    settings = options.read_settings(arguments)
    config = settings.config
    if arguments.check:
        return _check(arguments, settings, config)
    ignored = ignored_pyproject(config)
    rows = _rows(settings, config)
    if arguments.json:
        _print_json(rows, config, ignored)
    else:
        _print_tables(rows, config, ignored)
    return 0


def _check(arguments: Arguments, settings: RunSettings, config: LoadedConfig) -> int:
    """Load whatever the settings refer to, as a command does before it sends anything."""
    from ..api.server_url import EXAMPLE_URL
    from ..reports.baseline import read_baseline

    headers, _ = settings.look_up()
    options.read_slos(settings)
    settings.gate.make_plan([settings.url or EXAMPLE_URL], headers, simulated=settings.url is None)
    if settings.baseline is not None:
        arguments.baseline = read_baseline(Path(settings.baseline))
        options.check_baseline(arguments, subject_kind="simulator" if settings.url is None else None)
    write_message(f"{config.source or 'no configuration'}: every setting can be used\n")
    return 0


def _rows(settings: RunSettings, config: LoadedConfig) -> Rows:
    """Each setting's value and origin, by its key."""
    from ..api.request_headers import mask_header
    from ..api.server_url import SIMULATOR_URL
    from ..probe.run_settings import GATE_SETTINGS, SETTINGS

    shown: dict[str, Any] = {"url": SIMULATOR_URL if settings.names_simulator else settings.url}  # Any: JSON
    for holder, rows in ((settings, SETTINGS), (settings.gate, GATE_SETTINGS)):
        for row in rows:
            value = getattr(holder, row.attribute, None)
            shown[row.key] = list(value) if isinstance(value, tuple) else value
    severity = {id: level.name.lower() for id, level in settings.severity.by_requirement.items()}
    shown |= {"fail_on": settings.severity.fail_on.name.lower(), "severity": severity}
    shown["headers"] = dict(mask_header(line) for line in settings.headers)
    shown["targets"] = sorted(target.operation for target in settings.gate.targets)
    shown["connections"] = [
        f"{each.channel_id}: {each.connection_id or each.client_id}" for each in settings.gate.connections
    ]
    if settings.gate.rate is not None:
        shown["rate"] = f"{settings.gate.rate:g} requests/s"
    for key, share in (("until", settings.gate.until), ("no_worse_than", settings.no_worse_than)):
        if share is not None:
            shown[key] = f"{share * 100:g}%"
    origins = dict(settings.origins)
    source = config.source or ""
    origins["url"] = {"the URL": "command line", f"url in {source}": source}.get(origins["url"], origins["url"])
    if settings.url is None and config.values.headers:
        shown["headers"] = dict(config.values.headers)
        origins["headers"] = f"{source}, not sent without a URL"
    return {key: (shown[key], origins[key]) for key in shown}


def _print_tables(rows: Rows, config: LoadedConfig, ignored: str | None) -> None:
    write_message(f"configuration: {config.source or 'none'}\n")
    if ignored:
        write_message(f"ignored: {ignored}, because {config.source} exists\n")
    write_output("\n")
    print_table(
        [("SETTING", "VALUE", "FROM"), *((key, _value_text(value), origin) for key, (value, origin) in rows.items())]
    )
    if config.values.waivers:
        write_output("\n")
        rows_of_waivers = [("WAIVER", "FIELD", "UNTIL", "BY", "REASON")]
        today = datetime.now(UTC).date()
        for each in config.values.waivers:
            day = each.until.isoformat()
            until = f"{day} (expired)" if each.until < today else day
            rows_of_waivers.append((each.requirement, each.field, until, each.by, each.reason))
        print_table(rows_of_waivers)


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


def _print_json(rows: Rows, config: LoadedConfig, ignored: str | None) -> None:
    import msgspec

    document = {
        "source": config.source,
        "passed_over": ignored,
        "settings": {key: {"value": value, "from": origin} for key, (value, origin) in rows.items()},
        "waivers": msgspec.to_builtins(config.values.waivers),
    }
    write_output(json.dumps(document, indent=2) + "\n")


command: Command = Command(
    "config",
    [
        *options.server_options(),
        *options.rule_options(),
        flag("--json", "print JSON"),
        flag("--check", "print nothing but whether a command could use the settings"),
    ],
    examples=EXAMPLES,
    run=run,
)
