"""
Integrates with plain `locust -f`, without our command: makes a session for its host, and a verdict at the end.

Locust kills its users when a test stops. So before that, in `test_stopping`, sending stops and open requests are waited
for. After a Ctrl-C Locust goes straight to `quitting`, and the same is done there. The verdict is printed last, below
Locust's own tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gevent
from locust.exception import StopUser
from locust.runners import LocalRunner

from ..api.errors import ExitCode, HarnessError, UsageError, describe_break, worst_exit_code
from ..api.exchange import TARGET_OF_OPERATION, Target
from ..api.language import environment_language, translate, use_language
from ..judge.verdict_decision import RunEnding, join_reasons
from ..reports import report_folder as files
from ..reports import terminal
from ..reports.baseline import baseline_mismatch
from ..reports.pass_policy import PassPolicy, withhold_pass
from ..reports.report import VerdictReport
from ..reports.verdict_assembly import (
    JudgeResultSource,
    RunFacts,
    assemble_verdict,
    format_utc_now,
    verdict_subject_kind,
)
from .live_findings import LiveState
from .load_session import LoadSession, session_notes
from .load_spec import LoadSpec, WorkerShare, observable_scope
from .load_users import drain_users
from .locust_settings import (
    LocustSettings,
    address_of_host,
    begin_with_settings,
    selected_interval_s,
)
from .locust_web_page import is_test_running, live_state
from .run_measurements import LoadPlan, RunMeasurements, RunStopwatch
from .slo_results import end_with_slos, judge_slos


def say_error(text: object) -> None:
    """Write one line to stderr, in the language of the environment."""
    with use_language(environment_language()):
        sys.stderr.write(f"sora-harness: {translate(str(text))}\n")


def start_locust_session(environment: Any) -> LoadSession:  # Any: locust.env.Environment, to which we add an attribute
    """
    Make the session of an environment, and its verdict when Locust quits.

    Raises:
        StopUser: No host was given, or its name does not resolve; that was printed, and Locust quits with status 2.
    """
    given = environment.parsed_options
    try:
        settings = begin_with_settings(environment)
        address = address_of_host(environment, settings)
        spec = _make_spec(environment, settings)
    except HarnessError as error:
        refuse_test(environment, error)
        raise StopUser from None
    index, run = max(0, environment.runner.worker_index), getattr(given, "sora_run", "")
    count = int(getattr(given, "sora_workers", "") or 1)
    share = WorkerShare(index=index, count=count, run=run) if run else WorkerShare(index=index, count=count)
    session = LoadSession(settings.edition, address, spec, share=share)
    environment.sora_session = session
    session.start()
    if isinstance(environment.runner, LocalRunner):
        environment.sora_alone = _StandaloneRun(environment, session)
    return session


def _make_spec(environment: Any, settings: LocustSettings) -> LoadSpec:  # Any: as above
    run = settings.run
    return LoadSpec(
        edition=run.edition,
        checks=run.checks,
        headers=settings.looked_up[0],
        timeout_s=run.timeout_s,
        tear_s=run.tear_s,
        severity=run.severity,
        interval_s=selected_interval_s(environment),
    )


@contextmanager
def saying_breaks(environment: Any) -> Iterator[None]:  # Any: as above
    """Turn an exception into one line and our part of the exit code: Locust would go on, and might exit with 0."""
    try:
        yield
    except HarnessError as error:
        say_error(error)
        add_exit_code(environment, error.exit_code)
    except Exception as error:
        say_error(describe_break(error))
        add_exit_code(environment, ExitCode.BROKEN)


def drain_or_break(environment: Any, session: LoadSession) -> None:  # Any: as above
    """Drain the users, or give up at a second signal; if that fails, what was seen is reported all the same."""
    try:
        drain_users(environment.runner, session, environment.sora_signals.gives_up)
    except Exception as error:
        session.note_break(describe_break(error))


def refuse_test(environment: Any, error: HarnessError) -> None:  # Any: as above
    """Say once why nothing is tested, and have Locust quit."""
    if not hasattr(environment, "sora_exit_code"):  # the first user of many
        say_error(error)
        add_exit_code(environment, error.exit_code)
        gevent.spawn(environment.runner.quit)


def begin_another_test(environment: Any, session: LoadSession, make_ready: Callable[[], None]) -> None:  # Any: as above
    """Restart a session after a test was stopped, for the host that was entered on the web page."""
    try:
        address = address_of_host(environment, begin_with_settings(environment))
    except HarnessError as error:
        refuse_test(environment, error)
        return
    is_another = address.server != session.address.server
    if is_another:
        session.switch_server(address)
    session.draining = False
    make_ready()
    if is_another:
        session.discover()


class StandalonePageSource:
    """The source of the web page's figures for a single process, after its first user has made the session."""

    def __init__(self, environment: Any) -> None:  # Any: as above
        self._environment = environment

    def live_states(self) -> list[LiveState]:
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
        drain_or_break(environment, self._session)

    def _on_quitting(self, environment: Any, **_: Any) -> None:
        self._is_interrupted = is_test_running(environment)
        self._on_test_stopping(environment)
        with saying_breaks(environment):
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
            ending=RunEnding(
                interrupted=self._is_interrupted, aborted=session.outage_text, broken=session.final_break_text
            ),
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


def build_load_report(
    environment: Any,  # Any: as above
    judge: JudgeResultSource,
    measured: RunMeasurements,
    run: LocustRun,
) -> VerdictReport:
    """Make the report; a scenario that raised makes the verdict inconclusive."""
    settings = begin_with_settings(environment)
    asked = frozenset(TARGET_OF_OPERATION[name] for name in judge.result().coverage.by_target)
    scenarios = [each for each in environment.user_classes if hasattr(each, "choose")]
    declared = (getattr(each, "targets", None) for each in scenarios)
    targets = frozenset[Target]().union(*(asked if each is None else each for each in declared))
    names = sorted(each.__name__ for each in scenarios)
    results = judge_slos(settings.slos_on(targets), measured)
    route, notes = settings.run.route(), [*getattr(environment, "sora_notes", ()), *run.notes]
    if route.proxy is not None:
        notes.append(f"everything was sent through the proxy {route.proxy.url}")
    facts = RunFacts(
        command="load",
        edition=settings.edition,
        subject=run.subject,
        scope=observable_scope(targets),
        ending=end_with_slos(
            replace(run.ending, aborted=join_reasons(run.ending.aborted, _raised_text(environment))), results
        ),
        started_at=run.started_at,
        labels=settings.run.labels,
        notes=notes,
        options={"scenario": names, "slo": [each.slo for each in results]},
        secrets=settings.looked_up[1],
        load=measured.to_load_summary(LoadPlan(scenario=", ".join(names), processes=run.processes), results),
    )
    baseline, kind = settings.baseline, verdict_subject_kind(judge, facts.judged_from)
    mismatch = None if baseline is None else baseline_mismatch(baseline, edition=facts.edition.name, subject_kind=kind)
    policy = PassPolicy(
        severity=settings.run.severity,
        require=settings.run.require,
        waivers=settings.run.waivers,
        baseline=baseline if mismatch is None else None,
    )
    report = assemble_verdict(judge, facts, policy)
    if mismatch is not None:
        withhold_pass(report.verdict, UsageError(f"{mismatch}; the reports are written without it"))
    return report


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
    with use_language(environment_language()):
        _write_load_report(environment, report)
    sys.stderr.flush()


def _write_load_report(environment: Any, report: VerdictReport) -> None:  # Any: as above
    sys.stderr.write(terminal.render_terminal(report, colour=False))
    output = str(getattr(environment.parsed_options, "sora_output", ""))
    if output:
        try:
            files.check_report_folder(Path(output))
            files.write_reports(report, Path(output))
            sys.stderr.write(translate(f"reports in {output}/\n"))
        except (OSError, HarnessError) as error:
            say_error(f"the reports could not be written: {error}")
