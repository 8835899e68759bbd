"""
The registry of requirements: every rule that a server can be held against.

A requirement has a stable id, a level, a title, a reason and a source. Checks report findings against these ids and
nothing else, reporters print them, and the reference page is generated from this table.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the registry alone costs its readers next to nothing
    from ..api.exchange import Exchange


class Level(IntEnum):
    """How much a miss weighs (RFC 2119 words); a finding may be lower than its requirement, never higher."""

    INFO = 0
    SHOULD = 1
    MUST = 2


class Need(Enum):
    """What a run must be able to see before a requirement is in its scope."""

    EXCHANGES = "exchanges"
    """HTTP: status, headers, errors. A bare body has none."""
    BODIES = "bodies"
    """Answers' bodies to valid requests."""
    ARGUMENTS = "arguments"
    """What was asked for, as well as what was answered."""
    TIMES = "times"
    """When requests were sent and answers received."""
    PROBES = "probes"
    """Requests that are wrong on purpose."""
    LARGE_PROBE = "large-probe"
    """A request of more than 8 MB, only sent when asked for."""
    NODES = "nodes"
    """Several nodes of one cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """
    One rule.

    `needs` decides whether it is in a run's scope. `needs_traffic`, where set, says what has to be there on the server
    before the rule can be observed; without it the status is unknown with the reason `no_traffic`, which does not block
    a verdict.
    """

    id: str
    level: Level
    title: str
    reason: str
    source: str
    needs: frozenset[Need]
    needs_traffic: str | None = None

    @property
    def family(self) -> str:
        """The part before the first dot."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    One way in which an exchange, or a set of them, misses a requirement.

    `pointer` leads into the answer's body (the later one, where two exchanges prove it), `field` is the same from the
    connection on, with `#*` for any messaging label; both are empty where the finding is about the whole answer.
    `fault` is the class of fault, in one word or two: with requirement, target and field it makes the fingerprint.
    `exchanges` are the proof, the earlier first.
    """

    requirement: str
    level: Level
    target: str | None
    field: str
    pointer: str
    connection_id: str | None
    message: str
    expected: str
    actual: str
    fault: str
    exchanges: tuple[Exchange, ...]

    @property
    def fingerprint(self) -> str:
        """Same fault at the same place, whatever the run, the connection or the position: 16 hexadecimal digits."""
        parts = (self.requirement, self.target or "", self.field, self.fault)
        return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


PAGE = "documentation page, statistics API"
DISPATCHER = "measured on the open-source dispatcher whose headers and error shape the API shares"

_HTTP = frozenset({Need.EXCHANGES})
_BODIES = frozenset({Need.BODIES})
_ASKED = frozenset({Need.BODIES, Need.ARGUMENTS})
_ORDER = frozenset({Need.BODIES, Need.TIMES})
_PROBES = frozenset({Need.EXCHANGES, Need.PROBES})
_NODES = frozenset({Need.BODIES, Need.TIMES, Need.NODES})


def _rule(
    level: Level, needs: frozenset[Need], id: str, title: str, reason: str, source: str, traffic: str | None = None
) -> Requirement:
    return Requirement(
        id=id, level=level, title=title, reason=reason, source=source, needs=needs, needs_traffic=traffic
    )


def _row(row: str, title: str, *, large: bool = False) -> Requirement:
    """A row of the table of wrong requests."""
    needs = _PROBES | {Need.LARGE_PROBE} if large else _PROBES
    reason = "Clients and their authors find the mistake by it."
    return _rule(Level.SHOULD, needs, f"request.shape.{row}", title, reason, DISPATCHER)


def _relation(name: str, title: str, source: str, traffic: str) -> Requirement:
    """A relation between counters of one reading."""
    reason = "Every consumer that adds, subtracts or divides these counters relies on it."
    return _rule(Level.SHOULD, _BODIES, f"relation.{name}", title, reason, source, traffic)


_M, _S, _I = Level.MUST, Level.SHOULD, Level.INFO

_TABLE = (
    _rule(_M, _HTTP, "http.complete", "A server that answers at all answers every request, whole",
          "A time-out, a cut or a reset loses a reading that a dashboard or a bill is built on.", "RFC 9112, 8"),
    _rule(_M, _HTTP, "http.status", "A valid request is answered with 200",
          "Clients take anything else for an error. An unknown id may be answered with 400 and an error_type.", PAGE),
    _rule(_M, _HTTP, "http.content_type", "A body is labelled application/json",
          "Clients choose their parser by it.", "page's examples; RFC 9110, 8.3"),
    _rule(_M, _BODIES, "http.json", "A body is strict JSON in UTF-8, without a byte order mark",
          "Lenient parsers disagree on anything else.", "RFC 8259"),
    _rule(_M, _BODIES, "http.duplicate_key", "No key stands twice in one object",
          "Parsers differ in which of the two they keep.", "RFC 8259, 4"),
    _rule(_M, _HTTP, "http.length", "Content-Length is the number of bytes that follow",
          "A wrong length garbles the next answer on the connection.", "RFC 9110, 8.6", "an answer with a Content-Length"),
    _rule(_M, _BODIES, "shape.required", "Every documented field of a group that is there is there",
          "Consumers read fields by name and take a missing one for zero, or stop.", PAGE),
    _rule(_M, _BODIES, "shape.type", "Every field has its documented JSON type", "Typed consumers stop at any other.", PAGE),
    _rule(_M, _BODIES, "shape.range", "Every number and every length is within its documented limits",
          "A negative counter is a wrapped one.", PAGE),
    _rule(_M, _BODIES, "shape.pattern", "Times are RFC 3339 in UTC", "Rates are differences divided by them.", f"{PAGE}; RFC 3339"),
    _rule(_M, _BODIES, "shape.enum", "Fields with a closed set of values have one of them", "Consumers branch on them.", PAGE,
          "a data channel"),
    _rule(_M, _ASKED, "identity.asked", "GetStatsConnection answers with the connection that was asked for",
          "Another connection's numbers under this one's name.", PAGE),
    _rule(_M, _ASKED, "identity.client", "GetStatsClient answers with connections of the client and channel asked for",
          "Another client's numbers on this one's bill.", PAGE),
    _rule(_M, _BODIES, "identity.unique", "No connection stands twice in one answer", "It would be counted twice.", PAGE,
          "an answer with several connections"),
    _rule(_M, _ORDER, "identity.constant", "A connection keeps its channel, client and bundle",
          "They are fixed when the connection is made.", PAGE),
    _rule(_M, _ORDER, "identity.present", "A connection listed before and after is found in between",
          "A gap in a series looks like a restart.", PAGE),
    _rule(_M, _ORDER, "order.realtime", "A counter never falls from an answer to one that was asked for later",
          "Totals are cumulative; only answers that do not overlap in time are compared.",
          f"{PAGE}: totals and counts; Herlihy and Wing 1990"),
    _rule(_M, _PROBES, "request.no_5xx", "A wrong request is never answered with 5xx",
          "The caller's mistake must not look like the server's.", "RFC 9110, 15.6"),
    _rule(_M, _PROBES, "request.json_or_empty", "A wrong request is answered with JSON, or with nothing",
          "Clients parse the reason.", DISPATCHER),
    _rule(_M, _NODES, "cluster.union", "local: false gives what the nodes give together",
          "Otherwise a cluster's dashboard misses connections, or shows some that no node has.", f"{PAGE}: local",
          "several nodes with connections"),
    _rule(_M, _NODES, "cluster.once", "No connection is on two nodes", "It would be counted twice.", f"{PAGE}: local",
          "several nodes with connections"),
    _rule(_S, _BODIES, "shape.group", "Every documented group is there",
          "The page shows one connection, and does not promise every group for every kind.", PAGE),
    _rule(_S, _BODIES, "shape.unknown", "No field is undocumented", "The documentation or the server has moved on.", PAGE),
    _rule(_S, _BODIES, "shape.lexical", "Integers are written as integers",
          "1.0 and 1e3 are integers to JSON Schema and floats to many parsers.", "JSON Schema 2020-12, 6.1.1"),
    _rule(_S, _BODIES, "identity.form", "A connection_id has 26 characters of Clockwork Base32",
          "The form is not documented, but others rely on it.", "public captures; Clockwork Base32"),
    _relation("total_packets", "Packets are those of RTP and those of RTCP", "RFC 5761", "RTP or RTCP packets"),
    _relation("total_byte_size", "Bytes are those of RTP and those of RTCP", "RFC 5761", "RTP or RTCP packets"),
    _relation("decrypt_skipped", "What was not decrypted is audio or video", f"{PAGE}: rtp", "packets not decrypted"),
    _relation("decrypt_skipped_received", "No more is left undecrypted than was received", f"{PAGE}: rtp", "RTP packets"),
    _relation("rtp_min_size", "An RTP packet has at least 12 bytes", "RFC 3550, 5.1", "RTP packets"),
    _relation("rtcp_min_size", "An RTCP packet has at least 8 bytes", "RFC 3550, 6.4", "RTCP packets"),
    _relation("rtp_subset", "Retransmitted, padding and RED packets are among those received", f"{PAGE}: rtp",
              "RTP packets"),
    _relation("rtcp_subtypes", "Every RTCP packet has at least one part of a known or unknown kind", "RFC 3550, 6.1",
              "RTCP packets"),
    _relation("rtp_hdr_ext", "A packet carries a header extension at most once", "RFC 8285, 4.1", "RTP packets"),
    _relation("sctp_chunks", "Every SCTP packet has at least one chunk", "RFC 9260, 3", "data channels"),
    _relation("sctp_min_size", "SCTP packets have 12 bytes, and 4 for each chunk", "RFC 9260, 3", "data channels"),
    _relation("sctp_zero_checksum", "Packets with a zero checksum are among all", "RFC 9653", "data channels"),
    _relation("sctp_answers", "No more SCTP answers are sent than requests were received", "RFC 9260, 3.3",
              "data channels"),
    _relation("turn_answers", "No more TURN answers are sent than requests were received", "RFC 8656", "TURN"),
    _relation("ice_acks", "No more ICE answers than requests", "RFC 8445", "ICE checks"),
    _relation("ice_connected", "The connected state is left no more often than entered", f"{PAGE}: ice_connection_state",
              "ICE state changes"),
    _relation("ice_disconnected", "The disconnected state is left no more often than entered",
              f"{PAGE}: ice_connection_state", "ICE state changes"),
    _relation("unstable_level", "The current network level has been counted", f"{PAGE}: network_status",
              "network levels"),
    _relation("simulcast_sum", "The layers together have no more than the whole", f"{PAGE}: simulcast", "simulcast"),
    _rule(_S, _ORDER, "order.timestamp", "Among overlapping answers, the earlier timestamp has no larger counter",
          "Rates are differences divided by the stamp.", PAGE, "overlapping answers about one connection"),
    _rule(_S, _ORDER, "clock.offset", "The timestamps fit one clock",
          "Each exchange bounds the offset between the server's clock and ours.", PAGE),
    _rule(_S, _ORDER, "clock.frozen", "The timestamp moves on", "A frozen stamp is a stale answer or a stopped clock.", PAGE),
    _row("path", "A path other than / is answered with 404, a query string is ignored"),
    _row("method", "A method other than POST is answered with UnexpectedMethod"),
    _row("no_target", "A request without a target is answered with MissingHeaderName"),
    _row("malformed_target", "A malformed or repeated target is answered with MissingService"),
    _row("unknown_service", "A service that does not exist is answered with InvalidTarget"),
    _row("unknown_target", "An unknown version or operation without a body is answered with MissingTarget"),
    _row("unknown_target_json", "An unknown version or operation with a JSON body is answered with SchemaNotFound"),
    _row("unknown_target_invalid_json", "An unknown target with a body that is no JSON is answered with InvalidJSON"),
    _row("no_body", "A missing body is answered with MissingTargetFunction"),
    _row("invalid_json", "A body that is no JSON is answered with InvalidJSON"),
    _row("missing_key", "A missing key is answered with InvalidJSON, which names it"),
    _row("wrong_type", "An argument of a wrong type is answered with InvalidJSON, which names it"),
    _row("large_body", "A body over 8,000,000 bytes is answered with 413, or judged like any other", large=True),
    _row("options", "OPTIONS is answered with 200 and no body, or like any method other than POST"),
    _rule(_S, _NODES, "cluster.skew", "The nodes' clocks agree", "Series of several nodes are laid over each other.", PAGE,
          "several nodes with connections"),
    _rule(_I, _BODIES, "shape.undocumented", "Fields that are known though undocumented", "For information.", "edition file"),
)  # fmt: skip

REQUIREMENTS: dict[str, Requirement] = {rule.id: rule for rule in _TABLE}
"""Every requirement by id, families together, in the order in which reports show them."""
