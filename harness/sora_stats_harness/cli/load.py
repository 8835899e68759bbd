"""`sora-harness load`: a Locust scenario with every response judged."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Literal

from ..api.errors import UsageError
from ..api.option_values import parse_interval
from . import command_support as common
from . import options
from .framework import Arguments, Command, Option, Parsed, group
from .output import ProgressLine

if TYPE_CHECKING:
    from ..api.exchange import Headers
    from ..api.secret_redaction import Secrets
    from ..api.server_address import ServerAddress
    from ..judge.pipeline import Judge
    from ..judge.verdict import LoadResult
    from ..load.abort_limit import AbortLimit
    from ..load.load_spec import LoadSpec
    from ..load.run_measurements import RunMeasurements
    from ..probe.interrupt import InterruptHandler
    from ..recording.writer import RecordingWriter
    from ..reports.verdict_assembly import JudgeResultSource

EXAMPLES: Final = """\
examples:
  sora-harness load --scenario mixed --rate 200 --duration 10s     on the embedded simulator (SELF-TEST)
  sora-harness load --users 4 --interval 0 --duration 5s           as fast as four users go
  sora-harness load http://127.0.0.1:3000 --scenario scrape --pollers 3 --interval 1 --duration 60s
  sora-harness load --rate 200 --duration 5s --processes 2         from two processes, judged together
  sora-harness load --rate 500 --duration 20s --dry-run            print the plan, send nothing
"""

SELF_TEST_CONNECTION_COUNT: Final = 100
DEFAULT_DURATION_S: Final = 10.0
DEFAULT_ABORT_LIMITS: Final = ("errors>5%", "p99>10s")
DEFAULT_MAX_IN_FLIGHT: Final = 64
_USERS: Final = options.integer(1, 10_000)


def run(arguments: Arguments) -> int:
    """
    Send, judge, measure and report.

    Returns:
        The exit code of the verdict.

    Raises:
        UsageError: A plan that is not bounded, or a value that cannot be used.
    """
    settings = options.read_settings(arguments)
    if find_spec("locust") is None:
        raise UsageError("load needs Locust: pip install 'sora-stats-harness[load]'")
    if arguments.processes == 1:
        import_module("..load.load_run", __package__)  # before what uses sockets, which Locust replaces
    from msgspec.structs import replace

    from ..api.edition import load_edition
    from ..api.exchange import TransportError
    from ..judge.verdict_decision import RunEnding, RunScope
    from ..load.abort_limit import parse_abort_limit
    from ..load.edition_probe import detect_by_address
    from ..load.http_connection import resolve_server
    from ..load.load_spec import LOAD_OBSERVES
    from ..load.run_measurements import load_sections
    from ..probe.interrupt import InterruptHandler
    from ..reports.verdict_assembly import RunFacts, format_utc_now

    started_at = format_utc_now()
    url = settings.url
    limits = tuple(parse_abort_limit(text) for text in arguments.abort_when or DEFAULT_ABORT_LIMITS)
    headers, secrets = settings.look_up()
    spec = _load_spec(arguments, url, headers)
    sys.stderr.write(f"{_plan_text(spec, arguments.processes, url, limits)}{common.edition_plan_text(arguments)}\n")
    if arguments.dry_run:
        return 0
    with InterruptHandler(ends_process=arguments.ends_process) as interrupt, ExitStack() as stack:
        server = url or _start_simulator(arguments, stack)
        address = resolve_server(server, ca_file=arguments.settings.ca_file, insecure=arguments.settings.insecure)
        if isinstance(address, TransportError):
            raise UsageError(f"{server}: {address.detail}")
        told = common.detect_edition(
            arguments, lambda: detect_by_address(address, headers, arguments.settings.timeout_s, interrupt)
        )
        spec = replace(spec, edition=arguments.settings.edition)
        task = LoadTask(
            spec=spec,
            address=address,
            kind="simulator" if url is None else "server",
            limits=limits,
            secrets=secrets,
            interrupt=interrupt,
            stack=stack,
            options=_verdict_options(spec, arguments.processes),
        )
        done = (_run_in_process if arguments.processes == 1 else _run_with_workers)(arguments, task)
        load = done.measures.to_load_summary(
            scenario=spec.scenario, model=spec.model, planned_per_s=spec.planned_per_s, processes=arguments.processes
        )
        return common.report_and_exit_code(
            arguments,
            done.judge,
            RunFacts(
                command="load",
                edition=load_edition(arguments.settings.edition),
                subject=server,
                scope=RunScope(observes=LOAD_OBSERVES, excluded=spec.unobservable_requirements),
                ending=RunEnding(interrupted=done.interrupted, aborted=done.aborted),
                started_at=started_at,
                options=task.options,
                notes=[*told, *done.notes, *_load_notes(load)],
                secrets=secrets,
                sections=load_sections(done.measures, load),
                load=load,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTask:
    """What is to be done, and by what means."""

    spec: LoadSpec
    address: ServerAddress
    kind: Literal["server", "simulator"]
    limits: tuple[AbortLimit, ...]
    secrets: Secrets
    interrupt: InterruptHandler
    stack: ExitStack
    options: dict[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOutcome:
    """What came of it."""

    judge: JudgeResultSource
    measures: RunMeasurements
    interrupted: bool
    aborted: str | None
    notes: list[str]


def _run_in_process(arguments: Arguments, task: LoadTask) -> LoadOutcome:
    """In this process."""
    from ..load import load_run as runs
    from ..load.locust_standalone import session_notes
    from ..load.scenarios import SCENARIOS

    spec = task.spec
    with ExitStack() as recording:
        recorder = _create_recorder(arguments, task)
        if recorder is not None:
            recording.enter_context(recorder)
        session = spec.create_session(task.address, observer=recorder.add_exchange if recorder is not None else None)
        progress = ProgressLine()

        def watch(elapsed_s: float) -> None:
            progress.show(elapsed_s, _progress_text(elapsed_s, spec, session.metrics.counts()))

        try:
            ended = runs.run_load(
                session,
                SCENARIOS[spec.scenario],
                users=spec.users,
                duration_s=spec.duration_s,
                limits=task.limits,
                interrupt=task.interrupt,
                watch=watch,
            )
        finally:
            progress.end()
        if recorder is not None:
            recorder.mark_early_end(interrupted=ended.interrupted, aborted=ended.aborted)
    return LoadOutcome(
        judge=session.judge,
        measures=ended.measures,
        interrupted=ended.interrupted,
        aborted=ended.aborted,
        notes=[*session_notes(session), *_recorder_notes(recorder)],
    )


def _run_with_workers(arguments: Arguments, task: LoadTask) -> LoadOutcome:
    """In several processes, whose spools are judged here in order."""
    import uuid

    from ..api.edition import load_edition as load_edition
    from ..load import processes
    from ..load.load_spec import WorkerJob
    from ..load.spools import SpoolJudge
    from ..probe.file_check import CheckStopped

    spec, address, count = task.spec, task.address, arguments.processes
    edition = load_edition(spec.edition)
    recorder = _create_recorder(arguments, task)
    folder = _spool_folder(arguments, task.stack)
    run_id = str(uuid.uuid4())
    jobs = [
        WorkerJob(
            spec=spec.share_for_worker(index, count),
            index=index,
            processes=count,
            run=run_id,
            server=address.server,
            addresses=address.addresses,
            ca_file=arguments.settings.ca_file,
            insecure=arguments.settings.insecure,
            edition_name=edition.name,
            subject_kind=task.kind,
            secrets=task.secrets.values,
            spool=str(path),
        )
        for index, path in enumerate(processes.spools_of(folder, count))
    ]
    progress = ProgressLine()
    try:
        ended = processes.run(
            jobs,
            limits=task.limits,
            interrupt=task.interrupt,
            watch=lambda elapsed_s, counts: progress.show(elapsed_s, _progress_text(elapsed_s, spec, counts)),
        )
    finally:
        progress.end()
    together = SpoolJudge(
        edition,
        reported=ended.reported,
        began_ns=ended.began_ns,
        observer=recorder.add_exchange if recorder is not None else None,
    )
    had_enough: list[bool] = []
    task.interrupt.set_callback(None if ended.interrupted else lambda: had_enough.append(True))

    def tick() -> None:
        if had_enough:
            raise CheckStopped

    sys.stderr.write(f"judging together what {count} processes saw\n")
    measures = ended.measures
    with recorder if recorder is not None else nullcontext():
        checked = together.judge_folder(folder, tick)
        measures.add_metrics(together.unreported_metrics)
        interrupted = ended.interrupted or checked.interrupted
        aborted = ended.aborted
        if aborted is None and not checked.interrupted:
            aborted = _unaccounted_reason(
                measures.metrics.sent, sum(together.exchanges_by_worker.values()), together.judge
            )
        if recorder is not None:
            recorder.mark_early_end(interrupted=interrupted, aborted=aborted)
    lost = [
        f"process {index + 1} had sent {sent:,} requests as it last told, and its spool has {together.exchanges_by_worker.get(index, 0):,}"
        for index, sent in ended.counts.items()
        if index not in ended.reported
    ]
    notes = [
        f"{address.server} is {address.display_address}",
        *ended.notes,
        *lost,
        *checked.notes,
        *_recorder_notes(recorder),
    ]
    return LoadOutcome(judge=checked, measures=measures, interrupted=interrupted, aborted=aborted, notes=notes)


def _unaccounted_reason(sent: int, seen: int, judge: Judge) -> str | None:
    """What no process could tell of itself: that spools lack requests, or that the server fell silent for all of them."""
    if seen != sent:
        return f"the processes sent {sent:,} requests, and their spools have {seen:,}"
    return judge.outage.description if judge.outage is not None else None


def _spool_folder(arguments: Arguments, stack: ExitStack) -> Path:
    """Where spools go: beside the recording, where there is to be one, so that they are found if everything is killed."""
    if arguments.record is None:
        return Path(stack.enter_context(TemporaryDirectory(prefix="sora-harness-")))
    folder = Path(f"{arguments.record}.parts")
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise UsageError(f"--record: the folder {folder} cannot be made: {error.strerror or error}") from None
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _create_recorder(arguments: Arguments, task: LoadTask) -> RecordingWriter | None:
    from ..api.edition import load_edition as load_edition
    from ..load.spools import recording_scope
    from ..recording.writer import RecordingWriter

    if arguments.record is None:
        return None
    return RecordingWriter(
        arguments.record,
        subject=task.address.server,
        subject_kind=task.kind,
        edition=load_edition(task.spec.edition).name,
        options=task.options | recording_scope(task.spec.unobservable_requirements),
        secrets=task.secrets,
        limit_bytes=arguments.record_limit,
    )


def _recorder_notes(recorder: RecordingWriter | None) -> list[str]:
    return [recorder.problem] if recorder is not None and recorder.problem is not None else []


def _load_spec(arguments: Arguments, url: str | None, headers: Headers) -> LoadSpec:
    """What the options say; a server that we did not start is never hammered unasked."""
    from ..load.load_spec import SCENARIO_TARGETS, SOAK_USER_INTERVAL_S, LoadSpec

    scenario = arguments.scenario
    if scenario not in SCENARIO_TARGETS:
        raise UsageError(f"--scenario: {scenario!r} must be one of {', '.join(SCENARIO_TARGETS)}")
    if arguments.pollers is not None:
        if not scenario.startswith("scrape"):
            raise UsageError("--pollers is for --scenario scrape")
        if arguments.users is not None:
            raise UsageError("--pollers and --users are the same: give one of them")
    if arguments.cluster:
        if not scenario.startswith("scrape"):
            raise UsageError("--cluster is for --scenario scrape")
        scenario = "scrape-cluster"
    if arguments.weights and scenario not in ("mixed", "spike", "soak"):
        raise UsageError(f"--weights is for --scenario mixed, spike and soak, and {scenario} asks for one target")
    asked_users = arguments.users or arguments.pollers
    rate, interval_s = arguments.rate, arguments.interval
    if rate is not None and asked_users is not None:
        raise UsageError("--rate and --users are two models of load: give one of them")
    if rate is None and (arguments.ramp or arguments.max_in_flight != DEFAULT_MAX_IN_FLIGHT):
        raise UsageError("--ramp and --max-in-flight go with --rate")
    if rate is not None and interval_s is not None:
        raise UsageError("--interval goes with --users")
    if scenario == "spike" and rate is None:
        raise UsageError("--scenario spike is for the open model: give --rate N")
    if url is not None:
        if rate is None and (asked_users is None or interval_s is None):
            raise UsageError(
                "say how hard: --rate N, or --users N with --interval TIME (0: at once after the response)"
            )
        if arguments.duration is None:
            raise UsageError("say for how long: --duration TIME")
    if interval_s is None and scenario == "soak" and rate is None:
        interval_s = SOAK_USER_INTERVAL_S
    users = arguments.max_in_flight if rate is not None else asked_users or max(4, arguments.processes)
    common.check_enough_users("--sockets", arguments.sockets, users)
    common.check_enough_users("--processes", arguments.processes, users)
    if arguments.sockets is not None and arguments.sockets < arguments.processes:
        raise UsageError("--sockets: each process needs one at least")
    return LoadSpec(
        edition=arguments.settings.edition,
        headers=headers,
        timeout_s=arguments.settings.timeout_s,
        scenario=scenario,
        weights=arguments.weights or {},
        rate=rate,
        ramp_s=arguments.ramp,
        users=users,
        interval_s=interval_s or 0.0,
        duration_s=arguments.duration or DEFAULT_DURATION_S,
        warm_up_s=arguments.warm_up,
        sockets=arguments.sockets,
        keep_alive=not arguments.new_connection_each,
    )


def _start_simulator(arguments: Arguments, stack: ExitStack) -> str:
    common.announce_self_test()
    connections = arguments.connections or SELF_TEST_CONNECTION_COUNT
    return common.start_simulator(arguments, stack, connections=connections)[0]


def _plan_text(spec: LoadSpec, processes: int, url: str | None, limits: Sequence[AbortLimit]) -> str:
    if spec.rate is not None:
        ramp = f", reached over {spec.ramp_s:g} s" if spec.ramp_s else ""
        how = f"{spec.rate:g} requests/s (open model){ramp}, at most {spec.users} in flight"
    else:
        interval = f"every {spec.interval_s:g} s" if spec.interval_s else "at once after each response"
        how = f"{spec.users} users (closed model), each sending {interval}"
    sockets = "" if spec.sockets is None else f", over {spec.sockets} connections"
    if not spec.keep_alive:
        sockets += ", a new connection for each request"
    several = "" if processes == 1 else f" from {processes} processes"
    stop = " or ".join(each.text for each in limits)
    return (
        f"plan: scenario {spec.scenario} on {url or 'the embedded simulator'}: {how}{sockets}{several}, "
        f"for {spec.duration_s:g} s; aborts at {stop}"
    )


def _verdict_options(spec: LoadSpec, processes: int) -> dict[str, Any]:  # Any: JSON
    return {
        "scenario": spec.scenario,
        "weights": spec.weights or None,
        "rate": spec.rate,
        "ramp_s": spec.ramp_s,
        "users": spec.users,
        "interval_s": spec.interval_s if spec.rate is None else None,
        "duration_s": spec.duration_s,
        "warm_up_s": spec.warm_up_s,
        "sockets": spec.sockets,
        "new_connection_each": not spec.keep_alive,
        "processes": processes,
    }


def _progress_text(elapsed_s: float, spec: LoadSpec, counts: Mapping[str, int]) -> str:
    return f"{max(0.0, elapsed_s):5.1f} of {spec.duration_s:g} s  {counts['sent']:,} sent  {counts['errors']:,} errors"


def _load_notes(load: LoadResult) -> list[str]:
    """What the figures say that one should not overlook."""
    notes = []
    if load.generator_limited is not None:
        notes.append(f"the generator was the bottleneck: {load.generator_limited}")
    if load.due is not None and load.due - load.sent > load.processes:
        notes.append(
            f"{load.due - load.sent:,} requests fell due and were never sent: as many as may be were under way, "
            f"or the run was ended"
        )
    return notes


def _parse_weights(text: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, separator, value = part.strip().partition("=")
        if not separator or name not in ("connection", "client", "all") or name in weights:
            raise UsageError(f"{text!r}: give connection=N,client=N,all=N, or some of them")
        try:
            weights[name] = float(value)
        except ValueError:
            weights[name] = -1.0
        if not 0 <= weights[name] <= 1e6:
            raise UsageError(f"{part!r}: a weight is a number from 0 on")
    if not any(weights.values()):
        raise UsageError(f"{text!r}: one weight at least is more than 0")
    return weights


command = Command(
    "load",
    [
        *options.server_options(),
        *group(
            "the load",
            Option(
                ["--scenario"],
                default="mixed",
                metavar="NAME",
                help="mixed, scrape, scrape-cluster, spike, soak or drill (default: mixed)",
            ),
            Option(
                ["--rate"],
                type=options.RATE,
                metavar="N",
                help="open model: requests per second, whether or not responses arrive",
            ),
            Option(
                ["--ramp"], type=options.DURATION, default=0.0, metavar="TIME", help="let the rate rise over this long"
            ),
            Option(
                ["--max-in-flight"],
                type=_USERS,
                default=DEFAULT_MAX_IN_FLIGHT,
                metavar="N",
                help=f"open model: requests that may be under way at a time (default: {DEFAULT_MAX_IN_FLIGHT})",
            ),
            Option(["--users"], type=_USERS, metavar="N", help="closed model: users that each wait for their response"),
            Option(["--pollers"], type=_USERS, metavar="N", help="the same, for scrape: dashboards and exporters"),
            Option(
                ["--interval"],
                type=Parsed(parse_interval),
                metavar="TIME",
                help="from one request of a user to its next; 0: at once",
            ),
            Option(["--cluster"], is_flag=True, help="for scrape: ask for the whole cluster"),
            Option(
                ["--weights"],
                type=Parsed(_parse_weights),
                metavar="TARGET=N,...",
                help="for mixed: how often to ask for connection, client and all (default: connection=70,client=29,all=1)",
            ),
            Option(
                ["--duration"], type=options.DURATION, metavar="TIME", help="how long (default on the simulator: 10)"
            ),
            Option(
                ["--warm-up"],
                type=options.DURATION,
                default=0.0,
                metavar="TIME",
                help="leave the first requests, up to this time, out of the figures",
            ),
            Option(
                ["--sockets"], type=_USERS, metavar="N", help="share so many connections (default: one for each user)"
            ),
            Option(["--new-connection-each"], is_flag=True, help="use each connection for one request only"),
            options.processes_option(),
            options.abort_option("end early"),
            Option(["--dry-run"], is_flag=True, help="print the plan and send nothing"),
        ),
        *options.recording_options(),
        *options.judging_options(),
        *options.simulator_options(connections_help=f"how many connections (default: {SELF_TEST_CONNECTION_COUNT})"),
    ],
    examples=EXAMPLES,
    run=run,
)
