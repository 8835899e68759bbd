"""
The messages between master and workers, in addition to Locust's own.

The master sends orders and a worker sends reports, as JSON in one custom Locust message type each. A worker follows its
orders one after the other, except `HaltOrder` and `DrainOrder`, which take effect at once.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Final, Literal

import msgspec

from .. import __version__
from ..api.exchange import monotonic_clock_id
from ..api.server_address import SocketAddress
from ..api.server_route import Route
from ..reports.pass_policy import Tolerance
from .capacity.load_window import LoadWindow
from .histogram import decode_histogram, encode_histogram
from .live_findings import LiveState
from .load_spec import LoadSpec, WorkerShare
from .merged_judge import WorkerReport
from .request_metrics import MetricsState, TimelineInterval
from .run_measurements import MeasuredState
from .sample_trail import NotedSample

ORDER_MESSAGE: Final = "sora_order"
REPORT_MESSAGE: Final = "sora_report"


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The base of all messages, which are identified by the names of their classes."""


# -- orders -----------------------------------------------------------------------------------------------------------


class PrepareOrder(_Message, frozen=True, kw_only=True):
    """Prepare a run: look up the server, request a listing, and let users start when Locust says so."""

    spec: LoadSpec
    """The worker's share of the load."""
    index: int
    workers: int
    run: str
    edition_text: str | None
    """The content of the edition's file, if it is a file on the master's machine."""
    server: str
    addresses: tuple[SocketAddress, ...]
    """
    The server's or the proxy's addresses, as looked up by the master; a worker on another machine does its own look-up.
    """
    route: Route
    subject_kind: Literal["server", "simulator"]
    secrets: tuple[str, ...]
    clock: str
    """The master's clock."""
    spool_folder: str
    patience_s: float | None = None
    """For load in steps: how long a request may take after its window."""
    limits: tuple[str, ...] = ()
    """The abort limits of a step."""
    tolerance: Tolerance = Tolerance()
    """The findings that don't fail a step."""

    @property
    def share(self) -> WorkerShare:
        """Which worker of the run this is."""
        return WorkerShare(index=self.index, count=self.workers, run=self.run)

    @property
    def is_on_masters_machine(self) -> bool:
        """Whether this process is on the machine of the master."""
        return self.clock == monotonic_clock_id()


class StartOrder(_Message, frozen=True, kw_only=True):
    """Begin at a time of the master's clock; on another machine, `lead_ns` after this order arrives."""

    begins_ns: int
    lead_ns: int

    def local_begins_ns(self, *, same_clock: bool) -> int:
        """The time to begin on this process's clock."""
        return self.begins_ns if same_clock else time.monotonic_ns() + self.lead_ns


class StepOrder(StartOrder, frozen=True, kw_only=True):
    """Schedule requests at a rate for all workers together."""

    rate: float


class WindowOrder(_Message, frozen=True, kw_only=True):
    """Report the next window."""

    lasts_s: float


class HaltOrder(_Message, frozen=True, kw_only=True):
    """Stop waiting for the current window."""


class EndStepOrder(_Message, frozen=True, kw_only=True):
    """Schedule no more requests, and wait for the open ones; don't wait if the run is over."""

    at_once: bool


class DrainOrder(_Message, frozen=True, kw_only=True):
    """Stop sending, wait for open requests unless they are given up, and report everything."""

    give_up: bool


Order = PrepareOrder | StartOrder | StepOrder | WindowOrder | HaltOrder | EndStepOrder | DrainOrder


# -- reports ----------------------------------------------------------------------------------------------------------


class HelloReport(_Message, frozen=True, kw_only=True):
    """A worker has connected."""

    pid: int
    host: str
    clock: str
    version: str

    @classmethod
    def of_this_process(cls) -> HelloReport:
        """The report of this process."""
        return cls(pid=os.getpid(), host=socket.gethostname(), clock=monotonic_clock_id(), version=__version__)


class ReadyReport(_Message, frozen=True, kw_only=True):
    """The worker is prepared, or the server does not respond."""

    no_server: str | None


class ProgressReport(_Message, frozen=True, kw_only=True):
    """The worker's progress; sent regularly, so that the master knows that it is alive."""

    standing: int = 0
    """How many users are ready to send."""
    counts: dict[str, int] = {}
    intervals: list[TimelineInterval] = []
    through_s: int = 0
    """All seconds of the run before this one were reported."""


class WindowReport(_Message, frozen=True, kw_only=True):
    """A window; or the limit at which the step was aborted, with the window so far; or neither, if halted."""

    window: LoadWindow | None
    aborted: str | None = None


class StepReport(_Message, frozen=True, kw_only=True):
    """The result of a step."""

    findings: tuple[str, ...]
    metrics: MetricsState
    outage: str | None
    index: int
    samples: dict[str, NotedSample] = {}
    """The step's newest sample of each connection, if there are other workers to compare with."""


class WorkerResult(_Message, frozen=True, kw_only=True):
    """Everything that a worker did and saw; its last report."""

    index: int
    server: str
    is_on_masters_machine: bool
    measures: MeasuredState
    judged: WorkerReport
    """The result of its own judge."""
    spool: str | None
    """The path of its spool."""
    spool_problem: str | None
    """Why the spool is missing or incomplete."""
    outage: str | None
    notes: tuple[str, ...]
    broken: str | None
    """The fault of the harness that it noticed."""
    stalled_s: float = 0.0


class FailedReport(_Message, frozen=True, kw_only=True):
    """The worker can't continue."""

    reason: str
    is_broken: bool = False
    """Whether the harness is at fault."""


Report = HelloReport | ReadyReport | ProgressReport | WindowReport | StepReport | WorkerResult | FailedReport


UNREADABLE: Final = (msgspec.MsgspecError, TypeError, KeyError)
"""What decoding raises for a message of another version."""


def encode_message(message: msgspec.Struct) -> bytes:
    """Encode a message."""
    return msgspec.json.encode(message, enc_hook=encode_histogram)


def decode_order(data: bytes) -> Order:
    """
    Decode an order.

    Raises:
        msgspec.MsgspecError: It is not an order, as from a master of another version.
    """
    order: Order = msgspec.json.decode(data, type=Order)
    return order


def decode_report(data: bytes) -> Report:
    """
    Decode a report.

    Raises:
        msgspec.MsgspecError: It is not a report, as from a worker of another version.
    """
    report: Report = msgspec.json.decode(data, type=Report, dec_hook=decode_histogram)
    return report


def decode_state(data: bytes) -> LiveState:
    """
    Decode the state of a worker under plain Locust.

    Raises:
        msgspec.MsgspecError: It is not a state, as from a worker of another version.
    """
    return msgspec.json.decode(data, type=LiveState, dec_hook=decode_histogram)
