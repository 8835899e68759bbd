"""
What several commands do alike: start the simulator, find the edition out, and report.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..api.errors import ExitCode, HarnessError, UsageError
from ..api.secret_redaction import Secrets
from . import github_actions as github
from .framework import Arguments
from .options import check_baseline, simulator_parameters
from .output import wants_colour, write_output

if TYPE_CHECKING:
    from ..judge.requirements import RequiredCapability
    from ..judge.verdict import (
        CapacityResult,
        EvidenceSource,
        ListingCost,
        LoadResult,
        MediaResult,
        PollingEstimate,
        ReportTable,
        SubjectKind,
    )
    from ..reports.baseline import Baseline
    from ..reports.report import VerdictReport
    from ..reports.verdict_assembly import JudgeResultSource

AUTO_EDITION: Final = "auto"


def announce_self_test() -> None:
    """Say on stderr that no Sora is tested."""
    write_output("SELF-TEST: no URL was given, so the embedded simulator is tested, and no Sora\n", sys.stderr)


def start_simulator(arguments: Arguments, stack: ExitStack, **more: Any) -> Sequence[str]:  # Any: the simulator's own
    """Start a simulator that lives as long as the stack, and give its URLs; `more` wins over the options."""
    from ..simulator.server import start_simulator_process

    edition = None if arguments.settings.edition == AUTO_EDITION else arguments.settings.edition
    parameters = simulator_parameters(arguments) | more
    return stack.enter_context(start_simulator_process(edition=edition, **parameters)).urls


def check_enough_users(option: str, count: int | None, users: int) -> None:
    """
    Refuse more processes or sockets than there are requests at a time.

    Raises:
        UsageError: There are more.
    """
    if count is not None and count > users:
        raise UsageError(f"{option} {count}: there are no more than {users} requests at a time to share among them")


def edition_plan_text(arguments: Arguments) -> str:
    """The end of a plan that first finds the edition out."""
    if arguments.settings.edition != AUTO_EDITION:
        return ""
    return "; the edition is found out first, by one listing (--edition auto)"


def detect_edition(arguments: Arguments, ask: Callable[[], tuple[str, list[str]]]) -> list[str]:
    """
    Replace the edition `auto` by the one that a server's responses are nearest to, and say so.

    Args:
        arguments: With their settings.
        ask: As `probe.edition_detection.detect_by_server`; not called where an edition was named.

    Returns:
        Notes for the verdict.

    Raises:
        UsageError: The baseline is of another edition.
    """
    if arguments.settings.edition != AUTO_EDITION:
        return []
    edition, notes = ask()
    arguments.settings = replace(arguments.settings, edition=edition)
    write_output("".join(f"{note}\n" for note in notes), sys.stderr)
    check_baseline(arguments)
    return notes


def report_and_exit_code(
    arguments: Arguments,
    *,
    command: str,
    judge: JudgeResultSource,
    observes: Collection[RequiredCapability],
    subject: str,
    judged_from: EvidenceSource,
    started_at: str,
    options: dict[str, Any],  # Any: whatever a command's options hold, as JSON
    excluded: Collection[str] = (),
    interrupted: bool = False,
    aborted: str | None = None,
    extra_notes: Collection[str] = (),
    secrets: Secrets | None = None,
    write: bool = True,
    sections: Sequence[ReportTable] = (),
    violated_slo: str | None = None,
    load: LoadResult | None = None,
    capacity: CapacityResult | None = None,
    estimate: PollingEstimate | None = None,
    cost: ListingCost | None = None,
    media: MediaResult | None = None,
) -> int:
    """
    Sum up, write the reports, tell the person (and the CI server), and give the exit code.

    Args:
        arguments: With what `add_judging_options` added.
        command: The command's name; names the default folder.
        judge: Is finished here.
        write: Whether files are written where --output was not given.
        observes, subject, judged_from, started_at, options, excluded, interrupted, aborted, sections, violated_slo,
            load, capacity, estimate, cost, media: As in `reporters.assemble.assemble`.
        extra_notes: Its `notes`.
        secrets: None are known if None.

    Raises:
        HarnessError: The reports could not be written; not where the verdict is fail, which outranks that.
        UsageError: The baseline is of another edition or kind of subject; the reports are written, without it.
    """
    from ..api.edition import load_edition
    from ..reports.verdict_assembly import assemble_verdict, verdict_subject_kind

    secrets, settings = secrets or Secrets(), arguments.settings
    edition = load_edition(settings.edition)
    wanted = write or arguments.output is not None
    baseline: Baseline | None = arguments.baseline
    mismatch = None
    if baseline is not None:
        mismatch = _baseline_mismatch(
            baseline, edition=edition.name, subject_kind=verdict_subject_kind(judge, judged_from)
        )
        fields = [field.path for field in edition.fields]
        baseline = replace(baseline, documented=fields) if mismatch is None else None
    report = assemble_verdict(
        judge,
        command=command,
        edition=edition.name,
        subject=subject,
        judged_from=judged_from,
        observes=observes,
        started_at=started_at,
        strict=settings.strict,
        require=settings.require,
        excluded=excluded,
        interrupted=interrupted,
        aborted=aborted,
        labels=settings.labels,
        options=options,
        notes=extra_notes,
        sections=sections,
        violated_slo=violated_slo,
        load=load,
        capacity=capacity,
        estimate=estimate,
        cost=cost,
        media=media,
        waived=settings.waivers,
        baseline=baseline,
        name_evidence=wanted,
        fields=edition,
        secrets=secrets,
    )
    written, problem = None, None
    if wanted:
        try:
            written = _write_reports(report, arguments.output)
        except OSError as error:
            problem = f"the reports could not be written: {error.strerror or error}"
    _print_report(report, written, as_json=arguments.json)
    if mismatch is not None:
        raise UsageError(f"{mismatch}; what the reports say is without it")
    if problem is not None:
        if report.verdict.exit_code != ExitCode.FAIL:
            raise HarnessError(problem)
        write_output(f"sora-harness: {problem}\n", sys.stderr)
    return report.verdict.exit_code


def _baseline_mismatch(
    baseline: Baseline, *, edition: str | None = None, subject_kind: SubjectKind | None = None
) -> str | None:
    from ..reports.baseline import baseline_mismatch

    return baseline_mismatch(baseline, edition=edition, subject_kind=subject_kind)


def _write_reports(report: VerdictReport, output: Path | None) -> Path:
    from ..reports import report_folder as files

    folder = output or files.make_report_folder(report.verdict.command)
    files.write_reports(report, folder)
    return folder


def _print_report(report: VerdictReport, written: Path | None, *, as_json: bool) -> None:
    from ..reports import report_folder as files
    from ..reports import terminal

    stream = sys.stderr if as_json else sys.stdout
    write_output(github.guard_log_text(terminal.render_terminal(report, colour=wants_colour(stream))), stream)
    if written is not None:
        write_output(f"reports in {written}/: {', '.join(files.list_report_files(written))}\n", stream)
    github.annotate_report(report, stream)
    if as_json:
        write_output(files.verdict_to_json(report.verdict))
