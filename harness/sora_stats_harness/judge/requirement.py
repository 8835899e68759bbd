"""
The types of requirements and findings, which checks, verdict and reports share.

A check's module defines its own rows of `Requirement`; `requirements` collects them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:  # so that importing the registry stays cheap
    from ..api.exchange import Exchange


class Level(IntEnum):
    """What a requirement rests on, and so how much a violation weighs. A single finding may weigh less, never more."""

    INFO = 0
    """Worth knowing, and never a reason to fail."""
    HABIT = 1
    """Inferred: a correct server may have a reason to differ."""
    PROVEN = 2
    """No correct server does otherwise, though no page says so."""
    MUST = 3
    """Documented, or a protocol's."""


class Severity(msgspec.Struct, frozen=True, kw_only=True):
    """How much findings weigh in a run, and from which level on they make it fail."""

    fail_on: Level = Level.PROVEN
    by_requirement: dict[str, Level] = {}
    """The levels that the user sets for some requirements, by id."""

    def weigh(self, requirement: Requirement, level: Level) -> Level:
        """
        The level of a finding in this run.

        The user can't raise a finding that weighs less than its requirement, such as an unconfirmed relation.
        """
        chosen = self.by_requirement.get(requirement.id)
        if chosen is None:
            return level
        return chosen if level is requirement.level else min(level, chosen)

    def fails(self, level: Level) -> bool:
        """Whether a finding of this level, neither waived nor known, makes the verdict `fail`."""
        return level >= self.fail_on


DEFAULT_SEVERITY: Final = Severity()


class RequiredCapability(Enum):
    """What a run must be able to see before a requirement is in its scope."""

    EXCHANGES = "exchanges"
    """HTTP: status, headers, errors. A bare body has none."""
    BODIES = "bodies"
    """The bodies of responses to valid requests."""
    BYTES = "bytes"
    """These bodies as the server wrote them, not rewritten by a recorder."""
    ARGUMENTS = "arguments"
    """The requests, besides the responses."""
    TIMES = "times"
    """When requests were sent and responses received."""
    PROBES = "probes"
    """Requests that are wrong on purpose."""
    LARGE_PROBE = "large-probe"
    """A request of more than 8 MB, sent only on demand."""
    NODES = "nodes"
    """Several nodes of one cluster."""
    KEPT_ALIVE = "kept-alive"
    """Connections that take one request after the other."""


OBSERVED_BY_CLIENTS: Final = frozenset(
    {
        RequiredCapability.EXCHANGES,
        RequiredCapability.BODIES,
        RequiredCapability.BYTES,
        RequiredCapability.ARGUMENTS,
        RequiredCapability.TIMES,
    }
)
"""What every client observes that sends valid requests and records the times."""

NEEDS_HTTP: Final = frozenset({RequiredCapability.EXCHANGES})
NEEDS_BODIES: Final = frozenset({RequiredCapability.BODIES})
NEEDS_BYTES: Final = frozenset({RequiredCapability.BODIES, RequiredCapability.BYTES})
NEEDS_ARGUMENTS: Final = frozenset({RequiredCapability.BODIES, RequiredCapability.ARGUMENTS})
NEEDS_TIMES: Final = frozenset({RequiredCapability.BODIES, RequiredCapability.TIMES})
NEEDS_PROBES: Final = frozenset({RequiredCapability.EXCHANGES, RequiredCapability.PROBES})
NEEDS_KEPT_ALIVE: Final = frozenset({RequiredCapability.EXCHANGES, RequiredCapability.KEPT_ALIVE})
NEEDS_NODES: Final = frozenset({RequiredCapability.BODIES, RequiredCapability.TIMES, RequiredCapability.NODES})

DOCUMENTATION_SOURCE: Final = "documentation page, statistics API"
DISPATCHER_SOURCE: Final = "measured on the open-source dispatcher whose headers and error shape the API shares"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """
    One rule, and everything that is said about it anywhere.

    `needs` decides whether it is in a run's scope. `needs_traffic`, if set, says what traffic the server must have for
    the rule to be observed; without such traffic it is not checked, with the reason `no_traffic`, which does not block
    a verdict. `message` words a finding: `{field}` stands for the field's dotted name, any other `{name}` for the fact
    of that name in `Violation.facts`. `masked_by` says what prevents the rule from being checked, if anything does.
    """

    id: str
    level: Level
    title: str
    reason: str
    grounds: str = ""
    """Why it has its level, in a sentence; every requirement of this package says so."""
    source: str
    needs: frozenset[RequiredCapability] = NEEDS_BODIES
    message: str = ""
    needs_traffic: str | None = None
    masked_by: str = ""
    counted: str = ""
    """What `checked` counts, in the plural, if `unit` can't derive it."""
    checked_in: str = ""
    """
    Which of the judge's own counts (`TargetCounts`) says how often it was checked, besides what the check counts itself.
    """

    @property
    def unit(self) -> str:
        """What the number of checks counts, in the plural."""
        if self.counted:
            return self.counted
        if RequiredCapability.PROBES in self.needs:
            return "wrong requests"
        if RequiredCapability.TIMES in self.needs:
            return "comparable pairs"
        return "responses" if self.family == "http" else "samples"

    @property
    def family(self) -> str:
        """The part before the first dot."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    One way in which an exchange, or a set of them, violates a requirement.

    `pointer` leads into the response's body (the later one, if two exchanges prove it). `field` is the same within the
    connection, with `#*` for any messaging label. Both are empty if the finding is about the whole response. `fault` is
    the class of fault, in a word or two; with requirement, target and field it makes the fingerprint. `exchanges` are
    the proof, the earlier first; `wrong` is the one of them that is wrong, the last if None.
    """

    requirement: str
    level: Level
    target: str | None
    field: str
    pointer: str
    connection_id: str | None
    message: str
    expected: str
    actual: str
    fault: str
    exchanges: tuple[Exchange, ...]
    wrong: Exchange | None = None

    @property
    def fingerprint(self) -> str:
        """Identifies the same fault at the same place across runs, connections and positions: 16 hexadecimal digits."""
        parts = (self.requirement, self.target or "", self.field, self.fault)
        return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
