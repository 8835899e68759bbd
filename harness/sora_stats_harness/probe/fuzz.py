"""
Generates requests, valid and wrong, and finds the smallest ones at which a server fails.

The fixed wrong requests show how a server refuses what its authors thought of. But servers crash on what nobody thought
of: a NUL in an id, a lone quote, a number in place of an object. So requests are drawn from the strategies and sent one
after the other. No response may have a status of 5xx, and each body must be JSON or empty. After a failure Hypothesis
makes the request smaller as long as it still fails in the same way. Then the search continues: `request_class`
identifies requests of the same kind, which are not sent again.

The strategies draw only the three statistics targets, and this module adds the invented ones; nothing else can be sent.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
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
    header_values,
)
from ..api.http1_faults import FramingFault
from ..api.request_guard import INVENTED_TARGETS
from ..judge.checks import wrong_requests as refusals
from .conformance_plan import ConformancePlan
from .fuzz_classes import RequestFeatures, request_class, request_features
from .interrupt import InterruptHandler
from .paced_sender import FAILURE_PAUSE_S, MAX_FAILURES_BEFORE_GIVING_UP
from .prober import Prober, finish_unless_interrupted

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from ..simulator.strategies import WireRequest

MAX_SHRINK_REQUESTS: Final = 500
"""The most requests that are sent to make a failing one smaller."""

MAX_SHRINK_S: Final = 60.0
"""The longest time for that: each of them may run into the time-out."""

_ERRORS_UNRELATED_TO_REQUEST: Final = frozenset(
    {ErrorCode.REFUSED, ErrorCode.UNREACHABLE, ErrorCode.DNS, ErrorCode.TLS, ErrorCode.ABANDONED, ErrorCode.LOCAL}
)
"""Errors that say nothing about the request: the server never read it, or the harness gave up."""


MAX_FAILURES: Final = 10
"""The search ends after so many kinds of failing requests: these are enough to fix first."""

KNOWN_TO_FAIL: Final = (
    (Target.CONNECTION, b'"\xff"'),
    (Target.CLIENT, b'"\xff"'),
    (Target.ALL, b'{"local":"\xff"}'),
)
"""Requests at which servers are known to fail. They are sent first, so that the search looks for something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzFailure:
    """One kind of request at which the server fails."""

    smallest: Request
    """The smallest of the kind."""
    violated: str
    """The violated requirement, or the code of a transport error."""
    reproduced: bool
    """Whether it failed again when it was repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzResult:
    """The result of sending generated requests."""

    sent: int
    """How many were sent."""
    passed_over: int = 0
    """How many were skipped, since their kind had failed before."""
    shrinking: int = 0
    """How many further requests were sent to make the failing ones smaller."""
    failures: tuple[FuzzFailure, ...] = ()
    """In the order in which they were found."""
    end_reason: str | None = None
    """Why the search ended early; None if it did not."""


def require_hypothesis() -> None:
    """
    Check that Hypothesis is installed.

    Raises:
        UsageError: It isn't; says how to get it.
    """
    try:
        import hypothesis  # noqa: F401  # only to check that it is installed
    except ImportError:
        raise UsageError("--fuzz needs Hypothesis: pip install hypothesis") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzPlan:
    """What to generate, and where to send it."""

    target: ConformancePlan
    """Defines the server, the targets, the headers and the rate."""
    count: int
    """How many requests to send."""
    seed: int
    """The same seed, harness and Hypothesis give the same requests."""


def run_fuzz(
    plan: FuzzPlan,
    judge: ExchangeOpener,
    prober: Prober,
    *,
    interrupt: InterruptHandler,
    watch: Callable[[int], None] = lambda sent: None,
) -> FuzzResult:
    """
    Send generated requests; find the smallest of each kind that fails, and continue with other kinds until a signal.

    Args:
        judge: Judges every exchange, the smallest failing one before all others that fail.
        watch: Called after each request with the number sent so far.

    Raises:
        UsageError: Hypothesis is not installed.
    """
    require_hypothesis()
    with _temporary_hypothesis_home(), asyncio.Runner() as runner:
        search = _FuzzSearch(plan.target, judge, _RequestRunner(runner, prober, interrupt), watch)
        return search.run(plan.count, plan.seed)


@contextmanager
def _temporary_hypothesis_home() -> Iterator[None]:
    """Keep the files of Hypothesis out of the current folder."""
    from hypothesis import configuration

    with tempfile.TemporaryDirectory(prefix="sora-harness-") as folder:
        configuration.set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(None)  # restores the default


def generated_requests(targets: Collection[Target]) -> SearchStrategy[WireRequest]:
    """A strategy for requests of these targets, valid and wrong, and some of invented targets; all may be sent."""
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
    # a plain `one_of` would merge the alternatives of both, and the many wrong ones would crowd out the valid requests
    return st.sampled_from(kinds).flatmap(lambda kind: kind)


class _SearchEnded(BaseException):  # not an Exception: Hypothesis would take it for a failing example
    """Raised to end the search."""


class _RequestFailed(Exception):
    """A request got a 5xx status, a body that is neither JSON nor empty, or no complete response."""


@dataclass(frozen=True, slots=True)
class _RequestRunner:
    """Runs one exchange at a time, at a rate, until a signal comes."""

    runner: asyncio.Runner
    prober: Prober
    interrupt: InterruptHandler

    def exchange(self, opener: ExchangeOpener, request: Request, plan: ConformancePlan) -> None:
        """Send a request, and wait until the next one is due."""
        self._run(self._exchange_at_rate(opener, request, plan))

    def pause(self, seconds: float) -> None:
        """Wait."""
        self._run(asyncio.sleep(seconds))

    async def _exchange_at_rate(self, opener: ExchangeOpener, request: Request, plan: ConformancePlan) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        exchange = await self.prober.send(opener, request)
        received_bytes = len(exchange.response.body) if exchange.response is not None else 0
        due_s = started_s + max(1 / plan.rate, received_bytes / plan.bytes_per_s)
        await asyncio.sleep(max(0.0, due_s - loop.time()))

    def _run(self, waiting: Coroutine[None, None, None]) -> None:
        if not self.runner.run(finish_unless_interrupted(waiting, self.interrupt)):
            raise _SearchEnded("it was interrupted")


class _FuzzSearch:
    """One run of the search."""

    def __init__(
        self,
        plan: ConformancePlan,
        judge: ExchangeOpener,
        runner: _RequestRunner,
        watch: Callable[[int], None],
    ) -> None:
        self._plan = plan
        self._runner = runner
        self._watch = watch
        self._opener = _DeferringExchangeOpener(judge)
        self._sent = self._passed_over = self._shrinking = 0
        self._failures: list[FuzzFailure] = []
        self._classes: list[RequestFeatures] = []
        """The features of each kind whose failure was reproduced."""
        self._passed: set[RequestFeatures] = set()
        """The features of requests that did not fail."""
        self._violated: str | None = None
        self._smallest: WireRequest | None = None
        self._fails_as_well: dict[WireRequest, bool] = {}
        """The requests tried while the failing one was made smaller, and whether each failed in the same way."""
        self._shrunk_before = 0
        self._until_s = 0.0

    def run(self, count: int, seed: int) -> FuzzResult:
        """Search until `count` requests were drawn, then judge all deferred exchanges."""
        end_reason: str | None = None
        try:
            self._wait_until_responding()
            self._try_what_is_known()
            while (drawn := self._sent + self._passed_over) < count:
                self._search(count - drawn, seed + len(self._failures))
                if self._smallest is None:
                    break  # every possible request was drawn
                self._settle()
                if len(self._failures) >= MAX_FAILURES:
                    raise _SearchEnded(f"{MAX_FAILURES} kinds of requests fail, which is enough")
        except _SearchEnded as over:
            end_reason = str(over)
            if self._smallest is not None and self._violated is not None:
                self._add_failure(self._smallest, self._violated, reproduced=False)
        self._opener.judge_deferred([failure.smallest for failure in self._failures])
        return FuzzResult(
            sent=self._sent,
            passed_over=self._passed_over,
            shrinking=self._shrinking,
            failures=tuple(self._failures),
            end_reason=end_reason,
        )

    def _try_what_is_known(self) -> None:
        """Send the requests at which servers are known to fail; if one fails, its kind is skipped from now on."""
        from ..simulator.strategies import WireRequest

        for target, body in KNOWN_TO_FAIL:
            if target not in self._plan.targets:
                continue
            wire = WireRequest(headers=((TARGET_HEADER, target.value),), body=body, wrong="invalid_json")
            violated = self._send_and_check(wire)
            if violated is None:
                continue
            self._violated, self._smallest, self._fails_as_well = violated, wire, {wire: True}
            if not self._opener.responded:
                self._wait_until_responding()
            self._settle()

    def _settle(self) -> None:
        """Repeat the smallest failing request, and note its kind."""
        wire, violated = self._smallest, self._violated
        assert wire is not None, "one has failed"
        assert violated is not None, "one has failed"
        again = self._send_and_check(wire) == violated
        self._smallest = self._violated = None
        self._add_failure(wire, violated, reproduced=again)
        if again:
            self._classes.append(request_class(wire, self._fails_as_well, self._passed))
        if not self._opener.responded:
            self._wait_until_responding()

    def _add_failure(self, wire: WireRequest, violated: str, *, reproduced: bool) -> None:
        self._failures.append(FuzzFailure(smallest=self._build_request(wire), violated=violated, reproduced=reproduced))
        self._smallest = self._violated = None

    def _search(self, count: int, seed: int) -> None:
        import hypothesis

        self._fails_as_well = {}
        self._shrunk_before = self._shrinking

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=count,
            phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
            suppress_health_check=[hypothesis.HealthCheck.too_slow],  # a slow machine must not end the search
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
        """Whether a request fails; after a failure, whether this one fails in the same way."""
        features = request_features(wire)
        if any(each <= features for each in self._classes):
            self._passed_over += self._violated is None
            return False
        if self._violated is None:
            self._sent += 1
            self._violated = self._send_and_check(wire)
            self._watch(self._sent)
            self._until_s = time.monotonic() + MAX_SHRINK_S
            fails = self._violated is not None
        elif wire in self._fails_as_well:
            fails = self._fails_as_well[wire]
        elif self._shrinking - self._shrunk_before < MAX_SHRINK_REQUESTS and time.monotonic() < self._until_s:
            self._shrinking += 1
            fails = self._send_and_check(wire) == self._violated
        else:
            fails = False
        if self._violated is not None:
            self._fails_as_well[wire] = fails
        if fails:
            self._smallest = wire  # at the end Hypothesis repeats the smallest one
        else:
            self._passed.add(features)
        if not self._opener.responded:
            self._wait_until_responding()
        return fails

    def _wait_until_responding(self) -> None:
        """Check that the server responds at all, with a request without a target."""
        from ..simulator.strategies import WireRequest

        for _ in range(MAX_FAILURES_BEFORE_GIVING_UP):
            self._send_and_check(WireRequest(headers=(), body=None))
            if self._opener.responded:
                return
            self._runner.pause(FAILURE_PAUSE_S)
        raise _SearchEnded(f"{self._plan.server} gives no complete response")

    def _send_and_check(self, wire: WireRequest) -> str | None:
        """Send a request; returns what its response violates."""
        self._runner.exchange(self._opener, self._build_request(wire), self._plan)
        return self._opener.violated

    def _build_request(self, wire: WireRequest) -> Request:
        """
        Convert a generated request into one for the judge.

        A valid listing is judged like any other. A request with ids that no connection has is only judged by the rules
        for every request: no 5xx, and a body that is JSON or empty.
        """
        values = header_values(wire.headers, TARGET_HEADER)
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
    Opens exchanges at the judge, but defers failed ones until the smallest of them is known.

    An entry of the verdict shows the first finding of its kind, so the smallest request must be judged first.
    Completing an exchange late only widens its interval.
    """

    def __init__(self, judge: ExchangeOpener) -> None:
        self._judge = judge
        self.deferred: list[tuple[OpenExchange, Exchange]] = []
        self.violated: str | None = None
        """What the last response violated; None if nothing."""
        self.responded = False
        """Whether the last request had a complete response."""

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> _DeferrableExchange:
        """Take the time of sending."""
        return _DeferrableExchange(self, request, self._judge.begin_exchange(request, intended_ns))

    def judge_deferred(self, smallest: Sequence[Request]) -> None:
        """Judge the deferred exchanges, those of the smallest requests first."""
        places = {id(pair): len(smallest) for pair in self.deferred}
        for pair in self.deferred:
            if pair[1].request in smallest:
                places[id(pair)] = smallest.index(pair[1].request)
        for opened, shown in sorted(self.deferred, key=lambda pair: places[id(pair)]):
            opened.complete(shown.response, shown.error, shown.arrived_ns, shown.faults)
        self.deferred.clear()


@dataclass(frozen=True, slots=True)
class _DeferrableExchange:
    opener: _DeferringExchangeOpener
    request: Request
    inner: OpenExchange

    def complete(
        self,
        response: Response | None = None,
        error: TransportError | None = None,
        arrived_ns: int | None = None,
        faults: tuple[FramingFault, ...] = (),
    ) -> Exchange:
        """Judge the exchange, or defer it if it failed."""
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
        self.opener.responded = response is not None and response.complete and error is None
        self.opener.violated = _violated_requirement(shown)
        if self.opener.violated is None:
            return self.inner.complete(response, error, arrived_ns, faults)
        self.opener.deferred.append((self.inner, shown))
        return shown


def _violated_requirement(exchange: Exchange) -> str | None:
    """The violated rule among those for every request, as a requirement's id; or why there is no complete response."""
    request, response, error = exchange.request, exchange.response, exchange.error
    if error is not None:
        return None if error.code in _ERRORS_UNRELATED_TO_REQUEST else error.code.value
    if response is None or (request.target is not None and response.status == 200):
        return None  # the other findings of such a response are judged as well
    probe = msgspec.structs.replace(request, probe=refusals.NO_5XX.id)
    _, violations = refusals.check_probe_response(msgspec.structs.replace(exchange, request=probe))
    return violations[0].requirement.id if violations else None
