"""
How true the simulated world is, as data: the fidelity page is generated from this and its like.

Documented is what the field list says; measured what public captures of responses show; assumed is everything else that
the world needs in order to move.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

FactStatus = Literal["documented", "measured", "assumed"]


class FidelityFact(NamedTuple):
    """One behaviour, how it is known, and from where."""

    behaviour: str
    status: FactStatus
    source: str


SOURCE_FIELD_LIST: Final = "documentation page, field list"
SOURCE_EXAMPLE: Final = "documentation page, example response"
SOURCE_OWN_CHOICE: Final = "our choice"

WORLD_FACTS: Final = (
    FidelityFact(
        "Which fields there are, their types and limits, misspelt names included", "documented", SOURCE_FIELD_LIST
    ),
    FidelityFact(
        "Every `total_*` is cumulative and never falls while its connection lives", "documented", SOURCE_FIELD_LIST
    ),
    FidelityFact(
        "Data channels have the labels signaling, notify, push, stats and e2ee, and messaging labels that "
        "begin with `#`",
        "documented",
        SOURCE_FIELD_LIST,
    ),
    FidelityFact(
        "`unstable_level` is the level of the moment, `total_unstable_level*` how often each was found",
        "documented",
        SOURCE_FIELD_LIST,
    ),
    FidelityFact(
        "A connection_id is a UUID of version 4 in Clockwork Base32", "measured", "example response and public captures"
    ),
    FidelityFact(
        "client_id and bundle_id are the connection_id where the client names none", "measured", SOURCE_EXAMPLE
    ),
    FidelityFact(
        "A client may hold several connections, and the same client_id may stand in several channels",
        "measured",
        SOURCE_EXAMPLE,
    ),
    FidelityFact(
        "`max_packet_life_time` and `max_retransmits` are absent on reliable channels", "measured", SOURCE_EXAMPLE
    ),
    FidelityFact(
        "`max_packet_life_time` and `max_retransmits` exclude each other",
        "documented",
        "W3C WebRTC 1.0, createDataChannel",
    ),
    FidelityFact(
        "Compressed channels count the size before compression, so they may count more than SCTP",
        "measured",
        SOURCE_EXAMPLE,
    ),
    FidelityFact(
        "signaling, notify, push and stats are compressed, notify and push are recvonly, and every label has "
        "received one "
        "message of one byte when it begins",
        "measured",
        SOURCE_EXAMPLE,
    ),
    FidelityFact(
        "RTP and RTCP counts and sizes add up to those of both; drops and invalid SRTP count in the total alone",
        "assumed",
        "RFC 5761 for the sum; where the others count is undocumented",
    ),
    FidelityFact(
        "RTCP packets are as many as sender and receiver reports, NACKs and PLIs; other feedback rides in reports",
        "measured",
        SOURCE_EXAMPLE,
    ),
    FidelityFact(
        "SDES comes with each sender report; SACKs are no more than DATA chunks the other way",
        "measured",
        SOURCE_EXAMPLE,
    ),
    FidelityFact(
        "All groups but data_channel are there on every connection", "assumed", "the page shows one connection"
    ),
    FidelityFact("A WebSocket-only client has no data_channel, and pings every 5 s", "assumed", SOURCE_OWN_CHOICE),
    FidelityFact(
        "ICE checks go out every 2.5 s connected, 1 s checking, 50 ms disconnected; 2.5 s, 5 s and 10 s "
        "without a response "
        "lead on to checking, disconnected and failed",
        "assumed",
        "public material on the server's timing",
    ),
    FidelityFact(
        "An ICE response counts in the state in which it arrives, which may be a later one than its request's",
        "assumed",
        "public material; the field list does not say",
    ),
    FidelityFact("Time spent checking or disconnected is added when the state is left", "assumed", SOURCE_OWN_CHOICE),
    FidelityFact("A connection whose ICE has failed is listed for another second", "assumed", SOURCE_OWN_CHOICE),
    FidelityFact(
        "Media goes on during an ICE outage, and in steady streams, without bursts", "assumed", SOURCE_OWN_CHOICE
    ),
    FidelityFact("The network is judged every 4 s, on a bad link every second", "assumed", SOURCE_OWN_CHOICE),
    FidelityFact(
        "TURN over TCP differs from UDP by a second round of allocation and by no STUN binding requests",
        "assumed",
        SOURCE_OWN_CHOICE,
    ),
    FidelityFact("The first allocation is refused for want of credentials", "documented", "RFC 8656"),
    FidelityFact("Rates and packet sizes", "assumed", "orders of magnitude of the example response"),
    FidelityFact(
        "`cc.*` moves up and down within plausible limits; units are undocumented", "assumed", SOURCE_OWN_CHOICE
    ),
    FidelityFact("Spotlight counters grow on connections that use spotlight", "assumed", SOURCE_OWN_CHOICE),
    FidelityFact(
        "One role in ten, the interoperability tester, sends whatever has a counter, sensible or not; so all "
        "counters grow "
        "somewhere within 10 s in a world of 20 connections with churn. `total_disconnected_to_failed` grows "
        "only in the "
        "last second of a connection, and never without churn",
        "assumed",
        SOURCE_OWN_CHOICE,
    ),
    FidelityFact("One role in ten has sizes above 2**53", "assumed", "counters have no upper limit"),
    FidelityFact(
        "Connections last seconds, minutes, until their network fails, or for ever, by role; a client that "
        "left is back, as "
        "a new connection, within 2 s",
        "assumed",
        SOURCE_OWN_CHOICE,
    ),
    FidelityFact("After a restart the same clients come back under new connection_ids", "assumed", SOURCE_OWN_CHOICE),
    FidelityFact(
        "A torn sample takes every leaf at one of four moments; a real server's tear has another pattern",
        "assumed",
        SOURCE_OWN_CHOICE,
    ),
    FidelityFact(
        "Fields that a user's edition adds grow, move or rest by their kind, without relations to others but "
        "that a layer's "
        "counter is part of the connection's",
        "assumed",
        SOURCE_OWN_CHOICE,
    ),
)
