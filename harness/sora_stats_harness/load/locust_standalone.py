"""
Under plain `locust -f`, without our command: a session for the host that Locust was given, and a verdict at the end.

Locust kills its users when a test stops. So before that, in `test_stopping`, nothing more is sent and what is in flight is
waited for; after a Ctrl-C Locust goes straight to `quitting`, and the same is done there. The verdict is told last of all,
below Locust's own tables.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import gevent
from locust.exception import StopUser
from locust.runners import LocalRunner

from ..api.edition import DEFAULT_EDITION, Edition
from ..api.edition import load_edition as load_edition
from ..api.errors import ExitCode, HarnessError, UsageError
from ..api.exchange import TARGET_OF_OPERATION, Target, TransportError
from ..api.server_url import normalize_server_url
from ..judge.verdict_decision import RunEnding, RunScope
from ..reports import report_folder as files
from ..reports import terminal
from ..reports.report import VerdictReport
from ..reports.verdict_assembly import JudgeResultSource, RunFacts, assemble_verdict, format_utc_now
from .http_connection import resolve_server
from .load_session import LoadSession, session_notes
from .load_spec import LOAD_OBSERVES, LoadSpec, WorkerShare, unobservable_requirements
from .load_users import drain_users
from .locust_web_page import live_state
from .run_measurements import RunMeasurements, RunStopwatch

DEFAULT_USER_INTERVAL_S: Final = 0.1
"""From one sending of a user to its next, unless told: ten requests a second for each user that was asked for."""


def add_locust_options(parser: Any) -> None:  # Any: Locust's parser, a configargparse one
    """Add our options to Locust's."""
    group = parser.add_argument_group("Sora statistics")
    group.add_argument(
        "--sora-interval",
        type=_parse_seconds,
        default=DEFAULT_USER_INTERVAL_S,
        metavar="SECONDS",
        env_var="SORA_INTERVAL",
        help=f"from one sending of a user to its next; 0: at once after the response (default: {DEFAULT_USER_INTERVAL_S:g})",
    )
    group.add_argument(
        "--sora-edition", default=DEFAULT_EDITION, metavar="NAME|FILE", help="the field list to judge by"
    )
    group.add_argument("--sora-output", default="", metavar="DIR", help="write the reports there as well")
    for name in ("--sora-run", "--sora-spool", "--sora-clock", "--sora-workers"):  # the master's word to its workers
        parser.add_argument(name, default="", help=argparse.SUPPRESS, include_in_web_ui=False)


def _parse_seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError("seconds from 0 on")
    return value


def start_locust_session(environment: Any) -> LoadSession:  # Any: locust.env.Environment, to which we add an attribute
    """
    Make the session of an environment, and have it concluded when Locust quits.

    Raises:
        StopUser: No host was given, or its name does not resolve; that was said, and Locust quits with status 2.
    """
    given = environment.parsed_options
    try:
        if not environment.host:
            raise UsageError("give the server by --host, such as --host http://127.0.0.1:3000")
        server = normalize_server_url(environment.host)
        address = resolve_server(server)
        if isinstance(address, TransportError):
            raise UsageError(f"{environment.host}: {address.detail}")
        edition = selected_edition(environment)
    except UsageError as error:
        if environment.process_exit_code is None:  # the first user of many
            sys.stderr.write(f"sora-harness: {error}\n")
            environment.process_exit_code = int(ExitCode.USAGE)
            gevent.spawn(environment.runner.quit)
        raise StopUser from None
    spec = LoadSpec(
        edition=getattr(given, "sora_edition", DEFAULT_EDITION),
        interval_s=getattr(given, "sora_interval", DEFAULT_USER_INTERVAL_S),
    )
    index, run = max(0, environment.runner.worker_index), getattr(given, "sora_run", "")
    count = int(getattr(given, "sora_workers", "") or 1)
    share = WorkerShare(index=index, count=count, run=run) if run else WorkerShare(index=index, count=count)
    session = LoadSession(edition, address, spec, share=share)
    environment.sora_session = session
    session.start()
    if isinstance(environment.runner, LocalRunner):
        environment.sora_alone = _StandaloneRun(environment, session)
    return session


class StandalonePageSource:
    """What the web page shows where there is one process: as soon as its first user has made the session."""

    def __init__(self, environment: Any) -> None:  # Any: as above
        self._environment = environment

    def live_states(self) -> list[dict[str, Any]]:  # Any: plain values
        """As `WebPageSource`."""
        session = getattr(self._environment, "sora_session", None)
        return [live_state(session)] if isinstance(session, LoadSession) else []

    def final_report(self) -> VerdictReport | None:
        """As `WebPageSource`."""
        alone = getattr(self._environment, "sora_alone", None)
        session = getattr(self._environment, "sora_session", None)
        if not isinstance(alone, _StandaloneRun) or session is None or not session.draining or session.in_flight:
            return None
        return alone.build_report()


class _StandaloneRun:
    """What one process does by itself when Locust stops, starts again and quits."""

    def __init__(self, environment: Any, session: LoadSession) -> None:  # Any: as above
        self._environment = environment
        self._session = session
        self._stopwatch = RunStopwatch()
        self._stopwatch.start()
        self._started_at = format_utc_now()
        self._report: VerdictReport | None = None
        events = environment.events
        events.test_start.add_listener(self._on_test_start)
        events.test_stopping.add_listener(self._on_test_stopping)
        events.quitting.add_listener(self._on_quitting)
        events.quit.add_listener(lambda **_: print_load_report(environment, self._report))

    def _on_test_start(self, **_: Any) -> None:  # Any: as Locust calls it, here and below
        self._session.draining = False
        self._stopwatch.start()

    def _on_test_stopping(self, environment: Any, **_: Any) -> None:
        self._stopwatch.stop()
        drain_users(environment.runner, self._session)

    def _on_quitting(self, environment: Any, **_: Any) -> None:
        self._stopwatch.stop()
        drain_users(environment.runner, self._session)
        self._report = self.build_report()
        environment.process_exit_code = self._report.verdict.exit_code

    def build_report(self) -> VerdictReport:
        """The report of what was seen by now."""
        session = self._session
        return build_load_report(
            self._environment,
            session.judge,
            self._stopwatch.measures(session),
            subject=session.address.server,
            started_at=self._started_at,
            aborted=session.outage_text,
            notes=session_notes(session),
        )


def selected_edition(environment: Any) -> Edition:  # Any: as above
    """The field list that Locust's command line names."""
    return load_edition(getattr(environment.parsed_options, "sora_edition", DEFAULT_EDITION))


def build_load_report(
    environment: Any,  # Any: as above
    judge: JudgeResultSource,
    measures: RunMeasurements,
    *,
    subject: str,
    started_at: str,
    processes: int = 1,
    aborted: str | None = None,
    notes: Collection[str] = (),
) -> VerdictReport:
    """Sum up; the other arguments are those of `RunFacts`."""
    asked = frozenset(TARGET_OF_OPERATION[name] for name in judge.result().coverage.by_target)
    declared = (getattr(each, "targets", None) for each in environment.user_classes)
    targets = frozenset[Target]().union(*(asked if each is None else each for each in declared))
    load = measures.to_load_summary(
        scenario=", ".join(sorted(each.__name__ for each in environment.user_classes)),
        model="closed",
        planned_per_s=None,
        processes=processes,
    )
    facts = RunFacts(
        command="load",
        edition=selected_edition(environment),
        subject=subject,
        scope=RunScope(observes=LOAD_OBSERVES, excluded=unobservable_requirements(targets)),
        ending=RunEnding(aborted=aborted),
        started_at=started_at,
        notes=notes,
        options={"scenario": sorted(each.__name__ for each in environment.user_classes)},
        load=load,
    )
    return assemble_verdict(judge, facts)


def print_load_report(environment: Any, report: VerdictReport | None) -> None:  # Any: as above
    """Print the summary, and write the reports where that was asked for."""
    if report is None:
        return
    sys.stdout.flush()
    sys.stderr.write(terminal.render_terminal(report, colour=False))
    output = str(getattr(environment.parsed_options, "sora_output", ""))
    if output:
        try:
            files.check_report_folder(Path(output))
            files.write_reports(report, Path(output))
            sys.stderr.write(f"reports in {output}/\n")
        except (OSError, HarnessError) as error:
            sys.stderr.write(f"sora-harness: the reports could not be written: {error}\n")
    sys.stderr.flush()
