"""
Finds connections to request in responses.

Only the three ids are read, with a decoder that skips the rest: judging the response is the judge's task. Connections
that can't be requested again are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ..api.exchange import Response

_MAX_ID_BYTES: Final = 1024
"""The longest id: four times the documented limit, so that no server makes us send megabytes."""

_MAX_OBJECTS: Final = 1_000_000
"""The largest body that is read, enough for 20,000 connections; a body of many `{}` would take gigabytes to decode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownConnection:
    """A connection to request from the server that listed it; an id is None as long as it is unknown."""

    server: str
    channel_id: str
    connection_id: str | None = None
    client_id: str | None = None


class _DiscoveredIds(msgspec.Struct):
    """The ids of a connection."""

    channel_id: Any = msgspec.UNSET  # Any: whatever the server put there
    client_id: Any = msgspec.UNSET
    connection_id: Any = msgspec.UNSET


_DECODER: Final[msgspec.json.Decoder[list[_DiscoveredIds] | _DiscoveredIds]] = msgspec.json.Decoder(
    list[_DiscoveredIds] | _DiscoveredIds
)

_NO_IDS: Final = _DiscoveredIds()


def connections_in_response(server: str, response: Response) -> list[KnownConnection] | None:
    """
    The connections in a response, those left out whose ids cannot be used.

    Returns:
        None if it is nothing that Sora says: neither an object nor a list of them, or objects of which none has an id of any
        form.
    """
    if response.status != 200 or response.body.count(b"{") > _MAX_OBJECTS:
        return None
    try:
        value = _DECODER.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    objects = value if isinstance(value, list) else [value]
    if objects and all(ids == _NO_IDS for ids in objects):
        return None
    found = []
    for ids in objects:
        if _is_id(ids.channel_id) and _is_id(ids.connection_id):
            client_id = ids.client_id if _is_id(ids.client_id) else None
            found.append(
                KnownConnection(
                    server=server, channel_id=ids.channel_id, connection_id=ids.connection_id, client_id=client_id
                )
            )
    return list(dict.fromkeys(found))


def _is_id(value: object) -> bool:
    return isinstance(value, str) and len(value.encode()) <= _MAX_ID_BYTES
