"""
Documentation pages made from an edition, in each form that the real one is found in.

The real page is not part of this project, so its forms are rebuilt here: names in its order, groups that are as another
group, texts below some of the fields, lists and code around it, and an example response.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from sora_stats_harness.api.edition import ANY_LABEL, Edition, FieldDefinition, FieldGroup, FieldType

LABELS: Final = "# and whatever label begins with it"


def _shape(group: FieldGroup) -> tuple[object, ...]:
    return (tuple(field.name for field in group.fields), tuple((below.name, _shape(below)) for below in group.groups))


def rows(group: FieldGroup, level: int = 0) -> Iterator[tuple[int, str]]:
    """Level and text of each item of the list; some fields have a text below them."""
    for field in group.fields:
        yield level, field.name
        if len(field.name) % 3 == 0:
            yield level + 1, f"Says: {field.name} - what it is; connected, and (so on)"
    shapes: dict[tuple[object, ...], str] = {}
    for below in group.groups:
        yield level, LABELS if below.name == ANY_LABEL else below.name
        shape = _shape(below)
        if shape in shapes:
            yield level + 1, f"{shapes[shape]} と同様" if level else f"same as {shapes[shape]}"
        else:
            shapes[shape] = below.name
            yield from rows(below, level + 1)


def response(edition: Edition, *, without: Callable[[FieldDefinition], bool] = lambda field: False) -> dict[str, Any]:
    """A response with every field of an edition; Any: whatever JSON can hold."""
    value = {FieldType.INTEGER: 0, FieldType.STRING: "text", FieldType.BOOLEAN: True}

    def fill(group: FieldGroup) -> dict[str, Any]:
        own = {field.name: value[field.type] for field in group.fields if not without(field)}
        return own | {below.name.replace(ANY_LABEL, "#spam"): fill(below) for below in group.groups}

    return fill(edition.root)


def _request() -> str:
    return 'POST / HTTP/1.1\nContent-Length: 40\n\n{\n    "channel_id": "sora",\n    "connection_id": "X"\n}\n'


def text(edition: Edition, example: object = None, *, bullet: str = "•", step: int = 2) -> str:
    """A text with bullets and indentation, an empty line between two items."""
    items = "\n\n".join(f"{' ' * step * (level + 1)}{bullet} {shown}" for level, shown in rows(edition.root))
    shown = "" if example is None else f"HTTP/1.1 200 OK\nserver: x\n\n{json.dumps(example, indent=4)}\n"
    return (
        f"Statistics API\n\nList\n\n{items}\n\nx-sora-target:\n\n{_request()}\n{shown}\nKey\n\nchannel_id\n\nstring\n"
    )


def flat(edition: Edition, example: object = None) -> str:
    """The plain text of the HTML page: no bullets, no indentation, and set-off words on lines of their own."""
    lines = []
    for _, shown in rows(edition.root):
        lines += shown.split(" ", 1) if shown.endswith("と同様") and shown.startswith("r0") else [shown]
        if shown == "total_connected_req":
            lines += ["connected", "and so on"]
    shown = "" if example is None else json.dumps(example, indent=0)
    return "Statistics API¶\nList¶\n" + "\n".join(lines) + f"\nGet¶\n- x-sora-target:\n{_request()}{shown}\n"


def markdown(edition: Edition, example: object = None) -> str:
    """Markdown in which a parent and its first child share a line."""
    lines: list[str] = []
    last = -1
    for level, shown in rows(edition.root):
        if level == last + 1 and lines:
            lines[-1] += f"- {shown}"
        else:
            lines.append(f"{'  ' * level}- {shown}")
        last = level
    shown = "" if example is None else f"```json\n{json.dumps(example, indent=4)}\n```\n"
    return (
        "# Statistics API\n\n- [List](#list)\n- [Get](#get)\n\n## List\n\n"
        + "\n".join(lines)
        + f"\n\n## Get\n\n{shown}"
    )


def sphinx(edition: Edition, example: object = None) -> str:
    """HTML as Sphinx writes it: a list for navigation, nested lists with paragraphs, code with a span a token."""
    parts = ["<!DOCTYPE html>\n<html><head><title>x</title><style>ul { x }</style></head><body><nav><ul>"]
    parts.append('<li><a href="#list">Statistics API</a></li>\n<li><a href="#get">rtp</a></li></ul></nav>')
    parts.append("<section><h2>List<a>¶</a></h2>")
    last = -1
    for level, shown in rows(edition.root):
        if level > last:
            parts.append('<ul class="simple">\n')
        else:
            parts.append("</li>\n" + "</ul>\n</li>\n" * (last - level))
        parts.append(f'<li><p><code class="docutils"><span class="pre">{html.escape(shown)}</span></code></p>\n')
        last = level
    parts.append("</li>\n</ul>\n" * (last + 1) + "</section>\n")
    if example is not None:
        code = html.escape(json.dumps(example, indent=4)).replace("&quot;:", "&quot;</span><span>:")
        parts.append(f'<div class="highlight"><pre>HTTP/1.1 200 OK\n\n<span>{code}</span></pre></div>')
    return "".join(parts) + "</body></html>\n"


FORMS: Final[dict[str, Callable[..., str]]] = {"text": text, "html": sphinx, "markdown": markdown, "flat": flat}
