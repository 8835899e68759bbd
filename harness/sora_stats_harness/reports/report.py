"""
The input of every report format: the verdict, and the exchanges that prove its findings.

A report is data, and a format is a function of it. A run that has just ended and a verdict.json that is read back with
its evidence files give the same report, so both print the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..api.exchange import Exchange
from ..judge.verdict import FindingEntry, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictReport:
    """A verdict, with the exchanges that prove each finding by fingerprint, the earlier first."""

    verdict: Verdict
    evidence: Mapping[str, Sequence[Exchange]] = field(default_factory=dict)
    folder: str | None = None
    """The folder of verdict.json and its evidence, from the top of the checkout; None if unknown."""

    def evidence_of(self, entry: FindingEntry) -> Sequence[Exchange]:
        """The exchanges behind a finding; empty if none were kept."""
        return self.evidence.get(entry.fingerprint, ())

    def evidence_path(self, entry: FindingEntry) -> str | None:
        """The path of a finding's evidence from the top of the checkout, with `/`; None if there is none."""
        if self.folder is None or not entry.evidence:
            return None
        return f"{self.folder}/{entry.evidence[0]}"
