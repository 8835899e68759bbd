"""The standard checks of every judge: a row for each, in the order in which they are called within a stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

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
from .checks.wrong_requests import WrongRequestCheck

if TYPE_CHECKING:
    from .exchange_counts import ExchangeCounts
    from .sample_reader import SampleReader


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """The objects that checks are made from."""

    reader: SampleReader
    """The reader, which knows the edition and its counters."""
    counts: ExchangeCounts
    """The counts of exchanges, bodies and samples."""
    tear_ns: int | None
    """How far apart the server stamps a response and reads its counters; None if unknown."""


STANDARD_CHECKS: Final[dict[type[Check], Callable[[CheckContext], Check]]] = {
    CompleteResponseCheck: lambda context: CompleteResponseCheck(),
    HeadCheck: lambda context: HeadCheck(),
    JsonCheck: lambda context: JsonCheck(context.reader.edition),
    FramingCheck: lambda context: FramingCheck(context.counts),
    WrongRequestCheck: lambda context: WrongRequestCheck(),
    ShapeCheck: lambda context: ShapeCheck(context.reader.edition),
    SampleIdentityCheck: lambda context: SampleIdentityCheck(),
    FormCheck: lambda context: FormCheck(),
    ExclusiveLimitsCheck: lambda context: ExclusiveLimitsCheck(context.reader.codec, context.counts),
    ConstantCheck: lambda context: ConstantCheck(context.reader.codec),
    MonotonicCheck: lambda context: MonotonicCheck(context.reader.codec),
    RelationCheck: lambda context: RelationCheck(context.reader.relations, context.reader.codec.blocks),
    TimestampOrderCheck: lambda context: TimestampOrderCheck(context.reader.codec.blocks, context.tear_ns),
    ClockCheck: lambda context: ClockCheck(),
    PresenceCheck: lambda context: PresenceCheck(),
    ClusterCheck: lambda context: ClusterCheck(),
}
"""Each check with the function that makes it for a judge."""
