"""
Made-up requests, valid and wrong, and the smallest of them that a server stumbles over.

The fixed probes show how a server refuses what its authors thought of. What crashes servers is what nobody thought of: a
NUL in an id, a lone quote, a number where an object was meant. So requests are drawn from the strategies, sent one after
the other, and each answer has to be no 5xx, and JSON or nothing. Once one is missed, Hypothesis makes the request smaller
for as long as it is still missed, and the smallest one is what the finding shows.

Nothing is sent that `targets` would refuse: the strategies draw the three statistics targets alone, and the invented ones
are added here.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from ..api.errors import UsageError
from ..api.exchange import HEADER, Answer, Asked, ErrorCode, Exchange, Request, Target, TransportError
from ..api.targets import INVENTED
from ..judge.checks import request as refusals
from .client import Clerk, Prober, Ticket
from .interrupt import Interrupt
from .plan import Plan
from .sender import BACK_OFF_S, BYTES_RATE, TRIES

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from ..simulator.strategies import WireRequest

SHRINK_REQUESTS: Final = 500
"""Requests that are sent at most to make a failing one smaller."""

SHRINK_S: Final = 60.0
"""And how long that may take: each of them may run into the time-out."""

_TELLS_NOTHING: Final = frozenset({ErrorCode.REFUSED, ErrorCode.DNS, ErrorCode.TLS, ErrorCode.ABANDONED})
"""Of the request: nobody read it, or it was we who gave up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """
    What became of the generated requests.

    `sent` were sent until one failed, `shrinking` more to make that one smaller. `smallest` is it, None where none failed;
    `missed` says what it missed: a requirement, or the code of a transport error; `again` whether it failed once more when
    it was sent once more. `ended` tells why the run ended early, if it did.
    """

    sent: int
    shrinking: int = 0
    smallest: Request | None = None
    missed: str | None = None
    again: bool = False
    ended: str | None = None


def need_hypothesis() -> None:
    """
    See that there is a Hypothesis.

    Raises:
        UsageError: There is none; says how to get it.
    """
    try:
        import hypothesis  # noqa: F401  # only whether it is there
    except ImportError:
        raise UsageError("--fuzz needs Hypothesis: pip install 'sora-stats-harness[pytest]'") from None


def run(
    plan: Plan,
    judge: Clerk,
    prober: Prober,
    *,
    count: int,
    seed: int,
    interrupt: Interrupt,
    watch: Callable[[int], None] = lambda sent: None,
) -> Result:
    """
    Send generated requests until one fails, then find the smallest that fails in the same way.

    Args:
        plan: Which server, which targets, which headers, how fast.
        judge: Is shown every exchange, the smallest failing one before all others that fail.
        prober: Sends; it is closed at the end.
        count: How many requests.
        seed: The same seed, harness and Hypothesis give the same requests.
        interrupt: Ends it when it is seen.
        watch: Is called after each request with how many were sent.

    Raises:
        UsageError: Hypothesis is not installed.
    """
    need_hypothesis()
    with _no_traces(), asyncio.Runner() as runner:
        search = _Search(plan, judge, prober, runner, interrupt, watch)
        try:
            return search.run(count, seed)
        finally:
            runner.run(search.close())


@contextmanager
def _no_traces() -> Iterator[None]:
    """Keep what Hypothesis writes down for its next run out of the folder in which we happen to be."""
    from hypothesis import configuration

    with tempfile.TemporaryDirectory(prefix="sora-harness-") as folder:
        configuration.set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(None)  # the default again


def generated(targets: Collection[Target]) -> SearchStrategy[WireRequest]:
    """Requests of these targets, valid and wrong, and some of invented targets; all of them may be sent."""
    from hypothesis import strategies as st

    from ..simulator.strategies import WireRequest, bodies, requests, wrong_requests

    invented = st.builds(
        lambda value, body: WireRequest(headers=((HEADER, value),), body=body, wrong="invented"),
        st.sampled_from(sorted(INVENTED)), bodies(),
    )  # fmt: skip
    chosen = [target for target in Target if target in targets]
    valid = [requests(target) for target in chosen]
    kinds = [*valid, *valid, *(wrong_requests(target) for target in chosen), invented]
    # a choice of kinds: `one_of` would merge their parts, and the many ways to be wrong would crowd out the valid ones
    return st.sampled_from(kinds).flatmap(lambda kind: kind)


class _Over(BaseException):  # not an Exception: Hypothesis would take it for a failing example
    """Nothing more is to be sent."""


class _Failed(Exception):
    """The answer to a request misses what is due to every caller."""


class _Search:
    """One run of the search."""

    def __init__(
        self,
        plan: Plan,
        judge: Clerk,
        prober: Prober,
        runner: asyncio.Runner,
        interrupt: Interrupt,
        watch: Callable[[int], None],
    ) -> None:
        self._plan = plan
        self._prober = prober
        self._runner = runner
        self._interrupt = interrupt
        self._watch = watch
        self._clerk = _Clerk(judge)
        self._sent = 0
        self._shrinking = 0
        self._missed: str | None = None
        self._smallest: WireRequest | None = None
        self._fails_as_well: dict[WireRequest, bool] = {}
        """What was tried while the failing request was made smaller, and whether it failed in the same way."""
        self._until_s = 0.0

    async def close(self) -> None:
        """Close the prober, which belongs to the loop."""
        async with self._prober:
            pass

    def run(self, count: int, seed: int) -> Result:
        """Search, send the smallest once more, and have all that was held back judged."""
        ended: str | None = None
        again = False
        try:
            self._reach()
            self._search(count, seed)
            if self._smallest is not None:
                again = self._ask(self._smallest) == self._missed
        except _Over as over:
            ended = str(over)
        smallest = None if self._smallest is None else self._request(self._smallest)
        self._clerk.release(smallest)
        return Result(
            sent=self._sent,
            shrinking=self._shrinking,
            smallest=smallest,
            missed=self._missed,
            again=again,
            ended=ended,
        )

    def _search(self, count: int, seed: int) -> None:
        import hypothesis

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=count,
            phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
            suppress_health_check=[hypothesis.HealthCheck.too_slow],  # a slow machine is no reason not to look
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            print_blob=False,
        )
        @hypothesis.given(generated(self._plan.targets))
        def look(wire: WireRequest) -> None:
            if self._fails(wire):
                raise _Failed

        with suppress(_Failed):
            look()

    def _fails(self, wire: WireRequest) -> bool:
        """Whether a request fails, or, once one has, whether this one fails as that did."""
        if self._missed is None:
            self._sent += 1
            self._missed = self._ask(wire)
            self._watch(self._sent)
            self._until_s = time.monotonic() + SHRINK_S
            fails = self._missed is not None
        elif wire in self._fails_as_well:
            fails = self._fails_as_well[wire]
        elif self._shrinking < SHRINK_REQUESTS and time.monotonic() < self._until_s:
            self._shrinking += 1
            fails = self._ask(wire) == self._missed
        else:
            fails = False
        if self._missed is not None:
            self._fails_as_well[wire] = fails
        if fails:
            self._smallest = wire  # at the end Hypothesis asks for the smallest once more
        if not self._clerk.answered:
            self._reach()
        return fails

    def _reach(self) -> None:
        """See that the server answers at all, by a request without a target."""
        from ..simulator.strategies import WireRequest

        for _ in range(TRIES):
            self._ask(WireRequest(headers=(), body=None))
            if self._clerk.answered:
                return
            self._await(asyncio.sleep(BACK_OFF_S))
        raise _Over(f"{self._plan.server} gives no whole answer")

    def _ask(self, wire: WireRequest) -> str | None:
        """Send a request; gives what its answer misses."""
        self._await(self._exchange(self._request(wire)))
        return self._clerk.missed

    async def _exchange(self, request: Request) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None, "a coroutine that runs has a task"
        self._interrupt.tell(lambda: loop.call_soon_threadsafe(task.cancel))
        started_s = loop.time()
        exchange = await self._prober.send(self._clerk, request)
        received_bytes = len(exchange.answer.body) if exchange.answer is not None else 0
        due_s = started_s + max(1 / self._plan.rate, received_bytes / BYTES_RATE)
        await asyncio.sleep(max(0.0, due_s - loop.time()))

    def _await(self, waiting: Coroutine[None, None, None]) -> None:
        try:
            self._runner.run(waiting)
        except asyncio.CancelledError:
            raise _Over("it was interrupted") from None
        finally:
            self._interrupt.tell(None)

    def _request(self, wire: WireRequest) -> Request:
        """
        A generated request as the judge knows requests.

        A valid listing is judged like any other. Whatever names ids that nobody has is a probe of what is due to every
        caller: no 5xx, and JSON or nothing.
        """
        values = [value for name, value in wire.headers if name.lower() == HEADER]
        listing = wire.wrong is None and values == [Target.ALL.value]
        return Request(
            server=self._plan.server,
            method=wire.method,
            path=wire.path,
            headers=(*wire.headers, *self._plan.headers),
            body=wire.body,
            target=Target.ALL if listing else None,
            asked=Asked(local=wire.body is None or b"false" not in wire.body) if listing else Asked(),
            probe=None if listing else refusals.NO_5XX,
        )


class _Clerk:
    """
    Hands out the judge's tickets, and keeps those of requests that failed until the smallest of them is known.

    An entry of the verdict shows the first finding of its kind, so the smallest request is to be judged first. To end a
    ticket late only widens its interval.
    """

    def __init__(self, judge: Clerk) -> None:
        self._judge = judge
        self.held: list[tuple[Request, Ticket, Answer | None, TransportError | None]] = []
        self.missed: str | None = None
        """What the last answer missed."""
        self.answered = False
        """Whether the last request had a whole answer."""

    def sent(self, request: Request, intended_ns: int | None = None) -> _Ticket:
        """Take the time of sending."""
        return _Ticket(self, request, self._judge.sent(request, intended_ns))

    def release(self, smallest: Request | None) -> None:
        """Have what was held back judged, the smallest failing request first."""
        for _, ticket, answer, error in sorted(self.held, key=lambda held: held[0] != smallest):
            ticket.end(answer, error)
        self.held.clear()


@dataclass(frozen=True, slots=True)
class _Ticket:
    clerk: _Clerk
    request: Request
    inner: Ticket

    def end(
        self, answer: Answer | None = None, error: TransportError | None = None, arrived_ns: int | None = None
    ) -> Exchange:
        """Judge, or hold back what is missed."""
        shown = Exchange(
            run="", seq=0, request=self.request, clock="", sent_ns=0, received_ns=0, sent_at="", answer=answer,
            error=error,
        )  # fmt: skip
        self.clerk.answered = answer is not None and answer.complete and error is None
        self.clerk.missed = _missed(shown)
        if self.clerk.missed is None:
            return self.inner.end(answer, error, arrived_ns)
        self.clerk.held.append((self.request, self.inner, answer, error))
        return shown


def _missed(exchange: Exchange) -> str | None:
    """What an answer misses of what is due to every caller: a requirement's id, or why there is no whole answer."""
    request, answer, error = exchange.request, exchange.answer, exchange.error
    if error is not None:
        return None if error.code in _TELLS_NOTHING else error.code.value
    if answer is None or (request.target is not None and answer.status == 200):
        return None  # the latter is judged in every respect anyway
    probe = msgspec.structs.replace(request, probe=refusals.NO_5XX)
    _, findings = refusals.check(msgspec.structs.replace(exchange, request=probe))
    return findings[0].requirement if findings else None
