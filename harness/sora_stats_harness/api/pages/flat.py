"""
A page's plain text that has lost its bullets and its indentation.

Names alone do not tell where a group ends. The page's own example answer does: it has the same groups. A name belongs
to the innermost open group that has it in the example. Where that leaves a doubt, the page is refused: a field in the
wrong group would be looked for in vain on every server.
"""

from __future__ import annotations

import re
from typing import Final

from .example import Shown
from .outline import MAX_ITEMS, Item, name_of, same_as
from .source import Source

Path = tuple[str, ...]

_END: Final = re.compile(r".*¶$|.*\bGetStats[A-Z]|.*x-sora-target|\s*[$\[{]")
"""What can only come after the list."""
_AS_BEFORE: Final = re.compile(r"と(?:同様|同じ)")


def parse(page: Source, shown: Shown | None) -> list[Item]:
    """
    The field list of a text without bullets and indentation.

    Args:
        page: The text.
        shown: The page's example answer.

    Raises:
        EditionError: There is no example to tell the groups by, no list, or a name that it does not place.
    """
    if shown is None:
        raise page.fail(
            1,
            "no list with bullets, indentation or HTML tags, and no whole example answer that would tell the groups;"
            " take the page in another form",
        )
    return _Placer(page, shown).place(_lines(page, shown))


def _lines(page: Source, shown: Shown) -> list[tuple[int, str]]:
    """The list's lines: from the first name that the example has at its root to what can only come after a list."""
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(page.text.split("\n"), 1):
        text = line.strip()
        if not lines and name_of(text) not in shown:
            continue
        if lines and _END.match(text):
            break
        if lines and _AS_BEFORE.match(text):
            lines[-1] = lines[-1][0], f"{lines[-1][1]} {text}"  # the name was set off, and became a line
        elif text:
            lines.append((number, text))
        if len(lines) > MAX_ITEMS:
            raise page.fail(number, f"more than {MAX_ITEMS} lines, which no field list has")
    if not lines:
        raise page.fail(1, "no list of fields: none of the example's names stands in a line of its own")
    return lines


class _Placer:
    def __init__(self, page: Source, shown: Shown) -> None:
        self.page = page
        self.shown = shown
        self.items: dict[Path, Item] = {(): Item(text="", line=1)}
        self.open: Path = ()
        self.last: Path = ()
        self.unknown: list[tuple[int, str]] = []
        """Names that the example lacks, until the next one tells their group."""
        self.doubts: dict[Path, tuple[Path, ...]] = {}
        """Names that more than one open group has, and the places not taken."""

    def place(self, lines: list[tuple[int, str]]) -> list[Item]:
        for number, text in lines:
            if same_as(text) is not None:
                self.stand_for(number, text)
            elif (name := name_of(text)) is not None:
                self.add(number, name)
        self.refuse_unknown()
        for path, others in self.doubts.items():
            for other in others:
                if other not in self.items:
                    raise self.page.fail(
                        self.items[path].line,
                        f"without bullets or indentation, {path[-1]!r} may be {'.'.join(path)} or {'.'.join(other)}",
                    )
        return self.items[()].items

    def stand_for(self, number: int, text: str) -> None:
        if not isinstance(self.value(self.last), dict) or self.unknown or not self.last:
            raise self.page.fail(number, f"{text[:60]!r} comes after no group")
        self.items[self.last].items.append(Item(text=text, line=number))
        self.open = self.last[:-1]  # its fields are told by this, so none of them follows

    def add(self, number: int, name: str) -> None:
        fitting = [
            (*self.open[:length], name)
            for length in range(len(self.open), -1, -1)
            if name in self.value(self.open[:length]) and (*self.open[:length], name) not in self.items
        ]
        if not fitting:
            if name in self.last[-1].split("_"):
                return  # a word of the field's description that was set off, and became a line
            self.unknown.append((number, name))
            return
        path = fitting[0]
        if path[:-1] != self.open:  # only between two names of one group is there no other
            self.refuse_unknown()
        for line, missing in self.unknown:
            self.append((*path[:-1], missing), line)
        self.unknown.clear()
        self.append(path, number)
        if len(fitting) > 1:
            self.doubts[path] = tuple(fitting[1:])
        self.last = path
        self.open = path if isinstance(self.value(path), dict) else path[:-1]

    def append(self, path: Path, line: int) -> None:
        if path in self.items:
            raise self.page.fail(line, f"{'.'.join(path)} is listed twice, first in line {self.items[path].line}")
        self.items[path] = Item(text=path[-1], line=line)
        self.items[path[:-1]].items.append(self.items[path])

    def refuse_unknown(self) -> None:
        if self.unknown:
            line, name = self.unknown[0]
            raise self.page.fail(
                line, f"without bullets or indentation, the group of {name!r} cannot be told: the example lacks it"
            )

    def value(self, path: Path) -> Shown:
        value: Shown = self.shown
        for key in path:
            value = value[key]
        return value
