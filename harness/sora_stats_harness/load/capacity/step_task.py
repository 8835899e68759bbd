"""
Load by steps as a command asks for it: driven through the users of this process, or through workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec

from ...api.edition import load_edition
from ...judge.measured_results import LatencyDistribution
from ...probe.interrupt import InterruptHandler
from ...reports.pass_policy import Tolerance
from ...reports.verdict_assembly import JudgeResultSource
from ..load_session import LoadSession, session_notes
from ..load_spec import LoadSpec, WorkerShare
from ..load_task import ServerAccess, prepare_order, stop_on_signal
from ..merged_judge import MergedJudge
from ..slo import AbortLimit
from ..spools import JudgingRules, SpoolFolder, WorkerSpool
from ..step_falls import StepFallFinder
from ..worker_plan import WorkerPlan
from ..worker_results import judge_workers
from ..workers import Workers
from .rate_search import SearchEnded, StepDriver
from .step_runner import StepRunner, run_users
from .stepped_session import SteppedSession
from .worker_steps import WorkerSteps

ResultType = TypeVar("ResultType")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTask:
    """Load by steps, and by what means."""

    spec: LoadSpec
    """Its users are the most requests in flight."""
    server: ServerAccess
    workers: WorkerPlan | None
    """None where this process sends by itself."""
    limits: tuple[AbortLimit, ...]
    tolerance: Tolerance
    """What may be found without a step failing."""
    patience_s: float
    """How long a request may take after its window before it counts as slower than every SLO."""
    interrupt: InterruptHandler
    watch: Callable[[str], None]
    """Is told what is going on."""
    say: Callable[[str], object]
    """Is told what a person should know at once."""


class PhaseDriver(StepDriver, Protocol):
    """What load is driven through, also where nothing is measured by windows."""

    def wait(self, lasts_s: float) -> None:
        """Wait, while requests go on falling due if they do; raises what `wait_for_window` raises."""


Drive = Callable[[PhaseDriver, LoadSession], ResultType]
"""What is to be done: with the steps, and with a session in which this process may ask for something itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivenSteps(Generic[ResultType]):
    """What came of it."""

    result: ResultType | str
    """What was driven to, or why it came to nothing."""
    judge: JudgeResultSource
    step_latencies: Sequence[tuple[float, list[LatencyDistribution]]]
    notes: Sequence[str] = ()
    aborted: str | None = None
    """Why not all that was seen is judged."""


def drive_steps(task: StepTask, drive: Drive[ResultType]) -> DrivenSteps[ResultType]:
    """Have users ready, here or in workers, while load is driven; then judge all that was seen."""
    if task.workers is None:
        return _drive_in_process(task, drive)
    return _drive_with_workers(task, task.workers, drive)


def _drive_in_process(task: StepTask, drive: Drive[ResultType]) -> DrivenSteps[ResultType]:
    edition = load_edition(task.spec.edition)
    session = SteppedSession(edition, task.server.address, task.spec, tolerance=task.tolerance)
    steps = StepRunner(
        session, patience_s=task.patience_s, limits=task.limits, interrupt=task.interrupt, watch=task.watch
    )
    result: ResultType | str
    try:
        result = run_users(
            session,
            interrupt=task.interrupt,
            drive=lambda: drive(steps, session),
        )
    except SearchEnded as ended:
        result = str(ended)
    return DrivenSteps(
        result=result, judge=session.judge, step_latencies=steps.step_latencies, notes=session_notes(session)
    )


def _drive_with_workers(task: StepTask, plan: WorkerPlan, drive: Drive[ResultType]) -> DrivenSteps[ResultType]:
    edition = load_edition(task.spec.edition)
    with SpoolFolder(None, task.say) as folder:
        order = msgspec.structs.replace(
            prepare_order(task.spec, task.server, folder.path),
            patience_s=task.patience_s,
            limits=tuple(limit.text for limit in task.limits),
            tolerance=task.tolerance,
        )
        # this process's own requests are judged like those of one worker more
        share = WorkerShare(index=plan.count, count=plan.count + 1, run=order.run)
        session = LoadSession(edition, task.server.address, task.spec, share=share)
        spool = WorkerSpool(folder.path, share.index)
        session.observer = spool.open(session, task.server.kind, task.server.secrets)
        if not plan.are_started_here:
            task.say(f"waiting for {plan.description}")
        with Workers(plan, should_stop=lambda: task.interrupt.is_interrupted) as workers:
            steps = WorkerSteps(
                workers,
                order,
                StepFallFinder(edition),
                watch=task.watch,
                is_interrupted=lambda: task.interrupt.is_interrupted,
            )
            result: ResultType | str
            try:
                steps.stand_up()
                result = drive(steps, session)
            except SearchEnded as ended:
                result = str(ended)
            workers.drain()
            workers.wait_for_results(task.spec.timeout_s, lambda: task.interrupt.gives_up)
        session.judge.judge_pending()
        own_problem = spool.close()
        task.say(f"judging together what {plan.count:d} workers saw")
        judged = judge_workers(
            JudgingRules(edition, task.spec.checks),
            workers.results,
            folder.path,
            names=workers.names,
            tick=stop_on_signal(task.interrupt),
        )
        folder.is_kept = judged.has_unread_spools
    if isinstance(judged.judge, MergedJudge):
        judged.judge.add_falls(steps.falls)
    reasons = [each for each in (workers.trouble(), own_problem, *judged.reasons) if each is not None]
    return DrivenSteps(
        result=result,
        judge=judged.judge,
        step_latencies=steps.step_latencies,
        notes=judged.notes,
        aborted="; ".join(dict.fromkeys(reasons)) or None,
    )
