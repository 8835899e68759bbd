"""
The rules about clusters: a listing of all nodes has what each node lists of itself, and no connection is on two nodes.

`cluster_listings` has the reasoning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from ...api.exchange import Target
from ..check import Check, Observed, Stage, Violation
from ..cluster_listings import ClusterListings
from ..requirement import DOCUMENTATION_SOURCE, NEEDS_NODES, Level, Requirement

if TYPE_CHECKING:
    from ..state import State
    from ..verdict import JudgeResult

UNION: Final = Requirement(
    id="cluster.union",
    level=Level.MUST,
    title="local: false lists what the nodes list together",
    reason="Otherwise a cluster's dashboard misses connections, or shows some that no node has.",
    grounds="The page documents what `local` includes.",
    source=f"{DOCUMENTATION_SOURCE}: local",
    needs=NEEDS_NODES,
    message="a connection {what}",
    needs_traffic="several nodes with connections",
)
ONCE: Final = Requirement(
    id="cluster.once",
    level=Level.MUST,
    title="No connection is on two nodes",
    reason="It would be counted twice.",
    grounds="The page documents a connection as one node's.",
    source=f"{DOCUMENTATION_SOURCE}: local",
    needs=NEEDS_NODES,
    message="a connection is listed by two nodes",
    needs_traffic="several nodes with connections",
)


class ClusterCheck(Check):
    """Compares the listings of several nodes."""

    requirements: tuple[Requirement, ...] = (UNION, ONCE)
    stage = Stage.CLUSTER

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        exchange, body = seen.evidence, seen.body
        request = exchange.request
        if body is None or body.fault is not None or request.target is not Target.ALL:
            return ()
        listings = self._listings(state)
        if request.asked.local:
            return [
                Violation(
                    requirement=ONCE,
                    exchange=exchange,
                    connection_id=double.connection_id,
                    expected=f"only {double.before[0].request.server}",
                    actual=f"{request.server} lists it too",
                    fault="two nodes",
                    proof=(*double.before, exchange),
                )
                for double in listings.add_node_listing(exchange, seen.admitted)
            ]
        if not seen.all_admitted:
            return ()
        return [
            Violation(
                requirement=UNION,
                exchange=exchange,
                connection_id=stray.connection_id,
                expected="one node lists it",
                actual="none does",
                fault="on no node",
                facts={"what": "that is listed for the whole cluster is on none of its nodes"},
                proof=(*stray.before, exchange),
            )
            for stray in listings.add_cluster_listing(exchange, seen.admitted)
        ]

    def _listings(self, state: State) -> ClusterListings:
        return state.recall(self, lambda: ClusterListings(state.nodes))

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add how often listings were compared."""
        for state in states:
            if len(state.nodes) > 1:
                listings = self._listings(state)
                for requirement, count in ((UNION, listings.union_checked), (ONCE, listings.once_checked)):
                    result.count(requirement, Target.ALL, count)
