"""The rules about ids: samples are of the requested connections, each once, and a connection keeps its ids."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from ...api.edition_rules import LABELS_GROUP
from ...api.exchange import Target
from ..check import Check, Observed, Stage, Violation
from ..edition_decoder import EditionDecoder
from ..messaging_channels import MESSAGING_PREFIX
from ..requirement import DOCUMENTATION_SOURCE, NEEDS_ARGUMENTS, NEEDS_TIMES, Level, Requirement
from ..value_text import format_leaf, format_value

if TYPE_CHECKING:
    from ..connection_state import ConnectionState
    from ..evidence import EvidenceExchange
    from ..sample import Sample
    from ..state import State

NO_ID: Final = "a sample without a valid connection_id"

ASKED: Final = Requirement(
    id="identity.asked",
    level=Level.MUST,
    title="GetStatsConnection responds with the requested connection",
    reason="Another connection's numbers under this one's name.",
    grounds="The page documents that the request names the connection.",
    source=DOCUMENTATION_SOURCE,
    needs=NEEDS_ARGUMENTS,
    message="the response is about another {what}",
    masked_by=NO_ID,
    checked_in="named_samples",
)
CLIENT: Final = Requirement(
    id="identity.client",
    level=Level.MUST,
    title="GetStatsClient responds with connections of the requested client and channel",
    reason="Another client's numbers on this one's bill.",
    grounds="The page documents that the request names the client.",
    source=DOCUMENTATION_SOURCE,
    needs=NEEDS_ARGUMENTS,
    message="the response is about another {what}",
    masked_by=NO_ID,
)
UNIQUE: Final = Requirement(
    id="identity.unique",
    level=Level.MUST,
    title="No response contains a connection twice",
    reason="It would be counted twice.",
    grounds="The page documents a list of connections, so each is listed once.",
    source=DOCUMENTATION_SOURCE,
    message="a connection appears twice in one response",
    needs_traffic="a response with several connections",
    counted="responses",
    masked_by=NO_ID,
)
CONSTANT: Final = Requirement(
    id="identity.constant",
    level=Level.MUST,
    title="A connection keeps its channel, client and bundle",
    reason="They are fixed when the connection is made.",
    grounds="The page documents these ids as the connection's own. A data channel with a new configuration is PROVEN, "
    "or a HABIT if the application may have closed and reopened it.",
    source=DOCUMENTATION_SOURCE,
    needs=NEEDS_TIMES,
    message="{what} changed",
    masked_by="a sample that violates identity.asked, identity.client or identity.unique",
    checked_in="comparable_samples",
)
FORM: Final = Requirement(
    id="identity.form",
    level=Level.HABIT,
    title="A connection_id has 26 characters of Clockwork Base32",
    reason="The form is not documented, but client programs rely on it.",
    grounds="The form was inferred from public captures; older servers used another.",
    source="public captures; Clockwork Base32",
    message="the connection_id has another form",
    masked_by=NO_ID,
    counted="connections",
)

CONNECTION_ID_PATTERN: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{25}[048CGMRW]")
"""
A UUIDv4 in Clockwork Base32, as in public captures: 26 characters carry 130 bits but a UUID has 128, so the last
character is one of eight.
"""

_ID_NAMES: Final = ("channel_id", "client_id", "bundle_id")


class SampleIdentityCheck(Check):
    """A sample is of the requested connection or client, and its connection appears once in the response."""

    requirements: tuple[Requirement, ...] = (ASKED, CLIENT, UNIQUE)
    stage = Stage.IDENTITY

    def __init__(self) -> None:
        self._counted: tuple[str, int] | None = None
        """The last response counted for `UNIQUE`."""

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """Compare a sample's ids with the request's arguments, and with the response's earlier samples."""
        request, sample = seen.exchange.request, seen.sample
        asked, target = request.asked, request.target
        if target is Target.CONNECTION and (wanted := asked.connection_id) is not None:
            if seen.connection_id != wanted or sample.channel_id != asked.channel_id:
                state.checked[ASKED.id] += 1
                found = _compare(seen, state, ASKED, "connection_id", wanted)
                if found is not None:
                    return (found,)
        elif target is Target.CLIENT and asked.client_id is not None:
            state.checked[CLIENT.id] += 1
            found = _compare(seen, state, CLIENT, "client_id", asked.client_id)
            if found is not None:
                return (found,)
        if sample.index is None:
            return ()
        return self._look_for_another(seen, state)

    def _look_for_another(self, seen: Observed, state: State) -> Iterable[Violation]:
        body = seen.body
        if body is None or len(body.samples) < 2:
            return ()
        key = seen.exchange.key
        if self._counted != key:
            self._counted = key
            state.checked[UNIQUE.id] += 1  # once per response
        if seen.connection_id not in seen.admitted:
            return ()
        return (
            Violation(
                requirement=UNIQUE,
                exchange=seen.exchange,
                field=("connection_id",),
                place=seen.place("connection_id"),
                connection_id=seen.connection_id,
                expected="once",
                actual="again",
                fault="twice",
            ),
        )


def _compare(seen: Observed, state: State, requirement: Requirement, name: str, expected: str) -> Violation | None:
    """
    Report the first id of a sample that differs from the request's.

    If the body has the same bytes as the last response about that other connection, that response is part of the proof:
    the bytes were cached.
    """
    actual = seen.connection_id if requirement is ASKED else seen.sample.client_id
    channel_id = seen.sample.channel_id
    pairs = ((name, expected, actual), ("channel_id", seen.exchange.request.asked.channel_id, channel_id))
    for key, wanted, given in pairs:
        if given is not None and wanted is not None and given != wanted:
            return Violation(
                requirement=requirement,
                exchange=seen.exchange,
                field=(key,),
                place=seen.place(key),
                connection_id=seen.connection_id,
                expected=format_value(wanted),
                actual=format_value(given),
                fault=f"another {key}",
                facts={"what": key.removesuffix("_id")},
                proof=_kept_response(seen, state),
            )
    return None


def _kept_response(seen: Observed, state: State) -> tuple[EvidenceExchange, ...]:
    connection = state.connections.get(seen.connection_id)
    last = connection.last if connection is not None else None
    kept = None if last is None else last.exchange.response
    if last is None or kept is None or seen.response is None or not kept.has_same_body(seen.response):
        return ()
    return last, seen.evidence


class FormCheck(Check):
    """A connection_id has the form that client programs rely on."""

    requirements: tuple[Requirement, ...] = (FORM,)
    stage = Stage.NEW_CONNECTION

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        if not seen.connection_id:
            return ()
        state.checked[FORM.id] += 1
        if CONNECTION_ID_PATTERN.fullmatch(seen.connection_id) is not None:
            return ()
        return (
            Violation(
                requirement=FORM,
                exchange=seen.exchange,
                field=("connection_id",),
                place=seen.place("connection_id"),
                connection_id=seen.connection_id,
                expected="26 characters of Clockwork Base32",
                actual=format_value(seen.connection_id),
                fault="another form",
            ),
        )


class ConstantCheck(Check):
    """A connection keeps its ids, and an open data channel its configuration."""

    requirements: tuple[Requirement, ...] = (CONSTANT,)
    stage = Stage.CONFIGURATION

    def __init__(self, decoder: EditionDecoder) -> None:
        self._decoder = decoder

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        connection, sample = seen.connection, seen.sample
        found: list[Violation] | None = None
        identity = (sample.channel_id, sample.client_id, sample.bundle_id)
        if identity != connection.identity:
            found = self._compare_identity(seen, connection, identity)
        if sample.configuration is not connection.last_configuration:
            connection.last_configuration = sample.configuration
            if sample.configuration != connection.configuration:
                found = (found or []) + self._compare_configuration(seen, connection, sample)
        return found or ()

    def _compare_identity(
        self, seen: Observed, connection: ConnectionState, identity: tuple[str | None, str | None, str | None]
    ) -> list[Violation]:
        if connection.identity is None:
            connection.identity, connection.first = identity, seen.evidence
            return []
        assert connection.first is not None, "it came with the identity"
        merged = []
        found = []
        for name, old, new in zip(_ID_NAMES, connection.identity, identity, strict=True):
            if old is not None and new is not None and old != new:
                found.append(
                    Violation(
                        requirement=CONSTANT,
                        exchange=seen.exchange,
                        field=(name,),
                        place=seen.place(name),
                        connection_id=seen.connection_id,
                        expected=format_value(old),
                        actual=format_value(new),
                        fault="changed",
                        facts={"what": f"the {name} of a connection"},
                        proof=(connection.first, seen.evidence),
                    )
                )
            merged.append(old if old is not None else new)
        connection.identity = (merged[0], merged[1], merged[2])
        return found

    def _compare_configuration(self, seen: Observed, connection: ConnectionState, sample: Sample) -> list[Violation]:
        """A data channel's configuration is fixed while it is open."""
        known = connection.configuration
        for label in known.keys() - sample.configuration.keys():
            del known[label]
        found: list[Violation] = []
        for label, mine in sample.configuration.items():
            before = known.get(label)
            if before is None:
                known[label] = mine
            else:
                found += self._changes_of_label(seen, label, before, mine)
                known[label] = tuple(new if new is not None else old for old, new in zip(before, mine, strict=True))
        return found

    def _changes_of_label(
        self, seen: Observed, label: str, before: tuple[Any, ...], mine: tuple[Any, ...]
    ) -> Iterable[Violation]:  # Any: leaves of any type
        last = seen.connection.last
        for field, old, new in zip(self._decoder.label_others, before, mine, strict=True):
            if old != new and old is not None and new is not None and last is not None:
                yield Violation(
                    requirement=CONSTANT,
                    exchange=seen.exchange,
                    field=(*self._decoder.path_of_known_label(label), field.name),
                    place=seen.place(LABELS_GROUP, label, field.name),
                    connection_id=seen.connection_id,
                    expected=format_leaf(old),
                    actual=format_leaf(new),
                    fault="reconfigured",
                    facts={"what": f"{field.name} of an open data channel"},
                    level=Level.HABIT if label.startswith(MESSAGING_PREFIX) else Level.PROVEN,
                    proof=(last, seen.evidence),
                )
