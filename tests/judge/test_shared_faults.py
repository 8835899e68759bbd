"""Which findings are one fault."""

from __future__ import annotations

from itertools import count
from typing import Any, Final

import pytest

from sora_stats_harness.judge.shared_faults import group_shared_faults
from sora_stats_harness.judge.verdict import FindingEntry

from ..reports import verdicts

NUMBERS: Final = count()


def entry(requirement: str, field: str = "", message: str = "", **more: Any) -> FindingEntry:  # Any: of FindingEntry
    """A finding with a fingerprint of its own."""
    return verdicts.entry(requirement, field=field, message=message, fingerprint=f"{next(NUMBERS):016x}", **more)


def relation(name: str, field: str, text: str, left: int, right: int) -> FindingEntry:
    """A relation that does not hold."""
    return entry(f"relation.{name}", field, expected=text, actual=f"{left} and {right}")


RELATIONS: Final = (
    relation("total_packets", "/rtp/total_sent", "rtp.total_sent == rtp.total_sent_rtp + rtcp.total_sent_rtcp", 5, 9),
    relation("rtp_min_size", "/rtp/total_sent_rtp", "12 * rtp.total_sent_rtp <= rtp.total_sent_rtp_byte_size", 96, 60),
    relation("sctp_chunks", "/sctp/total_sent_sctp", "sctp.total_sent_sctp <= sctp.total_sent_sctp_chunk_data", 9, 5),
)

LEVEL: Final = entry("relation.unstable_level", expected="the current level has been counted", actual="0")


@pytest.mark.parametrize(
    ("entries", "sizes"),
    [
        ([entry("shape.type", "/a/b", target=each) for each in ("GetStatsClient", "GetStatsConnection")], [2]),
        ([entry("shape.type", "/a/b"), entry("shape.type", "/a/c"), entry("shape.range", "/a/b")], [1, 1, 1]),
        ([entry("shape.type", f"/data_channel/{each}/x") for each in ("#*", "push")], [2]),
        ([entry("shape.type", f"/simulcast/r{each}/rtp/x") for each in range(3)], [3]),
        ([entry("shape.type", f"/a/f{each}") for each in range(10)], [1] * 10),
        ([entry("shape.type", f"/a/f{each}") for each in range(11)], [11]),
        ([entry("http.complete", message="timeout"), entry("http.complete", message="cut")], [1, 1]),
        ([entry("clock.order", "/timestamp"), entry("clock.frozen", "/timestamp")], [2]),
        (
            [
                entry(f"request.shape.{each}", message=f"{each} gets 400 with another body")
                for each in ("path", "method")
            ],
            [2],
        ),
        ([entry("request.no_5xx", message="a gets 500"), entry("request.shape.path", message="b gets 200")], [1, 1]),
        ([entry("counter.monotonic", f"/a/f{each}", wrong_exchange=("r", 7)) for each in range(2)], [2]),
        ([entry("counter.monotonic", f"/a/f{each}", wrong_exchange=("r", each)) for each in range(2)], [1, 1]),
        ([entry("counter.monotonic", f"/a/f{each}") for each in range(2)], [1, 1]),
        (RELATIONS, [2, 1]),
        ((LEVEL, *RELATIONS), [1, 2, 1]),
    ],
    ids=[
        "two targets",
        "other fields and other rules",
        "labels",
        "layers",
        "ten fields",
        "more than anybody reads",
        "two ways to fail",
        "one stamp",
        "refusals that are alike",
        "refusals that are not",
        "counters that fall in one response",
        "counters that fall in two",
        "counters that fall in nobody knows which",
        "relations that share a counter that is too large",
        "and one that names no counters",
    ],
)
def test_findings_are_grouped(entries: list[FindingEntry], sizes: list[int]) -> None:
    """Each finding is in one group."""
    groups = group_shared_faults(entries)
    assert [len(group) for group in groups] == sizes
    assert {id(each) for group in groups for each in group} == {id(each) for each in entries}
