"""`sora-harness check`: judges recordings and response bodies from files, by the code that judges live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from . import command_support as common
from . import options
from .framework import Arguments, Choice, Command, with_value
from .output import make_line_ticker

if TYPE_CHECKING:
    from ..probe.file_check import OpenedFile

EXAMPLES: Final = """\
examples:
  sora-harness check run.jsonl.zst                       judge a recording again
  sora-harness check worker-1.jsonl worker-2.jsonl       merge the files of one run
  sora-harness check response.json                         an object is one connection, an array a listing
  sora-harness check --target GetStatsClient client.json
  curl -s -H 'x-sora-target: Sora_20171101.GetStatsAllConnections' -X POST http://127.0.0.1:3000/ | sora-harness check -
"""

_OPERATIONS: Final = ("GetStatsConnection", "GetStatsClient", "GetStatsAllConnections")
"""The names of the targets, repeated here because `--help` does not load `api.exchange`."""


def run(arguments: Arguments) -> int:
    """Judge the files, and report; writes files only with --output."""
    from ..api.exchange import TARGET_OF_OPERATION
    from ..load.recorded_load import RecordedLoad
    from ..probe.file_check import judge_files, open_files

    options.read_settings(arguments, writes_reports=False)
    target = TARGET_OF_OPERATION[arguments.target] if arguments.target is not None else None
    recorded = RecordedLoad()
    with common.JudgedRun(arguments, "check") as run:
        with run.stack:
            files = open_files(arguments.files, target)
            notes = _choose_edition(arguments, files)
            judge = arguments.settings.new_judge(observer=recorded.add)
            checked = judge_files(judge, files, target=target, tick=_make_tick(run), opened=recorded.open)
        facts = run.facts(
            subject=checked.subject,
            scope=checked.scope,
            ending=checked.ending,
            options={"files": [file.store.name for file in files], "target": arguments.target},
            notes=[*notes, *checked.notes, *checked.early_endings],
        )
        facts = replace(facts, judged_from=checked.judged_from, load=recorded.result())
        return common.report_and_exit_code(arguments, checked, facts, write=arguments.output is not None)


def _choose_edition(arguments: Arguments, files: Sequence[OpenedFile]) -> list[str]:
    """Choose the edition to judge by; returns notes."""
    from ..api.edition import load_edition
    from ..probe.edition_detection import detect_by_files
    from ..probe.file_check import choose_edition
    from ..probe.run_settings import ORIGIN_DEFAULT, ORIGIN_OPTION

    settings = arguments.settings
    origin = settings.origins["edition"]
    if settings.edition == common.AUTO_EDITION:
        name, notes = detect_by_files(files)
    else:
        # unless the user names an edition, a recording is judged by its own
        name, notes = choose_edition(files, None if origin == ORIGIN_DEFAULT else settings.edition)
    arguments.settings = replace(settings, edition=name)
    if origin not in (ORIGIN_OPTION, ORIGIN_DEFAULT):
        # the command line does not name it, so note the difference
        judged_by = load_edition(name).name
        others = {file.edition for file in files if file.edition is not None} - {judged_by}
        notes += [
            f"recorded with edition {other}, and judged here by {judged_by}: {origin}" for other in sorted(others)
        ]
    return notes


def _make_tick(run: common.JudgedRun) -> Callable[[], None]:
    """Make a function to call at every line: it shows progress, and stops at Ctrl-C."""
    from ..probe.file_check import CheckStopped

    show = make_line_ticker(run.progress, "check: {:,} lines read (each is read twice)".format)

    def tick() -> None:
        if run.interrupt.is_interrupted:
            raise CheckStopped
        show()

    return tick


command: Command = Command(
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
