"""
The registry of requirements: every rule that a server can be held against, collected from the modules of the checks.

Checks report violations of these and nothing else, reporters print them, and the reference page is generated from them.
"""

from __future__ import annotations

from typing import Final

from .checks import (
    body,
    channels,
    clock,
    cluster,
    framing,
    http,
    identity,
    monotonic,
    presence,
    shape,
    timestamp_order,
    wrong_requests,
)
from .checks.relation_table import RELATION_REQUIREMENTS
from .checks.unstable_level import UNSTABLE_LEVEL
from .requirement import Finding, Level, RequiredCapability, Requirement

__all__ = ["REQUIREMENTS", "Finding", "Level", "RequiredCapability", "Requirement"]

_BY_FAMILY = (
    *(http.COMPLETE, http.STATUS, http.CONTENT_TYPE, body.JSON, body.JSON_LIMITS, body.DUPLICATE_KEY),
    *(framing.LENGTH, framing.HEADER, framing.FRAMING, framing.KEEP_ALIVE, framing.UNUSUAL),
    *(*shape.SHAPE_REQUIREMENTS.values(), channels.EXCLUSIVE),
    *(identity.ASKED, identity.CLIENT, identity.UNIQUE, identity.CONSTANT, identity.FORM),
    *(presence.PRESENT, presence.LISTED),
    *(*RELATION_REQUIREMENTS, UNSTABLE_LEVEL),
    *(monotonic.MONOTONIC, timestamp_order.TIMESTAMP_ORDER),
    *(clock.ORDER, clock.OFFSET, clock.FROZEN),
    *(wrong_requests.NO_5XX, wrong_requests.JSON_OR_EMPTY, *wrong_requests.ERROR_SHAPES.values()),
    *(cluster.UNION, cluster.ONCE, clock.SKEW),
)

REQUIREMENTS: Final[dict[str, Requirement]] = {
    row.id: row for row in sorted(_BY_FAMILY, key=lambda row: row.level, reverse=True)
}
"""Every requirement by id, the weightiest first and families together: the order in which reports show them."""
