"""`sora-harness fields import PAGE`: makes an edition from a page of the documentation."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ..api.errors import EditionError
from ..api.input_budget import read_small_file
from ..reports.escaping import escape_terminal
from .output import write_message, write_result


def run_fields_import(page: str, *, output: str | None, name: str | None) -> int:
    """
    Read a page's field list, write it as an edition's file, and print notes about it on stderr.

    Args:
        page: A file with the page as HTML, text or Markdown; `-` for stdin.
        output: Where to write the edition; None for stdout.
        name: The name of the edition; None for one made from the file's name.

    Raises:
        EditionError: The page cannot be read; the message names its line.
        OutputError: The edition cannot be written.
    """
    from ..api import edition_import as pages

    origin = "stdin" if page == "-" else Path(page).name
    name = name or re.sub(r"[^A-Za-z0-9]+", "-", Path(origin).stem).strip("-").lower() or "imported"
    imported = pages.import_edition(_read_page(page), origin=origin, name=name)
    write_result(imported.text, None if output is None else Path(output))
    counted = len(imported.edition.fields)
    notes = [f"{counted} fields read from {origin}, {len(imported.inferred)} of them not in any known edition"]
    for line in [*notes, *imported.notes]:
        write_message(escape_terminal(line, 500) + "\n", sys.stderr)
    return 0


def _read_page(page: str) -> bytes:
    from ..api.edition_import.outline import MAX_PAGE_BYTES

    source, name = (sys.stdin.fileno(), "the page from stdin") if page == "-" else (page, f"the page {page}")
    return read_small_file(source, limit=MAX_PAGE_BYTES, name=name, error=EditionError)
