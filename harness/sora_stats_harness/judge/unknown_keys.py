"""
Cuts keys that the edition does not know out of a connection, so that the rest can be decoded as usual.

Otherwise a server that writes a new key in each response would have each response surveyed, which costs fifty times as
much as decoding: a key that comes only once can't be learned.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw

from ..api.edition import FieldPath
from .edition_decoder import EditionDecoder

MAX_GROUPS: Final = 4
"""In how many groups of one connection keys are cut out; a connection with more is surveyed."""

_UNKNOWN: Final = re.compile(r"Object contains unknown field .*?(?: - at `\$((?:\.\w+)+)`)?", re.DOTALL)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])


class CutConnection(msgspec.Struct, frozen=True):
    """A connection without the keys that the edition does not know."""

    rest: bytes
    members: list[tuple[FieldPath, bytes]]
    """The paths and values that were cut out."""


def cut_unknown_keys(codec: EditionDecoder, piece: bytes, error: Exception) -> CutConnection | None:
    """
    Cut unknown keys out of a connection.

    Args:
        piece: Its bytes.
        error: Why the decoder did not accept it.

    Returns:
        None if something else is wrong as well, a key is repeated beside an unknown one, or there is white space, which
        would hide repeated keys.
    """
    rest, members = piece.strip(b" \t\r\n"), list[tuple[FieldPath, bytes]]()
    for _ in range(MAX_GROUPS):
        found = _UNKNOWN.fullmatch(str(error))
        if found is None:
            return None
        path = tuple(found[1][1:].split(".")) if found[1] else ()
        columns = next((plan.columns for plan in codec.plans if plan.group.path == path), None)
        made = None if columns is None else _cut_group(rest, path, frozenset(columns))
        if made is None:
            return None
        rest, cut = made
        members += [((*path, key), value) for key, value in cut.items()]
        try:
            codec.one.decode(rest)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as further:
            error = further
        else:
            return CutConnection(rest, members)
    return None


def _cut_group(text: bytes, path: FieldPath, known: frozenset[str]) -> tuple[bytes, dict[str, bytes]] | None:
    """The text of an object without the unknown keys of one of its groups; None if that changes anything else."""
    try:
        members = _MEMBERS.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if msgspec.json.encode(members) != text:
        return None
    if path:
        below = _cut_group(bytes(members[path[0]]), path[1:], known)
        if below is None:
            return None
        members[path[0]], cut = Raw(below[0]), below[1]
    else:
        cut = {key: bytes(members.pop(key)) for key in list(members) if key not in known}
    return msgspec.json.encode(members), cut
