"""
Integrates with plain `locust -f`, without our command: makes a session for its host, and a verdict at the end.

Locust kills its users when a test stops. So before that, in `test_stopping`, sending stops and open requests are waited
for. After a Ctrl-C Locust goes straight to `quitting`, and the same is done there. The verdict is printed last, below
Locust's own tables.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gevent
from locust.exception import StopUser
from locust.runners import STATE_RUNNING, STATE_SPAWNING, LocalRunner

from ..api.edition import DEFAULT_EDITION, Edition
from ..api.edition import load_edition as load_edition
from ..api.errors import ExitCode, HarnessError, UsageError, worst_exit_code
from ..api.exchange import TARGET_OF_OPERATION, Target, TransportError
from ..api.option_values import FAIL_ON_LEVELS, parse_choice, parse_interval
from ..api.server_address import ServerAddress
from ..api.server_url import normalize_server_url
from ..judge.requirements import Level, Severity
from ..judge.verdict_decision import RunEnding
from ..reports import report_folder as files
from ..reports import terminal
from ..reports.pass_policy import PassPolicy
from ..reports.report import VerdictReport
from ..reports.verdict_assembly import JudgeResultSource, RunFacts, assemble_verdict, format_utc_now
from .http_connection import resolve_server
from .load_session import LoadSession, session_notes
from .load_spec import LoadSpec, WorkerShare, observable_scope
from .load_users import drain_users
from .locust_web_page import live_state
from .run_measurements import LoadPlan, RunMeasurements, RunStopwatch
from .slo import Slo, parse_slo
from .slo_results import end_with_slos, judge_slos


def add_locust_options(parser: Any) -> None:  # Any: Locust's parser, a configargparse one
    """Add our options to Locust's."""
    group = parser.add_argument_group("Sora statistics")
    group.add_argument(
        "--sora-interval",
        type=_parse_seconds,
        metavar="SECONDS",
        env_var="SORA_INTERVAL",
        help="the time from a user's request to its next; 0: right after the response (default: the scenario's)",
    )
    group.add_argument(
        "--sora-edition", default=DEFAULT_EDITION, metavar="NAME|FILE", help="the field list to judge by"
    )
    group.add_argument(
        "--sora-fail-on",
        type=_parse_fail_on,
        default=FAIL_ON_LEVELS[1],
        metavar="|".join(FAIL_ON_LEVELS),
        help=f"the lowest level of a finding that fails (default: {FAIL_ON_LEVELS[1]})",
    )
    group.add_argument("--sora-output", default="", metavar="DIR", help="write the reports to this folder as well")
    parser.add_argument(  # a group doesn't support include_in_web_ui, and the page can't show a list
        "--sora-slo",
        action="append",
        default=[],
        metavar="SLO",
        include_in_web_ui=False,
        help="fail unless this objective is kept: p99<50ms, GetStatsAllConnections:p95<800ms, errors<0.1%% "
        "(repeatable)",
    )
    parser.set_defaults(web_host="127.0.0.1")  # Locust's own default accepts everybody who can reach the machine
    for name in ("--sora-run", "--sora-spool", "--sora-clock", "--sora-workers"):  # set by the master for its workers
        parser.add_argument(name, default="", help=argparse.SUPPRESS, include_in_web_ui=False)


def _parse_seconds(text: str) -> float:
    try:
        return parse_interval(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parse_fail_on(text: str) -> str:
    try:
        return parse_choice(text, FAIL_ON_LEVELS)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def start_locust_session(environment: Any) -> LoadSession:  # Any: locust.env.Environment, to which we add an attribute
    """
    Make the session of an environment, and its verdict when Locust quits.

    Raises:
        StopUser: No host was given, or its name does not resolve; that was printed, and Locust quits with status 2.
    """
    given = environment.parsed_options
    try:
        address = _resolve_host(environment)
        edition = selected_edition(environment)
    except UsageError as error:
        _refuse_test(environment, error)
        raise StopUser from None
    interval_s = getattr(given, "sora_interval", None)
    if interval_s is None:
        interval_s = min(each.interval_s for each in environment.user_classes if hasattr(each, "interval_s"))
    spec = LoadSpec(
        edition=getattr(given, "sora_edition", DEFAULT_EDITION),
        interval_s=interval_s,
        severity=selected_severity(environment),
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


def _refuse_test(environment: Any, error: UsageError) -> None:  # Any: as above
    if not hasattr(environment, "sora_exit_code"):  # only the first user reports it
        sys.stderr.write(f"sora-harness: {error}\n")
        add_exit_code(environment, ExitCode.USAGE)
        gevent.spawn(environment.runner.quit)


def begin_another_test(environment: Any, session: LoadSession, make_ready: Callable[[], None]) -> None:  # Any: as above
    """Restart a session after a test was stopped, for the host that was entered on the web page."""
    try:
        address = _resolve_host(environment)
    except UsageError as error:
        _refuse_test(environment, error)
        return
    is_another = address.server != session.address.server
    if is_another:
        session.switch_server(address)
    session.draining = False
    make_ready()
    if is_another:
        session.discover()


def check_locust_options(environment: Any) -> None:  # Any: as above
    """
    Refuse invalid options before any user begins.

    Raises:
        UsageError: The host, the edition, the folder for reports or an SLO is wrong.
    """
    selected_edition(environment)
    _selected_slos(environment)
    if output := getattr(environment.parsed_options, "sora_output", ""):
        files.check_report_folder(Path(output))
    if environment.host or environment.web_ui is None:  # otherwise it is entered on the web page
        _resolve_host(environment)


def _resolve_host(environment: Any) -> ServerAddress:  # Any: as above
    if not environment.host:
        raise UsageError("give the server by --host, such as --host http://127.0.0.1:3000")
    address = resolve_server(normalize_server_url(environment.host, "--host"))
    if isinstance(address, TransportError):
        raise UsageError(f"{environment.host}: {address.detail}")
    return address


def _selected_slos(environment: Any) -> list[Slo]:  # Any: as above
    return [
        parse_slo(text, "--sora-slo") for text in dict.fromkeys(getattr(environment.parsed_options, "sora_slo", []))
    ]


class StandalonePageSource:
    """The source of the web page's figures for a single process, after its first user has made the session."""

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
        return alone.shown_report()


class _StandaloneRun:
    """Handles Locust's events when a single process stops, starts again and quits."""

    def __init__(self, environment: Any, session: LoadSession) -> None:  # Any: as above
        self._environment = environment
        self._session = session
        self._stopwatch = RunStopwatch()
        self._stopwatch.start()
        self._started_at = format_utc_now()
        self._report: VerdictReport | None = None
        self._is_interrupted = False
        self._shown: VerdictReport | None = None
        """The report of the tests that were stopped, as long as no other one has begun."""
        events = environment.events
        events.test_start.add_listener(self._on_test_start)
        events.test_stopping.add_listener(self._on_test_stopping)
        events.quitting.add_listener(self._on_quitting)
        events.quit.add_listener(lambda **_: print_load_report(environment, self._report))

    def _on_test_start(self, **_: Any) -> None:  # Any: as Locust calls it, here and below
        self._shown = None
        begin_another_test(self._environment, self._session, self._stopwatch.start)

    def _on_test_stopping(self, environment: Any, **_: Any) -> None:
        self._stopwatch.stop()
        drain_users(environment.runner, self._session)

    def _on_quitting(self, environment: Any, **_: Any) -> None:
        self._is_interrupted = is_test_running(environment)
        self._stopwatch.stop()
        drain_users(environment.runner, self._session)
        self._report = self.build_report()
        add_exit_code(environment, self._report.verdict.exit_code)

    def shown_report(self) -> VerdictReport:
        """The report of the tests that were stopped."""
        if self._shown is None:
            self._shown = self.build_report()
        return self._shown

    def build_report(self) -> VerdictReport:
        """The report of everything that was seen so far."""
        session = self._session
        run = LocustRun(
            subject=", ".join(session.servers),
            started_at=self._started_at,
            ending=RunEnding(interrupted=self._is_interrupted, aborted=session.outage_text),
            notes=session_notes(session),
        )
        return build_load_report(self._environment, session.judge, self._stopwatch.measures(session), run)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocustRun:
    """Facts of a run under plain Locust, besides the judge's result and the measurements."""

    subject: str
    started_at: str
    ending: RunEnding
    processes: int = 1
    notes: Collection[str] = ()


def is_test_running(environment: Any) -> bool:  # Any: as above
    """Whether Locust's test was neither stopped nor finished; if Locust quits then, a signal ended it."""
    return environment.runner.state in (STATE_SPAWNING, STATE_RUNNING)


def add_exit_code(environment: Any, code: int) -> None:  # Any: as above
    """Let `code` contribute to the exit code of the process, besides Locust's own and a locustfile's."""
    environment.sora_exit_code = worst_exit_code(code, getattr(environment, "sora_exit_code", ExitCode.PASS))


def decide_exit_code(environment: Any, **_: Any) -> None:  # Any: as above
    """
    Set the exit code of the process to the worst of ours, Locust's own, and a locustfile's.

    Locust would use its own, or a locustfile's instead. This has to be the last of all listeners to `quitting`.
    """
    ours = getattr(environment, "sora_exit_code", None)
    if ours is None:
        return
    runner, theirs = environment.runner, environment.process_exit_code or 0
    own = environment.parsed_options.exit_code_on_error if runner.errors or runner.exceptions else 0
    if theirs not in set(ExitCode):
        return  # a locustfile's own number says more than any of ours
    environment.process_exit_code = int(worst_exit_code(ours, theirs, own))


def selected_edition(environment: Any) -> Edition:  # Any: as above
    """The edition that Locust's command line names."""
    return load_edition(getattr(environment.parsed_options, "sora_edition", DEFAULT_EDITION))


def selected_severity(environment: Any) -> Severity:  # Any: as above
    """The severity from Locust's command line."""
    text = getattr(environment.parsed_options, "sora_fail_on", FAIL_ON_LEVELS[1])
    return Severity(fail_on=Level[text.upper()])


def build_load_report(
    environment: Any,  # Any: as above
    judge: JudgeResultSource,
    measured: RunMeasurements,
    run: LocustRun,
) -> VerdictReport:
    """Make the report; a scenario that raised makes the verdict inconclusive."""
    asked = frozenset(TARGET_OF_OPERATION[name] for name in judge.result().coverage.by_target)
    scenarios = [each for each in environment.user_classes if hasattr(each, "choose")]
    declared = (getattr(each, "targets", None) for each in scenarios)
    targets = frozenset[Target]().union(*(asked if each is None else each for each in declared))
    names = sorted(each.__name__ for each in scenarios)
    results = judge_slos(_selected_slos(environment), measured)
    reasons = [reason for reason in (run.ending.aborted, _raised_text(environment)) if reason is not None]
    facts = RunFacts(
        command="load",
        edition=selected_edition(environment),
        subject=run.subject,
        scope=observable_scope(targets),
        ending=end_with_slos(replace(run.ending, aborted="; ".join(reasons) or None), results),
        started_at=run.started_at,
        notes=run.notes,
        options={"scenario": names, "slo": [each.slo for each in results]},
        load=measured.to_load_summary(LoadPlan(scenario=", ".join(names), processes=run.processes), results),
    )
    return assemble_verdict(judge, facts, PassPolicy(severity=selected_severity(environment)))


def _raised_text(environment: Any) -> str | None:  # Any: as above
    """The exception that users raised; None if they didn't."""
    raised = list(environment.runner.exceptions.values())
    if not raised:
        return None
    count = sum(int(each["count"]) for each in raised)
    return f"a user raised an exception: {raised[0]['msg']}" + (f" ({count:,} in all)" if count > 1 else "")


def print_load_report(environment: Any, report: VerdictReport | None) -> None:  # Any: as above
    """Print the summary, and write the reports if a folder was given."""
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
