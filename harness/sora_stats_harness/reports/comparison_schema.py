"""
The JSON Schema of what `compare --json` prints, made from the structs that are printed.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..api.schemas import DIALECT
from .compare import FORMAT, Comparison

ID: Final = "urn:sora-stats-harness:comparison"


def schema() -> dict[str, Any]:  # Any: JSON
    """The schema (draft 2020-12) of a whole comparison."""
    _, components = msgspec.json.schema_components((Comparison,), ref_template="#/$defs/{name}")
    top = components.pop("Comparison")
    top["properties"]["format"] = {"const": FORMAT}
    top["properties"]["exit_code"] = {"enum": [0, 1, 3]}
    head = {
        "$schema": DIALECT,
        "$id": ID,
        "title": "Comparison by sora-harness",
        "description": "What has changed between two sets of runs: findings, fields, coverage, latencies, capacity.",
    }
    return head | {key: value for key, value in top.items() if key not in head} | {"$defs": components}
