"""`python -m sora_stats_harness` is `sora-harness`."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the command line; signals wait until its imports, which bear no exception, are done."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    from .cli import main as run_command_line

    return run_command_line()


if __name__ == "__main__":
    sys.exit(main())
