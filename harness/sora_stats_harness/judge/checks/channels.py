"""The rules about data channels: at most one limit on retransmission, and no gap while a channel is open."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from operator import eq
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from ...api.edition_rules import LABELS_GROUP
from ..check import Check, Observed, Stage, Violation
from ..counter_history import LabelGap
from ..edition_decoder import EditionDecoder
from ..messaging_channels import MESSAGING_PREFIX
from ..requirement import DOCUMENTATION_SOURCE, NEEDS_TIMES, Level, Requirement

if TYPE_CHECKING:
    from ..evidence import EvidenceExchange
    from ..exchange_counts import ExchangeCounts
    from ..state import State
    from ..verdict import JudgeResult

RETRANSMITS: Final = "max_retransmits"
LIFE_TIME: Final = "max_packet_life_time"

EXCLUSIVE: Final = Requirement(
    id="shape.exclusive",
    level=Level.HABIT,
    title=f"A data channel has {RETRANSMITS} or {LIFE_TIME}, not both",
    reason="The two exclude each other: a channel is opened as one of three types.",
    grounds="RFC 8832 excludes it on the wire; that responses never show both is inferred.",
    source="RFC 8832, 5.1: channel types; W3C WebRTC, RTCDataChannelInit",
    message=f"{{field}} is present together with {RETRANSMITS}",
    needs_traffic="a data channel",
    masked_by="another type or a value out of its limits at the same place",
)


CHANNEL_PRESENT: Final = Requirement(
    id="identity.channel",
    level=Level.PROVEN,
    title="A data channel that is there before and after is there in between",
    reason="A gap in a series looks like a channel that was closed and opened again.",
    grounds="Its counters carried on, so it was open all the time. The application's own channels may be closed, opened again "
    "and used more than before, so one of these is INFO. It is a HABIT where its counters are just the same, or where it would "
    "have had to count at least 20 messages, and more than ever before, in a tenth of the time.",
    source=f"{DOCUMENTATION_SOURCE}: data_channel; Herlihy and Wing 1990",
    needs=NEEDS_TIMES,
    message="{field} is missing, although its counters continue afterwards",
    needs_traffic="a data channel that was used",
    masked_by="a label whose value is not an object",
    checked_in="comparable_channels",
)


def make_channel_violation(
    gap: LabelGap[EvidenceExchange], seen: Observed, field: tuple[str, ...], messages: Collection[int]
) -> Violation:
    """A response that lacks a channel, proved by those before and after it; `messages` are the counters of messages."""
    return Violation(
        requirement=CHANNEL_PRESENT,
        exchange=gap.holder,
        field=field,
        place=seen.place(LABELS_GROUP, gap.label),
        connection_id=seen.connection_id,
        expected="present",
        actual="absent",
        fault="missing in between",
        level=_level_of_messaging(gap, seen, messages) if gap.label.startswith(MESSAGING_PREFIX) else None,
        proof=(gap.earlier, gap.holder, seen.evidence),
    )


def _level_of_messaging(gap: LabelGap[EvidenceExchange], seen: Observed, messages: Collection[int]) -> Level:
    """
    Weigh a channel of the application's own, which may have been opened again.

    One that was opened again began at zero after `gap.earlier` was asked for, and had counted `gap.after` when this response
    arrived. In all the time before, since its first sample, it had counted less.
    """
    if all(map(eq, gap.before, gap.after)):
        return Level.HABIT
    was_open = any(
        gap.start.excludes_reopening(place, gap.before[place], gap.earlier.sent_ns, seen.exchange.received_ns)
        for place in messages
    )
    return Level.HABIT if was_open else Level.INFO


class ExclusiveLimitsCheck(Check):
    """Judges each data channel once, and again when its configuration changes."""

    requirements: tuple[Requirement, ...] = (EXCLUSIVE,)
    stage = Stage.CONFIGURATION

    def __init__(self, decoder: EditionDecoder, counts: ExchangeCounts) -> None:
        self._decoder = decoder
        self._counts = counts
        self._names = [field.name for field in decoder.label_others]

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """Judge the channels that are new or have changed; runs before the sample is added to the connection."""
        connection, sample = seen.connection, seen.sample
        if sample.configuration is connection.last_configuration:
            return
        for label, leaves in sample.configuration.items():
            named = zip(self._names, leaves, strict=True)
            given = {name: leaf for name, leaf in named if leaf is not None and leaf is not UNSET}
            if not given.keys() >= {RETRANSMITS, LIFE_TIME} or connection.configuration.get(label) == leaves:
                continue
            life_time, retransmits = given[LIFE_TIME], given[RETRANSMITS]
            yield Violation(
                requirement=EXCLUSIVE,
                exchange=seen.exchange,
                field=(*self._decoder.path_of_known_label(label), LIFE_TIME),
                place=seen.place(LABELS_GROUP, label, LIFE_TIME),
                connection_id=seen.connection_id or None,
                expected="one of the two",
                actual=f"{LIFE_TIME} {life_time} and {RETRANSMITS} {retransmits}",
                fault="both limits",
            )

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add the samples with data channels, all of which were checked."""
        if {RETRANSMITS, LIFE_TIME} <= set(self._names):
            for target, counts in self._counts.of_target.items():
                result.count(EXCLUSIVE, target, counts.labelled_samples)
