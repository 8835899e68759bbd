"""
The harness's own errors, in one tree, and the exit codes.

A server that misbehaves causes a finding, never an exception. An exception means that the harness could not do its
work; its message is one line that says what was found, where, and what to do.

    HarnessError
    ├── UsageError              the caller asked for something that cannot be done            exit code 2
    │   ├── ConfigError         a configuration that cannot be read, or has an invalid key or value
    │   ├── EditionError        an edition file that cannot be read
    │   ├── RecordingError      a recording or body file that cannot be read
    │   └── OutputError         a report that cannot be written: a full disk, a folder without permission
    ├── RequestRefusedError           a request that must not be sent was about to be sent          exit code 4
    └── SimulatorError          the embedded simulator did not start, or died                 exit code 4
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

DEBUG_VARIABLE: Final = "SORA_HARNESS_DEBUG"
"""Of the environment: lets exceptions that nobody expected show where they came from."""


class ExitCode(IntEnum):
    """Exit statuses of every command that judges; `worst_exit_code` ranks them."""

    PASS = 0
    FAIL = 1
    """A requirement was violated, or an SLO."""
    USAGE = 2
    """The command line, the configuration or a file named there is wrong, or nothing can be written there."""
    INCONCLUSIVE = 3
    """Too little was seen to decide: no server, an aborted or an interrupted run."""
    BROKEN = 4
    """The harness itself failed: a check crashed, an exception escaped."""


def worst_exit_code(*codes: int) -> ExitCode:
    """
    The exit code of a run to which several parts contribute one each.

    From strongest to weakest: fail, broken harness, wrong usage, inconclusive, pass.

    >>> worst_exit_code(ExitCode.PASS, ExitCode.INCONCLUSIVE, ExitCode.FAIL).name
    'FAIL'
    """
    ranks = (ExitCode.FAIL, ExitCode.BROKEN, ExitCode.USAGE, ExitCode.INCONCLUSIVE)
    return next((code for code in ranks if code in codes), ExitCode.PASS)


def describe_break(error: Exception) -> str:
    """
    Say in one line that an exception broke a run: what was seen by then is judged and reported all the same.

    Where `DEBUG_VARIABLE` is set the traceback is printed as well.
    """
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    text = " ".join(str(error).split())
    return f"the run broke off: {type(error).__name__}: {text} ({DEBUG_VARIABLE}=1 shows where)"


class HarnessError(Exception):
    """Root of the tree; its text is one line for a person."""

    exit_code: ExitCode = ExitCode.BROKEN


class UsageError(HarnessError):
    """The caller asked for something that cannot be done."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """A configuration file cannot be read, or has an invalid key or value."""


class EditionError(UsageError):
    """An edition is unknown, or its file cannot be read as one."""


class RecordingError(UsageError):
    """A recording or a body file is missing, unreadable or of an unknown format."""


class OutputError(UsageError):
    """Output cannot be written; the disk, the stream or the folder is at fault, not the harness."""


class RequestRefusedError(HarnessError):
    """A request was about to be sent whose target is neither one of the three nor one of the invented names."""


class SimulatorError(HarnessError):
    """The embedded simulator did not start, or ended before it was asked to."""


def suggest_nearest(name: str, known: Iterable[str]) -> str:
    """
    Suggest the known name that was probably meant; an empty text if none is similar.

    >>> suggest_nearest("conferm", ["check", "conform"])
    " (did you mean 'conform'?)"
    """
    import difflib  # needed only after a mistake

    found = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""
