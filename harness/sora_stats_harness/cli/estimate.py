"""
The command `estimate`: what polling costs, by at most five requests, and one before them with `--edition auto`.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from ..probe.recognise import of_server
from . import common
from .output import emit
from .progress import Progress
from .values import duration

if TYPE_CHECKING:
    from ..probe.interrupt import Interrupt

HELP: Final = "tell what polling costs, by a few polite requests"

EXAMPLES: Final = """\
examples:
  sora-harness estimate                                                      of the embedded simulator (SELF-TEST)
  sora-harness estimate http://127.0.0.1:3000 --pollers 3 --interval 1s
  sora-harness estimate http://127.0.0.1:3000 --pollers 2 --interval 15s --cluster"""


LOOK_S: Final = 0.1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    common.add_server_options(parser)
    add = parser.add_argument_group("the planned polling").add_argument
    add("--pollers", type=_pollers, default=1, metavar="N", help="how many poll (default: 1)")
    add("--interval", type=duration, default=1.0, metavar="TIME", help="of each of them (default: 1s)")
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
    from ..api.edition import load
    from ..judge.judge import Judge
    from ..judge.requirements import Need
    from ..probe.client import Prober, server_of
    from ..probe.estimate import REQUESTS, Polling, estimate, section
    from ..probe.estimate import run as ask
    from ..probe.interrupt import Interrupt
    from ..reports.assemble import utc_now

    started_at = utc_now()
    url = common.resolve_url(arguments)
    common.check_simulator_options(arguments, url)
    headers, secrets = common.read_headers(arguments.header)
    common.check_edition(arguments)
    polling = Polling(pollers=arguments.pollers, interval_s=arguments.interval)
    progress = Progress()
    with Interrupt() as interrupt:
        with ExitStack() as stack:
            server = server_of(url) if url is not None else _simulator(arguments, stack)

            def prober() -> Prober:
                return Prober(timeout_s=arguments.timeout, ca_file=arguments.ca_file, insecure=arguments.insecure)

            began_s = time.monotonic()
            notes = common.settle_edition(arguments, lambda: of_server(server, headers, prober(), interrupt))
            if notes:
                _rest(time.monotonic() - began_s, interrupt)
            judge = Judge(load(arguments.edition))
            try:
                exchanges = ask(
                    server, judge, prober(), cluster=arguments.cluster, headers=headers, interrupt=interrupt,
                    watch=lambda sent: progress.show(0, f"request {sent} of {REQUESTS}"),
                )  # fmt: skip
            finally:
                progress.end()
        found = estimate(exchanges, polling)
        return common.finish(
            arguments,
            command="estimate",
            judge=judge,
            observes={Need.EXCHANGES, Need.BODIES, Need.ARGUMENTS, Need.TIMES},
            excluded={"identity.asked", "identity.client", "identity.present"},
            subject=server,
            judged_from="live",
            started_at=started_at,
            options=_options(arguments),
            interrupted=interrupt.seen,
            aborted=_silent(exchanges) if found is None else None,
            extra_notes=notes,
            secrets=secrets,
            sections=[] if found is None else [section(found)],
            estimate=found,
        )


def _rest(took_s: float, interrupt: Interrupt) -> None:
    """As after any other request."""
    from ..probe.estimate import REST_S, REST_SHARE

    until_s = time.monotonic() + max(REST_S, REST_SHARE * took_s)
    while not interrupt.seen and (left_s := until_s - time.monotonic()) > 0:
        time.sleep(min(left_s, LOOK_S))


def _silent(exchanges: list[Any]) -> str:  # Any: Exchange, which is not imported here
    errors = [exchange.error for exchange in exchanges if exchange.error is not None]
    return f"no whole answer: {errors[-1].code.value}: {errors[-1].detail}" if errors else "no answer of status 200"


def _simulator(arguments: argparse.Namespace, stack: ExitStack) -> str:
    from ..simulator.server import spawn

    emit("SELF-TEST: no URL was given, so the embedded simulator is asked, and no Sora\n", sys.stderr)
    return stack.enter_context(
        spawn(edition=common.served_edition(arguments), **common.simulator_settings(arguments))
    ).urls[0]


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"pollers": arguments.pollers, "interval_s": arguments.interval, "cluster": arguments.cluster}


def _pollers(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 to 100000")
    return int(text)
