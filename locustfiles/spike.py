"""Spike: see `sora_stats_harness.load.scenarios.SpikeUser`.

locust -f locustfiles/spike.py --headless -u 4 -t 30s --host http://127.0.0.1:3000
"""

from sora_stats_harness.load.scenarios import SpikeLoadShape, SpikeUser

__all__ = ["SpikeLoadShape", "SpikeUser"]
