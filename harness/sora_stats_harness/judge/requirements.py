"""
The registry of requirements: every rule that a server can be held against, collected from the checks.

Checks report violations of these and nothing else, reporters print them, and the reference page is generated from them.
"""

from __future__ import annotations

from typing import Final

from .requirement import (
    DEFAULT_SEVERITY,
    OBSERVED_BY_CLIENTS,
    Finding,
    Level,
    RequiredCapability,
    Requirement,
    Severity,
)
from .standard_checks import STANDARD_CHECKS

__all__ = [
    "DEFAULT_SEVERITY",
    "OBSERVED_BY_CLIENTS",
    "REQUIREMENTS",
    "Finding",
    "Level",
    "RequiredCapability",
    "Requirement",
    "Severity",
]

_FAMILIES: Final = ("http", "shape", "identity", "relation", "counter", "clock", "request", "cluster")


def _rank(row: Requirement) -> tuple[int, int]:
    """The weightiest first and families together; within a family as the checks have them."""
    family = row.id.partition(".")[0]
    return -row.level, _FAMILIES.index(family) if family in _FAMILIES else len(_FAMILIES)


REQUIREMENTS: Final[dict[str, Requirement]] = {
    row.id: row for row in sorted((row for check in STANDARD_CHECKS for row in check.requirements), key=_rank)
}
"""Every requirement by id, the weightiest first and families together: the order in which reports show them."""
