"""The webhook sensor: deliveries in the inbox become one collection run for the repositories that they name."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.deadline import Deadline
from squire_pipelines.partitions import partition_requests, range_tags
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.activity import active_runs
from squire_pipelines.sensors.ticks import counted_ticks
from squire_pipelines.sensors.waiting import has_paused

if TYPE_CHECKING:
    from squire_pipelines.ledger.deliveries import DueDelivery, RequestRule
    from squire_pipelines.ledger.store import Ledger
    from squire_pipelines.settings.model import Settings


def collection_run(
    instance: dg.DagsterInstance,
    repositories: Sequence[str],
    *,
    trace_id: str,
    run_key: str | None = None,
    pending: Sequence[int] = (),
    partitions: Sequence[str] = (),
) -> dg.RunRequest:
    """Return one run of the job `collect` that reads all of `repositories`; without any it needs others' partitions."""
    return dg.RunRequest(
        run_key=run_key,
        job_name="collect",
        tags={tags.TRACE: trace_id, **range_tags(instance, repositories or partitions)},
        run_config={
            "ops": {"collect_signals": {"config": {"repositories": list(repositories), "deliveries": list(pending)}}}
        },
    )


@dg.sensor(
    name="webhooks",
    job_name="collect",
    minimum_interval_seconds=intervals.WORK_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a collection of the repositories that deliveries and commands in the inbox name.",
    tags={"squire/part": "collect"},
)
@counted_ticks("webhooks")
def webhooks(
    context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam
) -> dg.SensorResult | dg.SkipReason:
    """Take what is due and read it in one run. A delivery whose run did not happen is due again after a while.

    What waits for the end of a collection waits within the tick, for a while: the next one is five seconds away.
    """
    deadline = Deadline.after(settings.dispatch.wait_s)
    while active_runs(context.instance, "collect"):
        if not (_has_due(settings, ledger) and has_paused(deadline, settings.home.run)):
            return dg.SkipReason("a collection is under way; what comes meanwhile is read together after it")
    due = take_inbox(context.instance, settings, ledger)
    if due is None:
        return dg.SkipReason("the inbox holds nothing new")
    request, names = due
    names = [*settings.repositories, *names]
    return dg.SensorResult([request], dynamic_partitions_requests=partition_requests(context.instance, names))


def _has_due(settings: "Settings", ledger: "Ledger") -> bool:
    from squire_pipelines.ledger import deliveries

    with ledger.read() as tx:
        return deliveries.has_due(tx, _rule(settings))


def _rule(settings: "Settings") -> "RequestRule":
    from squire_pipelines.ledger.deliveries import RequestRule

    return RequestRule(
        retry_after_s=settings.pipeline.redelivery_s,
        max_tries=settings.webhooks.max_tries,
        names_unknown=not settings.repositories,
    )


def take_inbox(
    instance: dg.DagsterInstance, settings: "Settings", ledger: "Ledger"
) -> tuple[dg.RunRequest, list[str]] | None:
    """Take what is due in the inbox; return the run that reads it and its repositories, None when nothing is due.

    What another sender than GitHub delivered names its repositories once it is read: it asks for no other reading.
    """
    from squire_pipelines.ledger import deliveries

    with ledger.write() as tx:
        due = deliveries.take_for_collection(tx, _rule(settings))
    if not due:
        return None
    ids = [delivery.id for delivery in due]
    # A replay begins to count its tries anew, and Dagster starts no second run with a key.
    turns = [(delivery.replays, delivery.tries) for delivery in due]
    key = hashlib.sha256(f"{ids}:{turns}".encode()).hexdigest()[:16]
    # Deliveries that came together are read together: the first one's trace id stands for all of them.
    names = _names(due)
    request = collection_run(
        instance,
        names,
        trace_id=due[0].trace_id,
        run_key=f"collect-{key}",
        pending=ids,
        partitions=settings.repositories,
    )
    return request, names


def _names(members: Sequence["DueDelivery"]) -> list[str]:
    return sorted({member.repository for member in members if member.repository})
