"""Soak: see docs/LOAD.md.

locust -f locustfiles/soak.py --headless -u 4 -t 10s --host http://127.0.0.1:3000
"""

from sora_stats_harness.load.scenario_users import SCENARIO_USERS

SoakUser = SCENARIO_USERS["soak"]
