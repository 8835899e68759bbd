"""
Reads the history of a server: all verdicts below a folder, by release and time, each compared with the previous one.

A run is compared with the previous run of the same kind: the same command, edition and kind of subject. So a finding
that another kind of run would not look for is never called fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

from ..api.errors import UsageError
from ..judge.measured_results import CapacityResult
from ..judge.verdict import Verdict
from .comparison_result import FindingChange
from .figure_cells import NO_FIGURE, format_number, percentile_ms
from .load_tables import response_times
from .run_comparison import compare_fields, compare_findings
from .verdict_files import find_verdict_files, read_verdict

RELEASE_LABELS: Final = ("release", "version", "build")
"""The labels that name the release by default: the first one that any run has is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRun:
    """One run, and what changed since the previous one of its kind."""

    path: Path
    """The path of its verdict.json."""
    release: str
    """The value of the label; empty if the run has none."""
    verdict: Verdict
    is_first: bool
    """Whether there is no previous run to compare with."""
    new: Sequence[FindingChange]
    fixed: Sequence[FindingChange]
    fields_new: Sequence[str]
    fields_gone: Sequence[str]

    @property
    def p99_ms(self) -> str:
        """The p99 of response time, as a cell."""
        times = None if self.verdict.load is None else response_times(self.verdict.load.latency)
        return NO_FIGURE if times is None else percentile_ms(times, "99")

    @property
    def capacity(self) -> str:
        """The interval of the capacity in requests a second, as a cell."""
        return NO_FIGURE if self.verdict.capacity is None else capacity_text(self.verdict.capacity)

    @property
    def fields(self) -> str:
        """How many documented fields were seen, and how many appeared or disappeared, as a cell."""
        changes = [f"{sign}{len(paths)}" for sign, paths in (("+", self.fields_new), ("-", self.fields_gone)) if paths]
        seen = self.verdict.coverage
        counts = f"{seen.fields_seen:,} of {seen.fields_documented:,}"
        return f"{counts} ({', '.join(changes)})" if changes else counts


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHistory:
    """All runs, by release and time, and the files that could not be read."""

    folder: Path
    label: str
    """The label that names the release; empty if no run has one."""
    runs: Sequence[HistoryRun]
    left_out: Sequence[str]
    """Each file that could not be read, and why."""

    def releases(self) -> list[str]:
        """The releases, in order."""
        return [name for name, _ in groupby(self.runs, key=lambda run: run.release)]


def read_history(folder: Path, *, label: str | None = None) -> RunHistory:
    """
    Read every verdict.json below a folder.

    Args:
        label: The label that names the release; None for the first of `RELEASE_LABELS` that any run has.

    Raises:
        UsageError: It is not a folder, or contains no verdict.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name the one with the runs, such as reports")
    left_out: list[str] = []
    found: dict[bytes, tuple[Path, Verdict]] = {}
    for path in find_verdict_files(folder):
        try:
            if not path.is_file():  # reading a pipe might block forever
                raise UsageError(f"{path} is not a regular file")
            verdict = read_verdict(path)
        except UsageError as error:
            left_out.append(str(error))
            continue
        found.setdefault(msgspec.json.encode(verdict), (path, verdict))  # a copy is not another run
    if not found:
        more = f"; {left_out[0]}" if left_out else ""
        raise UsageError(f"there is no verdict below {folder}{more}")
    runs = sorted(found.values(), key=lambda run: run[1].started_at)
    used = {key for _, verdict in runs for key in verdict.labels}
    name = label or next((name for name in RELEASE_LABELS if name in used), "")
    compared = _compare_each(runs, name)
    order = {release: place for place, release in enumerate(dict.fromkeys(run.release for run in compared))}
    compared.sort(key=lambda run: order[run.release])  # the earliest release first; within a release by time
    return RunHistory(folder=folder, label=name, runs=compared, left_out=left_out)


def _compare_each(runs: Sequence[tuple[Path, Verdict]], label: str) -> list[HistoryRun]:
    before: dict[tuple[str, str, str], Verdict] = {}
    compared = []
    for path, verdict in runs:
        kind = verdict.command, verdict.edition, verdict.subject_kind
        last = before.get(kind)
        changes = [] if last is None else compare_findings([last], [verdict])[0]
        fields_new, fields_gone = ([], []) if last is None else compare_fields([last], [verdict], [])
        compared.append(
            HistoryRun(
                path=path,
                release=verdict.labels.get(label, ""),
                verdict=verdict,
                is_first=last is None,
                new=[each for each in changes if each.change == "new"],
                fixed=[each for each in changes if each.change == "fixed"],
                fields_new=fields_new,
                fields_gone=fields_gone,
            )
        )
        before[kind] = verdict
    return compared


def capacity_text(found: CapacityResult) -> str:
    """
    The interval of a capacity, as a short text.

    >>> capacity_text(CapacityResult(interval=(300.0, 340.0), at_least=False, limited_by=None, steps=[]))
    '300 to 340'
    """
    low, high = found.interval
    if found.at_least or high is None:
        return f"at least {format_number(low)}" if low else NO_FIGURE
    return f"{format_number(low)} to {format_number(high)}"
