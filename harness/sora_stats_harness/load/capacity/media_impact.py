"""
Decides whether polling hurts the media, by comparing alternating quiet and polled phases.

The quality of media varies by itself, for all connections of a server at once. So one quiet and one polled phase prove
nothing, however many connections there are; the number of phases matters. Each polled phase is compared with the quiet
ones before and after it, over the connections that exist all the time. The result is a confidence interval of the
differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import sqrt
from statistics import fmean, stdev
from typing import Any, Final

import msgspec

from ...judge.measured_results import MediaQuantityResult, MediaResult

MIN_POLLED_PHASES: Final = 3
"""The least number of polled phases for a result."""

CONFIDENCE_PER_QUANTITY: Final = 0.99
"""The confidence of each interval, such that all five together hold with 95 %."""

_STUDENT_T_99: Final = (
    63.657,
    9.925,
    5.841,
    4.604,
    4.032,
    3.707,
    3.499,
    3.355,
    3.250,
    3.169,
    3.106,
    3.055,
    3.012,
    2.977,
    2.947,
    2.921,
    2.898,
    2.878,
    2.861,
    2.845,
    2.831,
    2.819,
    2.807,
    2.797,
    2.787,
    2.779,
    2.771,
    2.763,
    2.756,
    2.750,
)
"""Student's t, two-sided 99 %, for 1 to 30 degrees of freedom; more use the last."""

_NEIGHBOUR_CORRELATION: Final = sqrt(4 / 3)
"""
By this factor the mean of differences varies more than with independent ones, since neighbours share a quiet phase.
"""

_RULE_OF_THREE: Final = 3.0

FieldValues = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSnapshot:
    """The numbers about media in one listing, for each connection."""

    at_s: float
    connections: Mapping[str, FieldValues]
    """By connection_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingPhase:
    """A period of time, polled or quiet, with at least two snapshots, which a rate needs."""

    polled: bool
    snapshots: Sequence[MediaSnapshot]


@dataclass(frozen=True, slots=True, kw_only=True)
class _QuantityDefinition:
    """
    A quantity of which more is worse.

    `resolution` is the effect of a single unseen event, `relevant_change` the least difference worth knowing; both in
    the quantity's unit.
    """

    name: str
    unit: str
    resolution: float
    relevant_change: float
    value: Callable[[PollingPhase, str], float | None]


UNSTABLE_LEVEL_FIELDS: Final = tuple(f"network_status.total_unstable_level{level}" for level in range(4))
_NACK_CACHE_MISS_FIELD: Final = "rtcp.total_generic_nack_cache_miss"
_CHECKING_FIELD: Final = "ice_connection_state.total_checking_duration_ms"
_DISCONNECTED_FIELD: Final = "ice_connection_state.total_disconnected_duration_ms"
_ROUND_TRIP_FIELD: Final = "cc.round_trip_time"

MEDIA_FIELDS: Final = (
    _NACK_CACHE_MISS_FIELD,
    _CHECKING_FIELD,
    _DISCONNECTED_FIELD,
    *UNSTABLE_LEVEL_FIELDS,
    _ROUND_TRIP_FIELD,
)
"""The fields that are read from each connection."""


def read_media_snapshot(body: bytes, at_s: float) -> MediaSnapshot | None:
    """Read the numbers about media from a listing; None if it is not a list. Invalid numbers are left out."""
    try:
        listed = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(listed, list):
        return None
    found: dict[str, FieldValues] = {}
    for each in listed:
        if isinstance(each, dict) and isinstance(id := each.get("connection_id"), str):
            found[id] = {dotted: value for dotted in MEDIA_FIELDS if (value := _integer_at(each, dotted)) is not None}
    return MediaSnapshot(at_s=at_s, connections=found)


def _integer_at(sample: Mapping[str, Any], dotted: str) -> int | None:  # Any: JSON
    group, _, name = dotted.partition(".")
    below = sample.get(group)
    value = below.get(name) if isinstance(below, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _growth(phase: PollingPhase, id: str, field: str) -> int | None:
    first, last = (phase.snapshots[place].connections[id].get(field) for place in (0, -1))
    return None if first is None or last is None else last - first


def _rate_of(field: str) -> Callable[[PollingPhase, str], float | None]:
    def value(phase: PollingPhase, id: str) -> float | None:
        grown = _growth(phase, id, field)
        lasts_s = phase.snapshots[-1].at_s - phase.snapshots[0].at_s
        return None if grown is None or lasts_s <= 0 else grown / lasts_s

    return value


def _mean_unstable_level(phase: PollingPhase, id: str) -> float | None:
    """The mean of the levels that the server found meanwhile."""
    counts = [_growth(phase, id, field) for field in UNSTABLE_LEVEL_FIELDS]
    known = [count for count in counts if count is not None]
    if len(known) < len(UNSTABLE_LEVEL_FIELDS) or sum(known) <= 0:
        return None
    return sum(level * count for level, count in enumerate(known)) / sum(known)


def _mean_of(field: str) -> Callable[[PollingPhase, str], float | None]:
    def value(phase: PollingPhase, id: str) -> float | None:
        seen = [value for each in phase.snapshots if (value := each.connections[id].get(field)) is not None]
        return fmean(seen) if seen else None

    return value


MEDIA_QUANTITIES: Final = (
    _QuantityDefinition(
        name="nack cache misses",
        unit="a second",
        resolution=1,
        relevant_change=0.5,
        value=_rate_of(_NACK_CACHE_MISS_FIELD),
    ),
    _QuantityDefinition(
        name="time in checking",
        unit="ms a second",
        resolution=1000,
        relevant_change=10,
        value=_rate_of(_CHECKING_FIELD),
    ),
    _QuantityDefinition(
        name="time disconnected",
        unit="ms a second",
        resolution=1000,
        relevant_change=10,
        value=_rate_of(_DISCONNECTED_FIELD),
    ),
    _QuantityDefinition(
        name="unstable level", unit="mean", resolution=0, relevant_change=0.2, value=_mean_unstable_level
    ),
    _QuantityDefinition(
        name="round trip", unit="as the field", resolution=0, relevant_change=5, value=_mean_of(_ROUND_TRIP_FIELD)
    ),
)


def lasting_connections(phases: Sequence[PollingPhase]) -> list[str]:
    """The connections in every snapshot."""
    sets = [set(each.connections) for phase in phases for each in phase.snapshots]
    return sorted(set.intersection(*sets)) if sets else []


def compare_phases(phases: Sequence[PollingPhase], *, rate: float, phase_s: float) -> MediaResult:
    """
    Compare the polled phases with the quiet ones.

    The phases alternate, with a quiet one first and last; an incomplete pair at the end is left out.
    """
    whole = list(takewhile(lambda phase: len(phase.snapshots) > 1, phases))
    rounds = max(0, (len(whole) - 1) // 2)
    whole = whole[: 2 * rounds + 1]
    ids = lasting_connections(whole)
    quantities = [_compare_quantity(each, whole, ids) for each in MEDIA_QUANTITIES]
    results = {each.result for each in quantities}
    result: Any = next(  # Any: one of the literal's members
        each for each in ("effect", "too little data", "no effect seen") if each in results
    )
    return MediaResult(
        result=result,
        statement=_media_statement(result, quantities, rounds, len(ids), rate),
        rate=rate,
        phase_s=phase_s,
        polled_phases=rounds,
        connections=len(ids),
        confidence=CONFIDENCE_PER_QUANTITY,
        quantities=quantities,
    )


def _compare_quantity(
    quantity: _QuantityDefinition, phases: Sequence[PollingPhase], ids: Sequence[str]
) -> MediaQuantityResult:
    means = [_mean_over_connections(quantity, phase, ids) for phase in phases]
    quiet = [mean for mean in means[::2] if mean is not None]
    polled = [mean for mean in means[1::2] if mean is not None]
    differences = [
        now - (before + after) / 2
        for before, now, after in zip(means[:-2:2], means[1:-1:2], means[2::2], strict=True)
        if before is not None and now is not None and after is not None
    ]
    result = MediaQuantityResult(
        quantity=quantity.name,
        unit=quantity.unit,
        quiet=fmean(quiet) if quiet else 0.0,
        polled=fmean(polled) if polled else 0.0,
        difference=None,
        result="too little data",
    )
    if len(differences) < MIN_POLLED_PHASES:
        return result
    polled_s = sum(each.snapshots[-1].at_s - each.snapshots[0].at_s for each in phases[1::2])
    freedom = min(len(differences) - 1, len(_STUDENT_T_99))
    reach = _STUDENT_T_99[freedom - 1] * _NEIGHBOUR_CORRELATION * stdev(differences) / sqrt(len(differences))
    unseen = _RULE_OF_THREE * quantity.resolution / (polled_s * len(ids))
    middle = fmean(differences)
    low, high = middle - reach, middle + max(reach, unseen)
    result = msgspec.structs.replace(result, difference=(low, high))
    if low > 0:
        return msgspec.structs.replace(result, result="effect")
    if high <= max(quantity.relevant_change, result.quiet):
        return msgspec.structs.replace(result, result="no effect seen")
    return result


def _mean_over_connections(quantity: _QuantityDefinition, phase: PollingPhase, ids: Sequence[str]) -> float | None:
    """The mean over connections; None if none has a value."""
    values = [value for id in ids if (value := quantity.value(phase, id)) is not None]
    return fmean(values) if values else None


def _media_statement(
    result: str, quantities: Sequence[MediaQuantityResult], rounds: int, connections: int, rate: float
) -> str:
    over = f"{connections:,} connections, {rounds} polled phases at {rate:g} requests/s"
    if result == "effect":
        parts = [
            f"{each.quantity} {_format_number(each.difference[0])} to {_format_number(each.difference[1])} "
            f"{each.unit} more"
            for each in quantities
            if each.result == result and each.difference is not None
        ]
        return f"effect: {', '.join(parts)} while polled ({over})"
    if result == "no effect seen":
        parts = [
            f"{each.quantity} {_format_number(max(each.difference[1], 0))} {each.unit}"
            for each in quantities
            if each.difference is not None
        ]
        return f"no effect seen above {', '.join(parts)} ({over})"
    if rounds < MIN_POLLED_PHASES:
        return f"too little data: it takes {MIN_POLLED_PHASES} polled phases between quiet ones ({over})"
    if not connections:
        return f"too little data: no connection existed from beginning to end ({over})"
    names = ", ".join(each.quantity for each in quantities if each.result == result)
    return (
        f"too little data on {names}: the phases differ too much among themselves; use more or longer phases ({over})"
    )


def _format_number(value: float) -> str:
    return f"{value:.3g}"
