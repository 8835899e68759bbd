"""
What one event on the wire adds to which counters of a connection.

The world is a list of kinds of event (an RTP packet of a layer arrives, a message leaves), each with a rate and with
the increments that it causes. A counter is the sum over all kinds of event. Every relation between counters is linear,
so if each kind of event keeps it, every mixture of them keeps it at every instant. No increment is negative, so no
counter ever falls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

FieldPath = tuple[str, ...]
"""Keys from the connection object to a leaf."""

Increments = Mapping[FieldPath, int]
"""
Amounts by which one event raises counters, none negative; a field that the edition lacks is ignored.

An amount of 0 says that a model is responsible for the field, although it does not grow here.
"""

CounterValues = tuple[int, ...]
"""Counts, in an order that is fixed by whoever makes them."""

NO_INCREMENTS: Final[Increments] = {}

Direction = Literal["received", "sent"]
"""From the server's point of view, as in the fields' names."""

DIRECTIONS: Final[tuple[Direction, Direction]] = ("received", "sent")


def opposite_direction(direction: Direction) -> Direction:
    """The other direction."""
    return "sent" if direction == "received" else "received"


def increments_in_group(*group: str, **amounts: int) -> dict[FieldPath, int]:
    """
    Increments of counters in one group.

    >>> increments_in_group("dtls", total_sent_dtls=2)
    {('dtls', 'total_sent_dtls'): 2}
    """
    return {(*group, name): amount for name, amount in amounts.items()}


def sum_increments(*parts: Increments) -> dict[FieldPath, int]:
    """
    The sum of several increments: one event that is all of them at once.

    >>> sum_increments(increments_in_group("a", x=1), increments_in_group("a", x=2, y=3))
    {('a', 'x'): 3, ('a', 'y'): 3}
    """
    total: dict[FieldPath, int] = {}
    for part in parts:
        for path, amount in part.items():
            total[path] = total.get(path, 0) + amount
    return total


def add_counts(left: CounterValues, right: CounterValues) -> CounterValues:
    """Add counts place by place."""
    return tuple(a + b for a, b in zip(left, right, strict=True))
