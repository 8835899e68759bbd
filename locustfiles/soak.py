"""Soak: see `sora_stats_harness.load.scenarios.SoakUser`.

locust -f locustfiles/soak.py --headless -u 4 -t 10s --host http://127.0.0.1:3000
"""

from sora_stats_harness.load.scenarios import SoakUser

__all__ = ["SoakUser"]
