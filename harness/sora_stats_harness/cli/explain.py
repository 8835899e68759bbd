"""`sora-harness explain`: what a requirement means, how a violation looks, and how to waive it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from ..api.errors import UsageError, suggest_nearest
from .framework import Arguments, Command
from .output import format_columns, write_message, write_output

if TYPE_CHECKING:
    from ..judge.requirement import Requirement

EXAMPLES: Final = """\
examples:
  sora-harness explain counter.monotonic
  sora-harness explain cluster.union
"""

WAIVER_DAYS: Final = 30
"""How long the example's waiver lasts."""


def run(arguments: Arguments) -> int:
    """Explain a requirement."""
    from ..judge.requirements import REQUIREMENTS

    rule = REQUIREMENTS.get(arguments.id)
    if rule is None:
        hint = suggest_nearest(arguments.id, REQUIREMENTS) or "; `sora-harness requirements` lists them"
        raise UsageError(f"there is no requirement {arguments.id!r}{hint}")
    write_message(f"{rule.id}  {rule.level.name}\n{rule.title}.\n\n")
    write_output(format_columns(_rows(rule), terminal=sys.stdout.isatty()))
    write_message(f"\n{_waiver_text(rule)}")
    return 0


def _rows(rule: Requirement) -> list[tuple[str, str]]:
    from ..reports.reference_pages import describe_scope

    rows = [
        ("why", rule.reason),
        (f"why {rule.level.name}", rule.grounds),
        ("source", rule.source),
        ("a run has to see", describe_scope(rule)),
    ]
    if rule.needs_traffic:
        rows.append(("on the server", rule.needs_traffic))
    if rule.masked_by:
        rows.append(("not checked with", rule.masked_by))
    return rows + _fault_rows(rule)


def _fault_rows(rule: Requirement) -> list[tuple[str, str]]:
    """How to see a violation: the simulator's fault that violates the fewest other requirements."""
    from ..simulator.faults import FAULT_KINDS

    kinds = [kind for kind in FAULT_KINDS.values() if rule.id in kind.violated_requirements]
    if not kinds:
        return []
    kind = min(kinds, key=lambda kind: len(kind.violated_requirements))
    words = ["sora-harness", "load" if kind.needs_kept_connections else "conform", "--fault", kind.name]
    if kind.nodes > 1:
        words += ["--nodes", str(kind.nodes)]
    if kind.needs_large_request:
        words.append("--large-request")
    if kind.needs_generated_requests:
        words += ["--fuzz", "500"]
    return [("a violation", f"{kind.description} (the simulator's fault {kind.name})"), ("see it", " ".join(words))]


def _waiver_text(rule: Requirement) -> str:
    """What to add to the configuration to accept a violation for a while."""
    until = (datetime.now(UTC) + timedelta(days=WAIVER_DAYS)).date()
    return (
        "To accept it for a while, add to sora-harness.toml:\n\n"
        "  [[waivers]]\n"
        f'  requirement = "{rule.id}"\n'
        '  field = "*"              # or the field of the finding\n'
        '  reason = "why it may stay"\n'
        '  by = "your name"\n'
        f"  until = {until}       # the last day\n"
    )


def _complete_id(context: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from ..judge.requirements import REQUIREMENTS

    return [name for name in REQUIREMENTS if name.startswith(incomplete)]


command: Command = Command(
    "explain",
    [click.Argument(["id"], metavar="ID", help="a requirement, such as http.json", shell_complete=_complete_id)],
    examples=EXAMPLES,
    run=run,
)
