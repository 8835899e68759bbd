"""
The Locust user that all scenarios are made of.

Locust starts and stops users, and shows their requests; how a request is sent, timed and judged is the session's.
"""

from __future__ import annotations

import time
from typing import Any

from locust import User, task
from locust.exception import StopUser

from ..exchange import ErrorCode
from .session import Session, failure
from .wire import Prepared


class SoraUser(User):
    """
    One user: takes its turn, sends what its scenario chooses, and tells Locust.

    A scenario of one's own is a subclass with a `choose`; see docs/LOAD.md.
    """

    abstract = True

    def choose(self, session: Session) -> Prepared:
        """The next request."""
        raise NotImplementedError("a scenario says what to send")  # pragma: no cover

    def on_start(self) -> None:
        """Take a connection."""
        self._session = session_of(self.environment)
        self._connection = self._session.connection()
        self._last_sent_ns: int | None = None

    def on_stop(self) -> None:
        """Leave it."""
        self._connection.close()

    @task
    def ask(self) -> None:
        """Send one request, when it is due."""
        session = self._session
        intended_ns = session.await_turn(self._last_sent_ns)
        if session.draining:
            raise StopUser
        prepared = self.choose(session)
        self._last_sent_ns = time.monotonic_ns()
        exchange, missed = session.send(self._connection, prepared, intended_ns)
        if exchange.error is not None and exchange.error.code is ErrorCode.ABANDONED:
            return
        name = failure(exchange, missed)
        arrived_ns = exchange.received_ns if exchange.arrived_ns is None else exchange.arrived_ns
        self.environment.events.request.fire(
            request_type="POST",
            name=prepared.name,
            response_time=(arrived_ns - (exchange.intended_ns or exchange.sent_ns)) / 1e6,
            response_length=len(exchange.answer.body) if exchange.answer is not None else 0,
            exception=Failed(name) if name is not None else None,
            context={},
        )


class Failed(Exception):
    """What Locust's failure table shows of an exchange."""


def session_of(environment: Any) -> Session:  # Any: locust.env.Environment, to which we add an attribute
    """The session of a Locust environment: made by the command `load`, or on the spot under plain Locust."""
    session = getattr(environment, "sora_session", None)
    if session is None:
        from .plain import begin

        session = begin(environment)
    assert isinstance(session, Session), "nobody else sets it"
    return session
