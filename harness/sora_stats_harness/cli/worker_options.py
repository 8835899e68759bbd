"""
The options of `load` and `capacity` by which workers send: processes on this machine, or workers on any.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..api.errors import UsageError
from . import command_support as common

if TYPE_CHECKING:
    from ..load.worker_plan import WorkerPlan

DEFAULT_MASTER_PORT: Final = 5557
"""As Locust's."""


def add_worker_options(add: Callable[..., argparse.Action]) -> None:
    """Add --processes --master --expect-workers --master-bind-host --master-bind-port --worker --master-host --master-port."""
    add(
        "--processes",
        type=common.parse_processes,
        default=1,
        metavar="N",
        help="send from so many processes of this machine (default: 1)",
    )
    add("--master", action="store_true", help="have workers send that connect from any machine")
    add(
        "--expect-workers",
        type=common.parse_processes,
        default=1,
        metavar="N",
        help="with --master: begin when so many are there (default: 1)",
    )
    add(
        "--master-bind-host",
        default="127.0.0.1",
        metavar="HOST",
        help="with --master: listen there (default: 127.0.0.1; 0.0.0.0 lets in workers of other machines)",
    )
    add(
        "--master-bind-port",
        type=_parse_port,
        default=DEFAULT_MASTER_PORT,
        metavar="PORT",
        help=f"with --master: listen on that port (default: {DEFAULT_MASTER_PORT})",
    )
    add("--worker", action="store_true", help="send for a master; everything else it says")
    add("--master-host", default="127.0.0.1", metavar="HOST", help="with --worker: where it is (default: 127.0.0.1)")
    add(
        "--master-port",
        type=_parse_port,
        default=DEFAULT_MASTER_PORT,
        metavar="PORT",
        help=f"with --worker: its port (default: {DEFAULT_MASTER_PORT})",
    )


def read_worker_plan(arguments: argparse.Namespace) -> WorkerPlan | None:
    """
    Read who sends; None where this process does.

    Raises:
        UsageError: More than one way was given.
    """
    from ..load.worker_plan import WorkerPlan

    if not arguments.master:
        return None if arguments.processes == 1 else WorkerPlan(count=arguments.processes)
    if arguments.processes > 1:
        raise UsageError("--processes and --master are two ways to send: give one of them")
    return WorkerPlan(
        count=arguments.expect_workers,
        are_started_here=False,
        bind_host=arguments.master_bind_host,
        bind_port=arguments.master_bind_port,
    )


def run_as_worker(arguments: argparse.Namespace) -> int:
    """
    Work for a master; gives the exit code.

    Raises:
        UsageError: It is to be a master as well, or a server was given, which the master names.
    """
    if arguments.master or arguments.processes > 1:
        raise UsageError("--worker works for a master: leave --master and --processes out")
    if arguments.url is not None:
        raise UsageError(f"--worker asks the server that its master names: leave {arguments.url} out")
    from ..load.worker import run_worker

    return run_worker(arguments.master_host, arguments.master_port)


def _parse_port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} must be an integer from 1 to 65535")
    return int(text)
