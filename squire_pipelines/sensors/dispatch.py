"""The sensor `dispatch`: ready tasks become attempts in one ledger transaction, each attempt one run of `agent_run`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.deadline import Deadline
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.ticks import counted_ticks
from squire_pipelines.sensors.waiting import has_paused
from squire_pipelines.settings.model import Settings

if TYPE_CHECKING:
    from squire_pipelines.agents.preflight import Preflight
    from squire_pipelines.execution.assignment import Assignments
    from squire_pipelines.execution.repository_settings import RepositorySettings
    from squire_pipelines.ledger.attempts import Attempt
    from squire_pipelines.ledger.budgets import BudgetBlocks
    from squire_pipelines.ledger.store import Ledger
    from squire_pipelines.ledger.task_dispatch import TenantSharing


@dg.sensor(
    name="dispatch",
    job_name="agent_run",
    minimum_interval_seconds=intervals.WORK_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts attempts for ready, unblocked tasks by priority, within the limits on concurrency and pull "
    "requests.",
    tags={"squire/part": "dispatch"},
)
@counted_ticks("dispatch")
def dispatch(
    context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Dispatch, then request a run for every queued attempt, also for one whose request was lost in a crash.

    The run key is the attempt's id, and a key launches one run, however often it is requested.
    """
    from squire_pipelines.execution import step_executor
    from squire_pipelines.execution.following import begin_work
    from squire_pipelines.execution.repository_settings import repository_settings
    from squire_pipelines.health.machine_probes import why_disk_is_full
    from squire_pipelines.ledger import repositories
    from squire_pipelines.ledger.tenants import record_tenants
    from squire_pipelines.sensors.queue_tags import queue_tags, why_broker_is_away

    tick = Deadline.after(intervals.TICK_S)
    if (why := why_disk_is_full(settings) or why_broker_is_away(settings)) is not None:
        # What would be begun could not end: its log, its clone and the ledger's rows need room, and its run a worker.
        yield dg.SkipReason(f"nothing is dispatched: {why}")
        return
    step_executor.check_executor(settings)
    for name in record_tenants(ledger, settings.recorded_tenants):
        context.log.info(f"{name} belongs to the tenant {settings.tenant_of(name)} now")
    with ledger.read() as tx:
        replaced = repositories.replaced(tx)
    assignments = _assignments(ledger, settings, tick.within(intervals.ENGINE_S))
    own = repository_settings(ledger, settings)
    unready = {**assignments.unready, **own.stopped, **replaced}
    for name, why in unready.items():
        context.log.error(f"{name}: nothing is dispatched: {why}")
    # The checks of a pull request have settled: its task would otherwise wait for a run that makes it.
    for step in begin_work(ledger, own.of):
        context.log.info(f"{step.repository}#{step.number}: {step.step.reason}")
    on_hold = {**own.stopped, **replaced, **assignments.on_hold}
    mark_of = _marks(settings)
    for (name, agent, _), problem in assignments.problems.items():
        if name not in unready:
            context.log.error(f"{name}: tasks for the agent {agent} wait: {problem}")
    turn = _dispatch(ledger, assignments, own, unready, on_hold=on_hold, mark_of=mark_of)
    # What becomes ready now would otherwise wait for the daemon's next look.
    deadline = tick.within(settings.dispatch.wait_s)
    run = settings.home.run
    while not turn.started and _has_news(ledger, since=turn.newest_event, deadline=deadline, run=run):
        turn = _dispatch(ledger, assignments, own, unready, on_hold=on_hold, mark_of=mark_of)
    if not turn.queued:
        reasons = [f"{name}: {why}" for name, why in (turn.reasons | unready).items()]
        yield dg.SkipReason("; ".join(["no task is due, or all slots are taken", *reasons]))
    for attempt in turn.queued:
        yield dg.RunRequest(
            run_key=attempt.id,
            job_name="agent_run",
            tags={
                tags.ATTEMPT: attempt.id,
                tags.TASK: attempt.task_id,
                tags.REPOSITORY: attempt.repository,
                tags.TRACE: attempt.trace_id,
                **({tags.PREVIOUS: attempt.previous_id} if attempt.previous_id else {}),
                **queue_tags(ledger, settings, attempt),
            },
        )


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one dispatch did: how many attempts it started, which wait for their run, and what waits for what else.

    `reasons` are by repository, or by task where only that one waits.
    """

    started: int
    queued: "tuple[Attempt, ...]"
    newest_event: int
    reasons: dict[str, str]


def _marks(settings: Settings) -> Callable[[str], str]:
    """Return what gives the mark of each repository's settings and keys, which are read once for all of a tick."""
    from squire_pipelines.execution.settings_mark import settings_mark
    from squire_pipelines.secrets.lookup import find_secret

    find_key = cache(lambda name: find_secret(name, settings.secret_sources))
    return cache(lambda repository: settings_mark(settings, repository, find_key))


def _dispatch(
    ledger: "Ledger",
    assignments: "Assignments",
    own: "RepositorySettings",
    unready: Mapping[str, str],
    *,
    on_hold: Mapping[str, str],
    mark_of: Callable[[str], str],
) -> _Turn:
    from squire_pipelines.domain.launching import claim_deadline_s, launches_at_once
    from squire_pipelines.execution.serving_workers import read_served
    from squire_pipelines.ledger import attempts, budgets, launches, queue_waits, settings_waits, task_dispatch, tasks
    from squire_pipelines.observability.processor_load import read_load
    from squire_pipelines.settings.provider_uses import day_limits

    settings = own.of_all
    limits = settings.dispatch
    load = read_load()
    # As many again as may be starting, so that Dagster's queue is not empty until the next tick.
    unclaimed = 2 * launches_at_once(load, limits.max_concurrent) if limits.by_load else None
    if settings.is_shared:
        unclaimed = read_served(ledger, settings).free  # whatever this machine is busy with
    with ledger.read() as tx:
        blocked_tasks = settings_waits.waiting_for_settings(tx)
    waiting = {task.id: task.message for task in blocked_tasks if task.settings_mark == mark_of(task.repository)}
    with ledger.write() as tx:
        deadline_s = claim_deadline_s(
            launches.recent_launches_s(tx),
            load,
            least_s=limits.claim_deadline_s,
            most_s=limits.max_claim_deadline_s,
        )
        started = task_dispatch.dispatch(
            tx,
            max_concurrent=limits.max_concurrent,
            max_per_repository=limits.max_per_repository,
            claim_deadline_s=deadline_s,
            max_unclaimed=unclaimed,
            priority_step_s=limits.priority_step_s,
            slots=own.slots,
            without=unready,
            on_hold=on_hold,
            changed=[task.id for task in blocked_tasks if task.id not in waiting],
            limits_of=settings.budgets_for,
            choose=assignments.choose,
            day_limits_of=partial(day_limits, settings),
            rules_of=own.queue_rules_of,
            sharing=_sharing(settings),
        )
        blocked = budgets.blocked_by_budget(tx, settings.budgets_for)
        caps = queue_waits.read_caps(tx, queue_waits.ready_rules(tx, own.queue_rules_of))
        reasons = _by_budget(blocked) | {name: f"tasks wait for {cap}" for name, cap in caps.items()} | waiting
        return _Turn(len(started), attempts.queued(tx), tasks.last_event_id(tx), reasons)


def _sharing(settings: Settings) -> "TenantSharing | None":
    """Return how tenants share the slots; None where all belong to one."""
    from squire_pipelines.ledger.task_dispatch import TenantSharing

    shares = {name: table.share for name, table in settings.tenants.items()}
    return TenantSharing(settings.tenant_of, shares) if shares else None


def _has_news(ledger: "Ledger", *, since: int, deadline: Deadline, run: Path) -> bool:
    """Wait until something happens to any task; return False when nothing has by the deadline."""
    from squire_pipelines.ledger import tasks

    while has_paused(deadline, run):
        with ledger.read() as tx:
            if tasks.last_event_id(tx) > since:
                return True
    return False


def _by_budget(blocked: "BudgetBlocks") -> dict[str, str]:
    """Return the repositories and tasks that wait for a budget, and for which."""
    return {name: f"waits for {short}" for name, short in (*blocked.repositories.items(), *blocked.tasks.items())}


@cache
def _preflight() -> "Preflight":
    """Return the process's checks of agents, which keep for a while what the engine said."""
    from squire_pipelines.agents.preflight import Preflight

    return Preflight()


def _assignments(ledger: "Ledger", settings: Settings, deadline: Deadline) -> "Assignments":
    """Return which agents can start; the tasks of the others wait until the settings are fixed.

    An engine that has not answered by the deadline holds up those alone that need it.
    """
    from squire_pipelines.execution.assignment import find_assignments
    from squire_pipelines.execution.serving_workers import start_check
    from squire_pipelines.secrets.lookup import find_secret

    # Once for all repositories: a keychain takes time.
    find_key = cache(lambda name: find_secret(name, settings.secret_sources))
    check = start_check(ledger, settings, lambda agent: _preflight().problem(agent, deadline))
    return find_assignments(ledger, settings, find_key, check)
