"""The options of `load` and `capacity` that say who sends: processes on this machine, or workers on any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from ..api.errors import UsageError
from .framework import Arguments, flag, group, with_value
from .options import integer

if TYPE_CHECKING:
    from ..load.load_spec import WorkerPlan

MAX_WORKERS: Final = 256

DEFAULT_MASTER_PORT: Final = 5557
"""Locust's default."""


def worker_options() -> list[click.Parameter]:
    """
    --processes; --master --expect-workers --master-bind-host --master-bind-port; --worker --master-host --master-port.
    """
    port = integer(1, 65_535)
    count = integer(1, MAX_WORKERS)
    return group(
        "who sends",
        with_value(
            "--processes", "N", "send from this many processes of this machine (default: 1)", type=count, default=1
        ),
        flag("--master", "let workers send, which connect from any machine"),
        with_value(
            "--expect-workers",
            "N",
            "with --master: begin when this many have connected (default: 1)",
            type=count,
            default=1,
        ),
        with_value(
            "--master-bind-host",
            "HOST",
            "with --master: listen there (default: 127.0.0.1; 0.0.0.0 lets in workers of other machines)",
            default="127.0.0.1",
        ),
        with_value(
            "--master-bind-port",
            "PORT",
            f"with --master: listen on this port (default: {DEFAULT_MASTER_PORT})",
            type=port,
            default=DEFAULT_MASTER_PORT,
        ),
        flag("--worker", "send for a master, which decides everything else"),
        with_value(
            "--master-host", "HOST", "with --worker: where the master is (default: 127.0.0.1)", default="127.0.0.1"
        ),
        with_value(
            "--master-port",
            "PORT",
            f"with --worker: the master's port (default: {DEFAULT_MASTER_PORT})",
            type=port,
            default=DEFAULT_MASTER_PORT,
        ),
    )


def read_worker_plan(arguments: Arguments) -> WorkerPlan | None:
    """Read who sends; None for this process alone."""
    from ..load.load_spec import WorkerPlan

    if not arguments.master:
        return None if arguments.processes == 1 else WorkerPlan(count=arguments.processes)
    if arguments.processes > 1:
        raise UsageError("--processes and --master exclude each other: give one of them")
    _check_host("--master-bind-host", arguments.master_bind_host)
    return WorkerPlan(
        count=arguments.expect_workers,
        are_started_here=False,
        bind_host=arguments.master_bind_host,
        bind_port=arguments.master_bind_port,
    )


def run_as_worker(arguments: Arguments) -> int:
    """Work for a master; returns the exit code."""
    if arguments.master or arguments.processes > 1:
        raise UsageError("--worker works for a master: leave --master and --processes out")
    if arguments.url is not None:
        raise UsageError(f"--worker asks the server that its master names: leave {arguments.url} out")
    _check_host("--master-host", arguments.master_host)
    from ..load.worker import run_worker

    return run_worker(arguments.master_host, arguments.master_port, say=arguments.say)


def _check_host(option: str, host: str) -> None:
    """Refuse a name without an address: a worker would wait for it, and a master would seem to find its port taken."""
    from ..api.exchange import TransportError
    from ..api.server_address import look_up_addresses
    from ..api.server_url import bracket_ipv6

    found = look_up_addresses(f"http://{bracket_ipv6(host)}")
    if isinstance(found, TransportError):
        raise UsageError(f"{option} {host}: {found.detail}")
