"""Drives load in steps with the users of this process: one rate after another, each for a number of windows."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Final, TypeVar

import gevent

from ...api.errors import HarnessError
from ...judge.measured_results import LatencyDistribution
from ..histogram import merge_histograms
from ..load_run import LocalUsers
from ..load_users import InterruptSignal
from ..memory_tuning import freeze_existing_objects
from ..run_measurements import summarize_step_latencies
from ..slo import AbortLimit
from .load_window import LoadWindow
from .rate_search import LoadAborted, SearchEnded
from .stepped_session import ActiveStep, SteppedSession, WindowCounts

REST_BETWEEN_STEPS_S: Final = 1.0
"""The least pause between two steps."""

BACKLOG_SAMPLES: Final = 20
"""How many samples of the backlog each window has."""

STEP_WATCH_INTERVAL_S: Final = 0.1

MAX_OUTAGE_NS: Final = 5_000_000_000
"""How long a server may give no complete response before the load is stopped: at a low rate a step takes minutes."""

DriveResult = TypeVar("DriveResult")


class StepRunner:
    """
    The `StepDriver` for the users of a session; a signal ends the run.

    Args:
        patience_s: How long a request may take after its window before it counts as slower than every SLO.
        limits: The abort limits of a step.
        watch: Called ten times a second with a line of progress.
    """

    def __init__(
        self,
        session: SteppedSession,
        *,
        patience_s: float,
        limits: tuple[AbortLimit, ...],
        interrupt: InterruptSignal,
        watch: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._session = session
        self._patience_s = patience_s
        self._limits = limits
        self._latency_limits = {each.text for each in limits if each.limit_us is not None}
        self._interrupt = interrupt
        self._watch = watch
        self._step: ActiveStep | None = None
        self._checked_ns = 0
        self.step_latencies: list[tuple[float, list[LatencyDistribution]]] = []
        """Each step's rate and measurements, settling included; without buckets, since there are many steps."""

    def start_step(self, rate: float, begins_ns: int | None = None) -> None:
        """Schedule requests at this rate, from now on or from a given time."""
        freeze_existing_objects()  # the judge's memory is as large as all modules, and would spoil a window
        self._step = self._session.start_step(rate, self._patience_s, begins_ns)

    def wait_for_window(self, lasts_s: float) -> LoadWindow:
        """As `StepDriver`; also waits for the requests that were due in the window."""
        step = self._step
        assert step is not None, "begin comes first"
        began_ns = step.window_edges_ns[-1]
        ends_ns = began_ns + int(lasts_s * 1e9)
        step.window_edges_ns.append(ends_ns)
        samples: list[tuple[float, float]] = []
        counted = step.window_counts[len(step.window_edges_ns) - 1]
        try:
            for number in range(BACKLOG_SAMPLES):
                at_ns = began_ns + (ends_ns - began_ns) * (number + 1) // BACKLOG_SAMPLES
                self._sleep_until(at_ns, step)
                now_ns = time.monotonic_ns()
                samples.append(((now_ns - step.begins_ns) / 1e9, step.requests_due(now_ns) - step.ended))
                if step.findings:
                    break
            due = step.requests_due(ends_ns - 1) - step.requests_due(began_ns - 1)
            until_ns = ends_ns + int(self._patience_s * 1e9)
            while counted.ended < due and time.monotonic_ns() < until_ns and not step.findings:
                self._check_limits(step)
                gevent.sleep(0.005)
        except LoadAborted as aborted:
            if aborted.args[0] not in self._latency_limits:
                raise
            step.window_edges_ns[-1] = min(ends_ns, max(began_ns + 1, time.monotonic_ns()))
            due = step.requests_due(step.window_edges_ns[-1] - 1) - step.requests_due(began_ns - 1)
            raise LoadAborted(str(aborted), self._window_result(step, counted, lasts_s, due, samples)) from None
        return self._window_result(step, counted, lasts_s, due, samples)

    def end_step(self) -> tuple[str, ...]:
        """
        As `StepDriver`.

        Raises:
            SearchEnded: The last requests had no complete response, and the server still does not respond.
        """
        step, self._step = self._step, None
        if step is None:
            return ()
        session = self._session
        session.stop_step()
        until_s = time.monotonic() + session.timeout_s + 1
        while session.in_flight and time.monotonic() < until_s and not self._interrupt.is_interrupted:
            gevent.sleep(0.01)
        told = summarize_step_latencies(session.metrics)
        self.step_latencies.append((step.rate, told))
        rests_until_s = time.monotonic() + REST_BETWEEN_STEPS_S
        while time.monotonic() < rests_until_s and not self._interrupt.is_interrupted:
            self._watch("the server rests")
            gevent.sleep(STEP_WATCH_INTERVAL_S)
        if session.outage_text is not None and not self._interrupt.is_interrupted:
            no_server = session.discover(lambda: self._interrupt.is_interrupted)
            if no_server is not None:
                raise SearchEnded(f"the server stopped responding: {no_server}")
        return tuple(step.findings)

    def wait(self, lasts_s: float) -> None:
        """
        Wait, while requests continue as scheduled.

        Raises:
            SearchEnded, LoadAborted: As for a window.
        """
        until_ns = time.monotonic_ns() + int(lasts_s * 1e9)
        while time.monotonic_ns() < until_ns:
            self._check_limits(self._step)
            gevent.sleep(min(STEP_WATCH_INTERVAL_S, max(0.0, (until_ns - time.monotonic_ns()) / 1e9)))

    def _sleep_until(self, at_ns: int, step: ActiveStep) -> None:
        while (left_ns := at_ns - time.monotonic_ns()) > 0:
            self._check_limits(step)
            self._session.wake_for_overdue_turn()
            if step.findings:
                return
            gevent.sleep(min(STEP_WATCH_INTERVAL_S, left_ns / 1e9))

    def _check_limits(self, step: ActiveStep | None) -> None:
        if self._interrupt.is_interrupted:
            raise SearchEnded("interrupted")
        if self._session.break_text is not None:
            raise SearchEnded(self._session.break_text)
        if step is None:
            self._watch("quiet")
            return
        now_ns = time.monotonic_ns()
        if now_ns < self._checked_ns + STEP_WATCH_INTERVAL_S * 1e9:
            return  # computing a p99 over ten seconds takes a millisecond
        self._checked_ns = now_ns
        silence = self._session.judge.outage
        if silence is not None and now_ns - silence.since_ns > MAX_OUTAGE_NS:
            raise LoadAborted("no complete response any more")
        self._watch(f"{step.rate:,.0f}/s, {step.ended:,} responses")
        reached = next((each for each in self._limits if each.is_exceeded(self._session.metrics)), None)
        if reached is not None:
            raise LoadAborted(reached.text)

    def _window_result(
        self, step: ActiveStep, counted: WindowCounts, lasts_s: float, due: int, samples: list[tuple[float, float]]
    ) -> LoadWindow:
        # copies, since late responses still come
        times = {name: merge_histograms([each.response]) for name, each in counted.times.items()}
        services = {
            name: merge_histograms([each.service]) for name, each in counted.times.items() if each.service.count
        }
        send_delay_us, exhausted = counted.send_delay.percentile(99) or 0, counted.users_exhausted
        if (untaken := step.requests_due(step.window_edges_ns[-1] - 1) - step.next_number) > 0:
            if self._session.can_send_more:  # no user took them, although some were idle
                late_us = (time.monotonic_ns() - step.due_ns(step.next_number)) // 1000
                send_delay_us = max(send_delay_us, late_us) if untaken > due / 100 else send_delay_us
            else:
                exhausted = True
        return LoadWindow(
            rate=step.rate,
            lasts_s=lasts_s,
            due=due,
            times=times,
            service_times=services,
            server_errors=dict(counted.server_errors),
            errors=dict(counted.errors),
            unfinished=dict(counted.unfinished),
            findings=tuple(step.findings),
            receive_delay_p99_us=counted.receive_delay.percentile(99) or 0,
            send_delay_p99_us=send_delay_us,
            users_exhausted=exhausted,
            max_in_flight=step.max_in_flight,
            backlog=samples,
        )


def run_users(session: SteppedSession, interrupt: InterruptSignal, drive: Callable[[], DriveResult]) -> DriveResult:
    """
    Have users of the session's scenario ready while load is driven, and drain them at the end.

    Raises:
        SearchEnded: The server gives no complete response.
        HarnessError: Locust did not start the users.
    """
    users = LocalUsers(session, interrupt)
    try:
        if (no_server := users.discover()) is not None:
            raise SearchEnded(no_server)
        session.start()
        if (problem := users.stand_up()) is not None:
            raise HarnessError(problem)
        return drive()
    finally:
        try:
            users.drain()
        finally:
            gc.unfreeze()
