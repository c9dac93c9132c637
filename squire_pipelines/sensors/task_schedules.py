"""The sensor `task_schedules`: requests whose time has come become tasks. It requests no run.

`dispatch` starts the tasks, as all others. A run for this would cost seconds where it is a transaction, most of the
time of nothing.
"""

import dagster as dg

from squire_pipelines.assets.task_reports import TASKS
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.ticks import counted_ticks


@dg.sensor(
    name="task_schedules",
    minimum_interval_seconds=intervals.SLOW_SENSOR_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes the tasks of schedules (squire schedules list) whose time has come: one for each time.",
    tags={"squire/part": "task_schedules"},
)
@counted_ticks("task_schedules")
def task_schedules(
    context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam
) -> dg.SensorResult:
    """Say what came of each time. It needs no cursor: the schedules' rows have their next times."""
    from squire_pipelines.execution.schedules import take_due_times

    taken = take_due_times(ledger, settings)
    for time_taken in taken:
        context.log.info(str(time_taken))
    reports = [
        dg.AssetMaterialization(
            TASKS,
            partition=time_taken.repository,
            metadata={
                "created": 1,
                "task": time_taken.task_id,
                "schedule": time_taken.schedule_id,
                "trace_id": time_taken.trace_id,
            },
        )
        for time_taken in taken
        if time_taken.task_id is not None
    ]
    reason = "; ".join(map(str, taken)) or "no schedule is due"
    return dg.SensorResult(skip_reason=reason, asset_events=reports)
