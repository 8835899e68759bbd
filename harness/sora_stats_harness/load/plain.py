"""
Under plain `locust -f`, without our command: a session for the host that Locust was given, and a verdict at the end.
"""

from __future__ import annotations

import sys
from typing import Any

import gevent
from locust.exception import StopUser

from ..checks.requirements import Need
from ..client import server_of
from ..edition import load
from ..errors import ExitCode, UsageError
from ..exchange import TransportError
from ..reporters.escape import visible
from ..verdict import conclude
from .http import resolve
from .session import Session


def begin(environment: Any) -> Session:  # Any: locust.env.Environment, to which we add an attribute
    """
    Make the session of an environment, and have it concluded when Locust quits.

    Raises:
        StopUser: No host was given, or its name does not resolve; that was said, and Locust quits with status 2.
    """
    try:
        if not environment.host:
            raise UsageError("give the server by --host, such as --host http://127.0.0.1:3000")
        address = resolve(server_of(environment.host))
        if isinstance(address, TransportError):
            raise UsageError(f"{environment.host}: {address.detail}")
    except UsageError as error:
        if environment.process_exit_code is None:  # the first user of many
            sys.stderr.write(f"sora-harness: {error}\n")
            environment.process_exit_code = int(ExitCode.USAGE)
            gevent.spawn(environment.runner.quit)
        raise StopUser from None
    session = Session(load(), address)
    session.begin()
    environment.sora_session = session
    environment.events.quitting.add_listener(_conclude)
    return session


def _conclude(environment: Any, **_: Any) -> None:  # Any: as Locust calls it
    session: Session = environment.sora_session
    session.judge.finish()
    tally = session.judge.tally()
    outcome = conclude(tally, observes={Need.EXCHANGES, Need.BODIES, Need.ARGUMENTS, Need.TIMES})
    sys.stderr.write(f"sora-harness: {outcome.verdict} ({outcome.reason or 'no MUST is missed'})\n")
    for entry in tally.findings:
        line = f"{entry.level} {entry.requirement} {entry.field} x{entry.count}: {entry.message}"
        sys.stderr.write(f"  {visible(line)}\n")
    if outcome.exit_code is ExitCode.FAIL:
        environment.process_exit_code = int(ExitCode.FAIL)
