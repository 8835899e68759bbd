"""
The search: bracket the rate at which an SLO breaks, halve the bracket, confirm both ends.

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

from .slo import Slo, tightest_us
from .windows import FLOOR, PLAIN, Backlog, Window, backlog, lost, missed, most_missed, void_reason

WINDOWS: Final = 3
"""Of a step whose windows agree."""

DECIDES: Final = 4
"""Of the seven windows that a step has at most."""

VOIDS: Final = 2
"""Windows in a step that are repeated because the generator was late; a third ends the step."""

RESOLUTION: Final = 0.1
"""How far the ends of the interval may be apart, over the lower one."""

OWN_RESOLUTION: Final = 0.5
"""Of that, where the upper end is what the generator cannot offer: the lower one alone is then told, as "at least"."""

STARTS_AT: Final = 8
"""The first rate is this part of the highest allowed."""

GIVES_UP_AT: Final = 4096
"""Below this part of the highest rate nothing is tried; nor where the generator was late at two rates and none passed."""

MOST_STEPS: Final = 40

ABORTS: Final = 2
"""Steps that may be broken off; at the third the search is over."""

CONFIRMS_FOR: Final = 2
"""A rate that is tried again has windows so many times as long: a small overload takes time to show."""

FINDING: Final = "a finding"
BACKLOG: Final = "backlog"
COMPLETED: Final = "completed<99%"
ABORTED: Final = "aborted"


class Outcome(Enum):
    """What a step came to."""

    PASSED = "passed"
    FAILED = "failed"
    VOID = "void"


class Ended(Exception):
    """The whole run is over, for a reason that has nothing to do with the rate: its user has had enough."""


class Overrun(Exception):
    """
    The load was taken away at once, because a limit was reached at which to abort.

    Args:
        text: The limit.
        seen: Where it is one on latency, what was seen until then: the latency may have been the generator's.
    """

    def __init__(self, text: str, seen: Window | None = None) -> None:
        super().__init__(text)
        self.seen = seen


class Bench(Protocol):
    """What load is driven through."""

    def begin(self, rate: float) -> None:
        """Let requests fall due at this rate from now on."""

    def window(self, lasts_s: float) -> Window:
        """
        Wait for the next window, and tell of it; windows of a step follow each other without a gap.

        Raises:
            Ended: The run is over.
            Overrun: A limit to abort at was reached.
        """

    def end(self) -> tuple[str, ...]:
        """
        Let nothing more fall due, wait until what is under way has ended, and let the server rest.

        Returns:
            The MUSTs that answers missed since the beginning.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rate, tried once."""

    rate: float
    outcome: Outcome
    reason: str | None
    windows: tuple[Window, ...] = ()
    """Those that were not void."""
    passed: int = 0
    void: int = 0
    backlog: Backlog | None = None
    decisive: bool = False
    """It need not be confirmed: a finding is proven by its evidence."""
    overrun: bool = False
    """It was broken off at a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The result: `low` was confirmed, `high` failed; either may be missing."""

    low: float
    """0 where no rate that was tried keeps the SLOs."""
    high: float | None
    at_least: bool
    limited_by: str | None
    steps: tuple[Step, ...]
    ended: str | None = None
    """Why the search ended before its time; None where it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is searched for, and within which bounds; requests a second."""

    slos: tuple[Slo, ...]
    max_rate: float
    start: float | None = None
    resolution: float = RESOLUTION

    @property
    def first(self) -> float:
        """The rate to begin with."""
        return min(self.start or self.max_rate / STARTS_AT, self.max_rate)


def run_step(bench: Bench, rate: float, slos: Sequence[Slo], lasts_s: float) -> Step:
    """
    Try one rate.

    Raises:
        Ended: The run is over; the load has been taken away.
    """
    seen = _Seen(rate=rate, slos=slos)
    try:
        bench.begin(rate)
        while not seen.enough():
            seen.add(bench.window(lasts_s))
    except Overrun as overrun:
        seen.cut(overrun)
    finally:
        seen.findings = bench.end()
    return seen.decide()


class _Seen:
    """What a step has seen so far."""

    def __init__(self, rate: float, slos: Sequence[Slo]) -> None:
        self._rate = rate
        self._slos = slos
        self._windows: list[Window] = []
        self._votes: list[bool] = []
        self._void: list[str] = []
        self._plain = False
        self.findings: tuple[str, ...] = ()
        self._overrun: str | None = None
        self._late: str | None = None
        """Why the limit that was reached says nothing of the server."""

    def add(self, window: Window) -> None:
        """Take in a window."""
        self.findings = window.findings
        if (why := void_reason(window, self._slos)) is not None:
            self._void.append(why)
            return
        self._windows.append(window)
        self._votes.append(not missed(window, self._slos))
        self._plain = lost(window.backlog) > max((1 - PLAIN) * window.due, FLOOR)

    def cut(self, overrun: Overrun) -> None:
        """Take in that the step was broken off."""
        self._overrun = str(overrun)
        if overrun.seen is not None:
            self._late = void_reason(overrun.seen, self._slos)

    def enough(self) -> bool:
        """Whether no further window is needed."""
        votes = self._votes
        agreed = len(votes) >= WINDOWS and len(set(votes)) == 1
        outvoted = max(votes.count(True), votes.count(False)) >= DECIDES
        return bool(self.findings) or self._plain or len(self._void) > VOIDS or agreed or outvoted

    def decide(self) -> Step:
        """What it comes to: a finding outranks everything, and a limit that was reached all but that."""
        windows, slos = self._windows, self._slos
        if self.findings:
            return self._step(Outcome.FAILED, f"{FINDING}: {self.findings[0]}")
        if self._overrun is not None:
            if self._late is not None:
                return self._step(Outcome.VOID, self._late)
            grows = bool(windows) and backlog(windows).grows
            return self._step(Outcome.FAILED, BACKLOG if grows else f"{ABORTED} at {self._overrun}")
        if len(self._void) > VOIDS:
            return self._step(Outcome.VOID, self._void[-1])
        behind = backlog(windows)
        if self._votes.count(False) * 2 > len(windows):
            reason = most_missed(windows, slos)
        else:
            reason = BACKLOG if behind.grows else COMPLETED if behind.falls_behind else None
        if reason is not None and all(window.exhausted for window in windows) and self._too_few_under_way():
            most = windows[0].in_flight
            return self._step(Outcome.VOID, f"the generator: all {most} requests that may be under way were")
        return self._step(Outcome.FAILED if reason else Outcome.PASSED, reason)

    def _too_few_under_way(self) -> bool:
        """Whether a server that answers each request within the shortest SLO could not have kept up, either."""
        tightest = tightest_us(tuple(self._slos))
        return tightest is not None and self._windows[0].in_flight < self._rate * tightest / 1e6

    def _step(self, outcome: Outcome, reason: str | None) -> Step:
        return Step(
            rate=self._rate, outcome=outcome, reason=reason, windows=tuple(self._windows),
            passed=self._votes.count(True), void=len(self._void),
            backlog=backlog(self._windows) if self._windows else None, decisive=bool(self.findings),
            overrun=self._overrun is not None,
        )  # fmt: skip


# -- what the steps so far say ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """One rate by all steps that tried it."""

    rate: float
    outcome: Outcome
    tries: int
    split: bool
    """As many passed as failed: to be tried again."""
    sure: bool


def _standings(steps: Sequence[Step]) -> list[_Standing]:
    """All rates that were tried, ascending."""
    tried: dict[float, list[Step]] = defaultdict(list)
    for step in steps:
        tried[step.rate].append(step)
    return [_standing(rate, tried[rate]) for rate in sorted(tried)]


def _standing(rate: float, steps: Sequence[Step]) -> _Standing:
    passed = sum(step.outcome is Outcome.PASSED for step in steps)
    failed = sum(step.outcome is Outcome.FAILED for step in steps)
    decisive = any(step.decisive for step in steps)
    if decisive or failed > passed:
        outcome = Outcome.FAILED
    elif passed > failed:
        outcome = Outcome.PASSED
    else:
        outcome = Outcome.FAILED if failed else Outcome.VOID
    return _Standing(
        rate=rate, outcome=outcome, tries=len(steps), split=passed == failed > 0 and not decisive,
        sure=decisive or abs(passed - failed) >= 2 or len(steps) >= 3,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ends:
    """Where the search stands: the highest rate that passed below the lowest that failed, and these two's neighbours."""

    low: _Standing | None
    failed: _Standing | None
    void: _Standing | None
    """The lowest in between of which nothing can be said."""

    @property
    def upper(self) -> _Standing | None:
        """What the search is bounded by."""
        return self.void if self.void is not None else self.failed


def _ends(standings: Sequence[_Standing]) -> _Ends:
    failed = next((each for each in standings if each.outcome is Outcome.FAILED), None)
    below = [each for each in standings if failed is None or each.rate < failed.rate]
    low = next((each for each in reversed(below) if each.outcome is Outcome.PASSED), None)
    between = (each for each in below if low is None or each.rate > low.rate)
    return _Ends(low=low, failed=failed, void=next(between, None))


def next_rate(steps: Sequence[Step], goal: Goal) -> float | None:
    """
    The rate to try next.

    Args:
        steps: What was tried so far, in any order.
        goal: What is searched for.

    Returns:
        None where the interval is found.
    """
    standings = _standings(steps)
    if not standings:
        return goal.first
    split = next((each.rate for each in standings if each.split and each.tries < 3), None)
    if split is not None:
        return split
    ends = _ends(standings)
    low, upper = ends.low, ends.upper
    if ends.void is not None and ends.failed is not None and ends.void.tries < 2:
        return ends.void.rate  # at a higher rate the generator was good enough
    if upper is None:
        assert low is not None, "something was tried, and all of it passed"
        if low.rate < goal.max_rate:
            return min(low.rate * 2, goal.max_rate)
    elif low is None:
        down = upper.rate / 4
        hopeless = sum(each.outcome is Outcome.VOID for each in standings) > 1
        return down if down >= goal.max_rate / GIVES_UP_AT and not hopeless else None
    elif upper.rate > low.rate * (1 + goal.resolution * (1 if ends.void is None else OWN_RESOLUTION)):
        return sqrt(low.rate * upper.rate)
    if ends.void is not None and ends.void.tries < 2:
        return ends.void.rate  # what held the generator up may have been over soon
    return next((each.rate for each in (low, ends.failed) if each is not None and not each.sure), None)


def search(
    bench: Bench,
    goal: Goal,
    lasts_s: Callable[[float], float],
    tell: Callable[[Step], None] = lambda step: None,
) -> Found:
    """
    Find the highest rate that keeps the SLOs.

    Args:
        bench: What load is driven through.
        goal: What is searched for.
        lasts_s: How long a window is at a rate.
        tell: Is shown each step once it is decided.
    """
    steps: list[Step] = []
    ended = None
    try:
        while len(steps) < MOST_STEPS and (rate := next_rate(steps, goal)) is not None:
            longer = CONFIRMS_FOR if any(step.rate == rate for step in steps) else 1
            step = run_step(bench, rate, goal.slos, longer * lasts_s(rate))
            steps.append(step)
            tell(step)
            if sum(each.overrun for each in steps) > ABORTS:
                raise Ended(f"{step.reason}, for the {ABORTS + 1}rd time")
    except Ended as end:
        ended = str(end)
    return conclude(steps, goal, ended)


def conclude(steps: Sequence[Step], goal: Goal, ended: str | None = None) -> Found:
    """What the steps come to, whether or not the search was through."""
    ends = _ends(_standings(steps))
    if ended is None and len(steps) >= MOST_STEPS and next_rate(steps, goal) is not None:
        ended = f"no interval after {MOST_STEPS} steps: the server's answers change too much at one and the same rate"
    return Found(
        low=ends.low.rate if ends.low is not None else 0.0,
        high=ends.failed.rate if ends.failed is not None else None,
        at_least=ends.failed is None,
        limited_by=_limited_by(steps, ends.failed or ends.void),
        steps=tuple(steps),
        ended=ended,
    )


def _limited_by(steps: Sequence[Step], by: _Standing | None) -> str | None:
    """Why the rate that bounds the search did not pass; of several reasons a finding, else the last."""
    if by is None:
        return None
    reasons = [step.reason for step in steps if step.rate == by.rate and step.outcome is by.outcome]
    return next((reason for reason in reasons if reason is not None and reason.startswith(FINDING)), reasons[-1])


def steps_expected(goal: Goal) -> tuple[int, int]:
    """How many steps a search takes, if every end is confirmed by one step: at least, and usually at most."""
    rises = ceil(log(goal.max_rate / goal.first) / log(2) - 1e-9)
    halves = ceil(log(log(2) / log(1 + goal.resolution)) / log(2))
    return 3, rises + 1 + halves + 2
