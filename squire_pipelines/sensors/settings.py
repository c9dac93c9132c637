"""The sensor `settings`: what has to happen once changed settings are in force, or are refused.

Each sensor gets the settings in force at each of its ticks; this one makes new repositories known to Dagster, and says
which version the sensors have, or why they refuse the file: an alert follows from that.
"""

from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines.partitions import partition_requests
from squire_pipelines.resources.parameters import SettingsParam
from squire_pipelines.resources.stores import followed_settings
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.ticks import counted_ticks

if TYPE_CHECKING:
    from squire_pipelines.reloading.in_force import SettingsInForce
    from squire_pipelines.reloading.process_status import StatusFile


@dg.sensor(
    name="settings",
    minimum_interval_seconds=intervals.SENSOR_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes the repositories of changed settings known, and says when settings are refused.",
    tags={"squire/part": "settings"},
)
@counted_ticks("settings")
def follow_settings(context: dg.SensorEvaluationContext, settings: SettingsParam) -> dg.SensorResult | dg.SkipReason:
    """Return the repositories that are new or gone; nothing is run."""
    from squire_pipelines.reloading.process_status import status_of
    from squire_pipelines.settings.restarts import Part

    in_force = followed_settings()
    _status_file(in_force).write(status_of(in_force, Part.SENSORS))
    partitions = partition_requests(context.instance, settings.repositories)
    state = in_force.state
    reason = "the settings are in force"
    if (refusal := state.refusal) is not None:
        # Who follows the file has logged it, once and then each hour; a tick comes each five seconds.
        reason = f"the settings' file is refused, and the version {state.version} holds: {refusal.reason}"
    if not partitions:
        return dg.SkipReason(reason)
    return dg.SensorResult(skip_reason=reason, dynamic_partitions_requests=partitions)


@cache
def _status_file(in_force: "SettingsInForce") -> "StatusFile":
    """Return the file by which this process says which settings its sensors have; it is removed with its lock."""
    from squire_pipelines.reloading.process_status import StatusFile
    from squire_pipelines.settings.restarts import Part

    return StatusFile(in_force.home, Part.SENSORS)
