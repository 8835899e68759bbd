"""An outage is a finding with its length, and a restart at least a note."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sora_stats_harness.api.exchange import ErrorCode

from .build import IDS, MS, SERVER, Talk, ask, connection, list_all

SILENT = [ErrorCode.REFUSED, ErrorCode.RESET, ErrorCode.TIMEOUT]


def asked(*steps: ErrorCode | None) -> Talk:
    """A request a second, each with an error or a complete response after 10 ms."""
    talk = Talk()
    for place, error in enumerate(steps):
        sent = 1000 * place * MS
        talk.add(ask(), sent, sent + 10 * MS, connection(stamp_ns=sent + MS), error=error)
    return talk


@pytest.mark.parametrize("error", SILENT)
def test_silence_in_the_middle_of_a_run_is_a_finding_with_its_length(error: ErrorCode) -> None:
    """Three requests without a complete response: from the first one's sending until the next response."""
    talk = asked(None, None, error, error, error, None)
    coverage = talk.end().coverage
    assert talk.told() == ["http.complete"] * 3
    assert (coverage.errors, coverage.exchanges, coverage.longest_gap_s) == (3, 6, 3.01)


@pytest.mark.parametrize("error", SILENT)
def test_silence_until_the_end_is_one_too(error: ErrorCode) -> None:
    """It lasts at least until the last request had failed."""
    talk = asked(None, error, error)
    assert talk.end().coverage.longest_gap_s == 1.01
    assert talk.told() == ["http.complete"] * 2


@pytest.mark.parametrize("error", [*SILENT, ErrorCode.DNS])
def test_a_server_that_never_responded_is_not_accused(error: ErrorCode) -> None:
    """Nobody knows that there is one."""
    talk = asked(error, error)
    assert talk.end().coverage.longest_gap_s == 0
    assert talk.told() == []


def test_the_longest_of_several_gaps_counts() -> None:
    """One request, then two."""
    gone = ErrorCode.REFUSED
    assert asked(None, gone, None, gone, gone, None).end().coverage.longest_gap_s == 2.01


def listings(*rows: Sequence[str]) -> list[str]:
    """The notes after some listings, a second apart."""
    talk = Talk()
    for place, ids in enumerate(rows):
        sent = 1000 * place * MS
        talk.add(list_all(), sent, sent + 10 * MS, [connection(each, stamp_ns=sent + MS) for each in ids])
    notes = talk.end().coverage.notes
    assert talk.told() == []
    return [note for note in notes if "replaced" in note]


REPLACED = (
    f"all connections of {SERVER} were replaced at once{{}}: it was restarted, or several servers respond at this URL"
)


@pytest.mark.parametrize(
    ("rows", "notes"),
    [
        pytest.param([IDS[:2], IDS[2:4]], [REPLACED.format("")], id="all at once"),
        pytest.param([IDS[:2], (), IDS[2:4]], [REPLACED.format("")], id="with an empty listing in between"),
        pytest.param([IDS[:2], IDS[2:4], IDS[:2]], [REPLACED.format(" 2 times")], id="and back"),
        pytest.param([IDS[:2], IDS[1:3], IDS[2:4]], [], id="one by one"),
        pytest.param([IDS[:1], IDS[1:2]], [], id="a single one"),
        pytest.param([IDS[:2], ()], [], id="all have left"),
    ],
)
def test_connections_that_are_all_replaced_are_noted(rows: Sequence[Sequence[str]], notes: list[str]) -> None:
    """A restart, or a load balancer."""
    assert listings(*rows) == notes
