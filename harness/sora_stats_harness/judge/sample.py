"""The types of a parsed body and its samples, with their deviations from the documented shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..api.edition import FieldPath
from ..api.exchange import Excerpt
from .edition_decoder import Counters
from .shape_deviations import ShapeDeviation


class Sample(msgspec.Struct, gc=False):
    """
    One connection's statistics inside one response, as far as they are valid. The accelerator gives the first fields,
    in this order.

    `index` is its place in an array, None if the body is the connection. An id or stamp is None if it is masked or
    absent, a block if its group is. `labels` has the counters of each documented label, `configuration` its other
    leaves (None for a masked one, UNSET for an absent one).
    """

    timestamp: str | None = None
    channel_id: str | None = None
    client_id: str | None = None
    bundle_id: str | None = None
    connection_id: str | None = None
    level: int | None = None
    blocks: list[Counters | None] = []
    labels: dict[str, Counters] = {}
    configuration: Mapping[str, tuple[Any, ...]] = {}  # Any: leaves of their own types
    related: bool | None = None
    """Whether all relations between its counters and its level hold; None if that was not checked."""
    stamp_ns: int | None = None
    index: int | None = None
    deviations: list[ShapeDeviation] = []
    absent: frozenset[FieldPath] = frozenset()
    """Paths of absent documented groups and leaves, except labels."""


class ParsedBody(msgspec.Struct, gc=False):
    """The result of reading a body; if `fault` says why it was not read, nothing else is known."""

    samples: list[Sample] = []
    scanned: bool = False
    """Whether the body was searched for repeated keys."""
    strict: bool = False
    """Whether it is known to be strict JSON of the documented depth, as is everything that the accelerator accepts."""
    fault: str | None = None
    fault_offset: int | None = None
    """The approximate byte of the fault, if known."""
    exceeded: bool = False
    """Whether `fault` is only a limit of the reader, not a fault of the body."""
    deviations: list[ShapeDeviation] = []
    """Deviations of the body itself: not an array, or not an object."""
    duplicates: list[tuple[str | int, ...]] = []
    """The paths of repeated keys, within the body."""
    slow: int = 0
    """How many connections the decoder did not accept."""
    partial: bool = False
    """Whether only some elements of an array were available."""

    def restore_places(self, excerpt: Excerpt) -> None:
        """Change indexes in an excerpt of an array to those in the whole array."""
        self.partial = True
        places = [part.element for part in excerpt.parts]

        def restored(index: int) -> int:
            place = places[index] if index < len(places) else None
            return index if place is None else place

        for sample in self.samples:
            if sample.index is not None:
                sample.index = restored(sample.index)
        self.duplicates = [
            (restored(path[0]), *path[1:]) if path and isinstance(path[0], int) else path for path in self.duplicates
        ]
