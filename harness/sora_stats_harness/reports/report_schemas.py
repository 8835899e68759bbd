"""
Generates the JSON Schemas of verdict.json and of `compare --json`, for programs that read them.

They are generated from the structs that are written, so both always agree. They allow further keys, which don't make a
new format.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..api.edition_schemas import JSON_SCHEMA_DIALECT
from ..judge.requirements import Level
from ..judge.verdict import VERDICT_FORMAT, Verdict
from .comparison_result import COMPARISON_FORMAT, RunComparison

VERDICT_SCHEMA_ID: Final = "urn:sora-stats-harness:verdict"
COMPARISON_SCHEMA_ID: Final = "urn:sora-stats-harness:comparison"


def verdict_schema() -> dict[str, Any]:  # Any: JSON
    """The schema (draft 2020-12) of a whole verdict.json."""
    schema = _whole_schema(
        Verdict,
        {
            "$id": VERDICT_SCHEMA_ID,
            "title": "Verdict of sora-harness",
            "description": "What a run came to: a status for each requirement, the findings, and what was covered.",
        },
        {"format": {"const": VERDICT_FORMAT}, "exit_code": {"enum": [0, 1, 3, 4]}},
    )
    for name in ("RequirementStatus", "FindingEntry"):
        level = {"enum": [level.name for level in sorted(Level, reverse=True)]}
        schema["$defs"][name]["properties"]["level"] = level
    finding = schema["$defs"]["FindingEntry"]["properties"]
    finding["fingerprint"] = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
    return schema


def comparison_schema() -> dict[str, Any]:  # Any: JSON
    """The schema (draft 2020-12) of a whole comparison."""
    return _whole_schema(
        RunComparison,
        {
            "$id": COMPARISON_SCHEMA_ID,
            "title": "Comparison by sora-harness",
            "description": "What has changed between two sets of runs: findings, fields, coverage, latencies, capacity.",
        },
        {"format": {"const": COMPARISON_FORMAT}, "exit_code": {"enum": [0, 1, 3]}},
    )


def _whole_schema(kind: type[msgspec.Struct], head: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    """A struct's schema that begins with `head`; `properties` replace those of these names."""
    _, components = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    top = components.pop(kind.__name__)
    top["properties"] |= properties
    head = {"$schema": JSON_SCHEMA_DIALECT} | head
    return head | {key: value for key, value in top.items() if key not in head} | {"$defs": components}
