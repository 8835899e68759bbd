"""Turns the items of a page's list into fields and groups, and refuses an item that can be neither."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..edition import ANY_LABEL, FieldPath
from .outline import MAX_DEPTH, MAX_ITEMS, OutlineItem, PageText, field_name_of, referenced_group


@dataclass(slots=True, kw_only=True, eq=False)
class ListedField:
    """A field or a group as the page lists it."""

    path: FieldPath
    line: int
    children: list[ListedField] = field(default_factory=list)
    same_as: ListedField | None = None
    """The group whose fields it has."""

    @property
    def is_group(self) -> bool:
        """Whether it holds fields."""
        return bool(self.children) or self.same_as is not None

    def leaves(self, path: FieldPath | None = None) -> Iterator[FieldPath]:
        """The paths of all fields at and below it; a group that is "as" another has the other's fields."""
        path = self.path if path is None else path
        if not self.is_group:
            yield path
            return
        model = self
        while model.same_as is not None:
            model = model.same_as
        for child in model.children:
            yield from child.leaves((*path, child.path[-1]))


def build_field_tree(page: PageText, outline: Sequence[OutlineItem], notes: list[str]) -> ListedField:
    """
    Build the tree of fields and groups.

    Args:
        notes: Gets a line for each text that was ignored beside fields.

    Raises:
        EditionError: A group has a name twice, a counter holds fields, a text stands where a name must, or an
        "as r0" names no group.
    """
    root = ListedField(path=(), line=outline[0].line)
    builder = _FieldTreeBuilder(page, notes)
    builder.add_items(root, outline)
    builder.resolve_references()
    builder.check_expanded_size(root)
    return root


class _FieldTreeBuilder:
    def __init__(self, page: PageText, notes: list[str]) -> None:
        self.page = page
        self.notes = notes
        self.waiting: list[tuple[ListedField, str, int, tuple[ListedField, ...]]] = []
        """
        Groups that are "as" another: the group, the other's name, the line that says so, and the groups around it.
        """
        self.labels: list[ListedField] = []
        self.measured: dict[ListedField, tuple[int, int]] = {}
        """For each group, how many fields are below it, on how many levels."""

    def add_items(self, group: ListedField, items: Sequence[OutlineItem], around: tuple[ListedField, ...] = ()) -> None:
        named = [(name, item) for item in items if (name := field_name_of(item.text)) is not None]
        texts = [item for item in items if field_name_of(item.text) is None]
        if named and group.path and group.path[-1].startswith("total_"):
            raise self.page.error_at(
                named[0][1].line, f"broken nesting: {named[0][0]!r} stands below the counter {group.path[-1]!r}"
            )
        for item in texts:
            self.add_text(group, item, around, beside_names=bool(named))
        known: dict[str, int] = {}
        for name, item in named:
            if name in known:
                raise self.page.error_at(
                    item.line, f"{'.'.join((*group.path, name))} is listed twice, first in line {known[name]}"
                )
            known[name] = item.line
            child = ListedField(path=(*group.path, name), line=item.line)
            group.children.append(child)
            if name == ANY_LABEL:
                self.labels.append(child)
            inside = (*around, group)
            if (other := referenced_group(item.text.partition("\n")[2])) is not None:
                self.waiting.append((child, other, item.line, inside))
            self.add_items(child, item.items, inside)

    def add_text(
        self, group: ListedField, item: OutlineItem, around: tuple[ListedField, ...], *, beside_names: bool
    ) -> None:
        other = referenced_group(item.text)
        if not group.path:
            raise self.page.error_at(item.line, f"not a field's name: {_describe_item(item)}")
        below = next((below for below in item.walk() if field_name_of(below.text) is not None), None)
        if below is not None:
            raise self.page.error_at(
                below.line,
                f"broken nesting: {field_name_of(below.text)!r} stands below {_describe_item(item)}, which is not a "
                f"name",
            )
        if other is not None:
            self.waiting.append((group, other, item.line, around))
        elif beside_names:
            self.notes.append(
                f"line {item.line}: ignored as a text about {'.'.join(group.path)}: {_describe_item(item)}"
            )

    def resolve_references(self) -> None:
        for group, other, line, around in self.waiting:
            if group.children:
                child = group.children[0]
                raise self.page.error_at(
                    child.line,
                    f"broken nesting: {child.path[-1]!r} stands below {group.path[-1]!r}, which is as {other}",
                )
            target = next(
                (
                    sibling
                    for holder in reversed(around)
                    for sibling in holder.children
                    if sibling.path[-1] == other and sibling.path != group.path[: len(sibling.path)]
                ),
                None,
            )
            if target is None:
                raise self.page.error_at(line, f"{'.'.join(group.path)} is as {other}, but no such group is near it")
            if group.same_as is not None:
                raise self.page.error_at(line, f"{'.'.join(group.path)} is as {other}, and as another group")
            group.same_as = target
        for group, other, line, _ in self.waiting:
            seen, last = [group], group
            while last.same_as is not None:
                last = last.same_as
                if last in seen:
                    raise self.page.error_at(line, f"{'.'.join(group.path)} is as {other}, which leads back to itself")
                seen.append(last)
            if not last.children:
                raise self.page.error_at(line, f"{'.'.join(group.path)} is as {other}, which has no fields")
        for label in self.labels:
            if not label.is_group:
                raise self.page.error_at(label.line, f"{'.'.join(label.path)} stands for labels, and has no fields")

    def check_expanded_size(self, listed: ListedField, level: int = 0) -> tuple[int, int]:
        """
        Refuse groups that are "as" each other in such a way that a few lines expand to any number of fields or levels.
        """
        if listed not in self.measured:
            if level > MAX_DEPTH:
                raise self.page.error_at(listed.line, f"groups refer to groups, on more than {MAX_DEPTH} levels")
            model = listed.same_as
            below = [
                self.check_expanded_size(inner, level + 1)
                for inner in ([model] if model is not None else listed.children)
            ]
            self.measured[listed] = sum(n for n, _ in below) or 1, max((n for _, n in below), default=0) + 1
        fields, levels = self.measured[listed]
        if level + levels > MAX_DEPTH + 1 or fields > MAX_ITEMS:
            raise self.page.error_at(
                listed.line, f"more than {MAX_DEPTH} levels or {MAX_ITEMS} fields, too many for a field list"
            )
        return fields, levels


def _describe_item(item: OutlineItem) -> str:
    return repr(" ".join(item.text.split())[:60])
