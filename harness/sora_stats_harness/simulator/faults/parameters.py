"""The parameters of a fault on the command line, and the counter that decides when it strikes."""

from __future__ import annotations

from collections import Counter


class FaultParameters(dict[str, str]):
    """The parameters of one fault, with defaults filled in; each is parsed when it is read."""

    def integer(self, key: str, least: int = 1) -> int:
        """
        Read a parameter as an integer.

        Raises:
            ValueError: It is not an integer, or below `least`.
        """
        text = self[key]
        if not text.isascii() or not text.isdecimal() or int(text) < least:
            raise ValueError(f"{key} must be an integer of at least {least}, not {text!r}")
        return int(text)

    def seconds(self, key: str) -> float:
        """
        Read a parameter as a time in seconds.

        Raises:
            ValueError: It is not a time.
        """
        try:
            value = float(self[key])
        except ValueError:
            value = -1.0
        if not 0 <= value < 1e6:
            raise ValueError(f"{key} must be a number of seconds, not {self[key]!r}")
        return value

    def strikes(self) -> StrikeCounter:
        """The counter that `every` and `times` describe; without these it strikes each time."""
        return (
            StrikeCounter(self.integer("every"), self.integer("times", least=0)) if "every" in self else StrikeCounter()
        )


class StrikeCounter:
    """Counts calls by key and strikes at every n-th of a key, `times` times in total; 0 means without limit."""

    def __init__(self, every: int = 1, times: int = 0) -> None:
        self._every = every
        self._left = times or -1
        self._counts: Counter[str] = Counter()

    def __call__(self, key: str = "") -> bool:
        if self._left == 0:
            return False
        self._counts[key] += 1
        if self._counts[key] % self._every:
            return False
        self._left -= 1
        return True
