"""A world that a file describes: who is there when, with which numbers, and what a file must not say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from sora_stats_harness.api.edition import load_edition
from sora_stats_harness.api.edition_schemas import connection_schema
from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.simulator.planned_world import PlannedWorld, read_world_plan
from tests.simulator.relations import broken

SECOND_NS: Final = 1_000_000_000
STAMP: Final = "2025-01-31T12:00:00Z"
EDITION: Final = load_edition()
PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "SIMULATOR.md"


def plan(tmp_path: Path, text: str, nodes: int = 1) -> PlannedWorld:
    """The world of a file, whose second 0 is the world's second 100."""
    path = tmp_path / "world.toml"
    path.write_text(text, encoding="utf-8")
    read = read_world_plan(str(path), EDITION)
    return PlannedWorld(read, seed=1, nodes=nodes, incarnation=0, origin_ns=100 * SECOND_NS)


def at(world: PlannedWorld, second: float, node: int = 0) -> list[dict[str, Any]]:
    """The samples of a node at a second of the plan."""
    now_ns = round((100 + second) * SECOND_NS)
    world.advance(now_ns)
    return [each.read_sample(now_ns, STAMP) for each in world.connections_of_node(node)]


def test_the_page_s_world_is_as_the_page_says(tmp_path: Path) -> None:
    """1500 at the start, since 50 a second grew for ten seconds; the second connection is there from 2 to 4.5."""
    (text,) = re.findall(r"```toml\n(# world.toml\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    world = plan(tmp_path, text)
    (camera,) = at(world, 0)
    assert camera["client_id"] == "camera"
    assert camera["rtp"]["total_received_rtp"] == 1500
    assert camera["data_channel"]["#chat"]["total_received_data_channel_message"] == 3
    assert [len(at(world, second)) for second in (1.9, 2.0, 4.4, 4.5, 900)] == [1, 2, 2, 1, 1]


def test_what_is_not_given_is_the_least_that_a_field_may_have(tmp_path: Path) -> None:
    """Every counter is 0, and the response is one that the schema takes and that keeps every relation."""
    import jsonschema

    (sample,) = at(plan(tmp_path, '[[connection]]\nchannel_id = "sora"'), 5)
    jsonschema.Draft202012Validator(connection_schema(EDITION)).validate(sample)
    assert broken(sample) == []
    assert {value for group in ("rtp", "turn", "sctp") for value in sample[group].values() if type(value) is int} == {0}
    assert sample["client_id"] == sample["connection_id"] == sample["bundle_id"]


def test_growth_is_exact(tmp_path: Path) -> None:
    """A third of a packet a second is one packet after three seconds and not before; whole rates hit whole numbers."""
    text = '[[connection]]\nchannel_id = "c"\nper_second.rtp = { total_received_rtp = 0.5, total_sent_rtp = 7 }'
    world = plan(tmp_path, text)
    seen = [at(world, second)[0]["rtp"] for second in (0, 1.999, 2, 86_400)]
    assert [each["total_received_rtp"] for each in seen] == [0, 0, 1, 43_200]
    assert [each["total_sent_rtp"] for each in seen] == [0, 13, 14, 604_800]


def test_a_role_gives_its_traffic_and_its_data_channels(tmp_path: Path) -> None:
    """And keeps every relation."""
    (sample,) = at(
        plan(tmp_path, '[[connection]]\nchannel_id = "c"\nclient_id = "me"\nrole = "mobile"\njoins = -60'), 0
    )
    assert sample["client_id"] == "me"
    assert "#センサー" in sample["data_channel"]
    assert sample["rtp"]["total_received_rtp"] > 0
    assert broken(sample) == []


def test_nodes_hold_their_own(tmp_path: Path) -> None:
    """`node` counts from 1."""
    text = '[[connection]]\nchannel_id = "c"\nnode = 2\nconnection_id = "X"'
    world = plan(tmp_path, text, nodes=2)
    assert at(world, 0, 0) == []
    assert [each["connection_id"] for each in at(world, 0, 1)] == ["X"]
    with pytest.raises(UsageError, match="connection 1: node 2, and --nodes is 1"):
        plan(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[connection", "is not TOML"),
        ("[connection]", r"Expected `array`, got `object` - at `\$.connection`"),
        ("[[connection]]", "missing required field `channel_id`"),
        ('connection = [{channel_id = ""}]', "length >= 1"),
        ('connection = [{channel_id = "c", joint = 1}]', "unknown field `joint`"),
        ('connection = [{channel_id = "c", joins = "soon"}]', "Expected `float`, got `str`"),
        ('connection = [{channel_id = "c", joins = nan}]', r"\$.connection\[0\].joins|<= 100000000"),
        ('connection = [{channel_id = "c", joins = 5, leaves = 5}]', "connection 1: leaves is 5, not after joins, 5"),
        ('connection = [{channel_id = "c", role = "viewr"}]', "no role 'viewr' .did you mean 'viewer'"),
        ('connection = [{channel_id = "c", role = "lost", start = {turn = {}}}]', "leave one of them out"),
        ('connection = [{channel_id = "c", start = {rtq = {}}}]', "no field rtq .did you mean 'rtp'"),
        ('connection = [{channel_id = "c", start = {rtp = 1}}]', "rtp is a group of fields, not a value"),
        ('connection = [{channel_id = "c", start = {client_id = "x"}}]', "no field client_id"),
        ('connection = [{channel_id = "c", start = {timestamp = "x"}}]', "timestamp is the time of each response"),
        ('connection = [{channel_id = "c", start = {rtp = {total_sent_rtp = "1"}}}]', "must be of type integer"),
        ('connection = [{channel_id = "c", start = {rtp = {total_sent_rtp = true}}}]', "must be of type integer"),
        ('connection = [{channel_id = "c", start = {rtp = {total_sent_rtp = -1}}}]', "must be at least 0"),
        (
            'connection = [{channel_id = "c", per_second = {rtp = {total_sent_rtp = -1}}}]',
            "must be a number of at least",
        ),
        (
            'connection = [{channel_id = "c", per_second = {rtp = {total_sent_rtp = inf}}}]',
            "must be a number of at least",
        ),
        (
            'connection = [{channel_id = "c", connection_id = "x"}, {channel_id = "d", connection_id = "x"}]',
            "connection 2: connection 1 has the same connection_id",
        ),
    ],
)
def test_what_a_file_must_not_say_is_one_line(text: str, told: str, tmp_path: Path) -> None:
    """It names the file, and where there is one the connection."""
    with pytest.raises(UsageError, match=told) as error:
        plan(tmp_path, text)
    assert "world.toml" in str(error.value)
    assert "\n" not in str(error.value)
