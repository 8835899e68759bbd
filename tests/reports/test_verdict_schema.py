"""verdict.json's own schema holds for real verdicts, and for nothing that is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from sora_stats_harness.reports import report_folder as files
from sora_stats_harness.reports import report_schemas

from . import verdicts

Document = dict[str, Any]  # Any: JSON


def validator() -> jsonschema.Draft202012Validator:
    """Of the published schema."""
    return jsonschema.Draft202012Validator(report_schemas.verdict_schema())


def test_the_schema_is_one() -> None:
    """Valid against the metaschema of draft 2020-12, and every reference leads somewhere in the document itself."""
    schema = report_schemas.verdict_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    references = {part.split('"')[0] for part in json.dumps(schema).split('"$ref": "')[1:]}
    assert references
    assert references == {f"#/$defs/{name}" for name in schema["$defs"]}


@pytest.mark.parametrize("kind", verdicts.KINDS)
def test_real_verdicts_are_valid(kind: str) -> None:
    """All five kinds of run."""
    validator().validate(json.loads(files.verdict_to_json(verdicts.KINDS[kind]().verdict)))


@pytest.mark.parametrize("text", verdicts.HOSTILE)
def test_hostile_verdicts_are_valid(text: str) -> None:
    """No string breaks the format."""
    validator().validate(json.loads(files.verdict_to_json(verdicts.hostile(text).verdict)))


def remove(key: str) -> Callable[[Document], object]:
    """Take out a key."""
    return lambda document: document.pop(key)


def put(key: str, value: object) -> Callable[[Document], object]:
    """Set a key."""
    return lambda document: document.update({key: value})


@pytest.mark.parametrize(
    "change",
    [
        remove("verdict"),
        remove("findings"),
        put("verdict", "green"),
        put("format", "sora-harness/verdict/1"),
        put("exit_code", 2),
        put("subject_kind", "sora"),
        lambda document: document["requirements"][0].update(status="ok"),
        lambda document: document["requirements"][0].update(level="MAY"),
        lambda document: document["findings"][0].update(fingerprint="x"),
        lambda document: document["findings"][0].update(exchanges=[["run"]]),
        lambda document: document["coverage"].update(samples="many"),
    ],
)
def test_what_is_no_verdict_is_invalid(change: Callable[[Document], object]) -> None:
    """Missing keys, unknown words and wrong types are told."""
    document = json.loads(files.verdict_to_json(verdicts.failing().verdict))
    change(document)
    assert not validator().is_valid(document)


def test_further_keys_are_allowed() -> None:
    """More may stand beside them: a new key is no new format."""
    document = json.loads(files.verdict_to_json(verdicts.failing().verdict))
    document["novelty"] = 1
    document["coverage"]["novelty"] = 1
    assert validator().is_valid(document)
