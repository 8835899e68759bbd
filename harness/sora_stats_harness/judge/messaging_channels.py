"""Data channels that applications open and close at will: when one can't have been reopened in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

MESSAGING_PREFIX: Final = "#"
"""The prefix of the labels of data channels that applications open and close at will."""

MIN_BUSY_MESSAGES: Final = 20
"""What an application may well send each time it opens a channel says nothing."""

BUSY_TIME_RATIO: Final = 10

MIN_REOPENING_NS: Final = 100_000_000
"""In less time no application closes a channel, opens it, and has used it as much as before."""


class LabelStart(NamedTuple):
    """The first sample of a data channel that shows the channel as it still is."""

    received_ns: int
    counters: Sequence[int]

    def excludes_reopening(self, place: int, before: int, sent_ns: int, received_ns: int) -> bool:
        """
        Whether a channel can't have been closed, reopened, and have counted as many messages again.

        It is busy, and would have had to count more messages than ever before in a tenth of the time.

        Args:
            place: Which counter counts the messages.
            before: How many it had counted.
            sent_ns: When the request was sent whose response shows that.
            received_ns: When a response had arrived that shows at least as many.
        """
        open_ns = sent_ns - self.received_ns
        is_busy = before - max(0, self.counters[place]) >= MIN_BUSY_MESSAGES
        return is_busy and open_ns >= BUSY_TIME_RATIO * (received_ns - sent_ns)
