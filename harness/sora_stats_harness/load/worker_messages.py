"""
What master and workers send to each other, on top of Locust's own messages.

The master sends orders and a worker sends reports, as JSON inside of one type of Locust's custom messages each. A
worker follows its orders one after the other, but for `HaltOrder` and `DrainOrder`, which count at once.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any, Final, Literal

import msgspec

from .. import __version__
from ..api.exchange import monotonic_clock_id
from ..api.server_address import SocketAddress
from ..api.server_route import Route
from ..reports.pass_policy import Tolerance
from .load_spec import LoadSpec, WorkerShare
from .sample_trail import NotedSample

ORDER_MESSAGE: Final = "sora_order"
REPORT_MESSAGE: Final = "sora_report"


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Is told from the others by the name of its class."""


# -- orders -----------------------------------------------------------------------------------------------------------


class PrepareOrder(_Message, frozen=True, kw_only=True):
    """Get ready for a run: look up the server, ask it who is there, and let users stand up when Locust says so."""

    spec: LoadSpec
    """The worker's own share."""
    index: int
    workers: int
    run: str
    edition_text: str | None
    """Where the edition is a file of the master's, what is in it."""
    server: str
    addresses: tuple[SocketAddress, ...]
    """The server's, or its proxy's, as the master's machine sees them; a worker elsewhere looks them up itself."""
    route: Route
    subject_kind: Literal["server", "simulator"]
    secrets: tuple[str, ...]
    clock: str
    """The master's."""
    spool_folder: str
    patience_s: float | None = None
    """Where rates are ordered step by step: how long a request may take after its window."""
    limits: tuple[str, ...] = ()
    """At which a step is broken off."""
    tolerance: Tolerance = Tolerance()
    """What may be found without a step failing."""

    @property
    def share(self) -> WorkerShare:
        """Which worker of the run this is."""
        return WorkerShare(index=self.index, count=self.workers, run=self.run)


class StartOrder(_Message, frozen=True, kw_only=True):
    """Begin at a time of the master's clock; on another machine so long after this arrives."""

    begins_ns: int
    lead_ns: int


class StepOrder(_Message, frozen=True, kw_only=True):
    """Let requests fall due at a rate of all workers together."""

    rate: float
    begins_ns: int
    lead_ns: int


class WindowOrder(_Message, frozen=True, kw_only=True):
    """Report the next window."""

    lasts_s: float


class HaltOrder(_Message, frozen=True, kw_only=True):
    """The window that is being waited for is no longer wanted."""


class EndStepOrder(_Message, frozen=True, kw_only=True):
    """Let nothing more fall due, and wait for what is in flight; at once where the run is over."""

    at_once: bool


class DrainOrder(_Message, frozen=True, kw_only=True):
    """Send no more, and report all; without waiting for what is in flight where that is given up."""

    give_up: bool


Order = PrepareOrder | StartOrder | StepOrder | WindowOrder | HaltOrder | EndStepOrder | DrainOrder


# -- reports ----------------------------------------------------------------------------------------------------------


class HelloReport(_Message, frozen=True, kw_only=True):
    """A worker is there."""

    pid: int
    host: str
    clock: str
    version: str

    @classmethod
    def of_this_process(cls) -> HelloReport:
        """This process's own."""
        return cls(pid=os.getpid(), host=socket.gethostname(), clock=monotonic_clock_id(), version=__version__)


class ReadyReport(_Message, frozen=True, kw_only=True):
    """It is prepared; or there is no server that responds."""

    no_server: str | None


class ProgressReport(_Message, frozen=True, kw_only=True):
    """Where it stands; sent all the while, so that it is known to be there."""

    standing: int = 0
    """Users that are ready to send."""
    counts: dict[str, int] = {}
    intervals: list[Any] = []  # Any: as TimelineInterval.serialize gives them
    through_s: int = 0
    """All seconds of the run before this one have been reported."""


class WindowReport(_Message, frozen=True, kw_only=True):
    """A window; or the limit at which the step was broken off, with what was seen by then; or neither, if halted."""

    window: dict[str, Any] | None  # Any: as serialize_window gives it
    aborted: str | None = None


class StepReport(_Message, frozen=True, kw_only=True):
    """A step is over."""

    findings: tuple[str, ...]
    metrics: dict[str, Any]  # Any: as RequestMetrics.serialize gives them
    outage: str | None
    index: int
    samples: dict[str, NotedSample] = {}
    """The newest of the step by connection, where there are other workers to compare them with."""


class WorkerResult(_Message, frozen=True, kw_only=True):
    """All that a worker did and saw; its last report."""

    index: int
    server: str
    is_on_masters_machine: bool
    measures: dict[str, Any]  # Any: as RunMeasurements.serialize gives them
    judged: str
    """What its own judge found, as `encode_worker_report` gives it."""
    spool: str | None
    """The file that it wrote every exchange to."""
    spool_problem: str | None
    """Why that file is missing or not whole."""
    outage: str | None
    notes: tuple[str, ...]
    in_flight: int
    stalled_s: float = 0.0


class FailedReport(_Message, frozen=True, kw_only=True):
    """It cannot go on."""

    reason: str


Report = HelloReport | ReadyReport | ProgressReport | WindowReport | StepReport | WorkerResult | FailedReport


def encode_message(message: msgspec.Struct) -> bytes:
    """A message as it is sent."""
    return msgspec.json.encode(message)


def decode_order(data: bytes) -> Order:
    """
    An order.

    Raises:
        msgspec.MsgspecError: It is none, as of a master of another version.
    """
    order: Order = msgspec.json.decode(data, type=Order)
    return order


def decode_report(data: bytes) -> Report:
    """
    A report.

    Raises:
        msgspec.MsgspecError: It is none, as of a worker of another version.
    """
    report: Report = msgspec.json.decode(data, type=Report)
    return report


def local_begin_ns(begins_ns: int, lead_ns: int, *, same_clock: bool) -> int:
    """When to begin by the own clock."""
    return begins_ns if same_clock else time.monotonic_ns() + lead_ns
