"""The job `clean` does all of its parts, and one that fails keeps no other from it."""

import os

import dagster as dg
import pytest

from squire_pipelines.errors import SquireError, StateConflictError
from squire_pipelines.runtime.home_cleaning import clean_home, due_in_home
from tests.support.deliveries import record_delivery
from tests.support.pipeline import BOARD, Pipeline, output_metadata


def test_clean_archives_purges_and_tends(quiet_pipeline: Pipeline) -> None:
    done = quiet_pipeline.run("clean")
    metadata = output_metadata(done)
    assert (metadata["runs_deleted"], metadata["mirrors_removed"], metadata["files"]) == (0, 0, 0)
    assert metadata["forgotten/delivery_bodies"] == 0
    assert metadata["board"] == f"{BOARD}/"


def test_bodies_beyond_their_bound_are_counted_before_they_go_and_do_not_wait_for_the_daily_job(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks_nothing = {"source": "github", "event": "star", "action": None, "repository": None, "relevant": False}
    record_delivery(quiet_pipeline.ledger, delivery_id="d-1", body=os.urandom(2 * 2**20), **asks_nothing)
    monkeypatch.setenv("SQUIRE_RETENTION__MAX_DELIVERY_BODIES", "1MiB")

    def due() -> int:
        parts = due_in_home(quiet_pipeline.settings, quiet_pipeline.ledger, quiet_pipeline.instance)
        return int(parts["archive_and_delete"]["forgotten/delivery_bodies"])

    assert due() == 1
    assert output_metadata(quiet_pipeline.run("recover"))["delivery_bodies_removed"] == 1
    assert due() == 0


def test_what_cannot_be_archived_does_not_stop_the_purge(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.settings.home.archive.parent.mkdir(parents=True, exist_ok=True)
    quiet_pipeline.settings.home.archive.write_text("no folder")
    done = quiet_pipeline.run("clean", fails=True)
    assert "runs_deleted" in output_metadata(done)


def test_a_command_says_what_would_go_and_does_what_the_job_does(quiet_pipeline: Pipeline) -> None:
    settings, instance = quiet_pipeline.settings, quiet_pipeline.instance
    (settings.home.mirrors / "old.git").mkdir(parents=True)
    due = due_in_home(settings, quiet_pipeline.ledger, instance)
    assert due["tend_mirrors"] == {"mirrors_removed": 1}
    assert due["purge_dagster"] == {"runs_deleted": 0, "runs_kept_for_assets": 0}
    assert (settings.home.mirrors / "old.git").exists()
    done = clean_home(instance, config_file=None)
    assert set(done) == set(due)
    assert done["tend_mirrors"]["mirrors_removed"] == 1
    assert not any("board" in part for part in done.values()), "links are for the UI"
    (run,) = instance.get_runs()
    assert (run.job_name, run.status) == ("clean", dg.DagsterRunStatus.SUCCESS)
    settings.home.archive.rename(settings.home.state / "moved")
    settings.home.archive.write_text("no folder")
    with pytest.raises(SquireError, match="archive_and_delete: "):
        clean_home(instance, config_file=None)
    quiet_pipeline.past_run("clean", dg.DagsterRunStatus.STARTED)
    with pytest.raises(StateConflictError, match="under way"):
        clean_home(instance, config_file=None)
