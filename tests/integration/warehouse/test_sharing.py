"""The warehouse, the archive and backups of one home, read in another one through the store of files."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from squire_pipelines.backups.folder import back_up_regularly
from squire_pipelines.domain.budgets import BudgetLimits
from squire_pipelines.domain.endings import Cause
from squire_pipelines.file_store.errors import FileStoreError, StoredFileDamagedError, StoreMissingError
from squire_pipelines.file_store.opening import store_of
from squire_pipelines.ledger.retention import Retention
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings, load_settings
from squire_pipelines.warehouse.archive import archive_old_rows
from squire_pipelines.warehouse.query import run_query
from squire_pipelines.warehouse.sharing import (
    archive_of,
    publish_shared,
    readable_publication,
    share_archive,
    share_publication,
)
from tests.support.cli import Squire
from tests.support.ledgers import Clock, settle, start_attempt

WEEK = Retention({"tasks": timedelta(days=7)})


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mounted"
    folder.mkdir()
    monkeypatch.setenv("SQUIRE_FILES__URL", f"file://{folder}")
    monkeypatch.setenv("SQUIRE_FILES__TRIES", "1")
    return folder


@pytest.fixture
def other_home(mounted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Settings]:  # noqa: ARG001 - the store
    def move() -> Settings:
        monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / "other"))
        (tmp_path / "other").mkdir(exist_ok=True)
        return load_settings()

    return move


def limits(_repository: str) -> BudgetLimits:
    return BudgetLimits()


def count_tasks(path: Path) -> int:
    ((count,),) = run_query(path, "SELECT count(*) FROM tasks", limit=1, timeout_s=10).rows
    return int(count)


def archived_task(ledger: Ledger, clock: Clock, settings: Settings, **options: object) -> None:
    settle(ledger, start_attempt(ledger), Cause.AGENT_ERROR)
    clock.forward(8 * 86_400)
    archive_old_rows(ledger, settings.home.archive, WEEK, **options)  # type: ignore[arg-type] # the store


def test_what_one_machine_has_published_another_one_reads(
    mounted: Path, other_home: Callable[[], Settings], tmp_path: Path
) -> None:
    settings = load_settings()
    own = settings.home.warehouse
    own.parent.mkdir(parents=True)
    moment = datetime.now(UTC)
    for number, (minutes, is_stored) in enumerate([(0, True), (9, False), (10, True)]):
        own.write_text(f"rows {number}")
        assert share_publication(settings, "warehouse", own, moment + timedelta(minutes=minutes)) is is_stored
    assert len(list((mounted / "published/warehouse").iterdir())) == 2
    assert list(settings.home.stored_files.iterdir()) == []
    other = other_home()
    copy = readable_publication(other, "warehouse", other.home.warehouse)
    assert copy.is_relative_to(other.home.stored_files)
    assert copy.read_text() == "rows 2"
    assert Squire(tmp_path / "other").ok("history", "path").strip() == str(copy)

    # A home's own file is read where it is as new, and where the store is away; where there is none, that is named.
    ahead = (moment + timedelta(minutes=11)).timestamp()
    os.utime(own, (ahead, ahead))
    assert readable_publication(settings, "warehouse", own) == own
    mounted.rename(mounted.with_name("unmounted"))
    os.utime(own, (0, 0))
    assert readable_publication(settings, "warehouse", own) == own
    assert not share_publication(settings, "warehouse", own, moment + timedelta(days=1))
    with pytest.raises(StoreMissingError):
        readable_publication(other, "warehouse", other.home.warehouse)


def test_another_steward_publishes_with_the_whole_archive(
    ledger: Ledger, clock: Clock, mounted: Path, other_home: Callable[[], Settings]
) -> None:
    settings = load_settings()
    archived_task(ledger, clock, settings, store=store_of(settings))
    other = other_home()
    publish_shared(ledger, other, limits_of=limits)
    assert len(list((mounted / "published/warehouse").iterdir())) == 1
    assert count_tasks(other.home.warehouse) == 1
    (file,) = (other.home.archive / "tasks").iterdir()
    assert file.read_bytes() == (settings.home.archive / "tasks" / file.name).read_bytes()


def test_rows_stay_in_the_ledger_while_the_store_does_not_take_them(
    ledger: Ledger, clock: Clock, mounted: Path
) -> None:
    settings = load_settings()
    store = store_of(settings)
    mounted.rename(mounted.with_name("unmounted"))
    with pytest.raises(FileStoreError):
        archived_task(ledger, clock, settings, store=store)
    assert not list(settings.home.archive.rglob("*.parquet"))
    mounted.with_name("unmounted").rename(mounted)
    assert archive_old_rows(ledger, settings.home.archive, WEEK, store=store).tasks == 1


def test_an_archive_from_before_the_store_goes_there_and_a_changed_file_is_not_taken(
    ledger: Ledger, clock: Clock, mounted: Path, other_home: Callable[[], Settings]
) -> None:
    settings = load_settings()
    archived_task(ledger, clock, settings)
    count = share_archive(settings, ledger)
    assert count == len(list((mounted / "archive").rglob("*.parquet"))) > 0
    assert share_archive(settings, ledger) == 0
    other = other_home()
    (stored,) = (mounted / "archive/tasks").iterdir()
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")
    with pytest.raises(StoredFileDamagedError):
        archive_of(other, ledger)
    assert not list((other.home.archive / "tasks").iterdir())


def test_a_regular_backup_is_in_the_store_too(ledger: Ledger, mounted: Path) -> None:
    settings = load_settings()
    start_attempt(ledger)
    made, _ = back_up_regularly(
        settings,
        ledger,
        config=settings.home.config_file,
        with_archive=True,
        actor="test",
        progress=lambda *_: None,
    )
    assert (mounted / "backups" / made.path.name).read_bytes() == made.path.read_bytes()
    assert (mounted / "backups" / made.path.name).stat().st_mode & 0o077 == 0
