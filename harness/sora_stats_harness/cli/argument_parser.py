"""
argparse, with complaints of one line that name what was probably meant, and with defaults that a configuration gives.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from ..api.errors import UsageError
from ..api.errors import suggest_nearest as suggest_nearest

FillDefaults = Callable[[argparse.Namespace, Mapping[str, Any], Mapping[str, argparse.Action]], None]
"""Is given what was parsed, with None where an option was not given, the defaults, and the options by their names."""


class CommandArgumentParser(argparse.ArgumentParser):
    """A parser whose errors are exceptions of ours, so that the frame tells them like any other."""

    fill_defaults: FillDefaults | None = None
    """Fills in the options that were not given."""
    fillable_options: tuple[str, ...] = ()
    """The names of those that it may fill in."""

    def error(self, message: str) -> NoReturn:
        """
        Complain of the command line.

        Raises:
            UsageError: Always.
        """
        known = list(self._option_string_actions)
        unknown = [word for word in message.partition("unrecognized arguments: ")[2].split() if word.startswith("-")]
        hint = suggest_nearest(unknown[0].partition("=")[0], known) if unknown else ""
        raise UsageError(f"{message}{hint}; see {self.prog} --help")

    def parse_args(  # type: ignore[override]  # the overloads for other namespaces are not wanted
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse, and have what was not given filled in."""
        if self.fill_defaults is None:
            return super().parse_args(args, namespace)
        actions = {action.dest: action for action in self._actions if action.dest in self.fillable_options}
        defaults = {name: self.get_default(name) for name in actions}
        self.set_defaults(**dict.fromkeys(actions))  # None: nobody can give that, so it was not given
        try:
            parsed = super().parse_args(args, namespace)
        finally:
            self.set_defaults(**defaults)
        self.fill_defaults(parsed, defaults, actions)
        return parsed
