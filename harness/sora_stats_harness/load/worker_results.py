"""
Judges what several workers saw together, as the basis of one verdict.

If workers are on the master's machine and their spools are complete, their exchanges are judged together, in order. The
results of other workers' own judges are added, and the server's timestamps order samples between these and the others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..api.errors import HarnessError
from ..api.exchange import Exchange
from ..judge.verdict_decision import join_reasons
from ..reports.verdict_assembly import JudgeResultSource
from .load_session import LoadSession, session_notes
from .merged_judge import MergedJudge, make_worker_report
from .run_measurements import RunMeasurements
from .sample_trail import SampleTrail
from .spools import JudgingRules, SpoolJudge, WorkerSpool, open_spool
from .worker_messages import WorkerResult

MIN_TOLD_STALL_S: Final = 1.0
"""Workers that did not run for this long are named."""


def make_worker_result(
    session: LoadSession,
    measures: RunMeasurements,
    *,
    spool: WorkerSpool | None,
    trail: SampleTrail,
    stalled_s: float = 0.0,
) -> WorkerResult:
    """Make the result of a worker without open requests; closes its spool, and stops its trail."""
    problem = None if spool is None else spool.close()
    trail.stop()
    return WorkerResult(
        index=session.share.index,
        server=", ".join(session.servers),
        is_on_masters_machine=spool is not None,
        measures=measures.state(),
        judged=make_worker_report(session.judge, trail),
        spool=None if spool is None else spool.path,
        spool_problem=problem,
        outage=session.outage_text,
        notes=tuple(session_notes(session)),
        broken=session.final_break_text,
        stalled_s=stalled_s,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedWorkers:
    """The judged results of all workers of a run."""

    judge: JudgeResultSource
    measures: RunMeasurements
    reasons: tuple[str, ...]
    """Why the run was not carried out as planned."""
    notes: tuple[str, ...]
    interrupted: bool
    """Whether the judging was interrupted, not the run."""
    outage: str | None
    """The server that stopped responding, in words; None if none did."""
    has_unread_spools: bool
    """Whether a spool contains something that could not be judged."""
    broken: str | None
    """The fault of the harness that a worker noticed."""


class WorkerNames(dict[int, str]):
    """The workers' names for people, by index."""

    def __missing__(self, index: int) -> str:
        return f"worker {index + 1}"


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
    Judge everything that workers saw.

    Args:
        results: The results of the workers that reported.
        folder: The spools of workers on this machine, also of those that never reported.
        observer: Called with every exchange of the spools in order, to record it.
        tick: Called at every line. If it raises `CheckStopped`, only what was read by then is judged.
    """
    measures = RunMeasurements()
    for result in results:
        measures.add(result.measures, same_clock=result.is_on_masters_machine)
    apart, reasons = _workers_without_spool(results, names)
    excluded = {Path(result.spool).name for result in apart if result.spool is not None}
    spools = SpoolJudge(
        rules,
        reported=[result.index for result in results],
        began_ns=measures.metrics.started_ns,
        observer=observer,
    )
    paths = [path for path in folder.iterdir() if path.name not in excluded]
    checked = spools.judge_spools(paths, tick)
    measures.metrics.add(spools.unreported_metrics.state())
    reasons += [f"{problem}: what its worker saw is missing" for problem in spools.unreadable]
    interrupted = checked is not None and checked.interrupted
    if not interrupted:
        together = [result for result in results if result not in apart]
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
        broken=join_reasons(*(f"{names[result.index]}: {result.broken}" for result in results if result.broken)),
    )


def _outage_text(spools: SpoolJudge, apart: Sequence[WorkerResult]) -> str | None:
    if spools.judge.outage is not None:
        return spools.judge.outage.description
    return next((result.outage for result in apart if result.outage is not None), None)


def _workers_without_spool(results: Sequence[WorkerResult], names: WorkerNames) -> tuple[list[WorkerResult], list[str]]:
    """The workers whose own judges are used, since their spools are missing or incomplete; and why these are."""
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
            reasons.append(f"the spool of {names[result.index]} is incomplete: {problem}")
    return apart, reasons


def _incomplete_spools(
    results: Collection[WorkerResult], exchanges_by_worker: dict[int, int], names: WorkerNames
) -> list[str]:
    """The spools whose number of exchanges differs from what their workers sent."""
    reasons = []
    for result in results:
        sent, seen = result.measures.metrics.counts["sent"], exchanges_by_worker.get(result.index, 0)
        if seen != sent:
            reasons.append(f"{names[result.index]} sent {sent:,} requests, and its spool has {seen:,}")
    return reasons


def _worker_notes(results: Sequence[WorkerResult], apart: Sequence[WorkerResult], names: WorkerNames) -> list[str]:
    notes: list[str] = []
    for result in results:
        sent, cpu_share = result.measures.metrics.counts["sent"], result.measures.cpu_share
        notes.append(f"{names[result.index]} sent {sent:,} requests, and took {cpu_share:.0%} of a core")
        if result.stalled_s > MIN_TOLD_STALL_S:
            notes.append(
                f"{names[result.index]} did not run for {result.stalled_s:.1f} s: what was due meanwhile was sent late"
            )
        notes += result.notes
    if elsewhere := sum(not result.is_on_masters_machine for result in apart):
        what = "1 worker is" if elsewhere == 1 else f"{elsewhere:d} workers are"
        notes.append(
            f"{what} on other machines: each judged the order of what it saw itself, and across machines the server's "
            "timestamps order the samples"
        )
    return list(dict.fromkeys(notes))
