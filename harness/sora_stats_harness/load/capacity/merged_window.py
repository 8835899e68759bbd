"""Merges simultaneous windows of several workers, and serializes a window for the message to the master."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..histogram import Histogram, merge_histograms
from .load_window import LoadWindow, TimeDistribution

_COUNTERS: Final = ("server_errors", "errors", "unfinished")
_DISTRIBUTIONS: Final = ("times", "service_times")
_PLAIN: Final = (
    "rate",
    "lasts_s",
    "due",
    "receive_delay_p99_us",
    "send_delay_p99_us",
    "users_exhausted",
    "max_in_flight",
)


def serialize_window(window: LoadWindow) -> dict[str, Any]:  # Any: plain values
    """A window as plain values, for a message."""
    return {
        **{name: getattr(window, name) for name in _PLAIN},
        **{name: dict(getattr(window, name)) for name in _COUNTERS},
        **{name: _serialize_times(getattr(window, name)) for name in _DISTRIBUTIONS},
        "findings": list(window.findings),
        "backlog": [list(sample) for sample in window.backlog],
    }


def _serialize_times(times: Mapping[str, TimeDistribution]) -> dict[str, object]:
    serialized: dict[str, object] = {}
    for name, each in times.items():
        assert isinstance(each, Histogram), "whoever drives load measures so"
        serialized[name] = each.serialize()
    return serialized


def merge_windows(
    parts: Sequence[Mapping[str, Any]],
) -> LoadWindow:  # Any: plain values, as serialize_window gives them
    """
    Merge the simultaneous windows of several workers.

    Counts are added, times are merged, and the receive delay is the largest one.
    """
    times, service_times = (_merge_times(parts, name) for name in _DISTRIBUTIONS)
    backlog = [
        (max(at_s for at_s, _ in samples), sum(value for _, value in samples))
        for samples in zip(*(part["backlog"] for part in parts), strict=False)
    ]
    return LoadWindow(
        rate=sum(part["rate"] for part in parts),
        lasts_s=parts[0]["lasts_s"],
        due=sum(part["due"] for part in parts),
        times=times,
        all_times=merge_histograms(times.values()),
        service_times=service_times,
        all_service_times=merge_histograms(service_times.values()) if service_times else None,
        **{name: dict(sum((Counter(part[name]) for part in parts), Counter())) for name in _COUNTERS},
        findings=tuple(finding for part in parts for finding in part["findings"]),
        receive_delay_p99_us=max(part["receive_delay_p99_us"] for part in parts),
        send_delay_p99_us=max(part["send_delay_p99_us"] for part in parts),
        users_exhausted=any(part["users_exhausted"] for part in parts),
        max_in_flight=sum(part["max_in_flight"] for part in parts),
        backlog=backlog,
    )


def _merge_times(parts: Sequence[Mapping[str, Any]], name: str) -> dict[str, Histogram]:
    keys = dict.fromkeys(key for part in parts for key in part[name])
    return {
        key: merge_histograms(Histogram.deserialize(part[name][key]) for part in parts if key in part[name])
        for key in keys
    }
