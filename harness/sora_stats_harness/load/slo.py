"""
What a server is held to while the rate rises: service level objectives, as people write them.

The grammar, blanks aside:

    slo      = [ target ":" ] ( quantile "<" time | "errors" "<" share )
    target   = "GetStatsConnection" | "GetStatsClient" | "GetStatsAllConnections"
    quantile = "p" number from 1 to 99.99, or "max"
    time     = number ( "us" | "ms" | "s" )
    share    = number "%"

Times are response times, from when a request was due. Without a target an SLO is on all requests together. A request
that has no complete response by then is slower than any time; a response of status 500 and above is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ..api.errors import UsageError
from ..api.exchange import TARGET_OF_OPERATION

_SLO_PATTERN: Final = re.compile(
    r"(?:([A-Za-z]+):)?(p[0-9]{1,2}(?:\.[0-9]{1,2})?|max|errors)<([0-9]+(?:\.[0-9]+)?)(us|ms|s|%)"
)
_UNITS_US: Final = {"us": 1.0, "ms": 1e3, "s": 1e6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """One objective: `quantile` (percent) below `limit_us`, or the share of `errors` below a limit."""

    text: str
    target: str | None = None
    """An operation; None for all requests."""
    quantile: float | None = None
    limit_us: int | None = None
    errors: float | None = None

    @property
    def requests_needed(self) -> int:
        """
        How many requests decide it: with three times as many as one miss is allowed in, a server that misses it a little
        is found to in 19 of 20 windows (the rule of three).
        """
        allowed = self.errors if self.errors is not None else 1 - (self.quantile or 0) / 100
        return max(10, round(3 / allowed)) if allowed > 1e-6 else 1000


def parse_slo(text: str) -> Slo:
    """
    Read an SLO.

    Raises:
        UsageError: It is none.

    >>> parse_slo("GetStatsAllConnections:p99 < 800ms").limit_us
    800000
    >>> parse_slo("errors<0.1%").errors
    0.001
    """
    plain = text.replace(" ", "")
    parts = _SLO_PATTERN.fullmatch(plain)
    if parts is None or (parts[2] == "errors") != (parts[4] == "%"):
        raise UsageError(f"--slo: {text!r} is no SLO: give p99<50ms, GetStatsAllConnections:p99<800ms or errors<0.1%")
    target, what, number, unit = parts.groups()
    if target is not None and target not in TARGET_OF_OPERATION:
        raise UsageError(f"--slo: {text!r}: {target!r} is none of {', '.join(TARGET_OF_OPERATION)}")
    value = float(number)
    if value == 0:
        raise UsageError(f"--slo: {text!r}: nothing is below 0")
    if what == "errors":
        if value > 100:
            raise UsageError(f"--slo: {text!r}: every share is below that")
        return Slo(text=plain, target=target, errors=value / 100)
    quantile = 100.0 if what == "max" else float(what[1:])
    if quantile < 1:
        raise UsageError(f"--slo: {text!r}: quantiles are p1 to p99.99")
    return Slo(text=plain, target=target, quantile=quantile, limit_us=round(value * _UNITS_US[unit]))


def shortest_limit_us(slos: tuple[Slo, ...]) -> int | None:
    """The shortest time of any; None where none is on time."""
    return min((each.limit_us for each in slos if each.limit_us is not None), default=None)


def longest_limit_us(slos: tuple[Slo, ...]) -> int | None:
    """The longest time of any; None where none is on time."""
    return max((each.limit_us for each in slos if each.limit_us is not None), default=None)
