"""
Machines for workers: each has a network and a clock of its own, by Linux's namespaces, which take root.

From each a master is seen at another address, and none of them sees what listens on 127.0.0.1 here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

REQUIRED: Final = os.environ.get("SORA_HARNESS_NAMESPACES") == "required"
"""Whether it is a failure that there can be none, as in CI."""

CLOCK_OFFSET_S: Final = 100_000


@dataclass(frozen=True)
class Machine:
    """One of them."""

    name: str
    address: str
    host_address: str
    """Where this machine is, seen from there."""

    def command(self, words: Sequence[str]) -> list[str]:
        """What runs a command there."""
        clock = ["unshare", "--time", "--fork", "--kill-child", f"--monotonic={CLOCK_OFFSET_S}"]
        return ["ip", "netns", "exec", self.name, *clock, *words]


@contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """Machines, for as long as the block runs; the test is skipped, or fails where they are required, without them."""
    with ExitStack() as stack:
        try:
            made = [stack.enter_context(_machine(number)) for number in range(count)]
            for machine in made:
                _run(*machine.command(["true"]))
        except (OSError, subprocess.CalledProcessError) as error:
            if REQUIRED:
                raise
            pytest.skip(f"no namespaces can be made here: {getattr(error, 'stderr', None) or error}")
        yield made


@contextmanager
def _machine(number: int) -> Iterator[Machine]:
    unique = (os.getpid() * 4 + number) % 4096  # of the addresses that are kept for measurements
    name, link, net = f"sora-{unique}", f"sora{unique}", f"198.{18 + unique // 2048}.{unique % 2048 // 8}"
    here, there = (f"{net}.{unique % 8 * 4 + last}" for last in (1, 2))
    with ExitStack() as stack:
        _ip("netns", "add", name)
        stack.callback(_ip, "netns", "delete", name)
        _ip("link", "add", link, "type", "veth", "peer", "name", "wire", "netns", name)
        stack.callback(_ip, "link", "delete", link)  # at once, both ends; else they go some time after the network
        _ip("address", "add", f"{here}/30", "dev", link)
        _ip("link", "set", link, "up")
        _ip("-n", name, "address", "add", f"{there}/30", "dev", "wire")
        _ip("-n", name, "link", "set", "wire", "up")
        _ip("-n", name, "route", "add", "default", "via", here)
        yield Machine(name=name, address=there, host_address=here)


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def with_hosts(hosts: Path, words: Sequence[str]) -> list[str]:
    """What runs a command that reads this file for /etc/hosts; skips, or fails where namespaces are required, without."""
    command = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts)]
    try:
        _run(*command, "true")
    except (OSError, subprocess.CalledProcessError) as error:
        if REQUIRED:
            raise
        pytest.skip(f"no namespaces can be made here: {getattr(error, 'stderr', None) or error}")
    return [*command, *words]
