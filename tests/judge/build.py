"""Exchanges of one's own making, and what a judge says of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from sora_stats_harness.api import edition
from sora_stats_harness.api.exchange import (
    ErrorCode,
    Exchange,
    Headers,
    Request,
    Response,
    Target,
    TransportError,
    make_valid_request,
)
from sora_stats_harness.api.http1_faults import FramingFault
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.requirements import Finding, Level
from sora_stats_harness.judge.verdict import JudgeResult

Json = Any
"""Whatever JSON can hold."""

EXAMPLE: Final[dict[str, Json]] = json.loads(
    (Path(__file__).parents[1] / "data" / "example_response.json").read_text(encoding="utf-8")
)
DOC: Final = edition.load_edition()
SERVER: Final = "http://127.0.0.1:3000"
IDS: Final = tuple(f"{letter * 25}0" for letter in "ABCDEFGH")
MS: Final = 1_000_000
SECOND: Final = 1000 * MS


def connection(connection_id: str = IDS[0], stamp_ns: int = 0, **changes: Json) -> dict[str, Json]:
    """The example as another connection, less what is undocumented; changes by dotted path with `__` for dots."""
    document = deepcopy(EXAMPLE)
    del document["sctp"]["total_pruned_sctp_data_chunk"]
    document |= {"connection_id": connection_id, "timestamp": stamp(stamp_ns)}
    for name, value in changes.items():
        *path, key = name.split("__")
        node = document
        for step in path:
            node = node.setdefault(step, {})
        node[key] = value
    return document


def stamp(ns: int) -> str:
    """A time of the server, which has our clock."""
    minutes, rest = divmod(ns // 1000, 60_000_000)
    return f"2026-11-24T{12 + minutes // 60:02d}:{minutes % 60:02d}:{rest // 1_000_000:02d}.{rest % 1_000_000:06d}Z"


def ask(connection_id: str = IDS[0], server: str = SERVER) -> Request:
    """GetStatsConnection."""
    return make_valid_request(
        Target.CONNECTION, server=server, channel_id=EXAMPLE["channel_id"], connection_id=connection_id
    )


def ask_client(client_id: str = EXAMPLE["client_id"], server: str = SERVER) -> Request:
    """GetStatsClient."""
    return make_valid_request(Target.CLIENT, server=server, channel_id=EXAMPLE["channel_id"], client_id=client_id)


def list_all(local: bool | None = None, server: str = SERVER) -> Request:
    """GetStatsAllConnections."""
    return make_valid_request(Target.ALL, server=server, local=local)


class Talk:
    """A run that is written down exchange by exchange, and judged at the end."""

    def __init__(self, judge: Judge | None = None) -> None:
        self.findings: list[Finding] = []
        self.judge = judge or Judge(DOC, on_finding=lambda finding: self.findings.append(finding))
        self._seq = 0

    def add(
        self,
        request: Request,
        sent_ns: int,
        received_ns: int,
        body: Json = None,
        *,
        status: int = 200,
        error: ErrorCode | None = None,
        headers: Headers = (("content-type", "application/json"),),
        run: str = "r",
    ) -> Exchange:
        """One exchange; a body that is no bytes is written as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = None if error is not None else Response(status=status, headers=headers, body=raw)
        failure = None if error is None else TransportError(code=error, detail=error.value)
        return self.take(request, sent_ns, received_ns, response, failure, run=run)

    def take(
        self,
        request: Request,
        sent_ns: int,
        received_ns: int,
        response: Response | None,
        error: TransportError | None = None,
        faults: tuple[FramingFault, ...] = (),
        *,
        run: str = "r",
    ) -> Exchange:
        """One exchange as a client hands it over."""
        exchange = Exchange(
            run=run,
            seq=self._seq,
            request=request,
            clock="c",
            sent_ns=sent_ns,
            received_ns=received_ns,
            sent_at=stamp(sent_ns),
            response=response,
            error=error,
            faults=faults,
        )
        self._seq += 1
        self.judge.judge_recorded(exchange, open_sent_ns=())
        return exchange

    def end(self) -> JudgeResult:
        """Finish, and sum up."""
        self.judge.finish()
        result = self.judge.result()
        assert result.crashed == {}
        return result

    def told(self, least: Level = Level.HABIT) -> list[str]:
        """The requirements of all findings, in their order."""
        return [finding.requirement for finding in self.findings if finding.level >= least]


def requirements(findings: Iterable[Finding]) -> set[str]:
    """Each once."""
    return {finding.requirement for finding in findings}
