"""The sensor `report_deliveries`: deliveries that had an effect, as materializations of the assets `*/deliveries`."""

from datetime import datetime

import dagster as dg

from squire_pipelines.assets.deliveries import report_delivery
from squire_pipelines.domain.plurals import counted
from squire_pipelines.partitions import partition_requests
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.ticks import counted_ticks

MAX_REPORTED = 50
"""In one tick: Dagster takes some 20 ms for each event. What is left is reported by the next ticks."""


@dg.sensor(
    name="report_deliveries",
    minimum_interval_seconds=intervals.SENSOR_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Shows what deliveries did: each that had an effect is a materialization of */deliveries.",
    tags={"squire/part": "webhooks"},
)
@counted_ticks("report_deliveries")
def report_deliveries(
    context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam
) -> dg.SensorResult:
    """Report what was done with since the last tick. The cursor is the time and the row of the one reported last."""
    from squire_pipelines.ledger import delivery_reports

    with ledger.read() as tx:
        done = delivery_reports.settled_since(tx, _place(context.cursor), limit=MAX_REPORTED)
    if not done:
        return dg.SensorResult(skip_reason="no delivery was done with that had an effect", cursor=context.cursor)
    names = [delivery.repository for delivery in done if delivery.repository is not None]
    return dg.SensorResult(
        skip_reason=f"{counted(len(done), 'delivery', 'deliveries')} reported",
        asset_events=[report_delivery(delivery, settings) for delivery in done],
        dynamic_partitions_requests=partition_requests(context.instance, names),
        cursor=f"{done[-1].updated_at.isoformat()}|{done[-1].id}",
    )


def _place(cursor: str | None) -> tuple[datetime, int] | None:
    moment, _, number = (cursor or "").partition("|")
    return (datetime.fromisoformat(moment), int(number)) if number else None
