"""
The readings of an answer; which fields they have stands beside, in stats.pyi, written from the edition.
"""

from __future__ import annotations

from .view import Group


class Reading(Group):
    """The statistics of one connection in one answer: `reading.rtp.total_received_rtp`."""

    __slots__ = ()
