"""Reads verdicts: one, or all that a file, a folder or a pattern names."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Final

from ..api.errors import UsageError
from ..api.input_budget import MAX_VERDICT_BYTES, path_exists, read_small_file
from ..judge.verdict import Verdict, decode_verdict

VERDICT_FILE: Final = "verdict.json"


def read_runs(given: str) -> list[tuple[str, Verdict]]:
    """
    Read every verdict that a file, a folder or a pattern names, each with its file.

    Raises:
        UsageError: There is none, or one of them cannot be read.
    """
    if path_exists(given):
        paths = [Path(given)]
    else:
        matched = map(Path, sorted(glob.glob(given, recursive=True)))  # noqa: PTH207  # Path.glob doesn't accept absolute patterns
        # Other files beside the runs, such as logs, match as well.
        paths = [path for path in matched if path.is_dir() or path.suffix == ".json"]
    if not paths:
        raise UsageError(f"there is no file or folder {given}")
    found = dict.fromkeys(file for path in paths for file in _find_verdicts(path))
    if not found:
        raise UsageError(f"there is no {VERDICT_FILE} in {given}")
    return [(str(path), read_verdict(path)) for path in found]


def read_verdict(path: Path, name: str | None = None) -> Verdict:
    """
    Read a verdict.json, which error messages call `name`, or by its path.

    Raises:
        UsageError: It cannot be read, or is no verdict.
    """
    name = name or str(path)
    return decode_verdict(read_small_file(path, limit=MAX_VERDICT_BYTES, name=name), name)


def _find_verdicts(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    own = path / VERDICT_FILE
    return [own] if own.exists() else find_verdict_files(path)


def find_verdict_files(folder: Path) -> list[Path]:
    """Every verdict.json below a folder, by path."""
    return sorted(folder.rglob(VERDICT_FILE))
