"""Runs load for a command, with the users of this process or with workers: sends, records, judges and measures."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..api.edition import load_edition, read_edition_file, shipped_edition_names
from ..api.exchange import Exchange, monotonic_clock_id
from ..api.secret_redaction import Secrets
from ..api.server_address import ServerAddress
from ..api.server_route import Route
from ..judge.verdict_decision import RunEnding, join_reasons
from ..probe.file_check import CheckStopped
from ..probe.interrupt import InterruptHandler
from ..recording.writer import RecordedRun, RecordingLimits, RecordingWriter, RunSpan
from ..reports.verdict_assembly import JudgeResultSource
from .load_run import LoadGenerator, LoadRunEnd, LocalGenerator, run_load
from .load_session import LoadSession, session_notes
from .load_spec import LoadSpec, WorkerPlan, WorkerShare
from .run_measurements import LoadPlan, RunMeasurements
from .slo import AbortLimit
from .spools import JudgingRules, SpoolFolder
from .timeline_csv import TimelineCsv
from .worker_messages import PrepareOrder
from .worker_results import JudgedWorkers, judge_workers
from .workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAccess:
    """The server to send to, and how it is reached."""

    address: ServerAddress
    kind: Literal["server", "simulator"]
    route: Route
    secrets: Secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingPlan:
    """The file and the size limit of a recording."""

    path: str
    limit_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTask:
    """What a load run needs: spec, server, workers, limits, outputs."""

    spec: LoadSpec
    server: ServerAccess
    limits: tuple[AbortLimit, ...]
    workers: WorkerPlan | None
    """None if this process sends by itself."""
    recording: RecordingPlan | None
    csv: str | None
    """The file that gets a row per second."""
    interrupt: InterruptHandler
    watch: Callable[[float, Mapping[str, int]], None]
    """Called with the progress."""
    say: Callable[[str], object]
    """Called with messages that a person should see at once."""

    @property
    def processes(self) -> int:
        """How many processes send."""
        return 1 if self.workers is None else self.workers.count

    @property
    def plan(self) -> LoadPlan:
        """The plan of the run, for its summary."""
        return self.spec.plan(self.processes)

    @property
    def options(self) -> dict[str, Any]:  # Any: JSON
        """The key `options` of verdict.json."""
        return self.spec.verdict_options(self.processes)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOutcome:
    """The outcome of a load run."""

    plan: LoadPlan
    judge: JudgeResultSource
    measures: RunMeasurements
    began_ns: int | None
    """None if it never began."""
    ending: RunEnding
    notes: list[str]

    @property
    def span(self) -> RunSpan:
        """When the run sent, for its recording."""
        if self.began_ns is None:
            return RunSpan()
        measures, began_at_s = self.measures, self.measures.metrics.began_at_s
        return RunSpan(
            began_ns=self.began_ns,
            ended_ns=self.began_ns + round(measures.lasted_s * 1e9),
            began_at_ns=None if began_at_s is None else round(began_at_s * 1e9),
            due=measures.scheduled,
            limited=measures.bottleneck(self.plan),
        )


def run_load_task(task: LoadTask) -> LoadOutcome:
    """
    Send, judge, record and measure.

    Raises:
        HarnessError: The run could not be carried out.
        UsageError: The recording cannot be written.
    """
    with ExitStack() as stack:
        recorder = _create_recorder(task)
        if recorder is not None:
            stack.enter_context(recorder)  # opens the file now, not after a run of ten minutes
        timeline = None if task.csv is None else stack.enter_context(TimelineCsv(task.csv))
        outcome = (_run_in_process if task.workers is None else _run_with_workers)(task, recorder, timeline)
        if recorder is not None:
            ending = outcome.ending
            recorder.mark_early_end(interrupted=ending.interrupted, aborted=ending.broken or ending.aborted)
            recorder.mark_span(outcome.span)
    if recorder is not None and recorder.problem is not None:
        outcome.notes.append(recorder.problem)
    if timeline is not None and timeline.problem is not None:
        outcome.notes.append(timeline.problem)
    return outcome


def _create_recorder(task: LoadTask) -> RecordingWriter | None:
    if task.recording is None:
        return None
    return RecordingWriter(
        task.recording.path,
        RecordedRun(
            subject=task.server.address.server,
            subject_kind=task.server.kind,
            edition=load_edition(task.spec.edition).name,
            options=task.options | task.spec.scope.to_options(),
        ),
        secrets=task.server.secrets,
        limits=RecordingLimits(file_bytes=task.recording.limit_bytes),
    )


def _send(task: LoadTask, generator: LoadGenerator, timeline: TimelineCsv | None) -> LoadRunEnd:
    return run_load(
        generator,
        duration_s=task.spec.duration_s,
        limits=task.limits,
        interrupt=task.interrupt,
        watch=task.watch,
        timeline=timeline,
    )


def _run_in_process(task: LoadTask, recorder: RecordingWriter | None, timeline: TimelineCsv | None) -> LoadOutcome:
    session = LoadSession(
        load_edition(task.spec.edition),
        task.server.address,
        task.spec,
        observer=None if recorder is None else recorder.add_exchange,
    )
    generator = LocalGenerator(session, task.interrupt)
    end = _send(task, generator, timeline)
    return LoadOutcome(
        plan=task.plan,
        judge=session.judge,
        measures=generator.measures(),
        began_ns=end.began_ns,
        ending=replace(
            end.ending,
            aborted=end.ending.aborted or session.outage_text,
            broken=end.ending.broken or session.final_break_text,
        ),
        notes=session_notes(session),
    )


def _run_with_workers(task: LoadTask, recorder: RecordingWriter | None, timeline: TimelineCsv | None) -> LoadOutcome:
    assert task.workers is not None, "asked for"
    with SpoolFolder(None if task.recording is None else task.recording.path, task.say) as folder:
        if not task.workers.are_started_here:
            task.say(f"waiting for {task.workers.description}")
        order = prepare_order(task.spec, task.server, folder.path)
        with Workers(task.workers, order, task.interrupt) as workers:
            end = _send(task, workers, timeline)
            trouble = workers.trouble()
        task.say(f"judging together what {task.processes:d} workers saw")
        judged = judge_when_over(workers, folder, task.interrupt, None if recorder is None else recorder.add_exchange)
    measures = judged.measures
    if task.spec.rate is not None:
        whole = None if end.began_ns is None else task.spec.schedule(end.began_ns, WorkerShare())
        due = 0 if whole is None else whole.scheduled_count(end.ended_ns)
        measures.scheduled = max(due, measures.scheduled or 0)  # workers learn slightly later that the run is over
    aborted = join_reasons(end.ending.aborted, trouble, *judged.reasons)
    if aborted is None and not end.ending.interrupted:
        aborted = judged.outage
    silent = [f"{name} had sent {sent:,} requests as it last said" for name, sent in workers.sent_by_silent().items()]
    return LoadOutcome(
        plan=task.plan,
        judge=judged.judge,
        measures=measures,
        began_ns=end.began_ns,
        ending=RunEnding(
            interrupted=end.ending.interrupted or judged.interrupted,
            aborted=aborted,
            broken=end.ending.broken or judged.broken,
        ),
        notes=[*judged.notes, *silent],
    )


def prepare_order(spec: LoadSpec, server: ServerAccess, folder: Path) -> PrepareOrder:
    """The order for all workers together; the master gives each its share."""
    shipped = spec.edition in shipped_edition_names()
    return PrepareOrder(
        spec=spec,
        index=0,
        workers=1,
        run=str(uuid.uuid4()),
        edition_text=None if shipped else read_edition_file(spec.edition),
        server=server.address.server,
        addresses=server.address.addresses,
        route=server.route,
        subject_kind=server.kind,
        secrets=server.secrets.values,
        clock=monotonic_clock_id(),
        spool_folder=str(folder.absolute()),
    )


def judge_when_over(
    workers: Workers,
    folder: SpoolFolder,
    interrupt: InterruptHandler,
    observer: Callable[[Exchange], None] | None = None,
) -> JudgedWorkers:
    """Judge what workers saw; a signal ends that, unless it ended the run itself."""
    signals: list[bool] = []
    interrupt.set_callback(None if interrupt.is_interrupted else lambda: signals.append(True))

    def tick() -> None:
        if signals:
            raise CheckStopped

    rules = JudgingRules.of(workers.order.spec)
    judged = judge_workers(rules, workers.results, folder.path, names=workers.names, observer=observer, tick=tick)
    folder.is_kept = judged.has_unread_spools
    return judged
