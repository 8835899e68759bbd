"""`sora-harness load`: runs a Locust scenario, and judges every response."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from ..api.errors import UsageError, suggest_nearest
from ..api.option_values import parse_interval
from ..load.scenarios import MIX, SCENARIOS, SOAK_USER_INTERVAL_S, find_locustfile
from . import command_support as common
from . import options
from . import worker_options as workers
from .framework import Arguments, Command, Parsed, flag, group, with_value
from .output import write_message

if TYPE_CHECKING:
    from ..api.server_address import ServerAddress
    from ..judge.measured_results import LoadResult
    from ..load.load_spec import LoadSpec, WorkerPlan
    from ..load.load_task import LoadTask
    from ..load.slo import AbortLimit, Slo

EXAMPLES: Final = """\
examples:
  sora-harness load --scenario mixed --rate 200 --duration 10s     on the embedded simulator (SELF-TEST)
  sora-harness load --users 4 --interval 0 --duration 5s           as fast as four users go
  sora-harness load http://127.0.0.1:3000 --scenario scrape --pollers 3 --interval 1 --duration 60s
  sora-harness load --rate 200 --duration 5s --slo 'p99<50ms' --slo 'errors<0.1%'
  sora-harness load --rate 200 --duration 5s --processes 2         from two processes, judged together
  sora-harness load --rate 500 --duration 20s --dry-run            print the plan, send nothing
"""

SELF_TEST_CONNECTION_COUNT: Final = 100
DEFAULT_DURATION_S: Final = 10.0
DEFAULT_MAX_IN_FLIGHT: Final = 64
_USERS: Final = options.integer(1, 10_000)


def run(arguments: Arguments) -> int:
    """Send, judge, measure and report."""
    settings = options.read_settings(arguments)
    if find_spec("locust") is None:
        raise UsageError("load needs Locust: pip install locust")
    if arguments.worker:
        return workers.run_as_worker(arguments)
    # Refuse whatever can be refused before Locust is imported.
    url = settings.url
    limits = options.read_abort_limits(arguments)
    slos = options.read_slos(settings)
    plan = workers.read_worker_plan(arguments)
    spec = _load_spec(arguments, url, 1 if plan is None else plan.count)
    slos = _slos_on_targets(slos, spec, are_options=bool(arguments.slo))
    plan_text = f"{_plan_text(spec, plan, url, limits, slos)}{common.plan_additions(arguments)}"
    if arguments.dry_run:
        settings.look_up()
        file = find_locustfile(spec.scenario)
        also = "" if file is None else f"\nthe same users under plain Locust: locust -f {file}"
        write_message(f"{plan_text}{also}\n", sys.stderr)
        return 0

    import_module("..load.load_task", __package__)  # before any import that uses sockets, since Locust replaces them
    from msgspec.structs import replace as replace_fields

    from ..load.load_task import run_load_task
    from ..load.slo_results import end_with_slos, judge_slos

    with common.JudgedRun(arguments, "load") as run:
        arguments.say(plan_text)
        with run.stack:
            visit = run.visit_for_load()
            if visit is not None and visit.ends_early:
                return run.end_early(visit, spec.scope, spec.verdict_options(1))
            server = url or _start_simulator(arguments, run.stack)
            address = common.resolve_address(arguments, server)
            notes = run.find_edition_for_load(visit, address)
            spec = replace_fields(spec, edition=arguments.settings.edition, headers=run.headers)
            task = _load_task(arguments, run, address, spec)
            done = run_load_task(replace(task, limits=limits, workers=plan))
        results = judge_slos(slos, done.measures)
        load = done.measures.to_load_summary(done.plan, results)
        facts = run.facts(
            subject=server,
            scope=spec.scope,
            ending=end_with_slos(done.ending, results),
            options=spec.verdict_options(load.processes) | {"slo": [slo.text for slo in slos]},
            notes=[*notes, *done.notes, *_load_notes(load)],
            diagnosis=run.diagnose(visit),
        )
        return common.report_and_exit_code(arguments, done.judge, replace(facts, load=load))


def _load_task(arguments: Arguments, run: common.JudgedRun, address: ServerAddress, spec: LoadSpec) -> LoadTask:
    """The task of this run; the caller adds limits and workers."""
    from ..load.load_task import LoadTask, RecordingPlan

    recording = None
    if arguments.record is not None:
        recording = RecordingPlan(path=arguments.record, limit_bytes=arguments.record_limit)
    return LoadTask(
        spec=spec,
        server=run.server_access(address),
        limits=(),
        workers=None,
        recording=recording,
        csv=arguments.csv,
        interrupt=run.interrupt,
        watch=lambda elapsed_s, counts: run.progress.show(elapsed_s, _progress_text(elapsed_s, spec, counts)),
        say=arguments.say,
    )


def _load_spec(arguments: Arguments, url: str | None, processes: int) -> LoadSpec:
    """
    What to send according to the options; a server that we did not start gets load only if the options say how much.
    """
    from ..load.load_spec import LoadSpec

    scenario = _scenario_name(arguments)
    rate, interval_s = arguments.rate, arguments.interval
    asked_users = arguments.users or arguments.pollers
    duration_s = arguments.duration or DEFAULT_DURATION_S
    _check_model(arguments, scenario, duration_s)
    if url is not None:
        if rate is None and (asked_users is None or interval_s is None):
            raise UsageError(
                "state the load: --rate N, or --users N with --interval TIME (0: right after the response)"
            )
        if arguments.duration is None:
            raise UsageError("state how long: --duration TIME")
    if interval_s is None and scenario == "soak" and rate is None:
        interval_s = SOAK_USER_INTERVAL_S
    users = arguments.max_in_flight if rate is not None else asked_users or max(4, processes)
    common.check_enough_users("--sockets", arguments.sockets, users)
    common.check_enough_users("--expect-workers" if arguments.master else "--processes", processes, users)
    if arguments.sockets is not None and arguments.sockets < processes:
        raise UsageError("--sockets: each worker needs at least one")
    return LoadSpec(
        edition=arguments.settings.edition,
        checks=arguments.settings.checks,
        timeout_s=arguments.settings.timeout_s,
        tear_s=arguments.settings.tear_s,
        severity=arguments.settings.severity,
        scenario=scenario,
        weights=arguments.weights or {},
        rate=rate,
        ramp_s=arguments.ramp,
        users=users,
        interval_s=interval_s or 0.0,
        duration_s=duration_s,
        warm_up_s=arguments.warm_up,
        sockets=arguments.sockets,
        keep_alive=not arguments.new_connection_each,
    )


def _scenario_name(arguments: Arguments) -> str:
    """The scenario; refuses options that it doesn't take."""
    scenario: str = arguments.scenario
    if scenario not in SCENARIOS:
        near = suggest_nearest(scenario, SCENARIOS)
        raise UsageError(f"--scenario: {scenario!r} must be one of {', '.join(SCENARIOS)}{near}")
    if arguments.pollers is not None:
        if not scenario.startswith("scrape"):
            raise UsageError("--pollers is for --scenario scrape")
        if arguments.users is not None:
            raise UsageError("--pollers and --users are the same: give one of them")
    if arguments.cluster:
        if not scenario.startswith("scrape"):
            raise UsageError("--cluster is for --scenario scrape")
        scenario = "scrape-cluster"
    if arguments.weights and not SCENARIOS[scenario].is_mixed:
        mixed = ", ".join(name for name, each in SCENARIOS.items() if each.is_mixed)
        raise UsageError(f"--weights is for the scenarios {mixed}: {scenario} sends only one target")
    return scenario


def _check_model(arguments: Arguments, scenario: str, duration_s: float) -> None:
    """Refuse options of the other model of load."""
    if arguments.rate is not None:
        if arguments.users is not None or arguments.pollers is not None:
            raise UsageError("--rate and --users are two models of load: give one of them")
        if arguments.interval is not None:
            raise UsageError("--interval goes with --users")
    elif arguments.ramp or arguments.max_in_flight != DEFAULT_MAX_IN_FLIGHT:
        raise UsageError("--ramp and --max-in-flight go with --rate")
    elif scenario == "spike":
        raise UsageError("--scenario spike is for the open model: give --rate N")
    if scenario == "spike" and arguments.ramp > duration_s / 5:
        raise UsageError(f"--ramp: before a spike it may take at most a fifth of the run: {duration_s / 5:g} s here")


def _slos_on_targets(slos: Sequence[Slo], spec: LoadSpec, *, are_options: bool) -> tuple[Slo, ...]:
    """Refuse an SLO on a target that the scenario never sends; drop it if it is from the configuration."""
    from ..load.load_spec import asked_operations

    asked = asked_operations(spec.scenario, spec.weights)
    unasked = [slo for slo in slos if slo.target is not None and slo.target not in asked]
    if unasked and are_options:
        raise UsageError(f"--slo {unasked[0].text}: the scenario {spec.scenario} never sends that target")
    return tuple(slo for slo in slos if slo not in unasked)


def _start_simulator(arguments: Arguments, stack: ExitStack) -> str:
    common.announce_self_test(arguments)
    connections = arguments.connections or SELF_TEST_CONNECTION_COUNT
    return common.start_simulator(arguments, stack, connections=connections)[0]


def _plan_text(
    spec: LoadSpec, plan: WorkerPlan | None, url: str | None, limits: Sequence[AbortLimit], slos: Sequence[Slo]
) -> str:
    if spec.rate is not None:
        ramp = f", reached over {spec.ramp_s:g} s" if spec.ramp_s else ""
        how = f"{spec.rate:g} requests/s (open model){ramp}, at most {spec.users} in flight"
    else:
        when = (
            f"each sending every {spec.interval_s:g} s"
            if spec.interval_s
            else "each sending at once after each response"
        )
        how = f"{spec.users} users (closed model), {when}"
    sockets = "" if spec.sockets is None else f", over {spec.sockets} connections"
    if not spec.keep_alive:
        sockets += ", a new connection for each request"
    several = "" if plan is None else f", from {plan.description}"
    stop = " or ".join(each.text for each in limits)
    gate = f"; must keep {', '.join(each.text for each in slos)}" if slos else ""
    return (
        f"plan: scenario {spec.scenario} on {url or 'the embedded simulator'}: {how}{sockets}{several}, "
        f"for {spec.duration_s:g} s; aborts at {stop}{gate}"
    )


def _progress_text(elapsed_s: float, spec: LoadSpec, counts: Mapping[str, int]) -> str:
    return f"{max(0.0, elapsed_s):5.1f} of {spec.duration_s:g} s  {counts['sent']:,} sent  {counts['errors']:,} errors"


def _load_notes(load: LoadResult) -> list[str]:
    """Notes that a reader of the figures should not overlook."""
    notes = []
    if load.generator_limited is not None:
        notes.append(f"the generator was the bottleneck: {load.generator_limited}")
    if load.due is not None and load.due - load.sent > load.processes:
        notes.append(
            f"{load.due - load.sent:,} requests were due and never sent: too many were in flight, or the run ended"
        )
    return notes


def _parse_weights(text: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, separator, value = part.strip().partition("=")
        if not separator or name not in MIX or name in weights:
            raise UsageError(f"{text!r}: give connection=N,client=N,all=N, or some of them")
        weights[name] = float(value) if re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,9})?", value) else -1.0
        if not 0 <= weights[name] <= 1e6:
            raise UsageError(f"{part!r}: a weight must be a number of at least 0")
    if not any(weights.values()):
        raise UsageError(f"{text!r}: at least one weight must be greater than 0")
    return weights


command: Command = Command(
    "load",
    [
        *options.server_options(),
        *group(
            "the load",
            with_value("--scenario", "NAME", f"one of {', '.join(SCENARIOS)} (default: mixed)", default="mixed"),
            with_value(
                "--rate", "N", "open model: requests per second, whether or not responses arrive", type=options.RATE
            ),
            with_value("--ramp", "TIME", "let the rate rise over this time", type=options.DURATION, default=0.0),
            with_value(
                "--max-in-flight",
                "N",
                f"open model: the most requests in flight at a time (default: {DEFAULT_MAX_IN_FLIGHT})",
                type=_USERS,
                default=DEFAULT_MAX_IN_FLIGHT,
            ),
            with_value("--users", "N", "closed model: users that each wait for their response", type=_USERS),
            with_value("--pollers", "N", "the same for scrape: how many dashboards and exporters poll", type=_USERS),
            with_value(
                "--interval",
                "TIME",
                "closed model: the time from a user's request to its next; 0: right after the response",
                type=Parsed(parse_interval),
            ),
            flag("--cluster", "for scrape: request the whole cluster"),
            with_value(
                "--weights",
                "TARGET=N,...",
                "for mixed: the shares of the targets connection, client and all (default: "
                "connection=70,client=29,all=1)",
                type=Parsed(_parse_weights),
            ),
            with_value("--duration", "TIME", "how long (default on the simulator: 10)", type=options.DURATION),
            with_value(
                "--warm-up",
                "TIME",
                "leave the requests of this first time out of the figures",
                type=options.DURATION,
                default=0.0,
            ),
            with_value("--sockets", "N", "share this many connections (default: one for each user)", type=_USERS),
            flag("--new-connection-each", "use each connection for one request only"),
            options.slo_option(
                "fail unless this objective is kept: p99<50ms, GetStatsAllConnections:p95<800ms, errors<0.1%"
            ),
            options.abort_option("end early"),
            with_value("--csv", "FILE", "write a row per second for all targets together and for each, during the run"),
            options.wait_option(),
            flag("--dry-run", "print the plan and send nothing"),
        ),
        *workers.worker_options(),
        *options.recording_options(),
        *options.judging_options(),
        *options.simulator_options(connections_help=f"how many connections (default: {SELF_TEST_CONNECTION_COUNT})"),
    ],
    examples=EXAMPLES,
    run=run,
)
