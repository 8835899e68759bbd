"""`report`: the formats made again from verdict.json."""

from __future__ import annotations

from pathlib import Path

import pytest

from sora_stats_harness.cli import main
from sora_stats_harness.reports import report_folder as files
from sora_stats_harness.reports.report_formats import REPORT_FORMATS, report_renderer

from ..reports import verdicts


@pytest.mark.parametrize("form", REPORT_FORMATS)
@pytest.mark.parametrize("kind", verdicts.KINDS)
def test_each_format_is_that_of_the_run(
    kind: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stdout or in a file, the same; the exit code is 0 whatever the verdict."""
    report = verdicts.KINDS[kind]()
    files.write_reports(report, tmp_path / "run")
    path = str(tmp_path / "run" / "verdict.json")
    assert main(["report", path, "--format", form]) == 0
    assert capsys.readouterr().out == report_renderer(form)(report)
    assert main(["report", path, "--format", form, "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").read_text(encoding="utf-8") == report_renderer(form)(report)


def test_a_folder_stands_for_its_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `compare` takes it."""
    files.write_reports(verdicts.failing(), tmp_path)
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == report_renderer("text")(verdicts.failing())


def test_verbose_names_each_requirement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its status, in place of the families."""
    report = verdicts.failing()
    files.write_reports(report, tmp_path)
    assert main(["report", str(tmp_path), "--verbose"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for row in report.verdict.requirements:
        assert any(line.split()[:1] == [row.id] and f" {row.checked:,} checked" in line for line in lines)


def test_text_is_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the run printed."""
    report = verdicts.failing()
    files.write_reports(report, tmp_path)
    assert main(["report", str(tmp_path / "verdict.json")]) == 0
    assert capsys.readouterr().out == report_renderer("text")(report)


@pytest.mark.parametrize(
    "words", [["none.json"], ["verdict.json", "--format", "pdf"], ["verdict.json", "--output", "no/such/folder/x"]]
)
def test_what_cannot_be_done_is_wrong_usage(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit 2."""
    monkeypatch.chdir(tmp_path)
    files.write_reports(verdicts.passing(), tmp_path)
    assert main(["report", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
