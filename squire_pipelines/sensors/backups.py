"""The sensor `backups`: has the home backed up at the times of the settings as they are now."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.domain.cron_times import CronTimes
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.jobs.backups import back_up
from squire_pipelines.resources.parameters import SettingsParam
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.activity import active_runs
from squire_pipelines.sensors.ticks import counted_ticks


@dg.sensor(
    name="backups",
    job_name="back_up",
    minimum_interval_seconds=intervals.SLOW_SENSOR_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has the home backed up at the times of the settings.",
    tags={"squire/part": "back_up"},
)
@counted_ticks("backups")
def backups(context: dg.SensorEvaluationContext, settings: SettingsParam) -> dg.RunRequest | dg.SkipReason:
    """The cursor is up to when times were looked at: what came before a schedule was set is not made up for."""
    now, schedule = datetime.now(UTC), settings.backup.schedule
    last = datetime.fromisoformat(context.cursor) if context.cursor else now
    is_due = schedule is not None and CronTimes(schedule, ZoneInfo("UTC")).after(last) <= now
    if is_due and active_runs(context.instance, back_up.name):
        return dg.SkipReason("it is time for a backup, and one is under way")
    context.update_cursor(now.isoformat())
    if schedule is None:
        return dg.SkipReason("backup.schedule is not set")
    if not is_due:
        return dg.SkipReason(f"the next time of backup.schedule ({schedule}) has not come")
    return dg.RunRequest(tags={tags.TRACE: new_trace_id()})
