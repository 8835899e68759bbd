"""
Collect the messages of the harness from its source, and keep the catalogues of `api/locale/` up to date.

A message is any text of more than one word in the package that can reach a person; an f-string is a message with a
placeholder for each value. So nothing has to be marked, and nothing can be forgotten. What never reaches a person is named
in `api/locale/ignored.txt`, and single words that do are in `api/locale/words.txt`, both a line each.

Without options: write new messages into each .po (with an empty translation), drop those that are gone, compile the .mo,
and list what has no translation. `--check` writes nothing, and ends with 1 where something would change or is missing.
"""

from __future__ import annotations

import argparse
import ast
import io
import itertools
import re
import sys
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from sora_stats_harness.api.language import PLACEHOLDER, split_edges

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "harness" / "sora_stats_harness"
LOCALE: Final = PACKAGE / "api" / "locale"

COUNTING: Final = {"count_with_noun", "_times"}
"""Functions that put a number, the first argument, before a noun, the second one."""

WORDED: Final = {"title", "columns", "label", "note", "warning", "summary", "advice", "help", "expected", "group"}
"""Arguments whose text is a message even if it is one word."""

IN_ENGLISH: Final = {
    "api/edition_import/edition_writer.py",  # an edition's file
    "api/edition_import/field_inference.py",
    "api/edition_schemas.py",
    "load/locust_web_page.py",  # Locust's page is in English
    "load/prometheus_metrics.py",
    "reports/curl_command.py",
    "reports/github_actions.py",
    "reports/junit.py",  # what machines read
    "reports/markdown.py",
    "reports/report_schemas.py",
    "testing/stub_generator.py",
}
"""Modules whose texts stay English."""

MAX_VARIANTS: Final = 8
"""Of one text, by its conditional parts; where there are more, the parts are messages of their own."""

_MESSAGE: Final = re.compile(r"[A-Za-z}%)\]'\"…>][,;:.]? +(?=\S)")
_SOURCED: Final = re.compile(r"\{(\w+)(:n|:count)?\0([0-9a-f]*)\}")
_WORDS: Final = re.compile(r"[A-Za-z]{2}")
_CODE: Final = re.compile(
    r"^sora-harness [a-z-]+( |$)|^RFC [\dRFCand ,.;]+$|= \[?\{|^Fetch, |\\[dwsSb.]|\(\?|^\W*[a-z_.]+\(|^[{]\"|<[a-z/!]|^[-.#\w]+ \{$|^\s*@|=\"|://\S+$|^HTTP/|^[A-Z][\w-]+: \S+$|_WAY|[\w}*] (==|<=) \w+\.|\.total_\w+ \+ "
)


def collect() -> dict[str, list[str]]:
    """Every message, and the modules in which it stands."""
    ignored = set(read_lines("ignored.txt"))
    return {message: places for message, places in collect_all().items() if message not in ignored}


@cache
def collect_all() -> dict[str, list[str]]:
    """The same, with what is ignored."""
    found: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if (place := path.relative_to(PACKAGE).as_posix()) in IN_ENGLISH:
            continue
        for text in texts(ast.parse(path.read_text(encoding="utf-8"))):
            for message in split_lines(text):
                found.setdefault(message, set()).add(place)
    for word in read_lines("words.txt"):
        found.setdefault(word, set()).add("locale/words.txt")
    return {message: sorted(places) for message, places in found.items()}


def read_lines(name: str) -> list[str]:
    """The lines of one of the lists beside the catalogues."""
    return [line for line in (LOCALE / name).read_text(encoding="utf-8").splitlines() if line]


def split_lines(text: str) -> Iterator[str]:
    """The messages of a text: its lines, and their columns, without the punctuation around them."""
    for line in text.split("\n"):
        for column in line.split("  "):
            message = split_edges(column)[1]
            if _WORDS.search(PLACEHOLDER.sub("", message)) and not _CODE.search(message):
                yield message


def texts(tree: ast.Module) -> Iterator[str]:
    """Texts of a module that may reach a person."""
    skipped = {id(node) for node in docstrings(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from counted(node)
            for keyword in node.keywords:
                if keyword.arg in WORDED:
                    for each in ast.walk(keyword.value):
                        if isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value[:1].isalpha():
                            yield each.value
        if id(node) in skipped or not is_text(node):
            continue
        inner = list(ast.walk(node))[1:]
        variants = list(itertools.islice(variants_of(node), MAX_VARIANTS + 1))
        if len(variants) > MAX_VARIANTS:
            variants = [plain(node)]
        else:
            skipped.update(id(each) for each in inner if is_part(each, node))
        skipped.update(id(each) for each in fixed_parts(node))
        for text in map(number_names, variants):
            if _MESSAGE.search(text) and not _CODE.search(text):
                yield text


def docstrings(tree: ast.Module) -> Iterator[ast.AST]:
    """Strings that are statements, and those in assertions and annotations: nobody sees them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
        if isinstance(node, ast.Assert) and node.msg is not None:
            yield from ast.walk(node.msg)
        for name in ("annotation", "returns"):
            if (annotation := getattr(node, name, None)) is not None:
                yield from ast.walk(annotation)


def is_text(node: ast.AST) -> bool:
    """Whether an expression makes a text of literals."""
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return is_text(left) or is_text(right)
    return False


def is_part(node: ast.AST, whole: ast.AST) -> bool:
    """Whether the variants of a text have this part in them already."""
    return any(node is part for part in parts_of(whole))


def parts_of(node: ast.AST) -> Iterator[ast.AST]:
    """The literals that the variants of a text are made of."""
    match node:
        case ast.JoinedStr(values=values):
            for value in values:
                yield value
                yield from parts_of(value)
        case ast.FormattedValue(value=ast.IfExp() as value):
            yield value
            yield from parts_of(value)
        case ast.IfExp(body=body, orelse=orelse):
            for each in (body, orelse):
                yield each
                yield from parts_of(each)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            for each in (left, right):
                yield each
                yield from parts_of(each)


def number_names(text: str) -> str:
    """A template whose placeholders for different values have different names."""
    names: dict[str, str] = {}

    def rename(found: re.Match[str]) -> str:
        name, number, source = found[1], found[2] or "", found[3]
        if source not in names:
            same = sum(each.rpartition("_")[0] == name or each == name for each in names.values())
            names[source] = f"{name}_{same + 1}" if same else name
        return f"{{{names[source]}{number}}}"

    return _SOURCED.sub(rename, text)


def fixed_parts(node: ast.AST) -> Iterator[ast.AST]:
    """The pieces between the values of an f-string, and formats: never a text by themselves."""
    match node:
        case ast.JoinedStr(values=values):
            for value in values:
                if isinstance(value, ast.Constant):
                    yield value
                elif isinstance(value, ast.FormattedValue) and value.format_spec is not None:
                    yield value.format_spec
                    yield from ast.walk(value.format_spec)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            for each in (left, right):
                yield each
                yield from fixed_parts(each)


def variants_of(node: ast.AST) -> Iterator[str]:
    """A text with a placeholder for each value, once for each way in which its conditions may turn out."""
    match node:
        case ast.Constant(value=str() as value):
            yield value
        case ast.JoinedStr(values=values):
            yield from map("".join, itertools.product(*(list(variants_of(value)) for value in values)))
        case ast.FormattedValue(value=ast.IfExp() as value):
            yield from variants_of(value)
        case ast.FormattedValue():
            yield placeholder(node)
        case ast.IfExp(body=body, orelse=orelse):
            yield from variants_of(body)
            yield from variants_of(orelse)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from map("".join, itertools.product(list(variants_of(left)), list(variants_of(right))))
        case _:
            yield value_of(node)


def plain(node: ast.AST) -> str:
    """A text with a placeholder for each value, conditional ones as well."""
    match node:
        case ast.Constant(value=str() as value):
            return value
        case ast.JoinedStr(values=values):
            return "".join(map(plain, values))
        case ast.FormattedValue():
            return placeholder(node)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return plain(left) + plain(right)
    return value_of(node)


def value_of(node: ast.AST, number: str = "") -> str:
    """A placeholder that still has the value's source."""
    return f"{{{name_of(node)}{number}\0{ast.unparse(node).encode().hex()}}}"


def placeholder(node: ast.FormattedValue) -> str:
    """A value as `{name}`, as `{name:n}` where it is a number, or as `{noun:count}` where it is one with its noun."""
    match node.value:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[_, ast.Constant(value=str() as noun)]):
            if name in COUNTING:
                return value_of(node.value, ":count").replace(name.strip("_"), noun.replace(" ", "_"), 1)
    spec = ast.unparse(node.format_spec)[2:-1] if node.format_spec is not None else ""
    is_number = re.fullmatch(r"([<>^]\{?\w*\}?(?=[,dfg]))?[0-9,+]*(\.\d+)?[dfgen%,]?", spec) is not None and spec != ""
    if isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") in ("len", "sum"):
        is_number = True
    return value_of(node.value, ":n" if is_number else "")


def name_of(node: ast.AST) -> str:
    """What a value is called in a template."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.strip("_") or "value"
        case ast.Call(func=ast.Attribute(attr="join"), args=[first, *_]):
            return name_of(first)
        case ast.Call(
            func=ast.Name(id="len" | "sum" | "str" | "int" | "max" | "min" | "abs" | "sorted"), args=[first, *_]
        ):
            return name_of(first)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name.strip("_")
        case ast.Subscript(value=value) | ast.Await(value=value):
            return name_of(value)
        case ast.BinOp(left=ast.Constant(), right=right):
            return name_of(right)
        case ast.BinOp(left=left):
            return name_of(left)
        case ast.BoolOp(values=[first, *_]):
            return name_of(first)
        case ast.GeneratorExp(elt=element) | ast.ListComp(elt=element):
            return name_of(element)
    return "value"


def counted(node: ast.Call) -> Iterator[str]:
    """A number before a noun, in the singular and in the plural."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[_, ast.Constant(value=str() as noun)]):
            if name in COUNTING:
                yield f"{{count:n}} {noun}"
                yield f"{{count:n}} {noun}s"


class PlainCatalog(Catalog):
    """A catalogue whose head is the same whenever it is written, and by whichever version of Babel."""

    @property  # type: ignore[misc]  # nobody sets them
    def mime_headers(self) -> list[tuple[str, str]]:
        """The head."""
        return [("Language", str(self.locale)), ("Content-Type", "text/plain; charset=utf-8")]


def update(path: Path, messages: dict[str, list[str]]) -> tuple[Catalog, bytes, bytes]:
    """A catalogue with these messages and the translations that there are, as .po and as .mo."""
    known = read_po(io.BytesIO(path.read_bytes()), ignore_obsolete=True) if path.exists() else Catalog()
    catalog = PlainCatalog(locale=path.stem, fuzzy=False)
    catalog.header_comment = "# The messages of sora-stats-harness; scripts/messages.py writes this file."
    for message, places in sorted(messages.items(), key=lambda row: (row[1][0], row[0])):
        before = known.get(message)
        at = [(place, None) for place in places]
        catalog.add(message, before.string if before is not None else "", locations=at)  # type: ignore[arg-type]  # no lines
    texts, compiled = io.BytesIO(), io.BytesIO()
    write_po(texts, catalog, width=0)
    write_mo(compiled, catalog)
    return catalog, texts.getvalue(), compiled.getvalue()


def faults(catalog: Catalog) -> Iterator[str]:
    """What is missing in a catalogue, or doesn't fit."""
    for message in catalog:
        if not message.id:
            continue
        text = str(message.string)
        if not text:
            yield f"no translation: {message.id!r}"
        elif "fuzzy" in message.flags:
            yield f"fuzzy: {message.id!r}"
        elif unknown := {found[1] for found in PLACEHOLDER.finditer(text)} - {
            found[1] for found in PLACEHOLDER.finditer(str(message.id))
        }:
            yield f"placeholders {unknown} of nothing: {message.id!r}"


def main() -> int:
    """Write the catalogues, or compare with them."""
    parser = argparse.ArgumentParser(description="Keep the catalogues of messages up to date.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 where something is stale or missing"
    )
    check = parser.parse_args().check
    say = partial(print, file=sys.stderr)
    wrong = 0
    for path in sorted(LOCALE.glob("*.po")):
        catalog, *contents = update(path, collect())
        for file, content in zip((path, path.with_suffix(".mo")), contents, strict=True):
            if not file.exists() or file.read_bytes() != content:
                wrong += check
                say(f"{file.relative_to(ROOT)} {'is stale: run `make messages`' if check else 'was written'}")
                if not check:
                    file.write_bytes(content)
        problems = list(faults(catalog))
        wrong += len(problems)
        for problem in problems:
            say(f"{path.stem}: {problem}")
        say(f"{path.stem}: {len(catalog)} messages, {len(problems)} without a good translation")
    return 1 if check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
