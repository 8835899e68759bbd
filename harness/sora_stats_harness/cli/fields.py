"""`sora-harness fields`: the field list of an edition, for people and for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..api.errors import EditionError, UsageError, suggest_nearest
from .framework import Arguments, Choice, Command, Option, flag, with_value
from .options import DEFAULT_EDITION
from .output import print_table, write_message, write_output, write_result

if TYPE_CHECKING:
    from ..api.edition import Edition, FieldDefinition

EXAMPLES: Final = """\
examples:
  sora-harness fields --group rtp
  sora-harness fields --kind gauge
  sora-harness fields --json
  sora-harness fields diff doc-2024 doc-2025
  sora-harness fields import API_STATS.html --output mine.toml
"""


_FIELD_KINDS: Final = ("counter", "gauge", "configuration", "identity", "time")
"""The values of `FieldKind`, repeated here because `--help` does not load `api.edition`."""


def run(arguments: Arguments) -> int:
    """Print the documented fields in the page's order, then the undocumented ones that servers send."""
    from ..api.edition import load_edition

    if arguments.action[:1] != ("import",) and (arguments.output is not None or arguments.name is not None):
        raise UsageError("--output and --name belong to `fields import PAGE`")
    match arguments.action:
        case ():
            pass
        case ("diff", before, after):
            return _print_differences(before, after, as_json=arguments.json)
        case ("import", page) if arguments.group is None and arguments.kind is None and not arguments.json:
            return _import_page(page, output=arguments.output, name=arguments.name)
        case ("import", _):
            raise UsageError("`fields import PAGE` takes only --output and --name: it writes an edition, in TOML")
        case _:
            raise UsageError("fields takes nothing, `diff A B` with two editions, or `import PAGE`")
    edition = load_edition(arguments.edition)
    fields = [*edition.fields, *edition.undocumented]
    if arguments.group is not None:
        fields = _fields_in_group(edition, fields, arguments.group)
    if arguments.kind is not None:
        fields = [field for field in fields if field.kind.value == arguments.kind]
    if arguments.json:
        write_output(json.dumps([field_to_json(field) for field in fields], indent=2) + "\n")
    else:
        print_table(_table_rows(fields))
    return 0


def _print_differences(before: str, after: str, *, as_json: bool) -> int:
    from ..api.edition import load_edition
    from ..api.edition_diff import field_differences

    changes = field_differences(load_edition(before), load_edition(after))
    if as_json:
        write_output(json.dumps(changes, indent=2) + "\n")
    elif changes:
        rows = [("CHANGE", "FIELD", "WAS", "IS", "KNOWN")]
        rows += [(each["change"], each["path"], each["was"], each["is"], each["standing"]) for each in changes]
        print_table(rows)
    else:
        write_message(f"{before} and {after} have the same fields\n")
    return 0


def _import_page(page: str, *, output: str | None, name: str | None) -> int:
    """Make an edition of a page's field list (`-` for stdin), write it, and print notes about it on stderr."""
    from ..api.edition_import import import_edition
    from ..api.edition_import.outline import MAX_PAGE_BYTES
    from ..api.input_budget import read_small_file
    from ..reports.escaping import escape_terminal

    source, read_as = (sys.stdin.fileno(), "the page from stdin") if page == "-" else (page, f"the page {page}")
    data = read_small_file(source, limit=MAX_PAGE_BYTES, name=read_as, error=EditionError)
    origin = "stdin" if page == "-" else Path(page).name
    name = name or re.sub(r"[^A-Za-z0-9]+", "-", Path(origin).stem).strip("-").lower() or "imported"
    imported = import_edition(data, origin=origin, name=name)
    write_result(imported.text, None if output is None else Path(output))
    counted = len(imported.edition.fields)
    notes = [f"{counted} fields read from {origin}, {len(imported.inferred)} of them not in any known edition"]
    for line in [*notes, *imported.notes]:
        write_message(escape_terminal(line, 500) + "\n", sys.stderr)
    return 0


def field_to_json(field: FieldDefinition) -> dict[str, str | bool]:
    """One entry of `fields --json`; has `standing` and `source` if the edition extends another."""
    from ..api.edition import FieldProvenance

    entry: dict[str, str | bool] = {
        "path": field.dotted,
        "type": field.type.value,
        "kind": field.kind.value,
        "unit": field.unit.value,
        "presence": field.presence.value,
        "description": field.description,
    }
    if field.standing is not FieldProvenance.DOCUMENTED or field.source is not None:
        entry |= {"standing": field.standing.value, "source": field.source or ""}
    return entry | ({"undocumented": True} if field.undocumented else {})


def _fields_in_group(edition: Edition, fields: Iterable[FieldDefinition], group: str) -> list[FieldDefinition]:
    path = tuple(group.split("."))
    groups = [".".join(below.path) for below in edition.root.walk_groups() if below.path]
    if group not in groups:
        raise UsageError(f"the edition {edition.name} has no group {group!r}{suggest_nearest(group, groups)}")
    return [field for field in fields if field.path[: len(path)] == path]


_PROVENANCE_LABELS: Final = {"documented": "", "seen": "(seen) ", "carried-over": "(carried over) "}


def _table_rows(fields: list[FieldDefinition]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("FIELD", "TYPE", "KIND", "UNIT", "PRESENCE", "DESCRIPTION")]
    for field in fields:
        mark = "(undocumented) " if field.undocumented else _PROVENANCE_LABELS[field.standing.value]
        rows.append(
            (
                field.dotted,
                field.type.value,
                field.kind.value,
                field.unit.value,
                field.presence.value,
                mark + field.description,
            )
        )
    return rows


command: Command = Command(
    "fields",
    [
        click.Argument(
            ["action"],
            nargs=-1,
            metavar="[ACTION]",
            help="`diff A B` shows what changed from one edition to another; `import PAGE` makes an edition from a "
            "page of the documentation (HTML, text or Markdown; - for stdin)",
        ),
        with_value("--edition", "NAME|FILE", f"which list (default: {DEFAULT_EDITION})", default=DEFAULT_EDITION),
        with_value("--group", "GROUP", "only the fields in this group, such as rtp or simulcast.r0"),
        Option(["--kind"], type=Choice(_FIELD_KINDS), help="only the fields of this kind"),
        flag("--json", "print a JSON array"),
        with_value("--output", "FILE", "import: where to write the edition (default: stdout)"),
        with_value("--name", "NAME", "import: the name of the edition (default: the page's)"),
    ],
    examples=EXAMPLES,
    run=run,
)
