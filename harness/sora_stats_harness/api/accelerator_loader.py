"""
The module in C, `_accelerator`, where it could be built, and what of it is for recordings.

Whoever has no compiler, or sets `SORA_HARNESS_PURE=1`, does without: everything it does is done in Python as well, with
the same outcome.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Final

ACCELERATOR_INTERFACE_VERSION: Final = 6
"""What the two sides expect of each other; a module built for another one is left alone."""


def _load_accelerator() -> ModuleType | None:
    if os.environ.get("SORA_HARNESS_PURE", "") not in ("", "0"):
        return None
    try:
        from . import _accelerator  # type: ignore[attr-defined]  # it is there only where it could be built
    except ImportError:
        return None
    module: ModuleType = _accelerator
    return module if getattr(module, "CONTRACT", None) == ACCELERATOR_INTERFACE_VERSION else None


ACCELERATOR_MODULE: Final = _load_accelerator()

encode_line_head: Final[Callable[..., bytes | None] | None] = getattr(ACCELERATOR_MODULE, "line_head", None)
"""
What stands before the body in an exchange's line of a recording, of the body, `seq`, what the request comes to, the clock's
name, the four times, `sent_at` and what comes before the body; None where anything is out of the ordinary: the body has
line breaks, or white space around it, or an integer has more than 64 bits.
"""
