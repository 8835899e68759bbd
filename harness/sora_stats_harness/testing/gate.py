"""
The gate inside of pytest: `conform`'s run, once a session, in whichever process comes to it first.

Under pytest-xdist each process has a session and items of its own. The first that runs one takes a lock in a folder that
the run's processes share, probes, and leaves the report there; the others wait for the lock and read it. A lock of the
system is gone with the process that held it, so a worker that crashes doesn't leave the rest waiting.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from ..api.edition import load
from ..api.errors import HarnessError, UsageError
from ..api.exchange import Headers
from ..judge.judge import Judge
from ..probe import conform
from ..probe.client import Prober, server_of
from ..probe.interrupt import Interrupt
from ..probe.plan import POLITE_RATE, SELF_TEST_RATE, Plan
from ..reports import files
from ..reports.assemble import assemble, subject_kind, utc_now
from ..reports.baseline import mismatch
from ..reports.report import Report
from ..simulator.faults import parse
from ..simulator.server import spawn
from .options import Settings

LOCK: Final = "lock"
REPORT: Final = "gate"
PROBLEM: Final = "problem"
"""Names in the shared folder: the lock, the report, and why there is none."""


def check(settings: Settings) -> None:
    """
    See before the run whether it can be made as asked.

    Raises:
        UsageError: A value that can't be used.
    """
    load(settings.edition)
    for fault in settings.faults:
        parse(fault)
    headers, _ = settings.headers(simulated=settings.simulated)
    if not settings.simulated:
        _plan(settings, _servers(settings), headers)
    _prober(settings)
    if settings.report is not None:
        files.check_folder(settings.report)


def run_once(settings: Settings, shared: Path) -> Report:
    """
    Run the gate, unless another process of this run has.

    Args:
        settings: What to do.
        shared: A folder that the processes of this run have in common.

    Raises:
        HarnessError: It couldn't be run, here or there.
        KeyboardInterrupt: It was interrupted; its report is there nevertheless.
    """
    with _locked(shared / LOCK):
        report = known(shared)
        if report is not None:
            return report
        problem = shared / PROBLEM
        if problem.exists():
            raise HarnessError(problem.read_text(encoding="utf-8"))
        try:
            report = run(settings)
            files.write(report, shared / REPORT)
            if settings.report is not None:
                files.write(report, settings.report)
        except Exception as error:  # whatever it is, the other items must not try it all again
            text = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
            problem.write_text(text, encoding="utf-8")
            raise HarnessError(text) from error
    if report.verdict.interrupted:
        raise KeyboardInterrupt
    return report


def known(shared: Path) -> Report | None:
    """The report of a gate that has run; None where none has, to its end."""
    path = shared / REPORT / files.VERDICT
    return files.read(path) if path.is_file() else None


def run(settings: Settings) -> Report:
    """
    Probe, judge and sum up.

    Raises:
        HarnessError: The simulator did not start, or the baseline is not of what answered.
    """
    started_at = utc_now()
    edition = load(settings.edition)
    headers, secrets = settings.headers(simulated=settings.simulated)
    with Interrupt() as interrupt, ExitStack() as stack:
        if settings.simulated:
            servers = stack.enter_context(spawn(edition=settings.edition, faults=settings.faults)).urls
        else:
            servers = _servers(settings)
        plan = _plan(settings, servers, headers)
        judge = Judge(edition, nodes=plan.servers)
        # In a thread, since asyncio.run leaves the main one without the event loop that a suite may rely on.
        with ThreadPoolExecutor(1) as thread:
            result = thread.submit(conform.run, plan, judge, _prober(settings), interrupt=interrupt).result()
    baseline = settings.baseline
    if baseline is not None:
        kind = subject_kind(judge, "live")
        if problem := mismatch(baseline, edition=edition.name, subject_kind=kind):
            raise UsageError(problem)
        baseline = replace(baseline, documented=[field.path for field in edition.fields])
    return assemble(
        judge,
        command="pytest",
        edition=edition.name,
        subject=plan.server,
        judged_from="live",
        observes=plan.observes(),
        started_at=started_at,
        strict=settings.strict,
        require=settings.require,
        excluded=plan.excluded(),
        interrupted=result.interrupted,
        aborted=result.aborted,
        labels=settings.labels,
        waived=settings.waivers,
        baseline=baseline,
        fields=edition,
        options={"duration_s": plan.duration_s, "nodes": list(plan.servers), "valid_only": settings.valid_only},
        notes=[*result.notes, *settings.notes],
        secrets=secrets,
    )


def _servers(settings: Settings) -> list[str]:
    return list(dict.fromkeys(server_of(each) for each in (settings.server, *settings.nodes)))


def _plan(settings: Settings, servers: list[str], headers: Headers) -> Plan:
    return Plan(
        server=servers[0],
        nodes=tuple(servers[1:]),
        duration_s=settings.duration_s,
        rate=SELF_TEST_RATE if settings.simulated else POLITE_RATE,
        headers=headers,
        wrong_requests=not settings.valid_only,
    )


def _prober(settings: Settings) -> Prober:
    return Prober(timeout_s=settings.timeout_s, ca_file=settings.ca_file, insecure=settings.insecure)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that no two processes hold at a time."""
    with path.open("a+b") as file:
        _lock(file)
        yield  # closing the file lets go


if sys.platform == "win32":

    def _lock(file: IO[bytes]) -> None:
        import msvcrt

        while True:
            try:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # gives up after ten seconds
            except OSError:
                continue
            return

else:

    def _lock(file: IO[bytes]) -> None:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
