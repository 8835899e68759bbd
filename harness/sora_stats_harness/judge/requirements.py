"""
The registry of requirements: every rule that a server can be judged by, collected from the checks.

Checks report violations of these only. Reports print them, and the reference page is generated from them.
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
    """The order of the registry: higher levels first, families together, within a family as in the checks."""
    family = row.family
    return -row.level, _FAMILIES.index(family) if family in _FAMILIES else len(_FAMILIES)


REQUIREMENTS: Final[dict[str, Requirement]] = {
    row.id: row for row in sorted((row for check in STANDARD_CHECKS for row in check.requirements), key=_rank)
}
"""Every requirement by id; higher levels first and families together, the order in which reports show them."""
