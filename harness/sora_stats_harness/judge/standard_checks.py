"""
The checks of every judge, in the order in which they are asked within a stage.
"""

from __future__ import annotations

from .check import Check
from .checks.body import JsonCheck
from .checks.channels import ExclusiveLimitsCheck
from .checks.clock import ClockCheck
from .checks.cluster import ClusterCheck
from .checks.framing import FramingCheck
from .checks.http import CompleteResponseCheck, HeadCheck
from .checks.identity import ConstantCheck, FormCheck, SampleIdentityCheck
from .checks.monotonic import MonotonicCheck
from .checks.presence import PresenceCheck
from .checks.relation_check import RelationCheck
from .checks.shape import ShapeCheck
from .checks.timestamp_order import TimestampOrderCheck
from .checks.unstable_level import UnstableLevelCheck
from .checks.wrong_requests import WrongRequestCheck
from .exchange_counts import ExchangeCounts
from .sample_reader import SampleReader


def make_standard_checks(reader: SampleReader, counts: ExchangeCounts, tear_ns: int | None) -> tuple[Check, ...]:
    """
    Make a set of checks for one judge.

    Args:
        reader: Knows the edition, and its counters.
        counts: Counts exchanges, bodies and samples.
        tear_ns: How far apart the server stamps a response and reads it; None where nobody says.
    """
    decoder = reader.codec
    return (
        FramingCheck(counts),
        CompleteResponseCheck(counts),
        WrongRequestCheck(),
        HeadCheck(counts),
        JsonCheck(reader.edition, counts),
        ShapeCheck(reader.edition, counts),
        SampleIdentityCheck(counts),
        FormCheck(),
        ExclusiveLimitsCheck(decoder, counts),
        ConstantCheck(decoder, counts),
        MonotonicCheck(decoder, counts),
        RelationCheck(reader.relations),
        UnstableLevelCheck(decoder.blocks),
        TimestampOrderCheck(decoder.blocks, tear_ns),
        ClockCheck(),
        PresenceCheck(),
        ClusterCheck(),
    )
