"""Dagster's storage on Postgres: made beside the ledger, gone on with where the home's files were, kept small."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorType, SensorInstigatorData
from dagster._core.storage.tags import GRPC_INFO_TAG

from squire_pipelines.errors import ConfigError, NotReachableError
from squire_pipelines.runtime.dagster_home import (
    code_server_socket,
    instance_environment,
    open_instance,
    storage_mark,
)
from squire_pipelines.runtime.recovery import fail_dead_runs, make_storage, runs_under_way
from squire_pipelines.runtime.storage_moves import copy_states, open_files
from squire_pipelines.settings.dagster_storage import VARIABLE, names_postgres, storage_url_of
from squire_pipelines.settings.model import Settings
from squire_pipelines.upkeep import dagster_tables
from squire_pipelines.upkeep.growth import measure_growth
from tests.support.ledgers import PostgresServer

NO_SERVER = "postgresql://squire:s3cret@127.0.0.1:1/none"


def yaml_of(settings: Settings) -> Path:
    return settings.home.dagster / "dagster.yaml"


def test_the_url_names_the_schema_and_the_library_that_dagster_takes() -> None:
    assert storage_url_of("sqlite:////ledger.sqlite") is None
    url = storage_url_of("postgresql+psycopg://u:p%40@h/d?sslmode=require&prepare_threshold=5&options=-c%20a=b") or ""
    assert url.startswith("postgresql+psycopg2://u:p%40@h/d?")
    assert "prepare_threshold" not in url
    assert "sslmode=require" in url
    assert "search_path" in url
    own = storage_url_of("postgresql://h/d?options=-csearch_path%3Dother") or ""
    assert (own.count("search_path"), "dagster" in own) == (1, False)


def test_the_password_is_in_the_environment_and_in_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_LEDGER_URL", NO_SERVER)
    settings = Settings()
    environment = instance_environment(settings)
    assert "s3cret" in environment[VARIABLE]
    assert names_postgres(yaml_of(settings))
    written = [path for path in settings.home.state.rglob("*") if path.is_file()]
    assert yaml_of(settings) in written
    assert not any("s3cret" in path.read_text(encoding="utf-8") for path in written)
    assert "s3cret" not in storage_mark(settings).name


def test_the_file_follows_the_settings_and_a_persons_own_stays() -> None:
    on_sqlite = Settings()
    instance_environment(on_sqlite)
    plain = yaml_of(on_sqlite).read_text(encoding="utf-8")
    assert storage_mark(on_sqlite).name == "storage-made"
    on_postgres = Settings.model_validate({"pipeline": {"storage_url": NO_SERVER}})
    instance_environment(on_postgres)
    assert yaml_of(on_postgres).read_text(encoding="utf-8").startswith(plain)
    assert storage_mark(on_postgres).name != "storage-made"
    instance_environment(on_sqlite)
    assert yaml_of(on_sqlite).read_text(encoding="utf-8") == plain
    record = yaml_of(on_sqlite).with_name(".dagster.yaml.written")
    instance_environment(on_postgres)
    record.unlink()  # as in a home that was restored
    instance_environment(on_sqlite)
    assert yaml_of(on_sqlite).read_text(encoding="utf-8") == plain
    yaml_of(on_sqlite).write_text(own := f"{plain}# mine\n", encoding="utf-8")
    instance_environment(on_postgres)
    assert yaml_of(on_postgres).read_text(encoding="utf-8") == own
    assert on_postgres.dagster_url_in_use is None
    assert storage_mark(on_postgres).name == "storage-made"


def test_without_dagsters_library_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squire_pipelines.runtime.dagster_home.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="not installed"):
        instance_environment(Settings.model_validate({"pipeline": {"storage_url": NO_SERVER}}))


def test_a_server_that_is_away_is_said_without_the_password() -> None:
    settings = Settings.model_validate({"pipeline": {"storage_url": NO_SERVER}})
    instance_environment(settings)
    with pytest.raises(NotReachableError, match="cannot be made") as caught:
        make_storage(settings)
    assert "s3cret" not in str(caught.value)


def sensor_state(name: str, cursor: str, status: InstigatorStatus = InstigatorStatus.RUNNING) -> InstigatorState:
    location = GrpcServerCodeLocationOrigin(host="localhost", socket="/x/code-server.sock", location_name="squire")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    return InstigatorState(origin, InstigatorType.SENSOR, status, SensorInstigatorData(cursor=cursor))


def states(instance: dg.DagsterInstance) -> dict[str, tuple[str | None, InstigatorStatus]]:
    return {
        state.name: (getattr(state.instigator_data, "cursor", None), state.status)
        for state in instance.all_instigator_state()
    }


@pytest.mark.slow
def test_sensors_and_partitions_go_on_where_the_files_were_and_back(postgres: PostgresServer) -> None:
    # One test, since opening a storage takes a second: each step goes on from the one before.
    stopped = {"reaper": ("17", InstigatorStatus.STOPPED), "history": ("41:5", InstigatorStatus.RUNNING)}
    files = Settings()
    instance_environment(files)
    make_storage(files)
    storage_mark(files).touch()
    with open_instance(files) as instance:
        instance.add_dynamic_partitions("repositories", ["acme/shop", "acme/api"])
        for name, (cursor, status) in stopped.items():
            instance.add_instigator_state(sensor_state(name, cursor, status))
    url = postgres.new_database()
    settings = Settings.model_validate({"ledger_url": url})
    os.environ |= instance_environment(settings)
    make_storage(settings)
    make_storage(settings)  # as a second machine does
    own = code_server_socket(settings)
    assert own == code_server_socket(settings)
    with open_instance(settings) as instance:
        assert states(instance) == stopped
        assert set(instance.get_dynamic_partitions("repositories")) == {"acme/shop", "acme/api"}
        runs = [
            instance.create_run(
                job_name="clean", run_id=None, run_config={}, status=dg.DagsterRunStatus.STARTED,
                tags={GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": socket})},
                step_keys_to_execute=None, root_run_id=None, parent_run_id=None, job_snapshot=None,
                execution_plan_snapshot=None, parent_job_snapshot=None, asset_selection=None,
                asset_check_selection=None, resolved_op_selection=None, op_selection=None,
                remote_job_origin=None, job_code_origin=None, asset_graph=None,  # type: ignore[arg-type]
            ).run_id
            for socket in (str(own), "/elsewhere/code-server-00000000.sock")
        ]  # fmt: skip
        instance.update_instigator_state(sensor_state("reaper", "99"))
    assert runs_under_way(settings) == 2
    assert fail_dead_runs(settings, socket=own.name) == (runs[0],)
    growth = {one.name: one.count for one in measure_growth(settings, None)}
    assert growth["runs of Dagster"] == 2
    with psycopg.connect(url) as connection:
        for day in (1, 2, 3):
            names = "run_id, asset_key, dagster_event_type, timestamp, event"
            values = ("", "a", "FRESHNESS", datetime(2026, 1, day), "")  # noqa: DTZ001 - as Dagster writes it
            connection.execute(f"INSERT INTO dagster.event_logs ({names}) VALUES (%s, %s, %s, %s, %s)", values)  # noqa: S608
    before = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=30)
    assert dagster_tables.delete_rows_of_nobody(settings.dagster_url_in_use or "", before=before)["event_logs"] == 2
    with open_instance(settings) as old, open_files(settings.home.dagster) as new:
        taken = copy_states(old, new)
        assert (taken.partitions, taken.states) == (2, 2)
        assert states(new)["reaper"] == ("99", InstigatorStatus.RUNNING)
