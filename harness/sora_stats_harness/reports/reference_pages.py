"""Generates the reference pages docs/FIELDS.md and docs/REQUIREMENTS.md from the code's own data."""

from __future__ import annotations

from typing import Final

from ..api.edition import Edition, FieldDefinition
from ..api.http1_faults import FRAMING_RULES
from ..judge.checks.framing import requirement_of_fault
from ..judge.checks.http import COMPLETE
from ..judge.requirements import REQUIREMENTS, Level, RequiredCapability, Requirement
from .summary import count_with_noun

_GENERATED: Final = "<!-- Generated from the code; change it there, and run `python scripts/generate.py`. -->"

_CAPABILITY_TEXTS: Final = {
    RequiredCapability.EXCHANGES: "HTTP exchanges",
    RequiredCapability.BODIES: "responses' bodies",
    RequiredCapability.BYTES: "as the server wrote them",
    RequiredCapability.ARGUMENTS: "what was asked for",
    RequiredCapability.TIMES: "times of sending and receipt",
    RequiredCapability.PROBES: "requests that are wrong on purpose",
    RequiredCapability.LARGE_PROBE: "a request of more than 8 MB (`--large-request`)",
    RequiredCapability.NODES: "several nodes (`--node`)",
    RequiredCapability.KEPT_ALIVE: "connections that are kept alive",
}

_LEVELS: Final = """\
Each has a level, which says what it rests on:

| level | rests on | a violation |
| --- | --- | --- |
| MUST | the documentation, or a protocol | fails a run |
| PROVEN | behaviour that every correct server must show: relations that other responses confirm, constants, how a number is written, the order of timestamps | fails a run, unless `--fail-on must` |
| HABIT | inference: from the open-source dispatcher, from captures, from how closely clocks agree | is a warning, and fails with `--fail-on habit` |
| INFO | nothing: it is worth knowing | decides nothing |

A finding's level may be lower than its requirement's, never higher. `[severity]` in the [configuration](GATE.md) changes
the level of a requirement."""


def fields_page(edition: Edition) -> str:
    """The edition's table in Markdown, group by group."""
    blocks = [
        f"# Fields of {edition.name}",
        _GENERATED,
        f"{edition.title}. {count_with_noun(len(edition.fields), 'field')}, {len(edition.counters)} of them counters "
        f"that never fall while a connection lives. Source: {edition.source} Names are those of the wire, misspelt ones included; "
        "`#*` stands for any messaging label. `sora-harness fields --json` prints the same for programs.",
    ]
    for group in edition.root.walk_groups():
        if group.fields:
            blocks.append(f"## {'.'.join(group.path) or 'The connection'}")
            blocks += [group.description] if group.description else []
            blocks.append(_fields(group.fields))
    if edition.undocumented:
        blocks.append("## Known though undocumented")
        blocks.append(
            "Seen in responses but missing from the list: reported as `shape.undocumented`; their order is not checked."
        )
        blocks.append(_fields(edition.undocumented))
    return "\n\n".join(blocks) + "\n"


def requirements_page() -> str:
    """The registry of requirements in Markdown, family by family."""
    blocks = [
        "# Requirements",
        _GENERATED,
        f"{count_with_noun(len(REQUIREMENTS), 'rule')} that a server is judged by. {_LEVELS}",
    ]
    families: dict[str, list[Requirement]] = {}
    for rule in REQUIREMENTS.values():
        families.setdefault(rule.family, []).append(rule)
    for family, rules in families.items():
        blocks.append(f"## {family}")
        blocks += [_requirement(rule) for rule in rules]
    blocks += ["## Deviations from HTTP/1.1", _DEVIATIONS, _framing_rules()]
    return "\n\n".join(blocks) + "\n"


_DEVIATIONS: Final = """\
All clients read responses with one reader, which notes these deviations. Each violates one requirement, whatever the
request was; recordings keep them. A deviation that RFC 9112 forbids servers but lets clients tolerate is PROVEN. Single
connections closed without notice are an INFO; a wrong `Content-Encoding` is a MUST if clients would decode it, and a wrong
length together with chunks violates `http.length`."""


def _framing_rules() -> str:
    lines = ["| what a server did | violates | level | clause | code |", "| --- | --- | --- | --- | --- |"]
    for rule in FRAMING_RULES.values():
        requirement, level = requirement_of_fault(rule.code) or (COMPLETE, Level.MUST)
        lines.append(f"| {rule.words} | `{requirement.id}` | {level.name} | {rule.clause} | `{rule.code}` |")
    return "\n".join(lines)


def describe_scope(rule: Requirement) -> str:
    """What a run has to see for a requirement to apply, in words."""
    return ", ".join(words for need, words in _CAPABILITY_TEXTS.items() if need in rule.needs)


def describe_limits(field: FieldDefinition) -> str:
    """
    The limits of a field's value besides its type.

    >>> from ..api.edition import load_edition
    >>> [describe_limits(field) for field in load_edition().fields[:2]]
    ['RFC 3339 in UTC', 'up to 255 bytes']
    """
    parts = []
    if field.form is not None:
        parts.append("RFC 3339 in UTC")
    if field.values is not None:
        parts.append(" or ".join(f"`{value}`" for value in field.values))
    if field.max_bytes is not None:
        parts.append(f"up to {field.max_bytes} bytes")
    if field.minimum is not None and field.maximum is not None:
        parts.append(f"{field.minimum} to {field.maximum}")
    elif field.minimum is not None:
        parts.append(f"at least {field.minimum}")
    elif field.maximum is not None:
        parts.append(f"at most {field.maximum}")
    return ", ".join(parts)


def _fields(fields: tuple[FieldDefinition, ...]) -> str:
    lines = ["| field | type | kind | unit | presence | limits | description |", "| --- " * 7 + "|"]
    for field in fields:
        seen = f" Seen in: {field.seen_in}." if field.seen_in else ""
        cells = (
            f"`{field.dotted}`",
            field.type.value,
            field.kind.value,
            field.unit.value,
            field.presence.value,
            describe_limits(field),
            field.description + seen,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _requirement(rule: Requirement) -> str:
    lines = [
        f"### {rule.id}",
        "",
        f"**{rule.level.name}.** {rule.title}.",
        "",
        f"- Why: {rule.reason}",
        f"- Why {rule.level.name}: {rule.grounds}",
        f"- Source: {rule.source}",
        f"- A run has to see: {describe_scope(rule)}",
    ]
    if rule.needs_traffic:
        lines.append(f"- Needs on the server: {rule.needs_traffic}")
    if rule.masked_by:
        lines.append(f"- Not checked if there is: {rule.masked_by}")
    return "\n".join(lines)
