"""What keeps a home small: the job `clean` that has not succeeded for long, and what is beyond its bound."""

import os
import time
from pathlib import Path

import dagster as dg
import pytest

from squire_pipelines.domain.conditions import HealthLevel
from squire_pipelines.jobs.maintenance import clean_job
from squire_pipelines.runtime.upkeep_probe import CLEAN, look_at_upkeep
from squire_pipelines.settings.model import Settings
from tests.integration.health.conftest import Configure

DAY_S = 86_400.0


@pytest.fixture
def settings(configure: Configure) -> Settings:
    """Return the settings of a home whose Dagster has been there for a week."""
    settings = configure("")
    made = settings.home.dagster / "storage-made"
    made.parent.mkdir(parents=True)
    made.touch()
    os.utime(made, (time.time() - 7 * DAY_S,) * 2)
    return settings


def test_a_clean_that_has_not_succeeded_for_more_than_two_of_its_intervals_is_degraded(settings: Settings) -> None:
    assert clean_job.name == CLEAN
    state = look_at_upkeep(settings)["upkeep"]
    assert state.level is HealthLevel.DEGRADED
    assert state.reason == "the job `clean` has not succeeded for 7.0 days"
    with dg.DagsterInstance.from_config(str(settings.home.dagster)) as instance:
        run = instance.create_run_for_job(dg.JobDefinition(name=CLEAN, graph_def=dg.GraphDefinition(name=CLEAN)))
        success = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name, message="done")
        instance.report_dagster_event(success, run.run_id)
    assert look_at_upkeep(settings)["upkeep"].level is HealthLevel.OK
    later = time.time() + 3 * DAY_S
    assert "for 3.0 days" in look_at_upkeep(settings, now=lambda: later)["upkeep"].reason


def test_what_is_beyond_its_bound_is_named_with_who_removes_it(settings: Settings) -> None:
    old = Path(settings.home.attempts / "a1")
    old.mkdir(parents=True)
    os.utime(old, (time.time() - 60 * DAY_S,) * 2)
    (settings.home.dagster / "storage-made").unlink()
    state = look_at_upkeep(settings)["upkeep"]
    assert state.reason == "more than there should be: 1 folders of attempts, 1 of them overdue"
    assert "recover" in state.hint
