"""Whether polling hurts the media: phases made up of samples that are known."""

from __future__ import annotations

import json
import random

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.load.capacity.media_impact import (
    MEDIA_FIELDS,
    MediaSnapshot,
    PollingPhase,
    compare_phases,
    lasting_connections,
    read_media_snapshot,
)

IDS = tuple(f"C{number}" for number in range(20))


def phases(
    rounds: int, *, misses: float = 0.0, rtt: int = 0, wander: float = 0.0, seed: int = 1, lasts_s: float = 10
) -> list[PollingPhase]:
    """Quiet and polled in turn; `misses` a second and `rtt` more while polled, all of it scattered by `wander`."""
    draw = random.Random(seed)
    at_s, total = 0.0, 1000.0
    made = []
    for number in range(2 * rounds + 1):
        polled = number % 2 == 1
        rate = 2 + (misses if polled else 0) + draw.gauss(0, wander)
        seen = []
        for _ in range(3):
            values = {
                "rtcp.total_generic_nack_cache_miss": round(total),
                "ice_connection_state.total_checking_duration_ms": 500,
                "ice_connection_state.total_disconnected_duration_ms": 0,
                "network_status.total_unstable_level0": round(total),
                "network_status.total_unstable_level1": 3,
                "network_status.total_unstable_level2": 0,
                "network_status.total_unstable_level3": 0,
                "cc.round_trip_time": 100 + (rtt if polled else 0) + round(draw.gauss(0, wander)),
            }
            seen.append(MediaSnapshot(at_s=at_s, connections=dict.fromkeys(IDS, values)))
            total += rate * lasts_s / 2
            at_s += lasts_s / 2
        total -= rate * lasts_s / 2
        made.append(PollingPhase(polled=polled, snapshots=seen))
    return made


def results(found: list[PollingPhase]) -> dict[str, str]:
    return {each.quantity: each.result for each in compare_phases(found, rate=100, phase_s=10).quantities}


def test_fields_are_of_the_edition() -> None:
    """A misspelt one would never show anything."""
    assert set(MEDIA_FIELDS) <= {field.dotted for field in edition.load_edition().fields}


@pytest.mark.parametrize("seed", range(10))
def test_an_effect_is_found_and_its_size(seed: int) -> None:
    """Five misses a second more while polled, in phases that scatter: the interval holds it."""
    found = compare_phases(phases(5, misses=5, wander=0.5, seed=seed), rate=100, phase_s=10)
    assert found.result == "effect"
    misses = found.quantities[0]
    assert misses.result == "effect"
    assert misses.difference is not None and misses.difference[0] <= 5 <= misses.difference[1]
    assert found.statement.startswith("effect: nack cache misses ")


def test_without_an_effect_none_is_seen_and_above_what_is_said() -> None:
    """In two hundred runs of nothing but scatter hardly one is called an effect."""
    called = [compare_phases(phases(5, wander=0.3, seed=seed), rate=100, phase_s=10).result for seed in range(200)]
    assert called.count("effect") <= 10
    assert called.count("no effect seen") >= 150
    found = compare_phases(phases(5), rate=100, phase_s=10)
    assert found.statement.startswith("no effect seen above nack cache misses 0.0")


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_one_pair_of_phases_proves_nothing(rounds: int) -> None:
    """However large the difference: there is too little data."""
    found = compare_phases(phases(rounds, misses=1000), rate=100, phase_s=10)
    assert found.result == "too little data"
    assert all(each.difference is None for each in found.quantities)


def test_phases_that_differ_among_themselves_too_much_say_too_little() -> None:
    """An interval that does not exclude a doubling is no absence of an effect."""
    assert results(phases(3, wander=5))["nack cache misses"] == "too little data"


def test_nothing_at_all_is_no_proof_that_there_is_nothing() -> None:
    """No event in 20 connections over 50 s: below 3 in 1,000 connection-seconds, not below 0."""
    found = compare_phases(phases(5), rate=100, phase_s=10)
    disconnected = next(each for each in found.quantities if each.quantity == "time disconnected")
    assert disconnected.difference == (0, pytest.approx(3.0))


def test_only_connections_that_stay_are_compared() -> None:
    """One that leaves or joins in between is left out; where none stays there is too little data."""
    made = phases(3)
    gone = [
        PollingPhase(
            polled=phase.polled,
            snapshots=[
                MediaSnapshot(
                    at_s=each.at_s, connections={id: v for id, v in each.connections.items() if id != f"C{place}"}
                )
                for each in phase.snapshots
            ],
        )
        for place, phase in enumerate(made)
    ]
    assert lasting_connections(gone) == sorted(set(IDS) - {f"C{place}" for place in range(7)})
    empty = [
        PollingPhase(polled=phase.polled, snapshots=[MediaSnapshot(at_s=1.0, connections={})] * 2) for phase in made
    ]
    assert compare_phases(empty, rate=100, phase_s=10).result == "too little data"


def test_a_phase_that_was_not_seen_cuts_the_rest_off() -> None:
    """Quiet and polled must not change places."""
    made = phases(5, misses=5)
    made[4] = PollingPhase(polled=False, snapshots=made[4].snapshots[:1])
    assert compare_phases(made, rate=100, phase_s=10).polled_phases == 1


def test_a_listing_is_read_leniently() -> None:
    """What is no number, no object, or no list is left out: whether a response is sound is the judge's to find."""
    body = json.dumps([{"connection_id": "A", "cc": {"round_trip_time": "7"}, "rtcp": 3}, 5, {"connection_id": 6}])
    found = read_media_snapshot(body.encode(), 1.0)
    assert found is not None and found.connections == {"A": {}}
    assert read_media_snapshot(b'{"a": 1}', 1.0) is None
    assert read_media_snapshot(b"[", 1.0) is None
    assert len(compare_phases(phases(3), rate=100, phase_s=10).quantities) == 5
