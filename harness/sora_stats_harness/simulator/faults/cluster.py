"""Faults of several nodes together: listings that disagree, and a clock that is ahead."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Final

from ..fault_interface import Connections, Fault, ReceivedRequest, SampleObject
from ..world import SimulatedWorld
from .fault_kind import FaultFamily, make_sample_fault
from .parameters import FaultParameters
from .sample_values import shift_timestamp

FAULTS: Final = FaultFamily()


def _asks_whole_cluster(call: ReceivedRequest) -> bool:
    return call.operation == "GetStatsAllConnections" and call.arguments.get("local", True) is False


@FAULTS.fault("half-cluster", "local: false lists only one node's connections", "cluster.union", nodes=2)
def _build_half_cluster(parameters: FaultParameters) -> Fault:
    def on_connections(call: ReceivedRequest, world: SimulatedWorld, found: Connections) -> Connections:
        return [each for each in found if each.node == call.node] if _asks_whole_cluster(call) else found

    return Fault(on_connections=on_connections)


@FAULTS.fault("ghost", "local: false has a connection that is on no node", "cluster.union", nodes=2)
def _build_ghost(parameters: FaultParameters) -> Fault:
    def on_samples(call: ReceivedRequest, samples: Sequence[SampleObject]) -> Sequence[SampleObject]:
        if not _asks_whole_cluster(call) or not samples:
            return samples
        return [*samples, deepcopy(samples[0]) | {"connection_id": "GH0ST" + "0" * 21}]

    return Fault(on_samples=on_samples)


@FAULTS.fault("two-homes", "two nodes list the same connection", "cluster.once", nodes=2)
def _build_two_homes(parameters: FaultParameters) -> Fault:
    """The second node has the first one's oldest connection as well."""

    def on_connections(call: ReceivedRequest, world: SimulatedWorld, found: Connections) -> Connections:
        if call.node != 1 or not world.connections_of_node(0):
            return found
        other, asked = world.connections_of_node(0)[0], call.arguments
        if call.operation == "GetStatsAllConnections":
            return found if _asks_whole_cluster(call) else [*found, other]
        if call.operation == "GetStatsClient":
            same = (asked["channel_id"], asked["client_id"]) == (other.channel_id, other.client_id)
            return [*found, other] if same else found
        same = (asked["channel_id"], asked["connection_id"]) == (other.channel_id, other.connection_id)
        return [other] if same else found

    return Fault(on_connections=on_connections)


@FAULTS.fault("skewed-node", "the second node's clock is ahead", "cluster.skew", nodes=2, own={"by": "5"})
def _build_skewed_node(parameters: FaultParameters) -> Fault:
    by_s = parameters.seconds("by")
    return make_sample_fault(lambda call, sample: shift_timestamp(sample, by_s if call.node == 1 else 0))
