"""The folder that a run leaves behind, and reading it back."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest

from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.reports import evidence_files as evidence
from sora_stats_harness.reports import report_folder as files
from sora_stats_harness.reports.report import VerdictReport
from sora_stats_harness.reports.report_formats import REPORT_FORMATS, report_renderer

from . import verdicts


@pytest.mark.parametrize("kind", verdicts.KINDS)
def test_a_report_read_back_is_the_report(kind: str, tmp_path: Path) -> None:
    """`report verdict.json` prints what the run printed, evidence included."""
    report = verdicts.KINDS[kind]()
    files.write_reports(report, tmp_path)
    again = files.read_report(tmp_path / "verdict.json")
    assert again.verdict == report.verdict
    for form in REPORT_FORMATS:
        assert report_renderer(form)(again) == report_renderer(form)(report), form


@pytest.mark.parametrize("text", verdicts.HOSTILE)
def test_hostile_reports_are_written_and_read(text: str, tmp_path: Path) -> None:
    """The files' names are of a fixed alphabet, verdict.json is ASCII without controls, and nothing is lost."""
    report = verdicts.hostile(text)
    files.write_reports(report, tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")]
    assert all(re.fullmatch(r"[A-Za-z0-9._/-]+", name) for name in names)
    raw = (tmp_path / "verdict.json").read_bytes()
    assert not re.search(rb"[^\n\x20-\x7e]", raw)
    assert files.read_report(tmp_path / "verdict.json").verdict == report.verdict


def test_evidence_is_a_whole_private_recording_without_secrets(tmp_path: Path) -> None:
    """Header, the exchanges to the byte, end; values of unknown headers are not in it; nobody else may read it."""
    files.write_reports(verdicts.failing(), tmp_path)
    path = tmp_path / "evidence" / "001-counter.monotonic.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [next(key for key in ("format", "seq", "end") if key in line) for line in lines] == [
        "format",
        "seq",
        "seq",
        "end",
    ]
    assert lines[-1]["sent"] == 2
    read = evidence.decode_evidence(path.read_bytes())
    assert [each.response and each.response.body for each in read] == [verdicts.body(1017), verdicts.body(1016)]
    assert [each.key for each in read] == [(verdicts.RUN, 17), (verdicts.RUN, 23)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"sesame" not in path.read_bytes()
    assert b"a=b" not in path.read_bytes()


def test_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    """In a folder of ours: evidence of findings that are gone goes too, and whatever else is in there stays."""
    files.write_reports(verdicts.failing(), tmp_path)
    (tmp_path / "evidence" / "notes.txt").write_text("mine", encoding="utf-8")
    files.check_report_folder(tmp_path)
    files.write_reports(verdicts.passing(), tmp_path)
    assert [path.name for path in (tmp_path / "evidence").iterdir()] == ["notes.txt"]
    assert files.read_report(tmp_path / "verdict.json").verdict.verdict == "pass"


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    """One line that names the first; a folder that is not there, is empty or is ours will do."""
    files.check_report_folder(tmp_path / "new")
    files.check_report_folder(tmp_path)
    (tmp_path / "thesis.tex").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match=r"contains other files \('thesis.tex'\)"):
        files.check_report_folder(tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        files.check_report_folder(tmp_path / "thesis.tex")


def test_default_folders_never_collide(tmp_path: Path) -> None:
    """Two runs in one second get folders of their own, named as artifact stores like it."""
    folders = [files.make_report_folder("conform", tmp_path / "reports") for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(re.fullmatch(r"conform-[0-9]{8}T[0-9]{6}Z(-[0-9]+)?", folder.name) for folder in folders)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read"),
        (b"{", "is not a verdict"),
        (b"\xff", "is not a verdict"),
        (b'{"format": "sora-harness/verdict/2"}', "is not a verdict"),
        (b"[" * 100_000, "is not a verdict"),
    ],
)
def test_what_is_no_verdict_is_wrong_usage(content: bytes | None, complaint: str, tmp_path: Path) -> None:
    """One line, whatever stands in the file."""
    path = tmp_path / "verdict.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=complaint):
        files.read_report(path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    """A verdict of a later version may mean something else by the same keys."""
    text = files.verdict_to_json(verdicts.passing().verdict).replace("verdict/2", "verdict/1")
    (tmp_path / "v.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="verdict/2"):
        files.read_report(tmp_path / "v.json")


@pytest.mark.parametrize("name", ["../secret.jsonl", "evidence/../../secret.jsonl", "/etc/passwd", "evidence/.hidden"])
def test_evidence_is_read_from_beside_the_verdict_only(name: str, tmp_path: Path) -> None:
    """A verdict from elsewhere cannot name a file outside of its folder."""
    report = verdicts.failing()
    folder = tmp_path / "a" / "b"
    files.write_reports(report, folder)
    original = (folder / "evidence" / "001-counter.monotonic.jsonl").read_bytes()
    for place in (tmp_path / "a", tmp_path):
        (place / "secret.jsonl").write_bytes(original)
    (folder / "evidence" / ".hidden").write_bytes(original)
    report.verdict.findings[0].evidence = [name]
    assert report.verdict.findings[0].fingerprint not in evidence.read_evidence_folder(folder, report.verdict)


def test_damaged_evidence_is_passed_over(tmp_path: Path) -> None:
    """The report is poorer, and still a report."""
    files.write_reports(verdicts.failing(), tmp_path)
    (tmp_path / "evidence" / "001-counter.monotonic.jsonl").write_bytes(b'{"seq": "x"}\n')
    again = files.read_report(tmp_path / "verdict.json")
    assert verdicts.entry("counter.monotonic").fingerprint not in again.evidence
    assert "at least 1,017" in report_renderer("html")(again)


def test_evidence_needs_an_exchange() -> None:
    """A recording of nothing would prove nothing."""
    with pytest.raises(ValueError, match="at least one"):
        evidence.encode_evidence(verdicts.passing().verdict, ())


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """When writing fails the old file is still there, and nothing beside it."""
    target = tmp_path / "verdict.json"
    files.write_file_atomically(target, b"old")
    with pytest.raises(TypeError):
        files.write_file_atomically(target, "no bytes")  # type: ignore[arg-type]  # that is the failure
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["verdict.json"]


def test_a_pipe_a_device_and_a_link_stay_what_they_are(tmp_path: Path) -> None:
    """`--output /dev/null` must not put a file where the device was; what a link leads to is written."""
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "t" / "target"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write_file_atomically(pipe, b"through")
    assert os.read(reader, 99) == b"through" and pipe.is_fifo()
    os.close(reader)
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(target)
    files.write_file_atomically(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    """That of the file beside it is no longer."""
    files.write_file_atomically(tmp_path / ("x" * 255), b"")
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


def test_trying_a_folder_touches_no_file_of_its_owner(tmp_path: Path) -> None:
    """Whatever that is called."""
    (tmp_path / "trial").write_text("mine")
    files.try_folder(tmp_path)
    files.try_folder(tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["trial"] and (tmp_path / "trial").read_text() == "mine"


def test_a_report_without_evidence_has_none() -> None:
    """The default is an empty mapping, for formats that are made from a verdict alone."""
    report = VerdictReport(verdict=verdicts.failing().verdict)
    assert report.evidence_of(report.verdict.findings[0]) == ()
