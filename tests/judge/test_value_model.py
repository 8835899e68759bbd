"""The value of a counter is what its number stands for, however it is written; what can't be used is never called met."""

from __future__ import annotations

import json

import pytest

from sora_stats_harness.judge.requirements import RequiredCapability
from sora_stats_harness.judge.verdict_decision import RunScope, VerdictDecision, decide_verdict

from .build import DOC, MS, Json, Talk, ask, connection

QUIET = "total_received_dtls"
SCOPE = RunScope(observes=frozenset(RequiredCapability) - {RequiredCapability.NODES, RequiredCapability.PROBES})


def body(number: str, moment: int) -> bytes:
    """The example with one counter written just so."""
    document = connection(stamp_ns=moment, dtls__total_received_dtls="@")
    return json.dumps(document).replace('"@"', number).encode()


def status(decision: VerdictDecision, requirement: str) -> tuple[str, str | None]:
    """What became of a requirement, and why."""
    return next((row.status, row.reason) for row in decision.requirements if row.id == requirement)


@pytest.mark.parametrize(
    ("first", "second", "fell"),
    [
        ("20000", "19999.0", 1),
        ("20000.0", "19999", 1),
        ("20000.0", "19999.0", 1),
        ("2e4", "1.9999e4", 1),
        ("20000", "2e4", 0),
        ("2E4", "20000.0", 0),
        ("20000.0", "20001.0", 0),
        ("18446744073709551616.0", "18446744073709551615", 1),
        ("1.8446744073709552e19", "1.8446744073709550e19", 2000),
        ("1e400", "1", 10**400 - 1),
        ("1e400", "1e401", 0),
        ("5", "-0.0", 5),
    ],
)
def test_a_fall_is_found_however_the_numbers_are_written(first: str, second: str, fell: int) -> None:
    """As integers, with a fraction, with an exponent, and beyond 64 bits; three times, since the decoder learns."""
    talk = Talk()
    for place, number in enumerate((first, first, first, second)):
        talk.add(ask(), (10 * place) * MS, (10 * place + 5) * MS, body(number, (10 * place + 2) * MS))
    falls = [finding for finding in talk.findings if finding.requirement == "counter.monotonic"]
    assert [finding.message for finding in falls] == ([f"dtls.total_received_dtls fell by {fell}"] if fell else [])
    written = sum("." in number or "e" in number.lower() for number in (first, first, first, second))
    assert sum(finding.requirement == "shape.lexical" for finding in talk.findings) == written


def falling(document: Json, by: int) -> Json:
    """Every counter less, as a float."""
    if not isinstance(document, dict):
        return document
    return {
        key: float(value + 2000 - by) if key.startswith("total_") else falling(value, by)
        for key, value in document.items()
    }


def test_all_counters_that_fall_as_floats_are_found() -> None:
    """By 1000, all of them; none is said to be of no use."""
    talk = Talk()
    for place, by in enumerate((0, 0, 1000)):
        document = falling(connection(stamp_ns=(10 * place + 2) * MS), by)
        talk.add(ask(), 10 * place * MS, (10 * place + 5) * MS, document)
    falls = {finding.field for finding in talk.findings if finding.requirement == "counter.monotonic"}
    assert falls == {field.pointer for field in DOC.counters}
    assert talk.end().coverage.unusable == []


def test_counters_that_are_written_as_floats_move() -> None:
    """Coverage counts them as it counts others."""
    talk = Talk()
    for place in range(3):
        talk.add(ask(), 10 * place * MS, (10 * place + 5) * MS, body(f"{place}.0", (10 * place + 2) * MS))
    assert f"dtls.{QUIET}" not in talk.end().coverage.never_grew


@pytest.mark.parametrize("number", ["1e5000", '"7"', "null", "1.5"])
def test_a_value_that_cannot_be_used_leaves_its_checks_unchecked(number: str) -> None:
    """Not met, and not said never to have moved: nothing was looked at."""
    talk = Talk()
    for place in range(3):
        talk.add(ask(), 10 * place * MS, (10 * place + 5) * MS, body(number, (10 * place + 2) * MS))
    result = talk.end()
    assert result.coverage.unusable == [f"dtls.{QUIET}"]
    assert f"dtls.{QUIET}" not in result.coverage.never_grew
    decision = decide_verdict(result, SCOPE)
    assert status(decision, "counter.monotonic") == ("not_checked", "masked")
    assert status(decision, "relation.rtp_subset")[0] == "met"


def test_a_relation_over_a_value_that_cannot_be_used_is_not_checked() -> None:
    """Others are."""
    talk = Talk()
    for place in range(3):
        document = connection(stamp_ns=(10 * place + 2) * MS, rtp__total_received_rtp_rtx="1")
        talk.add(ask(), 10 * place * MS, (10 * place + 5) * MS, document)
    decision = decide_verdict(talk.end(), SCOPE)
    assert status(decision, "relation.rtp_subset") == ("not_checked", "masked")
    assert status(decision, "relation.total_packets")[0] == "met"
