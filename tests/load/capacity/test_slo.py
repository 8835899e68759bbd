"""The grammar of objectives, and what they need to be decided."""

from __future__ import annotations

import pytest

from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.load.slo import longest_limit_us, parse_slo, shortest_limit_us


@pytest.mark.parametrize(
    ("text", "target", "quantile", "limit_us", "errors"),
    [
        ("p99<50ms", None, 99.0, 50_000, None),
        ("p99.9 < 1.5s", None, 99.9, 1_500_000, None),
        ("p50<250us", None, 50.0, 250, None),
        ("max<10s", None, 100.0, 10_000_000, None),
        ("GetStatsAllConnections:p99<800ms", "GetStatsAllConnections", 99.0, 800_000, None),
        ("errors<0.1%", None, None, None, 0.001),
        ("GetStatsClient:errors<5%", "GetStatsClient", None, None, 0.05),
    ],
)
def test_what_is_an_slo(
    text: str, target: str | None, quantile: float | None, limit_us: int | None, errors: float | None
) -> None:
    """Quantiles of response time and shares of errors, of all requests or of one operation."""
    found = parse_slo(text)
    assert (found.target, found.quantile, found.limit_us, found.errors) == (target, quantile, limit_us, errors)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p99>50ms", "is not an SLO"),
        ("p99<50", "is not an SLO"),
        ("p100<50ms", "is not an SLO"),
        ("p0<50ms", "p1 to p99.99"),
        ("errors<50ms", "is not an SLO"),
        ("p99<5%", "is not an SLO"),
        ("errors<101%", "every share"),
        ("p99<0ms", "nothing is below 0"),
        ("errors<0%", "nothing is below 0"),
        ("GetStats:p99<50ms", "must be one of"),
        ("p99<50ms<60ms", "is not an SLO"),
        ("", "is not an SLO"),
        ("p99<\u0665ms", "is not an SLO"),
    ],
)
def test_what_is_none(text: str, said: str) -> None:
    """One line says what is wrong, and nothing that could never fail or never hold is taken."""
    with pytest.raises(UsageError, match="--slo") as caught:
        parse_slo(text)
    assert said in str(caught.value)


def test_how_many_requests_decide() -> None:
    """Three times as many as hold one miss."""
    assert [parse_slo(text).requests_needed for text in ("p50<1s", "p99<1s", "p99.9<1s", "max<1s", "errors<0.1%")] == [
        10,
        300,
        3000,
        1000,
        3000,
    ]


def test_which_time_bounds_the_generator_and_which_the_patience() -> None:
    """The tightest and the longest of several; none where all are on errors."""
    slos = tuple(parse_slo(text) for text in ("p99<50ms", "errors<1%", "GetStatsAllConnections:p99<800ms"))
    assert (shortest_limit_us(slos), longest_limit_us(slos)) == (50_000, 800_000)
    assert (shortest_limit_us(slos[1:2]), longest_limit_us(slos[1:2])) == (None, None)
