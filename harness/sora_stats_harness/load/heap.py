"""
Keeps the memory of a long run flat, and the collector of garbage out of its way.

The C library learns from the first large answer that is freed to take further ones from its heap, between small ones that
live longer; so over minutes the heap fills with holes: measured, 195 MiB after a minute became 235 after three, all of
the growth free. With a fixed threshold large answers have pages of their own, and give them back.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

LARGE_BYTES: Final = 128 * 1024

YOUNG: Final = 20_000
"""Objects made and not freed between two looks for cycles: what is made for an answer holds none."""

_MMAP_THRESHOLD: Final = -3
_TRIM_THRESHOLD: Final = -1


def keep_flat() -> bool:
    """Have large blocks given back as soon as they are freed; whether the platform's C library can."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # a C library without it
        return False
    return all(mallopt(option, LARGE_BYTES) == 1 for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))


def settle() -> None:
    """
    Spare the collector what is there before a run: some 300,000 objects, most of them modules.

    Looking through all of them takes 40 ms and more, during which nobody reads an answer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
