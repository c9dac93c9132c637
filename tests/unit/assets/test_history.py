"""The assets of the history: one for each published table, with a freshness policy of Dagster's own."""

from datetime import timedelta

import dagster as dg

from squire_pipelines.assets.history import TABLES, history_tables
from squire_pipelines.warehouse import schema


def test_every_published_table_is_an_asset() -> None:
    # What waits for what is a part of the tasks.
    assert {*TABLES} == {*schema.TABLES} - {"task_dependencies"}


def test_every_asset_has_a_freshness_policy_that_fails_when_two_publications_are_missed() -> None:
    for spec in history_tables.specs:
        assert spec.freshness_policy == dg.FreshnessPolicy.time_window(
            fail_window=timedelta(minutes=30), warn_window=timedelta(minutes=15)
        )
        assert spec.tags["squire/part"] == "history"
