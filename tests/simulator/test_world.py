"""The world as a whole: who is there when, under which names, and the same every time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.simulator.world import SimulatedConnection, SimulatedWorld

EDITION = edition.load_edition()
SECOND_NS = 1_000_000_000
STAMP = "2026-11-24T03:15:00.123456Z"


def everybody(world: SimulatedWorld) -> list[SimulatedConnection]:
    return [connection for node in range(world.nodes) for connection in world.connections_of_node(node)]


def ids(world: SimulatedWorld) -> list[str]:
    return [connection.connection_id for connection in everybody(world)]


def test_the_same_seed_gives_the_same_ids_and_values_however_often_one_looks() -> None:
    """One world is advanced and read at every 0.1 s, the other once: at 30 s they are the same, stays included."""
    often, once = SimulatedWorld(EDITION, seed=7), SimulatedWorld(EDITION, seed=7)
    for tenth in range(301):
        often.advance(tenth * SECOND_NS // 10)
        for connection in everybody(often)[::5]:
            connection.read_sample(often.now_ns, STAMP)
    once.advance(30 * SECOND_NS)
    assert ids(often) == ids(once)
    for left, right in zip(everybody(often), everybody(once), strict=True):
        assert left.read_sample(30 * SECOND_NS, STAMP) == right.read_sample(30 * SECOND_NS, STAMP)
        assert left.read_sample(30 * SECOND_NS, STAMP, 10**7) == right.read_sample(30 * SECOND_NS, STAMP, 10**7)


def test_the_same_seed_gives_the_same_world_in_another_process() -> None:
    """Nothing depends on the order of sets, which differs from process to process."""
    program = (
        "import json; from sora_stats_harness.api.edition import load_edition\n"
        "from sora_stats_harness.simulator.world import SimulatedWorld\n"
        "world = SimulatedWorld(load_edition(), seed=3, connections=10)\n"
        "print(json.dumps([c.read_sample(10**9, 'now', 5000) for c in world.connections_of_node(0)]))"
    )
    here = [
        c.read_sample(10**9, "now", 5000)
        for c in SimulatedWorld(EDITION, seed=3, connections=10).connections_of_node(0)
    ]
    for hash_seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            check=True,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": hash_seed},
        )
        assert json.loads(there.stdout) == here


def test_another_seed_and_another_incarnation_give_other_ids() -> None:
    """A restart is the next incarnation: the same channels and clients, all connections new."""
    first = SimulatedWorld(EDITION, seed=1, churn=False)
    restarted = SimulatedWorld(EDITION, seed=1, incarnation=1, churn=False)
    other = SimulatedWorld(EDITION, seed=2, churn=False)
    assert not set(ids(first)) & set(ids(restarted))
    assert not set(ids(first)) & set(ids(other))
    assert [c.channel_id for c in everybody(first)] == [c.channel_id for c in everybody(restarted)]
    named = [c.client_id for c in everybody(first) if c.client_id != c.connection_id]
    assert named
    assert named == [c.client_id for c in everybody(restarted) if c.client_id != c.connection_id]


def test_ids_have_the_form_of_real_ones() -> None:
    """26 characters of Clockwork Base32, the last carrying three bits, and inside a UUID of version 4."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    found = [name for seed in range(10) for name in ids(SimulatedWorld(EDITION, seed=seed))]
    assert len(set(found)) == len(found) == 200
    for name in found:
        assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{25}[048CGMRW]", name)
        bits = sum(alphabet.index(character) << 5 * place for place, character in enumerate(reversed(name))) >> 2
        assert bits >> 76 & 0xF == 4
        assert bits >> 62 & 0b11 == 0b10
    assert len({name[-1] for name in found}) == 8


def test_channels_hold_several_clients_and_clients_several_connections() -> None:
    """What the three targets need in order to differ is there in the smallest world that is used by default."""
    world = SimulatedWorld(EDITION, churn=False)
    people = everybody(world)
    assert len({c.channel_id for c in people}) == 4
    assert any(not c.channel_id.isascii() for c in people)
    by_client = Counter((c.channel_id, c.client_id) for c in people)
    assert max(by_client.values()) == 2
    assert len({channel for channel, client in by_client if client == "spam"}) > 1, "a client_id in two channels"
    assert any(c.client_id == c.bundle_id == c.connection_id for c in people)
    bundles = Counter(c.bundle_id for c in people if c.bundle_id != c.connection_id)
    assert set(bundles.values()) == {2}
    assert all(len(c.channel_id.encode()) <= 255 for c in everybody(SimulatedWorld(EDITION, connections=60)))


def test_connections_join_and_leave() -> None:
    """Over two minutes many come and go, none comes back, every slot is filled again, and some stay throughout."""
    world = SimulatedWorld(EDITION)
    seen: set[str] = set()
    present = set(ids(world))
    gone: set[str] = set()
    begun = set(present)
    for half_second in range(1, 241):
        world.advance(half_second * SECOND_NS // 2)
        now = set(ids(world))
        assert not now & gone, "a connection_id came back"
        gone |= present - now
        seen |= now
        present = now
        assert 12 <= len(present) <= 20
    assert len(gone) > 20
    assert present & begun
    assert all(not c.leaves_ns or c.leaves_ns > world.now_ns for c in everybody(world))


def test_without_churn_nobody_joins_or_leaves() -> None:
    """The same connections are there after an hour."""
    world = SimulatedWorld(EDITION, churn=False)
    before = ids(world)
    world.advance(3600 * SECOND_NS)
    assert ids(world) == before
    assert len(before) == 20


def test_going_back_in_time_changes_nothing() -> None:
    """Threads and clocks may disagree by a little; the world does not lose anybody over it."""
    world = SimulatedWorld(EDITION)
    world.advance(60 * SECOND_NS)
    before = ids(world)
    world.advance(5 * SECOND_NS)
    assert ids(world) == before
    assert world.now_ns == 60 * SECOND_NS


@pytest.mark.parametrize("nodes", [1, 3])
def test_every_connection_is_on_one_node(nodes: int) -> None:
    """Nodes hold disjoint parts that make up the whole, and none is empty; a client's connections may be on two."""
    world = SimulatedWorld(EDITION, nodes=nodes)
    parts = [world.connections_of_node(node) for node in range(nodes)]
    assert all(parts)
    assert all(connection.node == node for node, part in enumerate(parts) for connection in part)
    assert len(set(ids(world))) == sum(map(len, parts)) == 20
    with pytest.raises(IndexError):
        world.connections_of_node(nodes)


def test_connections_and_clients_are_found_by_channel_and_name() -> None:
    """Only the living, only in their channel; all connections of a client, whatever their nodes."""
    world = SimulatedWorld(EDITION, nodes=2)
    for connection in everybody(world):
        assert world.find_connection(connection.channel_id, connection.connection_id) is connection
        assert world.find_connection("elsewhere", connection.connection_id) is None
        same = [
            c for c in everybody(world) if (c.channel_id, c.client_id) == (connection.channel_id, connection.client_id)
        ]
        assert {
            c.connection_id for c in world.find_client_connections(connection.channel_id, connection.client_id)
        } == {c.connection_id for c in same}
    assert world.find_connection("sora", "nobody") is None
    assert list(world.find_client_connections("sora", "nobody")) == []
    leaver = next(c for c in everybody(world) if c.leaves_ns is not None)
    assert leaver.leaves_ns is not None
    world.advance(leaver.leaves_ns)
    assert world.find_connection(leaver.channel_id, leaver.connection_id) is None


def test_a_sample_bears_the_ids_and_the_time_it_was_given() -> None:
    """Identity and timestamp stand at the root, and each sample is the caller's own to change."""
    connection = SimulatedWorld(EDITION, connections=1).connections_of_node(0)[0]
    sample = connection.read_sample(0, STAMP)
    assert sample["timestamp"] == STAMP
    for name in ("channel_id", "client_id", "bundle_id", "connection_id"):
        assert sample[name] == getattr(connection, name)
    sample["rtp"]["total_received"] = -1
    assert connection.read_sample(0, STAMP)["rtp"]["total_received"] >= 0


def test_values_can_be_set() -> None:
    """A set value stays still in every later sample of that connection, torn ones too; others are left alone."""
    world = SimulatedWorld(EDITION, connections=2)
    first, second = world.connections_of_node(0)
    for pointer, value in (("/rtp/total_received", 5), ("/sctp/new", None), ("/a~1b~0c", [1]), ("/dtls", "gone")):
        world.set_value(first.connection_id, pointer, value)
    for tear_ns in (0, 1000):
        sample = first.read_sample(9 * SECOND_NS, STAMP, tear_ns)
        assert sample["rtp"]["total_received"] == 5
        assert sample["sctp"]["new"] is None
        assert sample["a/b~c"] == [1]
        assert sample["dtls"] == "gone"
    assert second.read_sample(9 * SECOND_NS, STAMP)["rtp"]["total_received"] != 5


def test_a_value_that_cannot_be_set_is_refused_at_once() -> None:
    """An unknown connection, no pointer, a group that is not there: said when it is set, not when it is read."""
    world = SimulatedWorld(EDITION, connections=1)
    name = world.connections_of_node(0)[0].connection_id
    with pytest.raises(UsageError, match="no connection 'nobody'"):
        world.set_value("nobody", "/rtp/total_received", 1)
    with pytest.raises(UsageError, match="begin with a slash"):
        world.set_value(name, "rtp/total_received", 1)
    with pytest.raises(UsageError, match="no group /video"):
        world.set_value(name, "/video/total_received", 1)


@pytest.mark.parametrize(("connections", "nodes"), [(-1, 1), (5, 0)])
def test_an_impossible_world_is_refused(connections: int, nodes: int) -> None:
    """Fewer than no connections, or no node."""
    with pytest.raises(UsageError):
        SimulatedWorld(EDITION, connections=connections, nodes=nodes)


def test_an_empty_world_is_possible() -> None:
    """A server without connections is a server, too."""
    world = SimulatedWorld(EDITION, connections=0)
    world.advance(SECOND_NS)
    assert list(world.connections_of_node(0)) == []


def test_a_connection_that_has_left_keeps_its_last_values() -> None:
    """Who asked before it left, and gets a response after, gets what was true when it left."""
    world = SimulatedWorld(EDITION)
    leaver = next(c for c in everybody(world) if c.leaves_ns is not None)
    assert leaver.leaves_ns is not None
    last = leaver.read_sample(leaver.leaves_ns, STAMP)
    assert leaver.read_sample(leaver.leaves_ns + SECOND_NS, STAMP) == last
