"""Schedules become tasks while the pipeline runs."""

from datetime import timedelta

from sqlalchemy import select, update

from squire_pipelines.assets.task_reports import TASKS
from squire_pipelines.domain.schedules import Rhythm
from squire_pipelines.ledger import schedules
from squire_pipelines.ledger.schedules import NewSchedule
from squire_pipelines.ledger.tables import schedules as schedule_table
from squire_pipelines.ledger.tables import tasks
from squire_pipelines.sensors.task_schedules import task_schedules
from tests.support.ledgers import TRACE, spec
from tests.support.pipeline import QUIET, Pipeline


def due_schedule(pipeline: Pipeline) -> str:
    """A schedule whose first time came a minute ago."""
    with pipeline.ledger.write() as tx:
        rhythm = Rhythm("0 3 * * 1", "Europe/Berlin")
        new = NewSchedule(QUIET, spec(), rhythm, tx.now + timedelta(days=1), "cli:ann")
        schedule_id = schedules.create(tx, new, most=5, trace_id=TRACE).id
        row = update(schedule_table).where(schedule_table.c.id == schedule_id)
        tx.execute(row.values(next_at=tx.now - timedelta(minutes=1)))
    return schedule_id


def test_a_tick_makes_the_task_that_is_due_and_reports_it_with_its_schedule(quiet_pipeline: Pipeline) -> None:
    assert quiet_pipeline.sensor(task_schedules).skip_message == "no schedule is due"
    schedule_id = due_schedule(quiet_pipeline)
    tick = quiet_pipeline.sensor(task_schedules)
    with quiet_pipeline.ledger.read() as tx:
        (task,) = tx.execute(select(tasks.c.id, tasks.c.schedule_id, tasks.c.trace_id))
    assert task.schedule_id == schedule_id
    assert tick.skip_message == f"{schedule_id} of {QUIET} made the task {task.id}"
    (event,) = tick.asset_events
    assert (event.asset_key, event.partition) == (TASKS, QUIET)
    values = {name: value.value for name, value in event.metadata.items()}
    assert values == {"created": 1, "task": task.id, "schedule": schedule_id, "trace_id": task.trace_id}
    assert quiet_pipeline.sensor(task_schedules).skip_message == "no schedule is due"
