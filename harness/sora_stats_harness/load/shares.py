"""
What the processes of a search for capacity and whoever gives them orders say to each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..api.server_address import SocketAddress
from .capacity.load_window import LoadWindow
from .histogram import Histogram, merge_histograms

COUNTS: Final = ("failing", "errors", "open")
PLAIN: Final = ("rate", "lasts_s", "due", "delay_p99_us", "lateness_p99_us", "exhausted", "in_flight")


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """What a process needs to know before its first order."""

    edition: str
    server: str
    addresses: tuple[SocketAddress, ...]
    ca_file: str | None
    insecure: bool
    headers: tuple[tuple[str, str], ...]
    timeout_s: float
    scenario: str
    users: int
    """The most requests that it may have under way."""
    patience_s: float
    limits: tuple[str, ...]
    index: int


def dump(window: LoadWindow) -> dict[str, Any]:  # Any: plain values
    """A window as plain values, for a message."""
    return {name: getattr(window, name) for name in PLAIN} | {
        **{name: dict(getattr(window, name)) for name in COUNTS},
        **{name: {key: _dumped(each) for key, each in getattr(window, name).items()} for name in ("times", "services")},
        "findings": list(window.findings),
        "backlog": [list(sample) for sample in window.backlog],
    }


def _dumped(times: object) -> dict[str, object]:
    assert isinstance(times, Histogram), "whoever drives load measures so"
    return times.serialize()


def together(parts: Sequence[dict[str, Any]]) -> LoadWindow:  # Any: plain values, as `hand.dump` gives them
    """
    One window of those that several processes saw at the same time.

    Counts add up, times are of all; the generator is as late as the latest of them.
    """
    times, services = (_times(parts, name) for name in ("times", "services"))
    samples = [
        (max(at_s for at_s, _ in each), sum(value for _, value in each))
        for each in zip(*(part["backlog"] for part in parts), strict=False)
    ]
    return LoadWindow(
        rate=sum(part["rate"] for part in parts),
        lasts_s=parts[0]["lasts_s"],
        due=sum(part["due"] for part in parts),
        times=times,
        all_times=merge_histograms(times.values()),
        service_times=services,
        all_service_times=merge_histograms(services.values()) if services else None,
        **{name: dict(sum((Counter(part[name]) for part in parts), Counter())) for name in COUNTS},
        findings=tuple(finding for part in parts for finding in part["findings"]),
        receive_delay_p99_us=max(part["delay_p99_us"] for part in parts),
        send_delay_p99_us=max(part["lateness_p99_us"] for part in parts),
        users_exhausted=any(part["exhausted"] for part in parts),
        max_in_flight=sum(part["in_flight"] for part in parts),
        backlog=samples,
    )


def _times(parts: Sequence[dict[str, Any]], name: str) -> dict[str, Histogram]:
    keys = dict.fromkeys(key for part in parts for key in part[name])
    return {
        key: merge_histograms(Histogram.deserialize(part[name][key]) for part in parts if key in part[name])
        for key in keys
    }
