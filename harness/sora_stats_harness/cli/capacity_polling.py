"""
The two other questions of the command `capacity`: what a listing costs by size, and whether polling hurts the media.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from ..api.errors import UsageError
from . import command_support as common
from .framework import Arguments
from .output import ProgressLine, write_output

if TYPE_CHECKING:
    from ..load.capacity.listing_cost import ListingMeasurement
    from ..load.slo import Slo
    from ..load.worker_plan import WorkerPlan

LISTINGS_PER_SIZE: Final = 21
"""Of each size of a simulator."""

LISTINGS_PER_LARGE_SIZE: Final = 7
"""The same where a listing is of more than a thousand connections."""

SELF_TEST_TIMEOUT_S: Final = 60.0
"""For a listing of many connections, which nobody is kept waiting by."""

SELF_TEST_MEDIA_RATE: Final = 100.0
"""In the polled phases of a self-test."""

DEFAULT_ABORT_LIMITS: Final = ("errors>5%", "p99>10s")


MIN_IN_FLIGHT: Final = 64
"""Requests that may be under way at a time, unless told."""


def max_in_flight(arguments: Arguments) -> int:
    """How many requests may be under way in the polled phases."""
    given: int | None = arguments.max_in_flight
    return given or MIN_IN_FLIGHT


def check_polling_arguments(arguments: Arguments, url: str | None, plan: WorkerPlan | None, *, by_size: bool) -> None:
    """
    Refuse what cannot be carried out, before anything heavy is imported.

    Raises:
        UsageError: A run that is not bounded, or an SLO or workers that are of no use to it.
    """
    if not by_size:
        if url is not None and arguments.max_rate is None:
            raise UsageError("say how hard the server is to be asked while polled: --max-rate R (requests a second)")
        if arguments.slo:
            raise UsageError("--slo is for the search: leave it out with --watch-media")
        return
    if plan is not None:
        option = "--master" if arguments.master else "--processes"
        raise UsageError(f"{option}: by size one listing is asked for at a time, which one process does: leave it out")
    if url is None and len(arguments.connections or ()) < 2:
        raise UsageError("say how many connections: --connections 10,100,1000")
    if url is not None and (arguments.max_rate is None or arguments.duration is None):
        raise UsageError("say how often the server may be asked, and for how long: --max-rate R and --duration TIME")
    _listing_slo(arguments)


def run_cost_by_size(arguments: Arguments, url: str | None) -> int:
    """Fit what a listing costs: of simulators of several sizes, or of a server by the sizes that it meets."""
    from ..api.edition import load_edition
    from ..api.exchange import Target
    from ..judge.verdict_decision import RunEnding, RunScope
    from ..load.capacity import listing_polls as survey
    from ..load.capacity.listing_cost import fit_listing_cost, interval_statement
    from ..load.capacity.rate_search import SearchEnded
    from ..load.capacity.stepped_session import SteppedSession
    from ..load.edition_probe import detect_by_address
    from ..load.load_spec import LOAD_OBSERVES, LoadSpec, unobservable_requirements
    from ..probe.interrupt import InterruptHandler
    from ..reports.verdict_assembly import RunFacts, format_utc_now
    from . import capacity as command

    started_at = format_utc_now()
    objective = _listing_slo(arguments)
    sizes: list[int] = arguments.connections or []
    headers, secrets = arguments.settings.look_up()
    write_output(f"{_size_plan_text(arguments, url, sizes)}{common.edition_plan_text(arguments)}\n", sys.stderr)
    if arguments.dry_run:
        return 0
    progress = ProgressLine()
    watch = make_progress_watcher(progress)
    samples: list[ListingMeasurement] = []
    told: list[str] = []
    ended = None

    def make_session(address: Any, timeout_s: float) -> SteppedSession:  # Any: load's ServerAddress
        told.extend(common.detect_edition(arguments, lambda: detect_by_address(address, headers, timeout_s, interrupt)))
        edition = arguments.settings.edition
        spec = LoadSpec(
            edition=edition,
            checks=arguments.settings.checks,
            headers=headers,
            timeout_s=timeout_s,
            scenario="scrape",
            users=1,
        )
        return SteppedSession(load_edition(edition), address, spec)

    with InterruptHandler(ends_process=arguments.ends_process) as interrupt:
        with ExitStack() as stack:
            if url is not None:
                server, address = command.resolve_target(arguments, url, stack)
                session = make_session(address, arguments.settings.timeout_s)
            else:
                common.announce_self_test()
                server = "the embedded simulator"
                timeout_s = max(arguments.settings.timeout_s, SELF_TEST_TIMEOUT_S)
                session = None
            try:
                for number, size in enumerate(sizes if url is None else [0]):
                    if interrupt.is_interrupted:
                        break
                    with ExitStack() as one:
                        if url is None:
                            watch(f"a simulator of {size:,} connections starts")
                            # worlds of one seed have the same ids, and a connection's counters are held against its own
                            seed = (arguments.seed or 1) + number
                            address = resolve_address(
                                arguments, command.start_simulator(arguments, one, size, seed=seed)
                            )
                            if session is None:
                                session = make_session(address, timeout_s)
                            session.switch_server(address)
                        assert session is not None, "made above"
                        samples += survey.measure_listings(
                            session,
                            interrupt=interrupt,
                            count=(LISTINGS_PER_SIZE if size <= 1000 else LISTINGS_PER_LARGE_SIZE)
                            if url is None
                            else None,
                            for_s=None if url is None else arguments.duration,
                            every_s=0.0 if url is None else 1 / arguments.max_rate,
                            watch=lambda done, size=size: watch(f"{size or ''} {done} listings".strip()),  # type: ignore[misc]
                        )
            except SearchEnded as end:
                ended = str(end)
            finally:
                progress.end()
        assert session is not None, "there is a URL, or a size"
        found = fit_listing_cost(samples, scrapers=arguments.scrapers, slo=objective)
        said = [found.statement] + ([interval_statement(found)] if found.points else [])
        return common.report_and_exit_code(
            arguments,
            session.judge,
            RunFacts(
                command="capacity",
                edition=load_edition(arguments.settings.edition),
                subject=server,
                scope=RunScope(observes=LOAD_OBSERVES, excluded=unobservable_requirements(frozenset({Target.ALL}))),
                ending=RunEnding(
                    interrupted=interrupt.is_interrupted,
                    aborted=ended or (found.statement if found.linear is None else None),
                    violated_slo=said[-1]
                    if objective is not None and found.points and found.shortest_interval_s is None
                    else None,
                ),
                started_at=started_at,
                options={
                    "by_size": sizes or True,
                    "scrapers": arguments.scrapers,
                    "slo": [slo.text for slo in arguments.slo],
                },
                notes=[*said, *told],
                secrets=secrets,
                cost=found,
            ),
        )


def _listing_slo(arguments: Arguments) -> Slo | None:
    from ..api.exchange import Target

    slos: tuple[Slo, ...] = arguments.slo
    if not slos:
        return None
    if len(slos) > 1 or slos[0].limit_us is None or slos[0].target not in (None, Target.ALL.operation):
        raise UsageError("by size one SLO is of use, on the time of listings: --slo 'GetStatsAllConnections:p99<800ms'")
    return slos[0]


def _size_plan_text(arguments: Arguments, url: str | None, sizes: list[int]) -> str:
    if url is None:
        return f"plan: listings of simulators of {', '.join(f'{size:,}' for size in sizes)} connections, one at a time"
    return (
        f"plan: listings of {url}, one at a time, at most {arguments.max_rate:g} a second, for {arguments.duration:g} s; "
        "the server's own ups and downs give the sizes"
    )


def run_media_watch(arguments: Arguments, url: str | None, plan: WorkerPlan | None) -> int:
    """Poll in phases, and hold the media of the polled ones against those of the quiet ones."""
    from ..api.edition import load_edition
    from ..judge.verdict_decision import RunEnding, RunScope
    from ..load.capacity import listing_polls as survey
    from ..load.capacity.media_impact import compare_phases
    from ..load.capacity.step_task import StepTask, drive_steps
    from ..load.edition_probe import detect_by_address
    from ..load.load_spec import LOAD_OBSERVES, LoadSpec
    from ..load.load_task import ServerAccess
    from ..load.slo import parse_abort_limit
    from ..probe.interrupt import InterruptHandler
    from ..reports.verdict_assembly import RunFacts, format_utc_now
    from . import capacity as command

    started_at = format_utc_now()
    rate, rounds, phase_s = arguments.max_rate or SELF_TEST_MEDIA_RATE, arguments.phases, arguments.phase
    limits = tuple(parse_abort_limit(text) for text in arguments.abort_when or DEFAULT_ABORT_LIMITS)
    headers, secrets = arguments.settings.look_up()
    several = "" if plan is None else f" from {plan.description}"
    write_output(
        f"plan: {rounds} phases of {phase_s:g} s at {rate:g} requests/s{several} (scenario {arguments.scenario}) on "
        f"{url or 'the embedded simulator'}, a quiet one before and after each: about {(2 * rounds + 1) * phase_s:.0f} s"
        f"{common.edition_plan_text(arguments)}\n",
        sys.stderr,
    )
    if arguments.dry_run:
        return 0
    progress = ProgressLine()
    watch = make_progress_watcher(progress)
    with InterruptHandler(ends_process=arguments.ends_process) as interrupt:
        with ExitStack() as stack:
            server, address = command.resolve_target(arguments, url, stack)
            told = common.detect_edition(
                arguments, lambda: detect_by_address(address, headers, arguments.settings.timeout_s, interrupt)
            )
            spec = LoadSpec(
                edition=arguments.settings.edition,
                checks=arguments.settings.checks,
                headers=headers,
                timeout_s=arguments.settings.timeout_s,
                scenario=arguments.scenario,
                users=max_in_flight(arguments),
            )
            task = StepTask(
                spec=spec,
                server=ServerAccess(
                    address=address,
                    kind="simulator" if url is None else "server",
                    ca_file=arguments.settings.ca_file,
                    insecure=arguments.settings.insecure,
                    secrets=secrets,
                ),
                workers=plan,
                limits=limits,
                tolerance=common.make_pass_policy(arguments, arguments.baseline).tolerance,
                patience_s=spec.timeout_s,
                interrupt=interrupt,
                watch=watch,
                say=lambda text: write_output(text, sys.stderr),
            )
            try:
                done = drive_steps(
                    task,
                    lambda steps, session: survey.run_media_phases(
                        session, steps, rate=rate, rounds=rounds, phase_s=phase_s
                    ),
                )
            finally:
                progress.end()
        phases, ended = ([], done.result) if isinstance(done.result, str) else done.result
        reasons = [each for each in (ended, done.aborted) if each is not None]
        found = compare_phases(phases, rate=rate, phase_s=phase_s)
        return common.report_and_exit_code(
            arguments,
            done.judge,
            RunFacts(
                command="capacity",
                edition=load_edition(arguments.settings.edition),
                subject=server,
                scope=RunScope(observes=LOAD_OBSERVES, excluded=spec.unobservable_requirements),
                ending=RunEnding(
                    interrupted=interrupt.is_interrupted,
                    aborted="; ".join(reasons) or (found.statement if found.result == "too little data" else None),
                    violated_slo=found.statement if found.result == "effect" else None,
                ),
                started_at=started_at,
                options={
                    "watch_media": True,
                    "rate": rate,
                    "phase_s": phase_s,
                    "phases": rounds,
                    "scenario": arguments.scenario,
                    "processes": 1 if plan is None else plan.count,
                },
                notes=[found.statement, *told, *done.notes],
                secrets=secrets,
                media=found,
            ),
        )


def resolve_address(arguments: Arguments, server: str) -> Any:  # Any: load's Address
    """
    Where a server listens.

    Raises:
        UsageError: Its name does not resolve.
    """
    from ..api.exchange import TransportError
    from ..load.http_connection import resolve_server

    address = resolve_server(server, ca_file=arguments.settings.ca_file, insecure=arguments.settings.insecure)
    if isinstance(address, TransportError):
        raise UsageError(f"{server}: {address.detail}")
    return address


def make_progress_watcher(progress: ProgressLine) -> Callable[[str], None]:
    """Shows texts with the time that has passed."""
    began_s = time.monotonic()

    def watch(text: str) -> None:
        elapsed_s = time.monotonic() - began_s
        progress.show(elapsed_s, f"{elapsed_s:5.0f} s  {text}")

    return watch
