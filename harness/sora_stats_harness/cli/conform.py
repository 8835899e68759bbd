"""
`sora-harness conform`: the gate on the command line.

It turns options into a plan, starts the simulator if no URL is given, and leaves the rest to `probe` and `reports`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import click

from ..api.errors import UsageError
from ..api.server_url import EXAMPLE_URL
from . import command_support as common
from . import options
from .framework import Arguments, Command, Option, flag, group, with_value, with_values
from .output import ProgressLine

if TYPE_CHECKING:
    from ..api.exchange import Headers
    from ..api.project_config import GivenConnection
    from ..judge.pipeline import Judge
    from ..probe.conformance_plan import ConformancePlan
    from ..probe.conformance_run import ConformanceProgress
    from ..probe.doctor import Visit

EXAMPLES: Final = """\
examples:
  sora-harness conform                                   probe the embedded simulator (SELF-TEST)
  sora-harness conform http://127.0.0.1:3000             probe a server for 10 seconds
  sora-harness conform http://127.0.0.1:3000 --duration 1m --fail-on habit --record run.jsonl.zst
  sora-harness conform http://127.0.0.1:3000 --fuzz 500 --seed 7
  sora-harness conform http://10.0.0.1:3000 --node http://10.0.0.2:3000 --node http://10.0.0.3:3000
  sora-harness conform https://sora.example --valid-only --targets GetStatsConnection \\
      --channel-id lobby --connection-id 0R5FMC8FE10K5BP2NRM8Z0ZX1C --header 'Authorization: env:SORA_TOKEN'
"""

MAX_FUZZ_DOCUMENTS: Final = 1_000_000


def run(arguments: Arguments) -> int:
    """Probe, judge and report."""
    from ..probe.conformance_run import run_conformance
    from ..probe.single_request import ProberAsk

    settings = options.read_settings(arguments)
    seed = _fuzz_seed(arguments)
    if settings.url is None and (arguments.node or arguments.given_connections):
        raise UsageError("--node, --channel-id, --connection-id and --client-id go with a URL")
    with common.JudgedRun(arguments, "conform") as run:
        if arguments.dry_run:
            _show_plan(arguments, run, _make_plan(arguments, [settings.url or EXAMPLE_URL], run.headers), None)
            return 0
        with run.stack:
            plan = _make_plan(arguments, _resolve_servers(arguments, run.stack), run.headers)
            visit = run.visit(ProberAsk(run.new_prober, run.interrupt), "sora-harness conform")
            _show_plan(arguments, run, plan, visit)
            notes = run.find_edition(visit, plan.server)
            verdict_options = _verdict_options(plan) | ({} if seed is None else {"fuzz": arguments.fuzz, "seed": seed})
            recorder = run.start_recorder(plan.server, verdict_options | plan.scope.to_options())
            judge = arguments.settings.new_judge(
                observer=None if recorder is None else recorder.add_exchange, nodes=plan.servers
            )
            if seed is not None and (visit is None or not visit.ends_early):
                notes += _run_fuzz(plan, arguments.fuzz, seed, judge, run)
            result = run_conformance(
                plan, judge, run.new_prober(), interrupt=run.interrupt, watch=_make_watcher(run.progress, plan)
            )
            if recorder is not None:
                ending = result.ending
                recorder.mark_early_end(interrupted=ending.interrupted, aborted=ending.broken or ending.aborted)
        if recorder is not None and recorder.problem is not None:
            notes.append(recorder.problem)
        facts = run.facts(
            subject=plan.server,
            scope=plan.scope,
            ending=result.ending,
            options=verdict_options,
            notes=[*result.notes, *notes],
            diagnosis=run.diagnose(visit),
        )
        return common.report_and_exit_code(arguments, judge, facts)


def _make_plan(arguments: Arguments, servers: Sequence[str], headers: Headers) -> ConformancePlan:
    settings = arguments.settings
    return settings.gate.make_plan(servers, headers, simulated=settings.url is None)


def _show_plan(arguments: Arguments, run: common.JudgedRun, plan: ConformancePlan, visit: Visit | None) -> None:
    """Print on stderr what will be sent; nothing if the run ends before that."""
    from ..probe.plan_text import pace_text

    if visit is not None and visit.ends_early:
        return
    listing = None
    if visit is not None and visit.listing.response is not None:
        listing = len(visit.listing.response.body), len(visit.connections)
    subject = "the embedded simulator" if arguments.settings.url is None else " and ".join(plan.servers)
    fuzz = "" if arguments.fuzz is None else f"; before that {arguments.fuzz} made-up requests"
    additions = common.plan_additions(arguments)
    run.show_plan(f"plan: conform on {subject}: {pace_text(plan, listing)}{fuzz}{additions}")


def _resolve_servers(arguments: Arguments, stack: ExitStack) -> Sequence[str]:
    """The nodes to probe; without a URL those of a simulator that runs until the stack is closed."""
    if arguments.settings.url is not None:
        return [arguments.settings.url]
    common.announce_self_test(arguments)
    return common.start_simulator(arguments, stack)


def _fuzz_seed(arguments: Arguments) -> int | None:
    """The seed of the made-up requests; None without --fuzz."""
    if arguments.fuzz is None:
        return None
    from ..probe.fuzz import require_hypothesis

    if arguments.settings.gate.valid_only:
        raise UsageError("--fuzz sends requests that are wrong on purpose, which --valid-only forbids: leave one out")
    require_hypothesis()
    return arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(2**32)


def _run_fuzz(target: ConformancePlan, count: int, seed: int, judge: Judge, run: common.JudgedRun) -> list[str]:
    """Send made-up requests; returns notes about them."""
    from ..judge.checks.wrong_requests import describe_request
    from ..probe.fuzz import FuzzPlan, run_fuzz

    started_s = time.monotonic()

    def watch(sent: int) -> None:
        run.progress.show(time.monotonic() - started_s, f"conform: {sent} of {count} made-up requests")

    plan = FuzzPlan(target=target, count=count, seed=seed)
    result = run_fuzz(plan, judge, run.new_prober(), interrupt=run.interrupt, watch=watch)
    if result.sent == 0 and not result.failures:
        return [f"no made-up request was sent: {result.end_reason}"]
    repeat = f"--fuzz {plan.count} --seed {plan.seed} repeats them"
    over = f", {result.passed_over} skipped because its kind had failed before" if result.passed_over else ""
    ended = f"; {result.end_reason}" if result.end_reason is not None else ""
    tried = f"{result.sent} of {plan.count} made-up requests were sent{over} ({repeat})"
    if not result.failures:
        return [f"{tried}: no response had a status of 5xx, and each body was JSON or empty{ended}"]
    kinds = "one kind fails" if len(result.failures) == 1 else f"{len(result.failures)} kinds fail"
    return [
        f"{tried}: {kinds}; {result.shrinking} more were sent to find the smallest of each{ended}",
        *(
            f"fails ({failure.violated}): {describe_request(failure.smallest)}"
            + ("" if failure.reproduced else "; it did not fail again when it was sent once more")
            for failure in result.failures
        ),
    ]


def _verdict_options(plan: ConformancePlan) -> dict[str, Any]:
    """The options that a verdict and a recording contain; without values of headers."""
    return {
        "duration_s": plan.duration_s,
        "max_duration_s": plan.time_limit_s,
        "until": plan.until,
        "targets": sorted(target.operation for target in plan.targets),
        "nodes": list(plan.servers),
        "given": len(plan.given_connections),
        "concurrency": plan.concurrency,
        "rate": plan.rate,
        "bytes_per_s": plan.bytes_per_s,
        "valid_only": not plan.send_wrong_requests,
        "large_request": plan.send_large_request,
    }


def read_connections(asked: Iterable[tuple[str, str]]) -> list[GivenConnection]:
    """Assign each connection and client to the channel named before it."""
    from ..api.project_config import GivenConnection

    channel_id: str | None = None
    used = True
    given = []
    for option, value in asked:
        if option == "--channel-id":
            if not used:
                break
            channel_id, used = value, False
            continue
        if channel_id is None:
            raise UsageError(f"{option} {value}: name its --channel-id before it")
        used = True
        key = "connection_id" if option == "--connection-id" else "client_id"
        given.append(GivenConnection(channel_id=channel_id, **{key: value}))
    if not used:
        raise UsageError(f"--channel-id {channel_id}: name its --connection-id or --client-id after it")
    return given


def _make_watcher(progress: ProgressLine, plan: ConformancePlan) -> Callable[[ConformanceProgress], None]:
    def watch(status: ConformanceProgress) -> None:
        limit_s = plan.duration_s if status.elapsed_s <= plan.duration_s else plan.time_limit_s
        progress.show(
            status.elapsed_s,
            f"conform: {min(status.elapsed_s, limit_s):.0f} of {limit_s:g} s, "
            f"{status.exchanges} exchanges, {status.connections} connections, {status.errors} without a complete "
            f"response",
        )

    return watch


_ID_OPTIONS: Final = {"channel_id": "--channel-id", "connection_id": "--connection-id", "client_id": "--client-id"}


class _ConformCommand(Command):
    """Keeps channels, connections and clients in the order in which they were given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and restore the order across the three options."""
        order = [param.name for param in self.make_parser(ctx).parse_args(list(args))[2]]
        rest = super().parse_args(ctx, args)
        values = {name: iter(ctx.params.pop(name)) for name in _ID_OPTIONS}
        asked = [(_ID_OPTIONS[name], next(values[name])) for name in order if name in _ID_OPTIONS]
        ctx.params["given_connections"] = read_connections(asked) or None
        return rest


command: _ConformCommand = _ConformCommand(
    "conform",
    [
        *options.server_options(),
        *group(
            "requests",
            with_value("--duration", "TIME", "how long to probe at least: 10, 90s, 5m (default: 10)"),
            with_value(
                "--max-duration",
                "TIME",
                "how long to probe at most, if some requirements were not observed within --duration "
                "(default: 60, or --duration if that is longer)",
            ),
            with_value(
                "--rate", "N", "send at most this many requests per second (default: 50; to the embedded simulator 400)"
            ),
            with_value(
                "--until",
                "PERCENT",
                "probe until a fault in more than this share would have been seen, with 95 %, by every MUST and for "
                "each target; bounded by --max-duration",
            ),
            with_value(
                "--targets",
                "NAMES",
                "send only these, separated by commas: GetStatsConnection, GetStatsClient, GetStatsAllConnections "
                "(default: all three)",
            ),
            with_values("--node", "URL", "another node of the cluster to which URL belongs (repeatable)"),
            with_values(
                "--channel-id",
                "ID",
                "ask for connections of this channel instead of those in a listing: followed by --connection-id or "
                "--client-id (all three repeatable)",
            ),
            with_values("--connection-id", "ID", "a connection of the channel named before"),
            with_values("--client-id", "ID", "a client of the channel named before"),
            Option(["--valid-only/--no-valid-only"], default=None, help="send no request that is wrong on purpose"),
            Option(
                ["--large-request/--no-large-request"],
                default=None,
                help="send one wrong request of more than 8 MB as well",
            ),
            with_value(
                "--fuzz",
                "N",
                "before that, send N made-up requests, valid and wrong, and find the smallest that fails; --seed "
                "repeats them",
                type=options.integer(1, MAX_FUZZ_DOCUMENTS),
            ),
            with_value("--concurrency", "N", "requests that may overlap, 1 to 32 (default: 8)"),
            options.wait_option(),
            flag("--dry-run", "print the plan and send nothing"),
        ),
        *options.recording_options(),
        *options.judging_options(),
        *options.simulator_options(),
    ],
    examples=EXAMPLES,
    run=run,
)
