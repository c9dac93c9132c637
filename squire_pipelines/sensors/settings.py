"""The sensor `settings`: what has to happen once changed settings are in force, or are refused.

Each sensor gets the settings in force at each of its ticks; this one makes new repositories known to Dagster, says
which version the sensors have, and has people told of a file that is refused.
"""

from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines.partitions import partition_requests
from squire_pipelines.resources.parameters import SettingsParam
from squire_pipelines.resources.stores import followed_settings
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.alerts import request_alerts, sent_alerts
from squire_pipelines.sensors.ticks import counted_ticks

if TYPE_CHECKING:
    from squire_pipelines.reloading.in_force import SettingsInForce
    from squire_pipelines.reloading.process_status import StatusFile


@dg.sensor(
    name="settings",
    job_name="send_alert",
    minimum_interval_seconds=intervals.SENSOR_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes the repositories of changed settings known, and has people told of settings that are refused.",
    tags={"squire/part": "settings"},
)
@counted_ticks("settings")
def follow_settings(context: dg.SensorEvaluationContext, settings: SettingsParam) -> dg.SensorResult | dg.SkipReason:
    """The cursor is a JSON list of the alerts that were sent."""
    from squire_pipelines.observability.alerts import settings_alert
    from squire_pipelines.reloading.process_status import status_of
    from squire_pipelines.settings.restarts import Part

    in_force = followed_settings()
    _status_file(in_force).write(status_of(in_force, Part.SENSORS))
    partitions = partition_requests(context.instance, settings.repositories)
    sent = sent_alerts(context)
    state, alerts = in_force.state, []
    if (refusal := state.refusal) is not None:
        alert = settings_alert(
            refusal.reason, refused_version=refusal.version, version_in_force=state.version, since=refusal.since
        )
        alerts = [alert] if alert.key not in sent else []
    requests, waiting = request_alerts(context, alerts, sent, again_after_s=settings.pipeline.redelivery_s)
    for alert in alerts:
        context.log.error(f"settings refused: {alert.reason}; the version {alert.version_in_force} holds")
    reason = waiting or ("a refused file was told of" if refusal is not None else "the settings are in force")
    if not partitions:
        return dg.SensorResult(requests) if requests else dg.SkipReason(reason)
    return dg.SensorResult(requests, skip_reason=None if requests else reason, dynamic_partitions_requests=partitions)


@cache
def _status_file(in_force: "SettingsInForce") -> "StatusFile":
    """Return the file by which this process says which settings its sensors have; it is removed with its lock."""
    from squire_pipelines.reloading.process_status import StatusFile
    from squire_pipelines.settings.restarts import Part

    return StatusFile(in_force.home, Part.SENSORS)
