"""The history sensor: publishes the warehouse after something has happened, debounced."""

import time
from collections.abc import Iterator

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.activity import active_runs, seconds_since_failure
from squire_pipelines.sensors.ticks import counted_ticks
from squire_pipelines.settings.model import Settings


@dg.sensor(
    name="history_follows_events",
    job_name="publish_history",
    minimum_interval_seconds=intervals.NEWS_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Publishes the warehouse when the ledger has new events; the larger it is, the less often.",
    tags={"squire/part": "history"},
)
@counted_ticks("history_follows_events")
def history_follows_events(
    context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """The cursor is `last event published : when`; an event is published soon after, a burst of them together."""
    from squire_pipelines.ledger import tasks

    with ledger.read() as tx:
        newest = tasks.last_event_id(tx)
    published, _, moment = (context.cursor or "0:0").partition(":")
    since_failure = seconds_since_failure(context.instance, dg.RunsFilter(job_name="publish_history"))
    if newest <= int(published) and since_failure is None:
        yield dg.SkipReason("nothing has happened")
        return
    if time.time() < float(moment) + _least_interval_s(settings) or active_runs(
        context.instance, "publish_history", "rebuild_history"
    ):
        yield dg.SkipReason("the last publication is too fresh or still under way")
        return
    if since_failure is not None and since_failure < settings.pipeline.redelivery_s:
        yield dg.SkipReason("the last publication failed; it is tried again in a while")
        return
    context.update_cursor(f"{newest}:{time.time():.3f}")
    again = "" if since_failure is None else f"-{time.time():.0f}"  # a key that was used launches nothing any more
    yield dg.RunRequest(
        job_name="publish_history", run_key=f"history-{newest}{again}", tags={tags.TRACE: new_trace_id()}
    )


def _least_interval_s(settings: Settings) -> float:
    from squire_pipelines.warehouse import files

    path = settings.home.warehouse
    return files.least_interval_s(
        path.stat().st_size if path.exists() else 0,
        min_interval_s=settings.warehouse.min_interval_s,
        write_rate=settings.warehouse.write_rate,
    )
