"""The sensor `warm_pool`: requests a run when containers that wait for attempts have to be made or removed."""

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.deadline import Deadline
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import SquireError
from squire_pipelines.jobs.maintenance import tend_warm_pool
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.activity import reason_to_wait
from squire_pipelines.sensors.ticks import counted_ticks


@dg.sensor(
    name="warm_pool",
    job_name="tend_warm_pool",
    minimum_interval_seconds=intervals.SLOW_SENSOR_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps containers waiting for attempts, if agent.warm_pool.size asks for any.",
    tags={"squire/part": "warm_pool"},
)
@counted_ticks("warm_pool")
def warm_pool(
    context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam
) -> dg.RunRequest | dg.SkipReason:
    """List the containers; the run makes and removes them."""
    from squire_pipelines.execution import warm_pool as pool

    if not pool.is_configured(settings):
        return dg.SkipReason("agent.warm_pool.size is 0")
    wait = reason_to_wait(context.instance, tend_warm_pool.name, retry_after_s=settings.pipeline.redelivery_s)
    if wait is not None:
        return dg.SkipReason(wait)
    try:
        if not pool.needs_tending(ledger, settings, Deadline.after(intervals.ENGINE_S)):
            return dg.SkipReason("as many containers wait as the settings ask for, or an attempt goes first")
    except SquireError as error:
        return dg.SkipReason(f"no container waits: {error}")
    return dg.RunRequest(job_name=tend_warm_pool.name, tags={tags.TRACE: new_trace_id()})
