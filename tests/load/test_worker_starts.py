"""Runs that end before all of their workers are ready."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """\
import os
import signal

from gevent import monkey

monkey.patch_all()
from sora_stats_harness.load.worker_plan import WorkerPlan
from sora_stats_harness.load.workers import Workers

class Late(Workers):
    '''Whose second process does not come to connect.'''

    def _start_process(self, worker):
        super()._start_process(worker)
        if worker.index == 1:
            os.kill(worker.process.pid, signal.SIGSTOP)

with Late(WorkerPlan(count=2), should_stop=lambda: bool(workers._by_client)) as workers:
    assert workers.prepare(None) is None
    workers.drain()
    workers.wait_for_results(10.0, lambda: False)
    print(workers.trouble())
"""


def test_a_run_that_ends_before_all_workers_are_there_waits_for_none_of_them() -> None:
    """One has connected and was not told what to do yet, so that it has nothing to report."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.count("was not ready when the run ended") == 2, done.stdout + done.stderr
