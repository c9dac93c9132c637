"""When the sensor has the home backed up, by the settings as they are now."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from squire_pipelines.sensors.backups import backups
from tests.support.pipeline import Pipeline

EACH_MINUTE = '[backup]\nschedule = "* * * * *"\n'


def test_a_schedule_is_followed_from_when_it_is_set_and_no_restart_is_needed(quiet_pipeline: Pipeline) -> None:
    long_ago = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    unset = quiet_pipeline.sensor(backups, long_ago)
    assert (unset.run_requests, unset.skip_message) == ([], "backup.schedule is not set")
    quiet_pipeline.configure(EACH_MINUTE)
    minute_ago = (datetime.now(UTC) - timedelta(seconds=61)).isoformat()
    first = quiet_pipeline.sensor(backups)
    assert "has not come" in first.skip_message
    due = quiet_pipeline.sensor(backups, minute_ago)
    assert len(due.run_requests) == 1
    assert due.cursor > first.cursor > unset.cursor > minute_ago
    quiet_pipeline.past_run("back_up", dg.DagsterRunStatus.STARTED)
    waits = quiet_pipeline.sensor(backups, minute_ago)
    assert (waits.run_requests, waits.cursor) == ([], minute_ago)
    assert "one is under way" in waits.skip_message
