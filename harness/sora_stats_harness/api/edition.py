"""
Editions: versions of the documented field list, read from files.

An edition is the one source of truth. The JSON Schemas, the fast decoder, the list of counters, the simulator's columns
and the reference table all come from it, so a change of the documentation is a change of one file. No other module
spells a field's name, except for a check or relation about that very field.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from .edition_extension import EditionExtensionParser
from .edition_parser import EDITION_FORMAT, EditionParser
from .errors import EditionError, suggest_nearest
from .field_definitions import (
    ANY_LABEL,
    Edition,
    FieldDefinition,
    FieldGroup,
    FieldKind,
    FieldPath,
    FieldPresence,
    FieldProvenance,
    FieldType,
    FieldUnit,
    make_json_pointer,
    split_json_pointer,
)
from .input_budget import parse_toml, path_exists, read_small_text

__all__ = [
    "ANY_LABEL",
    "DEFAULT_EDITION",
    "EDITION_FORMAT",
    "Edition",
    "FieldDefinition",
    "FieldGroup",
    "FieldKind",
    "FieldPath",
    "FieldPresence",
    "FieldProvenance",
    "FieldType",
    "FieldUnit",
    "load_edition",
    "make_json_pointer",
    "parse_edition",
    "shipped_edition_names",
    "split_json_pointer",
]

DEFAULT_EDITION = "doc-2024"

MAX_FILE_BYTES: Final = 400_000
"""The largest edition file. Those that ship with the package have 60 kB; parsing TOML takes up to 2 s a megabyte."""


def shipped_edition_names() -> list[str]:
    """The editions that ship with the package."""
    folder = resources.files(__package__) / "editions"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


@cache
def load_edition(name_or_file: str = DEFAULT_EDITION) -> Edition:
    """
    Load an edition by its name, or from a user's own file.

    Args:
        name_or_file:
            The name of an edition that ships with the package, or a path to a TOML file.

    Raises:
        EditionError: There is no such edition, or the file is wrong; the message names the place in the file.
    """
    if name_or_file in shipped_edition_names():
        text = (resources.files(__package__) / "editions" / f"{name_or_file}.toml").read_text(encoding="utf-8")
        return parse_edition(text, origin=name_or_file)
    path = Path(name_or_file)
    if path.suffix != ".toml" and not path_exists(path):
        hint = suggest_nearest(name_or_file, shipped_edition_names())
        hint = "; auto is for commands that see responses" if name_or_file == "auto" else hint
        raise EditionError(
            f"there is no edition {name_or_file!r}: use one of {', '.join(shipped_edition_names())}, or a .toml "
            f"file{hint}"
        )
    return parse_edition(read_edition_file(name_or_file), origin=name_or_file)


@cache
def read_edition_file(path: str) -> str:
    """
    The text of an edition's file, which may be a pipe: it is read once.

    Raises:
        EditionError: It can't be read.
    """
    return read_small_text(path, limit=MAX_FILE_BYTES, name=f"the edition file {path}", error=EditionError)


def parse_edition(text: str, *, origin: str) -> Edition:
    """
    Read an edition from the text of its file.

    Args:
        text: TOML; the shipped `doc-2024.toml` shows the form.
        origin: What to call it in an error message.

    Raises:
        EditionError: The text is not TOML, or too large, or a statement in it is missing, unknown or contradictory.
    """
    if len(text) > MAX_FILE_BYTES:
        raise EditionError(
            f"the edition file {origin} is larger than {MAX_FILE_BYTES:,} bytes, too large for a field list"
        )
    try:
        document = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise EditionError(f"the edition file {origin} is not TOML: {error}") from None
    if "extends" in document:
        return EditionExtensionParser(document, origin, shipped_edition_names(), load_edition).edition()
    return EditionParser(document, origin).edition()
