"""
Writes and reads the folder of a run: verdict.json, junit.xml, report.html, summary.md, and evidence/.

Only a new or empty folder is used, or one with the files of an earlier run, which are replaced. Each file appears
complete or not at all.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from ..api.errors import OutputError, UsageError
from ..api.input_budget import is_folder, path_exists
from ..judge.verdict import Verdict
from ..recording.output_file import TEMPORARY_PREFIX, create_file, write_beside
from . import evidence_files as evidence
from .escaping import safe_file_name
from .report import VerdictReport
from .report_formats import REPORT_FORMATS, report_renderer
from .verdict_files import VERDICT_FILE, read_verdict

DEFAULT_FOLDER: Final = Path("reports")
"""By default a run makes its folder below this one."""

_FILE_NAMES: Final = {name: row.file_name for name, row in REPORT_FORMATS.items() if row.file_name is not None}
_EVIDENCE_NAME: Final = re.compile(r"[0-9]{3,}-[A-Za-z0-9._-]+\.jsonl")

TRIAL_BYTES: Final = 4096
"""The size of the file that is written to test whether that is possible."""

OWN_NAMES: Final = frozenset({VERDICT_FILE, *_FILE_NAMES.values(), evidence.EVIDENCE_FOLDER})
"""The files that a folder may contain before a run writes to it."""


def check_report_folder(folder: Path) -> None:
    """
    Check whether reports may be written to a folder.

    Raises:
        UsageError: It is not a folder and cannot become one, or it contains files that are not from a run.
    """
    if not path_exists(folder):
        try_folder(folder)
        return
    if not folder.is_dir():
        raise UsageError(f"the output {folder} is a file: name a folder")
    try:
        others = sorted(
            path.name
            for path in folder.iterdir()
            if path.name not in OWN_NAMES and not path.name.startswith(TEMPORARY_PREFIX)
        )
    except OSError as error:
        raise UsageError(f"the output folder {folder} cannot be read: {error.strerror}") from None
    if others:
        raise UsageError(f"the output folder {folder} contains other files ({others[0]!r}): name a new or an empty one")
    try_folder(folder)


def try_folder(folder: Path) -> None:
    """
    Test whether a folder can be made and a file written there; both are removed again.

    Raises:
        OutputError: It cannot be made, or nothing can be written there.
    """
    made = [each for each in (folder, *folder.parents) if not path_exists(each)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / f"{TEMPORARY_PREFIX}{os.getpid()}-trial"  # a name that nothing else uses
        write_file_atomically(trial, bytes(TRIAL_BYTES))
        trial.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"nothing can be written to the folder {folder}: {reason}: name another") from None
    finally:
        for each in made:
            with suppress(OSError):
                each.rmdir()


def make_report_folder(command: str, parent: Path = DEFAULT_FOLDER) -> Path:
    """
    Make the default folder, `reports/conform-20261124T031500Z`, with a suffix if that is taken.

    Raises:
        OSError: It cannot be made.
    """
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = parent / (f"{safe_file_name(command)}-{stamp}" + (f"-{number}" if number > 1 else ""))
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def write_reports(report: VerdictReport, folder: Path) -> None:
    """
    Write every file of a report. verdict.json is removed first and written last, so that it is never seen with other
    files.

    Raises:
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / VERDICT_FILE).unlink(missing_ok=True)
    proof = folder / evidence.EVIDENCE_FOLDER
    keep = set()
    for entry in report.verdict.findings:
        for name in entry.evidence:
            proof.mkdir(exist_ok=True)
            # As private as a recording, since it is one.
            write_file_atomically(
                folder / name, evidence.encode_evidence(report.verdict, report.evidence_of(entry)), private=True
            )
            keep.add((folder / name).name)
    for path in [*proof.iterdir()] if proof.is_dir() else ():
        if _EVIDENCE_NAME.fullmatch(path.name) and path.name not in keep:
            path.unlink()
    placed = replace(report, folder=path_in_checkout(folder))
    for kind, name in _FILE_NAMES.items():
        text = report_renderer(kind)(placed)
        # the page shows evidence, so it is as private
        write_file_atomically(folder / name, text.encode("utf-8"), private=kind == "html")
    write_file_atomically(folder / VERDICT_FILE, verdict_to_json(report.verdict).encode("ascii"))


def path_in_checkout(folder: Path) -> str | None:
    """
    A folder's path from the top of the checkout: GitLab names it, else it is the current folder.

    Returns:
        None if it is outside, or the path would break the syntax of an attachment.
    """
    top = Path(os.environ.get("CI_PROJECT_DIR") or ".").resolve()
    try:
        path = folder.resolve().relative_to(top).as_posix()
    except ValueError:
        return None
    return None if set(path) & set("[]|") else path


def list_report_files(folder: Path) -> list[str]:
    """The names of a run's files in a folder, for a person."""
    return sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir() if path.name in OWN_NAMES)


def verdict_to_json(verdict: Verdict) -> str:
    """The text of verdict.json, in ASCII, since text from a server may harm a terminal."""
    text = json.dumps(msgspec.to_builtins(verdict), indent=2).replace("\x7f", "\\u007f")
    return text.replace("##", "#\\u0023") + "\n"  # some CI runners would execute `##[` when it is printed


def read_report(path: Path) -> VerdictReport:
    """
    Read a verdict.json, or that of a folder, with the evidence beside it.

    Raises:
        UsageError: It cannot be read, or is not a verdict.
    """
    path = path / VERDICT_FILE if is_folder(path) else path
    verdict = read_verdict(path)
    return VerdictReport(
        verdict=verdict,
        evidence=evidence.read_evidence_folder(path.parent, verdict),
        folder=path_in_checkout(path.parent),
    )


def write_file_atomically(path: Path, data: bytes, *, private: bool = False) -> None:
    """
    Write a file, which appears complete or not at all.

    Raises:
        OSError: It cannot be written; then nothing is left behind.
    """
    with write_beside(path) as beside, create_file(beside, private=private) as file:
        file.write(data)
