"""
`sora-harness conform`: the gate on the command line.

It turns options into a plan, starts the simulator where no URL was given, and leaves the rest to `probe` and `reports`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import click

from ..api.errors import UsageError, suggest_nearest
from ..api.server_url import normalize_server_url
from . import command_support as common
from . import options
from .framework import Arguments, Command, flag, group, with_value, with_values
from .output import ProgressLine

if TYPE_CHECKING:
    from ..api.exchange import Headers, Target
    from ..judge.pipeline import Judge
    from ..probe.conformance_plan import ConformancePlan
    from ..probe.conformance_run import ConformanceProgress
    from ..probe.discovery import KnownConnection
    from ..recording.writer import RecordingWriter

EXAMPLES: Final = """\
examples:
  sora-harness conform                                   probe the embedded simulator (SELF-TEST)
  sora-harness conform http://127.0.0.1:3000             probe a server for 10 seconds
  sora-harness conform http://127.0.0.1:3000 --duration 1m --strict --record run.jsonl.zst
  sora-harness conform http://127.0.0.1:3000 --fuzz 500 --seed 7
  sora-harness conform http://10.0.0.1:3000 --node http://10.0.0.2:3000 --node http://10.0.0.3:3000
  sora-harness conform https://sora.example --valid-only --targets GetStatsConnection \\
      --channel-id lobby --connection-id 0R5FMC8FE10K5BP2NRM8Z0ZX1C --header 'Authorization: env:SORA_TOKEN'
"""

MAX_FUZZ_DOCUMENTS: Final = 1_000_000


def run(arguments: Arguments) -> int:
    """
    Probe, judge and report.

    Returns:
        The exit code of the verdict.

    Raises:
        UsageError: Options that contradict each other, or a value that cannot be used.
        SimulatorError: The embedded simulator did not start.
    """
    from ..api.edition import load_edition
    from ..judge.checks.user_checks import load_check_files
    from ..judge.pipeline import Judge, JudgeOptions
    from ..judge.verdict_decision import RunEnding
    from ..probe.conformance_run import run_conformance
    from ..probe.edition_detection import detect_by_server

    settings = options.read_settings(arguments)
    seed = _fuzz_seed(arguments)
    with common.JudgedRun(arguments, "conform") as run:
        with run.stack:
            plan = _probe_plan(arguments, _resolve_servers(arguments, run.stack), run.headers)
            verdict_options = _verdict_options(plan) | ({} if seed is None else {"fuzz": arguments.fuzz, "seed": seed})
            notes = common.detect_edition(
                arguments, lambda: detect_by_server(plan.server, run.headers, run.new_prober(), run.interrupt)
            )
            recorder = _start_recorder(arguments, run, plan, verdict_options)
            judge = Judge(
                load_edition(arguments.settings.edition),
                observer=recorder.add_exchange if recorder else None,
                options=JudgeOptions(nodes=plan.servers, tear_s=settings.tear_s),
                checks=load_check_files(settings.checks),
            )
            if seed is not None:
                notes += _run_fuzz(plan, arguments.fuzz, seed, judge, run)
            result = run_conformance(
                plan, judge, run.new_prober(), interrupt=run.interrupt, watch=_make_watcher(run.progress, plan)
            )
            if recorder is not None:
                recorder.mark_early_end(interrupted=result.interrupted, aborted=result.aborted)
        if recorder is not None and recorder.problem is not None:
            notes.append(recorder.problem)
        facts = run.facts(
            subject=plan.server,
            scope=plan.scope,
            ending=RunEnding(interrupted=result.interrupted, aborted=result.aborted),
            options=verdict_options,
            notes=[*result.notes, *notes],
        )
        return common.report_and_exit_code(arguments, judge, facts)


def _start_recorder(
    arguments: Arguments, run: common.JudgedRun, plan: ConformancePlan, verdict_options: dict[str, Any]
) -> RecordingWriter | None:
    """What records the run until its stack ends; None without --record."""
    from ..api.edition import load_edition
    from ..recording.writer import RecordedRun, RecordingLimits, RecordingWriter

    if arguments.record is None:
        return None
    recorded = RecordedRun(
        subject=plan.server,
        subject_kind="simulator" if arguments.settings.url is None else "server",
        edition=load_edition(arguments.settings.edition).name,
        options=verdict_options | plan.scope.to_options(),
    )
    limits = RecordingLimits(file_bytes=arguments.record_limit)
    return run.stack.enter_context(RecordingWriter(arguments.record, recorded, secrets=run.secrets, limits=limits))


def _resolve_servers(arguments: Arguments, stack: ExitStack) -> Sequence[str]:
    """The nodes to probe; without a URL those of a simulator, which lives as long as the stack."""
    url = arguments.settings.url
    if url is not None:
        return list(dict.fromkeys([url, *(normalize_server_url(node) for node in arguments.node)]))
    if arguments.node or arguments.asked:
        raise UsageError("--node, --channel-id, --connection-id and --client-id go with a URL")
    common.announce_self_test(arguments)
    return common.start_simulator(arguments, stack)


def _fuzz_seed(arguments: Arguments) -> int | None:
    """What the made-up requests are drawn from; None where there are to be none."""
    if arguments.fuzz is None:
        return None
    from ..probe.fuzz import require_hypothesis

    if arguments.valid_only:
        raise UsageError("--fuzz sends requests that are wrong on purpose, and --valid-only none: leave one out")
    require_hypothesis()
    return arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(2**32)


def _run_fuzz(target: ConformancePlan, count: int, seed: int, judge: Judge, run: common.JudgedRun) -> list[str]:
    """Send made-up requests; gives notes about them."""
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
    over = f", {result.passed_over} passed over as of a kind that had failed" if result.passed_over else ""
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


def _probe_plan(arguments: Arguments, servers: Sequence[str], headers: Headers) -> ConformancePlan:
    from ..probe.conformance_plan import SERVER_RATE, SIMULATOR_RATE, ConformancePlan

    return ConformancePlan(
        server=servers[0],
        nodes=tuple(servers[1:]),
        targets=_parse_targets(arguments.targets),
        given_connections=known_from_options(arguments.asked, servers[0]),
        duration_s=arguments.duration,
        max_duration_s=arguments.max_duration,
        concurrency=arguments.concurrency,
        rate=SIMULATOR_RATE if arguments.settings.url is None else SERVER_RATE,
        headers=headers,
        send_wrong_requests=not arguments.valid_only,
        send_large_request=arguments.large_request,
    )


def _verdict_options(plan: ConformancePlan) -> dict[str, Any]:
    """What a verdict and a recording hold of the run; header values stay out."""
    return {
        "duration_s": plan.duration_s,
        "max_duration_s": plan.time_limit_s,
        "targets": sorted(target.operation for target in plan.targets),
        "nodes": list(plan.servers),
        "given": len(plan.given_connections),
        "concurrency": plan.concurrency,
        "rate": plan.rate,
        "valid_only": not plan.send_wrong_requests,
        "large_request": plan.send_large_request,
    }


def _parse_targets(names: str | None) -> frozenset[Target]:
    from ..api.exchange import TARGET_OF_OPERATION

    if names is None:
        return frozenset(TARGET_OF_OPERATION.values())
    chosen = [name.strip() for name in names.split(",")]
    if unknown := [name for name in chosen if name not in TARGET_OF_OPERATION]:
        raise UsageError(
            f"--targets: {unknown[0]!r} must be one of {', '.join(TARGET_OF_OPERATION)}"
            f"{suggest_nearest(unknown[0], TARGET_OF_OPERATION)}"
        )
    return frozenset(TARGET_OF_OPERATION[name] for name in chosen)


def known_from_options(asked: Iterable[tuple[str, str]], server: str) -> tuple[KnownConnection, ...]:
    """Each connection and client belongs to the channel named before it."""
    from ..probe.discovery import KnownConnection

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
        if option == "--connection-id":
            given.append(KnownConnection(server=server, channel_id=channel_id, connection_id=value))
        else:
            given.append(KnownConnection(server=server, channel_id=channel_id, client_id=value))
    if not used:
        raise UsageError(f"--channel-id {channel_id}: name its --connection-id or --client-id after it")
    return tuple(given)


def _make_watcher(progress: ProgressLine, plan: ConformancePlan) -> Callable[[ConformanceProgress], None]:
    def watch(status: ConformanceProgress) -> None:
        limit_s = plan.duration_s if status.elapsed_s <= plan.duration_s else plan.time_limit_s
        progress.show(
            status.elapsed_s,
            f"conform: {min(status.elapsed_s, limit_s):.0f} of {limit_s:g} s, "
            f"{status.exchanges} exchanges, {status.connections} connections, {status.errors} without a complete response",
        )

    return watch


_ID_OPTIONS: Final = {"channel_id": "--channel-id", "connection_id": "--connection-id", "client_id": "--client-id"}


class _ConformCommand(Command):
    """Keeps channels, connections and clients in the order in which they were given, as `asked`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and bring the options of several names into one order."""
        order = [param.name for param in self.make_parser(ctx).parse_args(list(args))[2]]
        rest = super().parse_args(ctx, args)
        values = {name: iter(ctx.params.pop(name)) for name in _ID_OPTIONS}
        ctx.params["asked"] = [(_ID_OPTIONS[name], next(values[name])) for name in order if name in _ID_OPTIONS]
        return rest


command: _ConformCommand = _ConformCommand(
    "conform",
    [
        *options.server_options(),
        *group(
            "requests",
            with_value(
                "--duration",
                "TIME",
                "how long to probe at least: 10, 90s, 5m (default: 10)",
                type=options.DURATION,
                default=10.0,
            ),
            with_value(
                "--max-duration",
                "TIME",
                "how long to probe at most, where after --duration not every requirement was observed yet "
                "(default: 60, or --duration where that is longer)",
                type=options.DURATION,
            ),
            with_value(
                "--targets",
                "NAMES",
                "send only these, with commas between: GetStatsConnection, GetStatsClient, GetStatsAllConnections "
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
            flag("--valid-only", "send no request that is wrong on purpose"),
            flag("--large-request", "send one wrong request of more than 8 MB as well"),
            with_value(
                "--fuzz",
                "N",
                "before that, send N made-up requests, valid and wrong, and find the smallest that fails; --seed "
                "repeats them",
                type=options.integer(1, MAX_FUZZ_DOCUMENTS),
            ),
            with_value(
                "--concurrency",
                "N",
                "requests that may overlap, 1 to 32 (default: 8)",
                type=options.integer(1, 32),
                default=8,
            ),
        ),
        *options.recording_options(),
        *options.judging_options(),
        *options.simulator_options(),
    ],
    examples=EXAMPLES,
    run=run,
)
