"""A search for capacity as a command asks for it: driven through the users of this process, or through workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from ...api.edition import load_edition
from ...judge.measured_results import LatencyDistribution
from ...probe.interrupt import InterruptHandler
from ...reports.verdict_assembly import JudgeResultSource
from ..load_session import session_notes
from ..load_spec import LoadSpec
from ..load_task import ServerAccess, prepare_order, stop_on_signal
from ..request_metrics import RequestMetrics
from ..run_measurements import summarize_step_latencies
from ..slo import AbortLimit
from ..spools import JudgingRules, SpoolFolder
from ..worker_messages import EndStepOrder, HaltOrder, PrepareOrder, StepOrder, StepReport, WindowOrder, WindowReport
from ..worker_plan import WorkerPlan
from ..worker_results import judge_workers
from ..workers import Workers
from .load_window import LoadWindow
from .merged_window import merge_windows
from .rate_search import (
    LoadAborted,
    RateStep,
    SearchEnded,
    SearchGoal,
    SearchResult,
    build_search_result,
    search_capacity,
)
from .step_runner import StepRunner, run_users
from .stepped_session import SteppedSession

STEP_LEAD_NS: Final = 500_000_000
"""Between telling all workers a rate and its first request: each of them tidies its memory before."""

REPORT_MARGIN_S: Final = 30.0
"""How much longer the report on an order may take than what was ordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTask:
    """What is searched for, and by what means."""

    spec: LoadSpec
    """Its users are the most requests in flight."""
    server: ServerAccess
    goal: SearchGoal
    workers: WorkerPlan | None
    """None where this process sends by itself."""
    limits: tuple[AbortLimit, ...]
    patience_s: float
    """How long a request may take after its window before it counts as slower than every SLO."""
    window_s: Callable[[float], float]
    """How long a window is at a rate."""
    interrupt: InterruptHandler
    on_step: Callable[[RateStep], None]
    watch: Callable[[str], None]
    """Is told what is going on."""
    say: Callable[[str], object]
    """Is told what a person should know at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOutcome:
    """What came of it."""

    found: SearchResult
    judge: JudgeResultSource
    step_latencies: Sequence[tuple[float, list[LatencyDistribution]]]
    notes: Sequence[str] = ()
    aborted: str | None = None
    """Why not all that was seen is judged."""


def run_search(task: SearchTask) -> SearchOutcome:
    """Search, and judge."""
    return _search_in_process(task) if task.workers is None else _search_with_workers(task, task.workers)


def _search_in_process(task: SearchTask) -> SearchOutcome:
    session = SteppedSession(load_edition(task.spec.edition), task.server.address, task.spec)
    steps = StepRunner(
        session, patience_s=task.patience_s, limits=task.limits, interrupt=task.interrupt, watch=task.watch
    )
    try:
        found = run_users(
            session,
            interrupt=task.interrupt,
            drive=lambda: search_capacity(steps, task.goal, task.window_s, task.on_step),
        )
    except SearchEnded as ended:
        found = build_search_result((), task.goal, str(ended))
    return SearchOutcome(
        found=found, judge=session.judge, step_latencies=steps.step_latencies, notes=session_notes(session)
    )


def _search_with_workers(task: SearchTask, plan: WorkerPlan) -> SearchOutcome:
    edition = load_edition(task.spec.edition)
    with SpoolFolder(None, task.say) as folder:
        order = msgspec.structs.replace(
            prepare_order(task.spec, task.server, folder.path),
            patience_s=task.patience_s,
            limits=tuple(limit.text for limit in task.limits),
        )
        if not plan.are_started_here:
            task.say(f"waiting for {plan.description}\n")
        with Workers(plan, should_stop=lambda: task.interrupt.is_interrupted) as workers:
            steps = WorkerSteps(workers, order, watch=task.watch, is_interrupted=lambda: task.interrupt.is_interrupted)
            try:
                steps.stand_up()
                found = search_capacity(steps, task.goal, task.window_s, task.on_step)
            except SearchEnded as ended:
                found = build_search_result((), task.goal, str(ended))
            workers.drain()
            workers.wait_for_results(task.spec.timeout_s, lambda: False)
        task.say(f"judging together what {plan.count} workers saw\n")
        judged = judge_workers(
            JudgingRules(edition, task.spec.checks),
            workers.results,
            folder.path,
            names=workers.names,
            tick=stop_on_signal(task.interrupt),
        )
        folder.is_kept = judged.has_unread_spools
    reasons = [each for each in (workers.trouble(), *judged.reasons) if each is not None]
    return SearchOutcome(
        found=found,
        judge=judged.judge,
        step_latencies=steps.step_latencies,
        notes=judged.notes,
        aborted="; ".join(dict.fromkeys(reasons)) or None,
    )


class WorkerSteps:
    """
    Drives workers step by step: a `StepDriver` of one rate, shared by all of them.

    A window is void if any worker was late, since nobody can tell what its share would have met; and where a worker has
    failed the search ends, and says which.

    Args:
        workers: They.
        order: What all of them together are to do.
        watch: Is called all the while with what is going on.
        is_interrupted: Whether the user has had enough.
    """

    def __init__(
        self,
        workers: Workers,
        order: PrepareOrder,
        *,
        watch: Callable[[str], None],
        is_interrupted: Callable[[], bool],
    ) -> None:
        assert order.patience_s is not None, "an order of steps"
        self._workers = workers
        self._order = order
        self._watch = watch
        self._is_interrupted = is_interrupted
        self._rate = 0.0
        self._patience_s = order.patience_s + order.spec.timeout_s + REPORT_MARGIN_S
        self.step_latencies: list[tuple[float, list[LatencyDistribution]]] = []
        """As `StepRunner.step_latencies`."""
        workers.watch = self._watch_workers

    def _watch_workers(self) -> None:
        self._watch(f"{self._rate:,.0f}/s from {self._workers.plan.count} workers")

    def stand_up(self) -> None:
        """
        Have all users ready.

        Raises:
            SearchEnded: A worker failed, no server responds, or the user has had enough.
        """
        spec = self._order.spec
        problem = self._workers.prepare(self._order)
        if problem is None and not self._is_interrupted():
            problem = self._workers.stand_up(spec.scenario, spec.users)
        if problem is not None or self._is_interrupted():
            raise SearchEnded(problem or "interrupted")

    def start_step(self, rate: float) -> None:
        """As `StepDriver`: requests fall due in turn from each worker."""
        self._rate = rate
        begins_ns = time.monotonic_ns() + STEP_LEAD_NS
        self._workers.order(StepOrder(rate=rate, begins_ns=begins_ns, lead_ns=STEP_LEAD_NS))

    def wait_for_window(self, lasts_s: float) -> LoadWindow:
        """
        As `StepDriver`.

        Raises:
            SearchEnded: A worker failed, or the user has had enough.
            LoadAborted: One of them has reached a limit.
        """
        self._workers.order(WindowOrder(lasts_s=lasts_s))
        reports = self._workers.gather(WindowReport, lasts_s + self._patience_s, halt_at=_is_aborted)
        if self._is_interrupted() or (trouble := self._workers.trouble()) is not None:
            self._workers.order(HaltOrder())
            raise SearchEnded("interrupted" if self._is_interrupted() else trouble or "")
        for report in reports:
            if report.aborted is not None:
                raise LoadAborted(report.aborted, None if report.window is None else merge_windows([report.window]))
        windows = [report.window for report in reports if report.window is not None]
        if len(windows) < self._workers.plan.count:
            raise SearchEnded("a worker did not report its window")
        return merge_windows(windows)

    def end_step(self) -> tuple[str, ...]:
        """As `StepDriver`; of those workers that are left."""
        self._workers.order(EndStepOrder(at_once=self._is_interrupted()))
        metrics, findings, outage = RequestMetrics(), list[str](), None
        for report in self._workers.gather(StepReport, self._patience_s, heed=False):
            metrics.add_serialized(report.metrics)
            findings += report.findings
            outage = outage or report.outage
        told = summarize_step_latencies(metrics)
        self.step_latencies.append((self._rate, told))
        if outage is not None:
            raise SearchEnded(outage)
        return tuple(findings)


def _is_aborted(report: WindowReport) -> bool:
    """Whether a window was broken off, so that those of the other workers are of no use."""
    return report.aborted is not None
