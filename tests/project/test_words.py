"""Words that docs/GLOSSARY.md has replaced stay out of the package, the pages and the help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

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


ANY_RETIRED: Final = re.compile(rf"\b(?:{'|'.join(RETIRED)})\b", re.IGNORECASE)


def test_retired_words_are_gone() -> None:
    """No text says with a retired word what the glossary has another word for."""
    found = [
        (path.relative_to(ROOT), match[0], [new for old, new in RETIRED.items() if re.fullmatch(old, match[0], re.I)])
        for path in TEXTS
        for match in ANY_RETIRED.finditer(path.read_text(encoding="utf-8").replace("_", " "))  # names of words as well
    ]
    assert found == []
