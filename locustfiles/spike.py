"""Spike: see docs/LOAD.md.

locust -f locustfiles/spike.py --headless -u 4 -t 30s --host http://127.0.0.1:3000
"""

from sora_stats_harness.load.scenario_users import SCENARIO_USERS, SpikeLoadShape

__all__ = ["SpikeLoadShape", "SpikeUser"]

SpikeUser = SCENARIO_USERS["spike"]
