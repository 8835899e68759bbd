"""`explain`: every requirement, from why it is one to its waiver."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sora_stats_harness.api.project_config import read_config
from sora_stats_harness.cli import main
from sora_stats_harness.judge.requirements import REQUIREMENTS
from sora_stats_harness.simulator.faults import FAULT_KINDS


def check_explanation(id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rule, reason and source, a fault of the simulator that violates it, and a waiver that can be used."""
    assert main(["explain", id]) == 0
    text = capsys.readouterr().out
    rule = REQUIREMENTS[id]
    assert text.startswith(f"{id}  {rule.level.name}\n{rule.title}.\n")
    rows = dict(re.findall(r"^(\S[^\n]*?)  +(\S[^\n]*)$", text, re.MULTILINE))
    assert (rows["why"], rows["source"]) == (rule.reason, rule.source)
    words = shlex.split(rows["see it"])
    assert id in FAULT_KINDS[words[words.index("--fault") + 1]].violated_requirements
    config = tmp_path / "sora-harness.toml"
    waiver = re.search(r"^ *\[\[waivers\]\].*", text, re.MULTILINE | re.DOTALL)
    assert waiver is not None
    config.write_text(waiver[0], encoding="utf-8")
    (parsed,) = read_config(config).values.waivers
    assert parsed.requirement == id


def test_each_requirement_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the text of `explain` has it; a failure shows the id."""
    for id in REQUIREMENTS:
        check_explanation(id, tmp_path, capsys)


@pytest.mark.parametrize(
    ("id", "hint"), [("counter.monotone", "did you mean 'counter.monotonic'?"), ("x", "`sora-harness requirements`")]
)
def test_an_unknown_id_is_wrong_usage(id: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says which was meant, or where they stand."""
    assert main(["explain", id]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert hint in error
