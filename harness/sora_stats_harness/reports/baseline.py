"""
Compares a run with an earlier verdict, the baseline: a finding that the baseline has is known, and doesn't fail.

Two findings are the same if their fingerprints are equal: ids and positions differ from run to run, the fault and its
place do not. A finding of the earlier run that this run lacks is fixed only if this run checked the requirement there;
otherwise it is "not seen", which says nothing about the server.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec

from ..api.edition import load_edition, split_json_pointer
from ..api.errors import UsageError
from ..judge.checks.body import DUPLICATE_KEY, JSON, JSON_LIMITS
from ..judge.checks.framing import LENGTH
from ..judge.checks.http import COMPLETE, STATUS
from ..judge.checks.monotonic import MONOTONIC
from ..judge.checks.timestamp_order import TIMESTAMP_ORDER
from ..judge.verdict import (
    BaselineFinding,
    BaselineReport,
    CoverageSummary,
    FindingEntry,
    JudgeResult,
    SubjectKind,
    Verdict,
)
from .verdict_files import read_verdict

_REQUIRES_GROWING_COUNTER: Final = (MONOTONIC.id, TIMESTAMP_ORDER.id)
"""Requirements about which a counter that never moved shows nothing."""

_MASKS_ALL_BODY_CHECKS: Final = (COMPLETE.id, STATUS.id, JSON.id, JSON_LIMITS.id, LENGTH.id, DUPLICATE_KEY.id)
"""Requirements whose violation may keep the body of the response from being checked."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """An earlier verdict, and its file."""

    source: str
    verdict: Verdict

    @cached_property
    def known_fingerprints(self) -> frozenset[str]:
        """The fingerprints of its findings, except those that only a waiver let pass."""
        return frozenset(entry.fingerprint for entry in self.verdict.findings if entry.status != "waived")


def read_baseline(path: Path) -> Baseline:
    """
    Read a baseline.

    Raises:
        UsageError: The file cannot be read, or is not a verdict.
    """
    return Baseline(source=str(path), verdict=read_verdict(path, f"the baseline {path}"))


def baseline_mismatch(
    baseline: Baseline, *, edition: str | None = None, subject_kind: SubjectKind | None = None
) -> str | None:
    """Why a run cannot be compared with a baseline; None if it can, as far as is known about the run."""
    earlier = baseline.verdict
    if edition is not None and edition != earlier.edition:
        return f"the baseline {baseline.source} was judged by edition {earlier.edition}, this run is by {edition}"
    if subject_kind is not None and subject_kind != earlier.subject_kind:
        return f"the baseline {baseline.source} is about a {earlier.subject_kind}, this run about a {subject_kind}"
    return None


def check_baseline(
    baseline: Baseline | None, *, edition: str | None = None, subject_kind: SubjectKind | None = None
) -> None:
    """
    Refuse a baseline to which a run cannot be compared.

    Args:
        edition: The name or the file of the run's edition; None if it is not known yet.
        subject_kind: What the run is about; None if it is not known yet.

    Raises:
        UsageError: The baseline doesn't fit, or there is no such edition.
    """
    if baseline is not None:
        name = None if edition is None else load_edition(edition).name
        if mismatch := baseline_mismatch(baseline, edition=name, subject_kind=subject_kind):
            raise UsageError(mismatch)


def compare_with_baseline(
    baseline: Baseline, result: JudgeResult, documented: Collection[tuple[str, ...]]
) -> BaselineReport:
    """
    Determine which findings are new, known, or no longer found.

    Args:
        baseline: The baseline, of the same edition and kind of subject.
        result: The run's result; its findings have their status.
    """
    entries = result.findings
    found = {entry.fingerprint for entry in entries}
    hiding = [
        entry
        for entry in entries
        if entry.requirement in _MASKS_ALL_BODY_CHECKS or entry.requirement.startswith("shape.")
    ]
    fixed: list[BaselineFinding] = []
    not_seen: list[BaselineFinding] = []
    for entry in baseline.verdict.findings:
        if entry.fingerprint not in found:
            looked_for = _would_be_found(entry, hiding, result, documented)
            (fixed if looked_for else not_seen).append(msgspec.convert(entry, BaselineFinding, from_attributes=True))
    return BaselineReport(
        source=baseline.source,
        finished_at=baseline.verdict.finished_at,
        new=sum(entry.status == "new" for entry in entries),
        known=sum(entry.status == "known" for entry in entries),
        fixed=fixed,
        not_seen=not_seen,
    )


def _would_be_found(
    entry: FindingEntry, hiding: Sequence[FindingEntry], result: JudgeResult, documented: Collection[tuple[str, ...]]
) -> bool:
    """Whether this run would have shown a finding of the baseline if the fault still existed."""
    coverage = result.coverage
    return (
        result.checked.get(entry.requirement, 0) > 0
        and entry.requirement not in result.crashed
        and (entry.target is None or coverage.by_target.get(entry.target, 0) > 0)
        and _field_was_seen(entry, coverage, documented)
        and not any(_masks(other, entry) for other in hiding)
    )


def _field_was_seen(entry: FindingEntry, coverage: CoverageSummary, documented: Collection[tuple[str, ...]]) -> bool:
    path = split_json_pointer(entry.field)
    while path and not (below := [".".join(each) for each in documented if each[: len(path)] == path]):
        path = path[:-1]  # for an undocumented key, its group must have been seen
    if not path:
        return True
    unseen = set(coverage.never_seen)
    if entry.requirement in _REQUIRES_GROWING_COUNTER:
        unseen |= {*coverage.never_grew, *coverage.unusable}
    return not unseen.issuperset(below)


def _masks(other: FindingEntry, entry: FindingEntry) -> bool:
    """Whether a finding of this run may have hidden another one: a value of the wrong shape is judged no further."""
    if other.target != entry.target or other.requirement == entry.requirement:
        return False
    if other.requirement in _MASKS_ALL_BODY_CHECKS:
        return True
    above, path = split_json_pointer(other.field), split_json_pointer(entry.field)
    return bool(above) and path[: len(above)] == above
