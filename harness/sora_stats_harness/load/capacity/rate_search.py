"""
Searches for the highest rate: brackets the rate at which an SLO is violated, halves the bracket, confirms both ends.

One window doesn't decide: at one and the same rate, p99 was 3.6, 3.7, 4.5 and 8.8 ms in four windows, and a bisection
of six steps that are each wrong in one case of four is wrong somewhere in 82 %. So a step has at least three windows,
and up to seven if they disagree. Both ends of the interval are tried again, and a third time if that contradicts. The
next rate depends only on the steps so far, so the search can be read as a table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil, log, sqrt
from typing import Final, Protocol

from ..slo import Slo, shortest_limit_us
from .load_window import (
    CLEAR_FAILURE_SHARE,
    MIN_BACKLOG_RISE,
    BacklogTrend,
    LoadWindow,
    backlog_rise,
    backlog_trend,
    most_violated_slo,
    violated_slos,
    void_reason,
)

WINDOWS_PER_STEP: Final = 3
"""The number of windows in a step whose windows agree."""

DECIDING_WINDOWS: Final = 4
"""The majority of the seven windows that a step has at most."""

MAX_REPEATED_WINDOWS: Final = 2
"""How many windows of a step are repeated because the generator was late; one more ends the step."""

DEFAULT_RESOLUTION: Final = 0.1
"""How far apart the ends of the interval may be, relative to the lower one."""

GENERATOR_LIMIT_RESOLUTION: Final = 0.5
"""The same if the generator can't offer the upper end, and only the lower one is reported, as "at least"."""

START_RATE_DIVISOR: Final = 8
"""The first rate, as a share of the highest allowed."""

MIN_RATE_DIVISOR: Final = 4096
"""No rate below this share of the highest is tried, nor any if the generator was late at two rates and none passed."""

MAX_STEPS: Final = 40

MAX_ABORTED_STEPS: Final = 2
"""How many steps may be aborted; one more ends the search."""

CONFIRMATION_WINDOW_FACTOR: Final = 2
"""How many times as long windows are when a rate is tried again: a small overload takes time to show."""

REASON_FINDING: Final = "a finding"
REASON_BACKLOG: Final = "backlog"
REASON_COMPLETED: Final = "completed<99%"
REASON_ABORTED: Final = "aborted"


class StepOutcome(Enum):
    """The outcome of a step."""

    PASSED = "passed"
    FAILED = "failed"
    VOID = "void"


class SearchEnded(Exception):
    """The whole run has ended for a reason unrelated to the rate, such as an interrupt."""


class LoadAborted(Exception):
    """
    The load was stopped at once, because an abort limit was reached.

    Args:
        text: The limit.
        seen: If it is a limit of latency, the window so far, since the latency may have been the generator's.
    """

    def __init__(self, text: str, seen: LoadWindow | None = None) -> None:
        super().__init__(text)
        self.partial_window = seen


class StepDriver(Protocol):
    """Controls the load of a search."""

    def start_step(self, rate: float) -> None:
        """Schedule requests at this rate from now on."""

    def wait_for_window(self, lasts_s: float) -> LoadWindow:
        """
        Wait for the next window, and return it; the windows of a step follow each other without a gap.

        Raises:
            SearchEnded: The run has ended.
            LoadAborted: An abort limit was reached.
        """

    def end_step(self) -> tuple[str, ...]:
        """
        Schedule no more requests, wait for the open ones, and let the server rest.

        Returns:
            The MUST requirements that responses violated since the beginning.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class RateStep:
    """One trial of one rate."""

    rate: float
    outcome: StepOutcome
    reason: str | None
    windows: tuple[LoadWindow, ...] = ()
    """The windows that were not void."""
    passed: int = 0
    void_windows: int = 0
    backlog: BacklogTrend | None = None
    is_decisive: bool = False
    """Whether it needs no confirmation, because a finding is proven by its evidence."""
    was_aborted: bool = False
    """Whether it was aborted at a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The result: `low` was confirmed, `high` failed; either may be missing."""

    low: float
    """The confirmed rate; 0 if no rate that was tried keeps the SLOs."""
    high: float | None
    at_least: bool
    limited_by: str | None
    steps: tuple[RateStep, ...]
    ended: str | None = None
    """Why the search ended early; None if it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchGoal:
    """The goal and the bounds of a search; rates in requests per second."""

    slos: tuple[Slo, ...]
    max_rate: float
    start: float | None = None
    resolution: float = DEFAULT_RESOLUTION

    @property
    def first_rate(self) -> float:
        """The rate to begin with."""
        return min(self.start or self.max_rate / START_RATE_DIVISOR, self.max_rate)


def run_step(driver: StepDriver, rate: float, slos: Sequence[Slo], lasts_s: float) -> RateStep:
    """
    Try one rate.

    Raises:
        SearchEnded: The run has ended; the load was stopped.
    """
    seen = _StepProgress(rate=rate, slos=slos)
    try:
        driver.start_step(rate)
        while not seen.is_decided():
            seen.add(driver.wait_for_window(lasts_s))
    except LoadAborted as aborted:
        seen.abort(aborted)
    finally:
        seen.findings = driver.end_step()
    return seen.result()


class _StepProgress:
    """The windows of a step so far."""

    def __init__(self, rate: float, slos: Sequence[Slo]) -> None:
        self._rate = rate
        self._slos = slos
        self._windows: list[LoadWindow] = []
        self._votes: list[bool] = []
        self._void: list[str] = []
        self._plain = False
        self.findings: tuple[str, ...] = ()
        self._aborted: str | None = None
        self._late: str | None = None
        """Why the limit that was reached says nothing about the server."""

    def add(self, window: LoadWindow) -> None:
        """Add a window."""
        self.findings = window.findings
        if (why := void_reason(window, self._slos)) is not None:
            self._void.append(why)
            return
        self._windows.append(window)
        self._votes.append(not violated_slos(window, self._slos))
        self._plain = backlog_rise(window.backlog) > max((1 - CLEAR_FAILURE_SHARE) * window.due, MIN_BACKLOG_RISE)

    def abort(self, aborted: LoadAborted) -> None:
        """Note that the step was aborted."""
        self._aborted = str(aborted)
        if aborted.partial_window is not None:
            self._late = void_reason(aborted.partial_window, self._slos)

    def is_decided(self) -> bool:
        """Whether no further window is needed."""
        votes = self._votes
        agreed = len(votes) >= WINDOWS_PER_STEP and len(set(votes)) == 1
        outvoted = max(votes.count(True), votes.count(False)) >= DECIDING_WINDOWS
        return bool(self.findings) or self._plain or len(self._void) > MAX_REPEATED_WINDOWS or agreed or outvoted

    def result(self) -> RateStep:
        """The step's result: a finding takes precedence, then an abort limit."""
        windows, slos = self._windows, self._slos
        if self.findings:
            return self._make_step(StepOutcome.FAILED, f"{REASON_FINDING}: {self.findings[0]}")
        if self._aborted is not None:
            if self._late is not None:
                return self._make_step(StepOutcome.VOID, self._late)
            grows = bool(windows) and backlog_trend(windows).grows
            return self._make_step(
                StepOutcome.FAILED, REASON_BACKLOG if grows else f"{REASON_ABORTED} at {self._aborted}"
            )
        if len(self._void) > MAX_REPEATED_WINDOWS:
            return self._make_step(StepOutcome.VOID, self._void[-1])
        behind = backlog_trend(windows)
        if self._votes.count(False) * 2 > len(windows):
            reason = most_violated_slo(windows, slos)
        else:
            reason = REASON_BACKLOG if behind.grows else REASON_COMPLETED if behind.falls_behind else None
        if reason is not None and all(window.users_exhausted for window in windows) and self._too_few_under_way():
            most = windows[0].max_in_flight
            return self._make_step(
                StepOutcome.VOID, f"the generator: its limit of {most} requests in flight was reached"
            )
        return self._make_step(StepOutcome.FAILED if reason else StepOutcome.PASSED, reason)

    def _too_few_under_way(self) -> bool:
        """Whether the limit of requests in flight is too low even for a server that keeps the shortest SLO."""
        tightest = shortest_limit_us(tuple(self._slos))
        return tightest is not None and self._windows[0].max_in_flight < self._rate * tightest / 1e6

    def _make_step(self, outcome: StepOutcome, reason: str | None) -> RateStep:
        return RateStep(
            rate=self._rate,
            outcome=outcome,
            reason=reason,
            windows=tuple(self._windows),
            passed=self._votes.count(True),
            void_windows=len(self._void),
            backlog=backlog_trend(self._windows) if self._windows else None,
            is_decisive=bool(self.findings),
            was_aborted=self._aborted is not None,
        )


# -- the state of the search --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _RateStanding:
    """The state of one rate, from all steps that tried it."""

    rate: float
    outcome: StepOutcome
    tries: int
    is_decisive: bool
    """Whether a finding failed it."""
    is_tied: bool
    """Whether as many steps passed as failed, so that it must be tried again."""
    is_confirmed: bool


def _rate_standings(steps: Sequence[RateStep]) -> list[_RateStanding]:
    """The states of all rates that were tried, ascending."""
    tried: dict[float, list[RateStep]] = defaultdict(list)
    for step in steps:
        tried[step.rate].append(step)
    return [_rate_standing(rate, tried[rate]) for rate in sorted(tried)]


def _rate_standing(rate: float, steps: Sequence[RateStep]) -> _RateStanding:
    passed = sum(step.outcome is StepOutcome.PASSED for step in steps)
    failed = sum(step.outcome is StepOutcome.FAILED for step in steps)
    is_decisive = any(step.is_decisive for step in steps)
    if is_decisive or failed > passed:
        outcome = StepOutcome.FAILED
    elif passed > failed:
        outcome = StepOutcome.PASSED
    else:
        outcome = StepOutcome.FAILED if failed else StepOutcome.VOID
    return _RateStanding(
        rate=rate,
        outcome=outcome,
        tries=len(steps),
        is_decisive=is_decisive,
        is_tied=passed == failed > 0 and not is_decisive,
        is_confirmed=is_decisive or abs(passed - failed) >= 2 or len(steps) >= 3,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _SearchBounds:
    """
    The current bounds: the highest passed rate below the lowest failed one, that one, and an undecided rate in between.
    """

    low: _RateStanding | None
    failed: _RateStanding | None
    void: _RateStanding | None
    """The lowest rate in between whose steps were void."""

    @property
    def upper_bound(self) -> _RateStanding | None:
        """The rate that bounds the search from above."""
        return self.void if self.void is not None else self.failed


def _search_bounds(standings: Sequence[_RateStanding]) -> _SearchBounds:
    failed = next((each for each in standings if each.outcome is StepOutcome.FAILED), None)
    below = [each for each in standings if failed is None or each.rate < failed.rate]
    low = next((each for each in reversed(below) if each.outcome is StepOutcome.PASSED), None)
    between = (each for each in below if low is None or each.rate > low.rate)
    return _SearchBounds(low=low, failed=failed, void=next(between, None))


def next_rate(steps: Sequence[RateStep], goal: SearchGoal) -> float | None:
    """The rate to try next, by the steps so far, which may have any order; None if the interval is found."""
    standings = _rate_standings(steps)
    if not standings:
        return goal.first_rate
    split = next((each.rate for each in standings if each.is_tied and each.tries < 3), None)
    if split is not None:
        return split
    ends = _search_bounds(standings)
    low, upper = ends.low, ends.upper_bound
    if ends.void is not None and ends.failed is not None and ends.void.tries < 2:
        return ends.void.rate  # the generator was fast enough at a higher rate
    if upper is None:
        assert low is not None, "something was tried, and all of it passed"
        if low.rate < goal.max_rate:
            return min(low.rate * 2, goal.max_rate)
    elif low is None:
        down = upper.rate / 4
        # a finding at two rates, one a quarter of the other, is not caused by the load
        hopeless = sum(each.outcome is StepOutcome.VOID or each.is_decisive for each in standings) > 1
        return down if down >= goal.max_rate / MIN_RATE_DIVISOR and not hopeless else None
    elif upper.rate > low.rate * (1 + goal.resolution * (1 if ends.void is None else GENERATOR_LIMIT_RESOLUTION)):
        return sqrt(low.rate * upper.rate)
    if ends.void is not None and ends.void.tries < 2:
        return ends.void.rate  # the receive delay may have been temporary
    return next((each.rate for each in (low, ends.failed) if each is not None and not each.is_confirmed), None)


def search_capacity(
    driver: StepDriver,
    goal: SearchGoal,
    lasts_s: Callable[[float], float],
    tell: Callable[[RateStep], None] = lambda step: None,
) -> SearchResult:
    """
    Find the highest rate that keeps the SLOs; `lasts_s` gives the length of a window at a rate, `tell` gets each step.
    """
    steps: list[RateStep] = []
    ended = None
    try:
        while len(steps) < MAX_STEPS and (rate := next_rate(steps, goal)) is not None:
            longer = CONFIRMATION_WINDOW_FACTOR if any(step.rate == rate for step in steps) else 1
            step = run_step(driver, rate, goal.slos, longer * lasts_s(rate))
            steps.append(step)
            tell(step)
            if sum(each.was_aborted for each in steps) > MAX_ABORTED_STEPS:
                raise SearchEnded(f"{step.reason}, for the {MAX_ABORTED_STEPS + 1}rd time")
    except SearchEnded as end:
        ended = str(end)
    return build_search_result(steps, goal, ended)


def build_search_result(steps: Sequence[RateStep], goal: SearchGoal, ended: str | None) -> SearchResult:
    """The result of the steps, whether or not the search is complete."""
    ends = _search_bounds(_rate_standings(steps))
    if ended is None and len(steps) >= MAX_STEPS and next_rate(steps, goal) is not None:
        ended = f"no interval after {MAX_STEPS} steps: the server's responses change too much at one and the same rate"
    return SearchResult(
        low=ends.low.rate if ends.low is not None else 0.0,
        high=ends.failed.rate if ends.failed is not None else None,
        at_least=ends.failed is None,
        limited_by=_limiting_reason(steps, ends.failed or ends.void),
        steps=tuple(steps),
        ended=ended,
    )


def _limiting_reason(steps: Sequence[RateStep], by: _RateStanding | None) -> str | None:
    """Why the rate that bounds the search did not pass; of several reasons a finding, else the last one."""
    if by is None:
        return None
    reasons = [step.reason for step in steps if step.rate == by.rate and step.outcome is by.outcome]
    return next((reason for reason in reasons if reason is not None and reason.startswith(REASON_FINDING)), reasons[-1])


def expected_steps(goal: SearchGoal) -> tuple[int, int]:
    """The least and the usual largest number of steps, if one step confirms each end."""
    rises = ceil(log(goal.max_rate / goal.first_rate) / log(2) - 1e-9)
    halves = ceil(log(log(2) / log(1 + goal.resolution)) / log(2))
    return 3, rises + 1 + halves + 2
