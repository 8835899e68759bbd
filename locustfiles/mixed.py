"""Mixed: see `sora_stats_harness.load.scenarios.MixedUser`.

locust -f locustfiles/mixed.py --headless -u 4 -t 10s --host http://127.0.0.1:3000
"""

from sora_stats_harness.load.scenarios import MixedUser

__all__ = ["MixedUser"]
