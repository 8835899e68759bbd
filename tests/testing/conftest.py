"""
Loads what runs of pytest inside of this process use.

`pytester` drops the modules that such a run imports, and a later run would then mix old and new ones.
"""

from __future__ import annotations

import httpcore  # noqa: F401  # httpx imports it when it first sends
import uvicorn.protocols.http.httptools_impl  # noqa: F401  # uvicorn imports it when it first listens

from sora_stats_harness.api import project_config  # noqa: F401
from sora_stats_harness.cli import command_support  # noqa: F401
from sora_stats_harness.probe import edition_detection  # noqa: F401
from sora_stats_harness.reports import github_actions, terminal  # noqa: F401
from sora_stats_harness.simulator import server  # noqa: F401
from sora_stats_harness.testing import background_loop, client, exchange_recording, gate_run  # noqa: F401
