"""`sora-harness requirements`: lists the rules that a server is checked against."""

from __future__ import annotations

import json
from typing import Final

from .framework import Arguments, Command, flag
from .output import print_table, write_output

EXAMPLES: Final = """\
examples:
  sora-harness requirements
  sora-harness requirements --json
"""


def run(arguments: Arguments) -> int:
    """Print every requirement, grouped by family."""
    from ..judge.requirements import REQUIREMENTS
    from ..reports.reference_pages import describe_scope

    if arguments.json:
        entries = [
            {
                "id": rule.id,
                "level": rule.level.name,
                "title": rule.title,
                "reason": rule.reason,
                "grounds": rule.grounds,
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
    print_table(rows)
    return 0


command: Command = Command(
    "requirements", [flag("--json", "print a JSON array, with reasons and sources")], examples=EXAMPLES, run=run
)
