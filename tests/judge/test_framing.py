"""How a response is written is judged by its bytes alone, and closes without a word are weighed by how many there are."""

from __future__ import annotations

import pytest

from sora_stats_harness.api.exchange import ErrorCode, TransportError
from sora_stats_harness.api.http1 import ResponseReader
from sora_stats_harness.api.http1_faults import FRAMING_RULES, UNANNOUNCED_CLOSE, Effect, FramingFault
from tests.raw_responses import RawResponse, load

from .build import Talk, list_all

ROWS = [row for row in load() if row.method == "POST"]


def judge(row: RawResponse) -> Talk:
    """The response as the reader hands it over, and what a judge says who has seen nothing else."""
    reader = ResponseReader()
    reader.begin(row.method)
    if row.data:
        reader.feed(memoryview(row.data))
    if row.closes:
        reader.end()
    error = reader.error
    if not reader.over and error is None:
        error = TransportError(code=ErrorCode.TIMEOUT, detail="nothing more came")
    talk = Talk()
    talk.take(list_all(), 0, 10, reader.response, error, reader.faults)
    return talk


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_raw_response_is_judged_as_the_corpus_says(row: RawResponse) -> None:
    """Requirement and level of each finding; through sockets, `tests/load/test_raw_responses.py` finds the same."""
    talk = judge(row)
    talk.end()
    found = [f"{finding.requirement} {finding.level.name}" for finding in talk.findings]
    assert sorted(each for each in found if each.startswith("http.")) == sorted(row.findings)


def test_what_ended_a_response_is_said_and_not_what_was_odd_before() -> None:
    """A head that was folded is complete; one that can't be read is not."""
    cut = TransportError(code=ErrorCode.CUT, detail="the body ended early")
    odd, fatal = (
        next(code for code, rule in FRAMING_RULES.items() if rule.effect is each)
        for each in (Effect.TOLERATED, Effect.FATAL)
    )
    talk = Talk()
    for place, codes in enumerate(((odd,), (odd, fatal))):
        faults = tuple(FramingFault(code=code, text="x") for code in codes)
        talk.take(list_all(), 20 * place, 20 * place + 10, None, cut, faults)
    assert [each.fault for each in talk.findings if each.requirement == "http.complete"] == ["cut", fatal]


def test_a_body_is_said_to_be_what_its_label_or_its_bytes_say() -> None:
    """Not that it begins with a byte that is no UTF-8."""
    [row] = [row for row in ROWS if row.name == "gzip that nobody asked for"]
    assert [finding.actual for finding in judge(row).findings] == [
        "Content-Encoding is 'gzip', which was not asked for"
    ]
    talk = Talk()
    talk.add(list_all(), 0, 10, b"\x1f\x8b\x08\x00\x00")
    assert [finding.actual for finding in talk.findings] == [
        "gzip, which was not asked for, without a Content-Encoding"
    ]


@pytest.mark.parametrize(
    ("complete", "closes", "habits"),
    [
        pytest.param(0, 3, 1, id="two are chance, the third is a habit"),
        pytest.param(300, 3, 1, id="a hundredth of the complete responses"),
        pytest.param(301, 3, 0, id="less than a hundredth"),
        pytest.param(400, 5, 2, id="from the fourth on"),
    ],
)
def test_closes_without_a_word_are_a_habit_from_the_third_on_and_a_hundredth(
    complete: int, closes: int, habits: int
) -> None:
    """A request may meet an idle time-out by chance: for information."""
    talk = Talk()
    fault = FramingFault(code=UNANNOUNCED_CLOSE, text="closed")
    for number in range(complete):
        talk.add(list_all(), 20 * number, 20 * number + 10, b"[]")
    for number in range(complete, complete + closes):
        error = TransportError(code=ErrorCode.RESET, detail="closed")
        talk.take(list_all(), 20 * number, 20 * number + 10, None, error, (fault,))
    assert talk.told() == ["http.keep_alive"] * habits
    assert {finding.expected for finding in talk.findings} == {f"as in {FRAMING_RULES[UNANNOUNCED_CLOSE].clause}"}
