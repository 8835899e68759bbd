"""The rule that a connection's current network level was counted: the only relation between a gauge and counters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...api.edition import FieldPath
from ..edition_decoder import CounterBlock
from ..requirement import DOCUMENTATION_SOURCE
from .relation_table import relation_row

UNSTABLE_LEVEL: Final = relation_row(
    "unstable_level",
    "The current network level has been counted",
    f"{DOCUMENTATION_SOURCE}: network_status",
    "network levels",
)

GROUP_PATH: Final = ("network_status",)
COUNTER_PREFIX: Final = "total_unstable_level"


def level_counter_path(level: int) -> FieldPath:
    """The counter of a level."""
    return (*GROUP_PATH, f"{COUNTER_PREFIX}{level}")


def find_level_block(blocks: Sequence[CounterBlock]) -> int | None:
    """The block that consists of total_unstable_level0, 1, …; None if there is no such block."""
    for block in blocks:
        paths = [level_counter_path(level) for level in range(len(block.counters))]
        if [field.path for field in block.counters] == paths:
            return block.index
    return None
