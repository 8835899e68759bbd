"""
The command `estimate_polling_cost`: what polling costs, by at most five requests, and one before them with `--edition auto`.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from ..probe.edition_detection import detect_by_server
from . import command_support as common
from .argument_types import parse_duration
from .output import write_output
from .progress import ProgressLine

if TYPE_CHECKING:
    from ..probe.interrupt import InterruptHandler

HELP: Final = "tell what polling costs, by a few polite requests"

EXAMPLES: Final = """\
examples:
  sora-harness estimate                                                      of the embedded simulator (SELF-TEST)
  sora-harness estimate http://127.0.0.1:3000 --pollers 3 --interval 1s
  sora-harness estimate http://127.0.0.1:3000 --pollers 2 --interval 15s --cluster"""


INTERRUPT_POLL_S: Final = 0.1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    common.add_server_options(parser)
    add = parser.add_argument_group("the planned polling").add_argument
    add("--pollers", type=_parse_pollers, default=1, metavar="N", help="how many poll (default: 1)")
    add("--interval", type=parse_duration, default=1.0, metavar="TIME", help="of each of them (default: 1s)")
    add("--cluster", action="store_true", help="they ask for the connections of all nodes (local: false)")
    common.add_judging_options(parser)
    common.add_simulator_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """
    Ask, judge, work it out and report.

    Returns:
        The exit code of the verdict.

    Raises:
        UsageError: A value that cannot be used.
    """
    from ..api.edition import load_edition
    from ..api.exchange import Target, make_valid_request
    from ..judge.pipeline import Judge
    from ..judge.requirements import RequiredCapability
    from ..probe.interrupt import InterruptHandler
    from ..probe.polling_estimate import (
        MAX_ESTIMATE_REQUESTS,
        PollingPlan,
        estimate_polling_cost,
        estimate_section,
        measure_requests,
    )
    from ..probe.prober import Prober, normalize_server_url
    from ..reports.verdict_assembly import format_utc_now

    started_at = format_utc_now()
    url = common.server_url(arguments)
    common.check_simulator_options(arguments, url)
    headers, secrets = common.read_headers(arguments.header)
    common.check_edition(arguments)
    polling = PollingPlan(pollers=arguments.pollers, interval_s=arguments.interval)
    progress = ProgressLine()
    with InterruptHandler() as interrupt:
        with ExitStack() as stack:
            server = normalize_server_url(url) if url is not None else _start_simulator(arguments, stack)

            def prober() -> Prober:
                return Prober(timeout_s=arguments.timeout, ca_file=arguments.ca_file, insecure=arguments.insecure)

            began_s = time.monotonic()
            notes = common.detect_edition(arguments, lambda: detect_by_server(server, headers, prober(), interrupt))
            if notes:
                _pause_between_requests(time.monotonic() - began_s, interrupt)
            judge = Judge(load_edition(arguments.edition))
            try:
                exchanges = measure_requests(
                    make_valid_request(
                        Target.ALL, server=server, headers=headers, local=False if arguments.cluster else None
                    ),
                    judge,
                    prober(),
                    interrupt=interrupt,
                    watch=lambda sent: progress.show(0, f"request {sent} of {MAX_ESTIMATE_REQUESTS}"),
                )
            finally:
                progress.end()
        found = estimate_polling_cost(exchanges, polling)
        return common.report_and_exit_code(
            arguments,
            command="estimate",
            judge=judge,
            observes={
                RequiredCapability.EXCHANGES,
                RequiredCapability.BODIES,
                RequiredCapability.ARGUMENTS,
                RequiredCapability.TIMES,
            },
            excluded={"identity.asked", "identity.client", "identity.present"},
            subject=server,
            judged_from="live",
            started_at=started_at,
            options=_verdict_options(arguments),
            interrupted=interrupt.is_interrupted,
            aborted=_no_response_reason(exchanges) if found is None else None,
            extra_notes=notes,
            secrets=secrets,
            sections=[] if found is None else [estimate_section(found)],
            estimate=found,
        )


def _pause_between_requests(took_s: float, interrupt: InterruptHandler) -> None:
    """As after any other request."""
    from ..probe.polling_estimate import MIN_PAUSE_S, PAUSE_TO_DURATION_RATIO

    until_s = time.monotonic() + max(MIN_PAUSE_S, PAUSE_TO_DURATION_RATIO * took_s)
    while not interrupt.is_interrupted and (left_s := until_s - time.monotonic()) > 0:
        time.sleep(min(left_s, INTERRUPT_POLL_S))


def _no_response_reason(exchanges: list[Any]) -> str:  # Any: Exchange, which is not imported here
    errors = [exchange.error for exchange in exchanges if exchange.error is not None]
    return (
        f"no complete response: {errors[-1].code.value}: {errors[-1].detail}" if errors else "no response of status 200"
    )


def _start_simulator(arguments: argparse.Namespace, stack: ExitStack) -> str:
    from ..simulator.server import start_simulator_process

    write_output("SELF-TEST: no URL was given, so the embedded simulator is asked, and no Sora\n", sys.stderr)
    return stack.enter_context(
        start_simulator_process(edition=common.simulator_edition(arguments), **common.simulator_settings(arguments))
    ).urls[0]


def _verdict_options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"pollers": arguments.pollers, "interval_s": arguments.interval, "cluster": arguments.cluster}


def _parse_pollers(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 to 100000")
    return int(text)
