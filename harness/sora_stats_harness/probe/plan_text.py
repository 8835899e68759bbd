"""Describes what a conformance run will send: requests and bytes per second, and the wrong requests."""

from __future__ import annotations

from typing import Final

from ..api.exchange import Target
from .conformance_plan import ConformancePlan
from .conformance_run import CONNECTIONS_PER_ROUND, SEQUENTIAL_SAMPLES
from .wrong_requests import build_wrong_requests

ROUNDS_WITH_WRONG_REQUESTS: Final = 2


def count_wrong_requests(plan: ConformancePlan) -> int:
    """The number of requests of a run that are wrong on purpose."""
    if not plan.send_wrong_requests:
        return 0
    return ROUNDS_WITH_WRONG_REQUESTS * len(build_wrong_requests(plan.server, targets=plan.targets)) + (
        plan.send_large_request and Target.CONNECTION in plan.targets
    )


def estimate_bytes_per_s(plan: ConformancePlan, listing_bytes: int, connections: int) -> float:
    """
    The most body bytes per second that a run receives, estimated from one listing.

    A round requests some connections one by one, lists all of them a few times, and does both at the same time.
    """
    each = listing_bytes / max(1, connections)
    singles = SEQUENTIAL_SAMPLES * min(CONNECTIONS_PER_ROUND, connections) + 2 * plan.concurrency
    listings = (4 + len(plan.servers) + plan.concurrency) * (Target.ALL in plan.targets)
    mean = (singles * each + listings * listing_bytes) / max(1, singles + listings)
    return min(plan.rate * mean, plan.bytes_per_s)


def pace_text(plan: ConformancePlan, listing: tuple[int, int] | None) -> str:
    """Describe what a run sends, by the size of one listing in bytes and its number of connections, if known."""
    if listing is None:
        traffic = f"at most {_megabytes(plan.bytes_per_s)} MB/s"
    else:
        traffic = f"about {_megabytes(estimate_bytes_per_s(plan, *listing))} MB/s"
    count = count_wrong_requests(plan)
    wrong = f"{count:d} wrong requests" if count else "no wrong requests"
    least, most_s = plan.duration_s, plan.time_limit_s
    duration = f"{least:g} s" if least == most_s else f"{least:g} to {most_s:g} s"
    return f"at most {plan.rate:g} requests/s, {traffic}, {wrong}, for {duration}, until enough was seen"


def _megabytes(per_s: float) -> str:
    megabytes = per_s / 1e6
    return "0.1" if megabytes < 0.1 else f"{megabytes:.1f}" if megabytes < 10 else f"{megabytes:.0f}"
