"""The decoder serves any edition: one without labels, with odd limits or names, and what it learns is bounded."""

from __future__ import annotations

import json

import pytest

from sora_stats_harness.api.edition import Edition, parse_edition
from sora_stats_harness.api.exchange import Target
from sora_stats_harness.judge.edition_decoder import MAX_LEARNED, EditionDecoder
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.requirements import Finding
from sora_stats_harness.judge.shape_deviations import describe_expected

from .build import IDS, Json

HEAD = """
format = "sora-harness/edition/1"
name = "odd"
title = "Odd"
source = "made up"
[fields]
timestamp = { type = "string", kind = "time", unit = "none", form = "rfc3339-utc", description = "." }
"""
ID = '{ type = "string", kind = "identity", unit = "none", max_bytes = 255, description = "." }'
COUNTER = '{ type = "integer", kind = "counter", unit = "count", minimum = 0, description = "." }'
GAUGE = '{{ type = "integer", kind = "gauge", unit = "count", {}description = "." }}'
NAMES = ("channel_id", "client_id", "bundle_id", "connection_id")


def edition(*fields: str, after: str = "") -> Edition:
    """A time, four ids, and these."""
    lines = [*(f"{name} = {ID}" for name in NAMES), *fields]
    return parse_edition(HEAD + "\n".join(lines) + "\n" + after, origin="odd")


def shapes(of: Edition, **fields: Json) -> list[tuple[str, str]]:
    """What is said of the shape of a connection with these fields, judged often enough for all to be learned."""
    findings: list[Finding] = []
    judge = Judge(of, on_finding=findings.append)
    document = dict.fromkeys(NAMES, "a") | {"connection_id": IDS[0], "timestamp": "2026-11-24T12:00:00Z"} | fields
    for _ in range(3):
        judge.judge_bare_body(Target.CONNECTION, json.dumps(document).encode(), "body.json")
    judge.finish()
    assert judge.result().crashed == {}
    shown = [(each.requirement, each.pointer) for each in findings if each.requirement.startswith("shape.")]
    assert shown == shown[: len(shown) // 3] * 3
    return shown[: len(shown) // 3]


@pytest.mark.parametrize(
    ("limits", "value", "found"),
    [
        ("", -(2**70), None),
        ("maximum = 5, ", 5, None),
        ("maximum = 5, ", 6, "shape.range"),
        ("maximum = 5, ", -7, None),
        ("minimum = 5, ", 5, None),
        ("minimum = 5, ", 4, "shape.range"),
        (f"maximum = {2**64 - 1}, ", 2**64 - 1, None),
        (f"maximum = {2**64 - 1}, ", 2**64, "shape.range"),
        (f"minimum = {2**63}, ", 2**63, None),
        (f"minimum = {2**63}, ", 2**63 - 1, "shape.range"),
        (f"maximum = {2**63 - 1}, ", 2**63, "shape.range"),
        (f"maximum = {2**63 - 1}, ", 2**63 - 1, None),
    ],
)
def test_limits_of_any_size_on_either_side_are_kept(limits: str, value: int, found: str | None) -> None:
    """Whatever the parser behind it can be told."""
    of = edition(f"level = {GAUGE.format(limits)}")
    assert shapes(of, level=value) == ([] if found is None else [(found, "/level")])


def test_what_is_expected_is_said_with_all_limits() -> None:
    """In the words of the edition's file."""
    count = '{ type = "integer", kind = "gauge", unit = "count", minimum = 0, maximum = 9, description = "." }'
    mode = '{ type = "string", kind = "configuration", unit = "none", values = ["on", "off"], description = "." }'
    of = edition(f"count = {count}", f"mode = {mode}")
    assert {field.name: describe_expected(field) for field in of.fields if field.name not in NAMES[1:]} == {
        "timestamp": "string, RFC 3339 in UTC",
        "channel_id": "string, at most 255 bytes",
        "count": "integer, at least 0, at most 9",
        "mode": "string, one of on, off",
    }


def test_an_edition_may_have_no_data_channels() -> None:
    """Then a connection that has any has an unknown field."""
    of = edition(after=f"[groups.rtp.fields]\ntotal_one = {COUNTER}\n")
    decoder = EditionDecoder(of)
    assert (decoder.label_plan, decoder.label_counters, decoder.label_others) == (None, (), ())
    assert shapes(of, rtp={"total_one": 1}) == []
    assert shapes(of, rtp={"total_one": 1}, data_channel={"#a": {}}) == [("shape.unknown", "/data_channel")]
    of = edition(after="[groups.data_channel]\noptional = true\n")
    assert shapes(of) == shapes(of, data_channel={}) == []
    assert shapes(of, data_channel={"#a": {}}) == [("shape.unknown", "/data_channel/#a")]


def test_labels_that_no_group_stands_for_are_unknown() -> None:
    """Where an edition has documented labels only."""
    groups = (
        f"[groups.data_channel]\noptional = true\n[groups.data_channel.groups.notify.fields]\ntotal_one = {COUNTER}\n"
    )
    of = edition(after=groups)
    decoder = EditionDecoder(of)
    assert decoder.edition_path_of_label("notify") == ("data_channel", "notify")
    assert decoder.edition_path_of_label("#a") is None
    assert shapes(of, data_channel={"notify": {"total_one": 1}}) == []
    assert shapes(of, data_channel={"#a": {"total_one": 1}}) == [("shape.unknown", "/data_channel/#a")]


@pytest.mark.parametrize("name", ["level one", "level/one", "日本語", 'level"one', "level\\\\one"])
def test_any_key_may_be_a_field_s_name(name: str) -> None:
    """Those that the parser can't name make the edition one whose samples are read the slow way."""
    key = name.replace("\\\\", "\\")
    gauge = GAUGE.format("")
    of = edition(f"'{name}' = {gauge}" if '"' in name else f'"{name}" = {gauge}')
    pointer = "/" + key.replace("/", "~1")
    assert EditionDecoder(of).is_usable is not any(char in key for char in '"\\')
    assert shapes(of, **{key: 1}) == []
    assert shapes(of, **{key: "1"}) == [("shape.type", pointer)]
    assert shapes(of) == [("shape.required", pointer)]


UNDOCUMENTED = '[[undocumented]]\npath = "{}"\ntype = "integer"\nkind = "gauge"\nunit = "count"\nseen_in = "."\ndescription = "."\n'


def test_undocumented_fields_are_named_where_they_are_and_missed_nowhere() -> None:
    """Any of several, of the connection and of a label."""
    leaf = (
        f"[groups.data_channel]\noptional = true\n[groups.data_channel.groups.notify.fields]\ntotal_one = {COUNTER}\n"
    )
    paths = ("first", "second", "data_channel.notify.third")
    of = edition(after=leaf + "".join(UNDOCUMENTED.format(path) for path in paths))
    sound = {"notify": {"total_one": 1}}
    assert shapes(of, data_channel=sound) == []
    for name in ("first", "second"):
        assert shapes(of, data_channel=sound, **{name: 1}) == [("shape.undocumented", f"/{name}")]
    assert shapes(of, data_channel={"notify": {"total_one": 1, "third": 1}}) == [
        ("shape.undocumented", "/data_channel/notify/third")
    ]


def test_an_id_may_be_one_that_only_some_connections_have() -> None:
    """Then the others lack nothing."""
    text = HEAD + "".join(f"{name} = {ID}\n" for name in NAMES)
    conditional = text.replace(f"bundle_id = {ID[:-2]}", f'bundle_id = {ID[:-2]}, presence = "conditional"')
    labels = (
        f"[groups.data_channel]\noptional = true\n[groups.data_channel.groups.notify.fields]\ntotal_one = {COUNTER}\n"
    )
    of = parse_edition(conditional + labels, origin="odd")
    assert shapes(of, bundle_id=None) == [("shape.type", "/bundle_id")]
    judge = Judge(of)
    lacks = {name: IDS[0] for name in NAMES if name != "bundle_id"} | {"timestamp": "2026-11-24T12:00:00Z"}
    judge.judge_bare_body(Target.CONNECTION, json.dumps(lacks).encode(), "body.json")
    assert (judge.result().findings, judge.result().coverage.slow_path) == ([], 0)
    assert shapes(of, bundle_id="a" * 256) == [("shape.range", "/bundle_id")]
    for name in NAMES:
        assert shapes(of, **{name: "a" * 255}) == []
    assert shapes(of, client_id="a" * 256) == [("shape.range", "/client_id")]


@pytest.mark.parametrize("level", ["", f"unstable_level = {GAUGE.format('')}\n"], ids=["no level", "level"])
def test_groups_may_be_there_or_not(level: str) -> None:
    """Those that are optional are not missed; beside one that is missed, the others are read as ever."""
    groups = f"[groups.network_status.fields]\ntotal_unstable_level0 = {COUNTER}\n{level}"
    groups += f"[groups.most.fields]\ntotal_one = {COUNTER}\n[groups.some]\noptional = true\n"
    of = edition(after=groups + f"[groups.some.fields]\ntotal_one = {COUNTER}\n")
    status = {"total_unstable_level0": 1} | ({"unstable_level": 0} if level else {})
    assert shapes(of, network_status=status, most={"total_one": 1}) == []
    assert shapes(of, network_status=status, some={"total_one": 1}) == [("shape.group", "/most")]
    assert shapes(of, network_status=status) == [("shape.group", "/most")]


def test_what_is_learned_is_bounded_and_learned_once() -> None:
    """A path that is known already changes nothing, nor does a key that the parser can't name."""
    decoder = EditionDecoder(edition(f"level = {GAUGE.format('')}"))
    assert [decoder.accept_deviation(("level",)) for _ in range(2)] == [True, False]
    assert [decoder.accept_deviation((key,)) for key in ("a b", 'a"b', "a\\b", "a\x1fb")] == [True, False, False, False]
    accepted = [decoder.accept_deviation((f"key {number}",)) for number in range(MAX_LEARNED)]
    assert accepted == [True] * (MAX_LEARNED - 2) + [False] * 2


def test_a_label_that_is_no_object_makes_all_of_them_be_taken_one_by_one() -> None:
    """Once; a leaf of any label is learned for all of them."""
    leaf = (
        f"[groups.data_channel]\noptional = true\n[groups.data_channel.groups.notify.fields]\ntotal_one = {COUNTER}\n"
    )
    decoder = EditionDecoder(edition(after=leaf))
    assert [decoder.accept_deviation(("data_channel", "notify")) for _ in range(2)] == [True, False]
    assert decoder.labels_raw
    assert ("data_channel", "notify") not in decoder.learned
    assert [decoder.accept_deviation(("data_channel", "notify", "total_one")) for _ in range(2)] == [True, False]
