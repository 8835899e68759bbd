"""
Faults of several nodes together.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Final

from ..calls import Call, Reading
from ..world import Connection, World
from .kinds import FaultKind, Hooks
from .parameters import Parameters, seconds
from .values import move


def _whole(call: Call) -> bool:
    return call.operation == "GetStatsAllConnections" and call.arguments.get("local", True) is False


def _half(parameters: Parameters) -> Hooks:
    def found(call: Call, world: World, given: Sequence[Connection]) -> Sequence[Connection]:
        return [one for one in given if one.node == call.node] if _whole(call) else given

    return Hooks(found=found)


def _ghost(parameters: Parameters) -> Hooks:
    def readings(call: Call, given: list[Reading]) -> Sequence[Reading]:
        if not _whole(call) or not given:
            return given
        ghost = deepcopy(given[0])
        ghost["connection_id"] = "GH0ST" + "0" * 21
        return [*given, ghost]

    return Hooks(readings=readings)


def _two_homes(parameters: Parameters) -> Hooks:
    """The second node has the first one's oldest connection as well."""

    def found(call: Call, world: World, given: Sequence[Connection]) -> Sequence[Connection]:
        if call.node != 1 or not world.connections(0):
            return given
        other = world.connections(0)[0]
        if call.operation == "GetStatsAllConnections":
            return given if _whole(call) else [*given, other]
        if call.operation == "GetStatsClient":
            mine = (call.arguments["channel_id"], call.arguments["client_id"]) == (other.channel_id, other.client_id)
            return [*given, other] if mine else given
        mine = (call.arguments["channel_id"], call.arguments["connection_id"]) == (
            other.channel_id, other.connection_id,
        )  # fmt: skip
        return [other] if mine else given

    return Hooks(found=found)


def _skewed(parameters: Parameters) -> Hooks:
    by_s = seconds(parameters, "by")

    def readings(call: Call, given: list[Reading]) -> Sequence[Reading]:
        if call.node == 1:
            for reading in given:
                move(reading, by_s)
        return given

    return Hooks(readings=readings)


KINDS: Final = (
    FaultKind(name="half-cluster", description="local: false gives one node's connections alone",
              trips=frozenset({"cluster.union"}), build=_half, nodes=2),
    FaultKind(name="ghost", description="local: false has a connection that is on no node",
              trips=frozenset({"cluster.union"}), build=_ghost, nodes=2),
    FaultKind(name="two-homes", description="two nodes list the same connection",
              trips=frozenset({"cluster.once"}), build=_two_homes, nodes=2),
    FaultKind(name="skewed-node", description="the second node's clock is ahead",
              trips=frozenset({"cluster.skew"}), build=_skewed, nodes=2, own={"by": "5"}),
)  # fmt: skip
