"""
When a run ends itself: no server is kept under a load that it plainly does not bear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ..api.errors import UsageError
from .request_metrics import RequestMetrics

_LIMIT_PATTERN = re.compile(r"(errors|p99)>([0-9.]+)(%|us|ms|s)")
_UNITS_US: Final = {"us": 1, "ms": 1_000, "s": 1_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortLimit:
    """When to abort: a share of errors, or a 99th percentile of response time, over the last ten seconds."""

    text: str
    errors: float | None = None
    p99_us: int | None = None

    def is_exceeded(self, metrics: RequestMetrics) -> bool:
        """Whether it is exceeded; never on fewer than a hundred responses."""
        if self.errors is not None:
            share = metrics.recent_error_share()
            return share is not None and share > self.errors
        assert self.p99_us is not None, "a limit is one or the other"
        return metrics.recent_p99_exceeds(self.p99_us)


def parse_abort_limit(text: str) -> AbortLimit:
    """
    Read a limit: `errors>5%`, `p99>10s`.

    Raises:
        UsageError: It is none.

    >>> parse_abort_limit("p99>50ms").p99_us
    50000
    """
    parts = _LIMIT_PATTERN.fullmatch(text.replace(" ", ""))
    if parts is None or (parts[1] == "errors") != (parts[3] == "%") or parts[2].count(".") > 1:
        raise UsageError(f"--abort-when: {text!r} is no limit: give errors>5% or p99>10s")
    if parts[3] == "%":
        return AbortLimit(text=text, errors=float(parts[2]) / 100)
    return AbortLimit(text=text, p99_us=int(float(parts[2]) * _UNITS_US[parts[3]]))
