"""Data channels: what excludes the other, and channels that are closed and opened again between two samples."""

from __future__ import annotations

import pytest

from sora_stats_harness.judge.requirements import Level

from .build import MS, Json, Talk, ask, connection


def channel(received: int, sent: int, messages: int = 0, **configuration: Json) -> dict[str, Json]:
    """A data channel's object, from the example's."""
    document = connection()["data_channel"]
    label: dict[str, Json] = dict(next(iter(document.values())))
    names = [name for name in label if name.startswith("total_")]
    label |= dict.fromkeys(names, 0) | dict(zip(names, (received, sent, messages), strict=False))
    return label | configuration


def talked(label: str, *channels: dict[str, Json], every_ms: int = 1000) -> Talk:
    """One sample after the other, each with one channel."""
    talk = Talk()
    for place, each in enumerate(channels):
        document = connection(stamp_ns=(every_ms * place + 2) * MS)
        document["data_channel"] = {label: each}
        talk.add(ask(), every_ms * place * MS, (every_ms * place + 5) * MS, document)
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


REOPENED = "a data channel was closed and reopened between two samples"


@pytest.mark.parametrize(
    ("label", "counts", "falls", "note"),
    [
        pytest.param("#chat", [(5, 7), (1, 0)], [], f"{REOPENED} once", id="all start again"),
        pytest.param("#chat", [(5, 0), (1, 9)], [], f"{REOPENED} once", id="what was not counted may grow"),
        pytest.param("#chat", [(5, 1), (2, 1)], [], f"{REOPENED} once", id="one message opens it each time"),
        pytest.param("#chat", [(5, 19), (2, 19)], [], f"{REOPENED} once", id="or a few do"),
        pytest.param("#chat", [(5, 20), (2, 20)], [Level.INFO], None, id="so many say that it may have gone on"),
        pytest.param("#chat", [(5, 7), (1, 0), (2, 1), (1, 0)], [], f"{REOPENED} 2 times", id="twice"),
        pytest.param("#chat", [(5, 7), (1, 8)], [Level.INFO], None, id="one falls, another grows"),
        pytest.param(
            "#chat", [(5, 7), (1, 0), (2, 2), (1, 3)], [Level.INFO], f"{REOPENED} once", id="and then one falls"
        ),
        pytest.param("notify", [(5, 7), (1, 0)], [Level.MUST] * 2, None, id="a label of the server's own"),
    ],
)
def test_a_channel_may_be_opened_again(
    label: str, counts: list[tuple[int, int]], falls: list[Level], note: str | None
) -> None:
    """All of its counters start again together, or one of them may be wrong: so little can't tell."""
    talk = talked(label, *(channel(*each) for each in counts))
    notes = [each for each in talk.end().coverage.notes if each.startswith(REOPENED)]
    assert [(finding.requirement, finding.level) for finding in talk.findings] == [
        ("counter.monotonic", level) for level in falls
    ]
    assert notes == ([] if note is None else [note])


RECEIVED, SENT = "total_received_data_channel_message", "total_sent_data_channel_message"


def exchanged(received: int, sent: int) -> dict[str, Json]:
    """A channel with so many messages, of 10 bytes."""
    return channel(0, 0) | {
        RECEIVED: received,
        f"{RECEIVED}_byte_size": 10 * received,
        SENT: sent,
        f"{SENT}_byte_size": 10 * sent,
    }


@pytest.mark.parametrize(
    ("begins", "rate", "samples", "falls"),
    [
        pytest.param(
            100, 2, 12, [Level.MUST] * 2, id="known for ten times as long as it would have had to reopen and count"
        ),
        pytest.param(100, 2, 11, [Level.INFO] * 2, id="known for less"),
        pytest.param(-6, 1, 27, [Level.MUST] * 2, id="it had counted 20 messages"),
        pytest.param(-7, 1, 27, [Level.INFO] * 2, id="and 19, which an application may send each time"),
    ],
)
def test_a_counter_of_a_busy_channel_falls_where_others_go_on(
    begins: int, rate: int, samples: int, falls: list[Level]
) -> None:
    """It would have had to be reopened, and to count more messages than ever before in a tenth of the time."""
    sent = [max(0, begins + rate * place) for place in range(samples)]
    counts = [exchanged(500, each) for each in sent] + [exchanged(499, sent[-1])]
    talk = talked("#chat", *counts)
    talk.end()
    assert [(finding.requirement, finding.level) for finding in talk.findings] == [
        ("counter.monotonic", level) for level in falls
    ]


def test_a_busy_channel_that_begins_again_was_reopened() -> None:
    """None of its counters goes on."""
    talk = talked("#chat", *[exchanged(500, 100 + 2 * place) for place in range(30)], exchanged(1, 1))
    assert talk.end().coverage.notes == [f"{REOPENED} once"]
    assert talk.findings == []


def test_a_channel_that_was_only_opened_busily_may_have_been_reopened() -> None:
    """It counted 500 messages before the first response, and none since: it may well do so each time."""
    talk = talked("#chat", *[exchanged(500, 500)] * 40, exchanged(499, 500))
    talk.end()
    assert [finding.level for finding in talk.findings] == [Level.INFO] * 2


def test_a_counter_that_dips_in_every_other_response_is_found() -> None:
    """Where all carries on afterwards, the channel counts as known since before; so the dips are found in the end."""
    talk = talked("#chat", *[exchanged(500 - place % 2, 100 + place) for place in range(60)])
    talk.end()
    levels = [finding.level for finding in talk.findings]
    assert levels[:2] == [Level.INFO] * 2
    assert levels[-2:] == [Level.MUST] * 2


@pytest.mark.parametrize(("every_ms", "level"), [(94, Level.MUST), (95, Level.INFO)])
def test_a_channel_takes_a_while_to_reopen(every_ms: int, level: Level) -> None:
    """From when one request was sent until the other's response had arrived; less time than 100 ms is too little."""
    talk = talked("#chat", channel(5, 7), channel(1, 8), every_ms=every_ms)
    talk.end()
    assert [(finding.requirement, finding.level) for finding in talk.findings] == [("counter.monotonic", level)]


def test_what_a_fall_that_may_be_none_expects() -> None:
    """Both are told: what would be right, and what may explain it."""
    talk = talked("#chat", channel(5, 7), channel(1, 8))
    talk.end()
    (doubtful,) = talk.findings
    assert (doubtful.expected, doubtful.actual, doubtful.fault) == (
        "at least 5, unless reopened",
        "1",
        "fell, or was reopened",
    )
    talk = talked("notify", channel(5, 7), channel(1, 8))
    talk.end()
    (certain,) = talk.findings
    assert (certain.expected, certain.actual, certain.fault) == ("at least 5", "1", "fell")


@pytest.mark.parametrize(
    ("label", "told"), [("#chat", ["counter.monotonic", "identity.channel"]), ("push", ["counter.monotonic"])]
)
def test_a_gap_is_told_beside_a_fall_that_may_be_none(label: str, told: list[str]) -> None:
    """A sample of which a counter surely fell proves no gap: it may be an old one."""
    talk = Talk()
    for place, counts in enumerate([(5, 7), (5, 7), (1, 8)]):
        document = connection(stamp_ns=(100 * place + 2) * MS)
        document["data_channel"] = {label: channel(*counts)} | ({} if place == 1 else {"notify": channel(3, 3)})
        talk.add(ask(), 100 * place * MS, (100 * place + 5) * MS, document)
    talk.end()
    assert sorted(finding.requirement for finding in talk.findings) == told


@pytest.mark.parametrize(("missing", "level"), [(None, Level.MUST), (6, Level.INFO)])
def test_a_channel_that_dipped_and_then_was_missing_is_known_only_since(missing: int | None, level: Level) -> None:
    """It may have been closed meanwhile, so what came before says nothing."""
    talk = Talk()
    for place in range(17):
        dips = place in (5, 16)
        document = connection(stamp_ns=(1000 * place + 2) * MS)
        document["data_channel"] = {} if place == missing else {"#chat": exchanged(500 - dips, 100 + 2 * place)}
        talk.add(ask(), 1000 * place * MS, (1000 * place + 5) * MS, document)
    talk.end()
    assert [(finding.requirement, finding.level) for finding in talk.findings] == [
        ("counter.monotonic", each) for each in (Level.INFO, Level.INFO, level, level)
    ]


PRESENT: list[tuple[int, int] | None] = [(5, 7), None, (5, 8)]


@pytest.mark.parametrize(
    ("label", "counts", "found"),
    [
        pytest.param("notify", PRESENT, [Level.PROVEN], id="missing once"),
        pytest.param("#chat", PRESENT, [Level.INFO], id="the application may have opened it again"),
        pytest.param("#chat", [(5, 7), None, (5, 7)], [Level.HABIT], id="and used it just as much, which is odd"),
        pytest.param("notify", [(5, 7), None, None, (6, 8)], [Level.PROVEN], id="missing twice in a row is one gap"),
        pytest.param("notify", [(5, 7), None, (5, 7), None, (5, 7)], [Level.PROVEN] * 2, id="two gaps"),
        pytest.param("notify", [(5, 7), None, (1, 8)], [], id="one started again"),
        pytest.param("notify", [(0, 0), None, (1, 8)], [], id="never used before"),
        pytest.param("notify", [(5, 7), None], [], id="closed for good"),
        pytest.param("notify", [None, (5, 7), (5, 7)], [], id="opened late"),
    ],
)
def test_a_channel_whose_counters_carry_on_was_there(
    label: str, counts: list[tuple[int, int] | None], found: list[Level]
) -> None:
    """The response that lacks it is wrong, and the ones before and after prove it."""
    talk = Talk()
    for place, each in enumerate(counts):
        document = connection(stamp_ns=(10 * place + 2) * MS)
        document["data_channel"] = {"push": channel(1, 1)} | ({label: channel(*each)} if each else {})
        talk.add(ask(), 10 * place * MS, (10 * place + 5) * MS, document)
    result = talk.end()
    assert [finding.level for finding in talk.findings] == found
    assert all(finding.requirement == "identity.channel" for finding in talk.findings)
    assert all(len(finding.exchanges) == 3 for finding in talk.findings)
    assert result.checked["identity.channel"] == len(counts) - 1


HABIT, INFO = Level.HABIT, Level.INFO


@pytest.mark.parametrize(
    ("begins", "missing", "samples", "found"),
    [
        pytest.param(100, {27}, 30, [HABIT], id="known for ten times as long as it was gone"),
        pytest.param(100, {26}, 30, [INFO], id="known for less: it may have been opened again"),
        pytest.param(100, {27, 28}, 30, [INFO], id="gone for longer"),
        pytest.param(-6, {27}, 30, [HABIT], id="it had counted 20 messages"),
        pytest.param(-7, {27}, 30, [INFO], id="and 19, which an application may send each time"),
        pytest.param(
            100,
            {10, 20, 40, 60},
            70,
            [INFO, INFO, HABIT, HABIT],
            id="it carries on over each gap, so it was known all the time",
        ),
    ],
)
def test_a_busy_channel_was_hardly_opened_again(
    begins: int, missing: set[int], samples: int, found: list[Level]
) -> None:
    """One of the application's own would have had to count more than ever before in a tenth of the time."""
    talk = Talk()
    for place in range(samples):
        document = connection(stamp_ns=(10 * place + 2) * MS)
        chat = channel(0, 0) | {"total_received_data_channel_message": max(0, begins + place)}
        chat["total_received_data_channel_message_byte_size"] = 1000 + place  # bytes are no messages
        document["data_channel"] = {} if place in missing else {"#chat": chat}
        talk.add(ask(), 10 * place * MS, (10 * place + 5) * MS, document)
    talk.end()
    assert [(finding.requirement, finding.level) for finding in talk.findings] == [
        ("identity.channel", level) for level in found
    ]


@pytest.mark.parametrize(
    ("times", "found"),
    [
        pytest.param([(0, 5), (10, 15), (20, 25)], 1, id="one after the other"),
        pytest.param([(0, 5), (5, 15), (20, 25)], 0, id="asked for as the first arrived"),
        pytest.param([(0, 5), (10, 15), (15, 25)], 0, id="asked for as it arrived"),
        pytest.param([(0, 5), (10, 15), (12, 25), (26, 30)], 1, id="an overlapping one says nothing, the next does"),
    ],
)
def test_only_what_does_not_overlap_proves_that_a_channel_was_there(times: list[tuple[int, int]], found: int) -> None:
    """The second response lacks the channel."""
    talk = Talk()
    for place, (sent, received) in enumerate(times):
        document = connection(stamp_ns=(sent + 4) * MS)
        document["data_channel"] = {"push": channel(1, 1)} | ({"notify": channel(5, 7)} if place != 1 else {})
        talk.add(ask(), sent * MS, received * MS, document)
    talk.end()
    assert [finding.requirement for finding in talk.findings] == ["identity.channel"] * found


@pytest.mark.parametrize(
    ("odd", "missing"),
    [({"data_channel": {"push": channel(1, 1), "notify": 3}}, 0), ({"data_channel": {}}, 2), ({}, 2)],
)
def test_a_channel_that_cannot_be_read_is_not_missing(odd: dict[str, Json], missing: int) -> None:
    """One fault, one finding; where the whole group is missing or empty, its channels are."""
    talk = Talk()
    for place in range(3):
        document = connection(stamp_ns=(10 * place + 2) * MS)
        del document["data_channel"]
        document |= odd if place == 1 else {"data_channel": {"push": channel(1, 1), "notify": channel(5, 7)}}
        talk.add(ask(), 10 * place * MS, (10 * place + 5) * MS, document)
    talk.end()
    assert [finding.requirement for finding in talk.findings].count("identity.channel") == missing
