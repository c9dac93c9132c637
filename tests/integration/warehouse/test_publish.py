"""Publication from a real ledger to a real file."""

import errno
import fcntl
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import delete, insert, text

from squire_pipelines.domain.looks import KnownRepository, RepositoryState
from squire_pipelines.errors import LedgerError, WarehouseError
from squire_pipelines.ledger import repositories
from squire_pipelines.ledger import tasks as task_rows
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import repositories as repository_table
from squire_pipelines.ledger.tables import task_events
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.warehouse import files, schema
from squire_pipelines.warehouse.publish import Publication, publish_warehouse
from squire_pipelines.warehouse.query import run_query
from tests.support.deliveries import record_delivery
from tests.support.ledgers import TRACE, Clock, add_task, add_tasks, claim, dispatch, spec

Publish = Callable[[], Publication]
MIB = 2**20


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def read_with_own_client(path: Path, sql: str) -> list[tuple[object, ...]]:
    """What a person's own DuckDB sees."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.slow
def test_empty_ledger_publishes_empty_tables(publish: Publish, warehouse: Path, clock: Clock) -> None:
    publication = publish()
    assert dict(publication.rows) == dict.fromkeys(schema.TABLES, 0)
    assert (publication.watermark, publication.published_at) == (0, clock.now)
    assert publication.bytes == warehouse.stat().st_size
    for name in (*schema.TABLES, *schema.METRICS):
        assert run_query(warehouse, f"FROM {name}").rows == ()


def test_published_file_is_read_only_and_alone(publish: Publish, warehouse: Path) -> None:
    publish()
    assert warehouse.stat().st_mode & 0o777 == 0o400
    assert contents(warehouse.parent) == {warehouse.name, f".{warehouse.name}.lock", f".{warehouse.name}.seal"}


def test_rows_arrive_as_the_ledger_has_them(publish: Publish, warehouse: Path, ledger: Ledger, clock: Clock) -> None:
    first, second = add_tasks(ledger, spec("a", title="Grüße, 'world'; --"), spec("b", depends_on=("a",)))
    publication = publish()
    assert (publication.rows["tasks"], publication.rows["task_dependencies"]) == (2, 1)
    result = run_query(
        warehouse,
        "SELECT id, title, created_at, ended_at, trace_id, spec->>'key' AS key, priority FROM tasks ORDER BY key",
    )
    assert result.columns == ("id", "title", "created_at", "ended_at", "trace_id", "key", "priority")
    assert result.rows[0] == (first, "Grüße, 'world'; --", clock.now, None, TRACE, "a", 2)
    assert run_query(warehouse, "FROM task_dependencies").rows == ((second, first),)
    events = run_query(warehouse, "SELECT id, task_id, after, occurred_at FROM task_events ORDER BY 1").rows
    assert events == ((1, first, "ready", clock.now), (2, second, "ready", clock.now))


@pytest.mark.slow
def test_what_a_look_found_under_a_name_is_published_as_it_is_now(
    publish: Publish, warehouse: Path, ledger: Ledger, clock: Clock
) -> None:
    query = "SELECT repository, github_id, name, state, message, looked_at FROM repositories ORDER BY ALL"
    at = clock.now
    renamed = KnownRepository("acme/api", 7, "acme/core", RepositoryState.RENAMED, "it is acme/core", looked_at=at)
    with ledger.write() as tx:
        repositories.record(tx, [renamed, KnownRepository("acme/web", 8, "acme/web", looked_at=at)])
    publish()
    assert run_query(warehouse, query).rows == (
        ("acme/api", 7, "acme/core", "renamed", "it is acme/core", at),
        ("acme/web", 8, "acme/web", "present", None, at),
    )
    with ledger.write() as tx:
        repositories.record(tx, [replace(renamed, state=RepositoryState.PRESENT, message=None, name="acme/api")])
        tx.execute(delete(repository_table).where(repository_table.c.github_id == 8))
    publish()
    assert run_query(warehouse, query).rows == (("acme/api", 7, "acme/api", "present", None, at),)


def test_more_rows_than_a_batch_arrive_all(publish: Publish, warehouse: Path, ledger: Ledger, clock: Clock) -> None:
    task_id = add_task(ledger)
    row = {"task_id": task_id, "subject": "task", "after": "ready", "actor": "a", "trace_id": TRACE, "at": clock.now}
    with ledger.write() as tx:
        tx.execute(insert(task_events), [row | {"reason": f"number {number}"} for number in range(2500)])
    publication = publish()
    assert (publication.rows["task_events"], publication.watermark) == (2501, 2501)
    counted = run_query(warehouse, "SELECT count(*), count(DISTINCT reason), max(id) FROM task_events").rows
    assert counted == ((2501, 2501, 2501),)


def test_json_null_is_no_value(publish: Publish, warehouse: Path, ledger: Ledger) -> None:
    add_task(ledger)
    (attempt,) = dispatch(ledger)
    with ledger.write() as tx:
        tx.execute(text("UPDATE attempts SET limits = 'null'"))
    publish()
    assert run_query(warehouse, "SELECT limits IS NULL, evidence IS NULL FROM attempts").rows == ((True, True),)
    assert attempt.evidence is None


def test_bodies_and_tokens_are_not_published(publish: Publish, warehouse: Path, ledger: Ledger) -> None:
    add_task(ledger)
    token = claim(ledger, dispatch(ledger)[0].id).lease_token
    assert token
    record_delivery(
        ledger,
        source="github",
        delivery_id="d-1",
        event="push",
        action=None,
        repository="acme/shop",
        body=b"a-body-that-nobody-needs",
    )
    publication = publish()
    assert publication.rows["deliveries"] == publication.rows["attempts"] == 1
    content = warehouse.read_bytes()
    assert token.encode() not in content
    assert b"a-body-that-nobody-needs" not in content


def test_outcome_carries_its_tasks_trace(publish: Publish, warehouse: Path, ledger: Ledger) -> None:
    from squire_pipelines.ledger import outcomes  # noqa: PLC0415 - the name is the table's elsewhere here

    task_id = add_task(ledger)
    with ledger.write() as tx:
        outcomes.record_opened(
            tx, task_id=task_id, repository="acme/shop", pr_number=7, pr_url="https://x/7", head_sha="a" * 40
        )
        record_audit(tx, actor="ann", action="approve", subject=task_id, detail={"why": "because"}, trace_id=TRACE)
    publish()
    assert run_query(warehouse, "SELECT task_id, trace_id FROM outcomes").rows == ((task_id, TRACE),)
    assert run_query(warehouse, "SELECT detail->>'why' FROM audit").rows == (("because",),)


@pytest.mark.slow
def test_reader_with_the_old_file_open_keeps_it_and_the_next_one_sees_the_new(
    publish: Publish, warehouse: Path, ledger: Ledger
) -> None:
    publish()
    with duckdb.connect(str(warehouse), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM tasks").fetchall() == [(0,)]
        add_task(ledger)
        publish()
        assert reader.execute("SELECT count(*) FROM tasks").fetchall() == [(0,)]
        # In the same process too, where DuckDB itself would hand out the old file again.
        assert run_query(warehouse, "SELECT count(*) FROM tasks").rows == ((1,),)
    assert read_with_own_client(warehouse, "SELECT count(*) FROM tasks") == [(1,)]


@pytest.mark.slow
def test_every_publication_shows_one_moment_of_a_ledger_that_is_written_to(
    publish: Publish, warehouse: Path, ledger: Ledger
) -> None:
    stop = threading.Event()

    def write() -> int:
        written = 0
        while not stop.is_set() and written < 500:
            add_task(ledger)
            written += 1
        return written

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            for _ in range(4):
                publication = publish()
                counts = run_query(
                    warehouse,
                    """SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM task_events),
                              (SELECT coalesce(max(id), 0) FROM task_events), (SELECT count(*) FROM plans)""",
                ).rows[0]
                assert set(counts) == {publication.watermark}, counts
        finally:
            stop.set()
        assert writing.result() > 0


@pytest.mark.slow
def test_readers_meet_no_lock_while_it_is_published_without_pause(
    publish: Publish, warehouse: Path, ledger: Ledger
) -> None:
    add_task(ledger)
    publish()
    script = """
        import sys, duckdb
        for _ in range(100):
            with duckdb.connect(sys.argv[1], read_only=True) as connection:
                assert connection.execute("SELECT count(*) FROM tasks").fetchone()[0] >= 1
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(warehouse)]
    with duckdb.connect(str(warehouse), read_only=True) as stays:
        readers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        published = 0
        deadline = time.monotonic() + 90
        while any(reader.poll() is None for reader in readers):
            if time.monotonic() > deadline:
                for reader in readers:
                    reader.kill()
                pytest.fail("a reader hangs")
            add_task(ledger)
            assert publish().mode == "incremental"
            published += 1
        for reader in readers:
            errors = reader.communicate(timeout=30)[1]
            assert reader.returncode == 0, errors
        assert published >= 2
        assert stays.execute("SELECT count(*) FROM tasks").fetchall() == [(1,)]
    assert run_query(warehouse, "SELECT count(*) FROM tasks").rows == ((published + 1,),)


def test_state_tells_what_is_published(publish: Publish, warehouse: Path, ledger: Ledger, clock: Clock) -> None:
    add_task(ledger)
    with ledger.read() as tx:
        newest = task_rows.last_event_id(tx)
    publish()
    state = run_query(warehouse, "SELECT watermark, published_at, schema_version FROM _publication")
    assert state.rows == ((newest, clock.now, schema.SCHEMA_VERSION),)


def test_second_publisher_waits_for_the_first(publish: Publish, warehouse: Path) -> None:
    warehouse.parent.mkdir()
    with ThreadPoolExecutor(1) as pool:
        with files.publication_lock(warehouse, wait_s=1):
            second = pool.submit(publish)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.3)
            assert not warehouse.exists()
        assert second.result(timeout=20).rows["tasks"] == 0


def test_publisher_that_waited_too_long_gives_up_and_changes_nothing(
    publish: Publish, warehouse: Path, ledger: Ledger
) -> None:
    publish()
    before = warehouse.read_bytes()
    add_task(ledger)
    with files.publication_lock(warehouse, wait_s=1), pytest.raises(WarehouseError) as caught:
        publish_warehouse(ledger, warehouse, WarehouseSettings(memory_limit=256 * MIB), wait_s=0.1)
    assert "another process" in caught.value.message
    assert warehouse.read_bytes() == before


def run_publisher(ledger: Ledger, warehouse: Path, *, before: str = "") -> "subprocess.Popen[str]":
    """A publisher in a process of its own; `before` runs first in it."""
    script = f"""
        from pathlib import Path
        from squire_pipelines.errors import SquireError
        from squire_pipelines.ledger.store import Ledger
        from squire_pipelines.sections.operation import WarehouseSettings
        from squire_pipelines.warehouse.publish import publish_warehouse
        ledger = Ledger({str(ledger.url)!r})
        {before}
        try:
            publish_warehouse(ledger, Path({str(warehouse)!r}), WarehouseSettings(memory_limit={256 * MIB}))
        except SquireError as error:
            raise SystemExit(type(error).__name__ + ": " + str(error))
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_publisher_killed_in_the_middle_leaves_the_file_and_is_cleaned_up_after(
    publish: Publish, warehouse: Path, ledger: Ledger, clock: Clock
) -> None:
    task_id = add_task(ledger)
    publish()
    before = warehouse.read_bytes()
    row = {"task_id": task_id, "subject": "task", "after": "ready", "actor": "a", "trace_id": TRACE, "at": clock.now}
    with ledger.write() as tx:
        tx.execute(insert(task_events), [row | {"reason": "x" * 200} for _ in range(20_000)])
    publisher = run_publisher(ledger, warehouse)
    while not any("building" in name for name in contents(warehouse.parent)):
        assert publisher.poll() is None
        time.sleep(0.005)
    publisher.kill()
    publisher.communicate(timeout=10)
    assert any("building" in name for name in contents(warehouse.parent))
    assert warehouse.read_bytes() == before
    (warehouse.parent / f".{warehouse.name}.dead.building.spill").mkdir()
    assert publish().rows["task_events"] == 20_001
    assert contents(warehouse.parent) == {warehouse.name, f".{warehouse.name}.lock", f".{warehouse.name}.seal"}


@pytest.mark.slow
def test_full_disk_leaves_the_file_and_nothing_else(publish: Publish, warehouse: Path, ledger: Ledger) -> None:
    publish()
    before = warehouse.read_bytes()
    # A file may not grow beyond this: what DuckDB then hears is what a full disk or quota tells it.
    publisher = run_publisher(
        ledger, warehouse, before="import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    )
    _, errors = publisher.communicate(timeout=60)
    assert publisher.returncode == 1
    assert "WarehouseError" in errors
    assert "disk space" in errors
    assert warehouse.read_bytes() == before
    assert contents(warehouse.parent) == {warehouse.name, f".{warehouse.name}.lock", f".{warehouse.name}.seal"}


def test_folder_that_is_none_is_said_so(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError) as caught:
        publish_warehouse(ledger, tmp_path / "file" / "warehouse.duckdb", WarehouseSettings(memory_limit=256 * MIB))
    assert os.strerror(errno.EEXIST) in caught.value.message or os.strerror(errno.ENOTDIR) in caught.value.message
    assert str(tmp_path / "file") in caught.value.hint


def test_folder_that_may_not_be_written_to_is_said_so(ledger: Ledger, warehouse: Path) -> None:
    warehouse.parent.mkdir(mode=0o500)
    # Root may write everywhere but where the kernel itself says no.
    path = warehouse if os.geteuid() else Path("/sys/squire/warehouse.duckdb")
    with pytest.raises(WarehouseError) as caught:
        publish_warehouse(ledger, path, WarehouseSettings(memory_limit=256 * MIB))
    assert "write" in caught.value.hint


def test_too_little_memory_is_said_so(ledger: Ledger, warehouse: Path) -> None:
    with pytest.raises(WarehouseError) as caught:
        publish_warehouse(ledger, warehouse, WarehouseSettings(memory_limit=MIB // 4))
    assert "memory_limit" in caught.value.hint
    assert not warehouse.exists()


def test_ledger_that_fails_leaves_the_file_and_nothing_else(publish: Publish, warehouse: Path, ledger: Ledger) -> None:
    publish()
    before = warehouse.read_bytes()
    with ledger.write() as tx:
        tx.execute(text("DROP TABLE audit"))
    with pytest.raises(LedgerError):
        publish()
    assert warehouse.read_bytes() == before
    assert contents(warehouse.parent) == {warehouse.name, f".{warehouse.name}.lock", f".{warehouse.name}.seal"}


def test_lock_is_free_after_a_failure(publish: Publish, warehouse: Path) -> None:
    publish()
    with (warehouse.parent / f".{warehouse.name}.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("database", ["postgres"])
def test_postgres_is_published_too(
    ledger_url: str, warehouse: Path, clock: Clock, open_at: Callable[..., Ledger]
) -> None:
    ledger = open_at(ledger_url, clock=clock)
    first, second = add_tasks(ledger, spec("a"), spec("b", depends_on=("a",)))
    dispatch(ledger)
    publication = publish_warehouse(ledger, warehouse, WarehouseSettings(memory_limit=256 * MIB))
    assert (publication.rows["tasks"], publication.rows["attempts"]) == (2, 1)
    rows = run_query(warehouse, "SELECT id, spec->>'key', created_at FROM tasks ORDER BY 2").rows
    assert rows == ((first, "a", clock.now), (second, "b", clock.now))
    assert run_query(warehouse, "SELECT limits IS NULL FROM attempts").rows == ((True,),)
