"""What a verdict says was seen of the field list, and which counters moved: no more and no less than what came."""

from __future__ import annotations

import pytest

from sora_stats_harness.judge.verdict import CoverageSummary

from .build import DOC, MS, Json, Talk, ask, connection
from .test_channels import channel

COUNTERS = {field.dotted for field in DOC.counters}
MESSAGES = "total_data_channel_abandon_message"


def coverage(*channels: dict[str, Json], finished: bool = True, **changes: list[Json]) -> CoverageSummary:
    """Of one connection: its data channels, and some fields, from sample to sample."""
    talk = Talk()
    for place, each in enumerate(channels):
        document = connection(
            stamp_ns=(20 * place + 5) * MS, **{name: values[place] for name, values in changes.items()}
        )
        document["data_channel"] = each
        talk.add(ask(), 20 * place * MS, (20 * place + 10) * MS, document)
    return (talk.end() if finished else talk.judge.result()).coverage


def grew(found: CoverageSummary) -> set[str]:
    """The counters that were seen, could be used, and are not said to have stood still."""
    moved = COUNTERS - {*found.never_grew, *found.never_seen, *found.unusable}
    assert found.counters_grew == len(moved)
    return moved


@pytest.mark.parametrize("finished", [True, False])
def test_counters_that_are_larger_than_they_first_were_have_moved(finished: bool) -> None:
    """Of the connection and of a channel; one that fell back, or stands, has not; also while the run goes on."""
    found = coverage(
        {"#a": channel(1, 5)},
        {"#a": channel(2, 5)},
        finished=finished,
        dtls__total_received_dtls=[7, 8],
        dtls__total_sent_dtls=[7, 7],
    )
    assert grew(found) == {"dtls.total_received_dtls", f"data_channel.#*.{MESSAGES}"}
    assert found.fields_seen == len(DOC.fields) - len(found.never_seen)
    assert not {name for name in found.never_seen if name.startswith("data_channel.#*.total")}
    assert {name for name in found.never_seen if name.startswith("data_channel.notify")} == {
        field.dotted for field in DOC.fields if field.dotted.startswith("data_channel.notify")
    }


def test_what_a_channel_counted_before_it_closed_is_remembered() -> None:
    """And what starts again at less has not grown by that."""
    assert grew(coverage({"#a": channel(1, 5)}, {"#a": channel(2, 5)}, {}, {})) == {f"data_channel.#*.{MESSAGES}"}
    assert grew(coverage({"#a": channel(5, 5)}, {}, {"#a": channel(1, 1)})) == set()
    reopened = coverage({"#a": channel(1, 5)}, {"#a": channel(2, 5)}, {"#a": channel(1, 1)}, {"#a": channel(1, 1)})
    assert grew(reopened) == {f"data_channel.#*.{MESSAGES}"}


def test_a_counter_without_a_value_that_can_be_used_is_said_to_be_just_that() -> None:
    """It is not said to have stood still; one that came late has not moved by coming."""
    found = coverage({}, {}, {}, dtls__total_received_dtls=["1", "2", "3"], dtls__total_sent_dtls=["1", 7, 7])
    assert found.unusable == ["dtls.total_received_dtls", "dtls.total_sent_dtls"]
    assert grew(found) == set()
