"""The job `clean` does all of its parts, and one that fails keeps no other from it."""

from tests.support.pipeline import Pipeline, output_metadata


def test_clean_archives_purges_and_tends(quiet_pipeline: Pipeline) -> None:
    done = quiet_pipeline.run("clean")
    metadata = output_metadata(done)
    assert (metadata["runs_deleted"], metadata["mirrors_removed"], metadata["files"]) == (0, 0, 0)


def test_what_cannot_be_archived_does_not_stop_the_purge(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.settings.home.archive.parent.mkdir(parents=True, exist_ok=True)
    quiet_pipeline.settings.home.archive.write_text("no folder")
    done = quiet_pipeline.run("clean", fails=True)
    assert "runs_deleted" in output_metadata(done)
