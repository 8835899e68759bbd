"""
What tests of one's own are given by the pytest plugin: clients, replies, readings, and the judge behind them.

The names are here for annotations, which is what gives an editor its completion; the objects come from the fixtures.
Nothing is imported before it is asked for: the plugin is loaded by every pytest run on the machine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..simulator.calls import Reply as CannedReply
    from ..simulator.server import Simulator
    from .client import AsyncClient, Client, ConnectionReply, ConnectionsReply, NoAnswer, NoReading
    from .hearing import Hearing
    from .record import Recording
    from .stats import Reading
    from .view import Group

_HOMES: Final = {
    "AsyncClient": ".client",
    "CannedReply": "..simulator.calls:Reply",
    "Client": ".client",
    "ConnectionReply": ".client",
    "ConnectionsReply": ".client",
    "Group": ".view",
    "Hearing": ".hearing",
    "NoAnswer": ".client",
    "NoReading": ".client",
    "Reading": ".stats",
    "Recording": ".record",
    "Simulator": "..simulator.server",
}
"""Where each name is defined, with its name there where that is another."""

__all__ = [
    "AsyncClient",
    "CannedReply",
    "Client",
    "ConnectionReply",
    "ConnectionsReply",
    "Group",
    "Hearing",
    "NoAnswer",
    "NoReading",
    "Reading",
    "Recording",
    "Simulator",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, there = _HOMES[name].partition(":")
    return getattr(import_module(home, __name__), there or name)
