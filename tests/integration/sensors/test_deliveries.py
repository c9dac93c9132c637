"""Deliveries that had an effect, as they are shown in the UI."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.assets.signal_sources import DELIVERIES, HOOK_DELIVERIES
from squire_pipelines.domain.deliveries import Effect
from squire_pipelines.ledger import deliveries, hook_deliveries
from squire_pipelines.ledger.delivery_effects import record_effect
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sensors.deliveries import MAX_REPORTED, report_deliveries
from tests.support.deliveries import record_delivery
from tests.support.ledgers import Clock
from tests.support.pipeline import BOARD, QUIET, Pipeline


class Deliveries:
    """Deliveries of a quiet pipeline, a minute ago."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.clock = Clock(datetime.now(UTC) - timedelta(minutes=1))
        self.ledger = Ledger(str(pipeline.settings.resolved_ledger_url), clock=self.clock)

    def store(self, name: str, *, repository: str | None = QUIET, event: str = "issues") -> int:
        return record_delivery(
            self.ledger,
            source="github",
            delivery_id=name,
            event=event,
            action="labeled",
            repository=repository,
            body=json.dumps({"action": "labeled"}).encode(),
        ).id

    def finish(self, *rows: int, subject: str | None = f"{QUIET}#7") -> None:
        """Have deliveries done with, at once, with an effect where there is a subject."""
        with self.ledger.write() as tx:
            for row in rows:
                if subject is not None:
                    record_effect(tx, row, Effect.LABEL, subject, trace_id="ab" * 16, detail="*bold* | by @mara")
            deliveries.mark_applied(tx, rows)
            deliveries.mark_collected(tx, [] if subject is None else rows)

    def tick(self, cursor: str | None = None) -> Any:
        return self.pipeline.sensor(report_deliveries, cursor)


def reported(tick: Any) -> list[str]:
    return [str(event.metadata["delivery_id"].value) for event in tick.asset_events]


def test_a_delivery_is_shown_with_its_effects_its_trace_and_the_way_to_what_it_is_about(
    quiet_pipeline: Pipeline,
) -> None:
    inbox = Deliveries(quiet_pipeline)
    row = inbox.store("d-1")
    assert inbox.tick().asset_events == [], "it is not done with"
    inbox.finish(row)
    tick = inbox.tick()
    (event,) = tick.asset_events
    assert isinstance(event, dg.AssetMaterialization)
    assert (event.asset_key, event.partition) == (DELIVERIES, QUIET)
    metadata: dict[str, Any] = dict(event.metadata)
    assert metadata["event"].value == "issues.labeled"
    assert metadata["link"].value == f"http://127.0.0.1:9/{QUIET}/issues/7"
    assert metadata["board"].value.startswith(f"{BOARD}/signals?repository=")
    assert metadata["github"].value == f"http://127.0.0.1:9/{QUIET}"
    effects = [record.data["effect"] for record in metadata["effects"].records]
    assert effects == ["label", "collected"]
    trace = metadata["trace_id"].value
    with quiet_pipeline.ledger.read() as tx:
        assert trace in set(deliveries.traces(tx, [row]).values())
    assert (event.tags or {})[tags.TRACE] == trace
    assert metadata["trace"].value == f"`squire trace {trace}`"
    quiet_pipeline.add_partitions(tick)
    quiet_pipeline.instance.report_runless_asset_event(event)
    assert quiet_pipeline.instance.get_latest_materialization_event(DELIVERIES) is not None
    inbox.ledger.close()


def test_each_is_shown_once_also_when_many_are_done_with_at_once(quiet_pipeline: Pipeline) -> None:
    inbox = Deliveries(quiet_pipeline)
    rows = [inbox.store(f"d-{number}") for number in range(MAX_REPORTED + 2)]
    inbox.finish(*rows)
    first = inbox.tick()
    second = inbox.tick(first.cursor)
    assert reported(first) + reported(second) == [f"d-{number}" for number in range(MAX_REPORTED + 2)]
    third = inbox.tick(second.cursor)
    assert (third.asset_events, third.cursor) == ([], second.cursor)
    inbox.ledger.close()


def test_what_had_no_effect_and_a_replay_that_had_none_are_not_shown(quiet_pipeline: Pipeline) -> None:
    inbox = Deliveries(quiet_pipeline)
    nothing, label = inbox.store("d-1", repository=None), inbox.store("d-2")
    inbox.finish(nothing, subject=None)
    inbox.finish(label)
    cursor = inbox.tick().cursor
    inbox.clock.forward(10)
    with inbox.ledger.write() as tx:
        deliveries.reopen(tx, [label], collects=True, applies=True)
    inbox.clock.forward(10)
    inbox.finish(label)
    assert inbox.tick(cursor).asset_events == []
    inbox.ledger.close()


def test_one_that_is_about_no_repository_has_no_partition(quiet_pipeline: Pipeline) -> None:
    inbox = Deliveries(quiet_pipeline)
    row = inbox.store("d-1", repository=None, event="ping")
    inbox.finish(row, subject="the GitHub App")
    (event,) = inbox.tick().asset_events
    assert event.partition is None
    assert "link" not in event.metadata
    inbox.ledger.close()


def test_what_another_sender_delivered_is_shown_apart_with_the_facts_that_it_told(quiet_pipeline: Pipeline) -> None:
    inbox = Deliveries(quiet_pipeline)
    fields = {"event": "issue", "action": None, "repository": None, "body": b"{}", "reads_body": True}
    row = record_delivery(inbox.ledger, source="sentry", delivery_id="s-1", **fields).id
    with inbox.ledger.write() as tx:
        trace = "cd" * 16
        hook_deliveries.record_told(tx, row, f"{QUIET} hooks/sentry/issue/17", trace_id=trace, detail="open")
        hook_deliveries.mark_read(tx, row, repository=QUIET, trace_id=trace)
        deliveries.request_collection(tx, [QUIET], source="repair", trace_id=trace)
    (event,) = inbox.tick().asset_events
    assert (event.asset_key, event.partition) == (HOOK_DELIVERIES, QUIET)
    assert event.metadata["source"].value == "sentry"
    assert event.metadata["link"].value == f"http://127.0.0.1:9/{QUIET}"
    assert [record.data["detail"] for record in event.metadata["effects"].records] == ["open"]
    inbox.ledger.close()
