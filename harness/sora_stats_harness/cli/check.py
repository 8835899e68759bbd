"""`sora-harness check`: recordings and answers' bodies, judged by the code that judges live."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..probe.recognise import AUTO, of_files
from . import common
from .progress import Progress
from .settings import COMMAND_LINE, DEFAULT

if TYPE_CHECKING:
    from ..api.exchange import Target
    from ..probe.interrupt import Interrupt

HELP: Final = "judge recordings, or single answers in files"

EXAMPLES: Final = """\
examples:
  sora-harness check run.jsonl.zst                       judge a recording again
  sora-harness check worker-1.jsonl worker-2.jsonl       files of one run are brought into one order
  sora-harness check answer.json                         an object is one connection, an array all of them
  sora-harness check --target GetStatsClient client.json
  curl -s -H 'x-sora-target: Sora_20171101.GetStatsAllConnections' -X POST http://127.0.0.1:3000/ | sora-harness check -
"""

PATIENCE_S: Final = 2.0
"""After which progress is shown."""

_LINES: Final = 64
"""Between two looks at the time."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a recording or a body, compressed or not; - for stdin"
    )
    parser.add_argument(
        "--target",
        metavar="NAME",
        help="whose answer a body is: GetStatsConnection, GetStatsClient, GetStatsAllConnections",
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
    from ..api.edition import load
    from ..judge.judge import Judge
    from ..probe.check import check, edition_for, open_files
    from ..probe.interrupt import Interrupt
    from ..reports.assemble import utc_now

    started_at = utc_now()
    target = _target(arguments.target)
    with Interrupt() as interrupt:
        files = open_files(arguments.files, target)
        if arguments.edition == AUTO:
            arguments.edition, notes = of_files(files)
        else:
            arguments.edition, notes = edition_for(files, arguments.edition)
        edition = load(arguments.edition)
        if (origin := arguments.origins["edition"]) not in (COMMAND_LINE, DEFAULT):
            # it was not asked for today, so where it makes a difference that is worth a word
            others = {file.edition for file in files if file.edition is not None} - {edition.name}
            notes += [
                f"recorded with edition {name}, and judged here by {edition.name}: {origin}" for name in sorted(others)
            ]
        judge = Judge(edition)
        progress = Progress()
        try:
            checked = check(judge, files, target=target, tick=_ticker(interrupt, progress))
        finally:
            progress.end()
        return common.finish(
            arguments,
            command="check",
            judge=checked,
            observes=checked.observes,
            excluded=checked.excluded,
            subject=checked.subject,
            judged_from=checked.judged_from,
            started_at=started_at,
            options={"files": [file.store.name for file in files], "target": arguments.target},
            interrupted=checked.interrupted or checked.cut_short,
            aborted=checked.aborted,
            extra_notes=[*notes, *checked.notes, *checked.endings],
            write=arguments.output is not None,
        )


def _target(name: str | None) -> Target | None:
    from ..api.errors import UsageError
    from ..api.exchange import OPERATIONS

    if name is not None and name not in OPERATIONS:
        raise UsageError(f"--target: {name!r} is none of {', '.join(OPERATIONS)}")
    return OPERATIONS[name] if name is not None else None


def _ticker(interrupt: Interrupt, progress: Progress) -> Callable[[], None]:
    """What is called at every line: shows how far we are, and stops at Ctrl-C."""
    from ..probe.check import Stopped

    started = time.monotonic()
    count = 0

    def tick() -> None:
        nonlocal count
        if interrupt.seen:
            raise Stopped
        count += 1
        if count % _LINES == 0 and (elapsed := time.monotonic() - started) > PATIENCE_S:
            progress.show(elapsed, f"check: {count:,} lines read, each is read twice")

    return tick
