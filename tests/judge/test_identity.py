"""What a connection keeps: its ids for life, a data channel's configuration for as long as it is open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from sora_stats_harness.judge.requirements import Level

from .build import EXAMPLE, IDS, MS, Json, Talk, ask, ask_client, connection, list_all

LABEL = {"ordered": True, "protocol": "", "direction": "sendrecv", "compress": False}
COUNTERS = {
    f"total_{name}": 0
    for name in (
        *(f"data_channel_{kind}_message" for kind in ("abandon", "retransmit", "open", "ack")),
        *(f"{way}_data_channel_message{size}" for way in ("received", "sent") for size in ("", "_byte_size")),
    )
}


def label(**changes: Json) -> Json:
    """A data channel; a leaf that is None is absent."""
    leaves = LABEL | COUNTERS | changes
    return {name: value for name, value in leaves.items() if value is not None}


def configured(*channels: dict[str, Json]) -> list[tuple[Level, str, str, str]]:
    """What is said of a connection's configuration, response by response: level, pointer, expected, actual."""
    talk = Talk()
    for place, channel in enumerate(channels):
        document = connection(stamp_ns=20 * place * MS, data_channel=channel)
        talk.add(ask(), 20 * place * MS, (20 * place + 10) * MS, document)
    talk.end()
    return [
        (each.level, each.pointer, each.expected, each.actual)
        for each in talk.findings
        if each.requirement == "identity.constant"
    ]


OPEN = {"#a": label()}
OTHER = {"#a": label(ordered=False)}
RETRANSMITS = (Level.HABIT, "/data_channel/#a/max_retransmits")
FOUND = (Level.HABIT, "/data_channel/#a/ordered", "true", "false")


@pytest.mark.parametrize(
    ("channels", "found"),
    [
        pytest.param([OPEN, OPEN, OPEN], [], id="the same"),
        pytest.param([OPEN, OTHER], [FOUND], id="another while it is open"),
        pytest.param([OPEN, OTHER, OTHER], [FOUND], id="told once"),
        pytest.param([OPEN, OTHER, OPEN], [FOUND, (*FOUND[:2], "false", "true")], id="and back"),
        pytest.param([OPEN, {}, OTHER], [], id="closed in between"),
        pytest.param([OPEN, {"#b": label()}, OTHER], [], id="closed while another is open"),
        pytest.param([OPEN | {"#b": label()}, {"#b": label()}, OTHER], [], id="closed, and the other stays"),
        pytest.param([{"#b": label()}, OPEN | {"#b": label()}, OTHER], [FOUND], id="opened later"),
        pytest.param([OPEN, OPEN | {"#b": label(ordered=False)}], [], id="another channel's"),
        pytest.param(
            [{"#a": label(max_retransmits=3)}, {"#a": label(max_retransmits="3")}, {"#a": label(max_retransmits=4)}],
            [(*RETRANSMITS, "3", "4")],
            id="a value that can't be used is none, and the one before is remembered",
        ),
        pytest.param(
            [OPEN, {"#a": label(max_retransmits=3)}, OPEN],
            [(*RETRANSMITS, "absent", "3"), (*RETRANSMITS, "3", "absent")],
            id="a leaf that comes and goes",
        ),
        pytest.param(
            [OPEN, {"#a": label(ordered=False, compress=True)}],
            [FOUND, (Level.HABIT, "/data_channel/#a/compress", "false", "true")],
            id="each leaf",
        ),
    ],
)
def test_a_channel_keeps_its_configuration(
    channels: Sequence[dict[str, Json]], found: list[tuple[Level, str, str, str]]
) -> None:
    """From the response that first has it until one that lacks it."""
    assert configured(*channels) == found


def test_the_response_before_and_this_one_are_shown() -> None:
    """The one before is the last that had the old configuration."""
    talk = Talk()
    for place, channel in enumerate((OPEN, OPEN, OTHER)):
        document = connection(stamp_ns=20 * place * MS, data_channel=channel)
        talk.add(ask(), 20 * place * MS, (20 * place + 10) * MS, document)
    talk.end()
    assert [each.seq for each in talk.findings[0].exchanges] == [1, 2]
    assert (talk.findings[0].field, talk.findings[0].message) == (
        "/data_channel/#*/ordered",
        "ordered of an open data channel changed",
    )


IDENTITIES = ("channel_id", "client_id", "bundle_id")


@pytest.mark.parametrize("name", IDENTITIES)
@pytest.mark.parametrize(
    ("values", "places"),
    [
        (["a", "a"], []),
        (["a", "b"], [1]),
        (["a", "a", "b", "b"], [2, 3]),
        (["a", "b", "a"], [1]),
        ([1, "a", "b"], [2]),
        (["a", 1, "a"], []),
        (["a", 1, "b"], [2]),
    ],
)
def test_a_connection_keeps_its_ids(name: str, values: list[Any], places: list[int]) -> None:
    """Those that it first had; what is no text is another requirement's."""
    talk = Talk()
    for place, value in enumerate(values):
        samples = [connection(stamp_ns=20 * place * MS) | {name: value}]
        talk.add(list_all(), 20 * place * MS, (20 * place + 10) * MS, samples)
    talk.end()
    found = [each for each in talk.findings if each.requirement == "identity.constant"]
    assert [each.exchanges[-1].seq for each in found] == places
    assert {(each.level, each.field, each.pointer) for each in found} <= {(Level.MUST, f"/{name}", f"/0/{name}")}
    assert {each.exchanges[0].seq for each in found} <= {0}


@pytest.mark.parametrize(
    ("request_", "changes", "found"),
    [
        (ask(IDS[0]), {}, None),
        (ask(IDS[0]), {"connection_id": IDS[1]}, ("identity.asked", "/connection_id")),
        (ask(IDS[0]), {"channel_id": "other"}, ("identity.asked", "/channel_id")),
        (ask(IDS[0]), {"client_id": "other"}, None),
        (ask_client(), {}, None),
        (ask_client(), {"client_id": "other"}, ("identity.client", "/client_id")),
        (ask_client(), {"channel_id": "other"}, ("identity.client", "/channel_id")),
        (ask_client(), {"connection_id": IDS[1]}, None),
        (list_all(), {"channel_id": "other", "client_id": "other"}, None),
    ],
)
def test_a_response_is_about_what_was_asked_for(
    request_: Any, changes: dict[str, Json], found: tuple[str, str] | None
) -> None:
    """By connection, or by client, and by channel; a listing is about all."""
    talk = Talk()
    document = connection() | changes
    talk.add(request_, 0, 10 * MS, document if request_.asked.connection_id is not None else [document])
    result = talk.end()
    assert [(each.requirement, each.field) for each in talk.findings] == ([] if found is None else [found])
    checked = {name: result.checked[name] for name in ("identity.asked", "identity.client")}
    assert checked == {
        "identity.asked": int(request_.asked.connection_id is not None),
        "identity.client": int(request_.asked.client_id is not None),
    }


@pytest.mark.parametrize(
    ("ids", "places", "checked"),
    [
        (IDS[:1], [], 0),
        (IDS[:2], [], 1),
        ((IDS[0], IDS[0]), [1], 1),
        ((IDS[0], IDS[1], IDS[0]), [2], 1),
        ((IDS[0], IDS[0], IDS[0]), [1, 2], 1),
        ((IDS[0], IDS[1], IDS[1], IDS[0]), [2, 3], 1),
    ],
)
def test_a_connection_stands_once_in_a_response(ids: Sequence[str], places: list[int], checked: int) -> None:
    """The second and each further one is told; responses with one connection can't show it."""
    talk = Talk()
    talk.add(list_all(), 0, 10 * MS, [connection(each) for each in ids])
    result = talk.end()
    assert [(each.requirement, each.pointer) for each in talk.findings] == [
        ("identity.unique", f"/{place}/connection_id") for place in places
    ]
    assert result.checked["identity.unique"] == checked


def test_each_response_with_several_connections_is_counted_once() -> None:
    """Also the second of a run."""
    talk = Talk()
    for place in range(2):
        talk.add(
            list_all(),
            20 * place * MS,
            (20 * place + 10) * MS,
            [connection(each, stamp_ns=20 * place * MS) for each in IDS[:3]],
        )
    assert talk.end().checked["identity.unique"] == 2


@pytest.mark.parametrize(
    ("connection_id", "found"),
    [
        (EXAMPLE["connection_id"], 0),
        ("A" * 25 + "0", 0),
        ("A" * 25 + "4", 0),
        ("A" * 25 + "1", 1),
        ("A" * 24 + "0", 1),
        ("A" * 26 + "0", 1),
        ("I" * 25 + "0", 1),
        ("a" * 25 + "0", 1),
        ("A" * 25 + "0\n", 1),
    ],
)
def test_the_form_of_a_connection_id(connection_id: str, found: int) -> None:
    """Judged once for each connection."""
    talk = Talk()
    for place in range(2):
        talk.add(
            list_all(),
            20 * place * MS,
            (20 * place + 10) * MS,
            [connection(connection_id, stamp_ns=20 * place * MS)],
        )
    result = talk.end()
    assert [(each.requirement, each.pointer) for each in talk.findings] == [
        ("identity.form", "/0/connection_id")
    ] * found
    assert result.checked["identity.form"] == 1


def test_an_argument_that_a_request_lacks_is_compared_with_nothing() -> None:
    """As in a recording of a client that names no channel; the id that it names is compared."""
    talk = Talk()
    request = ask()
    short = msgspec.structs.replace(request, asked=msgspec.structs.replace(request.asked, channel_id=None))
    talk.add(short, 0, 10, connection(IDS[0]))
    talk.add(short, 20, 30, connection(IDS[1]))
    assert talk.told() == ["identity.asked"]


@pytest.mark.parametrize(("stamp_ns", "proof"), [(0, [0, 1]), (MS, [1])])
def test_a_response_about_another_connection_is_shown_with_the_one_that_it_repeats(
    stamp_ns: int, proof: list[int]
) -> None:
    """The same bytes again prove that they were kept somewhere; other bytes prove nothing of the sort."""
    talk = Talk()
    talk.add(ask(IDS[0]), 0, 10, connection(IDS[0]))
    talk.add(ask(IDS[1]), 20, 30, connection(IDS[0], stamp_ns))
    [found] = [each for each in talk.findings if each.requirement == "identity.asked"]
    assert [each.seq for each in found.exchanges] == proof
