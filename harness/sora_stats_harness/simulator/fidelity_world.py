"""
How true the simulated world is, as data: the fidelity page is generated from this and its like.

Documented is what the field list says; measured what public captures of answers show; assumed is everything else that
the world needs in order to move.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Status = Literal["documented", "measured", "assumed"]


class Fact(NamedTuple):
    """One behaviour, how it is known, and from where."""

    behaviour: str
    status: Status
    source: str


PAGE: Final = "documentation page, field list"
EXAMPLE: Final = "documentation page, example answer"
OURS: Final = "our choice"

FACTS: Final = (
    Fact("Which fields there are, their types and limits, misspelt names included", "documented", PAGE),
    Fact("Every `total_*` is cumulative and never falls while its connection lives", "documented", PAGE),
    Fact(
        "Data channels have the labels signaling, notify, push, stats and e2ee, and messaging labels that "
        "begin with `#`",
        "documented",
        PAGE,
    ),
    Fact(
        "`unstable_level` is the level of the moment, `total_unstable_level*` how often each was found",
        "documented",
        PAGE,
    ),
    Fact(
        "A connection_id is a UUID of version 4 in Clockwork Base32", "measured", "example answer and public captures"
    ),
    Fact("client_id and bundle_id are the connection_id where the client names none", "measured", EXAMPLE),
    Fact(
        "A client may hold several connections, and the same client_id may stand in several channels",
        "measured",
        EXAMPLE,
    ),
    Fact("`max_packet_life_time` and `max_retransmits` are absent on reliable channels", "measured", EXAMPLE),
    Fact(
        "`max_packet_life_time` and `max_retransmits` exclude each other",
        "documented",
        "W3C WebRTC 1.0, createDataChannel",
    ),
    Fact(
        "Compressed channels count the size before compression, so they may count more than SCTP", "measured", EXAMPLE
    ),
    Fact(
        "signaling, notify, push and stats are compressed, notify and push are recvonly, and every label has "
        "received one "
        "message of one byte when it begins",
        "measured",
        EXAMPLE,
    ),
    Fact(
        "RTP and RTCP counts and sizes add up to those of both; drops and invalid SRTP count in the total alone",
        "assumed",
        "RFC 5761 for the sum; where the others count is undocumented",
    ),
    Fact(
        "RTCP packets are as many as sender and receiver reports, NACKs and PLIs; other feedback rides in reports",
        "measured",
        EXAMPLE,
    ),
    Fact("SDES comes with each sender report; SACKs are no more than DATA chunks the other way", "measured", EXAMPLE),
    Fact("All groups but data_channel are there on every connection", "assumed", "the page shows one connection"),
    Fact("A WebSocket-only client has no data_channel, and pings every 5 s", "assumed", OURS),
    Fact(
        "ICE checks go out every 2.5 s connected, 1 s checking, 50 ms disconnected; 2.5 s, 5 s and 10 s "
        "without an answer "
        "lead on to checking, disconnected and failed",
        "assumed",
        "public material on the server's timing",
    ),
    Fact(
        "An ICE answer counts in the state in which it arrives, which may be a later one than its request's",
        "assumed",
        "public material; the field list does not say",
    ),
    Fact("Time spent checking or disconnected is added when the state is left", "assumed", OURS),
    Fact("A connection whose ICE has failed is listed for another second", "assumed", OURS),
    Fact("Media goes on during an ICE outage, and in steady streams, without bursts", "assumed", OURS),
    Fact("The network is judged every 4 s, on a bad link every second", "assumed", OURS),
    Fact(
        "TURN over TCP differs from UDP by a second round of allocation and by no STUN binding requests",
        "assumed",
        OURS,
    ),
    Fact("The first allocation is refused for want of credentials", "documented", "RFC 8656"),
    Fact("Rates and packet sizes", "assumed", "orders of magnitude of the example answer"),
    Fact("`cc.*` moves up and down within plausible limits; units are undocumented", "assumed", OURS),
    Fact("Spotlight counters grow on connections that use spotlight", "assumed", OURS),
    Fact(
        "One role in ten, the interoperability tester, sends whatever has a counter, sensible or not; so all "
        "counters grow "
        "somewhere within 10 s in a world of 20 connections with churn. `total_disconnected_to_failed` grows "
        "only in the "
        "last second of a connection, and never without churn",
        "assumed",
        OURS,
    ),
    Fact("One role in ten has sizes above 2**53", "assumed", "counters have no upper limit"),
    Fact(
        "Connections last seconds, minutes, until their network fails, or for ever, by role; a client that "
        "left is back, as "
        "a new connection, within 2 s",
        "assumed",
        OURS,
    ),
    Fact("After a restart the same clients come back under new connection_ids", "assumed", OURS),
    Fact(
        "A torn reading takes every leaf at one of four moments; a real server's tear has another pattern",
        "assumed",
        OURS,
    ),
    Fact(
        "Fields that a user's edition adds grow, move or rest by their kind, without relations to others but "
        "that a layer's "
        "counter is part of the connection's",
        "assumed",
        OURS,
    ),
)
