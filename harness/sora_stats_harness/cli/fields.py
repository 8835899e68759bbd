"""`sora-harness fields`: the field list of an edition, for people and for programs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from .output import columns, emit
from .parser import nearest

if TYPE_CHECKING:
    from ..edition import Edition, Field

HELP: Final = "print the field list of an edition"

EXAMPLES: Final = """\
examples:
  sora-harness fields --group rtp
  sora-harness fields --kind gauge
  sora-harness fields --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    from ..edition import DEFAULT, Kind

    parser.add_argument("--edition", default=DEFAULT, metavar="NAME|FILE", help=f"which list (default: {DEFAULT})")
    parser.add_argument("--group", metavar="GROUP", help="only the fields at and below it, such as rtp or simulcast.r0")
    parser.add_argument("--kind", choices=[kind.value for kind in Kind], help="only the fields of this kind")
    parser.add_argument("--json", action="store_true", help="print a JSON array")


def run(arguments: argparse.Namespace) -> int:
    """
    Print the documented fields in the page's order, and after them those known though undocumented.

    Raises:
        EditionError: There is no such edition.
        UsageError: There is no such group in it.
    """
    from ..edition import load

    edition = load(arguments.edition)
    fields = [*edition.fields, *edition.undocumented]
    if arguments.group is not None:
        fields = _below(edition, fields, arguments.group)
    if arguments.kind is not None:
        fields = [field for field in fields if field.kind.value == arguments.kind]
    if arguments.json:
        emit(json.dumps([as_json(field) for field in fields], indent=2) + "\n")
    else:
        emit(_table(fields))
    return 0


def as_json(field: Field) -> dict[str, str | bool]:
    """One entry of `fields --json`."""
    entry: dict[str, str | bool] = {
        "path": field.dotted,
        "type": field.type.value,
        "kind": field.kind.value,
        "unit": field.unit.value,
        "presence": field.presence.value,
        "description": field.description,
    }
    return entry | ({"undocumented": True} if field.undocumented else {})


def _below(edition: Edition, fields: Iterable[Field], group: str) -> list[Field]:
    path = tuple(group.split("."))
    groups = [".".join(below.path) for below in edition.root.walk() if below.path]
    if group not in groups:
        raise UsageError(f"the edition {edition.name} has no group {group!r}{nearest(group, groups)}")
    return [field for field in fields if field.path[: len(path)] == path]


def _table(fields: list[Field]) -> str:
    rows = [("FIELD", "TYPE", "KIND", "UNIT", "PRESENCE", "DESCRIPTION")]
    for field in fields:
        mark = "(undocumented) " if field.undocumented else ""
        rows.append((
            field.dotted, field.type.value, field.kind.value, field.unit.value, field.presence.value,
            mark + field.description,
        ))  # fmt: skip
    return columns(rows)
