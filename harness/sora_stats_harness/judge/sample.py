"""A sample, and the body that it came in: what was read, and in what it deviates from the documented shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..api.exchange import Excerpt
from .edition_decoder import Counters
from .shape_deviations import ShapeDeviation

Path = tuple[str, ...]


class Sample(msgspec.Struct, gc=False):
    """
    One connection's statistics inside one response, as far as they are sound.

    `index` is its place in an array, None where the body is the connection. An id or stamp is None where it is masked or
    absent, a block where its group is. `labels` holds the counters of each documented label, `configuration` its other
    leaves (None where masked, UNSET where absent).
    """

    index: int | None
    timestamp: str | None
    channel_id: str | None
    client_id: str | None
    bundle_id: str | None
    connection_id: str | None
    blocks: list[Counters | None]
    labels: dict[str, Counters]
    configuration: Mapping[str, tuple[Any, ...]]  # Any: leaves of their own types
    level: int | None
    deviations: list[ShapeDeviation]
    stamp_ns: int | None = None
    related: bool | None = None
    """Whether all relations hold between its counters and its level; None where nobody has looked."""
    absent: frozenset[Path] = frozenset()
    """Paths of documented groups and leaves that are not there, labels aside."""


class ParsedBody(msgspec.Struct, gc=False):
    """What a body came to; `fault` says why it was not read, and then nothing else is known."""

    samples: list[Sample] = []
    scanned: bool = False
    """Whether repeated keys were looked for."""
    strict: bool = False
    """Whether it is known to be strict JSON of the documented depth, as all is that the accelerator accepts."""
    fault: str | None = None
    fault_offset: int | None = None
    """About at which byte that is, where it is known."""
    exceeded: bool = False
    """Whether it is a limit of the reader that `fault` names, and no fault was found."""
    deviations: list[ShapeDeviation] = []
    """Of the body itself: not an array, or not an object."""
    duplicates: list[tuple[str | int, ...]] = []
    """Where a key stands again, from the body on."""
    slow: int = 0
    """Connections that the decoder did not accept."""
    partial: bool = False
    """Whether only some elements of an array were there to be read."""

    def restore_places(self, excerpt: Excerpt) -> None:
        """Give what was found in some elements of an array the places that they had in the whole."""
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


def make_listed_sample(connection_id: str) -> Sample:
    """A connection of which nothing but its id is known."""
    return Sample(
        index=None,
        timestamp=None,
        channel_id=None,
        client_id=None,
        bundle_id=None,
        connection_id=connection_id,
        blocks=[],
        labels={},
        configuration={},
        level=None,
        deviations=[],
    )
