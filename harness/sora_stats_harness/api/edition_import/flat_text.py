"""
Reads the field list of plain text that has lost its bullets and its indentation.

Names alone do not tell where a group ends. The page's own example response does: it has the same groups. A name belongs
to the innermost open group that has it in the example. If that is ambiguous, the page is refused: a field in the wrong
group would seem to be missing on every server.
"""

from __future__ import annotations

import re
from typing import Final

from ..edition import FieldPath
from .example_response import ExampleObject
from .outline import MAX_ITEMS, OutlineItem, PageText, field_name_of, referenced_group

_LIST_END: Final = re.compile(r".*¶$|.*\bGetStats[A-Z]|.*x-sora-target|\s*[$\[{]")
"""Lines that can only come after the list."""
_SAME_AS_MARK: Final = re.compile(r"と(?:同様|同じ)")


def parse_flat_text(page: PageText, shown: ExampleObject | None) -> list[OutlineItem]:
    """
    Read the field list of a text without bullets and indentation.

    Raises:
        EditionError: There is no example that shows the groups, no list, or a name whose group is ambiguous.
    """
    if shown is None:
        raise page.error_at(
            1,
            "no list with bullets, indentation or HTML tags, and no whole example response that would tell the groups;"
            " take the page in another form",
        )
    return _FieldPlacer(page, shown).place_lines(_list_lines(page, shown))


def _list_lines(page: PageText, shown: ExampleObject) -> list[tuple[int, str]]:
    """
    The list's lines: from the first name at the example's root to the first line that can only come after the list.
    """
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(page.text.split("\n"), 1):
        text = line.strip()
        if not lines and field_name_of(text) not in shown:
            continue
        if lines and _LIST_END.match(text):
            break
        if lines and _SAME_AS_MARK.match(text):
            lines[-1] = (
                lines[-1][0],
                f"{lines[-1][1]} {text}",
            )  # the page set the name off, so it became a line of its own
        elif text:
            lines.append((number, text))
        if len(lines) > MAX_ITEMS:
            raise page.error_at(number, f"more than {MAX_ITEMS} lines, too many for a field list")
    if not lines:
        raise page.error_at(1, "no list of fields: no line consists of one of the example's names")
    return lines


class _FieldPlacer:
    def __init__(self, page: PageText, shown: ExampleObject) -> None:
        self.page = page
        self.shown = shown
        self.items: dict[FieldPath, OutlineItem] = {(): OutlineItem(text="", line=1)}
        self.open: FieldPath = ()
        self.last: FieldPath = ()
        self.unknown: list[tuple[int, str]] = []
        """Names that the example lacks, until the next name shows their group."""
        self.doubts: dict[FieldPath, tuple[FieldPath, ...]] = {}
        """Names that more than one open group has, with the places that were not chosen."""

    def place_lines(self, lines: list[tuple[int, str]]) -> list[OutlineItem]:
        for number, text in lines:
            if referenced_group(text) is not None:
                self.copy_group(number, text)
            elif (name := field_name_of(text)) is not None:
                self.add(number, name)
        self.refuse_unknown()
        for path, others in self.doubts.items():
            for other in others:
                if other not in self.items:
                    raise self.page.error_at(
                        self.items[path].line,
                        f"without bullets or indentation, {path[-1]!r} may be {'.'.join(path)} or {'.'.join(other)}",
                    )
        return self.items[()].items

    def copy_group(self, number: int, text: str) -> None:
        if not isinstance(self.value(self.last), dict) or self.unknown or not self.last:
            raise self.page.error_at(number, f"{text[:60]!r} does not follow a group")
        self.items[self.last].items.append(OutlineItem(text=text, line=number))
        self.open = self.last[:-1]  # this names the group's fields, so none of them follows

    def add(self, number: int, name: str) -> None:
        fitting = [
            (*self.open[:length], name)
            for length in range(len(self.open), -1, -1)
            if name in self.value(self.open[:length]) and (*self.open[:length], name) not in self.items
        ]
        if not fitting:
            if name in self.last[-1].split("_"):
                return  # a word of the description that the page set off, so it became a line of its own
            self.unknown.append((number, name))
            return
        path = fitting[0]
        if path[:-1] != self.open:  # between two names of one group there can be no other group
            self.refuse_unknown()
        for line, missing in self.unknown:
            self.append((*path[:-1], missing), line)
        self.unknown.clear()
        self.append(path, number)
        if len(fitting) > 1:
            self.doubts[path] = tuple(fitting[1:])
        self.last = path
        self.open = path if isinstance(self.value(path), dict) else path[:-1]

    def append(self, path: FieldPath, line: int) -> None:
        if path in self.items:
            raise self.page.error_at(line, f"{'.'.join(path)} is listed twice, first in line {self.items[path].line}")
        self.items[path] = OutlineItem(text=path[-1], line=line)
        self.items[path[:-1]].items.append(self.items[path])

    def refuse_unknown(self) -> None:
        if self.unknown:
            line, name = self.unknown[0]
            raise self.page.error_at(
                line, f"without bullets or indentation, the group of {name!r} is unknown: the example lacks it"
            )

    def value(self, path: FieldPath) -> ExampleObject:
        value: ExampleObject = self.shown
        for key in path:
            value = value[key]
        return value
