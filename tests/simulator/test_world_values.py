"""What samples hold: the edition's fields, legal values, relations at every instant, counters that never fall."""

from __future__ import annotations

import random
from collections.abc import Iterator
from importlib import resources
from itertools import pairwise

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.edition import Edition, FieldPresence, FieldType
from sora_stats_harness.simulator import ice_history as ice
from sora_stats_harness.simulator.client_roles import CLIENT_ROLES, ClientRole
from sora_stats_harness.simulator.counter_model import CounterModel
from sora_stats_harness.simulator.field_index import FieldIndex
from sora_stats_harness.simulator.world import SimulatedConnection, SimulatedWorld, add_connection_events

from ..examples import some_of
from .relations import Sample, broken, leaves

EDITION = edition.load_edition()
SECOND_NS = 1_000_000_000
STAMP = "2026-11-24T03:15:00.123456Z"
TYPES = {FieldType.INTEGER: int, FieldType.STRING: str, FieldType.BOOLEAN: bool}


def everybody(world: SimulatedWorld) -> list[SimulatedConnection]:
    return [connection for node in range(world.nodes) for connection in world.connections_of_node(node)]


def moments(seed: int, count: int, until_ns: int = 60 * SECOND_NS) -> list[int]:
    return sorted(random.Random(seed).randrange(until_ns) for _ in range(count))


def general(path: tuple[str, ...]) -> tuple[str, ...]:
    """The path as the edition writes it, with one label for all messaging labels."""
    return (path[0], edition.ANY_LABEL, *path[2:]) if path[0] == "data_channel" and path[1].startswith("#") else path


def samples(
    world: SimulatedWorld, times_ns: list[int], tear_ns: int = 0
) -> Iterator[tuple[SimulatedConnection, int, Sample]]:
    for now_ns in times_ns:
        world.advance(now_ns)
        for connection in everybody(world):
            yield connection, now_ns, connection.read_sample(now_ns, STAMP, tear_ns)


@pytest.mark.parametrize("seed", range(some_of(24)))
def test_all_relations_hold_at_random_times(seed: int) -> None:
    """Those that a server is judged by, and those that are merely true of real responses, in every sample."""
    for connection, now_ns, sample in samples(SimulatedWorld(EDITION, seed=seed), moments(seed, 25)):
        assert broken(sample) == [], (connection.role, now_ns)


def test_relations_hold_from_the_first_moment_to_the_last() -> None:
    """A connection that has just joined, and one that has just failed, are no exceptions."""
    world = SimulatedWorld(EDITION)
    joined: set[str] = set()
    for tenth in range(600):
        world.advance(tenth * SECOND_NS // 10)
        for connection in everybody(world):
            if connection.connection_id not in joined and connection.joins_ns >= 0:
                joined.add(connection.connection_id)
                instants = [connection.joins_ns + ms * 1_000_000 for ms in (0, 1, 7, 40, 90, 400, 2499, 2501)]
                ends = [] if connection.leaves_ns is None else [connection.leaves_ns - 1, connection.leaves_ns]
                assert [broken(connection.read_sample(at_ns, STAMP)) for at_ns in instants + ends] == [[]] * len(
                    instants + ends
                )
    assert len(joined) > 10


def test_samples_at_one_moment_are_equal_and_tears_are_not() -> None:
    """At tear 0 everything is of one moment; with a tear the same moment gives equations that do not add up."""
    world = SimulatedWorld(EDITION)
    untorn = sum(bool(broken(sample)) for _, _, sample in samples(world, moments(1, 20)))
    torn = sum(bool(broken(sample)) for _, _, sample in samples(SimulatedWorld(EDITION), moments(1, 20), 20_000_000))
    assert untorn == 0
    assert torn > 100, "of about 400"


def test_counters_never_fall_though_reads_are_torn() -> None:
    """Samples whose tears do not overlap are in order, counter by counter."""
    world = SimulatedWorld(EDITION)
    tear_ns = 20_000_000
    last: dict[str, dict[tuple[str, ...], int]] = {}
    compared = 0
    for connection, _, sample in samples(world, list(range(0, 30 * SECOND_NS, 2 * tear_ns))[::13], tear_ns):
        counters = {path: value for path, value in leaves(sample) if path[-1].startswith("total_")}
        before = last.get(connection.connection_id)
        if before is not None:
            assert {path: (before[path], counters[path]) for path in before if counters[path] < before[path]} == {}
            compared += 1
        last[connection.connection_id] = counters
    assert compared > 800


def test_torn_values_are_of_moments_inside_the_tear() -> None:
    """No counter is below its value at the beginning of the tear, or above its value at the end."""
    tear_ns = 500_000_000
    inside = 0
    for connection, now_ns, torn in samples(SimulatedWorld(EDITION, churn=False), [9 * SECOND_NS], tear_ns):
        begin = dict(leaves(connection.read_sample(now_ns - tear_ns, STAMP)))
        end = dict(leaves(connection.read_sample(now_ns, STAMP)))
        for path, value in leaves(torn):
            if path[-1].startswith("total_"):
                assert begin[path] <= value <= end[path]
                inside += begin[path] < value < end[path]
    assert inside > 100


def test_a_torn_sample_is_torn_within_and_between_groups() -> None:
    """Two counters that always move together differ now and then, whether they stand in one group or in two."""
    world = SimulatedWorld(EDITION, connections=1)
    connection = world.connections_of_node(0)[0]
    within = between = 0
    for now_ns in range(0, 10 * SECOND_NS, 100_000_000):
        sample = connection.read_sample(now_ns, STAMP, 50_000_000)
        rtp, rtcp = sample["rtp"], sample["rtcp"]
        parts = rtp["total_decrypt_skipped_audio_srtp"] + rtp["total_decrypt_skipped_video_srtp"]
        within += rtp["total_decrypt_skipped_srtp"] != parts
        between += rtp["total_received"] != rtp["total_received_rtp"] + rtcp["total_received_rtcp"]
    assert within > 10
    assert between > 10


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_counter_grows_somewhere_within_ten_seconds(seed: int) -> None:
    """All 324, so that the order check has something to hold on to wherever it looks."""
    first: dict[tuple[str, tuple[str, ...]], int] = {}
    grew: set[tuple[str, ...]] = set()
    for connection, _, sample in samples(
        SimulatedWorld(EDITION, seed=seed), list(range(0, 10 * SECOND_NS + 1, SECOND_NS))
    ):
        for path, value in leaves(sample):
            key = (connection.connection_id, path)
            if path[-1].startswith("total_") and value > first.setdefault(key, value):
                grew.add(general(path))
    assert {field.path for field in EDITION.counters} - grew == set()


def test_without_churn_only_failures_are_missing() -> None:
    """ICE that fails ends its connection, so in a world in which nobody leaves nothing fails."""
    world = SimulatedWorld(EDITION, churn=False)
    begin = {c.connection_id: dict(leaves(c.read_sample(0, STAMP))) for c in everybody(world)}
    grew = {
        general(path)
        for c in everybody(world)
        for path, value in leaves(c.read_sample(10 * SECOND_NS, STAMP))
        if path[-1].startswith("total_") and value > begin[c.connection_id][path]
    }
    missing = {field.path for field in EDITION.counters} - grew
    assert missing == {("ice_connection_state", "total_disconnected_to_failed")}


@pytest.mark.parametrize("tear_ns", [0, 1_000_000])
def test_every_value_is_legal(tear_ns: int) -> None:
    """Types, limits, closed sets; no field that the edition does not have; those that are always there are."""
    fields = {field.path: field for field in EDITION.fields}
    always = {path for path, field in fields.items() if field.presence is FieldPresence.ALWAYS}
    for _, _, sample in samples(SimulatedWorld(EDITION), moments(5, 8), tear_ns):
        found = dict(leaves(sample))
        assert always - set(found) == set()
        for path, value in found.items():
            field = fields[general(path)]
            assert type(value) is TYPES[field.type], path
            if isinstance(value, int) and not isinstance(value, bool):
                assert field.minimum is None or value >= field.minimum, path
                assert field.maximum is None or value <= field.maximum, path
            assert field.values is None or value in field.values, path


def test_leaves_come_in_the_order_of_the_edition() -> None:
    """A person who reads a response finds things where the documentation has them."""
    order = {field.path: place for place, field in enumerate(EDITION.fields)}
    for connection in everybody(SimulatedWorld(EDITION)):
        for sample in (connection.read_sample(0, STAMP), connection.read_sample(0, STAMP, 5)):
            places: dict[tuple[str, ...], list[int]] = {}
            for path, _ in leaves(sample):
                places.setdefault(path[:-1], []).append(order[general(path)])
            assert all(found == sorted(found) for found in places.values())


def test_data_channels_are_of_every_kind() -> None:
    """Labels, limits that exclude each other and are absent where there is none, or no channels at all."""
    world = SimulatedWorld(EDITION)
    labels: set[str] = set()
    limits: set[tuple[str, ...]] = set()
    without = 0
    directions: set[str] = set()
    for connection in everybody(world):
        sample = connection.read_sample(0, STAMP)
        if "data_channel" not in sample:
            without += 1
            continue
        for label, channel in sample["data_channel"].items():
            labels.add(label)
            directions.add(channel["direction"])
            present = tuple(name for name in ("max_packet_life_time", "max_retransmits") if name in channel)
            limits.add(present)
            if present:
                assert channel["ordered"] is False
            missing = {field.name for field in EDITION.fields if field.path[:2] == ("data_channel", "#*")} - set(
                channel
            )
            assert missing == {"max_packet_life_time", "max_retransmits"} - set(present)
    assert labels >= {"signaling", "notify", "push", "stats", "e2ee"}
    assert len([label for label in labels if label.startswith("#")]) >= 3
    assert any(not label.isascii() for label in labels)
    assert limits == {(), ("max_packet_life_time",), ("max_retransmits",)}
    assert directions == {"sendrecv", "sendonly", "recvonly"}
    assert without == 4


def test_websocket_clients_ping_and_have_no_sctp() -> None:
    """Without data channels there is no association, and the signaling keeps itself alive."""
    for connection in everybody(SimulatedWorld(EDITION)):
        sample = connection.read_sample(10 * SECOND_NS, STAMP)
        websocket = "data_channel" not in sample
        assert websocket == (sample["sctp"]["total_received_sctp"] == 0)
        if websocket:
            assert sample["signaling"]["total_received_signaling_pong"] > 0


def test_compressed_labels_count_more_than_sctp_carries() -> None:
    """Message sizes are those before compression, so they may exceed what SCTP has seen."""
    exceeding = 0
    for connection in everybody(SimulatedWorld(EDITION)):
        sample = connection.read_sample(0, STAMP)
        messages = sum(
            channel["total_received_data_channel_message_byte_size"]
            for channel in sample.get("data_channel", {}).values()
        )
        exceeding += messages > sample["sctp"]["total_received_sctp_byte_size"]
    assert exceeding > 0


def test_some_sizes_are_beyond_the_precision_of_a_float() -> None:
    """A consumer that keeps numbers as doubles is wrong about these."""
    values = [
        value
        for c in everybody(SimulatedWorld(EDITION))
        for _, value in leaves(c.read_sample(0, STAMP))
        if isinstance(value, int)
    ]
    assert any(value > 2**53 and int(float(value + 1)) != int(float(value)) + 1 for value in values)


def test_turn_and_features_differ_from_role_to_role() -> None:
    """TURN, simulcast, spotlight, drops and RED are on some connections and not on others."""
    found = [connection.read_sample(10 * SECOND_NS, STAMP) for connection in everybody(SimulatedWorld(EDITION))]
    for group, name in (
        ("turn", "total_received_channel_data"),
        ("turn", "total_received_binding_request"),
        ("spotlight", "total_spotlight_unfocus_audio_publish"),
        ("packet_loss_simulator", "total_dropped_received_rtp"),
        ("rtp", "total_received_rtp_red"),
        ("sctp", "total_received_sctp_zero_checksum"),
    ):
        used = sum(sample[group][name] > 0 for sample in found)
        assert 0 < used < len(found), name
    layered = sum(sample["simulcast"]["r2"]["rtp"]["total_received_rtp"] > 0 for sample in found)
    assert 0 < layered < len(found)


def test_unstable_levels_wander_and_are_counted_in_step() -> None:
    """On a bad link each level is seen, and each change of level raises that level's count."""
    world = SimulatedWorld(EDITION, churn=False)
    mobile = next(c for c in everybody(world) if c.role == "mobile")
    seen = set()
    states = [mobile.read_sample(at, STAMP)["network_status"] for at in range(0, 40 * SECOND_NS, SECOND_NS // 10)]
    for before, after in pairwise(states):
        seen.add(after["unstable_level"])
        grown = [k for k in range(4) if after[f"total_unstable_level{k}"] > before[f"total_unstable_level{k}"]]
        assert grown in ([], [after["unstable_level"]])
        assert grown or after["unstable_level"] == before["unstable_level"]
    assert seen == {0, 1, 2, 3}


_NOVEL = '= { type = "integer", kind = "counter", unit = "count", minimum = 0, description = "Novel." }\n'

NEWER_GROUP = """
[groups.simulcast_auto]
description = "New."

[groups.simulcast_auto.fields]
target_sender_count = { type = "integer", kind = "gauge", unit = "none", minimum = 1, maximum = 5, description = "x" }
total_switched = { type = "integer", kind = "counter", unit = "count", minimum = 0, description = "x" }
total_delay_us = { type = "integer", kind = "counter", unit = "us", minimum = 0, description = "x" }
mode = { type = "string", kind = "configuration", unit = "none", values = ["b", "a"], description = "x" }
enabled = { type = "boolean", kind = "configuration", unit = "none", description = "x" }
limit = { type = "integer", kind = "configuration", unit = "none", minimum = 3, description = "x" }
changed_at = { type = "string", kind = "configuration", unit = "none", form = "rfc3339-utc", description = "x" }
"""


def newer_edition() -> Edition:
    """The shipped edition with a group renamed, fields renamed and added, a label and a group gone."""
    text = (resources.files("sora_stats_harness.api") / "editions" / "doc-2024.toml").read_text(encoding="utf-8")
    text = text.replace("hdr_ext", "hdrext").replace("video_timeing", "video_timing")
    text = text.replace("total_received_sounding_rtp", "total_received_loud_rtp")
    for head in ("[groups.rtp.fields]\n", "[groups.simulcast.groups.r0.groups.rtp.fields]\n"):
        text = text.replace(head, f"{head}total_received_rtp_novel {_NOVEL}")
    text = text.replace("[groups.sctp.fields]\n", f"[groups.sctp.fields]\ntotal_sent_sctp_chunk_novel {_NOVEL}")
    text = text.replace(
        "\n[groups.simulcast]\n",
        'session_id = { type = "string", kind = "identity", unit = "none", max_bytes = 255, description = "x" }\n'
        "\n[groups.simulcast]\n",
    )
    text = text.replace('[groups.data_channel.groups.e2ee]\noptional = true\nsame_as = "data_channel.signaling"\n', "")
    text = text.replace("[groups.packet_loss_simulator", "[groups.loss_simulator")
    return edition.parse_edition(text.replace("\n[groups.cc]\n", f"{NEWER_GROUP}\n[groups.cc]\n"), origin="test")


def test_another_edition_is_served_as_well() -> None:
    """Renamed, added and removed fields: every sample has exactly the edition's, and parts fit wholes."""
    newer = newer_edition()
    fields = {field.path: field for field in newer.fields}
    always = {path for path, field in fields.items() if field.presence is FieldPresence.ALWAYS}
    assert len(fields) == 374 + 4 + 1 + 1 + 7 - 14
    world = SimulatedWorld(newer)
    grew: set[tuple[str, ...]] = set()
    first: dict[tuple[str, tuple[str, ...]], int] = {}
    for connection, _, sample in samples(world, list(range(0, 10 * SECOND_NS + 1, SECOND_NS))):
        found = dict(leaves(sample))
        assert {general(path) for path in found} <= set(fields)
        assert always <= set(found)
        for path, value in found.items():
            if path[-1].startswith("total_"):
                key = (connection.connection_id, path)
                if value > first.setdefault(key, value):
                    grew.add(general(path))
                assert value >= first[key]
                if path[0] == "rtp_hdrext" and not path[-1].endswith("_unknown"):
                    assert value <= sample["rtp"][f"total_{path[-1].split('_')[1]}_rtp"]
        rtp, rtcp = sample["rtp"], sample["rtcp"]
        assert rtp["total_sent"] == rtp["total_sent_rtp"] + rtcp["total_sent_rtcp"], "no drops where none are counted"
        layers = sum(layer["rtp"]["total_received_rtp_novel"] for layer in sample["simulcast"].values())
        assert layers <= sample["rtp"]["total_received_rtp_novel"]
    assert {field.path for field in newer.counters} - grew == set()


def test_fields_that_no_model_knows_are_legal_and_move_by_kind() -> None:
    """A gauge stays within limits, a counter grows on every connection, the rest is constant and legal."""
    found = []
    for connection in everybody(SimulatedWorld(newer_edition())):
        before, after = (connection.read_sample(at_ns, STAMP) for at_ns in (0, 10 * SECOND_NS))
        auto = after["simulcast_auto"]
        assert 1 <= auto["target_sender_count"] <= 5
        assert (auto["mode"], auto["enabled"], auto["limit"]) == ("b", False, 3)
        assert auto["changed_at"].endswith("Z")
        assert len(after["session_id"]) == 26
        assert before["session_id"] == after["session_id"]
        found.append(auto["total_switched"] - before["simulcast_auto"]["total_switched"])
        if connection.leaves_ns is None:
            assert after["rtp"]["total_received_loud_rtp"] > before["rtp"]["total_received_loud_rtp"]
            assert auto["total_delay_us"] > before["simulcast_auto"]["total_delay_us"]
    assert sum(grown > 0 for grown in found) > 15


@pytest.mark.parametrize("role", CLIENT_ROLES, ids=lambda role: role.name)
def test_models_look_after_every_field_of_the_shipped_edition(role: ClientRole) -> None:
    """Only the gauges of congestion control are left to the filler: a counter that is would know no relations."""
    model = CounterModel(FieldIndex(EDITION), [label.name for label in role.labels], random.Random(1))
    for name in ("channel_id", "client_id", "bundle_id", "connection_id"):
        model.set_constant((name,), name)
    add_connection_events(model, role, ice.make_stable_history(response_after_ns=1_000_000, outage_ns=None))
    assert {path[0] for path in model.unmodelled_leaves()} == {"cc"}
