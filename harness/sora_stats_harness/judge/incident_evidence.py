"""
What the rules of incidents look at: findings, the exchanges that prove them, and what can be told from these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ..api.exchange import ErrorCode, Exchange
from .timestamps import parse_timestamp_ns
from .verdict import DocumentationDrift, FindingEntry, JudgeResult

MAX_COMPARED_BYTES: Final = 16 << 20
"""Of a body in which a sample is looked for."""

CACHE_HEADERS: Final = ("age", "x-cache", "cf-cache-status")


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentEvidence:
    """What the rules look at."""

    result: JudgeResult
    proof: Mapping[str, Sequence[Exchange]]
    """By fingerprint, the exchanges that prove the first finding of an entry, the earlier first; may lack some."""
    drift: DocumentationDrift | None = None
    explained: set[str] = field(default_factory=set)
    """Fingerprints of the findings that belong to an incident already."""

    def findings(self, *requirements: str) -> list[FindingEntry]:
        """Those of some requirements, or all, that belong to no incident yet."""
        return [
            entry
            for entry in self.result.findings
            if (not requirements or entry.requirement in requirements) and entry.fingerprint not in self.explained
        ]

    def family(self, name: str) -> list[FindingEntry]:
        """Those of a family that count for something, and belong to no incident yet."""
        return [each for each in self.findings() if each.requirement.startswith(f"{name}.") and each.level != "INFO"]

    def last_error(self, entry: FindingEntry) -> ErrorCode | None:
        """Why the exchange that is wrong has no complete response; None where it has one."""
        exchange = self.last(entry)
        return None if exchange is None or exchange.error is None else exchange.error.code

    def last(self, entry: FindingEntry) -> Exchange | None:
        """The exchange that is wrong; None where it isn't at hand."""
        proof = self.proof.get(entry.fingerprint, ())
        return next((each for each in proof if each.key == entry.wrong_exchange), proof[-1] if proof else None)

    def status(self, entry: FindingEntry) -> int | None:
        """Of the response that is wrong."""
        exchange = self.last(entry)
        return None if exchange is None or exchange.response is None else exchange.response.status


def is_page(exchange: Exchange | None) -> bool:
    """Whether a response is HTML, or looks so."""
    response = exchange.response if exchange is not None else None
    return response is not None and response.body[:200].lstrip()[:1] == b"<"


def is_repeated(proof: Sequence[Exchange], connection_id: str | None) -> bool:
    """Whether the later of two responses has a connection's sample of the earlier one, or says itself that it is old."""
    if cache_headers(proof):
        return True
    samples = _find_samples(proof, connection_id)
    return len(samples) == 2 and samples[0] == samples[1]


def is_stamped_earlier(proof: Sequence[Exchange], connection_id: str | None) -> bool:
    """Whether the later of two responses has an earlier timestamp for a connection."""
    texts = [each.get("timestamp") for each in _find_samples(proof, connection_id)]
    stamps = [stamp for text in texts if (stamp := parse_timestamp_ns(str(text))) is not None]
    return len(stamps) == 2 and stamps[1] < stamps[0]


def _find_samples(proof: Sequence[Exchange], connection_id: str | None) -> list[dict[str, Any]]:  # Any: JSON
    """A connection's samples in the first and the last of some responses; those that can be had."""
    ends = (proof[0], proof[-1]) if len(proof) > 1 else ()
    return [sample for each in ends if (sample := _find_sample(each, connection_id)) is not None]


def _find_sample(exchange: Exchange, connection_id: str | None) -> Any:  # Any: JSON
    """The sample of a connection in a response; None where there is none, or it can't be had."""
    body = exchange.response.body if exchange.response is not None else b""
    try:
        value = msgspec.json.decode(body if len(body) <= MAX_COMPARED_BYTES else b"")
    except (ValueError, RecursionError):
        return None
    samples = value if isinstance(value, list) else [value]
    return next((one for one in samples if isinstance(one, dict) and one.get("connection_id") == connection_id), None)


def cache_headers(proof: Sequence[Exchange]) -> str:
    """A cache's own headers in the later response; an Age of 0 is a fresh one."""
    response = proof[-1].response if proof else None
    if response is None:
        return ""
    shown = [(name, value) for name in CACHE_HEADERS if (value := response.header(name))]
    hits = [(name, value) for name, value in shown if value != "0" and "miss" not in value.lower()]
    return ", ".join(f"{name}: {value[:40]}" for name, value in hits)
