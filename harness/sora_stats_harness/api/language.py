"""
Translates texts for people at the point of output; everywhere else the harness works in English.

A verdict, its findings and every error are made in English, with their values filled in, and verdict.json stores them
so. A report made later from that file must be available in Japanese as well, whoever made the file. So a text is
matched against the templates of the catalogue: `rtp.total_sent_rtp fell by 2` matches `{field} fell by {amount}`, and
the translation of that is filled with the same values. A text without a matching template stays as it is: ids, values
from a server, command lines.

The catalogues are gettext's: `locale/ja.po`, compiled to `locale/ja.mo` by `make generate`. English needs none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, cached_property
from pathlib import Path
from typing import Final

LANGUAGES: Final = ("en", "ja")

LANGUAGE: Final = ContextVar("language", default="en")
"""The language of the run."""

MAX_CACHED: Final = 10_000
"""How many translated texts are cached."""

MAX_SPLIT_CHARACTERS: Final = 4000
"""A longer text is translated as a whole or not at all, never in parts."""

PLACEHOLDER: Final = re.compile(r"\{(\w+)(:n|:count|:any|:raw)?\}")
"""In a template: `{count:n}` stands for a number, `{sample:count}` for a number and a noun, `{name}` for any text,
where there is enough text around it, and else for a word; `{name:any}` says that there is enough. In a translation
`{name:raw}` is the value as it was, such as a word that is there to be typed."""

_NUMBERS: Final = {":n": r"[-+]?[\d,]*\.?\d+(?:e[-+]?\d+)?%?|-", ":count": r"[\d,]+ [a-z][a-z ]*?"}
_BOUNDARY: Final = re.compile(r"[\s,;(]")
_LETTER: Final = re.compile(r"[A-Za-z]{2}")
_EDGES: Final = re.compile(r"([\s,;:(]*)(.*?)([\s,;:.(]*)", re.DOTALL)
_ENDS: Final = {".": "。", ",": "、", ". ": "。", ", ": "、", "; ": "。"}
_SENTENCE_BREAK: Final = re.compile(r"[;.] ")
_GAP: Final = re.compile("(?<=[\u3040-\u30ff\u4e00-\u9fff]) (?=[\u3040-\u30ff\u4e00-\u9fff])")
"""A space between Japanese characters, which is removed; beside a value in Latin letters it stays."""

_SEPARATORS: Final = (
    ("\n", "\n"),
    ("  ", "  "),
    (". ", "。"),
    ("; ", "。"),
    (": ", ": "),
    (", ", "、"),
    (" and ", "と"),
)
"""The separators between parts of a text, with their Japanese form; those that separate most come first."""

_OF_LISTS: Final = (", ", " and ")
"""Separators that also occur within sentences."""

_SENTENCE_ENDS: Final = ("す", "ん", "い", "た", "か")
"""Last characters of Japanese sentences; a part that ends otherwise is a word, and gets a comma."""

MIN_SURE_LETTERS: Final = 7
"""How many characters a template must have outside its placeholders for these to match any text."""


def take_language(words: Sequence[str], environment: Mapping[str, str]) -> tuple[str, list[str]]:
    """
    Find the language of a command, and remove `--lang` from its words, wherever it stands.

    Without that option the environment decides, as POSIX specifies; the fallback is English. An unknown language after
    `--lang` is left in the words, so that the command line refuses it.

    >>> take_language(["conform", "--lang", "ja"], {"LANG": "C"}), take_language([], {"LANG": "ja_JP.UTF-8"})
    (('ja', ['conform']), ('ja', []))
    >>> take_language(["simulate", "--", "sh", "--lang=ja"], {"LANG": "ja_JP.UTF-8", "LC_ALL": "C"})
    ('en', ['simulate', '--', 'sh', '--lang=ja'])
    """
    locale = next(filter(None, map(environment.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    language = re.split(r"[_.@-]", locale, maxsplit=1)[0].lower()
    language = language if language in LANGUAGES else "en"
    end = words.index("--") if "--" in words else len(words)
    own = list(words[:end])
    for place, word in enumerate(own):
        given = [word[len("--lang=") :]] if word.startswith("--lang=") else own[place + 1 : place + 2]
        if word.startswith("--lang=") or word == "--lang":
            if given and given[0] in LANGUAGES:
                language = given[0]
                del own[place : place + (1 if "=" in word else 2)]
            break
    return language, [*own, *words[end:]]


def environment_language() -> str:
    """The language of a run that has no option for it."""
    return take_language((), os.environ)[0]


@contextmanager
def use_language(language: str) -> Iterator[None]:
    """Translate into this language while the context lasts."""
    token = LANGUAGE.set(language)
    try:
        yield
    finally:
        LANGUAGE.reset(token)


def translate(text: str) -> str:
    """Translate a text into the language of the run; a text that matches no template is returned unchanged."""
    language = LANGUAGE.get()
    return text if language == "en" else _catalogue(language).translate(text)


@cache
def _catalogue(language: str) -> Catalogue:
    import gettext

    with (Path(__file__).parent / "locale" / f"{language}.mo").open("rb") as file:
        messages: dict[str, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]  # no public list
    return Catalogue({key: value for key, value in messages.items() if key})


class _Template:
    """A message with placeholders; its pattern is compiled when a text might be of it."""

    def __init__(self, message: str, translation: str) -> None:
        pieces = PLACEHOLDER.split(message)  # text, name, format, text, …
        self.letters: int = sum(len(piece.replace(" ", "")) for piece in pieces[::3])
        """Characters outside of placeholders: the more, the surer."""
        self.literal: str = max(pieces[::3], key=len)
        """The longest piece of the text that is always there."""
        self.free: int = sum(form not in _NUMBERS for form in pieces[2::3])
        """Placeholders that stand for more than numbers: the fewer, the surer."""
        self.translation = translation
        self._pieces = pieces

    def fits(self, values: Mapping[str, str]) -> bool:
        """Whether these are values, and no pieces of sentences: they have their brackets, and only the last one goes on."""
        inner = [*values.values()][: -1 if not self._pieces[-1] else None]
        return all(each.count("(") == each.count(")") for each in values.values()) and not any(
            map(_SENTENCE_BREAK.search, inner)
        )

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What the texts of the message match."""
        return _compile(self._pieces, self.letters)


class Catalogue:
    """
    Messages of one language.

    Args:
        messages: Maps messages to translations; in both, `{name}` stands for any text and `{name:n}` for a number.

    >>> words = {"{field} fell by {amount:n}": "{field} が {amount} 減った", "no sample was judged": "サンプルがなかった"}
    >>> Catalogue(words).translate("rtp.total_sent_rtp fell by 2; no sample was judged")
    'rtp.total_sent_rtp が 2 減った。サンプルがなかった'
    """

    def __init__(self, messages: Mapping[str, str]) -> None:
        self._messages = messages
        self._templates = sorted(
            (_Template(key, value) for key, value in messages.items() if PLACEHOLDER.search(key)),
            key=lambda template: (-template.letters, template.free),
        )
        self._cache: dict[str, str] = {}

    def translate(self, text: str) -> str:
        """A text's translation, or the text."""
        if (known := self._cache.get(text)) is None:
            known = self._translate(text)
            if len(self._cache) < MAX_CACHED:
                self._cache[text] = known
        return known

    def _translate(self, text: str) -> str:
        if not _LETTER.search(text):
            return text
        before, core, after = split_edges(text)
        done = self._find(core) or (self._translate_parts(core) if len(core) <= MAX_SPLIT_CHARACTERS else core)
        if done == core:
            return text
        return f"{_ENDS.get(before, before)}{done}{_ENDS.get(after[:1], after[:1])}{after[1:]}"

    def _find(self, core: str) -> str | None:
        """The translation of a whole message, with its values translated as well."""
        if (exact := self._messages.get(core) or self._messages.get(core[:1].lower() + core[1:])) is not None:
            return exact
        if "\n" in core or "  " in core:
            return None  # lines, or columns
        for template in self._templates:
            if template.literal in core and (match := template.pattern.fullmatch(core)) is not None:
                found = match.groupdict()
                if not template.fits(found):
                    continue
                values: dict[str, str] = {}
                for names, value in found.items():
                    values |= self._values(names.split("__"), value)
                return _fill(template.translation, values, found)
        return None

    def _values(self, names: list[str], text: str) -> dict[str, str]:
        """The values of placeholders with nothing between them: all but the first are messages, or empty."""
        values = {}
        for name in names[:0:-1]:
            if self._find(split_edges(text)[1]) is not None:
                break
            starts = [found.start() for found in _BOUNDARY.finditer(text) if found.start()]
            start = next((place for place in starts if self._find(split_edges(text[place:])[1])), len(text))
            values[name] = self.translate(text[start:])
            text = text[:start]
        return values | {names[0]: self.translate(text)}

    def _is_known(self, part: str, done: str) -> bool:
        """Whether an element of a list was translated, or is a word or a number, so it isn't part of a sentence."""
        return part != done or " " not in part.strip() or self._find(split_edges(part)[1]) is not None

    def _translate_parts(self, core: str) -> str:
        """A text that was put together from messages: a list, a sentence with an aside, a line of a table."""
        head, colon, rest = core.partition(": ")
        if colon and "  " not in head and (known := self._find(rest)) is not None:
            return f"{self.translate(head)}: {known}"
        for separator, instead in _SEPARATORS:
            if separator == "; " and (aside := split_aside(core)) is not None and "; " not in aside[0]:
                done = [*map(self.translate, aside)]
                if done != [*aside]:
                    return f"{done[0]} ({done[1]})"
            parts = core.split(separator, 1 if separator == ": " else -1)
            if separator == ". " and not all(part[:1].isupper() for part in parts[1:]):
                continue
            done = [*map(self.translate, parts)] if len(parts) > 1 else parts
            if done != parts and (separator not in _OF_LISTS or all(map(self._is_known, parts, done))):
                if instead == "。":
                    return (
                        "".join(f"{part}{'。' if part.endswith(_SENTENCE_ENDS) else '、'}" for part in done[:-1])
                        + done[-1]
                    )
                return instead.join(done)
        return core


def _fill(translation: str, values: Mapping[str, str], raw: Mapping[str, str]) -> str:
    def value_of(found: re.Match[str]) -> str:
        return (raw if found[2] == ":raw" else values).get(found[1], "")

    return _GAP.sub("", PLACEHOLDER.sub(value_of, translation))


def split_edges(text: str) -> tuple[str, str, str]:
    """
    Split a text into its leading punctuation, its core and its trailing punctuation.

    >>> split_edges("; see verdict.json."), split_edges(" (at 3)")
    (('; ', 'see verdict.json', '.'), (' (', 'at 3', ')'))
    """
    match = _EDGES.fullmatch(text)
    assert match is not None
    before, core, after = match.groups()
    if before.endswith("(") and core.endswith(")") and core.count(")") > core.count("("):
        return before, core[:-1], f"){after}"
    return before, core, after


def split_aside(text: str) -> tuple[str, str] | None:
    """
    What stands before the brackets with which a text ends, and what is in them; None where it doesn't end so.

    >>> split_aside("a (b) c (d (e))"), split_aside("f(x)")
    (('a (b) c', 'd (e)'), None)
    """
    depth = 0
    for place in reversed(range(len(text))) if text.endswith(")") else ():
        depth += (text[place] == ")") - (text[place] == "(")
        if depth == 0:
            return (text[: place - 1], text[place + 1 : -1]) if place > 1 and text[place - 1] == " " else None
    return None


def _compile(pieces: list[str], letters: int) -> re.Pattern[str]:
    """A template as a pattern; in a short one a value is a single word, since it would fit too much."""
    any_text = ".*?" if letters >= MIN_SURE_LETTERS or ":any" in pieces else r"\S*?"
    names, forms = pieces[1::3], [*pieces[2::3], ":n"]
    follows = {name: forms[place + 1] not in _NUMBERS and name not in names[:place] for place, name in enumerate(names)}
    pattern, run, seen = re.escape(pieces[0]), "", set[str]()
    for name, form, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        if name in seen:
            pattern += f"(?P={name})"
        elif form in _NUMBERS:
            pattern += f"(?P<{name}>{_NUMBERS[form]})"
        elif not text and follows[name]:
            run += f"{name}__"
            continue
        else:
            pattern += f"(?P<{run}{name}>{any_text})"
            run = ""
        seen.add(name)
        pattern += re.escape(text)
    return re.compile(pattern, re.DOTALL)
