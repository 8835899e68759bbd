"""
Plays responses from a recording instead of a simulated world, to test a client against what a real server said.

Another module reads the recording: responses come in as plain data, in the order in which they were received. Each
request gets the next response that was recorded for the same operation and ids. A response is skipped if its request
was sent before one that the client has already got newer statistics of the same connection from. So in whatever order a
client asks, and although recorded requests may overlap, counters only fall where they fell on the recorded server.
After the last response of a kind, that one is repeated, with each of its connections as any response last showed it:
starting over would let every counter fall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from .fault_interface import SimulatedResponse
from .request_parser import ARGUMENT_TYPES, ParsedRequest, make_error_response

RequestKey = tuple[int, str, tuple[tuple[str, object], ...]]
"""Node, operation, and arguments."""

RecordingTime = tuple[int, int]
"""The number of one of the recording's clocks, in the order of reading, and nanoseconds on it."""

_ARGUMENT_NAMES: Final = {operation: tuple(types) for (_, operation), types in ARGUMENT_TYPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlayableResponse:
    """One recorded response, with its request and its times."""

    sent: RecordingTime
    received: RecordingTime
    node: int
    operation: str
    arguments: Mapping[str, Any]  # Any: of the types in ARGUMENT_TYPES
    connections: tuple[str, ...]
    """The ids of its connections, from `connection_ids_in_body`."""
    status: int
    headers: tuple[tuple[str, str], ...]
    body: Callable[[], bytes]
    """Fetches the body when it is needed, since a recording may be larger than memory."""


class _ConnectionIdField(msgspec.Struct):
    connection_id: str


_ARRAY_DECODER: Final = msgspec.json.Decoder(list[msgspec.Raw])
_CONNECTION_ID_DECODER: Final = msgspec.json.Decoder(_ConnectionIdField)


def _split_samples(operation: str, body: bytes) -> list[msgspec.Raw]:
    return [msgspec.Raw(body)] if operation == "GetStatsConnection" else _ARRAY_DECODER.decode(body)


def connection_ids_in_body(operation: str, body: bytes) -> tuple[str, ...]:
    """
    The ids of the connections in a body, in order; empty if a connection lacks its id, or the body is something else.

    >>> connection_ids_in_body("GetStatsClient", b'[{"connection_id":"a"},{"connection_id":"b"}]')
    ('a', 'b')
    """
    try:
        return tuple(_CONNECTION_ID_DECODER.decode(part).connection_id for part in _split_samples(operation, body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()


class RecordingPlayer:
    """
    Plays a recording: chooses the response to each request. For one thread.

    Args:
        responses: The recorded responses in the order in which they were received.
    """

    def __init__(self, responses: Iterable[PlayableResponse]) -> None:
        self._lines: dict[RequestKey, list[PlayableResponse]] = {}
        self._next: dict[RequestKey, int] = {}
        self._shown: dict[str, PlayableResponse] = {}
        """For each connection, the newest response about it that was returned."""
        self.responses: int = 0
        self.nodes: int = 1
        for response in responses:
            key = _request_key(response.node, response.operation, response.arguments)
            self._lines.setdefault(key, []).append(response)
            self.responses += 1
            self.nodes = max(self.nodes, response.node + 1)

    def next_response(self, node: int, asked: ParsedRequest) -> SimulatedResponse:
        """The response to a valid request; 400 `NotRecorded` if nothing was recorded about these ids."""
        key = _request_key(node, asked.operation, asked.arguments)
        if key not in self._lines and self.nodes == 1 and asked.operation == "GetStatsAllConnections":
            # a single node is the whole cluster, so both values of `local` mean the same
            key = _request_key(node, asked.operation, {"local": not asked.arguments.get("local", True)})
        if key not in self._lines:
            return make_error_response("NotRecorded")
        line = self._lines[key]
        for index in range(self._next.get(key, 0), len(line)):
            response = line[index]
            shown = [self._shown[each] for each in response.connections if each in self._shown]
            if all(other.received < response.sent for other in shown):
                self._next[key] = index + 1
                self._shown.update(dict.fromkeys(response.connections, response))
                return _to_simulated_response(response, response.body())
        self._next[key] = len(line)
        return _to_simulated_response(line[-1], self._latest_body(line[-1]))

    def _latest_body(self, response: PlayableResponse) -> bytes:
        """The body of a response, with its connections as last shown; unchanged if it has none."""
        sources = {self._shown.get(each, response) for each in response.connections}
        if sources <= {response}:
            return response.body()
        samples = {
            connection_id: sample
            for source in sources
            for connection_id, sample in zip(
                source.connections, _split_samples(source.operation, source.body()), strict=True
            )
            if self._shown.get(connection_id, response) is source
        }
        latest = [samples[each] for each in response.connections]
        return msgspec.json.encode(latest[0] if response.operation == "GetStatsConnection" else latest)


def _to_simulated_response(response: PlayableResponse, body: bytes) -> SimulatedResponse:
    return SimulatedResponse(status=response.status, headers=response.headers, body=body)


def _request_key(node: int, operation: str, arguments: Mapping[str, object]) -> RequestKey:
    return node, operation, tuple((name, arguments.get(name, True)) for name in _ARGUMENT_NAMES[operation])
