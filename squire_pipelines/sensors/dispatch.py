"""The dispatch sensor: ready tasks become attempts in one ledger transaction, each attempt one run of `agent_run`."""

from collections.abc import Iterator

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.agents.runners import check_agent
from squire_pipelines.ledger import attempts
from squire_pipelines.resources.stores import LedgerResource, SettingsResource


@dg.sensor(
    name="dispatch",
    job_name="agent_run",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts attempts for ready, unblocked tasks by priority, within the limits on concurrency.",
    tags={"squire/part": "dispatch"},
)
def dispatch(settings: SettingsResource, ledger: LedgerResource) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Dispatch, then request a run for every queued attempt, also for one whose request was lost in a crash.

    The run key is the attempt's id, and a key launches one run, however often it is requested.
    """
    chosen = settings.load()
    for name in chosen.repositories:
        check_agent(chosen.agent_for(name))  # a red tick that says what to set, rather than attempts that must fail
    limits = chosen.dispatch
    with ledger.open().write() as tx:
        attempts.dispatch(
            tx,
            max_concurrent=limits.max_concurrent,
            max_per_repository=limits.max_per_repository,
            claim_deadline_s=limits.claim_deadline_s,
        )
        waiting = attempts.queued(tx)
    if not waiting:
        yield dg.SkipReason("no task is due, or all slots are taken")
    for attempt in waiting:
        yield dg.RunRequest(
            run_key=attempt.id,
            job_name="agent_run",
            tags={
                tags.ATTEMPT: attempt.id,
                tags.TASK: attempt.task_id,
                tags.REPOSITORY: attempt.repository,
                tags.TRACE: attempt.trace_id,
            },
        )
