"""Scrape: see `sora_stats_harness.load.scenarios.ScrapeUser`.

locust -f locustfiles/scrape.py --headless -u 4 -t 10s --host http://127.0.0.1:3000
"""

from sora_stats_harness.load.scenarios import ScrapeUser

__all__ = ["ScrapeUser"]
