"""
Times the exchanges of a live run, and hands them to the judge in order of receipt.

Exchanges are judged one at a time, in the order in which they ended. Judging may wait a little, so that several are
judged together; a large response is judged in slices, and what ends meanwhile waits for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Final, Protocol

import msgspec

from ..api.exchange import Exchange, Request, Response, TransportError
from ..api.http1_faults import FramingFault
from ..api.utc_time import format_utc_ns

SLICING_THRESHOLD_BYTES: Final = 256 * 1024
"""Responses up to this size are judged in one go, also where they waited for one that was judged in slices."""

MAX_BATCH_EXCHANGES: Final = 32
"""
Exchanges that wait to be judged together, at most. Judged one after the other, with nothing but judging in between, they
cost a third less each than between a receipt and a sending: the processor's caches hold what the next one needs.
"""

MAX_BATCHED_BODY_BYTES: Final = 64 * 1024
"""Responses above this size are judged at once."""


class JudgeExchange(Protocol):
    """Judges an exchange, given when the requests were sent that are still under way; calls `pause` between slices."""

    def __call__(
        self, exchange: Exchange, open_sent_ns: Collection[int], pause: Callable[[], None] | None = None
    ) -> None:
        """Judge it now."""
        ...


class PendingExchange(msgspec.Struct, gc=False, eq=False):
    """One request under way; made by `Judge.begin_exchange`, and completed once."""

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
        Take the time of receipt and judge, or have it judged soon where the judge was told how.

        Call it right after the last byte was read, before anything else. A partial response and an error may stand
        together.

        Raises:
            ValueError: It was completed before, or neither a response nor an error is given.
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
        return Exchange(  # by place: names take three times as long
            queue.run,
            self.seq,
            self.request,
            queue.clock,
            self.sent_ns,
            received_ns,
            format_utc_ns(self.sent_at_ns),
            response,
            error,
            self.intended_ns,
            arrived_ns,
            faults,
        )


class BeginExchange(Protocol):
    """Announces a request, right before its first byte is written; `intended_ns` is when the schedule wanted it sent."""

    def __call__(self, request: Request, intended_ns: int | None = None) -> PendingExchange: ...


class ExchangeQueue:
    """
    The live requests of one run.

    Args:
        run: The run's id.
        clock: The name of the monotonic clock.
        judge: Judges an exchange.
        first_seq: Number of the first exchange.
        soon: Has something called soon, once what else is ready has had its turn; None to judge each at once.
    """

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
        """By number, when the requests were sent that are not judged yet."""
        self._waiting: deque[Exchange] = deque()
        """Exchanges that have ended and are judged soon."""
        self._judging = False
        """Whether a caller is at work that will judge all that waits."""

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> PendingExchange:
        """
        Announce a request; call it right before its first byte is written.

        Args:
            request: What is sent.
            intended_ns: When the schedule wanted it sent, on `time.monotonic_ns`'s clock.
        """
        seq = self._next_seq
        self._next_seq = seq + 1
        sent_at_ns, sent_ns = time.time_ns(), time.monotonic_ns()
        self._open[seq] = sent_ns
        return PendingExchange(self, request, seq, intended_ns, sent_at_ns, sent_ns)

    def take_seq(self) -> int:
        """A number for an exchange that was never sent."""
        self._next_seq += 1
        return self._next_seq - 1

    @property
    def pending_count(self) -> int:
        """Exchanges that have ended and wait to be judged."""
        return len(self._waiting)

    def is_pending(self, exchange: Exchange) -> bool:
        """Whether an exchange that has ended is still to be judged."""
        return exchange.seq in self._open

    def add_exchange(self, exchange: Exchange) -> Exchange:
        """Judge an exchange that has ended, at once or soon."""
        waiting = self._waiting
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
        """Judge all that has ended and waits, in its order; nothing where a caller is at it already."""
        if self._judging:
            return
        waiting = self._waiting
        self._judging = True
        try:
            while waiting:
                self._judge_now(waiting.popleft())
        finally:
            self._judging = False
            if waiting and self._soon is not None:  # only where judging itself broke
                self._soon(self.judge_pending)

    def judge_in_slices(self, exchange: Exchange, pause: Callable[[], None]) -> Exchange:
        """Judge a large response, pausing between slices, and then what ended in the pauses."""
        waiting = self._waiting
        if self._judging:
            waiting.append(exchange)
            return exchange
        self.judge_pending()
        self._judging = True
        raised: BaseException | None = None

        def pause_once() -> None:
            """A pause that raises is the last one: whatever has ended is judged, the caller is told afterwards."""
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
                else:  # without a pause: where responses never cease, each pause would bring more, and this never end
                    self._judge_now(following)
        finally:
            self._judging = False
            self.judge_pending()  # only where judging itself broke: nothing that ended may stay unjudged
        if raised is not None:
            raise raised
        return exchange

    def _judge_now(self, exchange: Exchange, pause: Callable[[], None] | None = None) -> None:
        del self._open[exchange.seq]
        self._judge(exchange, self._open.values(), pause)
