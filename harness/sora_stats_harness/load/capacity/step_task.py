"""Runs load in steps for a command, with the users of this process or with workers, and judges it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec

from ...api.edition import load_edition
from ...api.errors import describe_break
from ...judge.measured_results import LatencyDistribution
from ...judge.verdict_decision import join_reasons
from ...probe.interrupt import InterruptHandler
from ...reports.pass_policy import Tolerance
from ...reports.verdict_assembly import JudgeResultSource
from ..load_session import LoadSession, session_notes
from ..load_spec import LoadSpec, WorkerPlan, WorkerShare
from ..load_task import ServerAccess, judge_when_over, prepare_order
from ..merged_judge import MergedJudge
from ..slo import AbortLimit
from ..spools import SpoolFolder, WorkerSpool
from ..step_falls import StepFallFinder
from ..workers import Workers
from .rate_search import SearchEnded, StepDriver
from .step_runner import StepRunner, run_users
from .stepped_session import SteppedSession
from .worker_steps import WorkerSteps

ResultType = TypeVar("ResultType")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTask:
    """What load in steps needs: spec, server, workers, limits."""

    spec: LoadSpec
    """What to send; its users are the most requests in flight."""
    server: ServerAccess
    workers: WorkerPlan | None
    """None if this process sends by itself."""
    limits: tuple[AbortLimit, ...]
    tolerance: Tolerance
    """The findings that don't fail a step."""
    patience_s: float
    """How long a request may take after its window before it counts as slower than every SLO."""
    interrupt: InterruptHandler
    watch: Callable[[str], None]
    """Called with a line of progress."""
    say: Callable[[str], object]
    """Called with messages that a person should see at once."""


class PhaseDriver(StepDriver, Protocol):
    """Controls load in phases, also without windows."""

    def wait(self, lasts_s: float) -> None:
        """Wait, while requests continue as scheduled; raises what `wait_for_window` raises."""


Drive = Callable[[PhaseDriver, LoadSession], ResultType]
"""What to do with the steps, and with a session in which this process may send its own requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivenSteps(Generic[ResultType]):
    """The result of load in steps."""

    result: ResultType | str
    """The result of the drive, or why there is none."""
    judge: JudgeResultSource
    step_latencies: Sequence[tuple[float, list[LatencyDistribution]]]
    notes: Sequence[str] = ()
    aborted: str | None = None
    """Why not everything that was seen is judged; None if it is."""
    broken: str | None = None
    """The fault of the harness that ended it."""


def drive_steps(task: StepTask, drive: Drive[ResultType]) -> DrivenSteps[ResultType]:
    """Have users ready, here or in workers, while load is driven; then judge everything that was seen."""
    if task.workers is None:
        return _drive_in_process(task, drive)
    return _drive_with_workers(task, task.workers, drive)


def _drive_in_process(task: StepTask, drive: Drive[ResultType]) -> DrivenSteps[ResultType]:
    edition = load_edition(task.spec.edition)
    session = SteppedSession(edition, task.server.address, task.spec, tolerance=task.tolerance)
    steps = StepRunner(
        session, patience_s=task.patience_s, limits=task.limits, interrupt=task.interrupt, watch=task.watch
    )
    result = _result_of(session, lambda: run_users(session, task.interrupt, lambda: drive(steps, session)))
    return DrivenSteps(
        result=result,
        judge=session.judge,
        step_latencies=steps.step_latencies,
        notes=session_notes(session),
        broken=session.final_break_text,
    )


def _result_of(session: LoadSession, work: Callable[[], ResultType]) -> ResultType | str:
    """The result, or why there is none; the session notes a fault of the harness."""
    try:
        return work()
    except SearchEnded as ended:
        return str(ended)
    except Exception as error:
        session.note_break(described := describe_break(error))
        return described


def _drive_with_workers(task: StepTask, plan: WorkerPlan, drive: Drive[ResultType]) -> DrivenSteps[ResultType]:
    edition = load_edition(task.spec.edition)
    with SpoolFolder(None, task.say) as folder:
        order = msgspec.structs.replace(
            prepare_order(task.spec, task.server, folder.path),
            patience_s=task.patience_s,
            limits=tuple(limit.text for limit in task.limits),
            tolerance=task.tolerance,
        )
        # this process's own requests are judged like those of another worker
        share = WorkerShare(index=plan.count, count=plan.count + 1, run=order.run)
        session = LoadSession(edition, task.server.address, task.spec, share=share)
        spool = WorkerSpool(folder.path, share.index)
        session.observer = spool.open(session, task.server.kind, task.server.secrets)
        if not plan.are_started_here:
            task.say(f"waiting for {plan.description}")
        with Workers(plan, order, task.interrupt) as workers:
            steps = WorkerSteps(workers, StepFallFinder(edition), task.interrupt, watch=task.watch)

            def drive_workers() -> ResultType:
                steps.stand_up()
                return drive(steps, session)

            result = _result_of(session, drive_workers)
            workers.drain()
        session.judge.judge_pending()
        own_problem = spool.close()
        task.say(f"judging together what {plan.count:d} workers saw")
        judged = judge_when_over(workers, folder, task.interrupt)
    if isinstance(judged.judge, MergedJudge):
        judged.judge.add_falls(steps.falls)
    return DrivenSteps(
        result=result,
        judge=judged.judge,
        step_latencies=steps.step_latencies,
        notes=judged.notes,
        aborted=join_reasons(workers.trouble(), own_problem, *judged.reasons),
        broken=session.final_break_text or workers.break_text() or judged.broken,
    )
