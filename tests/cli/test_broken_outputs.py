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
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

EXAMPLE: Final = Path(__file__).parents[1] / "data" / "example_response.json"
BROKEN: Final = EXAMPLE.read_text().replace('"total_received_rtp"', '"total_received_rtq"', 1)

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")

RESULTS: Final = {"pass": 0, "fail": 1, "inconclusive": 3, "usage": 2}
"""How a run ends where nothing is broken."""

STREAMS: Final[dict[tuple[str, str], dict[str, int]]] = {
    # (fault, stream): the exit code of each result, where it differs
    ("full", "stdout"): {"pass": 2, "inconclusive": 2},
    ("full", "stderr"): {},
    ("closed", "stdout"): {},
    ("closed", "stderr"): {},
    ("broken pipe", "stdout"): {},
    ("broken pipe", "stderr"): {},
}

FOLDERS: Final[dict[tuple[str, str], dict[str, int]]] = {
    # a folder that can't be written to is refused before the run, whatever it would have found
    ("full", "reports"): {"pass": 2, "fail": 1, "inconclusive": 2},
    ("read-only", "reports"): {"pass": 2, "fail": 2, "inconclusive": 2},
    # what comes from stdin is kept there; an empty list is small enough, and Python has other folders than TMPDIR
    ("full", "TMPDIR"): {"pass": 2, "fail": 2},
    ("read-only", "TMPDIR"): {},
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with one input for each result."""
    (tmp_path / "pass.json").write_text(EXAMPLE.read_text())
    (tmp_path / "fail.json").write_text(BROKEN)
    (tmp_path / "inconclusive.json").write_text("[]")
    yield tmp_path
    for each in tmp_path.rglob("*"):
        if each.is_dir():
            each.chmod(0o755)


def program(result: str, folder: Path, *words: str) -> list[str]:
    """A command line with that result; root is made to obey permissions."""
    obedient = []
    if os.geteuid() == 0 and (setpriv := shutil.which("setpriv")):
        dropped = "-dac_override,-dac_read_search"
        obedient = [setpriv, f"--inh-caps={dropped}", f"--bounding-set={dropped}"]
    if result == "usage":
        return [*obedient, sys.executable, "-m", "sora_stats_harness", "check", "--no-such-option"]
    file = str(folder / f"{result}.json")
    return [*obedient, sys.executable, "-m", "sora_stats_harness", "check", file, *words]


def broken_stream(fault: str) -> int:
    """A descriptor that nothing can be written to."""
    if fault == "full":
        return os.open("/dev/full", os.O_WRONLY)
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize(("fault", "stream"), STREAMS)
def test_a_broken_stream(fault: str, stream: str, result: str, folder: Path) -> None:
    """stdout and stderr; what the other one says is read."""
    words = program(result, folder)
    if fault == "closed":
        number = {"stdout": 1, "stderr": 2}[stream]
        words = ["sh", "-c", f'exec "$@" {number}>&-', "sh", *words]
        ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    else:
        descriptor = broken_stream(fault)
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: descriptor}
        ended = subprocess.run(words, **streams, text=True, timeout=60, check=False)  # type: ignore[call-overload]
        os.close(descriptor)
    told = (ended.stdout or "") + (ended.stderr or "")
    assert ended.returncode == {**RESULTS, **STREAMS[fault, stream]}[result], told
    assert "Traceback" not in told and "fault of the harness" not in told and "Exception ignored" not in told
    if fault == "full" and stream == "stdout" and result != "usage":
        assert "stdout cannot be written: No space left on device" in told


def limit_file_size(size: int) -> None:
    """Make files of this process end at a size, as a disk does that fills up during the run."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize(("fault", "where"), FOLDERS)
def test_a_broken_folder(fault: str, where: str, result: str, folder: Path) -> None:
    """The reports' folder, and TMPDIR, where a body from stdin is kept."""
    broken = folder / "broken"
    broken.mkdir()
    environment = dict(os.environ)
    words = program(result, folder, *(["--output", str(broken / "reports")] if where == "reports" else []))
    body = None
    if where == "TMPDIR" and result != "usage":
        environment["TMPDIR"] = str(broken)
        body = Path(words[-1]).read_text()
        words[-1] = "-"
    if fault == "read-only":
        broken.chmod(0o555)
    ended = subprocess.run(
        words,
        env=environment,
        input=body,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=(lambda: limit_file_size(8192)) if fault == "full" else None,
    )
    told = ended.stdout + ended.stderr
    wanted = {**RESULTS, **FOLDERS[fault, where]}[result]
    assert ended.returncode == wanted, told
    assert "Traceback" not in told and "a fault of the harness" not in told
    if wanted != 0:
        assert "PASS" not in told
    assert not list(broken.rglob("*trial")), "nothing is left of the trial"


@pytest.mark.parametrize("words", [("--record", "run.jsonl"), ()], ids=["recording", "reports"])
def test_folders_are_tried_before_anything_is_sent(words: tuple[str, ...], folder: Path) -> None:
    """Nothing listens at the URL, and that is never found out; also where --output isn't given."""
    locked = folder / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    given = [str(locked / word) if word == "run.jsonl" else word for word in words]
    command = program("pass", folder)
    command[command.index("check") :] = ["conform", "http://127.0.0.1:9", *given]
    where = folder if words else locked
    ended = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "nothing can be written to the folder" in ended.stderr
    assert ended.stderr.count("\n") == 1 and not ended.stdout


def test_a_full_disk_ends_a_recording_and_not_the_run(folder: Path) -> None:
    """The verdict has a note."""
    command = program("pass", folder)
    command[command.index("check") :] = [
        "conform",
        "--duration",
        "0.3",
        "--max-duration",
        "0.4",
        "--record",
        "/dev/full",
    ]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode in (0, 3), ended.stderr
    assert "No space left on device" in ended.stdout
