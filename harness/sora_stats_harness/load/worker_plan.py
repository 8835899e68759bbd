"""How many workers send, and whether they are started here or connect from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """The number of workers, and whether they are started here or connect from elsewhere."""

    count: int
    are_started_here: bool = True
    """If not, they are started on any machine, and connect by themselves."""
    bind_host: str = "127.0.0.1"
    bind_port: int = 0
    """The port; 0 for any free one."""

    @property
    def description(self) -> str:
        """The workers, in words."""
        if self.are_started_here:
            return f"{self.count:d} processes"
        what = "1 worker" if self.count == 1 else f"{self.count:d} workers"
        return f"{what} connecting to {self.bind_host}:{self.bind_port}"
