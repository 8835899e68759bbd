"""
An object of a response for tests: its keys are attributes, and the error about a missing one suggests a similar key.

The values are those of the response, even if they are wrong: judging is the judge's task.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any


class SampleGroup(Mapping[str, Any]):  # Any: whatever JSON the server put there
    """
    One object of a response: its keys are attributes and items; nested objects are groups as well.

    >>> group = SampleGroup({"rtp": {"total_received": 3}})
    >>> group.rtp.total_received, group["rtp"]["total_received"]
    (3, 3)
    """

    __slots__ = ("_path", "_value")

    def __init__(self, value: Mapping[str, Any], path: str = "") -> None:
        self._value = value
        self._path = path

    if not TYPE_CHECKING:  # a type checker knows the fields, and reports any other attribute

        def __getattr__(self, name: str) -> Any:
            try:
                return self[name]
            except KeyError:
                raise AttributeError(self._missing_key_message(name)) from None

    def __getitem__(self, key: str) -> Any:  # Any: as above
        value = self._value[key]
        return SampleGroup(value, f"{self._path}.{key}" if self._path else key) if isinstance(value, dict) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._value]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path or self._value.get('connection_id', '')}: {len(self)} keys>"

    def as_dict(self) -> dict[str, Any]:  # Any: as above
        """The object in plain Python types: dicts, strings, ints, bools."""
        return dict(self._value)

    def _missing_key_message(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._value, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"the response has no {name} in {self._path or 'this sample'}{hint}"
