"""The search against made-up servers whose capacity is known, with noise, stalls, and generators that starve."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sora_stats_harness.load.capacity.load_window import LoadWindow
from sora_stats_harness.load.capacity.rate_search import (
    LoadAborted,
    RateStep,
    SearchGoal,
    SearchResult,
    StepOutcome,
    expected_steps,
    next_rate,
    run_step,
    search_capacity,
)
from sora_stats_harness.load.capacity.search_report import build_capacity, search_statement
from sora_stats_harness.load.histogram import Histogram
from sora_stats_harness.load.slo import parse_slo

from .bench import Bench, Server, fixed


def find(
    server: Server, *slos: str, max_rate: float = 4000, lasts_s: float = 2.0, **settings: Any
) -> tuple[SearchResult, Bench]:
    bench = Bench(server, **settings)
    goal = SearchGoal(slos=tuple(parse_slo(text) for text in slos or ("p99<50ms",)), max_rate=max_rate)
    return search_capacity(bench, goal, fixed(lasts_s)), bench


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("capacity", [180, 730, 1999, 3900])
def test_the_interval_holds_the_capacity_and_is_narrow(seed: int, capacity: float) -> None:
    """Whatever the capacity and the noise: no wider than a tenth, and limited by what an overload shows in."""
    found, bench = find(Server(capacity, noise=0.5, stall=0.05), seed=seed)
    assert found.high is not None
    assert found.low <= capacity * 1.003
    assert found.high >= capacity * 0.997
    assert found.high <= found.low * 1.1001
    assert not found.at_least
    assert found.limited_by in ("p99<50ms", "backlog", "completed<99%")
    assert max(bench.rates) <= 4000


def test_a_quantile_that_scatters_around_an_slo_decides_by_majority() -> None:
    """
    p99 exceeds 5 ms in one window of four, at every rate: nearly every search goes up to the end all the same.

    Deciding by one window each, a search of five steps would do so in a quarter of the cases.
    """
    searches = [
        find(Server(5000, service_s=0.0029, noise=0.586), "p99<5ms", max_rate=1000, seed=seed)[0] for seed in range(40)
    ]
    steps = [step for found in searches for step in found.steps]
    windows, passed = sum(len(step.windows) for step in steps), sum(step.passed for step in steps)
    assert 0.15 < 1 - passed / windows < 0.35
    assert any(len(step.windows) > 3 for step in steps)
    assert sum(found.low == 1000 for found in searches) >= 34


class Cut:
    """A bench that is broken off in its first window by a limit on latency."""

    def __init__(self, seen: LoadWindow | None) -> None:
        self.seen = seen
        self.findings: tuple[str, ...] = ()

    def start_step(self, rate: float) -> None:
        pass

    def wait_for_window(self, lasts_s: float) -> LoadWindow:
        raise LoadAborted("p99>10s", self.seen)

    def end_step(self) -> tuple[str, ...]:
        return self.findings


def test_a_limit_that_is_reached_by_the_generators_own_delay_is_no_failure_of_the_server() -> None:
    """It is nobody's who was on time; one of errors, of which no window is told, is the server's, and so is a finding."""
    times = Histogram()
    for _ in range(200):
        times.record(11_000_000_000)
    slos = (parse_slo("p99<2s"),)

    def tried(seen: LoadWindow | None, *findings: str) -> tuple[StepOutcome, str | None]:
        bench = Cut(seen)
        bench.findings = findings
        step = run_step(bench, 100, slos, 2)
        assert step.was_aborted
        return step.outcome, step.reason

    late = LoadWindow(rate=100, lasts_s=2, due=200, times={"x": times}, send_delay_p99_us=11_000_000)
    assert tried(late) == (StepOutcome.VOID, "the generator: p99 of its own send delay 11 s, an SLO 2000 ms")
    on_time = msgspec.structs.replace(late, send_delay_p99_us=1000)
    assert tried(on_time) == tried(None) == (StepOutcome.FAILED, "aborted at p99>10s")
    itself = msgspec.structs.replace(late, service_times={"x": times})
    assert tried(itself) == (StepOutcome.FAILED, "aborted at p99>10s")
    assert tried(late, "counter.monotonic") == (StepOutcome.FAILED, "a finding: counter.monotonic")


def test_twice_as_fast_a_server_is_not_called_limited_at_that_rate() -> None:
    """All rates up to the highest allowed pass: at least that, and nothing limits."""
    found, _ = find(Server(4000), max_rate=2000)
    assert (found.low, found.high, found.at_least, found.limited_by) == (2000, None, True, None)


@pytest.mark.parametrize("seed", range(5))
def test_a_generator_that_starves_says_at_least(seed: int) -> None:
    """It never says that the server is limited, and names nearly all of what it could offer."""
    found, _ = find(Server(1e9, own_capacity=1500), seed=seed)
    assert found.at_least
    assert found.high is None
    assert 1500 * 0.9 <= found.low <= 1500
    assert found.limited_by is not None and found.limited_by.startswith("the generator")


def test_a_step_of_a_generator_that_is_late_ends_after_two_repeats() -> None:
    """Three void windows, no more."""
    found, _ = find(Server(1e9, own_capacity=1500))
    void = [step for step in found.steps if step.outcome is StepOutcome.VOID]
    assert void and all((step.void_windows, len(step.windows)) == (3, 0) for step in void)


def test_nothing_is_known_where_the_generator_is_late_at_any_rate() -> None:
    """And that is what is said."""
    found, _ = find(Server(1e9, own_capacity=0))
    assert (found.low, found.high, found.at_least) == (0, None, True)
    assert search_statement(found, SearchGoal(slos=(parse_slo("p99<50ms"),), max_rate=4000)).startswith(
        "nothing is known"
    )


def test_a_break_of_a_quantile_is_named() -> None:
    """Above 600/s one response in twenty takes long: p99 breaks, the median and the errors do not."""
    found, _ = find(Server(4000, breaks_at=600), "p50<50ms", "p99<50ms", "errors<0.1%", max_rate=2000)
    assert found.limited_by == "p99<50ms"
    assert found.low <= 600 < (found.high or 0)


def test_a_counter_that_goes_back_above_a_rate_ends_the_search_below_it() -> None:
    """The finding is the reason; no window of such a rate is repeated, since the evidence is there."""
    found, bench = find(Server(4000, goes_back_at=300), max_rate=2000)
    assert found.limited_by == "a finding: counter.monotonic"
    assert found.low <= 300 < (found.high or 0) <= found.low * 1.1001
    failing = [rate for rate in bench.rates if rate > 300]
    assert len(failing) == len(set(failing))


@pytest.mark.parametrize("seed", range(5))
def test_an_overload_of_a_fifth_with_a_lax_slo_is_caught_by_the_backlog(seed: int) -> None:
    """No window comes near 10 s."""
    found, _ = find(Server(1000), "p99<10s", max_rate=1200, seed=seed)
    assert found.high is not None and found.high <= 1200
    assert found.limited_by in ("backlog", "completed<99%")
    step = next(step for step in found.steps if step.rate == 1200)
    assert step.outcome is StepOutcome.FAILED and step.reason == "backlog"


def test_errors_are_held_against_their_own_slo() -> None:
    """A server that fails one request in a hundred keeps its times, and misses `errors<0.1%` at every rate."""
    found, _ = find(Server(4000, failing=0.01), "p99<50ms", "errors<0.1%", max_rate=1000)
    assert (found.low, found.limited_by) == (0, "errors<0.1%")
    assert found.high is not None


def test_what_was_found_when_the_user_had_enough_is_kept() -> None:
    """Two steps were through; their rates are what is known."""
    found, _ = find(Server(4000), max_rate=4000, ends_after=7)
    assert found.ended == "interrupted"
    assert (found.low, found.high, found.at_least) == (1000, None, True)


def test_a_limit_that_is_reached_breaks_a_step_off_and_the_third_time_the_search() -> None:
    """Up to then it goes on below."""
    found, bench = find(Server(4000, overruns_at=10), max_rate=4000)
    assert found.ended is not None and "errors>5%" in found.ended
    assert len(bench.rates) == 3
    assert found.low == 0


def step(rate: float, outcome: StepOutcome, *, is_decisive: bool = False) -> RateStep:
    return RateStep(rate=rate, outcome=outcome, reason=None, is_decisive=is_decisive)


P, F, V = StepOutcome.PASSED, StepOutcome.FAILED, StepOutcome.VOID


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], 125),  # an eighth of the highest
        ([(125, P)], 250),  # double
        ([(125, P), (250, P), (500, P)], 1000),
        ([(125, P), (250, P), (500, P), (1000, P)], 1000),  # confirm the highest
        ([(1000, P), (1000, P)], None),
        ([(125, F)], 31.25),  # down in larger strides
        ([(100, P), (400, F)], 200),  # halve
        ([(100, P), (109, F)], 100),  # near enough: confirm below
        ([(100, P), (109, F), (100, P)], 109),  # and above
        ([(100, P), (109, F), (100, P), (109, F)], None),
        ([(100, P), (109, F), (100, F)], 100),  # contradicted: a third time
        ([(50, P), (100, P), (109, F), (100, F), (100, F)], 70.71),  # outvoted: it failed, and the search goes on below
        ([(100, P), (109, F), (100, P), (109, P), (109, P)], 218),  # outvoted the other way
        ([(100, P), (200, V)], 141.42),  # as far as can be told
        ([(100, P), (108, V)], 103.92),  # nearer than where a server failed: only the lower end is told
        ([(100, P), (105, V)], 105),  # what held the generator up may be over
        ([(100, P), (105, V), (105, V)], 100),
        ([(100, P), (105, V), (105, V), (100, P)], None),
        ([(100, P), (105, V), (105, P)], 210),
        ([(100, P), (105, V), (120, F)], 105),  # the generator was good enough at a higher rate
        ([(100, P), (105, V), (105, V), (120, F)], 100),
    ],
)
def test_what_comes_next_follows_from_what_was_seen(
    steps: list[tuple[float, StepOutcome]], expected: float | None
) -> None:
    """Bracket, halve, confirm: as a table."""
    goal = SearchGoal(slos=(parse_slo("p99<50ms"),), max_rate=1000)
    found = next_rate([step(rate, outcome) for rate, outcome in steps], goal)
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-3))


def test_a_finding_is_not_tried_again() -> None:
    """One is proof."""
    goal = SearchGoal(slos=(parse_slo("p99<50ms"),), max_rate=1000)
    steps = [step(100, P), step(109, F, is_decisive=True), step(100, P)]
    assert next_rate(steps, goal) is None


def test_a_search_takes_about_as_many_steps_as_it_says() -> None:
    """The plan's figure is not beaten by far."""
    for capacity in (100, 700, 1500, 3000):
        found, _ = find(Server(capacity, noise=0.2), seed=capacity)
        assert len(found.steps) <= expected_steps(SearchGoal(slos=(parse_slo("p99<50ms"),), max_rate=4000))[1] + 3


def test_the_result_is_told_in_the_verdict_s_words() -> None:
    """Interval, limit and every step; the section shows the same, by rate."""
    found, _ = find(Server(700))
    goal = SearchGoal(slos=(parse_slo("p99<50ms"),), max_rate=4000)
    told = build_capacity(found, goal, "drill")
    assert told.interval[0] <= 700 <= (told.interval[1] or 0)
    assert [each.rate for each in told.steps] == [round(each.rate, 1) for each in found.steps]
    assert told.steps[0].due > 100
    assert "requests/s keep p99<50ms" in search_statement(found, goal)


def test_what_is_found_at_two_rates_ends_the_search() -> None:
    """A deviation that is always there is not the load's doing: no ever lower rate is tried."""
    bench = Bench(Server(capacity=1000, goes_back_at=0))
    found = search_capacity(bench, SearchGoal(slos=(parse_slo("p99<50ms"),), max_rate=400, start=400), fixed(2.0))
    assert bench.rates == [400, 100]
    assert (found.low, found.high, found.limited_by) == (0, 100, "a finding: counter.monotonic")
