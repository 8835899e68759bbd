"""
The names that the pytest plugin offers to a user's own tests: clients, responses, samples, and the judge behind them.

They are here for annotations, which let an editor complete them; the objects come from the fixtures. Each is imported
only on use, since every pytest run in the environment loads the plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..simulator.fault_interface import SimulatedResponse as CannedResponse
    from ..simulator.server import Simulator
    from .client import (
        AsyncStatsClient,
        ConnectionListResponse,
        ConnectionResponse,
        NoResponseError,
        NoSampleError,
        StatsClient,
    )
    from .connection_sample import ConnectionSample
    from .exchange_recording import ExchangeRecording
    from .per_test_judge import PerTestJudge
    from .sample_group import SampleGroup

_DEFINED_IN: Final = {
    "AsyncStatsClient": ".client",
    "CannedResponse": "..simulator.fault_interface:SimulatedResponse",
    "ConnectionListResponse": ".client",
    "ConnectionResponse": ".client",
    "ConnectionSample": ".connection_sample",
    "ExchangeRecording": ".exchange_recording",
    "NoResponseError": ".client",
    "NoSampleError": ".client",
    "PerTestJudge": ".per_test_judge",
    "SampleGroup": ".sample_group",
    "Simulator": "..simulator.server",
    "StatsClient": ".client",
}
"""The module of each name, with its name there if that differs."""

__all__ = [
    "AsyncStatsClient",
    "CannedResponse",
    "ConnectionListResponse",
    "ConnectionResponse",
    "ConnectionSample",
    "ExchangeRecording",
    "NoResponseError",
    "NoSampleError",
    "PerTestJudge",
    "SampleGroup",
    "Simulator",
    "StatsClient",
]


def __getattr__(name: str) -> object:
    if name not in _DEFINED_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, there = _DEFINED_IN[name].partition(":")
    return getattr(import_module(home, __name__), there or name)
