"""The planning sensor: whatever collected signals, schedule or webhook, a plan follows."""

from collections.abc import Iterator

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.partitions import ensure_repositories, range_tags
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.activity import active_runs, seconds_since_failure


@dg.sensor(
    name="plan_follows_signals",
    job_name="plan",
    minimum_interval_seconds=intervals.SENSOR_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Plans for the repositories with readings that no plan has looked at. One planning at a time.",
    tags={"squire/part": "plan"},
)
def plan_follows_signals(
    context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run for all that are due, also for plans whose run ended before they became tasks; never two at once."""
    from squire_pipelines.ledger import collections, plans

    with ledger.read() as tx:
        due = collections.unplanned(tx)
        trace_id = collections.trace_of(tx, max(due.values())) if due else new_trace_id()
        names = list(dict.fromkeys([*due, *plans.unadmitted(tx)]))
    if not names:
        yield dg.SkipReason("every reading has been planned")
        return
    if active_runs(context.instance, "collect", "plan"):
        yield dg.SkipReason(f"{len(names)} repositories wait until the running collection or planning is over")
        return
    since = seconds_since_failure(context.instance, "plan")
    if since is not None and since < settings.pipeline.redelivery_s:
        yield dg.SkipReason(f"{len(names)} repositories wait for a while, since the last planning failed")
        return
    ensure_repositories(context.instance, names)
    config = {"config": {"repositories": names}}
    yield dg.RunRequest(
        job_name="plan",
        tags={tags.TRACE: trace_id, **range_tags(context.instance, names)},
        run_config={"ops": {"plan_tasks": config}},
    )
