"""The dispatch sensor: ready tasks become attempts in one ledger transaction, each attempt one run of `agent_run`."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.agents.preflight import Preflight
from squire_pipelines.agents.runners import check_agent
from squire_pipelines.errors import ConfigError
from squire_pipelines.ledger import attempts, budgets, task_dispatch, tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.resources.stores import LedgerResource, SettingsResource
from squire_pipelines.sensors import intervals
from squire_pipelines.settings import Settings

_PAUSE_S = 0.25
_preflight = Preflight()


@dg.sensor(
    name="dispatch",
    job_name="agent_run",
    minimum_interval_seconds=intervals.SENSOR_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts attempts for ready, unblocked tasks by priority, within the limits on concurrency.",
    tags={"squire/part": "dispatch"},
)
def dispatch(
    context: dg.SensorEvaluationContext, settings: SettingsResource, ledger: LedgerResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Dispatch, then request a run for every queued attempt, also for one whose request was lost in a crash.

    The run key is the attempt's id, and a key launches one run, however often it is requested.
    """
    chosen = settings.load()
    unready = _without_agent(chosen)
    for name, why in unready.items():
        context.log.error(f"{name}: nothing is dispatched: {why}")
    books = ledger.open()
    turn = _dispatch(books, chosen, unready)
    # What becomes ready now would else wait for the daemon's next look.
    deadline = time.monotonic() + chosen.dispatch.wait_s
    while not turn.started and _has_news(books, since=turn.newest_event, deadline=deadline):
        turn = _dispatch(books, chosen, unready)
    if not turn.queued:
        reasons = [f"{name}: {why}" for name, why in (unready | _by_budget(turn.held)).items()]
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
            },
        )


@dataclass(frozen=True, slots=True)
class _Turn:
    """How many attempts a turn has started, which wait for their run, and what waits for a budget."""

    started: int
    queued: tuple[Attempt, ...]
    held: budgets.BudgetBlocks
    newest_event: int


def _dispatch(books: Ledger, chosen: Settings, unready: Mapping[str, str]) -> _Turn:
    limits = chosen.dispatch
    with books.write() as tx:
        started = task_dispatch.dispatch(
            tx,
            max_concurrent=limits.max_concurrent,
            max_per_repository=limits.max_per_repository,
            claim_deadline_s=limits.claim_deadline_s,
            without=unready,
            limits_of=chosen.budgets_for,
        )
        held = budgets.blocked_by_budget(tx, chosen.budgets_for)
        return _Turn(len(started), attempts.queued(tx), held, tasks.last_event_id(tx))


def _has_news(books: Ledger, *, since: int, deadline: float) -> bool:
    """Wait until something happens to any task; False when nothing has by `deadline`, of the monotonic clock."""
    while time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
        with books.read() as tx:
            if tasks.last_event_id(tx) > since:
                return True
    return False


def _by_budget(held: budgets.BudgetBlocks) -> dict[str, str]:
    """Repositories and tasks that wait for a budget."""
    return {name: f"waits for {short}" for name, short in (*held.repositories.items(), *held.tasks.items())}


def _without_agent(chosen: Settings) -> dict[str, str]:
    """Repositories whose agent cannot start as it is set, and why: their tasks wait until the settings are mended."""
    found = {}
    for name in chosen.repositories:
        try:
            agent = chosen.agent_for(name)
            check_agent(agent)
        except ConfigError as error:
            found[name] = str(error)
            continue
        problem = _preflight.problem(agent)
        if problem is not None:
            found[name] = str(problem)
    return found
