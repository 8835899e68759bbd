"""
Doctests are not looked for where Locust is imported.

It replaces the socket and thread modules of the whole process, and the other tests share it. What those modules do is
tested from outside, in tests/load.
"""

collect_ignore = [f"sora_stats_harness/load/{name}.py" for name in ("plain", "run", "scenarios", "user", "workers")]
