"""`sora-harness simulate`: runs the embedded simulator until interrupted, or while a command runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import TYPE_CHECKING, Final

import click

from ..api.errors import ExitCode, UsageError
from ..api.option_values import parse_duration
from ..probe.interrupt import SIGNALS
from . import options
from .framework import Arguments, Command, Option, Parsed, flag, with_value, with_values
from .output import write_message, write_output

if TYPE_CHECKING:
    from ..api.edition import Edition
    from ..simulator.fault_interface import SimulatedResponse
    from ..simulator.planned_world import WorldPlan
    from ..simulator.recording_player import RecordingPlayer

EXAMPLES: Final = """\
examples:
  sora-harness simulate                                      on port 3000, until Ctrl-C
  sora-harness simulate --port 0 --seed 7 --connections 100  another world, on a free port
  sora-harness simulate --list-faults                        the ways to make it misbehave
  sora-harness simulate --fault counter-falls                with one of them
  sora-harness simulate --port 0 -- sh -c 'echo $SORA_URL'   for the length of a command
  sora-harness simulate --play run.jsonl.zst                 with the responses of a recording
  sora-harness simulate --world world.toml                   you say who joins and leaves when
  sora-harness simulate --answer Sora_20171010.GetLicense=license.json   one more target
"""

_LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "::1")

_WORLD_OPTIONS: Final = {
    "fault": (),
    "seed": None,
    "connections": None,
    "nodes": None,
    "edition": "doc-2024",
    "tear": 0.0,
    "per_connection_cost": 0.0,
    "no_churn": False,
    "restart_after": None,
    "clock_step": 0.0,
    "empty_for_unknown": False,
    "world": None,
}
"""Options without meaning for a played recording, with their defaults."""

_MADE_UP_OPTIONS: Final = {"connections": None, "no_churn": False, "restart_after": None}
"""Options without meaning if a file says who joins and leaves, with their defaults."""


def run(arguments: Arguments) -> int:
    """Listen, print the URLs, and wait; 0 after an interrupt, or the command's own status."""
    if arguments.list_faults:
        return _list_faults(as_json=arguments.json)
    if arguments.host not in _LOOPBACK_HOSTS:
        write_message(
            f"listening on {arguments.host}: everyone who reaches this machine can send requests\n", sys.stderr
        )
    with ExitStack() as stack:
        return _run_simulator(arguments, stack)


def _run_simulator(arguments: Arguments, stack: ExitStack) -> int:
    from ..api.edition import load_edition
    from ..simulator.asgi_app import ScheduledDisturbances, ServiceModel
    from ..simulator.server import Simulator

    played = _read_playback(arguments, stack)
    edition = load_edition(arguments.edition)
    simulator = Simulator(
        edition,
        **options.simulator_parameters(arguments),
        port=arguments.port,
        host=arguments.host,
        churn=not arguments.no_churn,
        pace=ServiceModel(
            service_s=arguments.service_time,
            workers=arguments.workers,
            per_connection_s=arguments.per_connection_cost,
            tear_s=arguments.tear,
        ),
        upsets=ScheduledDisturbances(restart_after_s=arguments.restart_after, clock_step_s=arguments.clock_step),
        cors=None if arguments.cors == "none" else arguments.cors,
        empty_for_unknown=arguments.empty_for_unknown,
        play=played,
        responses=_read_response_files(arguments.answer),
        world=_read_world(arguments, edition),
        unserved=_report_unserved,
    )
    ended = threading.Event()
    _stop_on_signal(ended, stack)
    with simulator:
        if arguments.command:
            return _run_command(arguments.command, simulator.urls, ended)
        for url in simulator.urls:
            write_output(f"{url}\n")
        if arguments.with_parent:
            threading.Thread(target=_stop_on_end_of_input, args=(ended,), daemon=True).start()
        else:
            write_message("the simulator is listening; Ctrl-C ends it\n", sys.stderr)
        while not ended.wait(0.5):  # on some platforms a wait without a limit would block signals
            pass
    if not arguments.with_parent:
        write_message("the simulator has ended\n", sys.stderr)
    return ExitCode.PASS


def _read_playback(arguments: Arguments, stack: ExitStack) -> RecordingPlayer | None:
    """The recording that --play names; None without --play."""
    if not arguments.play:
        return None
    _refuse_given(arguments, _WORLD_OPTIONS, "shapes the simulated world, and --play has none")
    from ..probe.playback import open_playback

    playback = stack.enter_context(open_playback(arguments.play))
    for note in playback.notes:
        write_message(f"{note}\n", sys.stderr)
    write_message(
        f"playing {playback.player.responses:,} recorded responses of {', '.join(arguments.play)}\n", sys.stderr
    )
    return playback.player


def _read_world(arguments: Arguments, edition: Edition) -> WorldPlan | None:
    """The world that --world names; None without --world."""
    if arguments.world is None:
        return None
    _refuse_given(arguments, _MADE_UP_OPTIONS, "shapes a made-up world, and --world says who joins and leaves")
    from ..simulator.planned_world import read_world_plan

    return read_world_plan(arguments.world, edition)


def _refuse_given(arguments: Arguments, defaults: Mapping[str, object], why: str) -> None:
    for option, default in defaults.items():
        if getattr(arguments, option) != default:
            raise UsageError(f"--{option.replace('_', '-')} {why}: leave one of them out")


def _read_response_files(given: Sequence[str]) -> dict[str, SimulatedResponse]:
    from ..simulator.response_file import read_response_file

    responses: dict[str, SimulatedResponse] = {}
    for text in given:
        target, response = read_response_file(text)
        if target in responses:
            raise UsageError(f"--answer is given twice for {target}")
        responses[target] = response
    return responses


def _report_unserved(target: str) -> None:
    from ..reports.escaping import escape_terminal

    try:
        write_message(
            f"{escape_terminal(target, 100)} was requested, but is not served (--answer TARGET=FILE)\n", sys.stderr
        )
    except OSError:
        pass  # stderr is closed; the client still gets its response


def _stop_on_signal(ended: threading.Event, stack: ExitStack) -> None:
    """Set an event at each signal that isn't ignored, for as long as the stack lasts."""

    def set_event(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            stack.callback(signal.signal, number, signal.signal(number, set_event))


def _run_command(command: Sequence[str], urls: Sequence[str], ended: threading.Event) -> int:
    environment = os.environ | {"SORA_URL": urls[0], "SORA_URLS": " ".join(urls)}
    try:
        process = subprocess.Popen(command, env=environment)  # noqa: S603  # the user's own command
    except OSError as error:
        raise UsageError(f"cannot run {command[0]}: {error.strerror or error}") from None
    # Ctrl-C in a terminal reaches the command as well, which then ends; other signals reach only this process.
    others = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
    before = [signal.signal(each, lambda number, frame: process.terminate()) for each in others]
    if ended.is_set():  # the signal came before the command was started
        process.terminate()
    try:
        status = process.wait()
    finally:
        for number, handler in zip(others, before, strict=True):
            signal.signal(number, handler)
    return 128 - status if status < 0 else status


def _stop_on_end_of_input(ended: threading.Event) -> None:
    # Not sys.stdin: at exit the interpreter aborts if a thread still holds that buffer's lock.
    while os.read(0, 4096):
        pass
    ended.set()


def _list_faults(*, as_json: bool) -> int:
    from ..simulator.faults import FAULT_KINDS
    from ..simulator.faults.parameters import CONDITION_DEFAULTS

    if as_json:
        listed = [
            {
                "name": kind.name,
                "description": kind.description,
                "parameters": kind.parameters,
                "trips": sorted(kind.violated_requirements),
                "nodes": kind.nodes,
            }
            for kind in FAULT_KINDS.values()
        ]
        write_output(json.dumps(listed, indent=2) + "\n")
        return ExitCode.PASS
    wide = max(map(len, FAULT_KINDS))
    for kind in FAULT_KINDS.values():
        own = {
            key: value for key, value in kind.parameters.items() if kind.needs_relay or key not in CONDITION_DEFAULTS
        }
        lines = [kind.description, f"trips {', '.join(sorted(kind.violated_requirements)) or 'nothing'}"]
        if own:
            lines.append(f"takes {', '.join(f'{key}={value}' for key, value in own.items())}")
        if kind.nodes > 1:
            lines.append(f"shows with --nodes {kind.nodes}")
        for name, line in zip((kind.name, "", "", ""), lines, strict=False):
            write_message(f"{name:<{wide}}  {line}\n")
    write_message(
        "\nAll faults but those of the transport also take target=OPERATION, after=SECONDS and above=REQUESTS PER "
        "SECOND;\n"
        "times=N ends a fault after N times (0: never).\n"
    )
    return ExitCode.PASS


def _parse_step(text: str) -> float:
    return -parse_duration(text[1:]) if text.startswith("-") else parse_duration(text)


command: Command = Command(
    "simulate",
    [
        click.Argument(
            ["command"],
            nargs=-1,
            type=click.UNPROCESSED,
            metavar="[-- COMMAND...]",
            help="run this command with SORA_URL set, and exit with its status",
        ),
        with_value(
            "--port",
            "N",
            "the port of the first node; 0 takes free ones (default: 3000)",
            type=options.integer(0, 65535),
            default=3000,
        ),
        with_value("--host", "ADDRESS", "where to listen (default: 127.0.0.1)", default="127.0.0.1"),
        with_value("--tear", "TIME", "read a response's counters over this long", type=options.DURATION, default=0.0),
        *options.pace_options(default=0.0),
        flag("--no-churn", "no connection joins or leaves"),
        with_value(
            "--restart-after",
            "TIME",
            "restart this long after the first request, as a server would",
            type=options.DURATION,
        ),
        with_value(
            "--clock-step",
            "TIME",
            "set the clock forward by this a second after the first request; to set it back: --clock-step=-200ms",
            type=Parsed(_parse_step),
            default=0.0,
        ),
        with_value(
            "--cors", "ORIGIN", "the origin whose web pages may read responses, or none (default: *)", default="*"
        ),
        flag(
            "--empty-for-unknown", "GetStatsClient responds to an unknown client with [], not with 400; both are right"
        ),
        with_value(
            "--edition",
            "NAME|FILE",
            f"whose fields to serve (default: {options.DEFAULT_EDITION})",
            default=options.DEFAULT_EDITION,
        ),
        with_values(
            "--play",
            "RECORDING",
            "respond from this recording instead of from a simulated world (repeatable: the files of one run)",
        ),
        with_values(
            "--answer",
            "TARGET=FILE",
            'respond to this target with the content of a JSON file: {"json": …, "status": …, "headers": …} (repeatable)',
        ),
        with_value(
            "--world", "FILE", "a world that a TOML file describes: who joins and leaves when, with which numbers"
        ),
        flag("--list-faults", "print what --fault takes, and exit"),
        flag("--json", "with --list-faults: as JSON"),
        Option(["--with-parent"], is_flag=True, hidden=True),
        *options.simulator_options(connections=options.integer(0)),
    ],
    examples=EXAMPLES,
    run=run,
)
