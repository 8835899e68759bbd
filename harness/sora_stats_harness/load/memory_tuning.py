"""
Keeps the memory of a long run flat, and garbage collection out of its way.

The C library learns from the first large response that is freed to take further ones from its heap, between small ones that
live longer; so over minutes the heap fills with holes: measured, 195 MiB after a minute became 235 after three, all of
the growth free. With a fixed threshold large responses have pages of their own, and give them back.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

MMAP_THRESHOLD_BYTES: Final = 128 * 1024

GC_YOUNG_THRESHOLD: Final = 20_000
"""Objects made and not freed between two looks for cycles: what is made for a response holds none."""

_M_MMAP_THRESHOLD: Final = -3
_M_TRIM_THRESHOLD: Final = -1


def fix_mmap_threshold() -> bool:
    """Have large blocks given back as soon as they are freed; whether the platform's C library can."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # a C library without it
        return False
    return all(mallopt(option, MMAP_THRESHOLD_BYTES) == 1 for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))


def freeze_startup_objects() -> None:
    """
    Spare the collector what is there before a run: some 300,000 objects, most of them modules.

    Looking through all of them takes 40 ms and more, during which nobody reads a response.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG_THRESHOLD, *gc.get_threshold()[1:])
