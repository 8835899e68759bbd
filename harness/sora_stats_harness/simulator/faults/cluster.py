"""
Faults of several nodes together.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Final

from ..fault_interface import RequestContext, SampleObject
from ..world import SimulatedConnection, SimulatedWorld
from .fault_kind import FaultKind, HookedFault
from .parameters import FaultParameters, parse_seconds_parameter
from .sample_values import shift_timestamp


def _asks_whole_cluster(call: RequestContext) -> bool:
    return call.operation == "GetStatsAllConnections" and call.arguments.get("local", True) is False


def _build_half_cluster(parameters: FaultParameters) -> HookedFault:
    def found(
        call: RequestContext, world: SimulatedWorld, given: Sequence[SimulatedConnection]
    ) -> Sequence[SimulatedConnection]:
        return [one for one in given if one.node == call.node] if _asks_whole_cluster(call) else given

    return HookedFault(found=found)


def _build_ghost(parameters: FaultParameters) -> HookedFault:
    def samples(call: RequestContext, given: list[SampleObject]) -> Sequence[SampleObject]:
        if not _asks_whole_cluster(call) or not given:
            return given
        ghost = deepcopy(given[0])
        ghost["connection_id"] = "GH0ST" + "0" * 21
        return [*given, ghost]

    return HookedFault(samples=samples)


def _build_two_homes(parameters: FaultParameters) -> HookedFault:
    """The second node has the first one's oldest connection as well."""

    def found(
        call: RequestContext, world: SimulatedWorld, given: Sequence[SimulatedConnection]
    ) -> Sequence[SimulatedConnection]:
        if call.node != 1 or not world.connections_of_node(0):
            return given
        other = world.connections_of_node(0)[0]
        if call.operation == "GetStatsAllConnections":
            return given if _asks_whole_cluster(call) else [*given, other]
        if call.operation == "GetStatsClient":
            mine = (call.arguments["channel_id"], call.arguments["client_id"]) == (other.channel_id, other.client_id)
            return [*given, other] if mine else given
        mine = (call.arguments["channel_id"], call.arguments["connection_id"]) == (
            other.channel_id,
            other.connection_id,
        )
        return [other] if mine else given

    return HookedFault(found=found)


def _build_skewed_node(parameters: FaultParameters) -> HookedFault:
    by_s = parse_seconds_parameter(parameters, "by")

    def samples(call: RequestContext, given: list[SampleObject]) -> Sequence[SampleObject]:
        if call.node == 1:
            for sample in given:
                shift_timestamp(sample, by_s)
        return given

    return HookedFault(samples=samples)


CLUSTER_FAULT_KINDS: Final = (
    FaultKind(
        name="half-cluster",
        description="local: false gives one node's connections alone",
        violated_requirements=frozenset({"cluster.union"}),
        build=_build_half_cluster,
        nodes=2,
    ),
    FaultKind(
        name="ghost",
        description="local: false has a connection that is on no node",
        violated_requirements=frozenset({"cluster.union"}),
        build=_build_ghost,
        nodes=2,
    ),
    FaultKind(
        name="two-homes",
        description="two nodes list the same connection",
        violated_requirements=frozenset({"cluster.once"}),
        build=_build_two_homes,
        nodes=2,
    ),
    FaultKind(
        name="skewed-node",
        description="the second node's clock is ahead",
        violated_requirements=frozenset({"cluster.skew"}),
        build=_build_skewed_node,
        nodes=2,
        own_parameters={"by": "5"},
    ),
)
