"""Squire as it follows pull requests, without Dagster's processes: its own ops, called one after the other.

Which op is due is decided by the rules that the sensors have. Any op may be killed; another process then goes on.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import dagster as dg
import httpx

from squire_forge.records import Delivery
from squire_pipelines import tags
from squire_pipelines.assets.signal_sources import SOURCES, signal_key
from squire_pipelines.assets.signals import CollectConfig, collect_signals
from squire_pipelines.domain.launching import LaunchStage, LaunchState, ProcessorLoad
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.execution import recovery, workspace
from squire_pipelines.execution.following import begin_work
from squire_pipelines.execution.repository_settings import repository_settings
from squire_pipelines.github.access import access_from
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.kept_answers import KeptAnswers
from squire_pipelines.jobs.agent_run import prepare, publish, settle
from squire_pipelines.jobs.follow import follow_pull_requests
from squire_pipelines.jobs.leased import leased_attempt
from squire_pipelines.ledger import attempts, deliveries, tasks
from squire_pipelines.ledger.github_limits import LedgerLimits
from squire_pipelines.sensors.outcomes import outcomes as outcomes_sensor
from squire_pipelines.settings.model import Settings
from tests.support.deliveries import record_delivery
from tests.support.ledgers import Clock, dispatch, list_tasks
from tests.support.life_agent import ScriptedAgent
from tests.support.life_kills import KilledError, MortalLedger, MortalTransport

_log = logging.getLogger("lives")
_MAX_ROUNDS = 60
_MAX_RUNS_OF_ONE = 200
_MOMENTS = 14
_LOST = 0.15


class _ReasonLog:
    """Keeps what a sensor says."""

    last = ""

    def info(self, text: str) -> None:
        """Keep it."""
        self.last = text


class _NoRuns:
    """Dagster's instance as ops and sensors need it: no run is under way, and nobody cancels one."""

    def get_runs(self, *_: object, **__: object) -> list[object]:
        """Know no run."""
        return []

    def get_run_records(self, *_: object, **__: object) -> list[object]:
        """Know no run."""
        return []

    def get_run_by_id(self, _run_id: str) -> None:
        """Know no run."""

    def get_run_stats(self, _run_id: str) -> None:
        """Know nothing of a run's times."""

    def get_dynamic_partitions(self, _name: str) -> list[str]:
        """Know no partition."""
        return []


class OpContext:
    """What an op gets to see of its run."""

    def __init__(self, run_tags: Mapping[str, str], run_id: str | None = None, keys: tuple[str, ...] = ()) -> None:
        self.run = SimpleNamespace(run_id=run_id or str(uuid4()), tags=dict(run_tags), job_name="life")
        self.op_handle = SimpleNamespace(name="life")
        self.instance = _NoRuns()
        self.log = _log
        self.partition_keys = keys
        self.selected_asset_keys = {signal_key(source) for source in SOURCES}
        self.metadata: dict[str, Any] = {}

    def add_output_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Keep it."""
        self.metadata |= metadata

    def log_event(self, _event: object) -> None:
        """Pass over it."""


class LifeGitHub(GitHub):
    """GitHub by another transport."""

    def __init__(self, settings: Settings, ledger: MortalLedger, transport: httpx.AsyncBaseTransport) -> None:
        super().__init__(settings, ledger)
        self._own = (settings, ledger, transport)

    def client(self) -> GitHubClient:
        """Return a client."""
        settings, ledger, transport = self._own
        return GitHubClient(
            settings.github,
            access_from(settings),
            limits=LedgerLimits(ledger),
            answers=KeptAnswers(settings.home.answers, max_answers=settings.github.max_kept_answers),
            http=httpx.AsyncClient(transport=transport),
        )


def _code_of(definition: Any) -> Callable[..., Any]:
    """Return the function that Dagster calls for an op or asset."""
    op = getattr(definition, "op", definition)
    code: Callable[..., Any] = op.compute_fn.decorated_fn
    return code


class LifeSquire:
    """All processes of one Squire.

    Args:
        settings: Its settings.
        ledger: Its ledger; its clock is `clock`.
        clock: The time.
        transport: Leads to GitHub.
        agent: Does the work.
        killer: Kills its processes.
        chance: Decides when a process is killed; None kills nobody.
        kills_everywhere: Whether each run is killed at every moment of it, one after the other.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: MortalLedger,
        clock: Clock,
        transport: httpx.AsyncBaseTransport,
        agent: ScriptedAgent,
        *,
        chance: random.Random | None = None,
        kills_everywhere: bool = False,
    ) -> None:
        self.settings, self.ledger, self.clock, self.agent = settings, ledger, clock, agent
        self.on_ready: Callable[[], None] = lambda: None
        self._instance = _NoRuns()
        self._has_lost = False
        self.killer = ledger.killer
        self._chance, self._kills_everywhere = chance, kills_everywhere
        self._github = LifeGitHub(settings, ledger, MortalTransport(transport, self.killer))
        self._resources = {"settings": settings, "ledger": ledger, "github": self._github}

    # ── Being alive ───────────────────────────────────────────────────────────────────────────────────────────────

    def receive(self, delivery: Delivery, repository: str) -> None:
        """Take a delivery as the receiver does."""
        record_delivery(
            self.ledger,
            source="github",
            delivery_id=delivery.guid,
            event=delivery.event,
            action=delivery.action,
            repository=repository,
            body=delivery.body,
        )

    def go_on(self) -> None:
        """Do all that is due, until nothing is."""
        for _ in range(_MAX_ROUNDS):
            if not (self._collect_what_is_due() | self.follow_what_is_due() | self.work()):
                return
        raise AssertionError("Squire does not come to rest")

    def look(self) -> None:
        """Read all signals, as the schedule does, and go on."""
        self.collect()
        self.go_on()

    def due_deliveries(self) -> tuple[int, ...]:
        """Take the deliveries that ask for a collection."""
        with self.ledger.write() as tx:
            due = deliveries.take_for_collection(tx, deliveries.RequestRule(self.settings.pipeline.redelivery_s, 5))
        return tuple(delivery.id for delivery in due)

    def _collect_what_is_due(self) -> bool:
        if not (ids := self.due_deliveries()):
            return False
        self.collect(ids)
        return True

    def collect(self, ids: tuple[int, ...] = ()) -> None:
        """Read the signals of all repositories."""
        names = self.settings.repositories

        def run() -> None:
            config = CollectConfig(repositories=list(names), deliveries=list(ids), fresh=not ids)
            context = OpContext({}, keys=tuple(names))
            for _ in _code_of(collect_signals)(context, config, **self._resources):
                pass

        self._as_process(run)

    def reason_to_follow(self) -> str | None:
        """Return why the sensor would request the job `follow` now."""
        reasons = _ReasonLog()
        context = SimpleNamespace(instance=self._instance, log=reasons)
        sensor: Any = outcomes_sensor
        request = sensor._raw_fn(context, settings=self.settings, ledger=self.ledger)
        return reasons.last if isinstance(request, dg.RunRequest) else None

    def follow_what_is_due(self) -> bool:
        """Run the job `follow` where it is due; return whether it was."""
        if self.reason_to_follow() is None:
            return False
        self.follow()
        return True

    def follow(self) -> None:
        """Run the job `follow`."""
        self._as_process(lambda: asyncio.run(_code_of(follow_pull_requests)(OpContext({}), **self._resources)))

    # ── Attempts ──────────────────────────────────────────────────────────────────────────────────────────────────

    def work(self) -> bool:
        """Run the attempts that are due, and recover those whose runs died; return whether there was one."""
        begin_work(self.ledger, repository_settings(self.ledger, self.settings).of)
        self.on_ready()
        dispatch(self.ledger)
        return self.run_queued() | self._recover()

    def run_queued(self) -> bool:
        """Run the attempts that wait for their runs; return whether there was one."""
        with self.ledger.read() as tx:
            queued = attempts.queued(tx)
        for attempt in queued:
            self._run_attempt({tags.ATTEMPT: attempt.id, tags.TRACE: attempt.trace_id})
        return bool(queued)

    def _recover(self) -> bool:
        done = False
        state, quiet = LaunchState(LaunchStage.REQUESTED), ProcessorLoad(1, 0.0)
        abandoned = recovery.find_abandoned(self.ledger, self.settings, {}, lambda _: state, load=quiet)
        for lost in abandoned:
            done = True
            attempt = lost.attempt
            if lost.can_be_adopted:
                adopted = {tags.ATTEMPT: attempt.id, tags.ADOPTED_FROM: attempt.run_id or ""}
                self._run_attempt(adopted)
            else:
                recovery.settle_lost(self.ledger, self.settings, lost, (), _log)
        return done

    def _run_attempt(self, run_tags: Mapping[str, str]) -> None:
        """Run `agent_run` for an attempt, op by op. A run that dies is entered again, or lost with its lease."""
        run_id = str(uuid4())
        for op in (self._prepare, self._run_agent, self._publish, self._settle):
            # A container outlives the run that started it, and another run takes it up.
            may_be_lost = op != self._run_agent
            if not self._as_process(partial(op, OpContext(run_tags, run_id)), may_be_lost=may_be_lost):
                self.clock.forward(self.settings.dispatch.lease_s + 1)
                return

    def _prepare(self, context: OpContext) -> None:
        _code_of(prepare)(context, **self._resources)

    def _run_agent(self, context: Any) -> None:
        with leased_attempt(context, self.ledger, self.settings) as leased:
            if leased is None or leased.attempt.status is AttemptStatus.PUBLISHING:
                return
            if not workspace.is_prepared(leased):
                return
            inputs = workspace.read_inputs(leased, run_id=context.run.run_id)
            workspace.record_run(leased, self.agent.run(inputs))

    def _publish(self, context: OpContext) -> None:
        asyncio.run(_code_of(publish)(context, **self._resources))

    def _settle(self, context: OpContext) -> None:
        try:
            _code_of(settle)(context, settings=self.settings, ledger=self.ledger)
        except dg.Failure as failure:
            _log.info("an attempt failed: %s", failure.description)

    # ── Dying ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _as_process(self, run: Callable[[], None], *, may_be_lost: bool = False) -> bool:
        """Run something as often as its process is killed; return False where it is left undone."""
        for number in range(_MAX_RUNS_OF_ONE):
            self.killer.arm(self._due_moment(number))
            try:
                run()
            except KilledError:
                self.killer.arm(None)
                # What the dead process had taken from the inbox is taken again after a while.
                self.clock.forward(1)
                if may_be_lost and self._loses_run():
                    return False
            else:
                self.killer.arm(None)
                return True
        raise AssertionError("a run did not end, however often it was tried")

    def _loses_run(self) -> bool:
        """Return whether the run is not entered again; once in a life, since a task has but a few attempts."""
        if self._chance is None or self._kills_everywhere or self._has_lost or self._chance.random() >= _LOST:
            return False
        self._has_lost = True
        return True

    def _due_moment(self, number: int) -> int | None:
        if self._kills_everywhere:
            return number
        if self._chance is None or number > 0:
            return None
        return self._chance.randrange(_MOMENTS)

    def task_ids(self) -> list[str]:
        """Return all tasks."""
        with self.ledger.read() as tx:
            return [task.id for task in list_tasks(tx)]

    def status_of(self, task_id: str) -> str:
        """Return a task's status."""
        with self.ledger.read() as tx:
            return tasks.get(tx, task_id).status

    def folder_of(self, attempt_id: str) -> Path:
        """Return an attempt's folder."""
        return self.settings.home.attempts / attempt_id
