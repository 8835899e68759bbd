"""
Under plain `locust -f`, without our command: a session for the host that Locust was given, and a verdict at the end.

Locust kills its users when a test stops. So before that, in `test_stopping`, nothing more is sent and what is in flight is
waited for; after a Ctrl-C Locust goes straight to `quitting`, and the same is done there. The verdict is told last of all,
below Locust's own tables.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

import gevent
from locust.exception import StopUser
from locust.runners import LocalRunner

from ..checks.requirements import Need
from ..client import server_of
from ..edition import DEFAULT, load
from ..errors import ExitCode, HarnessError, UsageError
from ..exchange import OPERATIONS, Target, TransportError
from ..reporters import files, terminal
from ..reporters.assemble import Judged, assemble, utc_now
from ..reporters.report import Report
from .http import resolve
from .metrics import Metrics
from .session import Session, excluded

INTERVAL_S: Final = 0.1
"""From one sending of a user to its next, unless told: ten requests a second for each user that was asked for."""

SEQ_BITS: Final = 40
"""Below a worker's index in the numbers of its exchanges: JSON's numbers are whole up to 53 bits."""

NEEDS: Final = frozenset({Need.EXCHANGES, Need.BODIES, Need.ARGUMENTS, Need.TIMES})


def add_options(parser: Any) -> None:  # Any: Locust's parser, a configargparse one
    """Add our options to Locust's."""
    group = parser.add_argument_group("Sora statistics")
    group.add_argument(
        "--sora-interval", type=_seconds, default=INTERVAL_S, metavar="SECONDS", env_var="SORA_INTERVAL",
        help=f"from one sending of a user to its next; 0: at once after the answer (default: {INTERVAL_S:g})",
    )  # fmt: skip
    group.add_argument("--sora-edition", default=DEFAULT, metavar="NAME|FILE", help="the field list to judge by")
    group.add_argument("--sora-output", default="", metavar="DIR", help="write the reports there as well")
    for name in ("--sora-run", "--sora-spool"):  # the master's word to its workers
        parser.add_argument(name, default="", help=argparse.SUPPRESS, include_in_web_ui=False)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError("seconds from 0 on")
    return value


def begin(environment: Any) -> Session:  # Any: locust.env.Environment, to which we add an attribute
    """
    Make the session of an environment, and have it concluded when Locust quits.

    Raises:
        StopUser: No host was given, or its name does not resolve; that was said, and Locust quits with status 2.
    """
    given = environment.parsed_options
    try:
        if not environment.host:
            raise UsageError("give the server by --host, such as --host http://127.0.0.1:3000")
        server = server_of(environment.host)
        address = resolve(server)
        if isinstance(address, TransportError):
            raise UsageError(f"{environment.host}: {address.detail}")
        edition = load(getattr(given, "sora_edition", DEFAULT))
    except UsageError as error:
        if environment.process_exit_code is None:  # the first user of many
            sys.stderr.write(f"sora-harness: {error}\n")
            environment.process_exit_code = int(ExitCode.USAGE)
            gevent.spawn(environment.runner.quit)
        raise StopUser from None
    session = Session(
        edition, address, interval_s=getattr(given, "sora_interval", INTERVAL_S),
        run=getattr(given, "sora_run", "") or None, first_seq=max(0, environment.runner.worker_index) << SEQ_BITS,
    )  # fmt: skip
    environment.sora_session = session
    session.begin()
    if isinstance(environment.runner, LocalRunner):
        _Alone(environment, session)
    return session


class _Alone:
    """What one process does by itself when Locust stops, starts again and quits."""

    def __init__(self, environment: Any, session: Session) -> None:  # Any: as above
        self._session = session
        self._started_at = utc_now()
        self._report: Report | None = None
        events = environment.events
        events.test_start.add_listener(self._resume)
        events.test_stopping.add_listener(self._drain)
        events.quitting.add_listener(self._conclude)
        events.quit.add_listener(lambda **_: tell(environment, self._report))

    def _resume(self, **_: Any) -> None:  # Any: as Locust calls it, here and below
        self._session.draining = False

    def _drain(self, environment: Any, **_: Any) -> None:
        drain(environment.runner, self._session)

    def _conclude(self, environment: Any, **_: Any) -> None:
        session = self._session
        drain(environment.runner, session)
        self._report = conclude(
            environment, session.judge, session.metrics, subject=session.address.server, started_at=self._started_at,
        )  # fmt: skip


def conclude(
    environment: Any,  # Any: as above
    judge: Judged,
    metrics: Metrics,
    *,
    subject: str,
    started_at: str,
    aborted: str | None = None,
    notes: Collection[str] = (),
) -> Report:
    """Sum up, and give Locust the verdict's exit code; the arguments are those of `assemble`."""
    asked = frozenset(OPERATIONS[name] for name in judge.tally().coverage.by_target)
    declared = (getattr(each, "targets", None) for each in environment.user_classes)
    targets = frozenset[Target]().union(*(asked if each is None else each for each in declared))
    report = assemble(
        judge,
        command="load",
        edition=load(getattr(environment.parsed_options, "sora_edition", DEFAULT)).name,
        subject=subject,
        judged_from="live",
        observes=NEEDS,
        excluded=excluded(targets),
        started_at=started_at,
        aborted=aborted,
        notes=notes,
        options={"scenario": sorted(each.__name__ for each in environment.user_classes)},
        sections=[metrics.section(), metrics.counts_section()],
    )
    environment.process_exit_code = report.verdict.exit_code
    return report


def tell(environment: Any, report: Report | None) -> None:  # Any: as above
    """Print the summary, and write the reports where that was asked for."""
    if report is None:
        return
    sys.stdout.flush()
    sys.stderr.write(terminal.render(report, colour=False))
    output = str(getattr(environment.parsed_options, "sora_output", ""))
    if output:
        try:
            files.check_folder(Path(output))
            files.write(report, Path(output))
            sys.stderr.write(f"reports in {output}/\n")
        except (OSError, HarnessError) as error:
            sys.stderr.write(f"sora-harness: the reports could not be written: {error}\n")
    sys.stderr.flush()


def drain(runner: Any, session: Session, enough: Callable[[], bool] = lambda: False) -> None:  # Any: a Locust runner
    """Have nothing more sent, and wait until no user is left, the longest exchange is over, or somebody has had enough."""
    session.drain()
    until_s = time.monotonic() + session.timeout_s + 1
    while len(runner.user_greenlets) and time.monotonic() < until_s and not enough():
        gevent.sleep(0.01)
