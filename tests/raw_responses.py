"""
The corpus of raw responses in `data/http1/responses.toml`, for whoever reads responses.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CORPUS: Final = Path(__file__).parent / "data" / "http1" / "responses.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawResponse:
    """What a server writes, and what is to come of it; the file's head explains each key."""

    name: str
    why: str
    data: bytes
    closes: bool
    method: str
    outcome: str
    status: int | None
    body: bytes | None
    """None where there are only `body_bytes`."""
    body_bytes: int
    keep: bool
    faults: tuple[str, ...]
    findings: tuple[str, ...]
    text: str | None


def load() -> list[RawResponse]:
    """All of them."""
    return [_row(row) for row in tomllib.loads(CORPUS.read_text(encoding="utf-8"))["response"]]


def _row(row: dict[str, Any]) -> RawResponse:
    repeated = row.get("repeated", "") * row.get("times", 0)
    body = row.get("body", "").encode("latin-1")
    return RawResponse(
        name=row["name"],
        why=row["why"],
        data=(row["bytes"] + repeated + row.get("then", "")).encode("latin-1"),
        closes=row.get("end", "close") == "close",
        method=row.get("method", "POST"),
        outcome=row["outcome"],
        status=row.get("status"),
        body=None if "body_bytes" in row else body,
        body_bytes=row.get("body_bytes", len(body)),
        keep=row.get("keep", False),
        faults=tuple(row["faults"]),
        findings=tuple(row["findings"]),
        text=row.get("text"),
    )
