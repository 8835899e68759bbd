"""Whichever way a body is read, the same comes out; repeated keys are found whatever strings beside them hold."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.strict_json import parse_strict_json
from sora_stats_harness.judge.sample import Sample
from sora_stats_harness.judge.sample_reader import SampleReader
from sora_stats_harness.judge.surveyed_sample import survey_sample

EXAMPLE: Final[dict[str, Any]] = json.loads(  # Any: whatever JSON can hold
    (Path(__file__).parents[1] / "data" / "example_response.json").read_text(encoding="utf-8")
)
del EXAMPLE["sctp"]["total_pruned_sctp_data_chunk"]
DOC: Final = edition.load_edition()


def body(protocol: str, repeat: str = "") -> bytes:
    """The example with one label's protocol as it stands on the wire, and a key of its signaling label repeated."""
    document = json.loads(json.dumps(EXAMPLE))
    document["data_channel"]["signaling"]["protocol"] = "HERE"
    text = json.dumps(document).replace('"HERE"', f'"{protocol}"{repeat}', 1)
    json.loads(text)
    return text.encode()


AGAIN: Final = ',"ordered":true'


@pytest.mark.parametrize("protocol", ["", ":::", r"\u003a", r"\u003A:", "x" * 300 + "::"])
def test_a_key_that_stands_twice_is_found_whatever_its_neighbours_hold(protocol: str) -> None:
    """Colons in a string, plain or escaped, neither hide a repeated key nor look like one; on all samples alike."""
    reader = SampleReader(DOC)
    for fewer in (protocol, protocol[:-1] if protocol.endswith(":") else protocol):
        for _ in range(2):
            assert not reader.read(body(protocol), many=False, scan=True).duplicates
            found = reader.read(body(fewer, AGAIN), many=False, scan=True).duplicates
            assert [path[-1] for path in found] == ["ordered"]


def test_an_escaped_colon_does_not_make_up_for_a_repeated_key() -> None:
    """Both stand in one body."""
    reader = SampleReader(DOC)
    assert not reader.read(body("a:b"), many=False, scan=True).duplicates
    found = reader.read(body(r"a\u003ab", AGAIN), many=False, scan=True).duplicates
    assert [path[-1] for path in found] == ["ordered"]


GONE: Final = object()

LABEL: Final = "data_channel.signaling"

DAMAGES: Final[tuple[tuple[str, Any], ...]] = (  # Any: whatever JSON can hold, or nothing
    ("timestamp", 5),
    ("timestamp", "2026-13-01T00:00:00.000000Z"),
    ("channel_id", 5),
    ("channel_id", "c" * 256),
    ("client_id", "c" * 256),
    ("bundle_id", "\u3042" * 86),
    ("connection_id", "c" * 256),
    ("connection_id", None),
    ("network_status.unstable_level", "2"),
    ("network_status.unstable_level", 2),
    ("network_status.unstable_level", 9),
    ("network_status.unstable_level", GONE),
    ("network_status", GONE),
    ("network_status", 7),
    ("turn", GONE),
    ("dtls.total_received_dtls", "1"),
    ("dtls.total_received_dtls", -1),
    ("dtls.total_received_dtls", 1.0),
    ("dtls.total_received_dtls", GONE),
    ("dtls.new", 1),
    ("data_channel", GONE),
    ("data_channel", 7),
    (LABEL, 7),
    (LABEL, {}),
    (f"{LABEL}.ordered", "yes"),
    (f"{LABEL}.ordered", GONE),
    (f"{LABEL}.max_retransmits", "1"),
    (f"{LABEL}.total_received_data_channel_message", "1"),
    (f"{LABEL}.total_received_data_channel_message", GONE),
    (f"{LABEL}.new", 1),
    ("data_channel.signal", {}),
)


def damaged(*changes: tuple[str, Any]) -> bytes:  # Any: as above
    """The example with some places changed, or gone."""
    document = deepcopy(EXAMPLE)
    for dotted, value in changes:
        *path, key = dotted.split(".")
        node = document
        for step in path:
            node = node[step]
        if value is GONE:
            del node[key]
        else:
            node[key] = value
    return json.dumps(document).encode()


def told(sample: Sample) -> Sample:
    """All that is in a sample; whether relations hold is said where the accelerator has looked."""
    blocks = [None if each is None else tuple(each) for each in sample.blocks]
    labels = {label: tuple(counters) for label, counters in sample.labels.items()}
    deviations = sorted(sample.deviations, key=repr)
    return msgspec.structs.replace(sample, related=None, blocks=blocks, labels=labels, deviations=deviations)


@pytest.mark.parametrize(
    ("accelerated", "also"),
    [(True, ()), (False, ()), (False, (("turn", GONE),))],
    ids=["accelerated", "plain", "without another group"],
)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: f"{damage[0]}={str(damage[1])[:9]}")
def test_a_sample_is_the_same_whichever_way_it_is_read(
    damage: tuple[str, Any], accelerated: bool, also: tuple[tuple[str, Any], ...]
) -> None:
    """Surveyed, decoded at the first sight, or by a decoder that has learned what deviates."""
    body = damaged(*dict((damage, *also)).items())
    reader = SampleReader(DOC, accelerated=accelerated)
    surveyed = survey_sample(reader.codec, parse_strict_json(body), None)
    read = [reader.read(body, many=False, scan=False) for _ in range(3)]
    assert [told(each) for parsed in read for each in parsed.samples] == [told(surveyed)] * 3
    assert read[2].slow == 0
