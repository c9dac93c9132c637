import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.doctor.files import check_files, try_store
from squire_pipelines.domain.conditions import HealthLevel
from squire_pipelines.file_store.opening import store_of
from squire_pipelines.file_store.store import FileStore
from squire_pipelines.health.file_store_probe import file_store_probes, look_at_file_store
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings, load_settings
from squire_pipelines.upkeep.growth import measure_growth
from squire_pipelines.upkeep.store_upkeep import StoreSizes, measure_store, remove_from_store, stored_sizes
from tests.support.ledgers import add_task, claim, dispatch, sqlite_ledger_file


@pytest.fixture
def ledger(tmp_path: Path, open_at: Callable[..., Ledger]) -> Ledger:
    return open_at(f"sqlite:///{sqlite_ledger_file(tmp_path / 'ledger.sqlite')}")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "mounted").mkdir()
    monkeypatch.setenv("SQUIRE_FILES__URL", f"file://{tmp_path}/mounted")
    monkeypatch.setenv("SQUIRE_FILES__TRIES", "1")
    monkeypatch.setenv("SQUIRE_BACKUP__KEEP", "2")
    return load_settings()


@pytest.fixture
def store(settings: Settings) -> FileStore:
    store = store_of(settings)
    assert store is not None
    return store


def age(tmp_path: Path, prefix: str, days: float) -> None:
    moment = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    for path in (tmp_path / "mounted" / prefix).rglob("*"):
        os.utime(path, (moment, moment))


def test_what_is_old_or_surplus_leaves_the_store(
    settings: Settings, store: FileStore, ledger: Ledger, tmp_path: Path
) -> None:
    task_id = add_task(ledger)
    dispatch(ledger)
    claim(ledger, f"{task_id}-1")
    for name in (f"{task_id}-1", "t0gone-1", "t0young-1"):
        store.put_content(f"attempts/{name}/keep/result.bundle", b"work")
        store.put_content(f"attempts/{name}/agent.log", b"words")
    (tmp_path / "mounted" / "attempts" / "not ours").mkdir()
    age(tmp_path, f"attempts/{task_id}-1", 9000)  # it is under way, however old its files are
    age(tmp_path, "attempts/t0gone-1", 9000)
    for day in (1, 2, 3, 4):
        store.put_content(f"backups/squire-2026010{day}T000000Z.tar.gz", b"backup")
        store.put_content(f"published/warehouse/2026010{day}T000000Z.duckdb", b"rows")
    store.put_content("doctor/left/file", b"by one that was interrupted")
    removed = remove_from_store(ledger, settings, store)
    assert (removed.attempts, removed.backups, removed.publications) == (1, 2, 2)
    assert sorted(store.folders("attempts/")) == sorted((f"{task_id}-1", "t0young-1", "not ours"))
    assert list(store.files("doctor/")) == []
    assert [file.key for file in store.files("backups/")] == [
        f"backups/squire-2026010{day}T000000Z.tar.gz" for day in (3, 4)
    ]


def test_how_much_is_in_the_store_is_counted_and_shown(settings: Settings, store: FileStore, tmp_path: Path) -> None:
    assert stored_sizes(store) is None
    store.put_content("attempts/t1-1/agent.log", b"12345")
    store.put_content("attempts/t2-1/agent.log", b"12345")
    store.put_content("archive/tasks/x.parquet", b"12345")
    age(tmp_path, "attempts/t1-1", 30)
    sizes = measure_store(store, old=datetime.now(UTC) - timedelta(days=9))
    assert sizes == stored_sizes(store) == StoreSizes(3, 15, 2, 1)
    growth = {one.name: one for one in measure_growth(settings, None)}
    assert str(growth["attempts in the store of files"]) == "2 attempts in the store of files, 1 of them overdue"
    assert growth["MiB in the store of files"].most == 100 * 1024
    store.replace("sizes.json", b"no json")
    assert stored_sizes(store) is None


def test_the_doctor_leaves_nothing_and_a_store_in_trouble_is_a_condition(
    settings: Settings, store: FileStore, tmp_path: Path
) -> None:
    assert try_store(store) >= 0
    assert list(store.files("")) == []
    assert look_at_file_store(settings)["files"].level is HealthLevel.OK
    (tmp_path / "mounted").rename(tmp_path / "unmounted")
    state = look_at_file_store(settings)["files"]
    assert state.level is HealthLevel.DOWN
    assert "is not there" in state.reason
    assert state.hint
    assert "MiB in the store of files" not in {one.name for one in measure_growth(settings, None)}


def lines() -> list[tuple[str, str]]:
    return [(line.status, line.message) for line in check_files(CliContext())]


def test_the_doctor_says_what_is_wrong_with_the_store(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((status, message),) = lines()
    assert status == "ok"
    assert message.startswith(f"{settings.files.url}: a file was written, read and removed in ")
    (tmp_path / "mounted").rename(tmp_path / "unmounted")
    ((status, message),) = lines()
    assert (status, message) == ("fail", f"the store {tmp_path}/mounted is not there")
    monkeypatch.setenv("SQUIRE_FILES__URL", "")
    assert lines() == []


def test_without_a_store_there_is_nothing_to_look_at() -> None:
    assert file_store_probes(Settings()) == ()
    assert look_at_file_store(Settings()) == {}
