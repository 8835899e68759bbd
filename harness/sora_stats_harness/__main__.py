"""`python -m sora_stats_harness` is `sora-harness`."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
