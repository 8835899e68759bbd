"""
Faults one by one: each changes what it says it does, when its limits let it, and nothing else.

That each trips exactly the requirements that it declares is shown with the gate itself, elsewhere.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator, MutableMapping
from functools import cache
from typing import Any

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.simulator.asgi_app import SimulatedCluster, SimulatedNode, SimulatorOptions
from sora_stats_harness.simulator.fault_interface import ReceivedRequest
from sora_stats_harness.simulator.faults import FAULT_KINDS, parse_fault
from sora_stats_harness.simulator.faults.parameters import CONDITION_DEFAULTS
from sora_stats_harness.simulator.request_parser import TARGET_HEADER_BYTES

from .raw import ALL, CLIENT, CONNECTION, Told

Sample = dict[str, Any]  # Any: whatever JSON can hold

QUIET = "/dtls/total_received_dtls"


class Node:
    """One node of a simulated cluster, asked without a socket."""

    def __init__(self, plant: SimulatedCluster, number: int = 0) -> None:
        self._app = SimulatedNode(plant, number)

    def ask(self, target: str | None = None, body: bytes = b"", *, method: str = "POST", path: str = "/") -> Told:
        """Send a request; the response as the application gives it."""
        headers = [] if target is None else [(TARGET_HEADER_BYTES, target.encode())]
        scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        asyncio.run(self._app(scope, receive, send))
        start, rest = sent
        told = tuple((name.decode(), value.decode()) for name, value in start["headers"])
        return Told(status=start["status"], headers=told, body=rest["body"])

    def listing(self, body: bytes = b"") -> list[Sample]:
        """GetStatsAllConnections."""
        found: list[Sample] = self.ask(ALL, body).json()
        return found

    def one(self, sample: Sample) -> Told:
        """GetStatsConnection of a connection that was listed."""
        return self.ask(CONNECTION, json.dumps({k: sample[k] for k in ("channel_id", "connection_id")}).encode())


def plant(*faults: str, connections: int = 20, nodes: int = 1) -> SimulatedCluster:
    """A world that stands still, a minute old, at the same time of day in every test."""
    made = SimulatedCluster(SimulatorOptions(connections=connections, nodes=nodes, churn=False, faults=faults))
    made._frozen_ns, made._epoch_ns = 60_000_000_000, 1_700_000_000_000_000_000
    return made


@cache
def responses(*faults: str) -> list[Told]:
    """
    What the same world responds with faults: a listing, one connection, its client, and so four times.

    All of it comes from one moment, so that responses differ by their faults alone.
    """
    world = plant(*faults, connections=10)
    node = Node(world)
    some = world.world.connections_of_node(0)[1]
    one = json.dumps({"channel_id": some.channel_id, "connection_id": some.connection_id}).encode()
    client = json.dumps({"channel_id": some.channel_id, "client_id": some.client_id}).encode()
    return [node.ask(*sent) for _ in range(4) for sent in ((ALL,), (CONNECTION, one), (CLIENT, client))]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a document with its place; an empty object or array is one."""
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from leaves(below, f"{path}/{key}")
    elif isinstance(value, list) and value:
        for index, below in enumerate(value):
            yield from leaves(below, f"{path}/{index}")
    else:
        yield path, value


def changed(good: Told, bad: Told) -> set[str]:
    """The fields, from the connection on, in which two responses differ."""
    before, after = dict(leaves(json.loads(good.body))), dict(leaves(json.loads(bad.body)))
    places = {place for place in before.keys() | after.keys() if repr(before.get(place)) != repr(after.get(place))}
    many = isinstance(json.loads(good.body), list)
    return {"/" + place.split("/", 2)[2] if many else place for place in places}


VALUES = [
    ("missing-leaf", {QUIET}),
    ("missing-leaf:field=cc.bwe_period", {"/cc/bwe_period"}),
    ("null", {QUIET}),
    ("wrong-type:field=rtp.total_sent", {"/rtp/total_sent"}),
    ("float", {QUIET}),
    ("negative", {QUIET}),
    ("bad-timestamp", {"/timestamp"}),
    (
        "missing-group:group=signaling",
        {"/signaling/total_received_signaling_pong", "/signaling/total_sent_signaling_ping"},
    ),
    ("new-field:field=a.b", {"/a/b"}),
    ("undocumented-field", {"/sctp/total_pruned_sctp_data_chunk"}),
    ("wrong-id", {"/connection_id"}),
    ("wrong-client", {"/client_id"}),
    ("changing-bundle", {"/bundle_id"}),
    ("uuid-ids", {"/connection_id"}),
    ("counter-falls", {QUIET}),
    ("wraps-negative", {QUIET}),
    ("wraps-small", {QUIET}),
    ("clock-jump:after=0", {"/timestamp"}),
    ("swapped", {"/rtp/total_received", "/rtp/total_sent"}),
    ("double-counting", {"/rtp/total_sent_rtp"}),
    ("breaks-total-packets", {"/rtp/total_received"}),
    ("breaks-decrypt-skipped", {"/rtp/total_decrypt_skipped_audio_srtp"}),
    ("breaks-ice-acks", {"/ice_connection_state/total_connected_ack"}),
    ("mixed-up", {"/dtls/total_received_dtls", "/dtls/total_sent_dtls"}),
]


@pytest.mark.parametrize(("fault", "fields"), VALUES, ids=[row[0] for row in VALUES])
def test_a_fault_of_values_changes_its_fields_alone(fault: str, fields: set[str]) -> None:
    """In some responses; statuses and headers are as ever, and lengths are true."""
    differing = set()
    for good, bad in zip(responses(), responses(fault), strict=True):
        assert bad.status == good.status
        assert bad.header("content-type") == ["application/json"]
        assert bad.header("content-length") == [str(len(bad.body))]
        differing |= changed(good, bad)
    assert differing == fields


BODIES: list[tuple[str, Callable[[Told, Told], bool]]] = [
    ("unavailable", lambda good, bad: bad.status == 503 and bad.body == good.body),
    ("crash", lambda good, bad: bad.status == 500 and "error_type" in bad.json()),
    ("text-plain", lambda good, bad: bad.header("content-type") == ["text/plain"] and bad.body == good.body),
    ("bom", lambda good, bad: bad.body == b"\xef\xbb\xbf" + good.body),
    ("nan", lambda good, bad: b":NaN," in bad.body and bad.status == 200),
    ("deep", lambda good, bad: bad.body.startswith(b"[" * 100_000)),
    ("html", lambda good, bad: bad.status == 200 and bad.header("content-type") == ["text/html"]),
    ("lying-length", lambda good, bad: bad.header("content-length") == [str(len(good.body) + 7)]),
]


@pytest.mark.parametrize(("fault", "right"), BODIES, ids=[row[0] for row in BODIES])
def test_a_fault_of_responses_strikes_every_so_many_th(fault: str, right: Callable[[Told, Told], bool]) -> None:
    """Every third here; the others are untouched."""
    pairs = list(zip(responses(), responses(f"{fault}:every=3"), strict=True))
    for number, (good, bad) in enumerate(pairs, 1):
        if number % 3:
            assert (bad.status, bad.body) == (good.status, good.body)
        else:
            assert right(good, bad), bad


def test_a_repeated_key_is_that_and_no_more() -> None:
    """Parsers that keep the last see the same document."""
    for good, bad in zip(responses(), responses("duplicate-key"), strict=True):
        assert bad.json() == good.json()
        assert bad.body.count(b'"total_received_dtls"') == good.body.count(b'"total_received_dtls"') + 1


def test_vanishing_zeros_leave_their_groups() -> None:
    """Only counters that are 0 go, and every group stays."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(below) for key, below in value.items() if key[:6] != "total_" or below != 0}
        return [without(below) for below in value] if isinstance(value, list) else value

    for good, bad in zip(responses(), responses("vanishing-zero"), strict=True):
        assert bad.json() == without(good.json())
        assert bad.json() != good.json()


@pytest.mark.parametrize(("fault", "kind"), [("large-as-string", str), ("large-as-float", float)])
def test_large_numbers_alone_change_their_type(fault: str, kind: type) -> None:
    """Those above 2**53, of which the world has some."""
    for good, bad in zip(responses(), responses(fault), strict=True):
        after = dict(leaves(bad.json()))
        large = {place for place, value in leaves(good.json()) if isinstance(value, int) and value > 2**53}
        assert {place for place, value in after.items() if type(value) is kind and "/total_" in place} == large
    assert any(isinstance(value, int) and value > 2**53 for _, value in leaves(responses()[0].json()))


def test_a_listing_can_have_a_connection_twice() -> None:
    """The very same, at the end."""
    good, bad = responses()[0].json(), responses("twice")[0].json()
    assert bad == [*good, good[0]]


def test_a_connection_can_be_missed() -> None:
    """GetStatsConnection alone refuses, every so many times."""
    told = responses("not-found:every=2")
    assert [each.status for each in told[1::3]] == [200, 400, 200, 400]
    assert {each.status for each in told[0::3] + told[2::3]} == {200}


def test_ids_in_another_form_are_understood_as_well() -> None:
    """What a listing calls a connection finds it."""
    node = Node(plant("uuid-ids"))
    some = node.listing()[0]
    assert len(some["connection_id"]) == 36
    assert node.one(some).json()["connection_id"] == some["connection_id"]


def test_a_reset_starts_every_counter_again_and_lets_them_grow() -> None:
    """Under the same id."""
    world = plant("reset:age=5")
    node = Node(world)
    told = []
    for _ in range(3):
        told.append(node.listing()[0])
        world.advance(6)
    received = [each["rtp"]["total_received"] + each["rtp"]["total_sent"] for each in told]
    assert received[0] > 0
    assert received[1] == 0
    assert received[2] > 0
    assert len({each["connection_id"] for each in told}) == 1


def test_a_cache_serves_what_it_said_before() -> None:
    """Stamp and all, until that is too old."""
    world = plant("stale-cache:every=1,age=2")
    node = Node(world)
    some = node.listing()[0]
    told = []
    for _ in range(4):
        told.append(node.one(some).body)
        world.advance(1)
    assert [each == told[0] for each in told] == [True, True, True, False]


def test_a_frozen_stamp_is_one_connection_s() -> None:
    """The first that is seen; the others go on."""
    world = plant("frozen-clock", connections=2)
    before = Node(world).listing()
    world.advance(3)
    after = Node(world).listing()
    assert [old["timestamp"] == new["timestamp"] for old, new in zip(before, after, strict=True)] == [True, False]


CLUSTER = [
    ("half-cluster", (3, 3), (3, 3), set()),
    ("ghost", (3, 3), (7, 7), set()),
    ("two-homes", (3, 4), (6, 6), {0}),
]


@pytest.mark.parametrize(("fault", "local", "whole", "shared"), CLUSTER, ids=[row[0] for row in CLUSTER])
def test_a_cluster_can_be_wrong_about_itself(
    fault: str, local: tuple[int, int], whole: tuple[int, int], shared: set[int]
) -> None:
    """How many connections each node lists of its own and of all, and which of the first node's the second has too."""
    world = plant(fault, connections=6, nodes=2)
    own = [Node(world, number).listing() for number in range(2)]
    every = [Node(world, number).listing(b'{"local":false}') for number in range(2)]
    assert tuple(map(len, own)) == local
    assert tuple(map(len, every)) == whole
    others = {each["connection_id"] for each in own[1]}
    assert {place for place, each in enumerate(own[0]) if each["connection_id"] in others} == shared


def test_a_node_s_clock_can_be_ahead() -> None:
    """By so many seconds, the second's."""
    world = plant("skewed-node:by=3600", connections=4, nodes=2)
    first, second = (Node(world, number).listing()[0]["timestamp"] for number in range(2))
    assert first[:13] != second[:13]


Sent = tuple[str | None, bytes, str, str]
"""Target, body, method and path of a request."""


def sent(target: str | None = None, body: bytes = b"", *, method: str = "POST", path: str = "/") -> Sent:
    return target, body, method, path


REFUSED: dict[str, Sent] = {
    "path": sent(ALL, path="/x"),
    "options": sent(method="OPTIONS"),
    "method": sent(method="PUT"),
    "no-target": sent(),
    "malformed-target": sent("x"),
    "unknown-service": sent("Zakuro_20170529.X"),
    "unknown-target": sent("Sora_20170529.X"),
    "unknown-target-json": sent("Sora_20170529.X", b"{}"),
    "unknown-target-invalid-json": sent("Sora_20170529.X", b"{"),
    "no-body": sent(CLIENT),
    "invalid-json": sent(CLIENT, b"{"),
    "missing-key": sent(CLIENT, b"{}"),
    "wrong-type": sent(CLIENT, b'{"channel_id":1}'),
    "large-body": sent(CLIENT, b"x" * 8_000_001),
}
"""A request of each row of the table."""


@cache
def refused(*faults: str) -> dict[str, Told]:
    """What each of them gets."""
    node = Node(plant(*faults, connections=1))
    return {
        row: node.ask(target, body, method=method, path=path) for row, (target, body, method, path) in REFUSED.items()
    }


def test_every_row_has_its_fault() -> None:
    """Besides the two that are forbidden whatever the row."""
    names = {name for name in FAULT_KINDS if name.startswith("refuses-")}
    assert names == {f"refuses-{row}" for row in REFUSED} | {"refuses-with-500", "refuses-in-html"}


@pytest.mark.parametrize("row", REFUSED)
def test_a_row_can_be_refused_otherwise_and_no_other_changes(row: str) -> None:
    """A plausible body with the right class of status."""
    for other, told in refused(f"refuses-{row}").items():
        right = refused()[other]
        if other == row:
            assert (told.status, told.json()) == (400, {"error_type": "BadRequest"})
            assert (told.status, told.body) != (right.status, right.body)
        else:
            assert (told.status, told.body) == (right.status, right.body), other


@pytest.mark.parametrize(
    ("fault", "row", "status", "content_type"),
    [
        ("refuses-with-500", "wrong-type", 500, "application/json"),
        ("refuses-in-html", "no-target", 400, "text/html"),
    ],
)
def test_what_is_forbidden_whatever_the_row(fault: str, row: str, status: int, content_type: str) -> None:
    """One row alone, here too."""
    for other, told in refused(fault).items():
        if other == row:
            assert (told.status, told.header("content-type")) == (status, [content_type])
        else:
            assert (told.status, told.body) == (refused()[other].status, refused()[other].body)


# When a fault strikes.


def struck(fault: str, calls: list[tuple[str, float]]) -> list[bool]:
    """For each call (operation, world time in seconds) whether a sample was changed."""
    made = parse_fault(fault)
    found = []
    for number, (operation, now_s) in enumerate(calls):
        call = ReceivedRequest(operation=operation, number=number, now_ns=int(now_s * 1e9))
        sample: Sample = {"connection_id": "c", "dtls": {"total_received_dtls": 5}}
        made.on_samples(call, [sample])
        found.append(sample["dtls"]["total_received_dtls"] != 5)
    return found


ONE, MANY = "GetStatsConnection", "GetStatsAllConnections"


@pytest.mark.parametrize(
    ("limits", "calls", "expected"),
    [
        ("every=1", [(ONE, 0.0)] * 3, [True, True, True]),
        ("every=3", [(ONE, 0.0)] * 7, [False, False, True, False, False, True, False]),
        ("every=2,times=1", [(ONE, 0.0)] * 5, [False, True, False, False, False]),
        ("times=2", [(ONE, 0.0)] * 4, [True, True, False, False]),
        ("target=GetStatsConnection", [(MANY, 0.0), (ONE, 0.0), (MANY, 0.0)], [False, True, False]),
        ("after=1.5", [(ONE, 10.0), (ONE, 11.4), (ONE, 11.5)], [False, False, True]),
        ("above=2", [(ONE, 0.0), (ONE, 0.1), (ONE, 0.2), (ONE, 0.9), (ONE, 1.3)], [False, False, True, True, False]),
        ("after=1,times=1", [(ONE, 0.0), (ONE, 2.0), (ONE, 2.0)], [False, True, False]),
    ],
)
def test_limits(limits: str, calls: list[tuple[str, float]], expected: list[bool]) -> None:
    """Turns are counted for each connection, `times` and the rate over all; the first request starts the clock."""
    assert struck(f"negative:{limits}", calls) == expected


def test_a_fault_within_limits_strikes_no_other_responses() -> None:
    """One operation, and only once."""
    told = responses("unavailable:every=2,times=1,target=GetStatsClient")
    assert [each.status for each in told] == [200] * 5 + [503] + [200] * 6


def test_faults_add_up() -> None:
    """Several at once, each at its own place."""
    told = responses("negative", "new-field", "text-plain:every=1")[1]
    assert told.json()["dtls"]["total_received_dtls"] == -1
    assert "total_brand_new" in told.json()["rtp"]
    assert told.header("content-type") == ["text/plain"]


# The registry.


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("counter-fals", "did you mean 'counter-falls'"),
        ("nothing like it", "--list-faults"),
        ("vanishing-zero:every=1", "takes target, after, above, not 'every'"),
        ("negative:every=-1", "every must be an integer of at least 1, not '-1'"),
        ("negative:every=", "every must be an integer"),
        ("negative:times=x", "times must be an integer of at least 0"),
        ("negative:above=1.5", "above must be an integer"),
        ("negative:after=-1", "after must be a number of seconds"),
        ("negative:target=GetStats", "target must be one of GetStatsConnection, GetStatsClient"),
        ("negative:field=", "field must be a dotted path"),
        ("negative:field=a..b", "field must be a dotted path"),
        ("negative:every", "'every' is not of the form key=value"),
        ("drip:pause=long", "pause must be a number of seconds"),
        ("drip:after=1", "the fault drip takes every, pause, times, not 'after'"),
        ("deep:depth=0", "depth must be an integer"),
    ],
)
def test_what_cannot_be_set_is_refused_at_once(text: str, complaint: str) -> None:
    """One line that says what would do."""
    with pytest.raises(UsageError, match=r"^[^\n]+$") as caught:
        parse_fault(text)
    assert complaint in str(caught.value)


def test_every_fault_can_be_made_with_all_its_defaults_spelt_out() -> None:
    """And says what it does in one line that is its own."""
    for kind in FAULT_KINDS.values():
        given = ",".join(f"{key}={value}" for key, value in kind.parameters.items())
        assert (parse_fault(f"{kind.name}:{given}" if given else kind.name).transport is not None) == kind.needs_relay
        assert "\n" not in kind.description
    descriptions = [kind.description for kind in FAULT_KINDS.values()]
    assert len(set(descriptions)) == len(descriptions)


def test_limits_are_every_fault_s_but_the_transport_s() -> None:
    """A relay sees bytes, not requests."""
    for kind in FAULT_KINDS.values():
        assert (set(CONDITION_DEFAULTS) <= set(kind.parameters)) != kind.needs_relay, kind.name


def test_default_fields_are_of_the_edition() -> None:
    """A misspelt one would strike nothing."""
    known = {
        field.dotted for field in itertools.chain(edition.load_edition().fields, edition.load_edition().undocumented)
    }
    new = {"new-field"}
    for kind in FAULT_KINDS.values():
        if "field" in kind.own_parameters and kind.name not in new:
            assert kind.own_parameters["field"] in known
