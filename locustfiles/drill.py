"""Drill: see `sora_stats_harness.load.scenarios.DrillUser`.

locust -f locustfiles/drill.py --headless -u 4 -t 10s --host http://127.0.0.1:3000
"""

from sora_stats_harness.load.scenarios import DrillUser

__all__ = ["DrillUser"]
