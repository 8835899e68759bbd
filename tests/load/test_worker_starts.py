"""Runs that end before all of their workers are ready."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from sora_stats_harness import __version__

SCRIPT = """\
import os
import signal
from types import SimpleNamespace

from gevent import monkey

monkey.patch_all()
from sora_stats_harness.load.worker_messages import HelloReport, encode_message
from sora_stats_harness.load.load_spec import WorkerPlan
from sora_stats_harness.load.workers import Workers

class Late(Workers):
    '''Whose second process does not come to connect.'''

    def _start_process(self, worker):
        super()._start_process(worker)
        if worker.index == 1:
            os.kill(worker.process.pid, signal.SIGSTOP)

class AtFirstWorker:
    '''Interrupts as soon as a worker has connected.'''

    gives_up = False
    is_interrupted = property(lambda self: bool(workers._by_client))

order = SimpleNamespace(spec=SimpleNamespace(timeout_s=10.0))
with Late(WorkerPlan(count=2), order, AtFirstWorker()) as workers:
    assert workers.prepare() is None
    workers.drain()
    print(workers.trouble())

far = Workers(WorkerPlan(count=1, are_started_here=False), order, None)
hello = HelloReport(pid=4711, host="far", clock="-", version="0.0.0")
far._on_report(None, SimpleNamespace(data=encode_message(hello), node_id="one"))
far._on_report(None, SimpleNamespace(data=b"{}", node_id="one"))
print(far.trouble())

near = Workers(WorkerPlan(count=1, are_started_here=False), order, None)
near._on_report(None, SimpleNamespace(data=encode_message(HelloReport.of_this_process()), node_id="two"))
near._on_report(None, SimpleNamespace(data=b"{}", node_id="two"))
print(near.break_text())
"""


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What each of two masters says of its workers."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=300)
    return done.stdout.splitlines()


def test_a_run_that_ends_before_all_workers_are_there_waits_for_none_of_them(said: list[str]) -> None:
    """One has connected and was not told what to do yet, so that it has nothing to report."""
    assert said[0].count("was not ready when the run ended") == 2, said


def test_a_worker_of_another_version_is_named(said: list[str]) -> None:
    """What it reports may mean something else, and its master might wait for it without end."""
    assert said[1] == f"worker 1 (far, pid 4711) is of sora-harness 0.0.0, and this is {__version__}: install the same"


def test_a_worker_whose_message_cannot_be_read_is_named(said: list[str]) -> None:
    """At once, and not when it has been silent for long."""
    assert re.fullmatch(
        r"worker 1 \(.*pid \d+\) failed: a message can't be read \(.*\): install sora-harness .*", said[2]
    )
