"""
Golden files: reports as they are meant to look, to be read by eye in a diff.

`python -m tests.reports.golden` writes them again after a change that was intended.
"""

from __future__ import annotations

from pathlib import Path

from sora_stats_harness.reports.report_formats import report_renderer

from .verdicts import KINDS, PAGES

FOLDER = Path(__file__).parent / "golden"
SUFFIXES = {"text": "txt", "markdown": "md", "junit": "xml"}
"""HTML is looked at in a browser; a golden page would only repeat the style sheet."""

CASES = [(kind, form) for kind in (*KINDS, "loaded", "sized") for form in SUFFIXES]


def path(kind: str, form: str) -> Path:
    """Where the golden report of a kind of run is."""
    return FOLDER / f"{kind}.{SUFFIXES[form]}"


def report(kind: str, form: str) -> str:
    """The report as it is now."""
    return report_renderer(form)(PAGES[kind]())


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for kind, form in CASES:
        path(kind, form).write_text(report(kind, form), encoding="utf-8")
