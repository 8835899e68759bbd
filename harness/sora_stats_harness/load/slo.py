"""
Parses service level objectives and abort limits.

The grammar, without blanks:

    slo      = [ target ":" ] ( quantile "<" time | "errors" "<" share )
    limit    = quantile ">" time | "errors" ">" share
    target   = "GetStatsConnection" | "GetStatsClient" | "GetStatsAllConnections"
    quantile = "p" number from 1 to 99.99, or "max"
    time     = number ( "us" | "ms" | "s" )
    share    = number "%"

Times are response times, from when a request was due. Without a target an SLO is about all requests together. For an
SLO a request without a complete response is slower than any time; for an abort limit it took as long as it waited. A
response of status 500 and above is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ..api.errors import UsageError, suggest_nearest
from ..api.exchange import TARGET_OF_OPERATION
from .request_metrics import RequestMetrics

_PATTERN: Final = re.compile(
    r"(?:([A-Za-z]+):)?(p[0-9]{1,2}(?:\.[0-9]{1,2})?|max|errors)([<>])([0-9]{1,9}(?:\.[0-9]{1,9})?)(us|ms|s|%)"
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
    def allowed_share(self) -> float:
        """The share of requests that may be slower than the limit, or errors."""
        return self.errors if self.errors is not None else 1 - (self.quantile or 0) / 100

    @property
    def requests_needed(self) -> int:
        """
        How many requests decide it in a capacity search.

        With three times as many requests as allow one violation, a server that violates it slightly is detected in 19
        of 20 windows (the rule of three).
        """
        return max(10, round(3 / self.allowed_share)) if self.allowed_share > 1e-6 else 1000

    @property
    def requests_carrying(self) -> int:
        """The least number of requests that allows one to be slower: p99 needs 100."""
        return round(1 / self.allowed_share) if self.allowed_share > 1e-6 else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortLimit:
    """When a run aborts itself: a share of errors, or a quantile of response time, over the last ten seconds."""

    text: str
    quantile: float | None = None
    limit_us: int | None = None
    errors: float | None = None

    def is_exceeded(self, metrics: RequestMetrics) -> bool:
        """Whether the limit is exceeded; False for fewer than a hundred requests."""
        if self.errors is not None:
            share = metrics.recent_error_share()
            return share is not None and share > self.errors
        assert self.quantile is not None, "a limit is on errors or on a time"
        assert self.limit_us is not None, "and a time has a limit"
        return metrics.recent_percentile_exceeds(self.quantile, self.limit_us)


def parse_slo(text: str, where: str = "--slo") -> Slo:
    """
    Read an SLO.

    Args:
        text: A text of the grammar.
        where: What to call its origin in an error message.

    Raises:
        UsageError: It is not an SLO.

    >>> parse_slo("GetStatsAllConnections:p99 < 800ms").limit_us
    800000
    >>> parse_slo("errors<0.1%").errors
    0.001
    """
    plain = text.replace(" ", "")
    parts = _match(plain, "<")
    if parts is None:
        raise UsageError(
            f"{where}: {text!r} is not an SLO: give p99<50ms, GetStatsAllConnections:p99<800ms or errors<0.1%"
        )
    target = parts[1]
    if target is not None and target not in TARGET_OF_OPERATION:
        near = suggest_nearest(target, TARGET_OF_OPERATION)
        raise UsageError(f"{where}: {text!r}: {target!r} must be one of {', '.join(TARGET_OF_OPERATION)}{near}")
    quantile, limit_us, errors = _read_values(parts, text, where)
    if errors is not None and errors > 1:
        raise UsageError(f"{where}: {text!r}: every share is below that")
    if errors == 0 or limit_us == 0:
        raise UsageError(f"{where}: {text!r}: nothing is below 0")
    return Slo(text=plain, target=target, quantile=quantile, limit_us=limit_us, errors=errors)


def parse_abort_limit(text: str) -> AbortLimit:
    """
    Read a limit: `errors>5%`, `p99>10s`.

    Raises:
        UsageError: It is not a limit.

    >>> parse_abort_limit("p99>50ms").limit_us
    50000
    """
    plain, where = text.replace(" ", ""), "--abort-when"
    parts = _match(plain, ">")
    if parts is None or parts[1] is not None:
        raise UsageError(f"{where}: {text!r} is not a limit: give errors>5% or p99>10s")
    quantile, limit_us, errors = _read_values(parts, text, where)
    if errors is not None and errors >= 1:
        raise UsageError(f"{where}: {text!r}: no share is above that")
    return AbortLimit(text=plain, quantile=quantile, limit_us=limit_us, errors=errors)


def _match(plain: str, comparison: str) -> re.Match[str] | None:
    parts = _PATTERN.fullmatch(plain)
    if parts is None or parts[3] != comparison or (parts[2] == "errors") != (parts[5] == "%"):
        return None
    return parts


def _read_values(parts: re.Match[str], text: str, where: str) -> tuple[float | None, int | None, float | None]:
    """The quantile, the time in microseconds, and the share of errors; None for those that are missing."""
    what, value, unit = parts[2], float(parts[4]), parts[5]
    if what == "errors":
        return None, None, value / 100
    quantile = 100.0 if what == "max" else float(what[1:])
    if quantile < 1:
        raise UsageError(f"{where}: {text!r}: quantiles are p1 to p99.99")
    return quantile, round(value * _UNITS_US[unit]), None


def shortest_limit_us(slos: tuple[Slo, ...]) -> int | None:
    """The shortest time of all SLOs; None if none has a time."""
    return min((each.limit_us for each in slos if each.limit_us is not None), default=None)


def longest_limit_us(slos: tuple[Slo, ...]) -> int | None:
    """The longest time of all SLOs; None if none has a time."""
    return max((each.limit_us for each in slos if each.limit_us is not None), default=None)
