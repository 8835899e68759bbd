"""Legal histories of calls about three connections, computed from drawn steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ..api.edition import Edition, load_edition
from .counter_increments import FieldPath
from .legal_connections import (
    ConnectionModel,
    GeneratedConnection,
    JsonValue,
    Leaves,
    concrete_path,
    connection_model,
    format_timestamp,
    make_connection_id,
    nest_leaves,
)

HISTORY_CONNECTION_COUNT: Final = 3
"""Connections in a history: two of one client, and one of another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryStep:
    """
    One drawn call of a history: the server reads its counters `wait_ns` after the previous call.

    The request is sent `before_ns` earlier and the response received `after_ns` later, so calls may overlap. Before the
    counters are read, the counter number `field` of connection `grows` grows by `by`.
    """

    operation: str
    connection: int
    wait_ns: int
    before_ns: int
    after_ns: int
    grows: int
    field: int
    by: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryCall:
    """One request and its complete response, with its times in nanoseconds since the history began."""

    operation: str
    arguments: dict[str, JsonValue] | None
    sent_ns: int
    received_ns: int
    response: JsonValue


class CallHistory:
    """
    A legal history of calls; `calls` are in the order in which the server read its counters.

    Its timestamps have 0, 6 or 9 digits after the point. `connections` are its connections at the beginning, without
    their ids; `busy` is used for missing ones.
    """

    def __init__(
        self,
        steps: Sequence[HistoryStep],
        edition: Edition | None = None,
        *,
        digits: int = 6,
        connections: Sequence[GeneratedConnection] = (),
    ) -> None:
        self.steps: tuple[HistoryStep, ...] = tuple(steps)
        self._edition = edition
        self._digits = digits
        self._connections = tuple(connections)

    @cached_property
    def calls(self) -> tuple[HistoryCall, ...]:
        """The calls that result from the steps."""
        model = connection_model(self._edition or load_edition())
        states = [dict(_find_leaves(each)) for each in self._connections]
        states += [dict(model.bases["busy"]) for _ in range(len(states), HISTORY_CONNECTION_COUNT)]
        for number, state in enumerate(states):
            state[("connection_id",)] = make_connection_id(100 + number)
            state[("client_id",)] = make_connection_id(number // 2)
        return tuple(_run_steps(self.steps, states, model, self._digits))

    def __repr__(self) -> str:
        digits = f", digits={self._digits}" if self._digits != 6 else ""
        told = any(each.base != "busy" or each.changes or each.without for each in self._connections)
        connections = f", connections={list(self._connections)!r}" if told else ""
        return f"CallHistory({list(self.steps)!r}{digits}{connections})"


def _find_leaves(node: Mapping[str, JsonValue], path: FieldPath = ()) -> Iterator[tuple[FieldPath, JsonValue]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _find_leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _run_steps(
    steps: Sequence[HistoryStep], states: Sequence[Leaves], model: ConnectionModel, digits: int
) -> Iterator[HistoryCall]:
    now_ns = 0
    for step in steps:
        now_ns += step.wait_ns
        growing = states[step.grows]
        path = concrete_path(model.edition.counters[step.field].path)
        if step.by and path in growing:
            growing[path] += step.by
            model.restore_relations(growing)
        for state in states:
            state[("timestamp",)] = format_timestamp(now_ns, digits)
        asked = states[step.connection]
        arguments = {key: asked[(key,)] for key in ("channel_id", "connection_id", "client_id")}
        if step.operation == "GetStatsConnection":
            del arguments["client_id"]
            response: JsonValue = nest_leaves(asked)
        elif step.operation == "GetStatsClient":
            del arguments["connection_id"]
            response = [nest_leaves(state) for state in states if state[("client_id",)] == asked[("client_id",)]]
        else:
            arguments = {}
            response = [nest_leaves(state) for state in states]
        yield HistoryCall(
            operation=step.operation,
            arguments=arguments or None,
            sent_ns=now_ns - step.before_ns,
            received_ns=now_ns + step.after_ns,
            response=response,
        )
