"""
When a run ends itself: no server is kept under a load that it plainly does not bear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ..api.errors import UsageError
from .metrics import Metrics

_LIMIT = re.compile(r"(errors|p99)>([0-9.]+)(%|us|ms|s)")
_TIMES_US: Final = {"us": 1, "ms": 1_000, "s": 1_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """When to abort: a share of errors, or a 99th percentile of response time, over the last ten seconds."""

    text: str
    errors: float | None = None
    p99_us: int | None = None

    def reached(self, metrics: Metrics) -> bool:
        """Whether it is exceeded; never on fewer than a hundred answers."""
        if self.errors is not None:
            share = metrics.recent_errors()
            return share is not None and share > self.errors
        assert self.p99_us is not None, "a limit is one or the other"
        return metrics.recent_p99_exceeds(self.p99_us)


def limit(text: str) -> Limit:
    """
    Read a limit: `errors>5%`, `p99>10s`.

    Raises:
        UsageError: It is none.

    >>> limit("p99>50ms").p99_us
    50000
    """
    parts = _LIMIT.fullmatch(text.replace(" ", ""))
    if parts is None or (parts[1] == "errors") != (parts[3] == "%") or parts[2].count(".") > 1:
        raise UsageError(f"--abort-when: {text!r} is no limit: give errors>5% or p99>10s")
    if parts[3] == "%":
        return Limit(text=text, errors=float(parts[2]) / 100)
    return Limit(text=text, p99_us=int(float(parts[2]) * _TIMES_US[parts[3]]))
