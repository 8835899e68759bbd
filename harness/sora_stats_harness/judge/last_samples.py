"""Lists the newest sample of each connection, for comparison with what other machines saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..api.exchange import Target
from .edition_decoder import Counters
from .evidence import EvidenceExchange
from .state import State


class LastSample(NamedTuple):
    """The newest sample of a connection."""

    connection_id: str
    exchange: EvidenceExchange
    stamp_ns: int
    """The server's timestamp."""
    blocks: Sequence[Counters | None]


def find_last_samples(states: Iterable[State]) -> Iterator[LastSample]:
    """As `Judge.last_samples`."""
    for state in states:
        for connection_id, connection in state:
            last, blocks = connection.last, connection.last_blocks
            if last is None or blocks is None or connection.decreased_counters:
                continue
            stamps = connection.stamp_histories.get(last.request.server)
            if stamps is not None and (last.request.target is not Target.ALL or last.request.asked.local):
                yield LastSample(connection_id, last, stamps.first.stamp_ns, blocks)
