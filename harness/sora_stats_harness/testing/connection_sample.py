"""The samples of a response; which fields they have stands beside, in stats.pyi, written from the edition."""

from __future__ import annotations

from .sample_group import SampleGroup


class ConnectionSample(SampleGroup):
    """The statistics of one connection in one response: `sample.rtp.total_received_rtp`."""

    __slots__ = ()
