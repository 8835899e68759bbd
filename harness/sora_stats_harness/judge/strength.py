"""
Computes how strong a pass is: which share of faults it excludes.

If a requirement was checked N times without a violation, a fault in more than 3/N of what was checked would have been
seen, with 95 % confidence: if a share p is wrong, at random, N checks all miss it with a probability of (1 - p)^N,
which is below 5 % for p = 3/N (the rule of three, Hanley and Lippman-Hand 1983).
"""

from __future__ import annotations

from math import ceil
from typing import Final

RULE_OF_THREE: Final = 3.0


def excluded_share(checked: int) -> float:
    """
    The smallest share of faults that this many checks would have seen, with 95 % confidence.

    >>> excluded_share(3000), excluded_share(2)
    (0.001, 1.0)
    """
    return min(1.0, RULE_OF_THREE / checked)


def checks_needed(share: float) -> int:
    """
    How often a requirement must be checked to exclude a larger share of faults.

    >>> checks_needed(0.001)
    3000
    """
    return ceil(round(RULE_OF_THREE / share, 9))
