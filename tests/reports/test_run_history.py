"""The history of a server: what is new and fixed from run to run, by release and time, and what is no run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.cli import main
from sora_stats_harness.judge.verdict import CoverageSummary, Verdict
from sora_stats_harness.reports.history_page import HISTORY_COLUMNS, history_row, render_history
from sora_stats_harness.reports.report_folder import verdict_to_json
from sora_stats_harness.reports.run_history import RunHistory, read_history

from .. import comparing
from . import verdicts
from .test_formats import Page


def write(folder: Path, made: Verdict, text: str | None = None) -> None:
    """A run's folder, or another file of that name."""
    folder.mkdir(parents=True)
    (folder / "verdict.json").write_text(verdict_to_json(made) if text is None else text, encoding="utf-8")


def made(place: int, release: str | None, *fingerprints: str, **given: Any) -> Verdict:  # Any: the verdict's fields
    """A run of the gate with these findings."""
    verdict = comparing.verdict(place, **({"command": "conform"} | given))
    verdict.labels = {} if release is None else {"release": release}
    verdict.findings = [comparing.finding(each) for each in fingerprints]
    return verdict


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three runs of the gate and two of load, of two releases; the folders' names say nothing of their order."""
    few = CoverageSummary(samples=1, fields_seen=369, fields_documented=374, never_seen=["rtp.a", "rtp.b", "rtp.c"])
    write(tmp_path / "z", made(0, "1.0", "a", "b"))
    write(tmp_path / "y" / "deep", made(10, "1.1", "b", "c", coverage=few))
    write(tmp_path / "x", made(20, "1.1", "c"))
    write(tmp_path / "w", made(5, "1.0", command="load", load=comparing.load({"GetStatsClient": (2, 8)})))
    loaded = comparing.load({"GetStatsClient": (2, 9)})
    write(tmp_path / "v", made(15, "1.1", command="load", load=loaded, capacity=comparing.capacity(300, 340)))
    return tmp_path


def history(text: str = "1.0") -> RunHistory:
    """One in memory, in which every string is this one."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        said = text.encode("utf-8", "replace").decode()
        for place in range(3):
            verdict = made(place, said, *"ab"[: place % 2 + 1], subject=said, reason=said)
            for finding in verdict.findings:
                finding.message = finding.field = said
            verdict.load = comparing.load({said: (2, 9 + place)}, scenario=said)
            write(folder / f"{place}", verdict)
        write(folder / "broken", made(9, None), text="{")
        return read_history(folder)


def test_runs_stand_by_release_and_time(folder: Path) -> None:
    """Each against the last one before it of its kind; a load run's findings fix nothing of the gate's."""
    found = read_history(folder)
    assert found.label == "release"
    assert found.releases() == ["1.0", "1.1"]
    rows = [dict(zip(HISTORY_COLUMNS, history_row(run), strict=True)) for run in found.runs]
    shown = ("Release", "Command", "Findings", "New", "Fixed", "p99 ms", "Capacity/s")
    assert [[row[name] for name in shown] for row in rows] == [
        ["1.0", "conform", "2", "-", "-", "-", "-"],
        ["1.0", "load", "0", "-", "-", "8", "-"],
        ["1.1", "conform", "2", "1", "1", "-", "-"],
        ["1.1", "load", "0", "0", "0", "9", "300 to 340"],
        ["1.1", "conform", "1", "0", "1", "-", "-"],
    ]
    assert rows[2]["Fields seen"] == "369 of 374 (-1)"
    assert [each.fingerprint for each in found.runs[2].new] == ["c"]
    assert [each.fingerprint for each in found.runs[2].fixed] == ["a"]


def test_what_is_no_verdict_is_named_and_left_out(folder: Path) -> None:
    """Broken, of another program, of an earlier version, a pipe; and a copy of a run counts once."""
    write(folder / "broken", made(0, None), text="{")
    write(folder / "foreign", made(0, None), text='{"verdict": "guilty"}')
    write(folder / "earlier", made(0, None), text='{"format": "sora-harness/verdict/1"}')
    write(folder / "copy", made(0, "1.0", "a", "b"))
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe" / "verdict.json")
    found = read_history(folder)
    assert len(found.runs) == 5
    assert len(found.left_out) == 4
    text = render_history(found, beside=folder)
    for name in ("broken", "foreign", "earlier", "pipe"):
        assert any(f"{name}/verdict.json" in line for line in found.left_out)
        assert f"{name}/verdict.json" in text


def test_the_label_can_be_chosen(tmp_path: Path) -> None:
    """Without one of the usual names, or with several of them."""
    for place, build in enumerate(("7", "8")):
        verdict = made(place, "1.0")
        verdict.labels["build"] = build
        write(tmp_path / build, verdict)
    assert read_history(tmp_path).releases() == ["1.0"]
    assert read_history(tmp_path, label="build").releases() == ["7", "8"]


def test_the_page_links_each_run_to_its_own(folder: Path) -> None:
    """From where the page stands; a run without a page has no link."""
    (folder / "z" / "report.html").write_text("x", encoding="utf-8")
    found = read_history(folder)
    for beside, link in ((folder, "z/report.html"), (folder / "y", "../z/report.html")):
        page = Page(render_history(found, beside=beside))
        assert [value for key, value in page.attributes if key == "href" and value and "report.html" in value] == [link]


@pytest.mark.parametrize("text", verdicts.HOSTILE)
def test_hostile_strings_do_no_harm(text: str) -> None:
    """The page has the same tags whatever a server's users chose."""
    page = Page(render_history(history(text), beside=Path()))
    assert not page.open
    assert not {"script", "iframe", "img", "link", "object", "form"} & set(page.tags)
    assert len(page.ids) == len(set(page.ids))
    assert page.tags == Page(render_history(history("harmless"), beside=Path())).tags


def test_the_command_writes_the_page_and_prints_the_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left out is a line on stderr, and no failure."""
    write(folder / "broken", made(0, None), text="{")
    monkeypatch.chdir(folder)
    assert main(["history", "."]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[0].split()[:2] == ["RELEASE", "VERDICT"]
    assert told.out.splitlines()[-1] == "5 runs in history.html"
    assert told.err.startswith("left out: broken/verdict.json is not a verdict")
    assert "1.1" in (folder / "history.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["none", "file", "empty"])
def test_a_folder_without_a_run_is_wrong_usage(name: str, tmp_path: Path) -> None:
    """So is what is no folder."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"not a folder|no verdict"):
        read_history(tmp_path / name)
