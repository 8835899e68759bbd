"""The JSON Schema of the output of `compare --json`, generated from the structs."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..api.edition_schemas import JSON_SCHEMA_DIALECT
from .comparison_result import COMPARISON_FORMAT, RunComparison

COMPARISON_SCHEMA_ID: Final = "urn:sora-stats-harness:comparison"


def comparison_schema() -> dict[str, Any]:  # Any: JSON
    """The schema (draft 2020-12) of a whole comparison."""
    _, components = msgspec.json.schema_components((RunComparison,), ref_template="#/$defs/{name}")
    top = components.pop("RunComparison")
    top["properties"]["format"] = {"const": COMPARISON_FORMAT}
    top["properties"]["exit_code"] = {"enum": [0, 1, 3]}
    head = {
        "$schema": JSON_SCHEMA_DIALECT,
        "$id": COMPARISON_SCHEMA_ID,
        "title": "Comparison by sora-harness",
        "description": "What has changed between two sets of runs: findings, fields, coverage, latencies, capacity.",
    }
    return head | {key: value for key, value in top.items() if key not in head} | {"$defs": components}
