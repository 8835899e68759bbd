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


class RequiredCapability(Enum):
    """What a run must be able to see before a requirement is in its scope."""

    EXCHANGES = "exchanges"
    """HTTP: status, headers, errors. A bare body has none."""
    BODIES = "bodies"
    """Responses' bodies to valid requests."""
    ARGUMENTS = "arguments"
    """What was asked for, as well as what got a response."""
    TIMES = "times"
    """When requests were sent and responses received."""
    PROBES = "probes"
    """Requests that are wrong on purpose."""
    LARGE_PROBE = "large-probe"
    """A request of more than 8 MB, only sent when asked for."""
    NODES = "nodes"
    """Several nodes of one cluster."""
    KEPT_ALIVE = "kept-alive"
    """Connections that take one request after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """
    One rule.

    `needs` decides whether it is in a run's scope. `needs_traffic`, where set, says what has to be there on the server
    before the rule can be observed; without it the status is `not_checked` with the reason `no_traffic`, which does not block
    a verdict.
    """

    id: str
    level: Level
    title: str
    reason: str
    source: str
    needs: frozenset[RequiredCapability]
    needs_traffic: str | None = None

    @property
    def family(self) -> str:
        """The part before the first dot."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    One way in which an exchange, or a set of them, misses a requirement.

    `pointer` leads into the response's body (the later one, where two exchanges prove it), `field` is the same from the
    connection on, with `#*` for any messaging label; both are empty where the finding is about the complete response.
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


DOCUMENTATION_SOURCE = "documentation page, statistics API"
DISPATCHER_SOURCE = "measured on the open-source dispatcher whose headers and error shape the API shares"

_NEEDS_HTTP = frozenset({RequiredCapability.EXCHANGES})
_NEEDS_KEPT_ALIVE = frozenset({RequiredCapability.EXCHANGES, RequiredCapability.KEPT_ALIVE})
_NEEDS_BODIES = frozenset({RequiredCapability.BODIES})
_NEEDS_ARGUMENTS = frozenset({RequiredCapability.BODIES, RequiredCapability.ARGUMENTS})
_NEEDS_TIMES = frozenset({RequiredCapability.BODIES, RequiredCapability.TIMES})
_NEEDS_PROBES = frozenset({RequiredCapability.EXCHANGES, RequiredCapability.PROBES})
_NEEDS_NODES = frozenset({RequiredCapability.BODIES, RequiredCapability.TIMES, RequiredCapability.NODES})


def _requirement(
    level: Level,
    needs: frozenset[RequiredCapability],
    id: str,
    title: str,
    reason: str,
    source: str,
    traffic: str | None = None,
) -> Requirement:
    return Requirement(
        id=id, level=level, title=title, reason=reason, source=source, needs=needs, needs_traffic=traffic
    )


def _probe_requirement(row: str, title: str, *, large: bool = False) -> Requirement:
    """A row of the table of wrong requests."""
    needs = _NEEDS_PROBES | {RequiredCapability.LARGE_PROBE} if large else _NEEDS_PROBES
    reason = "Clients and their authors find the mistake by it."
    return _requirement(Level.SHOULD, needs, f"request.shape.{row}", title, reason, DISPATCHER_SOURCE)


def _relation_requirement(name: str, title: str, source: str, traffic: str) -> Requirement:
    """A relation between counters of one sample."""
    reason = "Every consumer that adds, subtracts or divides these counters relies on it."
    return _requirement(Level.SHOULD, _NEEDS_BODIES, f"relation.{name}", title, reason, source, traffic)


_M, _S, _I = Level.MUST, Level.SHOULD, Level.INFO

_ALL_REQUIREMENTS = (
    _requirement(
        _M,
        _NEEDS_HTTP,
        "http.complete",
        "A server that responses at all responses every request, whole",
        "A time-out, a cut or a reset loses a sample that a dashboard or a bill is built on.",
        "RFC 9112, 8",
    ),
    _requirement(
        _M,
        _NEEDS_HTTP,
        "http.status",
        "A valid request gets 200",
        "Clients take anything else for an error. An unknown id may get 400 and an error_type.",
        DOCUMENTATION_SOURCE,
    ),
    _requirement(
        _M,
        _NEEDS_HTTP,
        "http.content_type",
        "A body is labelled application/json",
        "Clients choose their parser by it.",
        "page's examples; RFC 9110, 8.3",
    ),
    _requirement(
        _M,
        _NEEDS_BODIES,
        "http.json",
        "A body is strict JSON in UTF-8, without a byte order mark",
        "Lenient parsers disagree on anything else.",
        "RFC 8259",
    ),
    _requirement(
        _M,
        _NEEDS_BODIES,
        "http.duplicate_key",
        "No key stands twice in one object",
        "Parsers differ in which of the two they keep.",
        "RFC 8259, 4",
    ),
    _requirement(
        _M,
        _NEEDS_HTTP,
        "http.length",
        "Content-Length is the number of bytes that follow, and nothing follows them",
        "A wrong length garbles the next response on the connection.",
        "RFC 9110, 8.6; RFC 9112, 6.3 and 9.2",
        "a response with a Content-Length",
    ),
    _requirement(
        _M,
        _NEEDS_HTTP,
        "http.header",
        "Headers that tell what a response is and where it ends are given once, and agree",
        "Of two values some clients follow the first, some the last, and some refuse the response.",
        "RFC 9110, 5.3 and 8.3; RFC 9112, 6.3",
    ),
    _requirement(
        _M,
        _NEEDS_BODIES,
        "shape.required",
        "Every documented field of a group that is there is there",
        "Consumers read fields by name and take a missing one for zero, or stop.",
        DOCUMENTATION_SOURCE,
    ),
    _requirement(
        _M,
        _NEEDS_BODIES,
        "shape.type",
        "Every field has its documented JSON type",
        "Typed consumers stop at any other.",
        DOCUMENTATION_SOURCE,
    ),
    _requirement(
        _M,
        _NEEDS_BODIES,
        "shape.range",
        "Every number and every length is within its documented limits",
        "A negative counter is a wrapped one.",
        DOCUMENTATION_SOURCE,
    ),
    _requirement(
        _M,
        _NEEDS_BODIES,
        "shape.pattern",
        "Times are RFC 3339 in UTC",
        "Rates are differences divided by them.",
        f"{DOCUMENTATION_SOURCE}; RFC 3339",
    ),
    _requirement(
        _M,
        _NEEDS_BODIES,
        "shape.enum",
        "Fields with a closed set of values have one of them",
        "Consumers branch on them.",
        DOCUMENTATION_SOURCE,
        "a data channel",
    ),
    _requirement(
        _M,
        _NEEDS_ARGUMENTS,
        "identity.asked",
        "GetStatsConnection responds with the connection that was asked for",
        "Another connection's numbers under this one's name.",
        DOCUMENTATION_SOURCE,
    ),
    _requirement(
        _M,
        _NEEDS_ARGUMENTS,
        "identity.client",
        "GetStatsClient responds with connections of the client and channel asked for",
        "Another client's numbers on this one's bill.",
        DOCUMENTATION_SOURCE,
    ),
    _requirement(
        _M,
        _NEEDS_BODIES,
        "identity.unique",
        "No connection stands twice in one response",
        "It would be counted twice.",
        DOCUMENTATION_SOURCE,
        "a response with several connections",
    ),
    _requirement(
        _M,
        _NEEDS_TIMES,
        "identity.constant",
        "A connection keeps its channel, client and bundle",
        "They are fixed when the connection is made.",
        DOCUMENTATION_SOURCE,
    ),
    _requirement(
        _M,
        _NEEDS_TIMES,
        "identity.present",
        "A connection listed before and after is found in between",
        "A gap in a series looks like a restart.",
        DOCUMENTATION_SOURCE,
    ),
    _requirement(
        _M,
        _NEEDS_TIMES,
        "counter.monotonic",
        "A counter never falls from a response to one that was asked for later",
        "Totals are cumulative; only responses that do not overlap in time are compared.",
        f"{DOCUMENTATION_SOURCE}: totals and counts; Herlihy and Wing 1990",
    ),
    _requirement(
        _M,
        _NEEDS_PROBES,
        "request.no_5xx",
        "A wrong request is never responded with 5xx",
        "The caller's mistake must not look like the server's.",
        "RFC 9110, 15.6",
    ),
    _requirement(
        _M,
        _NEEDS_PROBES,
        "request.json_or_empty",
        "A wrong request gets JSON, or with nothing",
        "Clients parse the reason.",
        DISPATCHER_SOURCE,
    ),
    _requirement(
        _M,
        _NEEDS_NODES,
        "cluster.union",
        "local: false gives what the nodes give together",
        "Otherwise a cluster's dashboard misses connections, or shows some that no node has.",
        f"{DOCUMENTATION_SOURCE}: local",
        "several nodes with connections",
    ),
    _requirement(
        _M,
        _NEEDS_NODES,
        "cluster.once",
        "No connection is on two nodes",
        "It would be counted twice.",
        f"{DOCUMENTATION_SOURCE}: local",
        "several nodes with connections",
    ),
    _requirement(
        _S,
        _NEEDS_HTTP,
        "http.framing",
        "A response is written as HTTP/1.1 has it",
        "Clients and proxies that put up with a deviation differ in what they make of it.",
        "RFC 9112",
    ),
    _requirement(
        _S,
        _NEEDS_KEPT_ALIVE,
        "http.keep_alive",
        "A server that closes a connection after a response says so in it",
        "A request that meets the close is lost, and its client can't tell whether it was read.",
        "RFC 9112, 9.3",
    ),
    _requirement(
        _S,
        _NEEDS_BODIES,
        "shape.group",
        "Every documented group is there",
        "The page shows one connection, and does not promise every group for every kind.",
        DOCUMENTATION_SOURCE,
    ),
    _requirement(
        _S,
        _NEEDS_BODIES,
        "shape.unknown",
        "No field is undocumented",
        "The documentation or the server has moved on.",
        DOCUMENTATION_SOURCE,
    ),
    _requirement(
        _S,
        _NEEDS_BODIES,
        "shape.lexical",
        "Integers are written as integers",
        "1.0 and 1e3 are integers to JSON Schema and floats to many parsers.",
        "JSON Schema 2020-12, 6.1.1",
    ),
    _requirement(
        _S,
        _NEEDS_BODIES,
        "identity.form",
        "A connection_id has 26 characters of Clockwork Base32",
        "The form is not documented, but others rely on it.",
        "public captures; Clockwork Base32",
    ),
    _relation_requirement(
        "total_packets", "Packets are those of RTP and those of RTCP", "RFC 5761", "RTP or RTCP packets"
    ),
    _relation_requirement(
        "total_byte_size", "Bytes are those of RTP and those of RTCP", "RFC 5761", "RTP or RTCP packets"
    ),
    _relation_requirement(
        "decrypt_skipped",
        "What was not decrypted is audio or video",
        f"{DOCUMENTATION_SOURCE}: rtp",
        "packets not decrypted",
    ),
    _relation_requirement(
        "decrypt_skipped_received",
        "No more is left undecrypted than was received",
        f"{DOCUMENTATION_SOURCE}: rtp",
        "RTP packets",
    ),
    _relation_requirement("rtp_min_size", "An RTP packet has at least 12 bytes", "RFC 3550, 5.1", "RTP packets"),
    _relation_requirement("rtcp_min_size", "An RTCP packet has at least 8 bytes", "RFC 3550, 6.4", "RTCP packets"),
    _relation_requirement(
        "rtp_subset",
        "Retransmitted, padding and RED packets are among those received",
        f"{DOCUMENTATION_SOURCE}: rtp",
        "RTP packets",
    ),
    _relation_requirement(
        "rtcp_subtypes",
        "Every RTCP packet has at least one part of a known or unknown kind",
        "RFC 3550, 6.1",
        "RTCP packets",
    ),
    _relation_requirement(
        "rtp_hdr_ext", "A packet carries a header extension at most once", "RFC 8285, 4.1", "RTP packets"
    ),
    _relation_requirement("sctp_chunks", "Every SCTP packet has at least one chunk", "RFC 9260, 3", "data channels"),
    _relation_requirement(
        "sctp_min_size", "SCTP packets have 12 bytes, and 4 for each chunk", "RFC 9260, 3", "data channels"
    ),
    _relation_requirement(
        "sctp_zero_checksum", "Packets with a zero checksum are among all", "RFC 9653", "data channels"
    ),
    _relation_requirement(
        "sctp_responses",
        "No more SCTP responses are sent than requests were received",
        "RFC 9260, 3.3",
        "data channels",
    ),
    _relation_requirement(
        "turn_responses", "No more TURN responses are sent than requests were received", "RFC 8656", "TURN"
    ),
    _relation_requirement("ice_acks", "No more ICE responses than requests", "RFC 8445", "ICE checks"),
    _relation_requirement(
        "ice_connected",
        "The connected state is left no more often than entered",
        f"{DOCUMENTATION_SOURCE}: ice_connection_state",
        "ICE state changes",
    ),
    _relation_requirement(
        "ice_disconnected",
        "The disconnected state is left no more often than entered",
        f"{DOCUMENTATION_SOURCE}: ice_connection_state",
        "ICE state changes",
    ),
    _relation_requirement(
        "unstable_level",
        "The current network level has been counted",
        f"{DOCUMENTATION_SOURCE}: network_status",
        "network levels",
    ),
    _relation_requirement(
        "simulcast_sum",
        "The layers together have no more than the whole",
        f"{DOCUMENTATION_SOURCE}: simulcast",
        "simulcast",
    ),
    _requirement(
        _S,
        _NEEDS_TIMES,
        "counter.timestamp_order",
        "Among overlapping responses, the earlier timestamp has no larger counter",
        "Rates are differences divided by the stamp.",
        DOCUMENTATION_SOURCE,
        "overlapping responses about one connection",
    ),
    _requirement(
        _S,
        _NEEDS_TIMES,
        "clock.offset",
        "The timestamps fit one clock",
        "Each exchange bounds the offset between the server's clock and ours.",
        DOCUMENTATION_SOURCE,
    ),
    _requirement(
        _S,
        _NEEDS_TIMES,
        "clock.frozen",
        "The timestamp moves on",
        "A frozen stamp is a stale response or a stopped clock.",
        DOCUMENTATION_SOURCE,
    ),
    _probe_requirement("path", "A path other than / gets 404, a query string is ignored"),
    _probe_requirement("method", "A method other than POST gets UnexpectedMethod"),
    _probe_requirement("no_target", "A request without a target gets MissingHeaderName"),
    _probe_requirement("malformed_target", "A malformed or repeated target gets MissingService"),
    _probe_requirement("unknown_service", "A service that does not exist gets InvalidTarget"),
    _probe_requirement("unknown_target", "An unknown version or operation without a body gets MissingTarget"),
    _probe_requirement("unknown_target_json", "An unknown version or operation with a JSON body gets SchemaNotFound"),
    _probe_requirement("unknown_target_invalid_json", "An unknown target with a body that is no JSON gets InvalidJSON"),
    _probe_requirement("no_body", "A missing body gets MissingTargetFunction"),
    _probe_requirement("invalid_json", "A body that is no JSON gets InvalidJSON"),
    _probe_requirement("missing_key", "A missing key gets InvalidJSON, which names it"),
    _probe_requirement("wrong_type", "An argument of a wrong type gets InvalidJSON, which names it"),
    _probe_requirement("large_body", "A body over 8,000,000 bytes gets 413, or judged like any other", large=True),
    _probe_requirement("options", "OPTIONS gets 200 and no body, or like any method other than POST"),
    _requirement(
        _S,
        _NEEDS_NODES,
        "cluster.skew",
        "The nodes' clocks agree",
        "Series of several nodes are laid over each other.",
        DOCUMENTATION_SOURCE,
        "several nodes with connections",
    ),
    _requirement(
        _I,
        _NEEDS_HTTP,
        "http.unusual",
        "What HTTP/1.1 allows a server, and few do",
        "For information.",
        "RFC 9112",
    ),
    _requirement(
        _I,
        _NEEDS_BODIES,
        "shape.undocumented",
        "Fields that are known though undocumented",
        "For information.",
        "edition file",
    ),
)

REQUIREMENTS: dict[str, Requirement] = {rule.id: rule for rule in _ALL_REQUIREMENTS}
"""Every requirement by id, families together, in the order in which reports show them."""
