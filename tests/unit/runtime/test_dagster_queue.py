"""Dagster's settings where runs go to a queue."""

import yaml  # type: ignore[import-untyped] # no stubs are installed

from squire_pipelines.runtime.dagster_home import dagster_yaml
from squire_pipelines.runtime.dagster_queue import with_queue


def test_runs_go_to_the_queue_of_workers_and_nothing_else_changes() -> None:
    before = yaml.safe_load(dagster_yaml().read_text())
    after = yaml.safe_load(with_queue(dagster_yaml().read_text()))
    assert after.pop("run_launcher") == {
        "module": "squire_pipelines.jobs.queue_launcher",
        "class": "QueueRunLauncher",
    }
    assert after["run_coordinator"].pop("class") == "PlaceBoundRunCoordinator"
    assert after["run_coordinator"].pop("module") == "squire_pipelines.jobs.queue_places"
    for key in ("class", "module"):
        before["run_coordinator"].pop(key)
    assert after == before
