"""Legal histories of calls about three connections, worked out from drawn steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ..api.edition import Edition, load_edition
from .legal_connections import (
    ConnectionModel,
    JsonValue,
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
    One call of a history, as drawn: `wait_ns` after the call before, the server reads its counters.

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

    Its timestamps have 0, 6 or 9 digits after the point.
    """

    def __init__(self, steps: Sequence[HistoryStep], edition: Edition | None = None, *, digits: int = 6) -> None:
        self.steps: tuple[HistoryStep, ...] = tuple(steps)
        self._edition = edition
        self._digits = digits

    @cached_property
    def calls(self) -> tuple[HistoryCall, ...]:
        """The calls that the steps amount to."""
        return tuple(_run_steps(self.steps, connection_model(self._edition or load_edition()), self._digits))

    def __repr__(self) -> str:
        digits = f", digits={self._digits}" if self._digits != 6 else ""
        return f"CallHistory({list(self.steps)!r}{digits})"


def _run_steps(steps: Sequence[HistoryStep], model: ConnectionModel, digits: int) -> Iterator[HistoryCall]:
    states = [
        model.bases["busy"]
        | {("connection_id",): make_connection_id(100 + number), ("client_id",): make_connection_id(number // 2)}
        for number in range(HISTORY_CONNECTION_COUNT)
    ]
    now_ns = 0
    for step in steps:
        now_ns += step.wait_ns
        if step.by:
            growing = states[step.grows]
            growing[concrete_path(model.edition.counters[step.field].path)] += step.by
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
