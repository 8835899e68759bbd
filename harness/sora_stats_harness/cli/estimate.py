"""`sora-harness estimate`: what polling costs, from at most five requests, and one more with `--edition auto`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from . import command_support as common
from . import options
from .framework import Arguments, Command, flag, group, with_value

if TYPE_CHECKING:
    from ..probe.doctor import Visit

EXAMPLES: Final = """\
examples:
  sora-harness estimate                                                      of the embedded simulator (SELF-TEST)
  sora-harness estimate http://127.0.0.1:3000 --pollers 3 --interval 1s
  sora-harness estimate http://127.0.0.1:3000 --pollers 2 --interval 15s --cluster
"""

INTERRUPT_POLL_S: Final = 0.1


def run(arguments: Arguments) -> int:
    """Send the requests, judge the responses, and report the estimate."""
    from ..api.exchange import Target, make_valid_request
    from ..judge.verdict_decision import RunEnding
    from ..probe.polling_estimate import (
        ESTIMATE_SCOPE,
        MAX_ESTIMATE_REQUESTS,
        PollingPlan,
        estimate_polling_cost,
        measure_requests,
    )

    settings = options.read_settings(arguments)
    if settings.url is None:
        common.announce_self_test(arguments)
    with common.JudgedRun(arguments, "estimate") as run:
        with run.stack:
            server = settings.url or common.start_simulator(arguments, run.stack)[0]
            notes = _find_edition(run, server)
            judge = arguments.settings.new_judge()
            local = False if arguments.cluster else None
            exchanges = measure_requests(
                make_valid_request(Target.ALL, server=server, headers=run.headers, local=local),
                judge,
                run.new_prober(),
                interrupt=run.interrupt,
                watch=lambda sent: run.progress.show(0, f"request {sent} of {MAX_ESTIMATE_REQUESTS}"),
            )
        visit = _visit(run, exchanges) if settings.url is not None else None
        found = None
        if visit is None or not visit.ends_early:
            polling = PollingPlan(pollers=arguments.pollers, interval_s=arguments.interval)
            found = estimate_polling_cost(exchanges, polling)
        aborted = None
        if found is None:
            aborted = _no_response_reason(exchanges) if visit is None or visit.problem is None else visit.reason
        facts = run.facts(
            subject=server,
            scope=ESTIMATE_SCOPE,
            ending=RunEnding(interrupted=run.interrupt.is_interrupted, aborted=aborted),
            options={"pollers": arguments.pollers, "interval_s": arguments.interval, "cluster": arguments.cluster},
            notes=notes,
            diagnosis=run.diagnose(visit),
        )
        return common.report_and_exit_code(arguments, judge, replace(facts, estimate=found))


def _visit(run: common.JudgedRun, exchanges: list[Any]) -> Visit | None:  # Any: Exchange, not imported here
    """What the first response shows of the server."""
    from ..probe.doctor import visit_server
    from ..probe.single_request import ProberAsk

    if not exchanges:
        return None
    ask = ProberAsk(run.new_prober, run.interrupt)
    return visit_server(exchanges[0], ask, command="sora-harness doctor")


def _find_edition(run: common.JudgedRun, server: str) -> list[str]:
    """Find the edition where it is `auto`, by one request more, and pause as after any other; gives notes."""
    from ..probe.polling_estimate import MIN_PAUSE_S, PAUSE_TO_DURATION_RATIO

    began_s = time.monotonic()
    if notes := run.find_edition(None, server):
        now_s = time.monotonic()
        until_s = now_s + max(MIN_PAUSE_S, PAUSE_TO_DURATION_RATIO * (now_s - began_s))
        while not run.interrupt.is_interrupted and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, INTERRUPT_POLL_S))
    return notes


def _no_response_reason(exchanges: list[Any]) -> str:  # Any: Exchange, which is not imported here
    errors = [exchange.error for exchange in exchanges if exchange.error is not None]
    return (
        f"no complete response: {errors[-1].code.value}: {errors[-1].detail}" if errors else "no response of status 200"
    )


command: Command = Command(
    "estimate",
    [
        *options.server_options(),
        *group(
            "the planned polling",
            with_value(
                "--pollers", "N", "how many pollers there are (default: 1)", type=options.integer(1, 100_000), default=1
            ),
            with_value(
                "--interval", "TIME", "how often each of them polls (default: 1s)", type=options.DURATION, default=1.0
            ),
            flag("--cluster", "they request the connections of all nodes (local: false)"),
        ),
        *options.judging_options(),
        *options.simulator_options(),
    ],
    examples=EXAMPLES,
    run=run,
)
