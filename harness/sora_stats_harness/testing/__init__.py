"""
What tests of one's own are given by the pytest plugin: clients, replies, samples, and the judge behind them.

The names are here for annotations, which is what gives an editor its completion; the objects come from the fixtures.
Nothing is imported before it is asked for: the plugin is loaded by every pytest run on the machine.
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
"""Where each name is defined, with its name there where that is another."""

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
