"""What Dagster's processes are started with."""

from pathlib import Path

import pytest
from dagster._core.storage.event_log import InMemoryEventLogStorage

from squire_pipelines.runtime.dagster_home import ONE_PLANNED_EVENT, instance_environment
from squire_pipelines.settings.model import Settings


def test_a_run_of_many_repositories_has_one_planned_event_for_each_asset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    monkeypatch.delenv(ONE_PLANNED_EVENT, raising=False)
    value = instance_environment(Settings())[ONE_PLANNED_EVENT]
    storage = InMemoryEventLogStorage()
    assert not storage.supports_partition_subset_in_asset_materialization_planned_events
    monkeypatch.setenv(ONE_PLANNED_EVENT, value)
    assert storage.supports_partition_subset_in_asset_materialization_planned_events  # Dagster still knows the name
    monkeypatch.setenv(ONE_PLANNED_EVENT, "0")
    assert instance_environment(Settings())[ONE_PLANNED_EVENT] == "0"
