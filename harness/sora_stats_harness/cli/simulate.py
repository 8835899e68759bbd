"""
The command `simulate`: the embedded simulator, until interrupted or while a command runs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType
from typing import TYPE_CHECKING, Final

from ..api.errors import ExitCode, UsageError
from . import common
from .output import emit
from .values import duration

if TYPE_CHECKING:
    from ..simulator.played import Played

HELP: Final = "run the embedded simulator until interrupted, or around a command"

EXAMPLES: Final = """\
examples:
  sora-harness simulate                                      on port 3000, until Ctrl-C
  sora-harness simulate --port 0 --seed 7 --connections 100  another world, on a free port
  sora-harness simulate --list-faults                        how it can be made to misbehave
  sora-harness simulate --fault counter-falls                with one of them
  sora-harness simulate --port 0 -- sh -c 'echo $SORA_URL'   for the length of a command
  sora-harness simulate --play run.jsonl.zst                 with the answers of a recording"""

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

_OF_THE_WORLD: Final = {
    "fault": None, "seed": None, "connections": None, "nodes": None, "edition": "doc-2024", "tear": 0.0,
    "per_connection_cost": 0.0, "no_churn": False, "restart_after": None, "clock_step": 0.0,
    "empty_for_unknown": False,
}  # fmt: skip
"""Options that mean nothing where a recording is played, and their defaults."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--port", type=_port, default=3000, metavar="N", help="of the first node; 0 takes free ones (default: 3000)")
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: 127.0.0.1)")
    add("--tear", type=duration, default=0.0, metavar="TIME", help="read an answer's counters over this long")
    add("--service-time", type=duration, default=0.0, metavar="TIME", help="each request keeps a worker this long")
    add("--workers", type=int, default=1, metavar="N", help="how many requests are served at a time (default: 1)")
    add("--per-connection-cost", type=duration, default=0.0, metavar="TIME",
        help="and this long for each connection of the answer")  # fmt: skip
    add("--no-churn", action="store_true", help="no connection joins or leaves")
    add("--restart-after", type=duration, metavar="TIME",
        help="begin anew this long after the first request, as a server that was restarted")  # fmt: skip
    add("--clock-step", type=_step, default=0.0, metavar="TIME",
        help="a second after the first request the clock is set forward by this much; back: --clock-step=-200ms")  # fmt: skip
    add("--cors", default="*", metavar="ORIGIN", help="which web pages may read answers, or none (default: *)")
    add("--empty-for-unknown", action="store_true",
        help="GetStatsClient answers an unknown client with [], not with 400; both are right")  # fmt: skip
    add("--edition", default="doc-2024", metavar="NAME|FILE", help="whose fields to serve (default: doc-2024)")
    add("--play", action="append", metavar="RECORDING",
        help="answer from this recording, and not from a simulated world (repeatable: the files of one run)")  # fmt: skip
    add("--list-faults", action="store_true", help="print what --fault takes, and end")
    add("--json", action="store_true", help="with --list-faults: as JSON")
    add("--with-parent", action="store_true", help=argparse.SUPPRESS)
    common.add_simulator_options(parser)
    add("command", nargs="*", metavar="-- COMMAND", help="run this with SORA_URL set, and end with its status")


def run(arguments: argparse.Namespace) -> int:
    """
    Listen, say where, and wait.

    Returns:
        0 after an interrupt, or the command's own status.

    Raises:
        UsageError: An option that cannot be used, or a port that is in use.
    """
    if arguments.list_faults:
        return _list_faults(as_json=arguments.json)
    if arguments.workers < 1:
        raise UsageError("--workers must be at least 1")
    if arguments.host not in _LOOPBACK:
        emit(f"listening on {arguments.host}: whoever reaches this machine can ask\n", sys.stderr)
    with ExitStack() as stack:
        return _serve(arguments, stack)


def _serve(arguments: argparse.Namespace, stack: ExitStack) -> int:
    from ..api.edition import load
    from ..simulator.app import Pace, Upsets
    from ..simulator.server import Simulator

    played = _played(arguments, stack)
    simulator = Simulator(
        load(arguments.edition),
        **common.simulator_settings(arguments),
        port=arguments.port,
        host=arguments.host,
        churn=not arguments.no_churn,
        pace=Pace(
            service_s=arguments.service_time,
            workers=arguments.workers,
            per_connection_s=arguments.per_connection_cost,
            tear_s=arguments.tear,
        ),
        upsets=Upsets(restart_after_s=arguments.restart_after, clock_step_s=arguments.clock_step),
        cors=None if arguments.cors == "none" else arguments.cors,
        empty_for_unknown=arguments.empty_for_unknown,
        play=played,
    )
    ended = threading.Event()
    _until_told(ended, stack)
    with simulator:
        if arguments.command:
            return _run_command(arguments.command, simulator.urls, ended)
        for url in simulator.urls:
            emit(f"{url}\n")
        if arguments.with_parent:
            threading.Thread(target=_await_end_of_input, args=(ended,), daemon=True).start()
        else:
            emit("the simulator is listening; Ctrl-C ends it\n", sys.stderr)
        while not ended.wait(0.5):  # a wait without limit would not let signals through everywhere
            pass
    if not arguments.with_parent:
        emit("the simulator has ended\n", sys.stderr)
    return ExitCode.PASS


def _played(arguments: argparse.Namespace, stack: ExitStack) -> Played | None:
    """What --play names, ready to be answered from."""
    if arguments.play is None:
        return None
    for option, default in _OF_THE_WORLD.items():
        if getattr(arguments, option) != default:
            raise UsageError(f"--{option.replace('_', '-')} shapes the simulated world, and with --play there is none")
    from ..probe.playback import open_recording

    playback = stack.enter_context(open_recording(arguments.play))
    for note in playback.notes:
        emit(f"{note}\n", sys.stderr)
    emit(f"playing {playback.played.answers:,} recorded answers of {', '.join(arguments.play)}\n", sys.stderr)
    return playback.played


def _until_told(ended: threading.Event, stack: ExitStack) -> None:
    """Set an event on SIGINT and SIGTERM, for as long as the stack lasts."""

    def tell(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        stack.callback(signal.signal, number, signal.signal(number, tell))


def _run_command(command: Sequence[str], urls: Sequence[str], ended: threading.Event) -> int:
    environment = os.environ | {"SORA_URL": urls[0], "SORA_URLS": " ".join(urls)}
    try:
        process = subprocess.Popen(command, env=environment)  # noqa: S603  # the user's own command
    except OSError as error:
        raise UsageError(f"cannot run {command[0]}: {error.strerror or error}") from None
    # Ctrl-C in a terminal reaches the command as well, and it is for it to end; SIGTERM is for us alone.
    asked = signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
    if ended.is_set():  # told before there was anyone to hand it on to
        process.terminate()
    try:
        status = process.wait()
    finally:
        signal.signal(signal.SIGTERM, asked)
    return 128 - status if status < 0 else status


def _await_end_of_input(ended: threading.Event) -> None:
    # Not sys.stdin: at its end the interpreter aborts where a thread still waits with that buffer's lock.
    while os.read(0, 4096):
        pass
    ended.set()


def _list_faults(*, as_json: bool) -> int:
    from ..simulator.faults import FAULTS
    from ..simulator.faults.limits import LIMITS

    if as_json:
        listed = [
            {
                "name": kind.name,
                "description": kind.description,
                "parameters": kind.parameters,
                "trips": sorted(kind.trips),
                "nodes": kind.nodes,
            }
            for kind in FAULTS.values()
        ]
        emit(json.dumps(listed, indent=2) + "\n")
        return ExitCode.PASS
    wide = max(map(len, FAULTS))
    for kind in FAULTS.values():
        own = {key: value for key, value in kind.parameters.items() if kind.relayed or key not in LIMITS}
        lines = [kind.description, f"trips {', '.join(sorted(kind.trips)) or 'nothing'}"]
        if own:
            lines.append(f"takes {', '.join(f'{key}={value}' for key, value in own.items())}")
        if kind.nodes > 1:
            lines.append(f"shows with --nodes {kind.nodes}")
        for name, line in zip((kind.name, "", "", ""), lines, strict=False):
            emit(f"{name:<{wide}}  {line}\n")
    emit(
        "\nAll but those of the transport also take target=OPERATION, after=SECONDS and above=REQUESTS A SECOND;\n"
        "times=N ends a fault after so many strikes (0 is never).\n"
    )
    return ExitCode.PASS


def _step(text: str) -> float:
    return -duration(text[1:]) if text.startswith("-") else duration(text)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)
