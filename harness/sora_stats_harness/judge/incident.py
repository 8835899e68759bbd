"""The types of incidents: the one cause behind many findings, and the changes of listings that reveal some causes."""

from __future__ import annotations

import msgspec


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """The one cause behind many findings; it does not change any status."""

    id: str
    """The kind of cause, such as `restart-same-ids`; docs/GATE.md lists them."""
    summary: str
    """What happened, in a sentence."""
    advice: str
    """What to do."""
    explains: list[str]
    """Fingerprints of the findings that it explains."""
    exchanges: list[tuple[str, int]]
    """(run, seq) of at most two exchanges that prove it, the earlier first."""


class ListingChanges(msgspec.Struct, frozen=True, kw_only=True):
    """How the listings of one server changed as a whole."""

    server: str
    replacements: int
    """How often a listing had none of the previous listing's connections."""
    alternations: int
    """How often a listing had those of the listing before the previous one instead."""
    exchanges: list[tuple[str, int]]
    """(run, seq) of two listings that show it, the earlier first."""
