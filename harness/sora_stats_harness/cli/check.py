"""`sora-harness check`: recordings and responses' bodies, judged by the code that judges live."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..probe.edition_detection import AUTO_EDITION, detect_by_files
from . import command_support as common
from .configured_options import ORIGIN_COMMAND_LINE, ORIGIN_DEFAULT
from .progress import ProgressLine

if TYPE_CHECKING:
    from ..api.exchange import Target
    from ..probe.interrupt import InterruptHandler

HELP: Final = "judge recordings, or single responses in files"

EXAMPLES: Final = """\
examples:
  sora-harness check run.jsonl.zst                       judge a recording again
  sora-harness check worker-1.jsonl worker-2.jsonl       files of one run are brought into one order
  sora-harness check response.json                         an object is one connection, an array all of them
  sora-harness check --target GetStatsClient client.json
  curl -s -H 'x-sora-target: Sora_20171101.GetStatsAllConnections' -X POST http://127.0.0.1:3000/ | sora-harness check -
"""

INTERRUPT_GRACE_S: Final = 2.0
"""After which progress is shown."""

_LINES_PER_TICK: Final = 64
"""Between two looks at the time."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a recording or a body, compressed or not; - for stdin"
    )
    parser.add_argument(
        "--target",
        metavar="NAME",
        help="whose response a body is: GetStatsConnection, GetStatsClient, GetStatsAllConnections",
    )
    common.add_judging_options(parser, no_output="none are written")
    # without --edition a recording is judged as it was when it was made
    parser.set_defaults(edition=None)


def run(arguments: argparse.Namespace) -> int:
    """
    Judge the files, and report; files are written only with --output.

    Returns:
        The exit code of the verdict.

    Raises:
        UsageError: A file is missing, unreadable or of no known kind; an edition or target is not known.
    """
    from ..api.edition import load_edition
    from ..judge.pipeline import Judge
    from ..probe.file_check import choose_edition, judge_files, open_files
    from ..probe.interrupt import InterruptHandler
    from ..reports.verdict_assembly import format_utc_now

    started_at = format_utc_now()
    target = _parse_target(arguments.target)
    with InterruptHandler() as interrupt:
        files = open_files(arguments.files, target)
        if arguments.edition == AUTO_EDITION:
            arguments.edition, notes = detect_by_files(files)
        else:
            arguments.edition, notes = choose_edition(files, arguments.edition)
        edition = load_edition(arguments.edition)
        if (origin := arguments.origins["edition"]) not in (ORIGIN_COMMAND_LINE, ORIGIN_DEFAULT):
            # it was not asked for today, so where it makes a difference that is worth a word
            others = {file.edition for file in files if file.edition is not None} - {edition.name}
            notes += [
                f"recorded with edition {name}, and judged here by {edition.name}: {origin}" for name in sorted(others)
            ]
        judge = Judge(edition)
        progress = ProgressLine()
        try:
            checked = judge_files(judge, files, target=target, tick=_make_tick(interrupt, progress))
        finally:
            progress.end()
        return common.report_and_exit_code(
            arguments,
            command="check",
            judge=checked,
            observes=checked.observes,
            excluded=checked.excluded,
            subject=checked.subject,
            judged_from=checked.judged_from,
            started_at=started_at,
            options={"files": [file.store.name for file in files], "target": arguments.target},
            interrupted=checked.interrupted or checked.was_interrupted,
            aborted=checked.abort_reasons,
            extra_notes=[*notes, *checked.notes, *checked.early_endings],
            write=arguments.output is not None,
        )


def _parse_target(name: str | None) -> Target | None:
    from ..api.errors import UsageError
    from ..api.exchange import TARGET_OF_OPERATION

    if name is not None and name not in TARGET_OF_OPERATION:
        raise UsageError(f"--target: {name!r} is none of {', '.join(TARGET_OF_OPERATION)}")
    return TARGET_OF_OPERATION[name] if name is not None else None


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
        if count % _LINES_PER_TICK == 0 and (elapsed := time.monotonic() - started) > INTERRUPT_GRACE_S:
            progress.show(elapsed, f"check: {count:,} lines read, each is read twice")

    return tick
