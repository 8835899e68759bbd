"""
Check what would be published: twine, check-wheel-contents and validate-pyproject, and pyright for the types of the wheel.

Pyright is npm's; where there is no npm, that is said. It is installed beside the wheel in a folder that is removed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PYRIGHT: Final = "pyright@1.1.414"
STEP_SECONDS: Final = 300


def run(*command: str | Path, folder: Path = ROOT, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """A command's exit status, and its output."""
    done = subprocess.run(
        [str(each) for each in command],
        cwd=folder,
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout


def check_types(wheel: Path) -> str | None:
    """What pyright finds in the wheel's types; None where each public name has one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "env", with_pip=False, symlinks=True)
        bin_ = folder / "env" / "bin"
        uv = Path(sys.executable).parent / "uv"
        wanted = f"{wheel}[charts,hypothesis,load,pytest]"
        commands: tuple[list[str | Path], ...] = (
            [uv, "pip", "install", "--quiet", "--python", bin_ / "python", wanted],
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, PYRIGHT],
        )
        for command in commands:
            status, told = run(*command, folder=folder)
            if status != 0:
                return told
        environment = {"PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(folder / "env")}
        pyright = folder / "node_modules" / ".bin" / "pyright"
        _, told = run(
            pyright, "--ignoreexternal", "--verifytypes", "sora_stats_harness", folder=folder, environment=environment
        )
    score = re.search(r"Type completeness score: (\S+)", told)
    return None if score is not None and score[1] == "100%" else told


def main() -> int:
    """Run every check, and say what each finds."""
    parser = argparse.ArgumentParser(description="Check sdist and wheel.")
    parser.add_argument("folder", type=Path, help="where they are")
    folder: Path = parser.parse_args().folder.resolve()
    (wheel,) = folder.glob("*.whl")
    bin_ = Path(sys.executable).parent
    checks: dict[str, list[str | Path]] = {
        "twine": [bin_ / "twine", "check", "--strict", *folder.iterdir()],
        "check-wheel-contents": [bin_ / "check-wheel-contents", wheel],
        "validate-pyproject": [
            bin_ / "validate-pyproject",
            "--disable",
            "setuptools",
            "distutils",
            "--",
            "pyproject.toml",
        ],
    }
    wrong = 0
    for name, command in checks.items():
        status, told = run(*command)
        wrong += status != 0
        print(f"{name}: {'ok' if status == 0 else told}")
    if shutil.which("npm") is None:
        print("pyright: not run, there is no npm here")
    else:
        told_types = check_types(wheel)
        wrong += told_types is not None
        print(f"pyright --verifytypes: {'100%' if told_types is None else told_types}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
