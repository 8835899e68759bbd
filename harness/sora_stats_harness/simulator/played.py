"""
Answers out of a recording instead of a world, for whoever tests a client against what a server once really said.

Reading the recording is not done here: answers come in as plain data, in the order in which they were received. Each
request gets the next answer that was recorded for the same operation and ids. One that had been asked for before an
answer already given about the same connection was in is passed over: so whatever order a client asks in, and though the
recorded requests overlapped, counters only fall where they fell on the recorded server. After the last answer of a kind
that one is given again and again, with each of its connections as it was last shown in any answer: to begin anew would
let every counter fall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from .calls import Reply
from .wire import Asked, refusal

Key = tuple[int, str, tuple[tuple[str, object], ...]]
"""Node, operation, and the arguments that tell one request from another."""

Moment = tuple[int, int]
"""Which of the recording's clocks, in the order in which they are read, and nanoseconds on it."""

IDS: Final[Mapping[str, tuple[str, ...]]] = {
    "GetStatsConnection": ("channel_id", "connection_id"),
    "GetStatsClient": ("channel_id", "client_id"),
    "GetStatsAllConnections": ("local",),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recorded:
    """One answer: what was asked of which node and when, whose connections it shows, and what came back."""

    sent: Moment
    received: Moment
    node: int
    operation: str
    arguments: Mapping[str, Any]  # Any: of the types in wire.OPERATIONS
    connections: tuple[str, ...]
    """What `connections_in` gives."""
    status: int
    headers: tuple[tuple[str, str], ...]
    body: Callable[[], bytes]
    """A recording may be larger than memory, so bodies are fetched when they are needed."""


class _Ids(msgspec.Struct):
    connection_id: str


_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_IDS: Final = msgspec.json.Decoder(_Ids)


def _parts(operation: str, body: bytes) -> list[msgspec.Raw]:
    return [msgspec.Raw(body)] if operation == "GetStatsConnection" else _ARRAY.decode(body)


def connections_in(operation: str, body: bytes) -> tuple[str, ...]:
    """
    The ids of the connections in a body, in their order; none where one of them has none, or it is another body.

    >>> connections_in("GetStatsClient", b'[{"connection_id":"a"},{"connection_id":"b"}]')
    ('a', 'b')
    """
    try:
        return tuple(_IDS.decode(part).connection_id for part in _parts(operation, body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()


class Played:
    """
    A recording that is being answered from; it belongs to one thread.

    Args:
        answers: In the order in which they were received.
    """

    def __init__(self, answers: Iterable[Recorded]) -> None:
        self._lines: dict[Key, list[Recorded]] = {}
        self._next: dict[Key, int] = {}
        self._shown: dict[str, Recorded] = {}
        """By connection, the answer given about it that was received last."""
        self.answers = 0
        self.nodes = 1
        for answer in answers:
            self._lines.setdefault(_key(answer.node, answer.operation, answer.arguments), []).append(answer)
            self.answers += 1
            self.nodes = max(self.nodes, answer.node + 1)

    def reply(self, node: int, asked: Asked) -> Reply:
        """Answer a valid request; 400 `NotRecorded` where there is nothing about these ids."""
        key = _key(node, asked.operation, asked.arguments)
        if key not in self._lines and self.nodes == 1 and asked.operation == "GetStatsAllConnections":
            key = _key(
                node, asked.operation, {"local": not asked.arguments.get("local", True)}
            )  # one node is the whole
        if key not in self._lines:
            return refusal("NotRecorded")
        line = self._lines[key]
        for index in range(self._next.get(key, 0), len(line)):
            answer = line[index]
            shown = [self._shown[each] for each in answer.connections if each in self._shown]
            if all(other.received < answer.sent for other in shown):
                self._next[key] = index + 1
                self._shown.update(dict.fromkeys(answer.connections, answer))
                return _reply(answer, answer.body())
        self._next[key] = len(line)
        return _reply(line[-1], self._again(line[-1]))

    def _again(self, answer: Recorded) -> bytes:
        """The body of an answer, with its connections as they were last shown; as it is where it holds none."""
        sources = {self._shown.get(each, answer) for each in answer.connections}
        if sources <= {answer}:
            return answer.body()
        readings = {
            connection_id: reading
            for source in sources
            for connection_id, reading in zip(source.connections, _parts(source.operation, source.body()), strict=True)
            if self._shown.get(connection_id, answer) is source
        }
        latest = [readings[each] for each in answer.connections]
        return msgspec.json.encode(latest[0] if answer.operation == "GetStatsConnection" else latest)


def _reply(answer: Recorded, body: bytes) -> Reply:
    return Reply(status=answer.status, headers=answer.headers, body=body)


def _key(node: int, operation: str, arguments: Mapping[str, object]) -> Key:
    return node, operation, tuple((name, arguments.get(name, True)) for name in IDS[operation])
