"""The reaper: ends attempts that nobody holds any more, fails their runs and removes what they left on the engine."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import docker

from squire_pipelines import tags
from squire_pipelines.agents import engine, reap, steps
from squire_pipelines.errors import EngineError, SquireError
from squire_pipelines.ledger import attempts
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.resources.stores import LedgerResource, SettingsResource
from squire_pipelines.settings import Settings

_ENGINE_TIMEOUT_S = 10.0


@dg.sensor(
    name="reaper",
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Settles attempts whose lease ran out, fails their runs, and removes containers that belong to nobody.",
    tags={"squire/part": "reaper"},
    target=None,
)
def reaper(context: dg.SensorEvaluationContext, settings: SettingsResource, ledger: LedgerResource) -> dg.SkipReason:
    """Runs no job: everything it does is small, repeatable and bounded."""
    chosen = settings.load()
    books = ledger.open()
    lost = _settle_expired(context, books, chosen)
    removed = _remove_orphans(context, books, chosen.home.state)
    return dg.SkipReason(f"settled {lost} lost attempts, removed {removed} containers")


def _settle_expired(context: dg.SensorEvaluationContext, books: Ledger, chosen: Settings) -> int:
    rule = attempts.RetryRule(chosen.dispatch.retry_base_s, chosen.dispatch.retry_cap_s)
    with books.read() as tx:
        found = [
            (attempt, "its run did not start in time" if attempt.run_id is None else "its run stopped without a word")
            for attempt in attempts.expired(tx)
        ]
        waiting = attempts.queued(tx)
    # Its run key is spent: no other run will ever claim it, so that there is nothing to wait for.
    over = {attempt.id for attempt in waiting if _run_is_over(context.instance, attempt.id)}
    found += [(attempt, "its run ended before it claimed it") for attempt in waiting if attempt.id in over]
    settled = 0
    for attempt, why in found:
        with books.write() as tx:
            done = attempts.reap(tx, attempt.id, retry=rule, message=why, run_is_over=attempt.id in over)
        if done is None:
            continue
        settled += 1
        context.log.warning(f"attempt {attempt.id} is lost ({why}); its task is {done.task_status}")
        for run in _runs_of(context.instance, attempt.id):
            if not run.is_finished:
                context.instance.report_run_failed(run, f"attempt {attempt.id} was given up: {why}")
    return settled


def _runs_of(instance: dg.DagsterInstance, attempt_id: str) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(tags={tags.ATTEMPT: attempt_id}), limit=10)


def _run_is_over(instance: dg.DagsterInstance, attempt_id: str) -> bool:
    runs = _runs_of(instance, attempt_id)
    return bool(runs) and all(run.is_finished for run in runs)


def _remove_orphans(context: dg.SensorEvaluationContext, books: Ledger, home: Path) -> int:
    if engine.engine_available() is None:
        return 0
    try:
        client = engine.connect(_ENGINE_TIMEOUT_S)
    except EngineError as error:
        context.log.info(f"the engine does not answer: {error}")
        return 0
    try:
        orphans = _orphans(books, client)
        return sum(reap.remove(client, name) for name in orphans) + steps.remove_ended(client, home)
    except SquireError as error:
        context.log.warning(f"containers could not be removed: {error}")
        return 0
    finally:
        client.close()


def _orphans(books: Ledger, client: docker.DockerClient) -> list[str]:
    agents = reap.list_containers(client)
    with books.read() as tx:
        # An attempt that this ledger does not know is another Squire's on the same engine: not ours to judge.
        over = attempts.ended_ids(tx, [found.attempt_id for found in agents])
    return [found.name for found in agents if found.attempt_id in over]
