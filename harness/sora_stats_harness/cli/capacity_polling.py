"""`capacity --by-size` and `--watch-media`: what a listing costs by size, and whether polling hurts the media."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..api.errors import UsageError, describe_break
from . import command_support as common
from . import options
from .framework import Arguments
from .output import ProgressLine

if TYPE_CHECKING:
    from ..api.server_address import ServerAddress
    from ..judge.verdict_decision import RunScope
    from ..load.capacity.listing_cost import ListingMeasurement
    from ..load.capacity.media_impact import PollingPhase
    from ..load.capacity.step_task import StepTask
    from ..load.capacity.stepped_session import SteppedSession
    from ..load.load_spec import LoadSpec, WorkerPlan
    from ..load.slo import Slo

LISTINGS_PER_SIZE: Final = 21
"""How many listings of each size of a simulator are measured."""

LISTINGS_PER_LARGE_SIZE: Final = 7
"""The same for listings of more than a thousand connections."""

SELF_TEST_CONNECTIONS: Final = 100
MIN_IN_FLIGHT: Final = 64
"""The most requests in flight at a time, by default."""

SELF_TEST_TIMEOUT_S: Final = 60.0
"""The time-out of a listing of many connections, which keeps no other request waiting."""

SELF_TEST_MEDIA_RATE: Final = 100.0
"""The rate of the polled phases in a self-test."""


def check_polling_arguments(arguments: Arguments, url: str | None, plan: WorkerPlan | None, *, by_size: bool) -> None:
    """Refuse arguments that cannot be carried out, before anything heavy is imported."""
    if not by_size:
        if url is not None and arguments.max_rate is None:
            raise UsageError("state the rate of the polled phases: --max-rate R (requests per second)")
        if arguments.slo:
            raise UsageError("--slo is for the search: leave it out with --watch-media")
        return
    if plan is not None:
        option = "--master" if arguments.master else "--processes"
        raise UsageError(f"{option}: --by-size requests one listing at a time from one process: leave it out")
    if url is None and len(arguments.connections or ()) < 2:
        raise UsageError("state the numbers of connections: --connections 10,100,1000")
    if url is not None and (arguments.max_rate is None or arguments.duration is None):
        raise UsageError("state the highest rate, and how long to measure: --max-rate R and --duration TIME")
    _listing_slo(arguments)


def run_cost_by_size(arguments: Arguments, url: str | None) -> int:
    """Fit what a listing costs, from simulators of several sizes, or from the sizes that a server's listings have."""
    from ..judge.verdict_decision import RunEnding
    from ..load.capacity.listing_cost import fit_listing_cost, interval_statement

    slo = _listing_slo(arguments)
    sizes: list[int] = arguments.connections or []
    with common.JudgedRun(arguments, "capacity") as run:
        plan_text = _size_plan_text(arguments, url, sizes)
        if not run.show_plan(plan_text):
            return 0
        survey = _ListingSurvey(arguments, run)
        options_of_run = {
            "by_size": sizes or True,
            "scrapers": arguments.scrapers,
            "slo": [each.text for each in arguments.slo],
        }
        with run.stack:
            visit = run.visit_for_load()
            if visit is not None and visit.ends_search:
                return run.end_early(visit, early_scope(arguments, run), options_of_run)
            survey.measure_simulators(sizes) if url is None else survey.measure_server(url)
        found = fit_listing_cost(survey.samples, scrapers=arguments.scrapers, slo=slo)
        statements = [found.statement] + ([interval_statement(found)] if found.points else [])
        is_violated = slo is not None and found.points and found.shortest_interval_s is None
        facts = run.facts(
            subject=url or "the embedded simulator",
            scope=survey.session.spec.scope,
            ending=RunEnding(
                interrupted=run.interrupt.is_interrupted,
                aborted=survey.ended or (found.statement if found.linear is None else None),
                broken=survey.session.final_break_text,
                violated_slo=statements[-1] if is_violated else None,
            ),
            options=options_of_run,
            notes=[*statements, *survey.notes],
            diagnosis=run.diagnose(visit),
        )
        return common.report_and_exit_code(arguments, survey.session.judge, replace(facts, cost=found))


class _ListingSurvey:
    """Listings of several sizes, and the session that sent and judged them."""

    session: SteppedSession

    def __init__(self, arguments: Arguments, run: common.JudgedRun) -> None:
        self._arguments = arguments
        self._run = run
        self._watch = make_progress_watcher(run.progress)
        self.samples: list[ListingMeasurement] = []
        self.ended: str | None = None
        """Why it ended early."""
        self.notes: list[str] = []

    def measure_server(self, url: str) -> None:
        """Measure a server's listings for `--duration`, while its number of connections varies."""
        self._stand_up(common.resolve_address(self._arguments, url), self._arguments.settings.timeout_s)
        self._measure("", for_s=self._arguments.duration, every_s=1 / self._arguments.max_rate)

    def measure_simulators(self, sizes: Sequence[int]) -> None:
        """Measure some listings of a simulator of each size."""
        common.announce_self_test(self._arguments)
        for number, size in enumerate(sizes):
            if number and (self._run.interrupt.is_interrupted or self.ended is not None):
                return
            with ExitStack() as stack:
                self._watch(f"a simulator of {size:,} connections starts")
                # worlds of one seed have the same ids, so the judge would compare counters of two worlds
                seed = (self._arguments.seed or 1) + number
                address = common.resolve_address(
                    self._arguments, start_steady_simulator(self._arguments, stack, size, seed=seed)
                )
                if number == 0:
                    self._stand_up(address, max(self._arguments.settings.timeout_s, SELF_TEST_TIMEOUT_S))
                self.session.switch_server(address)
                self._measure(f"{size} ", count=LISTINGS_PER_SIZE if size <= 1000 else LISTINGS_PER_LARGE_SIZE)

    def _stand_up(self, address: ServerAddress, timeout_s: float) -> None:
        from ..api.edition import load_edition
        from ..load.capacity.stepped_session import SteppedSession

        self.notes = self._run.find_edition_for_load(None, address)
        spec = _load_spec(self._arguments, self._run, scenario="scrape", users=1, timeout_s=timeout_s)
        self.session = SteppedSession(load_edition(spec.edition), address, spec)

    def _measure(self, what: str, **how: Any) -> None:  # Any: as measure_listings takes it
        from ..load.capacity.listing_polls import measure_listings
        from ..load.capacity.rate_search import SearchEnded

        before = len(self.samples)

        def add(sample: ListingMeasurement) -> None:
            self.samples.append(sample)
            self._watch(f"{what}{len(self.samples) - before} listings")

        try:
            measure_listings(self.session, interrupt=self._run.interrupt, add=add, **how)
        except SearchEnded as end:
            self.ended = str(end)
        except Exception as error:
            self.ended = describe_break(error)
            self.session.note_break(self.ended)


def _listing_slo(arguments: Arguments) -> Slo | None:
    from ..api.exchange import Target

    slos: tuple[Slo, ...] = arguments.slo
    if not slos:
        return None
    if len(slos) > 1 or slos[0].limit_us is None or slos[0].target not in (None, Target.ALL.operation):
        raise UsageError("--by-size takes one SLO, on the time of listings: --slo 'GetStatsAllConnections:p99<800ms'")
    return slos[0]


def _size_plan_text(arguments: Arguments, url: str | None, sizes: list[int]) -> str:
    additions = common.plan_additions(arguments)
    if url is None:
        shown = ", ".join(f"{size:,}" for size in sizes)
        return f"plan: listings of simulators of {shown} connections, one at a time{additions}"
    return (
        f"plan: listings of {url}, one at a time, at most {arguments.max_rate:g} a second, for {arguments.duration:g} s; "
        f"the server's own ups and downs give the sizes{additions}"
    )


def run_media_watch(arguments: Arguments, url: str | None, plan: WorkerPlan | None) -> int:
    """Poll in phases, and compare the media of the polled ones with those of the quiet ones."""
    from ..judge.verdict_decision import RunEnding, join_reasons
    from ..load.capacity.listing_polls import run_media_phases
    from ..load.capacity.media_impact import compare_phases
    from ..load.capacity.step_task import drive_steps

    rate, rounds, phase_s = arguments.max_rate or SELF_TEST_MEDIA_RATE, arguments.phases, arguments.phase
    with common.JudgedRun(arguments, "capacity") as run:
        plan_text = f"{_media_plan_text(arguments, url, plan, rate)}{common.plan_additions(arguments)}"
        if not run.show_plan(plan_text):
            return 0
        options_of_run = {
            "watch_media": True,
            "rate": rate,
            "phase_s": phase_s,
            "phases": rounds,
            "scenario": arguments.scenario,
            "processes": 1 if plan is None else plan.count,
        }
        with run.stack:
            visit = run.visit_for_load()
            if visit is not None and visit.ends_search:
                return run.end_early(visit, early_scope(arguments, run), options_of_run)
            server, address = resolve_target(arguments, url, run.stack)
            notes = run.find_edition_for_load(visit, address)
            task = step_task(arguments, run, address, plan, users=arguments.max_in_flight or MIN_IN_FLIGHT)
            phases: list[PollingPhase] = []
            done = drive_steps(
                task,
                lambda steps, session: run_media_phases(
                    session, steps, rate=rate, rounds=rounds, phase_s=phase_s, phases=phases
                ),
            )
        found = compare_phases(phases, rate=rate, phase_s=phase_s)
        facts = run.facts(
            subject=server,
            scope=task.spec.scope,
            ending=RunEnding(
                interrupted=run.interrupt.is_interrupted,
                aborted=join_reasons(done.result, done.aborted)
                or (found.statement if found.result == "too little data" else None),
                broken=done.broken,
                violated_slo=found.statement if found.result == "effect" else None,
            ),
            options=options_of_run,
            notes=[found.statement, *notes, *done.notes],
            diagnosis=run.diagnose(visit),
        )
        return common.report_and_exit_code(arguments, done.judge, replace(facts, media=found))


def _media_plan_text(arguments: Arguments, url: str | None, plan: WorkerPlan | None, rate: float) -> str:
    rounds, phase_s = arguments.phases, arguments.phase
    several = "" if plan is None else f" from {plan.description}"
    return (
        f"plan: {rounds} phases of {phase_s:g} s at {rate:g} requests/s{several} (scenario {arguments.scenario}) on "
        f"{url or 'the embedded simulator'}, a quiet one before and after each: about "
        f"{(2 * rounds + 1) * phase_s:.0f} s"
    )


def step_task(
    arguments: Arguments, run: common.JudgedRun, address: ServerAddress, plan: WorkerPlan | None, *, users: int
) -> StepTask:
    """A task that sends load in steps, from this process or from workers; requests have the longest time-out."""
    from ..load.capacity.step_task import StepTask

    settings = arguments.settings
    return StepTask(
        spec=_load_spec(arguments, run, scenario=arguments.scenario, users=users, timeout_s=settings.timeout_s),
        server=run.server_access(address),
        workers=plan,
        limits=options.read_abort_limits(arguments),
        tolerance=common.make_pass_policy(arguments, arguments.baseline).tolerance,
        patience_s=settings.timeout_s,
        interrupt=run.interrupt,
        watch=make_progress_watcher(run.progress),
        say=arguments.say,
    )


def _load_spec(arguments: Arguments, run: common.JudgedRun, *, scenario: str, users: int, timeout_s: float) -> LoadSpec:
    """What to send; each step sets its own rate."""
    from ..load.load_spec import LoadSpec

    settings = arguments.settings
    return LoadSpec(
        edition=settings.edition,
        checks=settings.checks,
        headers=run.headers,
        timeout_s=timeout_s,
        scenario=scenario,
        users=users,
        severity=settings.severity,
    )


def early_scope(arguments: Arguments, run: common.JudgedRun) -> RunScope:
    """The scope of a run that ended before it began."""
    return _load_spec(arguments, run, scenario=arguments.scenario, users=1, timeout_s=1.0).scope


SIMULATOR_PACE_OPTIONS: Final = ("service_time", "workers", "per_connection_cost")


def resolve_target(arguments: Arguments, url: str | None, stack: ExitStack) -> tuple[str, ServerAddress]:
    """The server to ask; without a URL, a simulator that runs until the stack is closed."""
    server = url
    if server is None:
        common.announce_self_test(arguments)
        sizes: list[int] = arguments.connections or [SELF_TEST_CONNECTIONS]
        server = start_steady_simulator(arguments, stack, sizes[0])
    return server, common.resolve_address(arguments, server)


def start_steady_simulator(arguments: Arguments, stack: ExitStack, connections: int, *, seed: int | None = None) -> str:
    """Start a simulator whose connections stay, so that only the rate affects what is measured."""
    more: dict[str, Any] = {"connections": connections} | ({} if seed is None else {"seed": seed})
    pace = {name: getattr(arguments, name) for name in SIMULATOR_PACE_OPTIONS}
    words = {name.replace("_", "-"): str(value) for name, value in pace.items() if value is not None}
    return common.start_simulator(arguments, stack, **more, options=words | {"no-churn": None})[0]


def make_progress_watcher(progress: ProgressLine) -> Callable[[str], None]:
    """Make a function that shows a text with the elapsed time."""
    began_s = time.monotonic()

    def watch(text: str) -> None:
        elapsed_s = time.monotonic() - began_s
        progress.show(elapsed_s, f"{elapsed_s:5.0f} s  {text}")

    return watch
