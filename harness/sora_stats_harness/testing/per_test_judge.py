"""
Judges the exchanges of one test, and decides whether the test fails for the findings.

Each test has its own judge. So what another test saw doesn't count against it, relations that need a later sample are
decided when the test ends, and simulators with the same ids aren't compared with each other.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from ..api.edition import Edition
from ..api.errors import UsageError, suggest_nearest
from ..api.exchange import TARGET_OF_OPERATION, Exchange, OpenExchange, Request, Response, Target, TransportError
from ..api.http1_faults import FramingFault
from ..api.language import translate
from ..api.project_config import Waiver
from ..api.secret_redaction import NO_SECRETS, Secrets
from ..judge.exchange_queue import PendingExchange
from ..judge.pipeline import Judge, JudgeOptions
from ..judge.requirements import DEFAULT_SEVERITY, OBSERVED_BY_CLIENTS, REQUIREMENTS, Level, Severity
from ..judge.verdict import FindingEntry
from ..judge.verdict_decision import RunScope
from ..reports.pass_policy import PassPolicy
from ..reports.report import VerdictReport
from ..reports.verdict_assembly import RunFacts, assemble_verdict, format_utc_now
from .finding_text import finding_headline, format_finding

ExchangeCallback = Callable[[Exchange], None]

TEST_SCOPE: Final = RunScope(observes=OBSERVED_BY_CLIENTS)
"""The scope of a test's exchanges."""


class PerTestJudge:
    """
    The judge of one test, from the fixture `sora_judge`; it judges every exchange of `sora_client`. Thread-safe.

    Args:
        severity: The level from which on findings fail the test, and the levels that the user set.
        waivers: Findings that these cover don't fail the test.
        secrets: Values that no text may show.
        tear_s: How far apart this server stamps a response and reads its counters, in seconds; None if unknown.
        has_standing_clock: Whether the test has frozen its simulator: then findings about the clock don't fail it.
    """

    def __init__(
        self,
        edition: Edition,
        *,
        severity: Severity = DEFAULT_SEVERITY,
        waivers: Sequence[Waiver] = (),
        secrets: Secrets = NO_SECRETS,
        tear_s: float | None = None,
        has_standing_clock: Callable[[], bool] = lambda: False,
    ) -> None:
        self._edition = edition
        self._severity = severity
        self._waivers = waivers
        self._secrets = secrets
        self._has_standing_clock = has_standing_clock
        self._lock = threading.RLock()
        self._judge = Judge(
            edition, observer=self._notify_observers, options=JudgeOptions(tear_s=tear_s, severity=severity)
        )
        self._started_at = format_utc_now()
        self._expected: dict[str, None] = {}
        self._reported = 0
        """Findings for which the test has already failed."""
        self.observers: list[ExchangeCallback] = []
        """Called with every exchange after it was judged."""
        self.fatal_lines: list[str] = []
        """After `finish_test`: a line for each finding that fails the test."""
        self.nonfatal_findings: str | None = None
        """After `finish_test`: a text about the findings that don't fail the test (of a low level, or waived)."""

    @property
    def run_id(self) -> str:
        """The id under which the exchanges are known."""
        return self._judge.run

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> OpenExchange:
        """Begin an exchange; call this right before the test itself sends the request."""
        with self._lock:
            return _LockedExchange(self._lock, self._judge.begin_exchange(request, intended_ns))

    def judge_body(self, target: Target | str, data: bytes | str | Any, name: str = "body") -> None:  # Any: JSON
        """
        Judge a body without its exchange: its shape, and the relations within it.

        Args:
            target: The operation whose response it is: `GetStatsConnection`, `GetStatsClient` or
                `GetStatsAllConnections`.
            data: The original bytes or text, or the value parsed from them.

        Raises:
            UsageError: There is no such operation.
        """
        if isinstance(target, str):
            if target not in TARGET_OF_OPERATION:
                raise UsageError(
                    f"{target!r} must be one of "
                    f"{', '.join(TARGET_OF_OPERATION)}{suggest_nearest(target, TARGET_OF_OPERATION)}"
                )
            target = TARGET_OF_OPERATION[target]
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogatepass")
        elif not isinstance(data, bytes):
            data = json.dumps(data).encode()
        with self._lock:
            self._judge.judge_bare_body(target, data, name)

    def expect_violations(self, *requirements: str) -> None:
        """
        Name requirements that this test expects to be violated: it fails if one isn't, but not for their findings.

        Raises:
            UsageError: There is no such requirement.
        """
        for id in requirements:
            if id not in REQUIREMENTS:
                raise UsageError(f"there is no requirement {id!r}{suggest_nearest(id, REQUIREMENTS)}")
            self._expected[id] = None

    @property
    def findings(self) -> list[FindingEntry]:
        """All findings so far; relations that need a later sample are decided at the end."""
        with self._lock:
            return self._judge.result().findings

    def finish_test(self) -> str | None:
        """
        Decide what is still pending.

        Returns:
            Why the test fails; None if it doesn't. A finding is returned once.
        """
        with self._lock:
            self._judge.finish()
            result = self._judge.result()
            if not (result.findings or result.crashed or self._expected):
                return None  # most tests; a report takes as long as their requests
            report = self._report()
        found = {entry.requirement for entry in report.verdict.findings}
        missing = [id for id in self._expected if id not in found]
        crashed = [row.id for row in report.verdict.requirements if row.reason == "check_crashed"]
        failing = [entry for entry in report.verdict.findings if self._fails_test(entry)]
        others = [entry for entry in report.verdict.findings if entry not in failing]
        self.nonfatal_findings = "\n\n".join(format_finding(report, entry) for entry in others) or None
        self.fatal_lines = [finding_headline(entry) for entry in failing]
        count = sum(entry.count for entry in failing) + len(missing) + len(crashed)
        if count <= self._reported:
            return None
        self._reported = count
        parts = [translate(f"{id} was expected to be violated, and was not") for id in missing]
        parts += [translate(f"the check of {id} crashed, which is a fault of the harness") for id in crashed]
        parts += [format_finding(report, entry) for entry in failing]
        return "\n\n".join(parts)

    def _report(self) -> VerdictReport:
        facts = RunFacts(
            command="pytest",
            edition=self._edition,
            subject="",
            scope=TEST_SCOPE,
            started_at=self._started_at,
            secrets=self._secrets,
        )
        policy = PassPolicy(severity=self._severity, waivers=self._waivers)
        return assemble_verdict(self._judge, facts, policy, name_evidence=False, measure_drift=False)

    def _fails_test(self, entry: FindingEntry) -> bool:
        fails = entry.status == "new" and self._severity.fails(Level[entry.level])
        if fails and entry.requirement.startswith("clock.") and self._has_standing_clock():
            return False
        return fails and entry.requirement not in self._expected

    def _notify_observers(self, exchange: Exchange) -> None:
        for observer in self.observers:
            observer(exchange)


class _LockedExchange:
    """An open exchange that is completed while holding the judge's lock."""

    def __init__(self, lock: threading.RLock, pending: PendingExchange) -> None:
        self._lock = lock
        self._pending = pending

    def complete(
        self,
        response: Response | None = None,
        error: TransportError | None = None,
        arrived_ns: int | None = None,
        faults: tuple[FramingFault, ...] = (),
    ) -> Exchange:
        with self._lock:
            return self._pending.complete(response, error, arrived_ns, faults)
