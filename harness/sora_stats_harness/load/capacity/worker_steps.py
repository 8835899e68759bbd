"""Drives load in steps with workers: one rate after another, shared by all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import gevent

from ...judge.checks.monotonic import MONOTONIC
from ...judge.measured_results import LatencyDistribution
from ..load_users import InterruptSignal
from ..request_metrics import RequestMetrics
from ..run_measurements import summarize_step_latencies
from ..slo import parse_abort_limit
from ..step_falls import StepFall, StepFallFinder
from ..worker_messages import EndStepOrder, HaltOrder, StepOrder, StepReport, WindowOrder, WindowReport
from ..workers import Workers
from .load_window import LoadWindow, merge_windows
from .rate_search import LoadAborted, SearchEnded
from .step_runner import STEP_WATCH_INTERVAL_S

STEP_LEAD_NS: Final = 500_000_000
"""The time between ordering a rate and its first request, in which each worker collects its garbage."""

REPORT_MARGIN_S: Final = 30.0
"""How much longer a report may take than the order that it is about."""


class WorkerSteps:
    """
    The `StepDriver` for workers, which share each rate; a signal ends the run.

    A window is void if any worker was late, since its share of the requests is unknown. If a worker fails the search
    ends, and says which one failed.
    """

    def __init__(
        self, workers: Workers, falls: StepFallFinder, interrupt: InterruptSignal, *, watch: Callable[[str], None]
    ) -> None:
        order = workers.order
        assert order.patience_s is not None, "an order of steps"
        self._workers = workers
        self._finder = falls
        self._limits = tuple(parse_abort_limit(text) for text in order.limits)
        self._watch = watch
        self._interrupt = interrupt
        self._rate = 0.0
        self._patience_s = order.patience_s + order.spec.timeout_s + REPORT_MARGIN_S
        self.step_latencies: list[tuple[float, list[LatencyDistribution]]] = []
        """As `StepRunner.step_latencies`."""
        self.falls: list[StepFall] = []
        """Counters that fell from one worker's samples in a step to another's in a later step."""
        workers.watch = self._watch_workers

    def _watch_workers(self) -> None:
        self._watch(f"{self._rate:,.0f}/s from {self._workers.plan.count:d} workers" if self._rate else "quiet")

    def stand_up(self) -> None:
        """
        Start all users, and wait until they are ready.

        Raises:
            SearchEnded: A worker failed, no server responds, or the user interrupted.
        """
        problem = self._workers.prepare()
        if problem is not None or self._interrupt.is_interrupted:
            raise SearchEnded(problem or "interrupted")

    def start_step(self, rate: float) -> None:
        """As `StepDriver`; the workers take turns."""
        self._rate = rate
        self._workers.live_metrics = RequestMetrics()  # whose seconds count from the beginning of the step
        begins_ns = time.monotonic_ns() + STEP_LEAD_NS
        self._workers.send_all(StepOrder(rate=rate, begins_ns=begins_ns, lead_ns=STEP_LEAD_NS))

    def wait_for_window(self, lasts_s: float) -> LoadWindow:
        """As `StepDriver`; a worker that fails ends the run as well."""
        self._workers.send_all(WindowOrder(lasts_s=lasts_s))
        reports = self._workers.gather(WindowReport, lasts_s + self._patience_s, halt_at=_is_aborted)
        self._check_end()
        for report in reports:
            if report.aborted is not None:
                raise LoadAborted(report.aborted, report.window)
        windows = [report.window for report in reports if report.window is not None]
        if len(windows) < self._workers.plan.count:
            raise SearchEnded("a worker did not report its window")
        return merge_windows(windows)

    def wait(self, lasts_s: float) -> None:
        """
        As `StepRunner.wait`.

        Raises:
            SearchEnded, LoadAborted: As for a window.
        """
        until_s = time.monotonic() + lasts_s
        while time.monotonic() < until_s:
            self._check_end()
            reached = next((each for each in self._limits if each.is_exceeded(self._workers.live_metrics)), None)
            if self._rate and reached is not None:
                raise LoadAborted(reached.text)
            self._watch_workers()
            gevent.sleep(min(STEP_WATCH_INTERVAL_S, max(0.0, until_s - time.monotonic())))

    def _check_end(self) -> None:
        trouble = self._workers.break_text() or self._workers.trouble()
        if self._interrupt.is_interrupted or trouble is not None:
            self._workers.send_all(HaltOrder())
            raise SearchEnded("interrupted" if self._interrupt.is_interrupted else trouble or "")

    def end_step(self) -> tuple[str, ...]:
        """As `StepDriver`, for the remaining workers; also finds counters that fell between workers."""
        self._workers.send_all(EndStepOrder(at_once=self._interrupt.is_interrupted))
        metrics, findings, outage = RequestMetrics(), list[str](), None
        reports = self._workers.gather(StepReport, self._patience_s, heed=False)
        for report in reports:
            metrics.add(report.metrics)
            findings += report.findings
            outage = outage or report.outage
        told = summarize_step_latencies(metrics)
        self.step_latencies.append((self._rate, told))
        self._rate = 0.0
        if outage is not None:
            raise SearchEnded(outage)
        falls = self._finder.add_step({report.index: report.samples for report in reports})
        self.falls += falls
        tolerance = self._workers.order.tolerance
        level = tolerance.severity.weigh(MONOTONIC, MONOTONIC.level)
        findings += sorted({fall.finding.requirement for fall in falls if tolerance.fails(fall.finding, level)})
        return tuple(findings)


def _is_aborted(report: WindowReport) -> bool:
    """Whether a window was aborted, so that those of the other workers are useless."""
    return report.aborted is not None
