"""The sensor `delivery_repair`: has deliveries compared with GitHub at the times of the settings and at each start."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.domain.cron_times import CronTimes
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.jobs.delivery_repair import repair_deliveries
from squire_pipelines.reloading.process_status import read_statuses
from squire_pipelines.resources.parameters import SettingsParam
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.activity import reason_to_wait
from squire_pipelines.sensors.ticks import counted_ticks
from squire_pipelines.settings.restarts import Part


def reason_to_repair(last: datetime | None, started: datetime | None, cron: str, *, now: datetime) -> str:
    """Return why deliveries are to be compared now, in words; empty while they need not be.

    Args:
        last: When that was asked for last; None for never.
        started: When the receiver was started; None where that is not known.
        cron: When to compare, in UTC.
        now: The present.
    """
    if last is None:
        return "deliveries were never compared"
    if started is not None and started > last:
        return "the receiver was started: it may have missed deliveries"
    return "it is time to compare deliveries" if CronTimes(cron, ZoneInfo("UTC")).after(last) <= now else ""


@dg.sensor(
    name="delivery_repair",
    job_name="repair_deliveries",
    minimum_interval_seconds=intervals.SLOW_SENSOR_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has deliveries compared with GitHub's at the times of the settings, and when the receiver starts.",
    tags={"squire/part": "webhooks"},
)
@counted_ticks("delivery_repair")
def delivery_repair(context: dg.SensorEvaluationContext, settings: SettingsParam) -> dg.RunRequest | dg.SkipReason:
    """The cursor is when a comparison was asked for last."""
    from squire_pipelines.execution.delivery_repair import reason_to_do_nothing

    now = datetime.now(UTC)
    receivers = (status for status in read_statuses(settings.home) if status.process is Part.RECEIVER)
    started = max((one.started_at for one in receivers if one.started_at is not None), default=None)
    last = datetime.fromisoformat(context.cursor) if context.cursor else None
    reason = reason_to_repair(last, started, settings.webhooks.repair_schedule, now=now)
    if not reason:
        return dg.SkipReason("deliveries were compared, and the next time has not come")
    if idle := reason_to_do_nothing(settings):
        context.update_cursor(now.isoformat())
        return dg.SkipReason(idle)
    wait = reason_to_wait(context.instance, repair_deliveries.name, retry_after_s=settings.pipeline.redelivery_s)
    if wait is not None:
        return dg.SkipReason(f"{reason}; {wait}")
    context.log.info(reason)
    context.update_cursor(now.isoformat())
    return dg.RunRequest(job_name=repair_deliveries.name, tags={tags.TRACE: new_trace_id()})
