"""`fields`, `requirements` and `schemas`: what the package knows, printed and written."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.cli import main
from sora_stats_harness.judge.requirements import REQUIREMENTS

Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture, *words: str) -> str:
    """What a command prints; it must succeed and be silent on stderr."""
    assert main(words) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_fields_as_json_are_the_374_and_then_the_undocumented(capsys: Capture) -> None:
    """In the page's order, with exactly the promised keys."""
    entries = json.loads(printed(capsys, "fields", "--json"))
    keys = ["path", "type", "kind", "unit", "presence", "description"]
    assert [list(entry) for entry in entries[:374]] == [keys] * 374
    assert [list(entry) for entry in entries[374:]] == [[*keys, "undocumented"]] * (len(entries) - 374)
    assert len(entries) > 374
    assert entries[0]["path"] == "timestamp"
    assert sum(entry["path"].split(".")[-1].startswith("total_") for entry in entries[:374]) == 324
    assert {
        "path": "network_status.unstable_level",
        "type": "integer",
        "kind": "gauge",
        "unit": "none",
    }.items() <= next(entry.items() for entry in entries if entry["path"] == "network_status.unstable_level")


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--group", "rtp"], 21),
        (["--group", "simulcast"], 72),
        (["--group", "simulcast.r0.rtp"], 9),
        (["--kind", "gauge"], 9),
        (["--group", "data_channel", "--kind", "configuration"], 36),
        (["--group", "sctp"], 57),
    ],
)
def test_fields_can_be_narrowed(words: list[str], count: int, capsys: Capture) -> None:
    """By group, below it too, and by kind; the table has a heading and a line each."""
    assert len(json.loads(printed(capsys, "fields", "--json", *words))) == count
    table = printed(capsys, "fields", *words).splitlines()
    assert table[0].split() == ["FIELD", "TYPE", "KIND", "UNIT", "PRESENCE", "DESCRIPTION"]
    assert len(table) == count + 1


def test_an_unknown_group_is_wrong_usage(capsys: Capture) -> None:
    """With the nearest one."""
    assert main(["fields", "--group", "rtcpp"]) == 2
    assert capsys.readouterr().err == "sora-harness: the edition doc-2024 has no group 'rtcpp' (did you mean 'rtcp'?)\n"


def test_fields_of_a_file(tmp_path: Path, capsys: Capture) -> None:
    """A user's own edition."""
    path = tmp_path / "mine.toml"
    path.write_text(
        'format = "sora-harness/edition/1"\nname = "mine"\ntitle = "t"\nsource = "s"\n[fields]\n'
        'a = { type = "string", kind = "identity", unit = "none", description = "An id." }\n',
        encoding="utf-8",
    )
    assert [entry["path"] for entry in json.loads(printed(capsys, "fields", "--json", "--edition", str(path)))] == ["a"]
    assert main(["fields", "--edition", str(tmp_path / "none.toml")]) == 2


def test_requirements(capsys: Capture) -> None:
    """Every rule of the registry in its order; as JSON with reason, source and scope."""
    entries = json.loads(printed(capsys, "requirements", "--json"))
    assert [entry["id"] for entry in entries] == list(REQUIREMENTS)
    assert all(entry["needs"] and entry["reason"] and entry["source"] for entry in entries)
    lines = printed(capsys, "requirements").splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [[rule.id, rule.level.name] for rule in REQUIREMENTS.values()]


def test_schemas_are_written_and_checked(tmp_path: Path, capsys: Capture) -> None:
    """Fresh files pass; a stale and a missing one are named, and nothing is written then."""
    folder = tmp_path / "schemas"
    printed(capsys, "schemas", "--output", str(folder))
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.json")}
    assert {"verdict.json", "recording.json", "doc-2024/connection.json"} <= names
    assert sum(name.startswith("doc-2024/") for name in names) == 7
    assert "up to date" in printed(capsys, "schemas", "--output", str(folder), "--check")
    stale, missing = folder / "verdict.json", folder / "doc-2024" / "connection.json"
    stale.write_text("{}", encoding="utf-8")
    missing.unlink()
    assert main(["schemas", "--output", str(folder), "--check"]) == 1
    complaint = capsys.readouterr().err
    assert f"{stale} is stale" in complaint
    assert f"{missing} is missing" in complaint
    assert not missing.exists()
    printed(capsys, "schemas", "--output", str(folder))
    assert main(["schemas", "--output", str(folder), "--check"]) == 0


def test_every_schema_is_one(tmp_path: Path, capsys: Capture) -> None:
    """Valid against the metaschema; each `$id` is a URN of its own."""
    printed(capsys, "schemas", "--output", str(tmp_path))
    schemas = [json.loads(path.read_bytes()) for path in tmp_path.rglob("*.json")]
    for schema in schemas:
        jsonschema.Draft202012Validator.check_schema(schema)
    ids = [schema["$id"] for schema in schemas]
    assert len(set(ids)) == len(ids) == 4 + 7 * len(edition.shipped_edition_names())
    assert all(each.startswith("urn:sora-stats-harness:") for each in ids)


def test_schemas_that_cannot_be_written_are_wrong_usage(tmp_path: Path, capsys: Capture) -> None:
    """One line with the path."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main(["schemas", "--output", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
