"""How many workers send, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """How many workers there are to be, and where they come from."""

    count: int
    are_started_here: bool = True
    """Else they are started by somebody else, on any machine, and connect by themselves."""
    bind_host: str = "127.0.0.1"
    bind_port: int = 0
    """0 is any free one."""

    @property
    def description(self) -> str:
        """Who sends, for a person."""
        if self.are_started_here:
            return f"{self.count:d} processes"
        what = "1 worker" if self.count == 1 else f"{self.count:d} workers"
        return f"{what} connecting to {self.bind_host}:{self.bind_port}"
