"""
What every reporter is given: the verdict, and the exchanges that prove its findings.

A report is state, a reporter a function of it. The same report comes from a run that has just ended and from a
verdict.json with its evidence files read back later, so both print the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..api.exchange import Exchange
from ..judge.verdict import FindingEntry, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictReport:
    """A verdict, and by fingerprint the exchanges that prove each finding, the earlier first."""

    verdict: Verdict
    evidence: Mapping[str, Sequence[Exchange]] = field(default_factory=dict)
    folder: str | None = None
    """Where verdict.json and its evidence stand, from the top of the checkout; None where that is not known."""

    def evidence_of(self, entry: FindingEntry) -> Sequence[Exchange]:
        """The exchanges behind a finding; empty where none were kept."""
        return self.evidence.get(entry.fingerprint, ())

    def evidence_path(self, entry: FindingEntry) -> str | None:
        """The path of a finding's evidence from the top of the checkout, with `/`; None where there is none."""
        if self.folder is None or not entry.evidence:
            return None
        return f"{self.folder}/{entry.evidence[0]}"
