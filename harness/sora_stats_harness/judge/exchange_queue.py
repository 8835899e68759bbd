"""
Times the exchanges of a live run, and hands them to the judge in order of receipt.

Exchanges are judged one at a time, in the order in which they ended. Judging may be deferred a little, so that several
are judged together. A large response is judged in slices, and exchanges that end meanwhile wait for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Final, Protocol

import msgspec

from ..api.exchange import Exchange, Request, Response, TransportError
from ..api.http1_faults import FramingFault

SLICING_THRESHOLD_BYTES: Final = 256 * 1024
"""Responses up to this size are judged without pauses, even if they waited for one that was judged in slices."""

MAX_BATCH_EXCHANGES: Final = 32
"""
The most exchanges that wait to be judged together. Judging several in a row costs a third less per exchange than
judging each between a receipt and a sending, since the processor's caches stay warm.
"""

MAX_BATCHED_BODY_BYTES: Final = 64 * 1024
"""Responses above this size are judged at once."""


class JudgeExchange(Protocol):
    """Judges an exchange; `open_sent_ns` are the sending times of open requests, `pause` is called between slices."""

    def __call__(
        self, exchange: Exchange, open_sent_ns: Collection[int], pause: Callable[[], None] | None = None
    ) -> None:
        """Judge the exchange now."""
        ...


class PendingExchange(msgspec.Struct, gc=False, eq=False):
    """One open request; made by `Judge.begin_exchange`, and completed once."""

    _queue: ExchangeQueue
    request: Request
    seq: int
    intended_ns: int | None
    sent_at_ns: int
    sent_ns: int
    _completed: bool = False

    def complete(
        self,
        response: Response | None = None,
        error: TransportError | None = None,
        arrived_ns: int | None = None,
        faults: tuple[FramingFault, ...] = (),
    ) -> Exchange:
        """
        Record the time of receipt and judge, or defer judging if the judge was given `soon`.

        Call this right after reading the last byte. There may be both a partial response and an error.

        Raises:
            ValueError: It was completed before, or there is neither a response nor an error.
        """
        return self._queue.add_exchange(self._make_exchange(response, error, arrived_ns, faults))

    def complete_in_slices(
        self,
        response: Response,
        pause: Callable[[], None],
        arrived_ns: int | None = None,
        faults: tuple[FramingFault, ...] = (),
    ) -> Exchange:
        """
        As `complete`, for a large array: calls `pause` between slices, so that the caller can serve its sockets.

        Exchanges that end meanwhile are judged after this one, and before it returns, in their order of receipt.
        """
        return self._queue.judge_in_slices(self._make_exchange(response, None, arrived_ns, faults), pause)

    def _make_exchange(
        self,
        response: Response | None,
        error: TransportError | None,
        arrived_ns: int | None,
        faults: tuple[FramingFault, ...],
    ) -> Exchange:
        received_ns = time.monotonic_ns()
        if self._completed:
            raise ValueError("an exchange is completed once")
        if response is None and error is None:
            raise ValueError("an exchange is completed with a response or an error")
        self._completed = True
        queue = self._queue
        return Exchange(  # positional arguments: names take three times as long
            queue.run,
            self.seq,
            self.request,
            queue.clock,
            self.sent_ns,
            received_ns,
            self.sent_at_ns,
            response,
            error,
            self.intended_ns,
            arrived_ns,
            faults,
        )


class ExchangeQueue:
    """The live requests of one run; `first_seq` and `soon` are as in `JudgeOptions`."""

    def __init__(
        self,
        run: str,
        clock: str,
        judge: JudgeExchange,
        *,
        first_seq: int = 0,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.run = run
        self.clock = clock
        self._judge = judge
        self._next_seq = first_seq
        self._soon = soon
        self._open: dict[int, int] = {}
        """When the requests that are not judged yet were sent, by number."""
        self.waiting: deque[Exchange] = deque()
        """Exchanges that have ended and wait to be judged."""
        self._judging = False
        """Whether some caller is already judging everything that waits."""

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> PendingExchange:
        """
        Announce a request; call it right before its first byte is written.

        `intended_ns` is its scheduled start, on the clock of `time.monotonic_ns`.
        """
        seq = self._next_seq
        self._next_seq = seq + 1
        sent_at_ns, sent_ns = time.time_ns(), time.monotonic_ns()
        self._open[seq] = sent_ns
        return PendingExchange(self, request, seq, intended_ns, sent_at_ns, sent_ns)

    def take_seq(self) -> int:
        """Take a number for an exchange that was never sent."""
        self._next_seq += 1
        return self._next_seq - 1

    def is_pending(self, exchange: Exchange) -> bool:
        """Whether an exchange that has ended is still to be judged."""
        return exchange.seq in self._open

    def add_exchange(self, exchange: Exchange) -> Exchange:
        """Judge an exchange that has ended, at once or soon."""
        waiting = self.waiting
        if self._judging:
            waiting.append(exchange)
            return exchange
        if self._soon is None:
            del self._open[exchange.seq]
            self._judge(exchange, self._open.values())
            return exchange
        waiting.append(exchange)
        if len(waiting) >= MAX_BATCH_EXCHANGES or (
            exchange.response is not None and len(exchange.response.body) > MAX_BATCHED_BODY_BYTES
        ):
            self.judge_pending()
        elif len(waiting) == 1:
            self._soon(self.judge_pending)
        return exchange

    def judge_pending(self) -> None:
        """Judge everything that waits, in order; does nothing if another caller is already doing so."""
        if self._judging:
            return
        waiting = self.waiting
        self._judging = True
        try:
            opened, judge = self._open, self._judge
            while waiting:
                exchange = waiting.popleft()
                del opened[exchange.seq]
                judge(exchange, opened.values())
        finally:
            self._judging = False
            if waiting and self._soon is not None:  # only if judging itself failed
                self._soon(self.judge_pending)

    def judge_in_slices(self, exchange: Exchange, pause: Callable[[], None]) -> Exchange:
        """Judge a large response, pausing between slices, and then what ended in the pauses."""
        waiting = self.waiting
        if self._judging:
            waiting.append(exchange)
            return exchange
        self.judge_pending()
        self._judging = True
        raised: BaseException | None = None

        def pause_once() -> None:
            """
            After a pause that raises there are no more pauses: everything is judged, and then the exception is raised.
            """
            nonlocal raised
            if raised is None:
                try:
                    pause()
                except BaseException as error:
                    raised = error

        try:
            self._judge_now(exchange, pause_once)
            while waiting:
                following = waiting.popleft()
                if following.response is not None and len(following.response.body) > SLICING_THRESHOLD_BYTES:
                    self._judge_now(following, pause_once)
                else:  # without pauses: otherwise, under a constant stream of responses, this would never end
                    self._judge_now(following)
        finally:
            self._judging = False
            self.judge_pending()  # only if judging itself failed: nothing that ended may stay unjudged
        if raised is not None:
            raise raised
        return exchange

    def _judge_now(self, exchange: Exchange, pause: Callable[[], None] | None = None) -> None:
        del self._open[exchange.seq]
        self._judge(exchange, self._open.values(), pause)
