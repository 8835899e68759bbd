"""`sora-harness requirements`: the rules that a server is held against."""

from __future__ import annotations

import argparse
import json
from typing import Final

from .output import format_columns, write_output

HELP: Final = "print the rules that a server is held against"

EXAMPLES: Final = """\
examples:
  sora-harness requirements
  sora-harness requirements --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--json", action="store_true", help="print a JSON array, with reasons and sources")


def run(arguments: argparse.Namespace) -> int:
    """Print every requirement, families together."""
    from ..judge.requirements import REQUIREMENTS
    from ..reports.reference_pages import describe_scope

    if arguments.json:
        entries = [
            {
                "id": rule.id,
                "level": rule.level.name,
                "title": rule.title,
                "reason": rule.reason,
                "source": rule.source,
                "needs": sorted(need.value for need in rule.needs),
                "needs_traffic": rule.needs_traffic,
            }
            for rule in REQUIREMENTS.values()
        ]
        write_output(json.dumps(entries, indent=2) + "\n")
        return 0
    rows = [("REQUIREMENT", "LEVEL", "WHAT IT SAYS", "A RUN HAS TO SEE")]
    rows += [(rule.id, rule.level.name, rule.title, describe_scope(rule)) for rule in REQUIREMENTS.values()]
    write_output(format_columns(rows))
    return 0
