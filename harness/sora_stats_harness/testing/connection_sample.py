"""The samples of a response; stats.pyi, generated from the edition, declares their fields."""

from __future__ import annotations

from .sample_group import SampleGroup


class ConnectionSample(SampleGroup):
    """The statistics of one connection in one response: `sample.rtp.total_received_rtp`."""

    __slots__ = ()
