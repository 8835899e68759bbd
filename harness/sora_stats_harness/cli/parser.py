"""
argparse, with complaints of one line that name what was probably meant.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import NoReturn

from ..errors import UsageError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are exceptions of ours, so that the frame tells them like any other."""

    def error(self, message: str) -> NoReturn:
        """
        Complain of the command line.

        Raises:
            UsageError: Always.
        """
        known = list(self._option_string_actions)
        unknown = [word for word in message.partition("unrecognized arguments: ")[2].split() if word.startswith("-")]
        hint = nearest(unknown[0].partition("=")[0], known) if unknown else ""
        raise UsageError(f"{message}{hint}; see {self.prog} --help")


def nearest(name: str, known: Iterable[str]) -> str:
    """
    Say which known name was probably meant; empty where none is near.

    >>> nearest("conferm", ["check", "conform"])
    " (did you mean 'conform'?)"
    """
    import difflib  # only ever needed for a mistake

    found = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""
