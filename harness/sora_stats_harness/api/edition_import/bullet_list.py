"""
Reads the field list of plain text with bullets, and of Markdown.

Indentation gives the level. In one kind of Markdown a parent and its first child share a line (`- rtp- total_sent`).
The other children then stand where they would if the first one had a line of its own, so the first child's column is
computed: the parent's column and one step.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from .outline import MAX_DEPTH, MAX_ITEMS, MAX_TEXT, OutlineItem, PageText, field_name_of, strip_markup

_BULLET: Final = re.compile(r"([ ]*)([•◦▪‣●○■*+-]|\d{1,4}[.)])[ ]+(\S.*)")
_FENCE: Final = re.compile(r"\s*(```|~~~)")
_JOINED: Final = re.compile(r"(?:[a-z][A-Za-z0-9_\\]*|\\?#[^-]*)(?=-\s+\S)")


@dataclass(slots=True)
class _BulletLine:
    number: int
    column: int
    texts: list[str]


@dataclass(slots=True)
class _BulletBlock:
    """Lines of one list, from its first bullet to the first line that belongs to something else."""

    lines: list[_BulletLine] = field(default_factory=list)

    def names(self) -> int:
        return sum(1 for line in self.lines for text in line.texts if field_name_of(text) is not None)


def parse_bullets(page: PageText) -> list[OutlineItem] | None:
    """
    Read the field list of a text or of Markdown; of several lists, the one with the most names.

    Returns:
        The items of the highest level; None where no list has a name in it.

    Raises:
        EditionError: The list's nesting is broken.
    """
    best = max(_find_blocks(page), key=_BulletBlock.names, default=None)
    if best is None or best.names() == 0:
        return None
    return _nest_items(page, best)


def _find_blocks(page: PageText) -> list[_BulletBlock]:
    blocks: list[_BulletBlock] = []
    block: _BulletBlock | None = None
    fenced = False
    for number, raw in enumerate(page.text.split("\n"), 1):
        line = raw.replace("\u00a0", " ").expandtabs(4)
        if _FENCE.match(line):
            fenced = not fenced
            block = None
        elif fenced or not line.strip():
            continue
        elif found := _BULLET.fullmatch(line.rstrip()):
            if block is None:
                block = _BulletBlock()
                blocks.append(block)
            dash = found.group(2) == "-"
            block.lines.append(
                _BulletLine(
                    number, len(found.group(1)), _split_joined_line(found.group(3)) if dash else [found.group(3)]
                )
            )
        elif not line.startswith(" "):
            block = None
        elif (
            block is not None and len(block.lines[-1].texts[-1]) < MAX_TEXT
        ):  # an item's text that continues in the next line
            block.lines[-1].texts[-1] += "\n" + line.strip()
    return blocks


def _split_joined_line(text: str) -> list[str]:
    """
    A line's parent and children.

    >>> _split_joined_line("rtp- total_sent- Packets - all of them"), _split_joined_line("Packets- all of them")
    (['rtp', 'total_sent', 'Packets - all of them'], ['Packets- all of them'])
    """
    parts: list[str] = []
    while len(parts) <= MAX_DEPTH and (found := _JOINED.match(text)):
        parts.append(found.group())
        text = text[found.end() + 1 :].lstrip()
    return [*parts, text]


def _indentation_step(block: _BulletBlock) -> int:
    """
    By how many columns a level is indented.

    Usually the most frequent step from a line to the next. Where parents share their lines with their first children no
    such step is seen; then it is the number that most columns are a multiple of, since a few lines may be broken.
    """
    pairs = zip(block.lines, block.lines[1:], strict=False)
    rises = Counter(after.column - before.column for before, after in pairs if after.column > before.column)
    if rises and all(len(line.texts) == 1 for line in block.lines):
        return max(rises, key=lambda rise: (rises[rise], -rise))
    base = block.lines[0].column
    columns = [line.column - base for line in block.lines if line.column > base]
    fitting = {step: sum(column % step == 0 for column in columns) for step in (2, 3, 4, 6, 8)}
    return max(step for step, fits in fitting.items() if fits >= max(fitting.values()) * 0.97)


def _nest_items(page: PageText, block: _BulletBlock) -> list[OutlineItem]:
    base, step = block.lines[0].column, _indentation_step(block)
    root = OutlineItem(text="", line=block.lines[0].number)
    open_items = [root]
    count = 0
    for line in block.lines:
        level, rest = divmod(line.column - base, step)
        if rest or level < 0:
            raise page.error_at(
                line.number,
                f"broken nesting: indented by {line.column}, where each level is indented by {step} from {base} on",
            )
        if level >= len(open_items):
            raise page.error_at(
                line.number,
                f"broken nesting: {strip_markup(line.texts[0])[:60]!r} is more than one level below the line before",
            )
        del open_items[level + 1 :]
        for text in line.texts:
            count += 1
            if len(open_items) > MAX_DEPTH or count > MAX_ITEMS:
                raise page.error_at(
                    line.number, f"more than {MAX_DEPTH} levels or {MAX_ITEMS} items, too many for a field list"
                )
            item = OutlineItem(text=text, line=line.number)
            open_items[-1].items.append(item)
            open_items.append(item)
    return root.items
