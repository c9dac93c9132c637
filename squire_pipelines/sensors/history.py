"""The history sensor: publishes the warehouse after something has happened, debounced."""

import time
from collections.abc import Iterator

import dagster as dg

from squire_pipelines.ledger import tasks
from squire_pipelines.resources.stores import LedgerResource, SettingsResource
from squire_pipelines.sensors.activity import active_runs


@dg.sensor(
    name="history_follows_events",
    job_name="publish_history",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Publishes the warehouse when the ledger has new events, at most once in its minimal interval.",
    tags={"squire/part": "history"},
)
def history_follows_events(
    context: dg.SensorEvaluationContext, settings: SettingsResource, ledger: LedgerResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """The cursor is `last event published : when`; an event is published soon after, a burst of them together."""
    with ledger.open().read() as tx:
        newest = tasks.last_event_id(tx)
    published, _, moment = (context.cursor or "0:0").partition(":")
    if newest <= int(published):
        yield dg.SkipReason("nothing has happened")
        return
    wait = float(moment) + settings.load().warehouse.min_interval_s - time.time()
    if wait > 0 or active_runs(context.instance, "publish_history"):
        yield dg.SkipReason("the last publication is too fresh or still under way")
        return
    context.update_cursor(f"{newest}:{time.time():.0f}")
    yield dg.RunRequest(job_name="publish_history", run_key=f"history-{newest}")
