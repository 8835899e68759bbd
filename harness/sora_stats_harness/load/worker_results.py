"""
Judges what several workers saw, and makes one verdict of it.

Where workers share the master's machine and their spools are whole, their exchanges are judged together, in order. What
another worker found is added to that: its own judge has seen all that it saw, and the server's timestamps order what
passed between it and the others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..api.errors import HarnessError
from ..api.exchange import Exchange
from ..reports.verdict_assembly import JudgeResultSource
from .load_session import LoadSession, session_notes
from .merged_judge import MergedJudge, encode_worker_report
from .run_measurements import RunMeasurements
from .sample_trail import SampleTrail
from .spools import JudgingRules, SpoolJudge, WorkerSpool, open_spool
from .worker_messages import WorkerResult

MIN_TOLD_STALL_S: Final = 1.0
"""Workers that did not run for so long are named."""


def make_worker_result(
    session: LoadSession,
    measures: RunMeasurements,
    *,
    spool: WorkerSpool | None,
    trail: SampleTrail,
    stalled_s: float = 0.0,
) -> WorkerResult:
    """
    Sum up what a worker did.

    Args:
        session: Its users' own; nothing is in flight.
        measures: What it measured.
        spool: Closed here; None on another machine than the master's.
        trail: Ended here.
        stalled_s: The longest time for which the process did not run.
    """
    problem = None if spool is None else spool.close()
    trail.stop()
    return WorkerResult(
        index=session.share.index,
        server=", ".join(session.servers),
        is_on_masters_machine=spool is not None,
        measures=measures.serialize(),
        judged=encode_worker_report(session.judge, trail),
        spool=None if spool is None else spool.path,
        spool_problem=problem,
        outage=session.outage_text,
        notes=tuple(session_notes(session)),
        in_flight=session.in_flight,
        stalled_s=stalled_s,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedWorkers:
    """What all workers of a run come to."""

    judge: JudgeResultSource
    measures: RunMeasurements
    reasons: tuple[str, ...]
    """Why the run is not what it was to be."""
    notes: tuple[str, ...]
    interrupted: bool
    """Whether the judging was, not the run."""
    outage: str | None
    """Which server stopped responding, so that what it would have sent is unknown."""
    has_unread_spools: bool
    """Whether a spool holds what could not be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerNames:
    """How a person knows the workers, by their indexes."""

    names: dict[int, str]

    def __getitem__(self, index: int) -> str:
        return self.names.get(index, f"worker {index + 1}")


def judge_workers(
    rules: JudgingRules,
    results: Sequence[WorkerResult],
    folder: Path,
    *,
    names: WorkerNames,
    observer: Callable[[Exchange], None] | None = None,
    tick: Callable[[], None] = lambda: None,
) -> JudgedWorkers:
    """
    Judge all that workers saw.

    Args:
        rules: To judge by.
        results: Of the workers that reported.
        folder: With the spools of those on this machine, also of those that never reported.
        names: Of all workers.
        observer: Is shown every exchange of the spools in order: the recorder.
        tick: Called at every line. If it raises `CheckStopped`, what was seen by then is what was judged.
    """
    measures = RunMeasurements()
    for result in results:
        measures.add_serialized(result.measures, same_clock=result.is_on_masters_machine)
    by_spool = {Path(result.spool): result for result in results if result.spool is not None}
    apart, reasons = _workers_without_spool(results, names)
    excluded = {Path(result.spool) for result in apart if result.spool is not None}
    spools = SpoolJudge(
        rules,
        reported=[result.index for result in results],
        began_ns=measures.metrics.started_ns,
        observer=observer,
    )
    paths = [path for path in folder.iterdir() if path not in excluded]
    checked = spools.judge_spools(paths, tick)
    measures.add_metrics(spools.unreported_metrics)
    reasons += [f"{problem}: what its worker saw is missing" for problem in spools.unreadable]
    interrupted = checked is not None and checked.interrupted
    if not interrupted:
        together = [result for result in by_spool.values() if result not in apart]
        reasons += _incomplete_spools(together, spools.exchanges_by_worker, names)
    judge: JudgeResultSource = spools.judge if checked is None else checked
    if apart:
        reports = [result.judged for result in apart]
        judge = MergedJudge(rules.edition, judge, reports, spools.trail, tear_s=rules.tear_s, severity=rules.severity)
    return JudgedWorkers(
        judge=judge,
        measures=measures,
        reasons=tuple(reasons),
        notes=(*_worker_notes(results, apart, names), *(() if checked is None else checked.notes)),
        interrupted=interrupted,
        outage=_outage_text(spools, apart),
        has_unread_spools=bool(spools.unreadable),
    )


def _outage_text(spools: SpoolJudge, apart: Sequence[WorkerResult]) -> str | None:
    if spools.judge.outage is not None:
        return spools.judge.outage.description
    return next((result.outage for result in apart if result.outage is not None), None)


def _workers_without_spool(results: Sequence[WorkerResult], names: WorkerNames) -> tuple[list[WorkerResult], list[str]]:
    """Those whose own judges are to be believed, since there is no whole spool; and what went wrong with theirs."""
    apart, reasons = [], []
    for result in results:
        problem = result.spool_problem
        if result.spool is not None and problem is None:
            try:
                open_spool(Path(result.spool))
            except (HarnessError, OSError) as error:
                problem = str(error)
        if result.spool is None or problem is not None:
            apart.append(result)
        if problem is not None:
            reasons.append(f"{names[result.index]} has no whole spool: {problem}")
    return apart, reasons


def _incomplete_spools(
    results: Collection[WorkerResult], exchanges_by_worker: dict[int, int], names: WorkerNames
) -> list[str]:
    """Which spools hold another number of exchanges than their workers sent."""
    reasons = []
    for result in results:
        sent, seen = result.measures["metrics"]["sent"], exchanges_by_worker.get(result.index, 0)
        if seen != sent:
            reasons.append(f"{names[result.index]} sent {sent:,} requests, and its spool has {seen:,}")
    return reasons


def _worker_notes(results: Sequence[WorkerResult], apart: Sequence[WorkerResult], names: WorkerNames) -> list[str]:
    notes: list[str] = []
    for result in results:
        sent, cpu_share = result.measures["metrics"]["sent"], result.measures["cpu_share"]
        notes.append(f"{names[result.index]} sent {sent:,} requests, and took {cpu_share:.0%} of a core")
        if result.stalled_s > MIN_TOLD_STALL_S:
            notes.append(
                f"{names[result.index]} did not run for {result.stalled_s:.1f} s: what was due meanwhile was sent late"
            )
        notes += result.notes
    if elsewhere := sum(not result.is_on_masters_machine for result in apart):
        what = "1 worker is" if elsewhere == 1 else f"{elsewhere} workers are"
        notes.append(
            f"{what} on other machines: each judged the order of what it saw itself, and across machines the server's "
            "timestamps order the samples"
        )
    return list(dict.fromkeys(notes))
