"""The sensor `outcomes`: requests a look at our pull requests when deliveries name them, or none came for a while."""

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.jobs.follow import follow
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.activity import active_runs, seconds_since_failure


@dg.sensor(
    name="outcomes",
    job_name="follow",
    minimum_interval_seconds=intervals.SLOW_SENSOR_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a look at our pull requests when deliveries are about them, or none came for a while.",
    tags={"squire/part": "follow"},
)
def outcomes(
    context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam
) -> dg.RunRequest | dg.SkipReason:
    """One look at a time."""
    from squire_pipelines.publishing import follow as following

    reason = following.due(ledger, settings)
    if reason is None:
        return dg.SkipReason("nothing was told of our pull requests, and all were asked about recently")
    if active_runs(context.instance, follow.name):
        return dg.SkipReason(f"{reason}; a look is under way")
    since_failure = seconds_since_failure(context.instance, follow.name)
    if since_failure is not None and since_failure < settings.pipeline.redelivery_s:
        return dg.SkipReason(f"{reason}; the last look failed and is tried again in a while")
    context.log.info(reason)
    return dg.RunRequest(job_name=follow.name, tags={tags.TRACE: new_trace_id()})
