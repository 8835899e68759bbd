"""What has changed between two sets of runs, and what may not be claimed."""

from __future__ import annotations

import random
import re

import msgspec
import pytest

from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.judge.measured_results import ALL_TARGETS
from sora_stats_harness.judge.verdict import CoverageSummary, Verdict
from sora_stats_harness.reports.comparison_result import ComparisonPolicy, LatencyBound, RunComparison, Threshold
from sora_stats_harness.reports.run_comparison import NamedVerdicts, compare_runs

from .. import comparing
from ..comparing import claims, finding, load, lognormal, runs, status, verdict


def one(made: Verdict, name: str = "run") -> list[tuple[str, Verdict]]:
    """A side of a single run."""
    return [(name, made)]


def policy(*fail_on: Threshold) -> ComparisonPolicy:
    """The defaults, told to fail."""
    return ComparisonPolicy(fail_on=frozenset(fail_on))


# Findings, fields, capacity.


def test_findings_are_matched_by_fingerprint() -> None:
    """What NEW alone has is new, what BASE alone has is fixed, whatever the connection or the count."""
    base = one(verdict(0, findings=[finding("a"), finding("b", count=7)]))
    new = one(verdict(1, findings=[finding("b", connection_id="x"), finding("c")]))
    found = compare_runs(base, new)
    assert [(each.change, each.fingerprint) for each in found.findings] == [("new", "c"), ("fixed", "a")]
    assert found.findings_in_both == 1


def test_a_finding_that_new_did_not_look_for_is_not_fixed() -> None:
    """No run of NEW checked the requirement, so that its silence says nothing."""
    base = one(verdict(0, findings=[finding("a")]))
    new = one(verdict(1, requirements=[status("counter.monotonic", checked=0)]))
    assert [each.change for each in compare_runs(base, new).findings] == ["not_seen"]


def test_a_new_finding_of_what_base_did_not_look_for_says_so() -> None:
    """It need not be a new fault of the server."""
    base = one(verdict(0, requirements=[status("counter.monotonic", checked=0)]))
    (change,) = compare_runs(base, one(verdict(1, findings=[finding("a")]))).findings
    assert (change.change, change.observed_before) == ("new", False)


def test_findings_of_several_runs_are_united() -> None:
    """Found in any run of a side is found on that side; in how many is told."""
    base = [("1", verdict(0)), ("2", verdict(2, findings=[finding("a")])), ("3", verdict(4))]
    new = [("4", verdict(1, findings=[finding("a"), finding("b")])), ("5", verdict(3, findings=[finding("b")]))]
    found = compare_runs(base, new)
    assert [(each.fingerprint, each.runs) for each in found.findings] == [("b", 2)]
    assert found.findings_in_both == 1


def test_fields_new_and_gone() -> None:
    """A field is seen on a side if any of its runs saw it."""

    def never(*paths: str) -> CoverageSummary:
        return CoverageSummary(samples=10, never_seen=list(paths))

    base = [("1", verdict(0, coverage=never("a", "b"))), ("2", verdict(2, coverage=never("a", "c")))]
    found = compare_runs(base, one(verdict(1, coverage=never("b", "d"))))
    assert (found.fields_new, found.fields_gone) == (["a"], ["b", "d"])


def test_a_run_without_samples_says_nothing_of_fields() -> None:
    """It has not lost all of them."""
    found = compare_runs(one(verdict(0)), one(verdict(1, coverage=CoverageSummary(never_seen=["x"]))))
    assert (found.fields_new, found.fields_gone) == ([], [])
    assert any("fields are not compared" in note for note in found.notes)


@pytest.mark.parametrize(
    ("base", "new", "outcome"),
    [
        ((100, 120), (60, 80), "lower"),
        ((60, 80), (100, 120), "higher"),
        ((100, 120), (110, 130), "overlap"),
        ((100, 120), (120, 140), "overlap"),  # they touch
        ((100, None), (60, 80), "lower"),
        ((60, 80), (100, None), "higher"),
        ((100, None), (200, None), "overlap"),  # nobody knows where either ends
    ],
)
def test_capacities_differ_where_their_intervals_do_not_overlap(
    base: tuple[float, float | None], new: tuple[float, float | None], outcome: str
) -> None:
    """An interval without an upper end reaches as far as one likes."""
    found = compare_runs(
        one(verdict(0, capacity=comparing.capacity(*base))), one(verdict(1, capacity=comparing.capacity(*new)))
    )
    assert found.capacity is not None and found.capacity.outcome == outcome


def test_capacities_of_several_runs_are_joined() -> None:
    """From the lowest that any run confirmed to the highest that any run left open."""
    base = [
        ("1", verdict(0, capacity=comparing.capacity(90, 120))),
        ("2", verdict(2, capacity=comparing.capacity(100, 140))),
    ]
    new = one(verdict(1, capacity=comparing.capacity(130, 200, at_least=True)))
    found = compare_runs(base, new).capacity
    assert found is not None
    assert (found.base, found.new, found.outcome) == ((90, 140), (130, None), "overlap")


# What cannot be compared.


def test_what_is_not_comparable_is_refused() -> None:
    """Another kind of subject, another edition, the same run on both sides, no run at all."""
    base = one(verdict(0))
    for new, complaint in (
        (one(verdict(1, subject_kind="simulator")), "subject_kind"),
        (one(verdict(1, edition="doc-2023")), "edition"),
        (one(verdict(0)), "both sides"),
        ([], "no run in NEW"),
    ):
        with pytest.raises(UsageError, match=complaint):
            compare_runs(base, new)


def test_copies_count_once() -> None:
    """The same verdict five times is one measurement, and said."""
    dice = random.Random(1)
    base, (new,) = runs(dice, 5, lognormal(0.02)), runs(dice, 1, lognormal(0.02), added_ms=10, odd=1)
    found = compare_runs(base, [new] * 5)
    assert found.new.runs == 1
    assert claims(found) == 0
    assert any("copies" in note for note in found.notes)


# Latency.


def test_ten_milliseconds_are_found_with_sign_and_size() -> None:
    """Seven runs a side: each target and percentile is slower, by about 10 ms, and faster the other way round."""
    dice = random.Random(2)
    base, new = runs(dice, 7, lognormal(0.05)), runs(dice, 7, lognormal(0.05), added_ms=10, odd=1)
    for found, sign, outcome in ((compare_runs(base, new), 1, "slower"), (compare_runs(new, base), -1, "faster")):
        assert {row.outcome for row in found.latency if row.percentile == 50} == {outcome}
        for row in found.latency:
            assert row.shift_interval_ms is not None
            assert row.shift_interval_ms[0] <= sign * 10 <= row.shift_interval_ms[1]
            assert row.p_holm is not None
            assert row.p is not None and row.p <= row.p_holm


@pytest.mark.parametrize(("size", "tested"), [(4, 0), (5, 1), (6, 4), (7, 8)])
def test_no_more_is_tested_than_so_many_runs_can_tell(size: int, tested: int) -> None:
    """Rows that no result could make significant are described, not tested, and say how many runs they take."""
    dice = random.Random(3)
    found = compare_runs(runs(dice, size, lognormal(0.02)), runs(dice, size, lognormal(0.02), added_ms=10, odd=1))
    outcomes = [row.outcome for row in found.latency]
    assert outcomes == ["slower"] * tested + ["too_few_runs" if size < 5 else "not_tested"] * (8 - tested)
    assert found.latency[0].target == ALL_TARGETS
    assert {row.runs_needed for row in found.latency[tested:]} <= {7}
    assert all(row.p_holm is None for row in found.latency[tested:])


def test_a_change_below_the_least_effect_is_no_alarm() -> None:
    """2 % on numbers without noise is significant, and does not count; it does with a lower threshold."""
    base = [(str(i), verdict(2 * i, load=load({"A": (100 + i / 100, 200)}))) for i in range(7)]
    new = [(str(i), verdict(2 * i + 1, load=load({"A": (102 + i / 100, 200)}))) for i in range(7)]
    assert [row.outcome for row in compare_runs(base, new).latency] == ["below_min_effect", "not_shown"]
    assert [row.outcome for row in compare_runs(base, new, ComparisonPolicy(min_effect=0.01)).latency] == [
        "slower",
        "not_shown",
    ]


def test_all_targets_are_weighted_by_their_responses() -> None:
    """A listing once in a hundred requests, whose few times scatter, does not drown 10 ms on all others."""
    dice = random.Random(9)

    def side(odd: int, added: float) -> list[tuple[str, Verdict]]:
        made = []
        for i in range(5):
            measured = load({"Often": (1 + added + dice.random() / 10, 2), "Rarely": (dice.uniform(5, 60), 70)})
            counts = {"Often": 99, "Rarely": 1}
            latency = [msgspec.structs.replace(one, count=counts[one.target]) for one in measured.latency]
            made.append((str(i), verdict(2 * i + odd, load=msgspec.structs.replace(measured, latency=latency))))
        return made

    first = compare_runs(side(0, 0), side(1, 10)).latency[0]
    assert (first.target, first.outcome) == (ALL_TARGETS, "slower")
    assert first.shift_ms == pytest.approx(10, abs=0.5)


def test_the_planned_rate_is_that_of_the_options() -> None:
    """What a schedule had due differs in the last digits from run to run; what was asked for does not."""
    base, new = (
        [
            (
                str(i),
                verdict(2 * i + odd, options={"rate": 60.0}, load=load({"A": (1, 2)}, planned_per_s=59.9 + i / 100)),
            )
            for i in range(5)
        ]
        for odd in (0, 1)
    )
    assert len(compare_runs(base, new).latency) == 2


def test_runs_under_another_load_are_not_compared() -> None:
    """Another scenario or rate is another question."""
    base = [(str(i), verdict(2 * i, load=load({"A": (1, 2)}))) for i in range(7)]
    new = [(str(i), verdict(2 * i + 1, load=load({"A": (9, 9)}, planned_per_s=80.0))) for i in range(7)]
    found = compare_runs(base, new, policy("latency"))
    assert found.latency == []
    assert any("differ in load" in note for note in found.notes)
    assert (found.verdict, found.exit_code) == ("inconclusive", 3)


def test_runs_whose_generator_was_the_bottleneck_are_left_out() -> None:
    """Their times are the generator's, and five runs of which three remain are too few."""
    base = [(str(i), verdict(2 * i, load=load({"A": (1, 2)}))) for i in range(5)]
    new = [
        (str(i), verdict(2 * i + 1, load=load({"A": (50 + i, 90)}, generator_limited="CPU" if i < 2 else None)))
        for i in range(5)
    ]
    found = compare_runs(base, new)
    assert {row.outcome for row in found.latency} == {"too_few_runs"}
    assert found.latency[0].new_runs == 3
    assert any("generator" in note for note in found.notes)


def test_requests_without_an_response_are_told() -> None:
    """They are in no percentile, so a server that drops what is slow must not look fast unnoticed."""
    base = [(str(i), verdict(2 * i, load=load({"A": (5 + i, 9)}))) for i in range(7)]
    new = [(str(i), verdict(2 * i + 1, load=load({"A": (1 + i / 10, 9)}, errors=50))) for i in range(7)]
    notes = compare_runs(base, new).notes
    assert [note for note in notes if "no complete response" in note] == [
        "NEW: 10.0% of the requests had no complete response, and are in no latency"
    ]


def test_runs_one_after_the_other_are_said_to_be_so() -> None:
    """Interleaved runs share what else the machine did; others don't."""
    dice = random.Random(4)
    base, new = runs(dice, 5, lognormal(0.02)), runs(dice, 5, lognormal(0.02), odd=1)
    assert not any("interleaved" in note for note in compare_runs(base, new).notes)
    later = [(name, verdict(100 + place, load=made.load)) for place, (name, made) in enumerate(new)]
    assert any("interleaved" in note for note in compare_runs(base, later).notes)


@pytest.mark.parametrize("name", comparing.NOISES)
def test_nothing_is_claimed_where_nothing_changed(name: str) -> None:
    """Of 100 comparisons of equal servers at most three claim a change; `make proof` draws a thousand of each."""
    noise, shared = comparing.NOISES[name]
    assert comparing.false_alarms(100, (5, 7), noise, shared=shared, seed=11) <= 3


# The threshold.


def case_inconclusive() -> Verdict:
    return verdict(1, verdict="inconclusive", exit_code=3, reason="interrupted")


@pytest.mark.parametrize(
    ("fail_on", "base", "new", "outcome"),
    [
        ((), verdict(0), verdict(1, findings=[finding("a")]), ("pass", 0)),
        (("new-findings",), verdict(0), verdict(1, findings=[finding("a")]), ("fail", 1)),
        (("new-findings",), verdict(0), verdict(1, findings=[finding("a", status="waived")]), ("pass", 0)),
        (("new-findings",), verdict(0), verdict(1, findings=[finding("a", level="INFO")]), ("pass", 0)),
        (("new-findings",), verdict(0, findings=[finding("a")]), verdict(1, findings=[finding("a")]), ("pass", 0)),
        (("new-findings",), verdict(0), case_inconclusive(), ("inconclusive", 3)),
        (("fields-gone",), verdict(0), verdict(1, coverage=CoverageSummary(samples=1, never_seen=["z"])), ("fail", 1)),
        (("fields-gone",), verdict(0), verdict(1, coverage=CoverageSummary()), ("inconclusive", 3)),
        (("latency",), verdict(0), verdict(1), ("inconclusive", 3)),
        (("latency", "new-findings"), verdict(0), verdict(1, findings=[finding("a")]), ("fail", 1)),
        (("capacity",), verdict(0), verdict(1), ("inconclusive", 3)),
        (
            ("capacity",),
            verdict(0, capacity=comparing.capacity(9, 10)),
            verdict(1, capacity=comparing.capacity(1, 2)),
            ("fail", 1),
        ),
    ],
)
def test_thresholds(fail_on: tuple[Threshold, ...], base: Verdict, new: Verdict, outcome: tuple[str, int]) -> None:
    """What is so fails, what was asked for and cannot be told is inconclusive, and nothing fails unasked."""
    found = compare_runs(one(base), one(new), policy(*fail_on))
    assert (found.verdict, found.exit_code) == outcome
    assert (found.reason is None) == (outcome == ("pass", 0))


def test_latency_threshold_needs_slower_not_faster() -> None:
    """A faster server fails no gate; with too few runs nothing is known."""
    dice = random.Random(5)
    base, new = runs(dice, 7, lognormal(0.02)), runs(dice, 7, lognormal(0.02), added_ms=10, odd=1)
    assert compare_runs(base, new, policy("latency")).exit_code == 1
    assert compare_runs(new, base, policy("latency")).exit_code == 0
    assert compare_runs(base[:3], new[:3], policy("latency")).exit_code == 3


# The bound.


def no_worse(base: NamedVerdicts, new: NamedVerdicts, bound: float = 0.1) -> RunComparison:
    """Compared by the bound alone, at p50."""
    return compare_runs(base, new, ComparisonPolicy(no_worse_than=bound, percentiles=(50.0,)))


def test_no_worse_is_claimed_only_where_the_whole_interval_lies_below_the_bound() -> None:
    """2 % of noise shows it; 30 % cannot tell and says how many runs would; 30 % slower is worse."""
    dice = random.Random(12)
    base = runs(dice, 7, lognormal(0.02))
    quiet, slow = runs(dice, 7, lognormal(0.02), odd=1), runs(dice, 7, lambda dice: 1.3 * lognormal(0.02)(dice), odd=1)
    assert no_worse(base, quiet).exit_code == 0
    worse = no_worse(base, slow)
    assert worse.exit_code == 1
    assert worse.reason is not None and worse.reason.startswith("all targets p50 is slower by more than 10 %: +2")
    noisy = no_worse(runs(dice, 7, lognormal(0.3)), runs(dice, 7, lognormal(0.3), odd=1))
    assert noisy.exit_code == 3
    assert noisy.reason is not None and re.search(r"cannot tell .*: .* … \+.*runs per side would decide", noisy.reason)


def test_the_runs_that_are_asked_for_decide() -> None:
    """
    Where 10 % of noise is too much for 7 runs a side, as many as are asked for usually tell, all four rows at once.
    """
    counted = comparing.bound_claims(20, 7, lognormal(0.1), slower=0, seed=3)
    assert counted["inconclusive"] >= 10
    assert 25 < counted["asked"] < 60
    asked = comparing.bound_claims(4, counted["asked"], lognormal(0.1), slower=0, seed=4)
    assert asked["pass"] >= 3, (counted, asked)
    assert asked["fail"] == 0


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_at_the_bound_nothing_is_claimed(noise: float) -> None:
    """NEW is slower by exactly the bound: of 100 comparisons at most three claim either."""
    counted = comparing.bound_claims(100, 7, lognormal(noise), slower=0.1, seed=5)
    assert counted["pass"] + counted["fail"] <= 3, counted


def test_a_bound_needs_five_runs_a_side() -> None:
    """Fewer cannot tell, however quiet they are."""
    dice = random.Random(13)
    found = no_worse(runs(dice, 4, lognormal(0.001)), runs(dice, 4, lognormal(0.001), odd=1))
    assert (found.exit_code, found.latency[0].bound) == (
        3,
        LatencyBound(ratio_interval=None, outcome="undecided", runs_needed=5),
    )


def test_what_new_did_not_measure_is_not_shown_to_be_no_worse() -> None:
    """Requests without a response, a target that NEW has no time of, and no latencies at all are inconclusive."""

    def side(odd: int, times: dict[str, tuple[float, float]], errors: int = 0) -> NamedVerdicts:
        return [
            (str(i), verdict(2 * i + odd, load=load(dict.fromkeys(times, (5 + i / 100, 9)), errors=errors)))
            for i in range(7)
        ]

    base = side(0, {"A": (5, 9), "B": (5, 9)})
    assert no_worse(base, side(1, {"A": (5, 9), "B": (5, 9)})).exit_code == 0
    for new, reason in (
        (side(1, {"A": (5, 9), "B": (5, 9)}, errors=50), "10.0% of the requests"),
        (side(1, {"A": (5, 9)}), "NEW has no p50 of B"),
        (one(verdict(1)), "no latencies and no capacities"),
    ):
        found = no_worse(base, new)
        assert found.exit_code == 3
        assert found.reason is not None and reason in found.reason


@pytest.mark.parametrize(
    ("base", "new", "exit_code"),
    [
        ((100, 104), (98, 102), 0),
        ((100, 104), (90, 102), 3),
        ((100, 104), (80, 85), 1),
        ((100, None), (200, None), 3),
        ((100, 104), (200, None), 0),
    ],
)
def test_capacities_have_the_bound_too(
    base: tuple[float, float | None], new: tuple[float, float | None], exit_code: int
) -> None:
    """Worse by 10 % is a capacity of less than 1 / 1.1."""
    before, after = (verdict(place, capacity=comparing.capacity(*each)) for place, each in enumerate((base, new)))
    assert no_worse(one(before), one(after)).exit_code == exit_code
