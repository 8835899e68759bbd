"""
When the connections of the simulated world join and leave.

The world has a fixed number of slots. When the connection of a slot leaves, another one joins a moment later, with the
same client_id if the client has one, and with a new connection_id. All of this depends only on seed, incarnation and
slot, never on when the world is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from .client_roles import ClientRole, StayLength
from .ice_history import SECOND_NS, IceHistory, make_failing_history, make_stable_history

LISTED_AFTER_ICE_FAILURE_NS: Final = SECOND_NS
"""How long a connection whose ICE has failed is still listed."""

_SHORT_STAY_S: Final = (5, 12)
_LONG_STAY_S: Final = (90, 900)
_REJOIN_DELAY_S: Final = (0.5, 2)
_NETWORK_LOSS_AFTER_S: Final = (8, 40)
_MAX_INITIAL_AGE_S: Final = 1800
"""The largest age of connections that exist when the world begins."""

_LOSSY_OUTAGE_NS: Final = (SECOND_NS, 10 * SECOND_NS + SECOND_NS // 2)
"""Long enough to pass through checking into disconnected; a round of good and bad takes about 13 s."""
_LOSSY_INITIAL_PHASE_NS: Final = 4 * SECOND_NS
"""Where in that round the world begins: 1 s before checking, so that 10 s show every change except to failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLifetime:
    """One connection's time in the world, in nanoseconds since the world began; negative before that."""

    joins_ns: int
    leaves_ns: int | None
    ice: IceHistory = field(compare=False)
    """Follows from the rest, and would take long to compare."""
    key: str
    """The seed of everything else about the connection."""


def connection_lifetimes(role: ClientRole, key: str, *, slot: int, churn: bool) -> Iterator[ConnectionLifetime]:
    """The connections of one slot, in order, endlessly if they leave; `key` contains seed, incarnation and slot."""
    leaves_ns: int | None = None
    generation = 0
    while generation == 0 or leaves_ns is not None:
        own = f"{key}/{generation}"
        random = Random(f"{own}/visit")
        ice, length_ns = _draw_ice_history(role, random, churn)
        if generation == 0:
            age_ns = _draw_initial_age_ns(role, random, ice, length_ns, slot)
            joins_ns = -age_ns
            if length_ns is not None and role.stay is not StayLength.UNTIL_FAILURE:
                length_ns += age_ns  # what is left when the world begins
        else:
            assert leaves_ns is not None  # the loop's condition
            joins_ns = leaves_ns + _draw_duration_ns(random, _REJOIN_DELAY_S)
        leaves_ns = None if length_ns is None else joins_ns + length_ns
        yield ConnectionLifetime(joins_ns=joins_ns, leaves_ns=leaves_ns, ice=ice, key=own)
        generation += 1


def _draw_ice_history(role: ClientRole, random: Random, churn: bool) -> tuple[IceHistory, int | None]:
    """The connection's ICE history, and how long the connection stays; None means for ever."""
    response_after_ns = _draw_duration_ns(random, (0.06, 0.12) if role.has_lossy_network else (0.005, 0.06))
    if churn and role.stay is StayLength.UNTIL_FAILURE:
        ice = make_failing_history(
            response_after_ns=response_after_ns, lost_after_ns=_draw_duration_ns(random, _NETWORK_LOSS_AFTER_S)
        )
        return ice, ice.beginning.length_ns + LISTED_AFTER_ICE_FAILURE_NS
    outage_ns = None
    if role.has_lossy_network:
        outage_ns = _LOSSY_OUTAGE_NS
    elif random.random() < 0.5:
        begins_ns = _draw_duration_ns(random, (30, 90))
        outage_ns = (begins_ns, begins_ns + _draw_duration_ns(random, (3, 9)))
    ice = make_stable_history(response_after_ns=response_after_ns, outage_ns=outage_ns)
    if not churn or role.stay in (StayLength.ALWAYS, StayLength.UNTIL_FAILURE):
        return ice, None
    return ice, _draw_duration_ns(random, _SHORT_STAY_S if role.stay is StayLength.SHORT else _LONG_STAY_S)


def _draw_initial_age_ns(role: ClientRole, random: Random, ice: IceHistory, length_ns: int | None, slot: int) -> int:
    """How old a connection is when the world begins."""
    if role.stay is StayLength.UNTIL_FAILURE and length_ns is not None:
        fails_at_ns = (4 + slot // 10 % 4) * SECOND_NS
        return max(length_ns - LISTED_AFTER_ICE_FAILURE_NS - fails_at_ns, 0)
    if role.stay is StayLength.SHORT:
        return _draw_duration_ns(random, _SHORT_STAY_S)
    age_ns = _draw_duration_ns(random, (60, _MAX_INITIAL_AGE_S))
    if role.has_lossy_network and ice.repeated is not None:
        rounds = age_ns // ice.repeated.length_ns
        return ice.beginning.length_ns + rounds * ice.repeated.length_ns + _LOSSY_INITIAL_PHASE_NS
    return age_ns


def _draw_duration_ns(random: Random, limits: tuple[float, float]) -> int:
    return round(random.uniform(*limits) * SECOND_NS)
