"""
Runs the conformance gate inside pytest: once per session, in the process that needs it first.

Under pytest-xdist each process has a session and items of its own. The first that runs a gate item takes a lock in a
folder that the processes share, probes, and writes the report there; the others wait for the lock and read the report.
The operating system releases the lock of a process that ends, so a worker that crashes doesn't block the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from ..api.edition import load_edition
from ..api.errors import HarnessError, OutputError, UsageError
from ..judge.pipeline import Judge
from ..judge.verdict import SubjectKind
from ..probe.conformance_plan import ConformancePlan, run_time_limit_s
from ..probe.conformance_run import ConformanceResult, run_conformance
from ..probe.doctor import Visit, diagnose
from ..probe.edition_detection import AUTO_EDITION
from ..probe.interrupt import InterruptHandler
from ..probe.run_settings import RunSettings
from ..probe.single_request import ProberAsk, VisitPlan, visit_when_ready
from ..reports import report_folder
from ..reports.baseline import check_baseline
from ..reports.pass_policy import PassPolicy, withhold_pass
from ..reports.report import VerdictReport
from ..reports.verdict_assembly import RunFacts, assemble_verdict, format_utc_now, verdict_subject_kind
from ..reports.verdict_files import VERDICT_FILE
from ..simulator.faults import parse_fault
from ..simulator.server import start_simulator_process
from .options import PluginSettings

LOCK_FILE_NAME: Final = "lock"
REPORT_FOLDER_NAME: Final = "gate"
PROBLEM_FILE_NAME: Final = "problem"
"""Files in the shared folder: the lock, the report, and the reason if there is no report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateTask:
    """What one run of the gate does."""

    settings: PluginSettings
    run: RunSettings
    """The settings of the server, with `auto` replaced by an edition."""
    notes: tuple[str, ...] = ()
    """Notes for the verdict."""


def check_gate_settings(settings: PluginSettings, run: RunSettings) -> None:
    """
    Check before the run whether it is possible; nothing is sent.

    Args:
        run: The settings of the server; without a URL if only the fixture `sora_url` names it.
    """
    _check_item_timeout(settings, run)
    headers, _ = run.look_up()
    for fault in settings.faults:
        parse_fault(fault)
    if run.url is not None:
        run.gate.make_plan([run.url], headers, simulated=False)
    run.new_prober()
    edition = None if run.edition == AUTO_EDITION else run.edition
    kind: SubjectKind | None = "simulator" if run.names_simulator else None
    check_baseline(settings.baseline_for(run), edition=edition, subject_kind=kind)
    if settings.report is not None:
        report_folder.check_report_folder(settings.report)


def _check_item_timeout(settings: PluginSettings, run: RunSettings) -> None:
    limit_s = run_time_limit_s(run.gate.duration_s, run.gate.max_duration_s)
    if settings.item_timeout_s is not None and settings.item_timeout_s <= limit_s:
        raise UsageError(
            f"pytest-timeout ends a test after {settings.item_timeout_s:g} s, and the gate may take {limit_s:g} s: "
            "give a longer --timeout, or a shorter --sora-max-duration"
        )


def run_gate_once(make_task: Callable[[], GateTask], shared: Path) -> VerdictReport:
    """
    Run the gate, unless another process of this session has.

    Args:
        make_task: Called if no other process has run the gate.
        shared: A folder that the processes of this session share.

    Raises:
        HarnessError: The gate couldn't be run, in this or another process.
        KeyboardInterrupt: The gate was interrupted; its report exists nevertheless.
        BaseException: Another plugin ended it, as pytest-timeout does.
    """
    with _hold_lock(shared / LOCK_FILE_NAME):
        report = read_finished_report(shared)
        if report is not None:
            return report
        if (problem := read_problem(shared)) is not None:
            raise HarnessError(problem)
        try:
            task = make_task()
            report = run_gate(task)
            if task.settings.report is not None:
                _write_reports(report, task.settings.report)
            _write_reports(report, shared / REPORT_FOLDER_NAME)
        except BaseException as error:  # whatever it is, the other items must not run the gate again
            text = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
            (shared / PROBLEM_FILE_NAME).write_text(text, encoding="utf-8")
            if not isinstance(error, Exception):
                raise
            raise HarnessError(text) from error
    if report.verdict.interrupted:
        raise KeyboardInterrupt
    return report


def _write_reports(report: VerdictReport, folder: Path) -> None:
    """Write the reports; if that fails, the verdict says so, and keeps its findings."""
    try:
        report_folder.write_reports(report, folder)
    except OSError as error:
        reason = error.strerror or error
        withhold_pass(report.verdict, OutputError(f"the reports cannot be written to {folder}: {reason}"))


def read_finished_report(shared: Path) -> VerdictReport | None:
    """The report of a finished gate; None if it has not finished."""
    path = shared / REPORT_FOLDER_NAME / VERDICT_FILE
    return report_folder.read_report(path) if path.is_file() else None


def read_problem(shared: Path) -> str | None:
    """Why the gate could not be run; None if it could, or was not tried."""
    path = shared / PROBLEM_FILE_NAME
    return path.read_text(encoding="utf-8") if path.is_file() else None


def run_gate(task: GateTask) -> VerdictReport:
    """
    Probe, judge and report.

    Raises:
        HarnessError: The simulator did not start, or the baseline is of another subject.
    """
    settings, run = task.settings, task.run
    started_at = format_utc_now()
    edition = load_edition(run.edition)
    headers, secrets = run.look_up()
    with InterruptHandler() as interrupt, ExitStack() as stack:
        if run.url is None:
            servers = stack.enter_context(start_simulator_process(edition=run.edition, faults=settings.faults)).urls
        else:
            servers = [run.url]
        plan = run.gate.make_plan(servers, headers, simulated=run.url is None)
        judge = run.new_judge(nodes=plan.servers)
        # In a thread, since asyncio.run leaves the main one without the event loop that a suite may rely on.
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(_visit_and_probe, run, plan, judge, interrupt)
            try:
                visit, result = running.result()
            except BaseException:  # raised in this thread by a signal: the other thread must end, too
                interrupt.request_stop()
                raise
    baseline = settings.baseline_for(run)
    check_baseline(baseline, edition=run.edition, subject_kind=verdict_subject_kind(judge, "live"))
    facts = RunFacts(
        command="pytest",
        edition=edition,
        subject=plan.server,
        scope=plan.scope,
        ending=result.ending,
        started_at=started_at,
        labels=run.labels,
        options={
            "duration_s": plan.duration_s,
            "max_duration_s": plan.time_limit_s,
            "nodes": list(plan.servers),
            "valid_only": not plan.send_wrong_requests,
            "rate": plan.rate,
        },
        notes=[*result.notes, *task.notes],
        diagnosis={} if visit is None or visit.problem is None else diagnose(visit),
        secrets=secrets,
    )
    policy = PassPolicy(severity=run.severity, require=run.require, waivers=run.waivers, baseline=baseline)
    return assemble_verdict(judge, facts, policy)


def _visit_and_probe(
    run: RunSettings, plan: ConformancePlan, judge: Judge, interrupt: InterruptHandler
) -> tuple[Visit | None, ConformanceResult]:
    """Visit the server, wait if it is starting, and probe it."""
    visit = None
    if run.url is not None:
        looking = VisitPlan.of(run, plan.headers, command="sora-harness doctor")
        visit = visit_when_ready(looking, ProberAsk(run.new_prober, interrupt), interrupt, say=lambda text: None)
    return visit, run_conformance(plan, judge, run.new_prober(), interrupt=interrupt)


@contextmanager
def _hold_lock(path: Path) -> Iterator[None]:
    """Hold a lock that no two processes hold at a time."""
    with path.open("a+b") as file:
        _lock_file(file)
        yield  # closing the file releases the lock


if sys.platform == "win32":

    def _lock_file(file: IO[bytes]) -> None:
        import msvcrt

        while True:
            try:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # gives up after ten seconds
            except OSError:
                continue
            return

else:

    def _lock_file(file: IO[bytes]) -> None:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
