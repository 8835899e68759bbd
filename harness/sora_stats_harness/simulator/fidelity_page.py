"""
How true the simulator is to a real server: docs/FIDELITY.md, from data.

Whoever develops against the simulator has to know which of its habits a real server is bound to. So each behaviour is
named with how it is known: documented on the API's page, measured on the open-source dispatcher whose headers and
error shape the API shares (that Sora uses it is an inference), measured on public responses, or assumed. What concerns
the world's numbers stands beside the world, in `fidelity_world`.
"""

from __future__ import annotations

from typing import Final

from .fidelity_world_facts import SOURCE_EXAMPLE, SOURCE_OWN_CHOICE, FactStatus, FidelityFact
from .fidelity_world_facts import WORLD_FACTS as WORLD

SOURCE_DISPATCHER: Final = "the dispatcher"
SOURCE_REQUEST_DOCS: Final = "documentation page, requests of the three targets"
SOURCE_PUBLIC_CLIENTS: Final = "public clients of the API; the page can be read either way"

API_FACTS: Final = (
    FidelityFact(
        "`POST /`, the operation in the header `x-sora-target`, arguments and response as JSON",
        "documented",
        SOURCE_REQUEST_DOCS,
    ),
    FidelityFact(
        "The three targets, their service dates, arguments and which of them response with an array",
        "documented",
        SOURCE_REQUEST_DOCS,
    ),
    FidelityFact("`local` is true unless given", "documented", SOURCE_REQUEST_DOCS),
    FidelityFact(
        "`local: true` is the node asked alone, `local: false` every node of the cluster",
        "measured",
        SOURCE_PUBLIC_CLIENTS,
    ),
    FidelityFact(
        "GetStatsConnection and GetStatsClient find only connections of the node asked", "assumed", SOURCE_OWN_CHOICE
    ),
    FidelityFact(
        "A response with a body bears `content-type: application/json` and a true `content-length`",
        "measured",
        SOURCE_DISPATCHER,
    ),
    FidelityFact("An empty response bears `content-length: 0`", "measured", SOURCE_DISPATCHER),
    FidelityFact(
        "Every response bears `Server: sora-harness-simulator/…`, so that nobody takes it for a Sora",
        "assumed",
        "our choice; no real server does",
    ),
    FidelityFact(
        "`Access-Control-*` headers with every response, where an origin is configured", "documented", SOURCE_EXAMPLE
    ),
    FidelityFact("An origin is configured unless told otherwise, and it is `*`", "assumed", SOURCE_OWN_CHOICE),
    FidelityFact("OPTIONS responds 200 without a body, where an origin is configured", "measured", SOURCE_DISPATCHER),
    FidelityFact(
        "A path other than `/` is 404 without a body; a query string is ignored", "measured", SOURCE_DISPATCHER
    ),
    FidelityFact(
        "A method other than POST is 400, `UnexpectedMethod` under the key `type`", "measured", SOURCE_DISPATCHER
    ),
    FidelityFact("No target header is 400, `MissingHeaderName` under the key `type`", "measured", SOURCE_DISPATCHER),
    FidelityFact(
        "A target that is empty or malformed, and the header twice, are 400 `MissingService`",
        "measured",
        SOURCE_DISPATCHER,
    ),
    FidelityFact("A service that does not exist is 400 `InvalidTarget`", "measured", SOURCE_DISPATCHER),
    FidelityFact(
        "An unknown version or operation is 400: `MissingTarget` without a body, `SchemaNotFound` with one; a body "
        "that is no JSON is `InvalidJSON` before that",
        "measured",
        SOURCE_DISPATCHER,
    ),
    FidelityFact("No body where the operation needs one is 400 `MissingTargetFunction`", "measured", SOURCE_DISPATCHER),
    FidelityFact(
        "A body that is no JSON, begins with a BOM or is white space alone is 400 `InvalidJSON`",
        "measured",
        SOURCE_DISPATCHER,
    ),
    FidelityFact(
        "A required key missing, or a value of the wrong type, is 400 `InvalidJSON` with data, path and schema; only "
        "the first such error is told",
        "measured",
        SOURCE_DISPATCHER,
    ),
    FidelityFact("Which of several errors in one body is the first", "assumed", SOURCE_OWN_CHOICE),
    FidelityFact("Of a repeated key the first counts", "measured", SOURCE_DISPATCHER),
    FidelityFact("Keys that are not asked for are ignored", "assumed", SOURCE_OWN_CHOICE),
    FidelityFact(
        "No body, `Content-Length: 0` and an empty chunked body are the same; `{}` is a body",
        "measured",
        SOURCE_DISPATCHER,
    ),
    FidelityFact("The request's Content-Type is ignored", "measured", SOURCE_DISPATCHER),
    FidelityFact(
        "The header's name is case-insensitive, the target is not; white space after the target is tolerated",
        "measured",
        SOURCE_DISPATCHER,
    ),
    FidelityFact(
        "A body of more than 8,000,000 bytes is 413",
        "measured",
        "newer versions of the dispatcher; older have no limit",
    ),
    FidelityFact("A handler that crashes is 500", "measured", SOURCE_DISPATCHER),
    FidelityFact("The body of a 500, an `error_type` of `Crash`", "assumed", SOURCE_OWN_CHOICE),
    FidelityFact(
        "An id that nobody has is 400 with `error_type` `NotFound`", "assumed", "unspecified; `[]` would be as right"
    ),
    FidelityFact(
        "JSON is compact, as UTF-8, keys in the order of the field list", "assumed", "key order and escapes are free"
    ),
    FidelityFact("`timestamp` is in UTC, with six digits of a second", "measured", SOURCE_EXAMPLE),
    FidelityFact("All connections of one response bear the same `timestamp`", "assumed", SOURCE_OWN_CHOICE),
    FidelityFact("Connections in an array come in no promised order", "assumed", SOURCE_OWN_CHOICE),
    FidelityFact(
        "Responses take no time unless told to; then workers serve them one after another", "assumed", SOURCE_OWN_CHOICE
    ),
    FidelityFact("An idle connection is kept open for 75 s", "assumed", SOURCE_OWN_CHOICE),
)

_HEADING_BY_STATUS: Final[dict[FactStatus, str]] = {
    "documented": "a document says so; a server that differs is wrong, or newer than the document",
    "measured": "seen, on the dispatcher or in public responses; a server may differ",
    "assumed": "chosen so that the simulator can run; learn nothing about a server from it",
}

_PAGE_INTRODUCTION: Final = """\
# How true the simulator is

<!-- Generated from the code; change it there, and run `python scripts/generate.py`. -->

The simulator stands in where no Sora is at hand. A run on it tests the harness, and clients of the API as far as this
page goes; it never tests a Sora.
"""


def render_fidelity_page() -> str:
    """The page in Markdown."""
    parts = [
        _PAGE_INTRODUCTION,
        "".join(f"- **{status}**: {meaning}.\n" for status, meaning in _HEADING_BY_STATUS.items()),
    ]
    parts += ["## Requests and responses\n", _render_fact_table(API_FACTS), "## The world\n", _render_fact_table(WORLD)]
    return "\n".join(parts)


def _render_fact_table(facts: tuple[FidelityFact, ...]) -> str:
    rows = ["| behaviour | known how | from |", "| --- | --- | --- |"]
    rows += [f"| {fact.behaviour} | {fact.status} | {fact.source} |" for fact in facts]
    return "\n".join(rows) + "\n"
