"""
Streams, folders and disks that can't be written to, against what a run found.

A finding outranks all. A run that passes and can't say so ends with exit 2, in one line that doesn't blame the harness. Folders
are tried before anything is sent. A reader who has gone away, or was never there, changes nothing.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from sora_stats_harness.api.edition import load_edition
from sora_stats_harness.cli import main
from sora_stats_harness.recording.output_file import TEMPORARY_PREFIX
from sora_stats_harness.reports import report_folder as files

from ..examples import FULL
from ..pages import markdown
from ..reports import verdicts

EXAMPLE: Final = Path(__file__).parents[1] / "data" / "example_response.json"
BROKEN: Final = EXAMPLE.read_text().replace('"total_received_rtp"', '"total_received_rtq"', 1)

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")

RESULTS: Final = {"pass": 0, "fail": 1, "inconclusive": 3, "usage": 2}
"""How a run ends where nothing is broken."""

FAULTS: Final = ("full", "closed", "broken pipe", "read-only")
PLACES: Final = ("stdout", "stderr", "reports", "recording", "TMPDIR")

REFUSED: Final = {"pass": 2, "fail": 2, "inconclusive": 2}
"""Before the run, whatever it would have found."""

MATRIX: Final[dict[tuple[str, str], dict[str, int]]] = {
    # the exit code of each result, where it differs
    ("full", "stdout"): {"pass": 2, "inconclusive": 2},
    ("closed", "stdout"): {},
    ("broken pipe", "stdout"): {},
    ("read-only", "stdout"): {"pass": 2, "inconclusive": 2},
    ("full", "stderr"): {},
    ("closed", "stderr"): {},
    ("broken pipe", "stderr"): {},
    ("read-only", "stderr"): {},
    ("full", "reports"): {"pass": 2, "inconclusive": 2},
    ("closed", "reports"): REFUSED,
    ("broken pipe", "reports"): REFUSED,
    ("read-only", "reports"): REFUSED,
    # a recording that ends early is a note of the verdict; one that can't begin is refused
    ("full", "recording"): {},
    ("closed", "recording"): REFUSED,
    ("broken pipe", "recording"): {},
    ("read-only", "recording"): REFUSED,
    # what comes from stdin is kept there; an empty list is small enough, and Python has other folders than TMPDIR
    ("full", "TMPDIR"): {"pass": 2, "fail": 2},
    ("closed", "TMPDIR"): {},
    ("broken pipe", "TMPDIR"): {},
    ("read-only", "TMPDIR"): {},
}

PROBING: Final = ("conform", "--duration", "0.1", "--valid-only", "--targets", "GetStatsAllConnections")
PROBES: Final[dict[str, tuple[str, ...]]] = {
    "pass": (*PROBING, "--connections", "2"),
    "fail": (*PROBING, "--connections", "2", "--fault", "missing-leaf"),
    "inconclusive": (*PROBING, "http://127.0.0.1:9"),  # where nothing listens
    "usage": ("conform", "--no-such-option"),
}
"""Runs that can be recorded, by their result."""


@dataclass
class Row:
    """What is started: a command line, and where its output goes."""

    words: list[str]
    stdin: str | None = None
    streams: dict[str, int] = field(default_factory=dict)
    inherited: list[int] = field(default_factory=list)
    closes: int | None = None
    """A descriptor that is closed as the program begins."""
    environment: dict[str, str] = field(default_factory=dict)
    file_bytes: int | None = None
    """The size at which files end; those with bytecode would as well, and stay so."""

    def run(self, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run the program, root as somebody who has to obey permissions."""
        words = [sys.executable, "-m", "sora_stats_harness", *self.words]
        if os.geteuid() == 0 and (setpriv := shutil.which("setpriv")):
            dropped = "-dac_override,-dac_read_search"
            words = [setpriv, f"--inh-caps={dropped}", f"--bounding-set={dropped}", *words]
        if self.closes is not None:
            words = ["sh", "-c", f'exec "$@" {self.closes}>&-', "sh", *words]
        given = {"stdin": subprocess.DEVNULL} if self.stdin is None else {}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | given | self.streams
        return subprocess.run(  # type: ignore[call-overload,no-any-return]  # streams of several types
            words,
            **streams,
            input=self.stdin,
            text=True,
            cwd=folder,
            env=os.environ | self.environment | ({} if self.file_bytes is None else {"PYTHONDONTWRITEBYTECODE": "1"}),
            pass_fds=self.inherited,
            preexec_fn=None if self.file_bytes is None else lambda: limit_file_size(self.file_bytes or 0),
            check=False,
        )


def limit_file_size(size: int) -> None:
    """Make files of this process end at a size, as a disk does that fills up during the run."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with one input for each result, and a folder that nothing can be written to."""
    (tmp_path / "pass.json").write_text(EXAMPLE.read_text())
    (tmp_path / "fail.json").write_text(BROKEN)
    (tmp_path / "inconclusive.json").write_text("[]")
    (tmp_path / "locked").mkdir(mode=0o555)
    yield tmp_path
    (tmp_path / "locked").chmod(0o755)


@pytest.fixture
def descriptors() -> Iterator[list[int]]:
    """Descriptors that the test has opened; they are closed at its end."""
    opened: list[int] = []
    yield opened
    for each in opened:
        os.close(each)


def broken_descriptor(fault: str, opened: list[int]) -> int:
    """A descriptor that nothing can be written to."""
    if fault == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    elif fault == "read-only":
        descriptor = os.open(os.devnull, os.O_RDONLY)
    else:
        read, descriptor = os.pipe()
        os.close(read)
    opened.append(descriptor)
    return descriptor


def broken_path(fault: str, folder: Path) -> Path:
    """Where no folder can be, or none that anything can be written to."""
    if fault == "full":
        return folder
    if fault == "read-only":
        return folder / "locked"
    if fault == "broken pipe":
        os.mkfifo(folder / "pipe")
        return folder / "pipe"
    return folder / "pass.json"


def make_row(fault: str, place: str, result: str, folder: Path, opened: list[int]) -> Row:
    """A row of the matrix."""
    words = ["check", f"{result}.json"] if result != "usage" else ["check", "--no-such-option"]
    if place in ("stdout", "stderr"):
        if fault == "closed":
            return Row(words, closes={"stdout": 1, "stderr": 2}[place])
        return Row(words, streams={place: broken_descriptor(fault, opened)})
    full = 8192 if fault == "full" else None
    if place == "TMPDIR":
        stdin = None if result == "usage" else (folder / words[1]).read_text()
        words = words if stdin is None else ["check", "-"]
        return Row(words, stdin, environment={"TMPDIR": str(broken_path(fault, folder))}, file_bytes=full)
    if place == "reports":
        return Row([*words, "--output", str(broken_path(fault, folder) / "reports")], file_bytes=full)
    row = Row([*PROBES[result], "--record"])
    if fault == "read-only":
        row.words.append("locked/run.jsonl")
    elif fault == "closed":
        row.words.append("/dev/fd/99")
    elif fault == "full":
        row.words.append("/dev/full")
    else:
        row.inherited.append(broken_descriptor(fault, opened))
        row.words.append(f"/dev/fd/{row.inherited[0]}")
    return row


def check_what_was_said(ended: subprocess.CompletedProcess[str], wanted: int) -> str:
    """Lines for a person, who is not told that it passed where it did not, or that the harness is at fault."""
    said = (ended.stdout or "") + (ended.stderr or "")
    assert ended.returncode == wanted, said
    assert not any(word in said for word in ("Traceback", "a fault of the harness", "Exception ignored"))
    assert wanted == 0 or "PASS" not in said
    return said


CELLS: Final = [
    (fault, place, result)
    for row, fault in enumerate(FAULTS)
    for column, place in enumerate(PLACES)
    for number, result in enumerate(RESULTS)
    if FULL or (row + column) % len(RESULTS) == number
]
"""Each with each other; in `make test` a quarter: each fault at each place, and each of both with each result."""


@pytest.mark.parametrize(("fault", "place", "result"), CELLS)
def test_the_matrix(fault: str, place: str, result: str, folder: Path, descriptors: list[int]) -> None:
    """What can't be written, where, and what the run would have come to."""
    row = make_row(fault, place, result, folder, descriptors)
    ended = row.run(folder)
    changed = MATRIX[fault, place]
    said = check_what_was_said(ended, {**RESULTS, **changed}[result])
    assert not list(folder.rglob(f"{TEMPORARY_PREFIX}*")), "nothing is left of a trial"
    if result == "usage":
        return
    if place == "stdout" and changed:
        assert "stdout cannot be written: " in said
    if changed == REFUSED:
        assert ended.stderr.splitlines()[-1].startswith("sora-harness: ") and not ended.stdout
    if place == "recording" and changed != REFUSED:
        assert "the recording /dev/f" in said and "ended early" in said


def test_a_pipe_that_nobody_reads_is_not_waited_for(folder: Path) -> None:
    """One that has a name; its reader may never come."""
    os.mkfifo(folder / "pipe")
    ended = Row([*PROBES["inconclusive"], "--record", "pipe"]).run(folder)
    assert "the recording pipe cannot be written: nobody reads this pipe" in check_what_was_said(ended, 2)


WRITERS: Final[dict[str, tuple[tuple[str, ...], int]]] = {
    # the beginning of a command line that ends with what is written, and the exit code where it can't be
    "report": (("report", "old/verdict.json", "--format", "html", "--output"), 2),
    "compare": (("compare", "old", "new", "--output"), 2),
    "compare, with new findings": (("compare", "old", "new", "--fail-on", "new-findings", "--output"), 1),
    "fields import": (("fields", "import", "page.md", "--output"), 2),
    "schemas": (("schemas", "--output"), 2),
    "redact": (("redact", "run.jsonl"), 2),
}


@pytest.fixture
def inputs(folder: Path) -> Path:
    """What the commands read."""
    old, new = verdicts.passing(), verdicts.failing()
    old.verdict.subject_kind = new.verdict.subject_kind
    files.write_reports(old, folder / "old")
    files.write_reports(new, folder / "new")
    shutil.copy(min((folder / "new" / "evidence").iterdir()), folder / "run.jsonl")
    (folder / "page.md").write_text(markdown(load_edition()))
    return folder


@pytest.mark.parametrize("fault", ["full", "read-only"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_that_cannot_be_written(writer: str, fault: str, inputs: Path) -> None:
    """One line; what a comparison found outranks it. What stood there before is left."""
    words, wanted = WRITERS[writer]
    place = inputs / "full" if fault == "full" else inputs / "locked" / "file"
    if fault == "full" and writer != "schemas":
        place.write_text("before")
    ended = Row([*words, str(place)], file_bytes=100 if fault == "full" else None).run(inputs)
    said = check_what_was_said(ended, wanted)
    assert said.count("\n") == 1 and ("File too large" in said or "Permission denied" in said)
    assert not place.is_file() or place.read_text() == "before"
    assert not list(inputs.rglob(f"{TEMPORARY_PREFIX}*"))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("report", "old/verdict.json"), 2),
        (("compare", "old", "new"), 2),
        (("compare", "old", "new", "--fail-on", "new-findings"), 1),
        (("fields", "--group", "signaling"), 2),
        (("fields", "import", "page.md"), 2),
        (("requirements",), 2),
        (("config",), 2),
        (("help", "load"), 2),
    ],
    ids=lambda each: str(each) if isinstance(each, int) else " ".join(each),
)
def test_a_full_stdout(words: Sequence[str], wanted: int, inputs: Path, descriptors: list[int]) -> None:
    """What a command was started for is lost."""
    ended = Row([*words], streams={"stdout": broken_descriptor("full", descriptors)}).run(inputs)
    assert "stdout cannot be written: No space left on device" in check_what_was_said(ended, wanted)


URL: Final = "http://127.0.0.1:9"
"""Where nothing listens, which would be told if anything was sent."""

SENDERS: Final[tuple[tuple[str, ...], ...]] = (
    ("conform", URL),
    ("conform", URL, "--edition", "auto"),
    ("load", URL, "--rate", "1", "--duration", "1"),
    ("capacity", URL, "--slo", "p99<1s", "--max-rate", "1"),
    ("estimate", URL),
)
PLACES_NAMED: Final = ((), ("--output", "file/reports"), ("--record", "file/run.jsonl"))


@pytest.mark.parametrize(
    "words",
    [
        (*words, *more)
        for words, more in product(SENDERS, PLACES_NAMED)
        if "--record" not in more or words[0] in ("conform", "load")
    ],
    ids=str,
)
def test_folders_are_tried_before_anything_is_sent(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the reports, also where `--output` isn't given, and that of the recording."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ("file" if words[-1].startswith("file/") else "reports")).touch()
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "nothing can be written to the folder" in said.err and not said.out
