"""
Runs the conformance gate inside of pytest: once a session, in whichever process needs it first.

Under pytest-xdist each process has a session and items of its own. The first that runs a gate item takes a lock in a
folder that the processes share, probes, and writes the report there; the others wait for the lock and read the report.
The operating system releases the lock of a process that ends, so a worker that crashes doesn't block the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final

from ..api.edition import load_edition
from ..api.errors import HarnessError, OutputError, UsageError
from ..api.exchange import Headers
from ..api.server_url import normalize_server_url
from ..judge.checks.user_checks import load_check_files
from ..judge.pipeline import Judge, JudgeOptions
from ..judge.verdict_decision import RunEnding
from ..probe.conformance_plan import SERVER_RATE, SIMULATOR_RATE, ConformancePlan, run_time_limit_s
from ..probe.conformance_run import run_conformance
from ..probe.interrupt import InterruptHandler
from ..probe.prober import Prober
from ..reports import report_folder
from ..reports.baseline import baseline_mismatch
from ..reports.pass_policy import PassPolicy, withhold_pass
from ..reports.report import VerdictReport
from ..reports.verdict_assembly import RunFacts, assemble_verdict, format_utc_now, verdict_subject_kind
from ..simulator.faults import parse_fault
from ..simulator.server import start_simulator_process
from .options import PluginSettings

LOCK_FILE_NAME: Final = "lock"
REPORT_FOLDER_NAME: Final = "gate"
PROBLEM_FILE_NAME: Final = "problem"
"""Names in the shared folder: the lock, the report, and why there is none."""


def check_gate_settings(settings: PluginSettings) -> None:
    """
    See before the run whether it can be made as asked.

    Raises:
        UsageError: A value that can't be used.
    """
    _check_item_timeout(settings)
    load_edition(settings.edition)
    for fault in settings.faults:
        parse_fault(fault)
    headers, _ = settings.read_headers_and_secrets(simulated=settings.uses_simulator)
    if not settings.uses_simulator:
        _make_plan(settings, _server_urls(settings), headers)
    _make_prober(settings)
    if settings.report is not None:
        report_folder.check_report_folder(settings.report)


def _check_item_timeout(settings: PluginSettings) -> None:
    limit_s = run_time_limit_s(settings.duration_s, settings.max_duration_s)
    if settings.item_timeout_s is not None and settings.item_timeout_s <= limit_s:
        raise UsageError(
            f"pytest-timeout ends a test after {settings.item_timeout_s:g} s, and the gate may take {limit_s:g} s: "
            "give a longer --timeout, or a shorter --sora-max-duration"
        )


def run_gate_once(settings: PluginSettings, shared: Path) -> VerdictReport:
    """
    Run the gate, unless another process of this run has.

    Args:
        shared: A folder that the processes of this run have in common.

    Raises:
        HarnessError: It couldn't be run, here or there.
        KeyboardInterrupt: It was interrupted; its report is there nevertheless.
        BaseException: Another plugin ended it, as pytest-timeout does.
    """
    with _hold_lock(shared / LOCK_FILE_NAME):
        report = read_finished_report(shared)
        if report is not None:
            return report
        if (problem := read_problem(shared)) is not None:
            raise HarnessError(problem)
        try:
            report = run_gate(settings)
            if settings.report is not None:
                _write_reports(report, settings.report)
            _write_reports(report, shared / REPORT_FOLDER_NAME)
        except BaseException as error:  # whatever it is, the other items must not try it all again
            text = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
            (shared / PROBLEM_FILE_NAME).write_text(text, encoding="utf-8")
            if not isinstance(error, Exception):
                raise
            raise HarnessError(text) from error
    if report.verdict.interrupted:
        raise KeyboardInterrupt
    return report


def _write_reports(report: VerdictReport, folder: Path) -> None:
    """Write the reports; where they can't be, the verdict says so, and keeps its findings."""
    try:
        report_folder.write_reports(report, folder)
    except OSError as error:
        reason = error.strerror or error
        withhold_pass(report.verdict, OutputError(f"the reports cannot be written to {folder}: {reason}"))


def read_finished_report(shared: Path) -> VerdictReport | None:
    """The report of a gate that has run; None where none has, to its end."""
    path = shared / REPORT_FOLDER_NAME / report_folder.VERDICT_FILE
    return report_folder.read_report(path) if path.is_file() else None


def read_problem(shared: Path) -> str | None:
    """Why the gate could not be run; None where it could, or was not tried."""
    path = shared / PROBLEM_FILE_NAME
    return path.read_text(encoding="utf-8") if path.is_file() else None


def run_gate(settings: PluginSettings) -> VerdictReport:
    """
    Probe, judge and sum up.

    Raises:
        HarnessError: The simulator did not start, or the baseline is not of what responded.
    """
    started_at = format_utc_now()
    edition = load_edition(settings.edition)
    headers, secrets = settings.read_headers_and_secrets(simulated=settings.uses_simulator)
    with InterruptHandler() as interrupt, ExitStack() as stack:
        if settings.uses_simulator:
            servers = stack.enter_context(
                start_simulator_process(edition=settings.edition, faults=settings.faults)
            ).urls
        else:
            servers = _server_urls(settings)
        plan = _make_plan(settings, servers, headers)
        judge = Judge(
            edition,
            checks=load_check_files(settings.checks),
            options=JudgeOptions(nodes=plan.servers, tear_s=settings.tear_s, severity=settings.severity),
        )
        # In a thread, since asyncio.run leaves the main one without the event loop that a suite may rely on.
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(run_conformance, plan, judge, _make_prober(settings), interrupt=interrupt)
            try:
                result = running.result()
            except BaseException:  # raised into this thread by a signal: the other one must end, too
                interrupt.request_stop()
                raise
    baseline = settings.baseline
    if baseline is not None:
        kind = verdict_subject_kind(judge, "live")
        if problem := baseline_mismatch(baseline, edition=edition.name, subject_kind=kind):
            raise UsageError(problem)
    facts = RunFacts(
        command="pytest",
        edition=edition,
        subject=plan.server,
        scope=plan.scope,
        ending=RunEnding(interrupted=result.interrupted, aborted=result.aborted),
        started_at=started_at,
        labels=settings.labels,
        options={
            "duration_s": plan.duration_s,
            "max_duration_s": plan.time_limit_s,
            "nodes": list(plan.servers),
            "valid_only": settings.valid_only,
        },
        notes=[*result.notes, *settings.notes],
        secrets=secrets,
    )
    policy = PassPolicy(
        severity=settings.severity, require=settings.require, waivers=settings.waivers, baseline=baseline
    )
    return assemble_verdict(judge, facts, policy)


def _server_urls(settings: PluginSettings) -> list[str]:
    return list(dict.fromkeys(normalize_server_url(each) for each in (settings.server_url, *settings.nodes)))


def _make_plan(settings: PluginSettings, servers: list[str], headers: Headers) -> ConformancePlan:
    return ConformancePlan(
        server=servers[0],
        nodes=tuple(servers[1:]),
        duration_s=settings.duration_s,
        max_duration_s=settings.max_duration_s,
        rate=SIMULATOR_RATE if settings.uses_simulator else SERVER_RATE,
        headers=headers,
        send_wrong_requests=not settings.valid_only,
    )


def _make_prober(settings: PluginSettings) -> Prober:
    return Prober(timeout_s=settings.timeout_s, ca_file=settings.ca_file, insecure=settings.insecure)


@contextmanager
def _hold_lock(path: Path) -> Iterator[None]:
    """Hold a lock that no two processes hold at a time."""
    with path.open("a+b") as file:
        _lock_file(file)
        yield  # closing the file lets go


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
