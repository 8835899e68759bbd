"""
Generates the JSON Schema of verdict.json, for programs that read it.

It is generated from the structs that are written, so both always agree. It allows further keys, which don't make a new
format.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..api.edition_schemas import JSON_SCHEMA_DIALECT
from ..judge.requirements import Level
from ..judge.verdict import VERDICT_FORMAT, Verdict

VERDICT_SCHEMA_ID: Final = "urn:sora-stats-harness:verdict"


def verdict_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of a whole verdict.json."""
    _, components = msgspec.json.schema_components((Verdict,), ref_template="#/$defs/{name}")
    top = components.pop("Verdict")
    top["properties"]["format"] = {"const": VERDICT_FORMAT}
    top["properties"]["exit_code"] = {"enum": [0, 1, 3, 4]}
    for name in ("RequirementStatus", "FindingEntry"):
        components[name]["properties"]["level"] = {"enum": [level.name for level in sorted(Level, reverse=True)]}
    components["FindingEntry"]["properties"]["fingerprint"] = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
    head = {
        "$schema": JSON_SCHEMA_DIALECT,
        "$id": VERDICT_SCHEMA_ID,
        "title": "Verdict of sora-harness",
        "description": "What a run came to: a status for each requirement, the findings, and what was covered.",
    }
    return head | {key: value for key, value in top.items() if key not in head} | {"$defs": components}
