"""
Write what is generated and committed: schemas/, the reference pages of docs/, and the types of readings in tests.

`--check` writes nothing and ends with 1 where a file is missing, stale or left over; `make lint` runs that. Nothing
reads these files at run time: they are for people, for editors, and for tools that take JSON Schemas.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from sora_stats_harness.api import edition
from sora_stats_harness.cli import schemas
from sora_stats_harness.reports import reference
from sora_stats_harness.simulator import fidelity
from sora_stats_harness.testing import stub

ROOT: Final = Path(__file__).resolve().parent.parent


def wanted() -> dict[str, str]:
    """The text of every generated file, by its path from the top of the repository."""
    editions = [edition.load(name) for name in edition.names()]
    files = {f"schemas/{name}": text for name, text in schemas.documents(editions).items()}
    files["docs/FIELDS.md"] = reference.fields_page(edition.load())
    files["docs/REQUIREMENTS.md"] = reference.requirements_page()
    files["docs/FIDELITY.md"] = fidelity.render()
    files["harness/sora_stats_harness/testing/stats.pyi"] = stub.render(edition.load())
    return files


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
