"""Publication of what changed only: the same tables as reading everything, and when everything is read all the same."""

import errno
import os
import random
import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event

from squire_pipelines.errors import WarehouseError
from squire_pipelines.ledger.retention import Retention
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import metadata
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.warehouse import files, schema
from squire_pipelines.warehouse.archive import archive_old_rows
from squire_pipelines.warehouse.publish import IncrementalRules, Publication, publish_warehouse
from squire_pipelines.warehouse.query import run_query
from tests.support.changing_ledger import ChangingLedger, contents
from tests.support.ledgers import Clock, add_task, sqlite_ledger_file
from tests.support.publications import HAPPENINGS, MIB, publish_to, published_as_it_happens

HEADERS = 3 * 4096
HAPPENING = ("plan", "propose", "dispatch", "settle", "report", "read", "deliver", "archive_one", "wait")


# Each example takes a second and more: to shrink one that fails would take longer than a test may.
@pytest.mark.slow
@settings(max_examples=4, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(HAPPENINGS, min_size=4, max_size=25))
def test_publishing_changes_gives_what_reading_everything_gives(happened: list[tuple[str, int]]) -> None:
    grown, new = published_as_it_happens(happened)
    assert grown == new


@pytest.mark.slow
def test_a_task_that_changes_and_leaves_for_the_archive_at_the_moment_of_a_publication_has_its_last_state() -> None:
    happened = [("settle", 1), ("dispatch", 0), ("archive_one", 0)]
    grown, new = published_as_it_happens(happened)
    assert grown == new


@pytest.fixture
def world(ledger: Ledger, clock: Clock, warehouse: Path) -> ChangingLedger:
    return ChangingLedger(ledger, clock, warehouse.parent / "archive")


Publish = Callable[[], Publication]


@pytest.mark.slow
def test_a_client_that_opens_the_file_while_another_takes_its_place_sees_the_one_before(
    world: ChangingLedger, publish: Publish, warehouse: Path, tmp_path: Path
) -> None:
    # DuckDB opens a path for the header, and again for all else: between the two the file may be replaced.
    happens = random.Random(0)  # noqa: S311 - no secret
    world.plan(2)
    publish()
    for _ in range(6):
        for _ in range(happens.randint(1, 6)):
            getattr(world, happens.choice(HAPPENING))(happens.randint(1, 3))
        before, state = warehouse.read_bytes(), contents(warehouse)
        assert publish().mode == "incremental"
        mixed = tmp_path / "mixed.duckdb"
        mixed.write_bytes(before[:HEADERS] + warehouse.read_bytes()[HEADERS:])
        assert contents(mixed) == state


@pytest.mark.slow
def test_only_what_changed_is_written(world: ChangingLedger, publish: Publish, warehouse: Path) -> None:
    world.plan(3)
    world.wait(1)
    assert publish().mode == "full"
    world.wait(1000)
    assert publish().changed["tasks"] == 0
    world.dispatch(0)
    done = publish()
    assert (done.mode, done.reason) == ("incremental", "")
    assert (done.changed["tasks"], done.changed["attempts"], done.changed["model_calls"]) == (1, 1, 1)
    assert done.rows["tasks"] == 3
    assert run_query(warehouse, "SELECT mode, full_at < published_at FROM _publication").rows == (
        ("incremental", True),
    )


@pytest.mark.slow
def test_row_that_changed_twice_at_one_moment_is_published_as_it_is(
    world: ChangingLedger, publish: Publish, warehouse: Path
) -> None:
    world.plan(1)
    publish()
    world.dispatch(0)
    publish()
    world.settle(1)
    assert publish().mode == "incremental"
    assert run_query(warehouse, "SELECT status FROM task_overview").rows == (("failed",),)


@pytest.mark.slow
def test_late_rows_are_found_within_the_overlap(world: ChangingLedger, publish: Publish, warehouse: Path) -> None:
    world.plan(1)
    world.wait(1000)
    publish()
    world.wait(10)
    world.late(200)  # from before the publication
    assert publish().mode == "incremental"
    assert run_query(warehouse, "SELECT message FROM tasks").rows == (("late 200",),)
    assert run_query(warehouse, "SELECT count(*) FROM model_calls").rows == ((1,),)
    assert run_query(warehouse, "SELECT count(*) FROM task_events WHERE reason = 'r'").rows == ((1,),)


@pytest.mark.slow
def test_rows_that_are_later_than_the_overlap_make_everything_be_read(
    world: ChangingLedger, publish: Publish, warehouse: Path
) -> None:
    world.plan(1)
    world.wait(100_000)
    publish()
    world.late(50_000)
    done = publish()
    assert (done.mode, done.reason) == ("full", "new events have times from long before the last publication")
    assert run_query(warehouse, "SELECT message FROM tasks").rows == (("late 50000",),)


@pytest.mark.slow
def test_clock_that_was_set_back_makes_everything_be_read(world: ChangingLedger, publish: Publish) -> None:
    world.plan(1)
    publish()
    world.wait(-1)
    done = publish()
    assert (done.mode, done.reason) == ("full", "the ledger's clock is behind the last publication")


def test_everything_is_read_when_asked_for(
    world: ChangingLedger, publish: Publish, ledger: Ledger, warehouse: Path
) -> None:
    world.plan(1)
    publish()
    done = publish_warehouse(ledger, warehouse, WarehouseSettings(memory_limit=256 * MIB), full=True)
    assert (done.mode, done.reason) == ("full", "it was asked for")


def test_file_that_somebody_wrote_to_is_not_added_to(world: ChangingLedger, publish: Publish, warehouse: Path) -> None:
    world.plan(1)
    publish()
    warehouse.chmod(0o644)
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("DELETE FROM tasks")
        connection.execute("CHECKPOINT")
    done = publish()
    assert (done.mode, done.reason) == ("full", "another program has written to the file")
    assert run_query(warehouse, "SELECT count(*) FROM tasks").rows == ((1,),)


@pytest.mark.slow
def test_file_that_is_damaged_is_built_anew(
    world: ChangingLedger, publish: Publish, ledger: Ledger, warehouse: Path
) -> None:
    world.plan(1)
    publish()
    content = bytearray(warehouse.read_bytes())
    content[4096:12288] = b"\xff" * 8192  # both headers
    warehouse.chmod(0o644)
    warehouse.write_bytes(content)

    def as_a_disk_would(path: Path, copy: Path) -> bool:
        shutil.copy(path, copy)  # which changes bytes and nothing that one could see
        return True

    done = publish_warehouse(ledger, warehouse, incremental=IncrementalRules(copy_file=as_a_disk_would))
    assert done.mode == "full"
    assert done.reason.startswith("the previous file cannot be added to")
    assert run_query(warehouse, "SELECT count(*) FROM tasks").rows == ((1,),)


def test_file_of_another_version_is_built_anew(
    world: ChangingLedger, publish: Publish, ledger: Ledger, warehouse: Path
) -> None:
    world.plan(1)
    publish()
    newer = IncrementalRules(schema_version=schema.SCHEMA_VERSION + 1)
    assert publish_warehouse(ledger, warehouse, incremental=newer).reason == "the previous file is of another version"


@pytest.mark.slow
def test_another_ledger_takes_nothing_over(
    publish: Publish, world: ChangingLedger, warehouse: Path, tmp_path: Path, open_at: Callable[..., Ledger]
) -> None:
    world.plan(2)
    publish()
    other = open_at(f"sqlite:///{sqlite_ledger_file(tmp_path / 'other.sqlite')}", clock=world.clock)
    add_task(other, title="the other's")
    done = publish_warehouse(other, warehouse, WarehouseSettings(memory_limit=256 * MIB))
    assert (done.mode, done.reason) == ("full", "the previous file is another ledger's")
    assert run_query(warehouse, "SELECT title FROM tasks").rows == (("the other's",),)


@pytest.mark.slow
def test_ledger_that_was_restored_from_a_backup_is_read_whole(
    world: ChangingLedger, publish: Publish, ledger: Ledger
) -> None:
    world.plan(1)
    ledger.close()
    backup = ledger.path.read_bytes()
    world.plan(2)
    publish()
    ledger.close()
    ledger.path.write_bytes(backup)
    for log in ledger.path.parent.glob(f"{ledger.path.name}-*"):
        log.unlink()
    done = publish()
    assert (done.mode, done.reason) == ("full", "the ledger is older than what was published, or another one")
    assert done.rows["tasks"] == 1
    world.wait(10)
    world.plan(1)
    assert publish().mode == "incremental"


@pytest.mark.slow
def test_file_that_has_grown_for_nothing_is_built_anew(
    world: ChangingLedger, publish: Publish, ledger: Ledger, warehouse: Path
) -> None:
    world.plan(1)
    publish()
    strict = IncrementalRules(max_growth=0.5, free_growth=0)
    assert publish_warehouse(ledger, warehouse, incremental=strict).reason == "the file has grown"


@pytest.mark.slow
def test_rows_that_were_added_are_put_together_with_others_now_and_then_only(
    world: ChangingLedger, publish: Publish, ledger: Ledger, warehouse: Path
) -> None:
    world.plan(1)
    world.wait(1000)
    publish()
    groups = []
    for _ in range(3):
        world.plan(1)
        world.wait(1000)
        publish_warehouse(ledger, warehouse, incremental=IncrementalRules(merge_every=3))
        counted = run_query(warehouse, "SELECT max(row_group_id) + 1 FROM pragma_storage_info('plans')").rows
        groups.append(counted[0][0])
    assert groups == [2, 3, 1]
    assert run_query(warehouse, "SELECT additions FROM _publication").rows == ((3,),)


@pytest.mark.slow
def test_changes_are_read_from_the_ledger_while_the_file_is_copied(
    world: ChangingLedger, publish: Publish, ledger: Ledger, warehouse: Path
) -> None:
    world.plan(1)
    publish()
    world.dispatch(0)
    last_table_read = threading.Event()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM audit" in statement:
            last_table_read.set()

    def copy_late(path: Path, building: Path) -> bool:
        return last_table_read.wait(30) and files.copy_sealed(path, building)

    event.listen(ledger.engine, "before_cursor_execute", note)
    done = publish_warehouse(ledger, warehouse, incremental=IncrementalRules(copy_file=copy_late))
    assert (done.mode, done.changed["attempts"]) == ("incremental", 1)


@pytest.mark.slow
def test_changes_are_read_after_the_copy_where_a_file_can_have_no_second_name(
    world: ChangingLedger, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(errno.EPERM, "the file system knows no links")

    world.plan(1)
    publish()
    world.dispatch(0)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    done = publish()
    assert (done.mode, done.changed["attempts"]) == ("incremental", 1)


@pytest.mark.slow
def test_file_is_synced_whole_before_it_is_renamed_and_no_failure_to_sync_is_passed_over(
    world: ChangingLedger, publish: Publish, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, synced, failures = os.fsync, [], [OSError(errno.EIO, "the disk fails")]

    def watch(descriptor: int) -> None:
        sync(descriptor)
        status = os.fstat(descriptor)
        synced.append((status.st_ino, status.st_size))

    def fail_once(descriptor: int) -> None:
        if failures:  # the system reports a failure once: a later sync of the same file succeeds
            raise failures.pop()
        sync(descriptor)

    world.plan(1)
    monkeypatch.setattr(os, "fsync", watch)
    for mode in ("full", "incremental"):
        assert publish().mode == mode
        status = warehouse.stat()
        assert (status.st_ino, status.st_size) in synced
    monkeypatch.setattr(os, "fsync", fail_once)
    with pytest.raises(WarehouseError, match="the disk fails"):
        publish()
    assert (warehouse.stat().st_ino, failures) == (status.st_ino, [])


@pytest.mark.slow
def test_copy_of_another_file_than_the_changes_were_read_for_is_not_added_to(
    world: ChangingLedger, publish: Publish, ledger: Ledger, warehouse: Path
) -> None:
    world.plan(1)
    publish()
    older = warehouse.read_bytes()
    world.wait(1)
    publish()

    def copy_older(_path: Path, building: Path) -> bool:
        return building.write_bytes(older) > 0

    done = publish_warehouse(ledger, warehouse, incremental=IncrementalRules(copy_file=copy_older))
    assert (done.mode, done.reason) == ("full", "another program has written to the file")


@pytest.mark.slow
def test_what_left_the_ledger_stays(world: ChangingLedger, publish: Publish, warehouse: Path, ledger: Ledger) -> None:
    world.plan(1)
    world.dispatch(0)
    world.settle(0)
    publish()
    before = contents(warehouse)
    world.wait(86400)
    world.archive_one(0)
    assert publish().mode == "incremental"
    kept = contents(warehouse)
    assert {name: kept[name] for name in ("tasks", "attempts", "task_events", "task_facts")} == {
        name: before[name] for name in ("tasks", "attempts", "task_events", "task_facts")
    }
    publish_to(ledger, warehouse, world.archive, full=True)
    assert contents(warehouse)["tasks"] == before["tasks"]


@pytest.mark.slow
def test_row_that_changed_and_left_between_two_publications_comes_from_the_archive(
    world: ChangingLedger, publish: Publish, warehouse: Path
) -> None:
    world.plan(1)
    world.dispatch(0)
    publish()
    world.wait(10)
    world.settle(1)
    world.archive_one(0)
    assert publish().mode == "incremental"
    assert run_query(warehouse, "SELECT status, cause FROM task_overview").rows == (("failed", "timeout"),)


@pytest.mark.slow
def test_retention_takes_nothing_from_the_warehouse(
    world: ChangingLedger, publish: Publish, warehouse: Path, ledger: Ledger
) -> None:
    for _ in range(3):
        world.plan(1)
        world.dispatch(0)
        world.settle(1)
        world.read(2)
        world.deliver(1)
        world.wait(3600)
    publish()
    before = contents(warehouse)
    world.wait(30 * 86400)
    kept_short = ("tasks", "deliveries", "collections", "signals", "signal_events", "signal_episodes")
    keep = Retention({table: timedelta(days=7) for table in kept_short})
    archive_old_rows(ledger, world.archive, keep)
    done = publish()
    assert done.mode == "incremental"
    with ledger.read() as tx:
        assert not tx.execute(metadata.tables["attempts"].select()).all()
    after = contents(warehouse)
    assert {table: after[table] for table in schema.TABLES} == {table: before[table] for table in schema.TABLES}
    publish_to(ledger, warehouse, world.archive, full=True)
    assert contents(warehouse) == after
    world.plan(1)  # after a time in which all events have left the ledger
    assert publish().mode == "incremental"


@pytest.mark.slow
def test_archive_that_is_older_than_the_ledger_changes_nothing(
    world: ChangingLedger, publish: Publish, warehouse: Path, ledger: Ledger
) -> None:
    world.plan(1)
    world.dispatch(0)
    task_id = str(run_query_id(ledger))
    world.write_archive(task_id, "2026-03-01-000001.parquet")
    world.wait(10)
    world.settle(1)
    for _ in range(2):
        publish()
        assert run_query(warehouse, "SELECT status FROM tasks").rows == (("failed",),)
        publish_to(ledger, warehouse, world.archive, full=True)
        assert run_query(warehouse, "SELECT status FROM tasks").rows == (("failed",),)


def run_query_id(ledger: Ledger) -> object:
    with ledger.read() as tx:
        return tx.execute(metadata.tables["tasks"].select()).one().id


def test_damaged_file_of_the_archive_is_named_and_nothing_is_published(
    world: ChangingLedger, publish: Publish, warehouse: Path
) -> None:
    world.plan(1)
    publish()
    before = warehouse.read_bytes()
    (world.archive / "tasks").mkdir(parents=True)
    (world.archive / "tasks" / "2026-01-01-x.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(WarehouseError, match=r"2026-01-01-x\.parquet") as caught:
        publish()
    assert "restore it" in caught.value.hint
    assert warehouse.read_bytes() == before


@pytest.mark.slow
def test_outcome_that_follows_a_new_pull_request_is_replaced(
    world: ChangingLedger, publish: Publish, warehouse: Path, ledger: Ledger
) -> None:
    world.plan(1)
    world.dispatch(0)
    world.settle(0)
    publish()
    world.wait(5)
    table = metadata.tables["outcomes"]
    with ledger.write() as tx:
        row = tx.execute(table.select()).one()
        tx.execute(delete(table))
        values = dict(row._mapping) | {"pr_number": 99, "updated_at": tx.now + timedelta(0)}
        tx.execute(table.insert().values(**values))
    publish()
    assert run_query(warehouse, "SELECT pr_number FROM outcomes").rows == ((99,),)
    assert run_query(warehouse, "SELECT pr_number FROM task_facts").rows == ((99,),)


@pytest.mark.parametrize("database", ["postgres"])
def test_late_rows_with_early_numbers_are_found_on_postgres(
    ledger_url: str, warehouse: Path, clock: Clock, open_at: Callable[..., Ledger]
) -> None:
    ledger = open_at(ledger_url, clock=clock)
    world = ChangingLedger(ledger, clock, warehouse.parent / "archive")
    world.plan(1)
    other = open_at(ledger_url, clock=clock)
    with other.write() as late:
        # Takes its numbers now, and is committed after the next publication.
        calls = metadata.tables["model_calls"]
        call = {"purpose": "plan", "model": "late", "ok": True, "input_tokens": 1, "output_tokens": 1, "latency_s": 1}
        late.execute(calls.insert().values(**call, trace_id="0" * 32, at=clock.now - timedelta(days=1)))
        world.dispatch(0)
        publish_to(ledger, warehouse, world.archive)
        clock.forward(10)
    done = publish_to(ledger, warehouse, world.archive)
    assert (done.mode, done.changed["model_calls"]) == ("incremental", 1)
    assert run_query(warehouse, "SELECT model FROM model_calls ORDER BY id").rows == (("late",), ("m",))
    publish_to(ledger, warehouse.with_name("new.duckdb"), world.archive, full=True)
    assert contents(warehouse) == contents(warehouse.with_name("new.duckdb"))
