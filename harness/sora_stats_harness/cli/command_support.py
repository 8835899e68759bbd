"""Steps that several commands share: starting the simulator, detecting the edition, reporting."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from ..api.errors import ExitCode, HarnessError, OutputError, UsageError
from .framework import Arguments
from .options import check_baseline, simulator_parameters
from .output import ProgressLine, report_width, wants_colour, write_message, write_output

if TYPE_CHECKING:
    from ..api.exchange import Headers
    from ..api.secret_redaction import Secrets
    from ..api.server_address import ServerAddress
    from ..judge.verdict_decision import RunEnding, RunScope
    from ..load.load_task import ServerAccess
    from ..probe.doctor import Visit
    from ..probe.prober import Prober
    from ..probe.single_request import PeerAsk
    from ..recording.writer import RecordingWriter
    from ..reports.baseline import Baseline
    from ..reports.pass_policy import PassPolicy
    from ..reports.report import VerdictReport
    from ..reports.verdict_assembly import JudgeResultSource, RunFacts

AUTO_EDITION: Final = "auto"

LOOKS_BEFORE_LOAD: Final = 3
"""How many listings are tried, so that one bad response doesn't prevent a run."""


def announce_self_test(arguments: Arguments) -> None:
    """Say that the embedded simulator is tested instead of Sora."""
    arguments.say("SELF-TEST: no server was named, so this tests the embedded simulator, not Sora")


def start_simulator(arguments: Arguments, stack: ExitStack, **more: Any) -> Sequence[str]:  # Any: the simulator's own
    """Start a simulator that runs until the stack is closed, and return its URLs; `more` overrides the options."""
    from ..simulator.server import start_simulator_process

    edition = None if arguments.settings.edition == AUTO_EDITION else arguments.settings.edition
    parameters = simulator_parameters(arguments) | more
    return stack.enter_context(start_simulator_process(edition=edition, **parameters)).urls


def resolve_address(arguments: Arguments, server: str) -> ServerAddress:
    """Look up where a server listens."""
    from ..api.exchange import TransportError
    from ..load.http_connection import resolve_server

    address = resolve_server(server, arguments.settings.route())
    if isinstance(address, TransportError):
        raise UsageError(f"{server}: {address.detail}")
    return address


def check_enough_users(option: str, count: int | None, users: int) -> None:
    """Refuse more processes or sockets than requests at a time."""
    if count is not None and count > users:
        raise UsageError(f"{option} {count}: at most {users}, since there are only that many requests at a time")


def plan_additions(arguments: Arguments) -> str:
    """The end of each plan's text: the proxy, and how the edition is detected."""
    settings = arguments.settings
    proxy = settings.route().proxy if settings.url is not None else None
    through = "" if proxy is None else f"; through the proxy {proxy.url}"
    auto = "; first one listing to detect the edition (--edition auto)" if settings.edition == AUTO_EDITION else ""
    return through + auto


def detect_edition(arguments: Arguments, ask: Callable[[], tuple[str, list[str]]]) -> list[str]:
    """
    Replace the edition `auto` by the one that the server's responses match best, and say so.

    Args:
        ask: As `probe.edition_detection.detect_by_server`; not called if the user named an edition.

    Returns:
        Notes for the verdict.
    """
    if arguments.settings.edition != AUTO_EDITION:
        return []
    edition, notes = ask()
    arguments.settings = replace(arguments.settings, edition=edition)
    for note in notes:
        arguments.say(note)
    check_baseline(arguments)
    return notes


class JudgedRun:
    """
    A run of a command, from its first request to its report.

    While the context lasts, a signal ends the run instead of the process.
    """

    headers: Headers
    secrets: Secrets

    def __init__(self, arguments: Arguments, command: str) -> None:
        from ..probe.interrupt import InterruptHandler
        from ..reports.verdict_assembly import format_utc_now

        self.headers, self.secrets = arguments.settings.look_up()
        self.interrupt: InterruptHandler = InterruptHandler(ends_process=arguments.ends_process)
        self.progress: ProgressLine = ProgressLine(is_shown=not getattr(arguments, "quiet", False))
        self.stack: ExitStack[bool | None] = ExitStack()
        """Closed before the report is made: the simulator, the recording, the line of progress."""
        self.stack.callback(self.progress.end)
        self._arguments = arguments
        self._command = command
        self._started_at = format_utc_now()

    def __enter__(self) -> Self:
        self.interrupt.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.interrupt.__exit__(kind, error, trace)

    def new_prober(self) -> Prober:
        """A prober with the settings of the run."""
        return self._arguments.settings.new_prober()

    def start_recorder(self, subject: str, options: dict[str, Any]) -> RecordingWriter | None:
        """Start to record the run until its stack is closed; None without --record."""
        from ..api.edition import load_edition
        from ..recording.writer import RecordedRun, RecordingLimits, RecordingWriter

        arguments = self._arguments
        if getattr(arguments, "record", None) is None:
            return None
        recorded = RecordedRun(
            subject=subject,
            subject_kind="simulator" if arguments.settings.url is None else "server",
            edition=load_edition(arguments.settings.edition).name,
            options=options,
        )
        limits = RecordingLimits(file_bytes=arguments.record_limit)
        return self.stack.enter_context(
            RecordingWriter(arguments.record, recorded, secrets=self.secrets, limits=limits)
        )

    def show_plan(self, text: str) -> bool:
        """Say what will be sent; returns whether it is to be sent, not only said."""
        if self._arguments.dry_run:
            write_message(f"{text}\n", sys.stderr)
        else:
            self._arguments.say(text)
        return not self._arguments.dry_run

    def find_edition(self, visit: Visit | None, server: str) -> list[str]:
        """As `detect_edition`, by the listing of a visit, or if there is none by one that the prober sends."""
        from ..probe.edition_detection import detect_by_server, nearest_to_exchange
        from ..probe.single_request import ProberAsk

        if visit is not None:
            return detect_edition(self._arguments, lambda: nearest_to_exchange(visit.listing))
        ask = ProberAsk(self.new_prober, self.interrupt)
        return detect_edition(self._arguments, lambda: detect_by_server(server, self.headers, ask))

    def find_edition_for_load(self, visit: Visit | None, address: ServerAddress) -> list[str]:
        """The same, for a process in which Locust has replaced sockets."""
        from ..load.single_request import ConnectionAsk
        from ..probe.edition_detection import detect_by_server

        if visit is not None:
            return self.find_edition(visit, visit.server)
        settings = self._arguments.settings
        ask = ConnectionAsk(settings.route(), settings.timeout_s, self.interrupt, address)
        return detect_edition(self._arguments, lambda: detect_by_server(address.server, self.headers, ask))

    def visit_for_load(self) -> Visit | None:
        """As `visit`, for a process in which Locust has replaced sockets; None if workers on other machines send."""
        from ..load.single_request import ConnectionAsk

        settings = self._arguments.settings
        if self._arguments.master:
            return None
        ask = ConnectionAsk(settings.route(), settings.timeout_s, self.interrupt)
        return self.visit(ask, "sora-harness doctor", looks=LOOKS_BEFORE_LOAD)

    def visit(self, ask: PeerAsk, command: str, *, looks: int = 1) -> Visit | None:
        """
        Ask the server for one listing; with --wait, keep trying while it is starting.

        Args:
            command: What to type next, without the URL.
            looks: How often to ask a server that does not respond as Sora.

        Returns:
            What was found; None if no server was named, or if the user interrupted.
        """
        from ..probe.single_request import VisitPlan, visit_when_ready

        settings = self._arguments.settings
        if settings.url is None:
            return None
        began_s = time.monotonic()
        visit = visit_when_ready(
            VisitPlan.of(settings, self.headers, command=command, looks=looks),
            ask,
            self.interrupt,
            say=lambda text: self.progress.show(time.monotonic() - began_s, self.secrets.redact(text)),
        )
        self.progress.end()
        return visit

    def diagnose(self, visit: Visit | None) -> dict[str, str]:
        """The diagnosis of what is at the URL, and what to do next; empty if nothing is wrong."""
        from ..probe.doctor import diagnose

        return {} if visit is None or visit.problem is None else diagnose(visit)

    def end_early(self, visit: Visit, scope: RunScope, options: dict[str, Any]) -> ExitCode:
        """Judge the one response, report the diagnosis of the URL, and return the exit code."""
        from ..judge.verdict_decision import RunEnding

        listing = visit.listing
        notes = self.find_edition(visit, visit.server)
        with self.stack:
            recorder = self.start_recorder(visit.server, options | scope.to_options())
            judge = self._arguments.settings.new_judge(observer=None if recorder is None else recorder.add_exchange)
            opened = judge.begin_exchange(listing.request)
            opened.complete(listing.response, listing.error, None, listing.faults)
            ending = RunEnding(interrupted=self.interrupt.is_interrupted, aborted=visit.reason)
            if recorder is not None:
                recorder.mark_early_end(interrupted=ending.interrupted, aborted=ending.aborted)
        facts = self.facts(
            subject=visit.server,
            scope=scope,
            ending=ending,
            options=options,
            notes=notes,
            diagnosis=self.diagnose(visit),
        )
        return report_and_exit_code(self._arguments, judge, facts)

    def server_access(self, address: ServerAddress) -> ServerAccess:
        """What the run's workers need to reach its server."""
        from ..load.load_task import ServerAccess

        settings = self._arguments.settings
        return ServerAccess(
            address=address,
            kind="simulator" if settings.url is None else "server",
            route=settings.route(),
            secrets=self.secrets,
        )

    def facts(
        self,
        *,
        subject: str,
        scope: RunScope,
        ending: RunEnding,
        options: dict[str, Any],
        notes: Sequence[str] = (),
        diagnosis: dict[str, str] | None = None,
    ) -> RunFacts:
        """The facts of the run for its report, besides the judge's counts."""
        from ..api.edition import load_edition
        from ..reports.verdict_assembly import RunFacts

        settings = self._arguments.settings
        proxy = settings.route().proxy if settings.url is not None else None
        return RunFacts(
            command=self._command,
            edition=load_edition(settings.edition),
            subject=subject,
            scope=scope,
            ending=ending,
            started_at=self._started_at,
            options=options if proxy is None else options | {"proxy": proxy.url},
            notes=notes if proxy is None else [*notes, f"everything was sent through the proxy {proxy.url}"],
            diagnosis=diagnosis or {},
            secrets=self.secrets,
        )


def make_pass_policy(arguments: Arguments, baseline: Baseline | None) -> PassPolicy:
    """The policy that the options set for passing."""
    from ..reports.pass_policy import PassPolicy

    settings = arguments.settings
    return PassPolicy(severity=settings.severity, require=settings.require, waivers=settings.waivers, baseline=baseline)


def report_and_exit_code(
    arguments: Arguments, judge: JudgeResultSource, facts: RunFacts, *, write: bool = True
) -> ExitCode:
    """
    Finish the judge, write the reports, print the summary (and what the CI server reads), and return the exit code.

    Args:
        write: Whether to write files even without --output.

    Returns:
        The worst of the verdict's exit code and those of other problems.

    Raises:
        OutputError: The reports cannot be written, and the verdict is not `fail`, which outranks that.
        UsageError: The baseline is of another edition or kind of subject, and nothing worse happened; the reports are
        written without it.
    """
    from ..reports import report_folder as files
    from ..reports.baseline import baseline_mismatch
    from ..reports.pass_policy import withhold_pass
    from ..reports.verdict_assembly import assemble_verdict, verdict_subject_kind

    settings, baseline = arguments.settings, arguments.baseline
    problems: list[HarnessError] = []
    if baseline is not None:
        kind = verdict_subject_kind(judge, facts.judged_from)
        if mismatch := baseline_mismatch(baseline, edition=facts.edition.name, subject_kind=kind):
            problems.append(UsageError(f"{mismatch}; the reports ignore it"))
            baseline = None
    policy = make_pass_policy(arguments, baseline)
    wanted = write or arguments.output is not None
    report = assemble_verdict(judge, replace(facts, labels=settings.labels), policy, name_evidence=wanted)
    for problem in problems:
        withhold_pass(report.verdict, problem)  # before it is written
    written = None
    if wanted:
        try:
            folder = arguments.output or files.make_report_folder(report.verdict.command)
            files.write_reports(report, folder)
            written = folder
        except OSError as error:
            problems.append(OutputError(f"the reports cannot be written: {error.strerror or error}"))
        except Exception as error:
            if report.verdict.exit_code != ExitCode.FAIL:
                raise
            # the finding is reported all the same
            problems.append(HarnessError(f"the reports cannot be made: {type(error).__name__}: {error}"))
        for problem in problems:
            withhold_pass(report.verdict, problem)
    code = ExitCode(report.verdict.exit_code)
    _print_report(report, written, arguments)
    for problem in problems:
        if problem.exit_code is code:
            raise problem
        write_message(f"sora-harness: {problem}\n", sys.stderr)
    return code


def _print_report(report: VerdictReport, written: Path | None, arguments: Arguments) -> None:
    from ..judge.requirements import REQUIREMENTS
    from ..reports import github_actions as github
    from ..reports import report_folder as files
    from ..reports import terminal
    from ..reports.markdown import render_markdown_summary

    stream = sys.stderr if arguments.json else sys.stdout
    detail = terminal.Detail.FULL if arguments.verbose else terminal.Detail.SUMMARY
    detail = terminal.Detail.VERDICT if arguments.quiet else detail
    text = terminal.render_terminal(report, colour=wants_colour(stream), width=report_width(stream), detail=detail)
    on_github = github.is_in_github_actions()
    write_output(github.guard_log_commands(text, secrets.token_hex(16)) if on_github else text, stream)
    if written is not None and not arguments.quiet:
        write_message(f"reports in {written}/: {', '.join(files.list_report_files(written))}\n", stream)
        failed = next((row.id for row in report.verdict.requirements if row.fails and row.id in REQUIREMENTS), None)
        if failed is not None and not report.verdict.diagnosis:
            write_message(f"why it is a rule, and how to waive it: sora-harness explain {failed}\n", stream)
    if on_github:
        write_output(github.verdict_annotations(report.verdict), stream)
        if problem := github.append_step_summary(render_markdown_summary(report)):
            write_message(f"sora-harness: the step's summary could not be written: {problem}\n", sys.stderr)
    if arguments.json:
        write_output(files.verdict_to_json(report.verdict))
