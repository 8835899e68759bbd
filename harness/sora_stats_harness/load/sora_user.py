"""
The Locust user that all scenarios are based on.

Locust starts and stops users, and shows their requests; the session sends, times and judges the requests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar, Final

from gevent.lock import Semaphore
from locust import User, events, task
from locust.exception import StopUser

from ..api.errors import HarnessError, describe_break
from ..api.exchange import Exchange, Target
from .http_connection import HttpConnection
from .live_findings import export_findings
from .load_session import LoadSession
from .locust_distributed import set_up_distributed, start_spool
from .locust_settings import add_locust_options
from .locust_standalone import start_locust_session
from .precise_timer import PreciseTimer
from .prepared_request import PreparedRequest
from .request_metrics import operation_name
from .request_source import RequestSource

TASK_LENGTH_NS: Final = 100_000_000
"""How long a user continues before it returns to Locust."""

_SESSION_CREATION_LOCK: Final = Semaphore()


class SoraUser(User):
    """
    One user: waits for its turn, sends the request that its scenario chooses, and reports it to Locust.

    Your own scenario is a subclass with a `choose` method; see docs/LOAD.md.
    """

    abstract = True

    targets: ClassVar[frozenset[Target] | None] = None
    """The targets of the run's scope; None for those that were requested. Look-ups of ids don't count."""

    interval_s: ClassVar[float] = 0.1
    """The time from a user's request to its next, unless `--sora-interval` is given."""

    def choose(self, requests: RequestSource) -> PreparedRequest:
        """Choose the next request; by default any of the three targets, by the run's weights."""
        return requests.random_request()

    def on_start(self) -> None:
        """Make a connection, and wait for the start."""
        self._session = get_or_create_session(self.environment)
        self._connection = self._session.new_connection()
        self._timer = PreciseTimer()
        self._session.wait_for_start()
        self._turn_ns = self._session.first_send_ns()

    def on_stop(self) -> None:
        """Close the connection, if there is one."""
        if not hasattr(self, "_timer"):
            return
        self._connection.close()
        self._timer.close()

    @task
    def send_requests(self) -> None:
        """Send requests when they are due, for a while, since Locust's work between two tasks takes time."""
        session = self._session
        until_ns = time.monotonic_ns() + TASK_LENGTH_NS
        while True:
            intended_ns = session.wait_for_turn(self._timer, self._turn_ns)
            if not session.shares_sockets:
                self._send_one(self._connection, intended_ns)
            else:
                wanted_ns = time.monotonic_ns()
                with session.borrow_connection() as connection:
                    self._send_one(connection, wanted_ns if intended_ns is None else intended_ns)
            if time.monotonic_ns() >= until_ns:
                return

    def _send_one(self, connection: HttpConnection, intended_ns: int | None) -> None:
        session = self._session
        if connection.consecutive_failures:
            self._timer.wait_until(time.monotonic_ns() + int(connection.backoff_s * 1e9), session.is_draining)
        if session.draining:
            raise StopUser
        if session.is_paced:
            self._turn_ns = session.next_turn_ns(self._turn_ns)
        chosen = self.choose(session.requests)
        try:
            session.send(connection, chosen, intended_ns)
        except HarnessError:
            raise  # what was chosen must not be sent
        except Exception as error:
            session.note_break(describe_break(error))
            raise


def locust_request_reporter(environment: Any) -> Callable[[Exchange, str | None], None]:  # Any: locust.env.Environment
    """A function that reports each exchange to Locust's tables, charts and files, except those that we gave up."""
    fire = environment.events.request.fire

    def show(exchange: Exchange, failed: str | None) -> None:
        if exchange.error is not None and failed is None:
            return
        arrived_ns = exchange.received_ns if exchange.arrived_ns is None else exchange.arrived_ns
        intended_ns = exchange.sent_ns if exchange.intended_ns is None else exchange.intended_ns
        fire(
            request_type="POST",
            name=operation_name(exchange.request),
            response_time=(arrived_ns - intended_ns) / 1e6,
            response_length=len(exchange.response.body) if exchange.response is not None else 0,
            exception=RequestFailed(failed) if failed is not None else None,
            context={},
        )

    return show


class RequestFailed(Exception):
    """The text that Locust's failure table shows for an exchange."""


def get_or_create_session(environment: Any) -> LoadSession:  # Any: locust.env.Environment, to which we add an attribute
    """The session of a Locust environment: made by the command `load`, or here under plain Locust."""
    with _SESSION_CREATION_LOCK:  # the name look-up lets other users begin meanwhile
        session = getattr(environment, "sora_session", None)
        if session is None:
            session = start_locust_session(environment)
            session.on_judged = locust_request_reporter(environment)
            export_findings(environment, session.live_findings)
            start_spool(environment)
    assert isinstance(session, LoadSession), "nobody else sets it"
    return session


# Both must be registered before Locust reads its command line and makes its runner.
events.init_command_line_parser.add_listener(add_locust_options)
events.init.add_listener(set_up_distributed)
