"""
The interface of a check: how the pipeline calls every rule, the user's own included.

The pipeline calls each check at its stage, in the order of `Stage`. A check yields violations and keeps what it needs
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
"""A path into a body: keys, and indexes of arrays."""


class Stage(IntEnum):
    """When a check is called: the stages in their order."""

    FRAMING = 0
    """For every exchange whose bytes deviate from HTTP/1.1, complete or not."""
    TRANSPORT = 1
    """For every exchange without a complete response."""
    WRONG_REQUESTS = 2
    """For every response to a request that is wrong on purpose; no later stage sees those."""
    HTTP = 3
    """For every complete response to a valid request."""
    HEAD = 4
    """The same, if the status is not 200, the body is not labelled as JSON, or its length is not the announced one."""
    JSON = 5
    """For every body of a response with status 200 that is not JSON, or repeats a key."""
    SHAPE = 6
    """For every JSON body in which the reader found a deviation."""
    IDENTITY = 7
    """
    For every sample with a connection_id, except one of the very connection that the request named. A sample with a
    violation here skips all later stages.
    """
    NEW_CONNECTION = 8
    """For the first sample of every connection."""
    CONFIGURATION = 9
    """For every sample whose ids or data channels differ from those of the connection's last sample."""
    COUNTERS = 10
    """For every sample."""
    RELATIONS = 11
    """For every sample, unless the reader found that all relations hold and none is pending."""
    OVERLAPS = 12
    """For every sample that may overlap another one of its connection."""
    CLOCK = 13
    """For every sample."""
    USER = 14
    """For every sample; the default of a user's own checks."""
    PRESENCE = 15
    """For every complete response to a valid request, after its samples."""
    CLUSTER = 16
    """The same, if several nodes are known to be one cluster."""


class Observed(msgspec.Struct, gc=False):
    """One exchange on its way through the stages; in the stages of samples, also the current sample."""

    exchange: Exchange
    open_sent_ns: Collection[int]
    """When the requests that were open at its receipt were sent, ascending."""
    horizon_ns: int | None
    """If those are not known one by one: no exchange still to come was sent before this time."""
    bare: bool
    """Whether there was no HTTP: a recording of samples only."""
    counter_places: Mapping[tuple[str, ...], tuple[int, int]]
    """By path, the block of each counter and its place there."""
    open_from_ns: int | None = None
    """When the oldest request was sent that may still be under way; None where there is none."""
    response: Response | None = None
    """The complete response; None before `Stage.HTTP`, or if there is none."""
    headers: RelevantHeaders = None  # type: ignore[assignment]  # a response has some
    body: ParsedBody | None = None
    """None if the body was not read."""
    evidence: EvidenceExchange = None  # type: ignore[assignment]  # set before any check is asked
    """The exchange in the form to keep: its body is compressed, and finally dropped, when memory runs short."""
    sample: Sample = None  # type: ignore[assignment]  # every stage of samples has one
    """From `Stage.IDENTITY` to `Stage.USER`; else None."""
    connection_id: str = ""
    connection: ConnectionState = None  # type: ignore[assignment]  # every stage of connections has one
    """What is known of the sample's connection from earlier samples; from `Stage.NEW_CONNECTION` to `Stage.USER`."""
    stamped: StampedSample | None = None
    """The sample with its stamp; None if that is invalid."""
    known: CounterMaxima[EvidenceExchange] | None = None
    """The connection's largest counters known before the request was sent."""
    admitted: dict[str, Sample] = {}
    """The samples of this response without a violation at `Stage.IDENTITY`, by connection_id."""
    all_admitted: bool = False
    """Whether `admitted` is everything that the body contains."""
    alone: bool = False
    """Whether there is nothing to compare with, as for a body from a file."""

    @property
    def rewritten(self) -> bool:
        """Whether a recorder wrote the body anew instead of keeping its bytes."""
        return self.bare and not self.alone

    def place(self, *keys: str) -> Place:
        """The place of something in the sample, within the body."""
        sample = self.sample
        return keys if not sample or sample.index is None else (sample.index, *keys)

    def counter(self, *path: str) -> int | None:
        """A counter of the sample by its path in the edition; None if it is absent or its value can't be used."""
        sample, place = self.sample, self.counter_places.get(path)
        if not sample or place is None:
            return None
        counters = sample.blocks[place[0]]
        return None if counters is None or counters[place[1]] < 0 else counters[place[1]]


class Violation(msgspec.Struct, frozen=True, gc=False):
    """One violation as a check yields it; the requirement's `message` words it."""

    requirement: Requirement
    exchange: Exchange | EvidenceExchange
    """The one that is wrong."""
    expected: str
    actual: str
    fault: str
    """The class of fault, in a word or two: findings of one class at one field share an entry."""
    field: tuple[str, ...] = ()
    """The edition's path; empty for a violation of the response as a whole."""
    place: Place = ()
    """Where it is in the body."""
    connection_id: str | None = None
    facts: Mapping[str, str] = {}
    """The values for the placeholders of the requirement's `message`, except `field`."""
    level: Level | None = None
    """Its level, if it weighs less than the requirement."""
    proof: tuple[Exchange | EvidenceExchange, ...] = ()
    """All exchanges that prove it, the earlier first; `exchange` alone if empty."""
    offset: int | None = None
    """At which byte of the body it is, if `place` doesn't say."""

    @property
    def weight(self) -> Level:
        """Its own level, or else the requirement's."""
        return self.requirement.level if self.level is None else self.level

    @property
    def target(self) -> str | None:
        """The operation of the request; None for a request that is wrong on purpose."""
        target = self.exchange.request.target
        return target.operation if target is not None else None

    def to_finding(self, evidence: EvidenceStore) -> Finding:
        """Word it as a finding, with its proof cut out of the exchanges."""
        wrong = self.exchange
        exchanges = evidence.prove(
            self.proof or (wrong,), wrong, connection_id=self.connection_id, place=self.place, offset=self.offset
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
    One rule, or a few related ones. Each judge has its own instance.

    A check that raises is marked `check_crashed`, but is still called; other checks are not affected.
    """

    requirements: tuple[Requirement, ...]
    stage: Stage = Stage.USER

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """
        Judge an exchange or sample, and yield violations; `state.count(requirement)` notes that a requirement was
        checked.
        """
        ...

    def finish(self, state: State) -> Iterable[Violation]:
        """
        Decide what is pending for the connections in `state.leaving`, which have ended. May be called several times.
        """
        return ()

    def add_to_result(self, states: Collection[State], result: JudgeResult) -> None:
        """Add counts and notes that are computed only when a result is requested."""
        return
