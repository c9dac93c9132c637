"""The reaper: finds attempts that nobody holds any more, has what still runs adopted, and removes what is left over."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
import docker

from squire_pipelines import tags
from squire_pipelines.agents import engine, reap, retention, step_containers
from squire_pipelines.agents.model import AttemptFolder
from squire_pipelines.agents.reap import FoundContainer
from squire_pipelines.agents.workspace import BUNDLE_FILE
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.errors import EngineError, SquireError
from squire_pipelines.execution import gateway_cleanup, gateway_session
from squire_pipelines.execution.lease import retry_rule
from squire_pipelines.ledger import adoption, attempts, budgets
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.resources.stores import LedgerResource, SettingsResource
from squire_pipelines.sensors import intervals
from squire_pipelines.settings import Settings

_ENGINE_TIMEOUT_S = 10.0
_SWEEP_EVERY_S = 600.0
_PLAN_GRACE_S = 600.0
_swept: dict[str, float] = {}


@dg.sensor(
    name="reaper",
    job_name="agent_run",
    minimum_interval_seconds=intervals.EVERY_OTHER_LOOK,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends attempts whose holder died, or has another run go on with them; removes what belongs to nobody.",
    tags={"squire/part": "reaper"},
)
def reaper(
    context: dg.SensorEvaluationContext, settings: SettingsResource, ledger: LedgerResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Everything it does is small, repeatable and bounded."""
    chosen = settings.load()
    books = ledger.open()
    with engine.connect_all(_ENGINE_TIMEOUT_S) as clients:
        found = _containers(context, clients)
        lost, adopted = _settle_expired(context, books, chosen, found, clients)
        removed = _remove_orphans(context, books, chosen, clients)
    with books.write() as tx:
        released = budgets.release_orphans(tx, plan_s=2 * chosen.planner.timeout_s + _PLAN_GRACE_S)
    if released:
        context.log.info(f"released {released} reservations that nobody would have settled")
    swept = _sweep(books, chosen)
    said = f"settled {lost} lost attempts, removed {removed} containers"
    context.log.debug(f"{said}, {swept} folders; {len(adopted)} attempts to adopt")
    if not adopted:
        yield dg.SkipReason(said)
    yield from adopted


@dataclass(frozen=True, slots=True)
class _Given:
    """An attempt that nobody holds, and why."""

    attempt: Attempt
    why: str


def _containers(
    context: dg.SensorEvaluationContext, clients: Sequence[docker.DockerClient]
) -> dict[str, FoundContainer]:
    found: dict[str, FoundContainer] = {}
    for client in clients:
        try:
            found |= {each.attempt_id: each for each in reap.list_containers(client)}
        except SquireError as error:
            context.log.warning(f"the engine's containers could not be listed: {error}")
    return found


def _settle_expired(
    context: dg.SensorEvaluationContext,
    books: Ledger,
    chosen: Settings,
    containers: Mapping[str, FoundContainer],
    clients: Sequence[docker.DockerClient],
) -> tuple[int, list[dg.RunRequest]]:
    with books.read() as tx:
        now = tx.now
        given = [
            _Given(
                attempt, "its run did not start in time" if attempt.run_id is None else "its run stopped without a word"
            )
            for attempt in attempts.expired(tx)
        ]
        waiting = attempts.queued(tx)
        adoptions = {each.attempt.id: adoption.adoptions(tx, each.attempt.id) for each in given}
    # Its run key is spent: no other run will ever claim it, so that there is nothing to wait for.
    over = {attempt.id for attempt in waiting if _run_is_over(context.instance, attempt.id)}
    given += [_Given(attempt, "its run ended before it claimed it") for attempt in waiting if attempt.id in over]
    settled, adopted = 0, []
    for attempt, why in ((each.attempt, each.why) for each in given):
        if _can_be_adopted(attempt, containers, chosen, now, adoptions.get(attempt.id, 0)):
            _fail_runs(context, attempt, why, also_adopting=False)
            adopted.append(_adopting_run(attempt))
            continue
        _recover_calls(context, books, chosen, attempt, clients)
        with books.write() as tx:
            rule = retry_rule(chosen, attempt.repository)
            done = attempts.reap(tx, attempt.id, retry=rule, message=why, run_is_over=attempt.id in over)
        if done is None:
            continue
        settled += 1
        gateway_session.forget(chosen, attempt.id)
        context.log.warning(f"attempt {attempt.id} is lost ({why}); its task is {done.task_status}")
        _fail_runs(context, attempt, why, also_adopting=True)
    return settled, adopted


def _recover_calls(
    context: dg.SensorEvaluationContext,
    books: Ledger,
    chosen: Settings,
    attempt: Attempt,
    clients: Sequence[docker.DockerClient],
) -> None:
    """Before the attempt is settled: the model calls that only its call log knows."""
    try:
        gateway_cleanup.bring_logs(chosen, attempt.id, clients)
    except (EngineError, OSError) as error:
        # Its container stays until its log was brought; calls that come then are settled anew.
        context.log.warning(f"the call log of {attempt.id} is in its gateway's container still: {error}")
    try:
        gateway_session.recover(books, chosen, attempt)
    except OSError as error:
        context.log.warning(f"the call log of {attempt.id} cannot be read, and its last calls are not counted: {error}")


def _can_be_adopted(
    attempt: Attempt,
    containers: Mapping[str, FoundContainer],
    chosen: Settings,
    now: datetime,
    adoptions: int,
) -> bool:
    """Whether its work is there still, and another run has time to take it up: it has the claim deadline for that."""
    if attempt.lease_until is None or attempt.ending is not None or adoptions >= adoption.MAX_ADOPTIONS:
        return False
    if now - attempt.lease_until > timedelta(seconds=chosen.dispatch.claim_deadline_s):
        return False
    if attempt.status is AttemptStatus.PUBLISHING:
        folder = AttemptFolder(chosen.home.attempts / attempt.id)
        return (folder.keep / BUNDLE_FILE).is_file()
    container = containers.get(attempt.id)
    has_begun = container is not None and container.started_at is not None
    return attempt.status is AttemptStatus.RUNNING and has_begun


def _adopting_run(attempt: Attempt) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{attempt.id}+{attempt.lease_token}",
        job_name="agent_run",
        tags={
            tags.ATTEMPT: attempt.id,
            tags.TASK: attempt.task_id,
            tags.REPOSITORY: attempt.repository,
            tags.TRACE: attempt.trace_id,
            tags.ADOPTED_FROM: attempt.run_id or "",
        },
    )


def _fail_runs(context: dg.SensorEvaluationContext, attempt: Attempt, why: str, *, also_adopting: bool) -> None:
    for run in _runs_of(context.instance, attempt.id):
        if not run.is_finished and (also_adopting or run.run_id == attempt.run_id):
            context.instance.report_run_failed(run, f"attempt {attempt.id} was given up: {why}")


def _runs_of(instance: dg.DagsterInstance, attempt_id: str) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(tags={tags.ATTEMPT: attempt_id}), limit=10)


def _run_is_over(instance: dg.DagsterInstance, attempt_id: str) -> bool:
    runs = _runs_of(instance, attempt_id)
    return bool(runs) and all(run.is_finished for run in runs)


def _remove_orphans(
    context: dg.SensorEvaluationContext, books: Ledger, chosen: Settings, clients: Sequence[docker.DockerClient]
) -> int:
    removed = 0
    for client in clients:
        try:
            removed += sum(reap.remove(client, name) for name in _orphans(books, client))
            removed += gateway_cleanup.remove_left(books, chosen, client)
            removed += step_containers.remove_ended(client, chosen.home.state)
        except (SquireError, OSError) as error:
            context.log.warning(f"containers could not be removed: {error}")
    return removed


def _orphans(books: Ledger, client: docker.DockerClient) -> list[str]:
    agents = reap.list_containers(client)
    now = datetime.now(UTC)  # by the clock that the engine's times are of, more or less
    with books.read() as tx:
        # An attempt that this ledger does not know is another Squire's on the same engine: not ours to judge.
        over = attempts.ended_ids(tx, [found.attempt_id for found in agents])
    return [found.name for found in agents if found.attempt_id in over and not found.is_kept(now)]


def _sweep(books: Ledger, chosen: Settings) -> int:
    """Now and then, remove the folders of attempts that ended long ago."""
    folder = chosen.home.attempts
    if time.monotonic() - _swept.get(str(folder), -_SWEEP_EVERY_S) < _SWEEP_EVERY_S:
        return 0
    _swept[str(folder)] = time.monotonic()
    with books.read() as tx:
        return retention.sweep(
            folder,
            lambda ids: adoption.ended_at(tx, ids),
            keep=timedelta(days=chosen.agent.log_retention_days),
            now=tx.now,
        )
