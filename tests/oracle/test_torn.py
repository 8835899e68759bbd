"""A server that reads its counters piece by piece is never accused; a fault planted in its responses is found."""

from __future__ import annotations

import pytest

from sora_stats_harness.api import edition

from ..examples import some_of
from . import agreement

DOC = edition.load_edition()


def test_a_correct_server_that_tears_its_reads_is_not_accused() -> None:
    """Three pollers that overlap, reads torn by up to 20 ms: no MUST and no PROVEN, though relations fail."""
    counted = agreement.torn_reads(DOC, range(some_of(4)))
    assert counted["inconsistent"] * 10 > counted["samples"], counted


@pytest.mark.parametrize("stepped_ms", [200, -200])
def test_a_clock_that_is_set_by_ntp_is_no_fault(stepped_ms: int) -> None:
    """Stamps that jump by 200 ms between responses of up to 40 ms prove nothing about the counters."""
    assert agreement.torn_reads(DOC, [7], stepped_ns=stepped_ms * 1_000_000)["samples"] > 50


def test_relations_are_judged_as_the_reference_judges_them() -> None:
    """With one poller, each response has its neighbours: the confirmed misses are those of the P, R, N rule."""
    assert agreement.planted(DOC, range(100, 100 + some_of(24)))["certain"] > some_of(8)


def test_a_bare_body_misses_the_relations_that_the_reference_names() -> None:
    """A single body has no neighbours, so each relation is compared as it stands."""
    assert agreement.alone(DOC, range(some_of(80)))["missed"] > some_of(16)
