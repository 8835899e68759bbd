"""The one response that the documentation page shows whole: sound as it stands, and any single change to it is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.edition import FieldDefinition, FieldKind, FieldPresence, FieldType
from sora_stats_harness.api.errors import ExitCode
from sora_stats_harness.api.exchange import Target
from sora_stats_harness.cli import main
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.requirements import Level, RequiredCapability
from sora_stats_harness.judge.verdict_decision import RunScope, decide_verdict

from ..examples import FULL, some_of

FILE: Final = Path(__file__).parents[1] / "data" / "example_response.json"
"""Names and values of the page's example."""

EXAMPLE: Final[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))  # Any: whatever JSON can hold
DOC: Final = edition.load_edition()
PRUNED: Final = ("sctp", "total_pruned_sctp_data_chunk")


def leaves(node: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every leaf."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


DOCUMENTED: Final = [path for path in leaves(EXAMPLE) if path != PRUNED]


def field_of(path: tuple[str, ...]) -> FieldDefinition:
    """The edition's entry of a leaf."""
    wanted = (path[0], "#*", path[2]) if len(path) == 3 and path[1].startswith("#") else path
    return next(field for field in DOC.fields if field.path == wanted)


def changed(path: tuple[str, ...], value: object, *, drop: bool = False) -> dict[str, Any]:
    """The example with one leaf changed or left out."""
    document = deepcopy(EXAMPLE)
    group = document
    for key in path[:-1]:
        group = group[key]
    if drop:
        del group[path[-1]]
    else:
        group[path[-1]] = value
    return document


def test_the_example_has_as_many_leaves_as_the_page() -> None:
    """363, one of which the page does not document."""
    assert len(list(leaves(EXAMPLE))) == 363
    assert len(DOCUMENTED) == 362


def test_the_example_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    """One INFO for what is undocumented, and exit 0, by the command line as well."""
    assert main(["check", str(FILE), "--json"]) == ExitCode.PASS
    verdict = json.loads(capsys.readouterr().out)
    assert [(each["requirement"], each["level"], each["field"]) for each in verdict["findings"]] == [
        ("shape.undocumented", "INFO", "/sctp/total_pruned_sctp_data_chunk")
    ]
    assert verdict["subject_kind"] == "recording"
    assert verdict["verdict"] == "pass"


def wrong_examples(change: str) -> Iterator[tuple[FieldDefinition, tuple[str, ...], dict[str, Any]]]:
    """
    The example with each of its leaves changed in this way: the field, its path here, and the document.

    In a quick run each leaf is changed in one way only.
    """
    chosen = DOCUMENTED if FULL else DOCUMENTED[list(EXPECTED).index(change) :: len(EXPECTED)]
    for number, path in enumerate(chosen):
        field = field_of(path)
        if change == "drop" and field.presence is FieldPresence.CONDITIONAL:
            continue
        if change == "negative" and field.kind is not FieldKind.COUNTER:
            continue
        others = [value for kind, value in OTHER_VALUES.items() if kind is not field.type]
        value = {"retype": others[number % len(others)], "negative": -1}.get(change)
        yield field, path, changed(path, value, drop=change == "drop")


@pytest.mark.parametrize("change", ["drop", "retype", "null", "negative"])
def test_any_single_change_is_found_where_it_is(change: str) -> None:
    """A leaf dropped, of another type, null, or a counter below 0: that leaf's finding each time, and no other MUST."""
    judge = Judge(DOC)
    expected: dict[str, list[str]] = {}
    for field, path, document in wrong_examples(change):
        judge.judge_bare_body(Target.CONNECTION, json.dumps(document).encode(), "/".join(path))
        expected.setdefault(field.pointer, []).append("/" + "/".join(path))
    judge.finish()
    result = judge.result()
    must = [entry for entry in result.findings if entry.level == Level.MUST.name]
    assert {entry.requirement for entry in must} == {EXPECTED[change]}
    found: dict[str, int] = {}
    for entry in must:
        assert entry.pointer in expected[entry.field], entry
        found[entry.field] = found.get(entry.field, 0) + entry.count
    assert found == {field: len(pointers) for field, pointers in expected.items()}
    assert sum(found.values()) >= some_of(300)
    assert decide_verdict(result, RunScope(observes={RequiredCapability.BODIES})).exit_code is ExitCode.FAIL


OTHER_VALUES: Final[dict[FieldType | None, object]] = {
    FieldType.STRING: "12",
    FieldType.INTEGER: 12,
    FieldType.BOOLEAN: True,
    None: 1.5,
}

EXPECTED: Final = {"drop": "shape.required", "retype": "shape.type", "null": "shape.type", "negative": "shape.range"}
