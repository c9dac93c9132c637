"""The sensor that publishes the warehouse, and the job that it asks for."""

import dagster as dg
import pytest

from squire_pipelines.assets.history import TABLES
from squire_pipelines.sensors.history import history_follows_events
from squire_pipelines.warehouse.query import run_query
from tests.support.ledgers import add_task
from tests.support.pipeline import QUIET, Pipeline


def test_nothing_is_published_when_nothing_has_happened(quiet_pipeline: Pipeline) -> None:
    tick = quiet_pipeline.sensor(history_follows_events)
    assert tick.run_requests == []
    assert tick.skip_message == "nothing has happened"


def test_events_are_published_once_and_a_burst_of_them_together(quiet_pipeline: Pipeline) -> None:
    add_task(quiet_pipeline.ledger, repository=QUIET)
    tick = quiet_pipeline.sensor(history_follows_events)
    (request,) = tick.run_requests
    assert (request.job_name, request.run_key) == ("publish_history", "history-1")
    assert quiet_pipeline.sensor(history_follows_events, tick.cursor).skip_message == "nothing has happened"
    add_task(quiet_pipeline.ledger, repository=QUIET)
    add_task(quiet_pipeline.ledger, repository=QUIET)
    second = quiet_pipeline.sensor(history_follows_events, tick.cursor)
    assert second.run_requests == []
    assert "too fresh" in (second.skip_message or "")
    quiet_pipeline.configure("[warehouse]\nmin_interval_s = 0\n")
    (request,) = quiet_pipeline.sensor(history_follows_events, tick.cursor).run_requests
    assert request.run_key == "history-3"


def test_two_publications_are_never_under_way_at_once(quiet_pipeline: Pipeline) -> None:
    add_task(quiet_pipeline.ledger, repository=QUIET)
    quiet_pipeline.past_run("publish_history", dg.DagsterRunStatus.STARTED)
    tick = quiet_pipeline.sensor(history_follows_events)
    assert tick.run_requests == []
    assert "still under way" in (tick.skip_message or "")


def test_a_publication_that_was_cut_off_is_made_again_though_nothing_new_has_happened(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.configure("[warehouse]\nmin_interval_s = 0\n")
    add_task(quiet_pipeline.ledger, repository=QUIET)
    first = quiet_pipeline.sensor(history_follows_events)
    quiet_pipeline.past_run("publish_history", dg.DagsterRunStatus.FAILURE)
    tick = quiet_pipeline.sensor(history_follows_events, first.cursor)
    assert "it is tried again in a while" in (tick.skip_message or "")
    quiet_pipeline.configure("[warehouse]\nmin_interval_s = 0\n[pipeline]\nredelivery_s = 0.000001\n")
    (again,) = quiet_pipeline.sensor(history_follows_events, first.cursor).run_requests
    assert again.run_key != first.run_requests[0].run_key


@pytest.mark.slow
def test_the_job_publishes_every_table_and_says_how_many_rows(quiet_pipeline: Pipeline) -> None:
    task_id = add_task(quiet_pipeline.ledger, repository=QUIET)
    (request,) = quiet_pipeline.sensor(history_follows_events).run_requests
    done = quiet_pipeline.request(request)
    reported = {
        event.asset_key.path[-1]: event.step_materialization_data.materialization.metadata
        for event in done.all_events
        if event.is_step_materialization and event.asset_key
    }
    assert set(reported) == set(TABLES)
    assert reported["tasks"]["dagster/row_count"].value == 1
    assert reported["tasks"]["watermark"].value == 1
    assert reported["tasks"]["rows_changed"].value == 1
    assert reported["tasks"]["mode"].value == "full"
    assert float(str(reported["tasks"]["seconds"].value)) > 0
    schema = reported["tasks"]["dagster/column_schema"].value
    assert isinstance(schema, dg.TableSchema)
    assert {"id", "repository", "status"} <= {column.name for column in schema.columns}
    assert all(column.type and column.description for column in schema.columns)
    table = reported["audit"]["tables"]
    assert isinstance(table, dg.TableMetadataValue)
    assert {"table": "tasks", "rows": 1, "changed": 1} in [record.data for record in table.records]
    answer = run_query(quiet_pipeline.settings.home.warehouse, "SELECT id FROM tasks")
    assert answer.rows == ((task_id,),)


@pytest.mark.slow
def test_the_job_that_rebuilds_reads_everything_anew(quiet_pipeline: Pipeline) -> None:
    add_task(quiet_pipeline.ledger, repository=QUIET)
    for name, mode in (("publish_history", "full"), ("publish_history", "incremental"), ("rebuild_history", "full")):
        quiet_pipeline.request(dg.RunRequest(job_name=name))
        answer = run_query(quiet_pipeline.settings.home.warehouse, "SELECT mode FROM _publication")
        assert answer.rows == ((mode,),)


@pytest.mark.slow
def test_a_large_file_is_published_less_often(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.configure("[warehouse]\nmin_interval_s = 0\nwrite_rate = 1000\n")
    add_task(quiet_pipeline.ledger, repository=QUIET)
    tick = quiet_pipeline.sensor(history_follows_events)
    (request,) = tick.run_requests
    quiet_pipeline.request(request)
    add_task(quiet_pipeline.ledger, repository=QUIET)
    assert "too fresh" in (quiet_pipeline.sensor(history_follows_events, tick.cursor).skip_message or "")
    quiet_pipeline.configure("[warehouse]\nmin_interval_s = 0\nwrite_rate = 1000000000000\n")
    assert quiet_pipeline.sensor(history_follows_events, tick.cursor).run_requests
