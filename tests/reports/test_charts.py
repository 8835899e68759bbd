"""Charts are drawn by pygal, which is more than a function to call."""

from __future__ import annotations

import subprocess
import sys


def test_a_chart_leaves_the_import_system_usable() -> None:
    """Plugins of whoever draws are still found, and imports still don't warn."""
    code = (
        "from importlib.metadata import distribution\n"
        "from sora_stats_harness.reports.charts import Axes, ChartLine, line_chart\n"
        "line_chart('c', [ChartLine('l', [(0, 1)])], title='t', about='a', axes=Axes(x='x', y='y'))\n"
        "print(distribution('sora-stats-harness').name)\n"
        "import colorsys\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("sora-stats-harness\n", "")
