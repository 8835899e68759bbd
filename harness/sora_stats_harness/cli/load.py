"""
The command `load`: a Locust scenario with every answer judged.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from typing import Any, Final

from ..errors import UsageError
from . import common
from .progress import Progress
from .values import duration

HELP: Final = "run a load scenario, and judge every answer"

EXAMPLES: Final = """\
examples:
  sora-harness load --scenario mixed --rate 200 --duration 10s     on the embedded simulator (SELF-TEST)
  sora-harness load --users 4 --interval 0 --duration 5s           as fast as four users go
  sora-harness load http://127.0.0.1:3000 --scenario scrape --users 3 --interval 1 --duration 60s
  sora-harness load --rate 500 --duration 20s --dry-run            print the plan, send nothing"""

SELF_TEST_CONNECTIONS: Final = 100
DEFAULT_DURATION_S: Final = 10.0
DEFAULT_LIMITS: Final = ("errors>5%", "p99>10s")
MAX_USERS: Final = 10_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    common.add_server_options(parser)
    add = parser.add_argument_group("the load").add_argument
    add(
        "--scenario",
        default="mixed",
        metavar="NAME",
        help="mixed, scrape, scrape-cluster, spike, soak or drill (default: mixed)",
    )
    add("--rate", type=_rate, metavar="N", help="open model: requests a second, whether or not answers come")
    add("--ramp", type=duration, default=0.0, metavar="TIME", help="let the rate rise over this long")
    add("--max-in-flight", type=_users, default=64, metavar="N",
        help="open model: requests that may be under way at a time (default: 64)")  # fmt: skip
    add("--users", type=_users, metavar="N", help="closed model: users that each wait for their answer")
    add("--interval", type=_interval, metavar="TIME", help="from one sending of a user to its next; 0: at once")
    add("--duration", type=duration, metavar="TIME", help="how long (default on the simulator: 10)")
    add("--warm-up", type=duration, default=0.0, metavar="TIME", help="leave the first so many seconds untimed")
    add("--new-connection-each", action="store_true", help="never use a connection twice")
    add("--abort-when", action="append", metavar="LIMIT",
        help="end early at errors>5%% or p99>10s over the last 10 s (default: both; repeatable)")  # fmt: skip
    add("--dry-run", action="store_true", help="print the plan and send nothing")
    add("--record", metavar="FILE", help="write every exchange to a .jsonl or .jsonl.zst file")
    common.add_judging_options(parser)
    common.add_simulator_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """
    Send, judge, measure and report.

    Returns:
        The exit code of the verdict.

    Raises:
        UsageError: A plan that is not bounded, or a value that cannot be used.
    """
    try:
        from ..load import run as runs  # first of all: Locust replaces the socket module for everybody
    except ImportError:
        raise UsageError("load needs Locust: pip install 'sora-stats-harness[load]'") from None
    from ..client import server_of
    from ..edition import load
    from ..exchange import TransportError
    from ..interrupt import Interrupt
    from ..load.http import resolve
    from ..load.limits import limit
    from ..load.plain import NEEDS
    from ..load.scenarios import SCENARIOS, SOAK_INTERVAL_S, SPIKE
    from ..load.schedule import spiked, steady
    from ..load.session import Session, excluded
    from ..recording.writer import Recorder
    from ..reporters.assemble import utc_now

    started_at = utc_now()
    url = common.resolve_url(arguments)
    common.check_simulator_options(arguments, url)
    if arguments.scenario not in SCENARIOS:
        raise UsageError(f"--scenario: {arguments.scenario!r} is none of {', '.join(SCENARIOS)}")
    scenario = SCENARIOS[arguments.scenario]
    out_of_scope = excluded(scenario.targets or frozenset())
    limits = tuple(limit(text) for text in arguments.abort_when or DEFAULT_LIMITS)
    users, duration_s = _bounds(arguments, url)
    if arguments.scenario == "spike" and arguments.rate is None:
        raise UsageError("--scenario spike is for the open model: give --rate N")
    if arguments.interval is None and arguments.scenario == "soak":
        arguments.interval = SOAK_INTERVAL_S
    headers, secrets = common.read_headers(arguments.header)
    edition = load(arguments.edition)
    sys.stderr.write(f"{_plan(arguments, url, users, duration_s, limits)}\n")
    if arguments.dry_run:
        return 0
    with Interrupt() as interrupt:
        with ExitStack() as stack:
            server = server_of(url) if url is not None else _simulator(arguments, stack)
            address = resolve(server, ca_file=arguments.ca_file, insecure=arguments.insecure)
            if isinstance(address, TransportError):
                raise UsageError(f"{server}: {address.detail}")
            options = _options(arguments, users, duration_s)
            recorder = None
            if arguments.record is not None:
                scope = {"observes": sorted(need.value for need in NEEDS), "excluded": sorted(out_of_scope)}
                recorder = stack.enter_context(
                    Recorder(
                        arguments.record, subject=server, subject_kind="simulator" if url is None else "server",
                        edition=edition.name, options=options | scope, secrets=secrets,
                    )
                )  # fmt: skip
            if arguments.scenario == "spike":
                pieces = spiked(arguments.rate, SPIKE, duration_s, arguments.ramp)
            else:
                pieces = steady(arguments.rate or 0.0, arguments.ramp)
            session = Session(
                edition, address, headers=headers, timeout_s=arguments.timeout, rate=arguments.rate,
                pieces=pieces, interval_s=arguments.interval or 0.0, observer=recorder.add if recorder is not None else None,
                keep_alive=not arguments.new_connection_each, warm_up_s=arguments.warm_up,
            )  # fmt: skip
            progress = Progress()

            def watch(elapsed_s: float) -> None:
                metrics = session.metrics
                progress.show(
                    elapsed_s, f"{elapsed_s:5.1f} of {duration_s:g} s  {metrics.sent:,} sent  {metrics.errors:,} errors"
                )

            try:
                ended = runs.run(
                    session, scenario, users=users, duration_s=duration_s, limits=limits, interrupt=interrupt,
                    watch=watch,
                )  # fmt: skip
            finally:
                progress.end()
        notes = _notes(session, ended)
        if recorder is not None and recorder.problem is not None:
            notes.append(recorder.problem)
        return common.finish(
            arguments,
            command="load",
            judge=session.judge,
            observes=NEEDS,
            excluded=out_of_scope,
            subject=server,
            judged_from="live",
            started_at=started_at,
            options=options,
            interrupted=ended.interrupted,
            aborted=ended.aborted,
            extra_notes=notes,
            secrets=secrets,
            sections=[session.metrics.section(), _traffic(session, ended), session.metrics.timeline_section()],
        )


def _bounds(arguments: argparse.Namespace, url: str | None) -> tuple[int, float]:
    """How many users, and how long; a server that we did not start is never hammered unasked."""
    open_model = arguments.rate is not None
    if open_model and arguments.users is not None:
        raise UsageError("--rate and --users are two models of load: give one of them")
    if not open_model and (arguments.ramp or arguments.max_in_flight != 64):
        raise UsageError("--ramp and --max-in-flight go with --rate")
    if url is not None:
        if not open_model and (arguments.users is None or arguments.interval is None):
            raise UsageError("say how hard: --rate N, or --users N with --interval TIME (0: at once after the answer)")
        if arguments.duration is None:
            raise UsageError("say for how long: --duration TIME")
    users = arguments.max_in_flight if open_model else arguments.users or 4
    return users, arguments.duration or DEFAULT_DURATION_S


def _simulator(arguments: argparse.Namespace, stack: ExitStack) -> str:
    from ..simulator.server import spawn

    sys.stderr.write("SELF-TEST: no URL was given, so the embedded simulator is asked, and no Sora\n")
    settings = {"connections": SELF_TEST_CONNECTIONS} | common.simulator_settings(arguments)
    spawned = stack.enter_context(spawn(**settings, edition=arguments.edition))
    return spawned.urls[0]


def _plan(
    arguments: argparse.Namespace, url: str | None, users: int, duration_s: float, limits: tuple[Any, ...]
) -> str:  # Any: load.run.Limit, which is not imported here
    if arguments.rate is not None:
        how = f"{arguments.rate:g} requests/s (open model), at most {users} in flight"
    else:
        interval = f"every {arguments.interval:g} s" if arguments.interval else "at once after each answer"
        how = f"{users} users (closed model), each sending {interval}"
    stop = " or ".join(each.text for each in limits)
    return (
        f"plan: scenario {arguments.scenario} on {url or 'the embedded simulator'}: {how}, "
        f"for {duration_s:g} s; aborts at {stop}"
    )


def _options(arguments: argparse.Namespace, users: int, duration_s: float) -> dict[str, Any]:
    return {
        "scenario": arguments.scenario,
        "rate": arguments.rate,
        "ramp_s": arguments.ramp,
        "users": users,
        "interval_s": arguments.interval,
        "duration_s": duration_s,
        "warm_up_s": arguments.warm_up,
        "new_connection_each": arguments.new_connection_each,
    }


def _notes(session: Any, ended: Any) -> list[str]:  # Any: load's own types, which are not imported here
    notes = []
    late, delay, service = (
        session.metrics.whole(kind).percentile(99) or 0 for kind in ("lateness", "generator delay", "service")
    )
    if ended.cpu_share > 0.9:
        notes.append(f"the generator was the bottleneck: it took {ended.cpu_share:.0%} of a core")
    elif max(late, delay) > max(service, 1000):
        notes.append(
            f"the generator was the bottleneck: p99 of lateness {late / 1000:g} ms, of its own delay {delay / 1000:g} ms"
        )
    offered = session.offered()
    if offered is not None and offered - session.metrics.sent > 1:
        notes.append(
            f"{offered - session.metrics.sent:,} requests fell due and were never sent: all were under way that may be"
        )
    if session.in_flight:
        notes.append(f"{session.in_flight} requests are not accounted for: a fault of the harness")
    notes.append(f"{session.address.server} is {session.address.shown}")
    if session.traffic.stray:
        notes.append(f"on {session.traffic.stray} idle connections came bytes that nobody had asked for")
    if session.traffic.idle_closes:
        notes.append(f"{session.traffic.idle_closes} requests met a kept-alive connection that was being closed")
    return notes


def _traffic(session: Any, ended: Any) -> Any:  # Any: as above; a verdict.Section
    from ..verdict import Section

    metrics, traffic = session.metrics, session.traffic
    seconds = ended.lasted_s
    return Section(
        title="Traffic",
        columns=["what", "count", "a second"],
        rows=[
            ["offered", session.offered(), None],
            ["sent", metrics.sent, round(metrics.sent / seconds, 1)],
            ["judged", metrics.judged, round(metrics.judged / seconds, 1)],
            ["errors", metrics.errors, None],
            ["abandoned", metrics.abandoned, None],
            ["bytes sent", traffic.sent_bytes, round(traffic.sent_bytes / seconds)],
            ["bytes received", traffic.received_bytes, round(traffic.received_bytes / seconds)],
            ["connections made", traffic.connects, None],
            ["p99 of connecting, us", traffic.connect.percentile(99), None],
        ],
        note="Sent is the sum of judged, errors and abandoned.",
    )


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate: give requests a second, more than 0")
    return value


def _users(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= MAX_USERS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 to {MAX_USERS}")
    return int(text)


def _interval(text: str) -> float:
    return 0.0 if text.strip("0") in ("", ".", "s") else duration(text)
