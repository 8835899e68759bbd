"""
Tunes malloc and garbage collection, so that the memory of a long run stays flat and its loop isn't blocked.

After the first large response is freed, the C library allocates further ones from its heap, between small blocks that
live longer. So over minutes the heap fills with holes: 195 MiB after a minute became 235 MiB after three, all of the
growth being free memory. With a fixed threshold large responses get their own pages, which are returned to the system.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

MMAP_THRESHOLD_BYTES: Final = 128 * 1024

GC_YOUNG_THRESHOLD: Final = 20_000
"""How many new objects trigger a collection; the objects of a response contain no cycles."""

_M_MMAP_THRESHOLD: Final = -3
_M_TRIM_THRESHOLD: Final = -1


def fix_mmap_threshold() -> bool:
    """Return large blocks to the system as soon as they are freed; returns whether the C library supports that."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # a C library without mallopt
        return False
    return all(mallopt(option, MMAP_THRESHOLD_BYTES) == 1 for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))


def freeze_existing_objects() -> None:
    """
    Exclude the objects that exist from collections: some 300,000 before a run, mostly of modules.

    Examining all of them takes 40 ms and more, during which no response is read.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG_THRESHOLD, *gc.get_threshold()[1:])
