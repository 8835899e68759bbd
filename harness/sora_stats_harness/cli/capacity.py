"""
`sora-harness capacity`: how much load a server takes, what a listing costs by size, and whether polling hurts the
media.

A server that the harness did not start never gets more requests than `--max-rate` allows, which has no default then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from ..api.errors import UsageError, suggest_nearest
from ..load.scenarios import STEADY_SCENARIOS
from . import capacity_polling as surveys
from . import command_support as common
from . import options
from . import worker_options as workers
from .framework import Arguments, Command, Parsed, flag, group, with_value

if TYPE_CHECKING:
    from ..load.capacity.rate_search import RateStep, SearchGoal
    from ..load.load_spec import WorkerPlan

EXAMPLES: Final = """\
examples:
  sora-harness capacity --slo 'p99<50ms' --service-time 10ms --workers 4       on the embedded simulator (SELF-TEST)
  sora-harness capacity http://127.0.0.1:3000 --slo 'p99<50ms' --slo 'errors<0.1%' --max-rate 2000
  sora-harness capacity http://127.0.0.1:3000 --slo 'GetStatsAllConnections:p99<800ms' --scenario scrape --max-rate 20
  sora-harness capacity --connections 10,100,1000                              what a listing costs by size
  sora-harness capacity http://127.0.0.1:3000 --watch-media --max-rate 100     whether polling hurts the media
"""

SELF_TEST_RATE: Final = 2000.0
MAX_SEARCH_IN_FLIGHT: Final = 1000


def run(arguments: Arguments) -> int:
    """
    Search for the capacity, or measure what the other options ask for; judge and report.

    The exit code is also 1 if no rate that was tried keeps the objectives, or if polling had an effect on the media.
    """
    settings = options.read_settings(arguments)
    if find_spec("locust") is None:
        raise UsageError("capacity needs Locust: pip install locust")
    if arguments.worker:
        return workers.run_as_worker(arguments)
    url = settings.url
    settings.refuse_simulator_options(
        [
            f"--{name.replace('_', '-')}"
            for name in surveys.SIMULATOR_PACE_OPTIONS
            if getattr(arguments, name) is not None
        ]
    )
    arguments.slo = options.read_slos(settings)
    by_size = arguments.by_size or len(arguments.connections or ()) > 1
    plan = workers.read_worker_plan(arguments)
    if by_size and arguments.watch_media:
        raise UsageError("--by-size and --watch-media are two different measurements: give one of them")
    if arguments.scenario not in STEADY_SCENARIOS:
        near = suggest_nearest(arguments.scenario, STEADY_SCENARIOS)
        raise UsageError(f"--scenario: {arguments.scenario!r} must be one of {', '.join(STEADY_SCENARIOS)}{near}")
    goal = None
    if by_size or arguments.watch_media:
        surveys.check_polling_arguments(arguments, url, plan, by_size=by_size)
    else:
        goal = _search_goal(arguments, url)
    if not by_size:
        users = arguments.max_in_flight or surveys.MIN_IN_FLIGHT if goal is None else _max_in_flight(arguments, goal)
        option = "--expect-workers" if arguments.master else "--processes"
        common.check_enough_users(option, None if plan is None else plan.count, users)
    import_module(
        "..load.capacity.step_task", __package__
    )  # before any import that uses sockets, since Locust replaces them
    if goal is not None:
        return _run_search(arguments, url, goal, plan)
    if by_size:
        return surveys.run_cost_by_size(arguments, url)
    return surveys.run_media_watch(arguments, url, plan)


def _run_search(arguments: Arguments, url: str | None, goal: SearchGoal, plan: WorkerPlan | None) -> int:
    from ..judge.verdict_decision import RunEnding, join_reasons
    from ..load.capacity.load_window import operation_shares, window_length_s
    from ..load.capacity.rate_search import build_search_result, search_capacity
    from ..load.capacity.search_report import build_capacity, search_statement, step_line
    from ..load.capacity.step_task import drive_steps
    from ..load.slo import longest_limit_us

    longest = longest_limit_us(goal.slos)

    def window_s(rate: float) -> float:
        return window_length_s(rate, goal.slos, operation_shares(arguments.scenario, rate), arguments.window)

    judged = common.JudgedRun(arguments, "capacity")

    tried: list[RateStep] = []

    def on_step(step: RateStep) -> None:
        tried.append(step)
        judged.progress.end()
        arguments.say(step_line(step))

    with judged:
        plan_text = _plan_text(arguments, url, goal, plan, window_s) + common.plan_additions(arguments)
        if not judged.show_plan(plan_text):
            return 0
        with judged.stack:
            visit = judged.visit_for_load()
            if visit is not None and visit.ends_search:
                return judged.end_early(
                    visit, surveys.early_scope(arguments, judged), _verdict_options(arguments, goal, plan)
                )
            server, address = surveys.resolve_target(arguments, url, judged.stack)
            notes = judged.find_edition_for_load(visit, address)
            task = surveys.step_task(arguments, judged, address, plan, users=_max_in_flight(arguments, goal))
            if longest is not None:
                task = replace(task, patience_s=longest / 1e6)
            done = drive_steps(task, lambda steps, _: search_capacity(steps, goal, window_s, on_step))
        found = build_search_result(tried, goal, done.result) if isinstance(done.result, str) else done.result
        statement = search_statement(found, goal)
        is_violated = not found.low and found.high is not None and found.ended is None
        is_useless = found.ended is None and found.at_least and not found.low
        facts = judged.facts(
            subject=server,
            scope=task.spec.scope,
            ending=RunEnding(
                interrupted=judged.interrupt.is_interrupted,
                aborted=join_reasons(statement if is_useless else found.ended, done.aborted),
                broken=done.broken,
                violated_slo=statement if is_violated else None,
            ),
            options=_verdict_options(arguments, goal, plan),
            notes=[statement, *notes, *done.notes],
            diagnosis=judged.diagnose(visit),
        )
        latencies = [each for _, each in done.step_latencies]
        result = build_capacity(found, goal, arguments.scenario, latencies)
        return common.report_and_exit_code(arguments, done.judge, replace(facts, capacity=result))


def _search_goal(arguments: Arguments, url: str | None) -> SearchGoal:
    from ..load.capacity.load_window import operation_shares
    from ..load.capacity.rate_search import SearchGoal

    if not arguments.slo:
        raise UsageError("state the objective: --slo 'p99<50ms' (repeatable)")
    if url is not None and arguments.max_rate is None:
        raise UsageError("state the highest rate to try: --max-rate R (requests per second)")
    max_rate = arguments.max_rate or SELF_TEST_RATE
    if arguments.start is not None and arguments.start > max_rate:
        raise UsageError(f"--start {arguments.start:g} is above --max-rate {max_rate:g}")
    slos = arguments.slo
    for each in slos:
        if each.target is not None and each.target not in operation_shares(arguments.scenario, max_rate):
            raise UsageError(f"--slo {each.text}: the scenario {arguments.scenario} never sends that target")
    return SearchGoal(slos=slos, max_rate=max_rate, start=arguments.start)


def _max_in_flight(arguments: Arguments, goal: SearchGoal) -> int:
    """How many requests may be in flight: enough that a server that keeps every SLO never reaches the limit."""
    from ..load.slo import longest_limit_us

    given: int | None = arguments.max_in_flight
    if given is not None:
        return given
    longest = longest_limit_us(goal.slos)
    needed = goal.max_rate * (arguments.settings.timeout_s if longest is None else longest / 1e6)
    return int(min(max(needed * 1.2 + surveys.MIN_IN_FLIGHT / 2, surveys.MIN_IN_FLIGHT), MAX_SEARCH_IN_FLIGHT))


def _plan_text(
    arguments: Arguments, url: str | None, goal: SearchGoal, plan: WorkerPlan | None, window_s: Callable[[float], float]
) -> str:
    from ..load.capacity.rate_search import WINDOWS_PER_STEP, expected_steps

    least, most = expected_steps(goal)
    rates = [goal.first_rate, goal.max_rate]
    step_s = [WINDOWS_PER_STEP * window_s(rate) + 2 for rate in rates]
    slos = ", ".join(slo.text for slo in goal.slos)
    several = "" if plan is None else f", from {plan.description}"
    users = _max_in_flight(arguments, goal)
    return (
        f"plan: scenario {arguments.scenario} on {url or 'the embedded simulator'}: the highest rate up to "
        f"{goal.max_rate:g} requests/s that keeps {slos} and violates no MUST, from {goal.first_rate:g}/s on, at most "
        f"{users} in "
        f"flight{several}; {least} to {most} steps of {WINDOWS_PER_STEP} windows or more, about "
        f"{_format_duration(least * min(step_s))} to {_format_duration((most + 2) * max(step_s))}; "
        f"the load stops at {' or '.join(each.text for each in options.read_abort_limits(arguments))}"
    )


def _format_duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _verdict_options(arguments: Arguments, goal: SearchGoal, plan: WorkerPlan | None) -> dict[str, Any]:
    return {
        "scenario": arguments.scenario,
        "slo": [slo.text for slo in goal.slos],
        "max_rate": goal.max_rate,
        "start": goal.first_rate,
        "max_in_flight": _max_in_flight(arguments, goal),
        "processes": 1 if plan is None else plan.count,
        "abort_when": [each.text for each in options.read_abort_limits(arguments)],
    }


def _parse_sizes(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and 0 < int(part) <= 100_000 for part in parts):
        raise UsageError(f"{text!r} must be integers from 1 to 100,000, separated by commas")
    return [int(part) for part in parts]


command: Command = Command(
    "capacity",
    [
        *options.server_options(),
        *group(
            "the search",
            options.slo_option("an objective: p99<50ms, GetStatsAllConnections:p99<800ms, errors<0.1%"),
            with_value("--max-rate", "R", "never send more requests per second than this", type=options.RATE),
            with_value("--start", "R", "the first rate (default: an eighth of the highest)", type=options.RATE),
            with_value("--scenario", "NAME", f"one of {', '.join(STEADY_SCENARIOS)} (default: mixed)", default="mixed"),
            with_value(
                "--window",
                "TIME",
                "the shortest window; a step has three to seven windows (default: 2s)",
                type=options.DURATION,
                default=2.0,
            ),
            with_value(
                "--max-in-flight",
                "N",
                "the most requests in flight at a time (default: as many as the rate and the SLOs need)",
                type=options.integer(1, 10_000),
            ),
            options.abort_option("stop the load"),
            options.wait_option(),
            flag("--dry-run", "print the plan and send nothing"),
        ),
        *group(
            "instead, measure what a listing costs by its number of connections",
            flag("--by-size", "the same for a server, by the sizes that its listings have within --duration"),
            with_value("--duration", "TIME", "how long to measure", type=options.DURATION),
            with_value(
                "--scrapers",
                "N",
                "how many pollers to plan for (default: 1)",
                type=options.integer(1, 10_000),
                default=1,
            ),
        ),
        *group(
            "instead, measure whether polling hurts the media",
            flag("--watch-media", "alternate quiet phases and phases polled at --max-rate"),
            with_value(
                "--phase", "TIME", "how long each phase lasts (default: 10s)", type=options.DURATION, default=10.0
            ),
            with_value(
                "--phases", "N", "how many polled phases (default: 5)", type=options.integer(1, 10_000), default=5
            ),
        ),
        *workers.worker_options(),
        *options.judging_options(),
        *options.simulator_options(
            *options.pace_options(),
            connections=Parsed(_parse_sizes),
            connections_help="how many connections (default: 100); with commas: cost by size",
        ),
    ],
    examples=EXAMPLES,
    run=run,
)
