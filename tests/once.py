"""What several pytest-xdist workers share: the first one that needs it makes it, the others wait and use it."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """
    Give a folder that is filled once a test run.

    Args:
        factory: Pytest's `tmp_path_factory`.
        name: Of the folder.
        make: Fills the folder, which exists and is empty. If it raises, the next caller tries again.
    """
    top = factory.getbasetemp()
    if top.name.startswith("popen-"):  # a worker's own; the run's is above
        top = top.parent
    folder, done = top / name, top / f"{name}.done"
    with (top / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed
        if not done.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            done.touch()
    return folder
