"""
What a check is: the one interface between the pipeline and every rule, the user's own included.

The pipeline asks each check at its stage, in the order of `Stage`. A check gives violations and remembers what it needs
in `State`; docs/CHECKS.md shows one of twenty lines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from ..api.edition import make_json_pointer
from ..api.exchange import Exchange, Response
from .requirement import Finding, Level, Requirement

if TYPE_CHECKING:
    from .connection_state import ConnectionState
    from .counter_history import CounterMaxima
    from .evidence import EvidenceExchange, EvidenceStore
    from .response_head import RelevantHeaders
    from .sample import ParsedBody, Sample
    from .stamp_order import StampedSample
    from .state import State
    from .verdict import JudgeResult

MemoryT = TypeVar("MemoryT")

Place = tuple[str | int, ...]
"""A path into a body: keys, and the places in arrays."""


class Stage(IntEnum):
    """When a check is asked: stages follow each other in this order."""

    FRAMING = 0
    """For every exchange whose bytes deviate from HTTP/1.1, whatever became of it."""
    TRANSPORT = 1
    """For every exchange without a complete response."""
    WRONG_REQUESTS = 2
    """For every response to a request that is wrong on purpose; no later stage sees those."""
    HTTP = 3
    """For every complete response to a valid request."""
    HEAD = 4
    """The same, where the status is not 200, the body is not labelled as JSON, or its length is not the one announced."""
    JSON = 5
    """For every body of a response with status 200 that is no JSON, or repeats a key."""
    SHAPE = 6
    """For every body that is JSON, in which the reader found a deviation."""
    IDENTITY = 7
    """
    For every sample that has a connection_id, but for the one connection that the request has named and got; a sample with
    a violation here is shown to no later stage.
    """
    NEW_CONNECTION = 8
    """For the first sample of every connection."""
    CONFIGURATION = 9
    """For every sample with other ids or data channels than the connection's last sample had."""
    COUNTERS = 10
    """For every sample."""
    RELATIONS = 11
    """For every sample but those in which the reader found that all relations hold, with none pending."""
    OVERLAPS = 12
    """For every sample while other requests are under way, or that an earlier one kept for it may overlap."""
    CLOCK = 13
    """For every sample."""
    USER = 14
    """A user's own checks, unless they say otherwise."""
    PRESENCE = 15
    """For every complete response to a valid request, after its samples."""
    CLUSTER = 16
    """The same, where several nodes are known to be one cluster."""


class Observed(msgspec.Struct, gc=False):
    """One exchange on its way through the stages, and in the stages of samples the sample that is looked at."""

    exchange: Exchange
    open_sent_ns: Collection[int]
    """When the requests were sent that were under way at its receipt, ascending."""
    horizon_ns: int | None
    """Where those are not known one by one: no exchange still to come was sent before this."""
    bare: bool
    """Whether there was no HTTP: a recording of samples alone."""
    counter_places: Mapping[tuple[str, ...], tuple[int, int]]
    """By path, the block of each counter and its place there."""
    open_from_ns: int | None = None
    """When the oldest request was sent that may still be under way; None where there is none."""
    response: Response | None = None
    """The complete response; None before `Stage.HTTP`, and where there is none."""
    headers: RelevantHeaders = None  # type: ignore[assignment]  # a response has some
    body: ParsedBody | None = None
    """None where the body was not read."""
    evidence: EvidenceExchange = None  # type: ignore[assignment]  # set before any check is asked
    """The same exchange for whoever remembers it: its body is packed, and at last let go, when memory runs short."""
    sample: Sample = None  # type: ignore[assignment]  # every stage of samples has one
    """From `Stage.IDENTITY` to `Stage.USER`; else None."""
    connection_id: str = ""
    connection: ConnectionState = None  # type: ignore[assignment]  # every stage of connections has one
    """What is remembered of the sample's connection, before this sample; from `Stage.NEW_CONNECTION` to `Stage.USER`."""
    stamped: StampedSample | None = None
    """The sample with its stamp; None where that is not sound."""
    known: CounterMaxima[EvidenceExchange] | None = None
    """The largest counters of the connection that were known before the request was sent."""
    admitted: dict[str, Sample] = {}
    """By connection_id, the samples of this response without a violation at `Stage.IDENTITY`."""
    all_admitted: bool = False
    """Whether these are all, and nothing else stood in the body."""
    alone: bool = False
    """Whether there is nothing to compare with: a body from a file."""

    @property
    def rewritten(self) -> bool:
        """Whether a recorder wrote the body, from what it had read."""
        return self.bare and not self.alone

    def place(self, *keys: str) -> Place:
        """A place within the sample, from the body on."""
        sample = self.sample
        return keys if not sample or sample.index is None else (sample.index, *keys)

    def counter(self, *path: str) -> int | None:
        """A counter of the sample by its path in the edition; None where it is absent or its value can't be used."""
        sample, place = self.sample, self.counter_places.get(path)
        if not sample or place is None:
            return None
        counters = sample.blocks[place[0]]
        return None if counters is None or counters[place[1]] < 0 else counters[place[1]]


class Violation(msgspec.Struct, frozen=True, gc=False):
    """One violation as a check gives it; the requirement's row words it."""

    requirement: Requirement
    exchange: Exchange | EvidenceExchange
    """The one that is wrong."""
    expected: str
    actual: str
    fault: str
    """The class of fault, in a word or two: findings of one class at one field are one entry."""
    field: tuple[str, ...] = ()
    """The edition's path; empty where it is about the response."""
    place: Place = ()
    """Where in the body."""
    connection_id: str | None = None
    facts: Mapping[str, str] = {}
    """What the requirement's `message` names, `field` aside."""
    level: Level | None = None
    """Where it weighs less than the requirement."""
    proof: tuple[Exchange | EvidenceExchange, ...] = ()
    """All exchanges that prove it, the earlier first; `exchange` alone if empty."""
    offset: int | None = None
    """At which byte of the body, where no place tells it."""

    @property
    def weight(self) -> Level:
        """The level that counts."""
        return self.requirement.level if self.level is None else self.level

    @property
    def target(self) -> str | None:
        """The operation of the request; None of a wrong one."""
        target = self.exchange.request.target
        return target.operation if target is not None else None

    def to_finding(self, evidence: EvidenceStore) -> Finding:
        """The finding, in words, with what proves it cut out of the exchanges."""
        wrong = self.exchange
        exchanges = evidence.prove(
            self.proof or (wrong,),
            wrong,
            connection_id=self.connection_id,
            place=self.place,
            offset=self.offset,
        )
        return Finding(
            requirement=self.requirement.id,
            level=self.weight,
            target=self.target,
            field=make_json_pointer(self.field),
            pointer=make_json_pointer(self.place),
            connection_id=self.connection_id,
            message=self.requirement.message.format_map(
                {"field": ".".join(self.field) or "the connection", **self.facts}
            ),
            expected=self.expected,
            actual=self.actual,
            fault=self.fault,
            exchanges=exchanges,
            wrong=next((each for each in exchanges if each.key == wrong.key), None),
        )


class Check(Protocol):
    """
    One rule, or a few that share what they look at. A judge has its own instance of each.

    A check that raises is marked `check_crashed` and goes on being asked; the others don't notice.
    """

    requirements: tuple[Requirement, ...]
    stage: Stage = Stage.USER

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """Look at what came; `state.count(requirement)` says that a requirement was checked."""
        ...

    def finish(self, state: State) -> Iterable[Violation]:
        """Settle what waits for connections in `state.leaving`: no more is heard of them. May be called again."""
        return ()

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add counts and notes that are worked out only when a result is asked for."""
        return
