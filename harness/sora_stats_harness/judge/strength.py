"""
How strong a pass is: which share of faults it excludes.

A requirement that was checked N times without a violation says that a fault in more than about 3/N of what was checked would
have been seen, with 95 %: if a share p is wrong, independently of what is looked at, N checks miss it with a probability of
(1 - p)^N, which is 5 % where p is 1 - 0.05^(1/N) (the rule of three, Hanley and Lippman-Hand 1983).
"""

from __future__ import annotations

from math import ceil, log, log1p
from typing import Final

CONFIDENCE: Final = 0.95


def excluded_share(checked: int) -> float:
    """
    The smallest share of faults that so many checks would have seen, with 95 %.

    >>> round(excluded_share(3000), 6), excluded_share(1), excluded_share(0)
    (0.000998, 0.95, 1.0)
    """
    return 1 - (1 - CONFIDENCE) ** (1 / checked) if checked else 1.0


def checks_needed(share: float) -> int:
    """
    How often a requirement must be checked to exclude a share of faults.

    >>> checks_needed(0.001), checks_needed(0.95)
    (2995, 1)
    """
    return ceil(round(log(1 - CONFIDENCE) / log1p(-share), 9))
