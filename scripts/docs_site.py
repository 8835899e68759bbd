"""
Builds the documentation's site from the pages as they stand in the repository: `make docs`.

The pages link to each other, and to files beside them, by paths within the repository. So they are put together in
`build/docs/pages` with the same paths, among them whatever file a page links to. What MkDocs warns of is an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
BUILD: Final = ROOT / "build" / "docs"
PAGES: Final = BUILD / "pages"

LINK: Final = re.compile(r"(?<=\]\()(?!https?://|mailto:|#)([^)#\s]+)")
"""The path of a link to a file of the repository, or of a picture."""


def copy_page(page: Path) -> None:
    """Copy a page and the files that it links to; a link to a folder leads to a page that lists its files."""

    def copy_target(link: re.Match[str]) -> str:
        target = (page.parent / link[0]).resolve()
        copy = PAGES / target.relative_to(ROOT)
        if target.is_dir():
            shutil.copytree(target, copy, dirs_exist_ok=True)
            (copy / "README.md").write_text(folder_page(target), encoding="utf-8")
            return f"{link[0].rstrip('/')}/README.md"
        if target.suffix != ".md":
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target, copy)
        return link[0]

    copy = PAGES / page.relative_to(ROOT)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(LINK.sub(copy_target, page.read_text(encoding="utf-8")), encoding="utf-8")


def folder_page(folder: Path) -> str:
    """A page that lists the files of a folder."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return f"# {folder.relative_to(ROOT).as_posix()}/\n\n" + "".join(f"- [{file}]({file})\n" for file in files)


def main() -> int:
    """Build the site; print what is wrong with the pages, and nothing else of what MkDocs says."""
    shutil.rmtree(BUILD, ignore_errors=True)
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "tests" / "README.md"):
        copy_page(page)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(ROOT / "mkdocs.yml")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # its advertisement of a successor
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
        print("\n".join([done.stdout.strip(), *lines]).strip(), file=sys.stderr)
        return 1
    print(f"the site is in {(BUILD / 'site').relative_to(ROOT)}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
