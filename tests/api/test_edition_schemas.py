"""The generated schemas keep to what every validator takes; `make validators` runs five of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from sora_stats_harness.api.edition import load_edition
from sora_stats_harness.judge.shape_deviations import connection_validator, find_all_deviations

EDITION: Final = load_edition()
SCHEMAS: Final = Path(__file__).resolve().parents[2] / "schemas"
KEYWORDS: Final = {
    "$schema",
    "$id",
    "$ref",
    "$defs",
    "$comment",
    "title",
    "description",
    "default",
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "required",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "uniqueItems",
}
NAMED: Final = frozenset({"properties", "patternProperties", "$defs"})
"""Their keys are names, and only the values are schemas."""


def subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and all inside of it."""
    if isinstance(schema, list):
        for each in schema:
            yield from subschemas(each)
    if not isinstance(schema, dict):
        return
    yield schema
    for key, value in schema.items():
        if key in NAMED:
            yield from subschemas(list(value.values()))
        elif key not in {"const", "enum", "default"}:
            yield from subschemas(value)


@pytest.mark.parametrize("path", sorted(SCHEMAS.rglob("*.json")), ids=lambda path: path.relative_to(SCHEMAS).as_posix())
def test_schemas_have_no_look_around_and_no_keyword_of_their_own(path: Path) -> None:
    """RE2 refuses look-around; Ajv refuses what it does not know, formats among it."""
    for schema in subschemas(json.loads(path.read_bytes())):
        assert set(schema) <= KEYWORDS
        for pattern in [schema.get("pattern", ""), *schema.get("patternProperties", {})]:
            assert "(?" not in pattern


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\u2028", " ", "é"])
def test_what_follows_a_timestamp_is_one_deviation(ending: str) -> None:
    """Two keywords refuse it, which are one rule."""
    document = {"timestamp": f"2025-01-31T12:00:00Z{ending}"}
    assert not connection_validator(EDITION).is_valid(document)
    found = [each for each in find_all_deviations(EDITION, document) if each.path == ("timestamp",)]
    assert [each.requirement for each in found] == ["shape.pattern"]
