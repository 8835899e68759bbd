"""
The search for the highest rate: bracket the rate at which an SLO breaks, halve the bracket, confirm both ends.

One window decides nothing: measured at one and the same rate, p99 was 3.6, 3.7, 4.5 and 8.8 ms in four windows, and a
bisection of six steps that are each wrong in one case of four is wrong somewhere in 82 %. So a step has at least three
windows, and up to seven where they disagree; both ends of the interval are tried again, and where that contradicts,
a third time. What is to be tried next follows from what has been seen alone, so the search can be read as a table.
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
"""Of a step whose windows agree."""

DECIDING_WINDOWS: Final = 4
"""Of the seven windows that a step has at most."""

MAX_REPEATED_WINDOWS: Final = 2
"""Windows in a step that are repeated because the generator was late; a third ends the step."""

DEFAULT_RESOLUTION: Final = 0.1
"""How far the ends of the interval may be apart, over the lower one."""

GENERATOR_LIMIT_RESOLUTION: Final = 0.5
"""Of that, where the upper end is what the generator cannot offer: the lower one alone is then told, as "at least"."""

START_RATE_DIVISOR: Final = 8
"""The first rate is this part of the highest allowed."""

MIN_RATE_DIVISOR: Final = 4096
"""Below this part of the highest rate nothing is tried; nor where the generator was late at two rates and none passed."""

MAX_STEPS: Final = 40

MAX_ABORTED_STEPS: Final = 2
"""Steps that may be broken off; at the third the search is over."""

CONFIRMATION_WINDOW_FACTOR: Final = 2
"""A rate that is tried again has windows so many times as long: a small overload takes time to show."""

REASON_FINDING: Final = "a finding"
REASON_BACKLOG: Final = "backlog"
REASON_COMPLETED: Final = "completed<99%"
REASON_ABORTED: Final = "aborted"


class StepOutcome(Enum):
    """What a step came to."""

    PASSED = "passed"
    FAILED = "failed"
    VOID = "void"


class SearchEnded(Exception):
    """The whole run is over, for a reason that has nothing to do with the rate: its user has had enough."""


class LoadAborted(Exception):
    """
    The load was taken away at once, because a limit was reached at which to abort.

    Args:
        text: The limit.
        seen: Where it is one on latency, what was seen until then: the latency may have been the generator's.
    """

    def __init__(self, text: str, seen: LoadWindow | None = None) -> None:
        super().__init__(text)
        self.partial_window = seen


class StepDriver(Protocol):
    """What load is driven through."""

    def start_step(self, rate: float) -> None:
        """Let requests fall due at this rate from now on."""

    def wait_for_window(self, lasts_s: float) -> LoadWindow:
        """
        Wait for the next window, and tell of it; windows of a step follow each other without a gap.

        Raises:
            SearchEnded: The run is over.
            LoadAborted: A limit to abort at was reached.
        """

    def end_step(self) -> tuple[str, ...]:
        """
        Let nothing more fall due, wait until what is under way has ended, and let the server rest.

        Returns:
            The MUSTs that responses missed since the beginning.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class RateStep:
    """One rate, tried once."""

    rate: float
    outcome: StepOutcome
    reason: str | None
    windows: tuple[LoadWindow, ...] = ()
    """Those that were not void."""
    passed: int = 0
    void_windows: int = 0
    backlog: BacklogTrend | None = None
    is_decisive: bool = False
    """It need not be confirmed: a finding is proven by its evidence."""
    was_aborted: bool = False
    """It was broken off at a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The result: `low` was confirmed, `high` failed; either may be missing."""

    low: float
    """0 where no rate that was tried keeps the SLOs."""
    high: float | None
    at_least: bool
    limited_by: str | None
    steps: tuple[RateStep, ...]
    ended: str | None = None
    """Why the search ended before its time; None where it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchGoal:
    """What is searched for, and within which bounds; requests a second."""

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
        SearchEnded: The run is over; the load has been taken away.
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
    """What a step has seen so far."""

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
        """Why the limit that was reached says nothing of the server."""

    def add(self, window: LoadWindow) -> None:
        """Take in a window."""
        self.findings = window.findings
        if (why := void_reason(window, self._slos)) is not None:
            self._void.append(why)
            return
        self._windows.append(window)
        self._votes.append(not violated_slos(window, self._slos))
        self._plain = backlog_rise(window.backlog) > max((1 - CLEAR_FAILURE_SHARE) * window.due, MIN_BACKLOG_RISE)

    def abort(self, aborted: LoadAborted) -> None:
        """Take in that the step was broken off."""
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
        """What it comes to: a finding outranks everything, and a limit that was reached all but that."""
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
            return self._make_step(StepOutcome.VOID, f"the generator: all {most} requests that may be under way were")
        return self._make_step(StepOutcome.FAILED if reason else StepOutcome.PASSED, reason)

    def _too_few_under_way(self) -> bool:
        """Whether a server that responses each request within the shortest SLO could not have kept up, either."""
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


# -- what the steps so far say ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _RateStanding:
    """One rate by all steps that tried it."""

    rate: float
    outcome: StepOutcome
    tries: int
    is_decisive: bool
    """A finding failed it."""
    is_tied: bool
    """As many passed as failed: to be tried again."""
    is_confirmed: bool


def _rate_standings(steps: Sequence[RateStep]) -> list[_RateStanding]:
    """All rates that were tried, ascending."""
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
    """Where the search stands: the highest rate that passed below the lowest that failed, and these two's neighbours."""

    low: _RateStanding | None
    failed: _RateStanding | None
    void: _RateStanding | None
    """The lowest in between of which nothing can be said."""

    @property
    def upper_bound(self) -> _RateStanding | None:
        """What the search is bounded by."""
        return self.void if self.void is not None else self.failed


def _search_bounds(standings: Sequence[_RateStanding]) -> _SearchBounds:
    failed = next((each for each in standings if each.outcome is StepOutcome.FAILED), None)
    below = [each for each in standings if failed is None or each.rate < failed.rate]
    low = next((each for each in reversed(below) if each.outcome is StepOutcome.PASSED), None)
    between = (each for each in below if low is None or each.rate > low.rate)
    return _SearchBounds(low=low, failed=failed, void=next(between, None))


def next_rate(steps: Sequence[RateStep], goal: SearchGoal) -> float | None:
    """
    The rate to try next.

    Args:
        steps: What was tried so far, in any order.
        goal: What is searched for.

    Returns:
        None where the interval is found.
    """
    standings = _rate_standings(steps)
    if not standings:
        return goal.first_rate
    split = next((each.rate for each in standings if each.is_tied and each.tries < 3), None)
    if split is not None:
        return split
    ends = _search_bounds(standings)
    low, upper = ends.low, ends.upper_bound
    if ends.void is not None and ends.failed is not None and ends.void.tries < 2:
        return ends.void.rate  # at a higher rate the generator was good enough
    if upper is None:
        assert low is not None, "something was tried, and all of it passed"
        if low.rate < goal.max_rate:
            return min(low.rate * 2, goal.max_rate)
    elif low is None:
        down = upper.rate / 4
        # nor is what is found at two rates, of which one is a quarter of the other, the load's doing
        hopeless = sum(each.outcome is StepOutcome.VOID or each.is_decisive for each in standings) > 1
        return down if down >= goal.max_rate / MIN_RATE_DIVISOR and not hopeless else None
    elif upper.rate > low.rate * (1 + goal.resolution * (1 if ends.void is None else GENERATOR_LIMIT_RESOLUTION)):
        return sqrt(low.rate * upper.rate)
    if ends.void is not None and ends.void.tries < 2:
        return ends.void.rate  # what held the generator up may have been over soon
    return next((each.rate for each in (low, ends.failed) if each is not None and not each.is_confirmed), None)


def search_capacity(
    driver: StepDriver,
    goal: SearchGoal,
    lasts_s: Callable[[float], float],
    tell: Callable[[RateStep], None] = lambda step: None,
) -> SearchResult:
    """
    Find the highest rate that keeps the SLOs.

    Args:
        driver: What load is driven through.
        goal: What is searched for.
        lasts_s: How long a window is at a rate.
        tell: Is shown each step once it is decided.
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


def build_search_result(steps: Sequence[RateStep], goal: SearchGoal, ended: str | None = None) -> SearchResult:
    """What the steps come to, whether or not the search was through."""
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
    """Why the rate that bounds the search did not pass; of several reasons a finding, else the last."""
    if by is None:
        return None
    reasons = [step.reason for step in steps if step.rate == by.rate and step.outcome is by.outcome]
    return next((reason for reason in reasons if reason is not None and reason.startswith(REASON_FINDING)), reasons[-1])


def expected_steps(goal: SearchGoal) -> tuple[int, int]:
    """How many steps a search takes, if every end is confirmed by one step: at least, and usually at most."""
    rises = ceil(log(goal.max_rate / goal.first_rate) / log(2) - 1e-9)
    halves = ceil(log(log(2) / log(1 + goal.resolution)) / log(2))
    return 3, rises + 1 + halves + 2
