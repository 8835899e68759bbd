"""
Doctests are looked for in load/ only where there are any.

Most of its modules import Locust, which replaces the socket and thread modules of the whole process, and the other
tests share that. What those modules do is tested from outside, in tests/load.
"""

from pathlib import Path

LOAD = Path(__file__).parent / "sora_stats_harness" / "load"

collect_ignore = [str(path) for path in LOAD.rglob("*.py") if ">>> " not in path.read_text(encoding="utf-8")]
