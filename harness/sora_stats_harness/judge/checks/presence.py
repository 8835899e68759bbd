"""
A connection that is listed before and after is found in between; `node_presence` has the reasoning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from ...api.exchange import Exchange, Target
from ..check import Check, Observed, Stage, Violation
from ..node_presence import NodePresence, PresenceGap
from ..requirement import DOCUMENTATION_SOURCE, NEEDS_TIMES, Level, Requirement
from .cluster import UNION
from .not_found import is_accepted_not_found

if TYPE_CHECKING:
    from ..state import State
    from ..verdict import JudgeResult

PRESENT: Final = Requirement(
    id="identity.present",
    level=Level.MUST,
    title="A connection listed before and after is found in between",
    reason="A gap in a series looks like a restart.",
    source=DOCUMENTATION_SOURCE,
    needs=NEEDS_TIMES,
    message="a connection that was listed before and after is missing in between",
    masked_by="a response with a sample whose connection_id is not sound, or is another than was asked for",
)


_NodePresences = dict[str, NodePresence]
"""By server."""


class PresenceCheck(Check):
    """Connections that a node lists are found on it, and in what it lists of the whole cluster."""

    requirements = (PRESENT, UNION)
    stage = Stage.PRESENCE

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """Note who was found, and who was not."""
        exchange = seen.exchange
        request = exchange.request
        nodes: dict[str, NodePresence] | None = state.memory.get(self)
        if nodes is None:
            nodes = state.recall(self, _NodePresences)
        if seen.body is None:
            response, target = seen.response, request.target
            if response is not None and target is not None and is_accepted_not_found(target, response):
                self._note_absence(nodes, exchange, ())
            return ()
        if seen.body.fault is not None:
            return ()
        presence = nodes.get(request.server)
        if presence is None:
            presence = nodes[request.server] = NodePresence()
        if request.target is Target.ALL and request.asked.local:
            listed = [(id, each.channel_id, each.client_id) for id, each in seen.admitted.items()]
            return [_violation(gap, request.server) for gap in presence.add_listing(exchange, listed)]
        for connection_id in seen.admitted:
            presence.add_sighting(exchange, connection_id)
        if seen.all_admitted:
            if request.target is Target.ALL:
                for node in nodes.values() if len(state.nodes) > 1 else (presence,):
                    node.add_cluster_absences(exchange, seen.admitted)
            elif not (request.target is Target.CONNECTION and request.asked.connection_id in seen.admitted):
                self._note_absence(nodes, exchange, seen.admitted)
        return ()

    def finish(self, state: State) -> Iterable[Violation]:
        """Forget who was forgotten; at the end of a run nobody is."""
        for presence in state.recall(self, _NodePresences).values():
            for connection_id in state.leaving:
                if connection_id not in state.connections:
                    presence.remove_connection(connection_id)
        return ()

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add how many responses were bracketed by listings."""
        for state in states:
            for presence in state.recall(self, _NodePresences).values():
                result.checked[PRESENT.id] = result.checked.get(PRESENT.id, 0) + presence.checked

    def _note_absence(self, nodes: dict[str, NodePresence], exchange: Exchange, had: Collection[str]) -> None:
        request = exchange.request
        presence, asked = nodes.get(request.server), request.asked
        if presence is None:
            return
        if request.target is Target.CONNECTION and asked.connection_id is not None:
            presence.add_absence(exchange, asked.connection_id)
        elif request.target is Target.CLIENT and asked.channel_id is not None and asked.client_id is not None:
            presence.add_client_absences(exchange, asked.channel_id, asked.client_id, had)


def _violation(gap: PresenceGap, server: str) -> Violation:
    absence = gap.absence
    elsewhere = absence.exchange.request.server != server
    return Violation(
        requirement=UNION if elsewhere else PRESENT,
        exchange=absence.exchange,
        connection_id=absence.connection_id,
        expected=f"listed by {server}",
        actual="missing",
        fault="missing",
        facts={"what": "that was listed before and after is missing in between"},
        proof=(absence.before, absence.exchange, gap.after),
    )
