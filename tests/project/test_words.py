"""Words that docs/GLOSSARY.md has replaced stay out of the package, the pages and the help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "harness" / "sora_stats_harness"
TEXTS: Final = [
    *sorted(
        path
        for path in [*PACKAGE.rglob("*"), *(ROOT / "docs").glob("*.md"), *(ROOT / "locustfiles").glob("*.py")]
        if path.suffix in {".c", ".css", ".md", ".py", ".pyi"}
    ),
    *(ROOT / name for name in ("CONTRIBUTING.md", "README.md", "tests/README.md")),
]

RETIRED: Final = {
    r"(?<!--)(?<!arguments\.)answer(s|ed|ing)?": "response",
    r"unanswered": "without a response",
    r"(complete|whole) answers?": "complete response",
    r"readings|(a|the|each|one|no|last|torn) reading": "sample",
    r"lateness": "send delay",
    r"generator('s)? delay": "receive delay",
    r"overslept": "send delay",
    r"amiss": "violated",
    r"(is|are|was|were) missed|misses (a|no) (MUST|PROVEN|HABIT)": "violated",
    r"(?<!timestamp )order\.(realtime|timestamp)": "counter.monotonic, counter.timestamp_order",
    r"errands?|fleets?|rigs?": "worker, StepRunner",
    r"(is|are) no number of": "must be an integer from … to …",
    r"waited with": "is judged at once",
}
"""Each as a regular expression over whole words, with the word that took its place."""


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_retired_words_are_gone(path: Path) -> None:
    """No text says with a retired word what the glossary has another word for."""
    text = path.read_text(encoding="utf-8")
    words = re.sub(r"_", " ", text)  # identifiers are made of words as well
    found = {
        (match[0], instead)
        for retired, instead in RETIRED.items()
        for match in re.finditer(rf"\b(?:{retired})\b", words, re.IGNORECASE)
    }
    assert found == set()
