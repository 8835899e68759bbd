"""
How true the simulator is to a real server: docs/FIDELITY.md, from data.

Whoever develops against the simulator has to know which of its habits a real server is bound to. So each behaviour is
named with how it is known: documented on the API's page, measured on the open-source dispatcher whose headers and
error shape the API shares (that Sora uses it is an inference), measured on public answers, or assumed. What concerns
the world's numbers stands beside the world, in `fidelity_world`.
"""

from __future__ import annotations

from typing import Final

from .fidelity_world import EXAMPLE, OURS, Fact, Status
from .fidelity_world import FACTS as WORLD

DISPATCHER: Final = "the dispatcher"
REQUESTS: Final = "documentation page, requests of the three targets"
PUBLIC: Final = "public clients of the API; the page can be read either way"

API: Final = (
    Fact("`POST /`, the operation in the header `x-sora-target`, arguments and answer as JSON", "documented", REQUESTS),
    Fact(
        "The three targets, their service dates, arguments and which of them answer with an array",
        "documented",
        REQUESTS,
    ),
    Fact("`local` is true unless given", "documented", REQUESTS),
    Fact("`local: true` is the node asked alone, `local: false` every node of the cluster", "measured", PUBLIC),
    Fact("GetStatsConnection and GetStatsClient find only connections of the node asked", "assumed", OURS),
    Fact(
        "An answer with a body bears `content-type: application/json` and a true `content-length`",
        "measured",
        DISPATCHER,
    ),
    Fact("An empty answer bears `content-length: 0`", "measured", DISPATCHER),
    Fact(
        "Every answer bears `Server: sora-harness-simulator/…`, so that nobody takes it for a Sora",
        "assumed",
        "our choice; no real server does",
    ),
    Fact("`Access-Control-*` headers with every answer, where an origin is configured", "documented", EXAMPLE),
    Fact("An origin is configured unless told otherwise, and it is `*`", "assumed", OURS),
    Fact("OPTIONS answers 200 without a body, where an origin is configured", "measured", DISPATCHER),
    Fact("A path other than `/` is 404 without a body; a query string is ignored", "measured", DISPATCHER),
    Fact("A method other than POST is 400, `UnexpectedMethod` under the key `type`", "measured", DISPATCHER),
    Fact("No target header is 400, `MissingHeaderName` under the key `type`", "measured", DISPATCHER),
    Fact("A target that is empty or malformed, and the header twice, are 400 `MissingService`", "measured", DISPATCHER),
    Fact("A service that does not exist is 400 `InvalidTarget`", "measured", DISPATCHER),
    Fact(
        "An unknown version or operation is 400: `MissingTarget` without a body, `SchemaNotFound` with one; a body "
        "that is no JSON is `InvalidJSON` before that",
        "measured",
        DISPATCHER,
    ),
    Fact("No body where the operation needs one is 400 `MissingTargetFunction`", "measured", DISPATCHER),
    Fact(
        "A body that is no JSON, begins with a BOM or is white space alone is 400 `InvalidJSON`", "measured", DISPATCHER
    ),
    Fact(
        "A required key missing, or a value of the wrong type, is 400 `InvalidJSON` with data, path and schema; only "
        "the first such error is told",
        "measured",
        DISPATCHER,
    ),
    Fact("Which of several errors in one body is the first", "assumed", OURS),
    Fact("Of a repeated key the first counts", "measured", DISPATCHER),
    Fact("Keys that are not asked for are ignored", "assumed", OURS),
    Fact("No body, `Content-Length: 0` and an empty chunked body are the same; `{}` is a body", "measured", DISPATCHER),
    Fact("The request's Content-Type is ignored", "measured", DISPATCHER),
    Fact(
        "The header's name is case-insensitive, the target is not; white space after the target is tolerated",
        "measured",
        DISPATCHER,
    ),
    Fact(
        "A body of more than 8,000,000 bytes is 413",
        "measured",
        "newer versions of the dispatcher; older have no limit",
    ),
    Fact("A handler that crashes is 500", "measured", DISPATCHER),
    Fact("The body of a 500, an `error_type` of `Crash`", "assumed", OURS),
    Fact("An id that nobody has is 400 with `error_type` `NotFound`", "assumed", "unspecified; `[]` would be as right"),
    Fact("JSON is compact, as UTF-8, keys in the order of the field list", "assumed", "key order and escapes are free"),
    Fact("`timestamp` is in UTC, with six digits of a second", "measured", EXAMPLE),
    Fact("All connections of one answer bear the same `timestamp`", "assumed", OURS),
    Fact("Connections in an array come in no promised order", "assumed", OURS),
    Fact("Answers take no time unless told to; then workers serve them one after another", "assumed", OURS),
    Fact("An idle connection is kept open for 75 s", "assumed", OURS),
)

_HEADINGS: Final[dict[Status, str]] = {
    "documented": "a document says so; a server that differs is wrong, or newer than the document",
    "measured": "seen, on the dispatcher or in public answers; a server may differ",
    "assumed": "chosen so that the simulator can run; learn nothing about a server from it",
}

_HEAD: Final = """\
# How true the simulator is

<!-- Generated from the code; change it there, and run `python scripts/generate.py`. -->

The simulator stands in where no Sora is at hand. A run on it tests the harness, and clients of the API as far as this
page goes; it never tests a Sora.
"""


def render() -> str:
    """The page in Markdown."""
    parts = [_HEAD, "".join(f"- **{status}**: {meaning}.\n" for status, meaning in _HEADINGS.items())]
    parts += ["## Requests and answers\n", _table(API), "## The world\n", _table(WORLD)]
    return "\n".join(parts)


def _table(facts: tuple[Fact, ...]) -> str:
    rows = ["| behaviour | known how | from |", "| --- | --- | --- |"]
    rows += [f"| {fact.behaviour} | {fact.status} | {fact.source} |" for fact in facts]
    return "\n".join(rows) + "\n"
