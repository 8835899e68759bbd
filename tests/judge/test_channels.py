"""Data channels: what excludes the other, and channels that are closed and opened again between two samples."""

from __future__ import annotations

import pytest

from .build import MS, Json, Talk, ask, connection


def channel(received: int, sent: int, messages: int = 0, **configuration: Json) -> dict[str, Json]:
    """A data channel's object, from the example's."""
    document = connection()["data_channel"]
    label: dict[str, Json] = dict(next(iter(document.values())))
    names = [name for name in label if name.startswith("total_")]
    label |= dict.fromkeys(names, 0) | dict(zip(names, (received, sent, messages), strict=False))
    return label | configuration


def talked(label: str, *channels: dict[str, Json]) -> Talk:
    """One sample after the other, each with one channel."""
    talk = Talk()
    for place, each in enumerate(channels):
        document = connection(stamp_ns=(10 * place + 2) * MS)
        document["data_channel"] = {label: each}
        talk.add(ask(), 10 * place * MS, (10 * place + 5) * MS, document)
    return talk


@pytest.mark.parametrize("label", ["#chat", "notify"])
@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({}, 0),
        ({"max_retransmits": 3}, 0),
        ({"max_packet_life_time": 1000}, 0),
        ({"max_retransmits": 3, "max_packet_life_time": 1000}, 1),
        ({"max_retransmits": 0, "max_packet_life_time": 0}, 1),
    ],
)
def test_a_channel_has_one_limit_at_most(label: str, limits: dict[str, Json], found: int) -> None:
    """Told once for each channel, in however many samples it stands."""
    talk = talked(label, *[channel(1, 1, **limits)] * 3)
    result = talk.end()
    assert talk.told() == ["shape.exclusive"] * found
    assert result.checked["shape.exclusive"] == 3


REOPENED = "a data channel was closed and opened again between two samples"


@pytest.mark.parametrize(
    ("label", "counts", "falls", "note"),
    [
        pytest.param("#chat", [(5, 7), (1, 0)], 0, f"{REOPENED} once", id="all start again"),
        pytest.param("#chat", [(5, 0), (1, 9)], 0, f"{REOPENED} once", id="what was not counted may grow"),
        pytest.param("#chat", [(5, 7), (1, 0), (2, 1), (1, 0)], 0, f"{REOPENED} 2 times", id="twice"),
        pytest.param("#chat", [(5, 7), (1, 7)], 1, None, id="one falls, another stands"),
        pytest.param("#chat", [(5, 7), (1, 8)], 1, None, id="one falls, another grows"),
        pytest.param("#chat", [(5, 7), (1, 0), (2, 2), (1, 3)], 1, f"{REOPENED} once", id="and then one falls"),
        pytest.param("notify", [(5, 7), (1, 0)], 2, None, id="a label of the server's own"),
    ],
)
def test_a_channel_may_be_opened_again(label: str, counts: list[tuple[int, int]], falls: int, note: str | None) -> None:
    """All of its counters start again together, or one of them is wrong."""
    talk = talked(label, *(channel(*each) for each in counts))
    notes = [each for each in talk.end().coverage.notes if each.startswith(REOPENED)]
    assert talk.told() == ["counter.monotonic"] * falls
    assert notes == ([] if note is None else [note])
