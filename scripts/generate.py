"""
Write what is generated and committed: schemas/, the reference pages of docs/, and the types of samples in tests.

`--check` writes nothing and ends with 1 where a file is missing, stale or left over; `make lint` runs that. Nothing
reads these files at run time: they are for people, for editors, and for tools that take JSON Schemas.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path
from typing import Final

from sora_stats_harness.api import edition
from sora_stats_harness.cli import schemas
from sora_stats_harness.reports import reference_pages as reference
from sora_stats_harness.testing import stub_generator as stub

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "harness" / "sora_stats_harness"


def wanted() -> dict[str, str]:
    """The text of every generated file, by its path from the top of the repository."""
    editions = [edition.load_edition(name) for name in edition.shipped_edition_names()]
    files = {f"schemas/{name}": text for name, text in schemas.schema_files(editions).items()}
    files["docs/FIELDS.md"] = reference.fields_page(edition.load_edition())
    files["docs/REQUIREMENTS.md"] = reference.requirements_page()
    files["harness/sora_stats_harness/testing/connection_sample.pyi"] = stub.render_stub(edition.load_edition())
    files["docs/ARCHITECTURE.md"] = architecture_page((ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    return files


def architecture_page(text: str) -> str:
    """docs/ARCHITECTURE.md with its table of modules written anew."""
    head, begin, rest = text.partition("from the first line of each module's docstring -->\n")
    _, end, tail = rest.partition("<!-- end -->")
    return head + begin + module_table() + end + tail


def module_table() -> str:
    """The first paragraph line of each module's docstring, room by room."""
    lines = ["| module | |", "| --- | --- |"]
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        first = " ".join(docstring.partition("\n\n")[0].split())
        lines.append(f"| `{name.removesuffix('__init__.py') or name}` | {first} |")
    return "\n".join(lines) + "\n"


def main(root: Path = ROOT) -> int:
    """Write the files, or compare with them."""
    parser = argparse.ArgumentParser(description="Write schemas/ and the generated pages of docs/.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 where a file is not as it should be"
    )
    check = parser.parse_args().check
    files = wanted()
    wrong = 0
    for name, text in files.items():
        path = root / name
        there = path.read_bytes() if path.is_file() else None
        if there == text.encode():
            continue
        wrong += 1
        print(f"{name} is {'missing' if there is None else 'stale'}" if check else f"wrote {name}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
    for path in sorted((root / "schemas").rglob("*.json")):
        name = path.relative_to(root).as_posix()
        if name not in files:  # of an edition that is gone
            wrong += 1
            print(f"{name} is left over" if check else f"removed {name}")
            if not check:
                path.unlink()
    if check and wrong:
        print("Run `make generate`, and commit what it writes.", file=sys.stderr)
        return 1
    print(f"{len(files)} generated files are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
