"""`sora-harness check`: recordings and responses' bodies, judged by the code that judges live."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from . import command_support as common
from . import options
from .framework import Arguments, Choice, Command, with_value
from .output import ProgressLine

if TYPE_CHECKING:
    from ..probe.interrupt import InterruptHandler

EXAMPLES: Final = """\
examples:
  sora-harness check run.jsonl.zst                       judge a recording again
  sora-harness check worker-1.jsonl worker-2.jsonl       files of one run are brought into one order
  sora-harness check response.json                         an object is one connection, an array all of them
  sora-harness check --target GetStatsClient client.json
  curl -s -H 'x-sora-target: Sora_20171101.GetStatsAllConnections' -X POST http://127.0.0.1:3000/ | sora-harness check -
"""

PROGRESS_AFTER_S: Final = 2.0
"""Progress is shown after this time."""

_OPERATIONS: Final = ("GetStatsConnection", "GetStatsClient", "GetStatsAllConnections")
"""The names of the targets, as `api.exchange` has them, which `--help` does not load."""

_LINES_PER_TICK: Final = 64
"""The clock is read once in so many lines."""


def run(arguments: Arguments) -> int:
    """
    Judge the files, and report; files are written only with --output.

    Returns:
        The exit code of the verdict.

    Raises:
        UsageError: A file is missing, unreadable or of no known kind; an edition or target is not known.
    """
    from ..api.edition import load_edition
    from ..api.exchange import TARGET_OF_OPERATION
    from ..judge.checks.user_checks import load_check_files
    from ..judge.pipeline import Judge, JudgeOptions
    from ..judge.verdict_decision import RunEnding, RunScope
    from ..load.recorded_load import RecordedLoad
    from ..probe.edition_detection import detect_by_files
    from ..probe.file_check import choose_edition, judge_files, open_files
    from ..probe.interrupt import InterruptHandler
    from ..probe.run_settings import ORIGIN_DEFAULT, ORIGIN_OPTION
    from ..reports.verdict_assembly import RunFacts, format_utc_now

    started_at = format_utc_now()
    settings = options.read_settings(arguments, writes_reports=False)
    target = TARGET_OF_OPERATION[arguments.target] if arguments.target is not None else None
    origin = settings.origins["edition"]
    with InterruptHandler(ends_process=arguments.ends_process) as interrupt:
        files = open_files(arguments.files, target)
        if settings.edition == common.AUTO_EDITION:
            name, notes = detect_by_files(files)
        else:
            # unless an edition was named, a recording is judged by the one that it was made with
            name, notes = choose_edition(files, None if origin == ORIGIN_DEFAULT else settings.edition)
        arguments.settings = replace(settings, edition=name)
        edition = load_edition(name)
        if origin not in (ORIGIN_OPTION, ORIGIN_DEFAULT):
            # the command line does not name it, so a difference is worth a note
            others = {file.edition for file in files if file.edition is not None} - {edition.name}
            notes += [
                f"recorded with edition {other}, and judged here by {edition.name}: {origin}"
                for other in sorted(others)
            ]
        recorded = RecordedLoad()
        judge = Judge(
            edition,
            observer=recorded.add,
            checks=load_check_files(settings.checks),
            options=JudgeOptions(tear_s=settings.tear_s),
        )
        progress = ProgressLine()
        try:
            checked = judge_files(
                judge, files, target=target, tick=_make_tick(interrupt, progress), opened=recorded.open
            )
        finally:
            progress.end()
        return common.report_and_exit_code(
            arguments,
            checked,
            RunFacts(
                command="check",
                edition=load_edition(arguments.settings.edition),
                subject=checked.subject,
                judged_from=checked.judged_from,
                scope=RunScope(observes=checked.observes, excluded=checked.excluded),
                ending=RunEnding(
                    interrupted=checked.interrupted or checked.was_interrupted, aborted=checked.abort_reasons
                ),
                started_at=started_at,
                options={"files": [file.store.name for file in files], "target": arguments.target},
                notes=[*notes, *checked.notes, *checked.early_endings],
                load=recorded.result(),
            ),
            write=arguments.output is not None,
        )


def _make_tick(interrupt: InterruptHandler, progress: ProgressLine) -> Callable[[], None]:
    """What is called at every line: shows how far we are, and stops at Ctrl-C."""
    from ..probe.file_check import CheckStopped

    started = time.monotonic()
    count = 0

    def tick() -> None:
        nonlocal count
        if interrupt.is_interrupted:
            raise CheckStopped
        count += 1
        if count % _LINES_PER_TICK == 0 and (elapsed := time.monotonic() - started) > PROGRESS_AFTER_S:
            progress.show(elapsed, f"check: {count:,} lines read, each is read twice")

    return tick


command = Command(
    "check",
    [
        click.Argument(
            ["files"],
            nargs=-1,
            required=True,
            metavar="FILE...",
            help="a recording or a body, compressed or not; - for stdin",
        ),
        with_value("--target", "NAME", f"whose response a body is: {', '.join(_OPERATIONS)}", type=Choice(_OPERATIONS)),
        *options.judging_options(no_output="none are written"),
    ],
    examples=EXAMPLES,
    run=run,
)
