"""The rules about missing connections: who is there before and after is also found, and listed, in between.

`node_presence` and `unlisted_connections` have the reasoning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from ...api.exchange import ALL, CONNECTION, Target
from ..check import Check, Observed, Stage, Violation
from ..node_presence import ConnectionAbsence, NodePresence
from ..requirement import DOCUMENTATION_SOURCE, NEEDS_TIMES, Level, Requirement
from ..unlisted_connections import FoundConnections
from ..verdict import JudgeResult, ListingChanges
from .cluster import UNION
from .not_found import describe_refusal, is_accepted_not_found

if TYPE_CHECKING:
    from ..evidence import EvidenceExchange
    from ..state import State

PRESENT: Final = Requirement(
    id="identity.present",
    level=Level.MUST,
    title="A connection listed before and after is found in between",
    reason="A gap in a series looks like a restart.",
    grounds="The page documents a listing as all existing connections.",
    source=DOCUMENTATION_SOURCE,
    needs=NEEDS_TIMES,
    message="a connection that was listed before and after is missing in between",
    masked_by="a response with a sample whose connection_id is invalid, or of another connection than was requested",
)


LISTED: Final = Requirement(
    id="identity.listed",
    level=Level.MUST,
    title="A connection found before and after is listed in between",
    reason="A dashboard that polls listings never shows it.",
    grounds="The page documents the listing of a whole cluster. A gap in the listing of one node is a HABIT, since "
    "the page is ambiguous about it.",
    source=f"{DOCUMENTATION_SOURCE}: local",
    needs=NEEDS_TIMES,
    message="the listing lacks a connection that {targets} found before and after",
    needs_traffic="a connection that is requested before and after a listing",
    masked_by="a listing with a sample whose connection_id is invalid",
)


class _Memory:
    """What was listed and found, for all servers."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodePresence] = {}
        """What each server lists."""
        self.found: defaultdict[str, FoundConnections] = defaultdict(FoundConnections)
        """What the other targets found on each server."""


class PresenceCheck(Check):
    """
    A node's listed connections are found on it, also in its listing of the whole cluster; found connections are listed.
    """

    requirements: tuple[Requirement, ...] = (PRESENT, LISTED, UNION)
    stage = Stage.PRESENCE

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        exchange, body = seen.exchange, seen.body
        request = exchange.request
        memory: _Memory = state.memory.get(self) or state.recall(self, _Memory)
        nodes, target, server = memory.nodes, request.target, request.server
        if body is None:
            response = seen.response
            if response is not None and target is not None and is_accepted_not_found(target, response):
                self._note_absence(nodes, seen.evidence, ())
            return ()
        if body.fault is not None:
            return ()
        presence = nodes.get(server)
        if presence is None:
            presence = nodes[server] = NodePresence()
        if target is ALL:
            return self._observe_listing(seen, state, memory, presence)
        found, admitted = memory.found[server], seen.admitted
        gaps: Sequence[ConnectionAbsence] = ()
        for connection_id in admitted:
            presence.add_sighting(exchange, connection_id)
            if found.has_listings or connection_id not in found.first:
                gaps = (*gaps, *found.add_sighting(seen.evidence, connection_id))
        if (target is not CONNECTION or request.asked.connection_id not in admitted) and seen.all_admitted:
            self._note_absence(nodes, seen.evidence, admitted)
        return [_unlisted(gap, seen.evidence) for gap in gaps] if gaps else ()

    def _observe_listing(
        self, seen: Observed, state: State, memory: _Memory, presence: NodePresence
    ) -> Iterable[Violation]:
        exchange = seen.evidence
        request = exchange.request
        self._compare_listing(seen, state, memory)
        if request.asked.local:
            listed = [(id, each.channel_id, each.client_id) for id, each in seen.admitted.items()]
            if seen.all_admitted:
                presence.add_members(exchange, seen.admitted)
            return [_missing(each, exchange) for each in presence.add_listing(exchange, listed)]
        for connection_id in seen.admitted:
            presence.add_sighting(seen.exchange, connection_id)
        if seen.all_admitted:
            for node in memory.nodes.values() if state.is_cluster else (presence,):
                node.add_cluster_absences(exchange, seen.admitted)
        return ()

    def _compare_listing(self, seen: Observed, state: State, memory: _Memory) -> None:
        """Compare a listing with what the other targets found; what the node listed before is left to `PRESENT`."""
        if not seen.all_admitted:
            return
        request, nodes, found = seen.evidence.request, memory.nodes, memory.found
        if request.asked.local:
            servers = [request.server]
            others = [node for server, node in nodes.items() if server != request.server]
        else:
            servers = [*found] if state.is_cluster else [request.server]
            others = [*nodes.values()]
        excused = set[str]().union(*(node.listed for node in others))
        for server in servers:
            found[server].add_listing(seen.evidence, seen.admitted, excused)

    def finish(self, state: State) -> Iterable[Violation]:
        """Drop connections that the judge has forgotten; none at the end of a run."""
        memory = state.recall(self, _Memory)
        gone = [each for each in state.leaving if each not in state.connections]
        for connection_id in gone:
            for presence in memory.nodes.values():
                presence.remove_connection(connection_id)
            for found in memory.found.values():
                found.remove_connection(connection_id)
        return ()

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add how many responses stood between listings, and how many listings between responses."""
        for state in states:
            memory = state.recall(self, _Memory)
            for server, presence in memory.nodes.items():
                changes = presence.replacements + presence.alternations
                if changes:
                    result.listing_changes = (
                        *result.listing_changes,
                        ListingChanges(
                            server=server,
                            replacements=presence.replacements,
                            alternations=presence.alternations,
                            exchanges=presence.change,
                        ),
                    )
                    times = f" {changes} times" if changes > 1 else ""
                    result.coverage.notes.append(
                        f"all connections of {server} were replaced at once{times}: it was restarted, or several "
                        "servers respond at this URL"
                    )
                for target, checked in presence.checked.items():
                    result.count(PRESENT, target, checked)
            for found in memory.found.values():
                result.count(LISTED, ALL, found.checked)

    def _note_absence(self, nodes: dict[str, NodePresence], exchange: EvidenceExchange, had: Collection[str]) -> None:
        request = exchange.request
        presence, asked = nodes.get(request.server), request.asked
        if presence is None:
            return
        if request.target is Target.CONNECTION and asked.connection_id is not None:
            presence.add_absence(exchange, asked.connection_id)
        elif request.target is Target.CLIENT:
            presence.add_client_absences(exchange, asked.channel_id, asked.client_id, had)


def _missing(absence: ConnectionAbsence, after: EvidenceExchange) -> Violation:
    response, server = absence.exchange.exchange.response, after.request.server
    elsewhere = absence.exchange.request.server != server
    return Violation(
        requirement=UNION if elsewhere else PRESENT,
        exchange=absence.exchange,
        connection_id=absence.connection_id,
        expected=f"listed by {server}",
        actual="missing" if response is None or response.status == 200 else describe_refusal(response),
        fault="missing",
        facts={"what": "that was listed before and after is missing in between"},
        proof=(absence.before, absence.exchange, after),
    )


def _unlisted(gap: ConnectionAbsence, after: EvidenceExchange) -> Violation:
    listing = gap.exchange
    targets = dict.fromkeys(
        each.request.target.operation for each in (gap.before, after) if each.request.target is not None
    )
    return Violation(
        requirement=LISTED,
        exchange=listing,
        connection_id=gap.connection_id,
        expected="listed",
        actual="missing",
        fault="not listed",
        facts={"targets": " and ".join(targets)},
        level=Level.HABIT if listing.request.asked.local else None,
        proof=(gap.before, listing, after),
    )
