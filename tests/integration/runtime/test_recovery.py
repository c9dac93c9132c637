import dagster as dg
import pytest

from squire_pipelines.definitions import build_defs
from squire_pipelines.home import make_folder
from squire_pipelines.runtime.recovery import fail_dead_runs, make_storage
from squire_pipelines.settings.model import Settings


@pytest.mark.slow
def test_runs_whose_process_is_gone_fail_and_those_that_wait_or_have_ended_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Settings()
    home = make_folder(settings.home.dagster)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    job = build_defs(Settings()).resolve_job_def("publish_history")
    with dg.DagsterInstance.get() as instance:
        runs = {
            status: instance.create_run_for_job(job, status=status).run_id
            for status in (
                dg.DagsterRunStatus.NOT_STARTED,
                dg.DagsterRunStatus.STARTING,
                dg.DagsterRunStatus.STARTED,
                dg.DagsterRunStatus.CANCELING,
                dg.DagsterRunStatus.SUCCESS,
            )
        }
    failed = fail_dead_runs(settings)
    with dg.DagsterInstance.get() as instance:
        after = {before: instance.get_run_by_id(run_id) for before, run_id in runs.items()}
    assert {before for before, run in after.items() if run and run.status is dg.DagsterRunStatus.FAILURE} == {
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    }
    assert len(failed) == 3
    assert fail_dead_runs(settings) == ()


@pytest.mark.slow
def test_the_storage_that_is_made_is_whole_and_one_that_is_there_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Settings()
    home = make_folder(settings.home.dagster)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    make_storage(settings)
    made = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    assert made == ["dagster.yaml", "history/runs.db", "history/runs/index.db", "schedules/schedules.db"]
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("repositories", ["acme/shop"])
    make_storage(settings)
    with dg.DagsterInstance.get() as instance:
        assert instance.get_dynamic_partitions("repositories") == ["acme/shop"]
