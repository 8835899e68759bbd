"""
Made-up requests, valid and wrong, and the smallest of them that a server stumbles over.

The fixed probes show how a server refuses what its authors thought of. What crashes servers is what nobody thought of: a
NUL in an id, a lone quote, a number where an object was meant. So requests are drawn from the strategies, sent one after
the other, and each response has to be no 5xx, and JSON or nothing. Once one is missed, Hypothesis makes the request smaller
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
from ..api.exchange import (
    TARGET_HEADER,
    ErrorCode,
    Exchange,
    ExchangeOpener,
    OpenExchange,
    Request,
    RequestArguments,
    Response,
    Target,
    TransportError,
)
from ..api.http1_faults import FramingFault
from ..api.request_guard import INVENTED_TARGETS
from ..judge.checks import wrong_requests as refusals
from .conformance_plan import ConformancePlan
from .interrupt import InterruptHandler
from .paced_sender import FAILURE_PAUSE_S, MAX_FAILURES_BEFORE_GIVING_UP, MAX_RESPONSE_BYTES_PER_SECOND
from .prober import Prober

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from ..simulator.strategies import WireRequest

MAX_SHRINK_REQUESTS: Final = 500
"""Requests that are sent at most to make a failing one smaller."""

MAX_SHRINK_S: Final = 60.0
"""And how long that may take: each of them may run into the time-out."""

_ERRORS_UNRELATED_TO_REQUEST: Final = frozenset({ErrorCode.REFUSED, ErrorCode.DNS, ErrorCode.TLS, ErrorCode.ABANDONED})
"""Of the request: nobody read it, or it was we who gave up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzResult:
    """
    What became of the generated requests.

    `sent` were sent until one failed, `shrinking` more to make that one smaller. `smallest` is it, None where none failed;
    `missed` says what it missed: a requirement, or the code of a transport error; `again` whether it failed once more when
    it was sent once more. `ended` tells why the run ended early, if it did.
    """

    sent: int
    shrinking: int = 0
    smallest: Request | None = None
    violated: str | None = None
    reproduced: bool = False
    end_reason: str | None = None


def require_hypothesis() -> None:
    """
    See that there is a Hypothesis.

    Raises:
        UsageError: There is none; says how to get it.
    """
    try:
        import hypothesis  # noqa: F401  # only whether it is there
    except ImportError:
        raise UsageError("--fuzz needs Hypothesis: pip install 'sora-stats-harness[pytest]'") from None


def run_fuzz(
    plan: ConformancePlan,
    judge: ExchangeOpener,
    prober: Prober,
    *,
    count: int,
    seed: int,
    interrupt: InterruptHandler,
    watch: Callable[[int], None] = lambda sent: None,
) -> FuzzResult:
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
    require_hypothesis()
    with _temporary_hypothesis_home(), asyncio.Runner() as runner:
        search = _FuzzSearch(plan, judge, prober, runner, interrupt, watch)
        try:
            return search.run(count, seed)
        finally:
            runner.run(search.close())


@contextmanager
def _temporary_hypothesis_home() -> Iterator[None]:
    """Keep what Hypothesis writes down for its next run out of the folder in which we happen to be."""
    from hypothesis import configuration

    with tempfile.TemporaryDirectory(prefix="sora-harness-") as folder:
        configuration.set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(None)  # the default again


def generated_requests(targets: Collection[Target]) -> SearchStrategy[WireRequest]:
    """Requests of these targets, valid and wrong, and some of invented targets; all of them may be sent."""
    from hypothesis import strategies as st

    from ..simulator.strategies import WireRequest, request_bodies, valid_requests, wrong_requests

    invented = st.builds(
        lambda value, body: WireRequest(headers=((TARGET_HEADER, value),), body=body, wrong="invented"),
        st.sampled_from(sorted(INVENTED_TARGETS)),
        request_bodies(),
    )
    chosen = [target for target in Target if target in targets]
    valid = [valid_requests(target) for target in chosen]
    kinds = [*valid, *valid, *(wrong_requests(target) for target in chosen), invented]
    # a choice of kinds: `one_of` would merge their parts, and the many ways to be wrong would crowd out the valid ones
    return st.sampled_from(kinds).flatmap(lambda kind: kind)


class _SearchEnded(BaseException):  # not an Exception: Hypothesis would take it for a failing example
    """Nothing more is to be sent."""


class _RequestFailed(Exception):
    """The response to a request misses what is due to every caller."""


class _FuzzSearch:
    """One run of the search."""

    def __init__(
        self,
        plan: ConformancePlan,
        judge: ExchangeOpener,
        prober: Prober,
        runner: asyncio.Runner,
        interrupt: InterruptHandler,
        watch: Callable[[int], None],
    ) -> None:
        self._plan = plan
        self._prober = prober
        self._runner = runner
        self._interrupt = interrupt
        self._watch = watch
        self._clerk = _DeferringExchangeOpener(judge)
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

    def run(self, count: int, seed: int) -> FuzzResult:
        """Search, send the smallest once more, and have all that was held back judged."""
        ended: str | None = None
        again = False
        try:
            self._wait_until_responding()
            self._search(count, seed)
            if self._smallest is not None:
                again = self._send_and_check(self._smallest) == self._missed
        except _SearchEnded as over:
            ended = str(over)
        smallest = None if self._smallest is None else self._build_request(self._smallest)
        self._clerk.judge_deferred(smallest)
        return FuzzResult(
            sent=self._sent,
            shrinking=self._shrinking,
            smallest=smallest,
            violated=self._missed,
            reproduced=again,
            end_reason=ended,
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
        @hypothesis.given(generated_requests(self._plan.targets))
        def look(wire: WireRequest) -> None:
            if self._fails_the_same(wire):
                raise _RequestFailed

        with suppress(_RequestFailed):
            look()

    def _fails_the_same(self, wire: WireRequest) -> bool:
        """Whether a request fails, or, once one has, whether this one fails as that did."""
        if self._missed is None:
            self._sent += 1
            self._missed = self._send_and_check(wire)
            self._watch(self._sent)
            self._until_s = time.monotonic() + MAX_SHRINK_S
            fails = self._missed is not None
        elif wire in self._fails_as_well:
            fails = self._fails_as_well[wire]
        elif self._shrinking < MAX_SHRINK_REQUESTS and time.monotonic() < self._until_s:
            self._shrinking += 1
            fails = self._send_and_check(wire) == self._missed
        else:
            fails = False
        if self._missed is not None:
            self._fails_as_well[wire] = fails
        if fails:
            self._smallest = wire  # at the end Hypothesis asks for the smallest once more
        if not self._clerk.responded:
            self._wait_until_responding()
        return fails

    def _wait_until_responding(self) -> None:
        """See that the server responds at all, by a request without a target."""
        from ..simulator.strategies import WireRequest

        for _ in range(MAX_FAILURES_BEFORE_GIVING_UP):
            self._send_and_check(WireRequest(headers=(), body=None))
            if self._clerk.responded:
                return
            self._run_coroutine(asyncio.sleep(FAILURE_PAUSE_S))
        raise _SearchEnded(f"{self._plan.server} gives no complete response")

    def _send_and_check(self, wire: WireRequest) -> str | None:
        """Send a request; gives what its response misses."""
        self._run_coroutine(self._exchange_at_rate(self._build_request(wire)))
        return self._clerk.missed

    async def _exchange_at_rate(self, request: Request) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None, "a coroutine that runs has a task"
        self._interrupt.set_callback(lambda: loop.call_soon_threadsafe(task.cancel))
        started_s = loop.time()
        exchange = await self._prober.send(self._clerk, request)
        received_bytes = len(exchange.response.body) if exchange.response is not None else 0
        due_s = started_s + max(1 / self._plan.rate, received_bytes / MAX_RESPONSE_BYTES_PER_SECOND)
        await asyncio.sleep(max(0.0, due_s - loop.time()))

    def _run_coroutine(self, waiting: Coroutine[None, None, None]) -> None:
        try:
            self._runner.run(waiting)
        except asyncio.CancelledError:
            raise _SearchEnded("it was interrupted") from None
        finally:
            self._interrupt.set_callback(None)

    def _build_request(self, wire: WireRequest) -> Request:
        """
        A generated request as the judge knows requests.

        A valid listing is judged like any other. Whatever names ids that nobody has is a probe of what is due to every
        caller: no 5xx, and JSON or nothing.
        """
        values = [value for name, value in wire.headers if name.lower() == TARGET_HEADER]
        listing = wire.wrong is None and values == [Target.ALL.value]
        return Request(
            server=self._plan.server,
            method=wire.method,
            path=wire.path,
            headers=(*wire.headers, *self._plan.headers),
            body=wire.body,
            target=Target.ALL if listing else None,
            asked=RequestArguments(local=wire.body is None or b"false" not in wire.body)
            if listing
            else RequestArguments(),
            probe=None if listing else refusals.NO_5XX.id,
        )


class _DeferringExchangeOpener:
    """
    Hands out the judge's tickets, and keeps those of requests that failed until the smallest of them is known.

    An entry of the verdict shows the first finding of its kind, so the smallest request is to be judged first. To end a
    ticket late only widens its interval.
    """

    def __init__(self, judge: ExchangeOpener) -> None:
        self._judge = judge
        self.held: list[tuple[OpenExchange, Exchange]] = []
        self.missed: str | None = None
        """What the last response missed."""
        self.responded = False
        """Whether the last request had a complete response."""

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> _DeferrableExchange:
        """Take the time of sending."""
        return _DeferrableExchange(self, request, self._judge.begin_exchange(request, intended_ns))

    def judge_deferred(self, smallest: Request | None) -> None:
        """Have what was held back judged, the smallest failing request first."""
        for ticket, shown in sorted(self.held, key=lambda held: held[1].request != smallest):
            ticket.complete(shown.response, shown.error, shown.arrived_ns, shown.faults)
        self.held.clear()


@dataclass(frozen=True, slots=True)
class _DeferrableExchange:
    clerk: _DeferringExchangeOpener
    request: Request
    inner: OpenExchange

    def complete(
        self,
        response: Response | None = None,
        error: TransportError | None = None,
        arrived_ns: int | None = None,
        faults: tuple[FramingFault, ...] = (),
    ) -> Exchange:
        """Judge, or hold back what is missed."""
        shown = Exchange(
            run="",
            seq=0,
            request=self.request,
            clock="",
            sent_ns=0,
            received_ns=0,
            sent_at="",
            response=response,
            error=error,
            arrived_ns=arrived_ns,
            faults=faults,
        )
        self.clerk.responded = response is not None and response.complete and error is None
        self.clerk.missed = _violated_requirement(shown)
        if self.clerk.missed is None:
            return self.inner.complete(response, error, arrived_ns, faults)
        self.clerk.held.append((self.inner, shown))
        return shown


def _violated_requirement(exchange: Exchange) -> str | None:
    """What a response misses of what is due to every caller: a requirement's id, or why there is no complete response."""
    request, response, error = exchange.request, exchange.response, exchange.error
    if error is not None:
        return None if error.code in _ERRORS_UNRELATED_TO_REQUEST else error.code.value
    if response is None or (request.target is not None and response.status == 200):
        return None  # the latter is judged in every respect anyway
    probe = msgspec.structs.replace(request, probe=refusals.NO_5XX.id)
    _, violations = refusals.check_probe_response(msgspec.structs.replace(exchange, request=probe))
    return violations[0].requirement.id if violations else None
