"""A ledger moves to another database whole, or not at all, whatever ends the move, and comes back equal."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Executable, Insert, Text, insert, select, text, type_coerce, update

from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import LedgerError, RefusedError
from squire_pipelines.ledger import tables
from squire_pipelines.ledger.integrity import check_integrity
from squire_pipelines.ledger.move_note import LedgerMovedError
from squire_pipelines.ledger.moving import move_ledger, plan_move, undo_move
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.transfer import read_rows
from tests.support.cli import SampleData
from tests.support.deliveries import record_delivery
from tests.support.ledgers import PostgresServer, sqlite_ledger_file
from tests.support.years import fill

HOSTILE = "'; DROP TABLE tasks; -- \\ %s :x {} \u202e \U0001f4a5 \r\n\t e\u0301 \ufffd"


class Killed(BaseException):
    """In the place of a kill: nothing cleans up after it."""


def nothing(_step: str, _done: int, _total: int) -> None:
    pass


def dies_at(name: str, error: BaseException) -> Callable[[str, int, int], None]:
    def at(step: str, _done: int, _total: int) -> None:
        if step == name:
            raise error

    return at


def fails() -> None:
    raise LookupError


def rows_of(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    with ledger.read() as tx:
        return {
            table.name: sorted((row for rows in read_rows(tx, table) for row in rows), key=repr)
            for table in tables.metadata.sorted_tables
        }


def counters(ledger: Ledger) -> int:
    """The number that the next row of the audit trail gets."""
    with ledger.write() as tx:
        values = {"at": tx.now, "actor": "test", "action": "x", "subject": "x", "detail": {}}
        return int(tx.execute(insert(tables.audit).values(values).returning(tables.audit.c.id)).scalar_one())


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(f"sqlite:///{sqlite_ledger_file(tmp_path / 'a.sqlite')}")) as ledger:
        fill(ledger, tasks=0, days=3, text=HOSTILE)  # readings, calls of models, deliveries
        samples = SampleData(ledger)
        samples.ended(Cause.COMPLETED, HOSTILE.partition("\r")[0])
        samples.ended(Cause.AGENT_ERROR, message=HOSTILE)
        samples.task("A third one")
        with ledger.write() as tx:
            late = datetime(2038, 1, 19, 3, 14, 8, 999_999, tzinfo=UTC)
            task_id = tx.execute(select(tables.tasks.c.id).limit(1)).scalar_one()
            values = {"title": HOSTILE, "created_at": late, "updated_at": late + timedelta(microseconds=1)}
            tx.execute(update(tables.tasks).where(tables.tasks.c.id == task_id).values(values))
            detail = {"n": 2**62, "f": 0.1 + 0.2, "deep": [None, True, {"\u0000": HOSTILE}], "": -0.0}
            audit = {"at": tx.now, "actor": "cli:a", "action": "x", "subject": HOSTILE, "detail": detail}
            tx.execute(insert(tables.audit).values(id=2**30, **audit))
        asks_nothing = {"source": "github", "event": "star", "action": None, "repository": None, "relevant": False}
        record_delivery(ledger, delivery_id="d-1", body=bytes(range(256)), **asks_nothing)
        yield ledger


def sqlite_target(tmp_path: Path, name: str = "b.sqlite") -> Ledger:
    return Ledger(f"sqlite:///{tmp_path / name}")


def test_it_goes_to_postgres_and_comes_back_equal_row_for_row(source: Ledger, postgres: PostgresServer) -> None:
    before, steps = rows_of(source), list[str]()
    with closing(Ledger(postgres.new_database())) as target:
        planned = plan_move(source, target)
        assert planned.replaced == ""
        moved = move_ledger(source, target, actor="cli:a", progress=lambda step, _a, _b: steps.append(step))
        assert [(table.name, table.rows) for table in moved.tables] == [(t.name, t.rows) for t in planned.tables]
        assert list(dict.fromkeys(steps)) == ["locking", "copying", "verifying", "noting the move", "opening"]
        there = rows_of(target)
        (entry,) = [row for row in there["audit"] if row["action"] == "ledger.move"]
        there["audit"].remove(entry)
        assert there == before
        last = max(row["id"] for row in before["audit"])
        assert entry["id"] == last + 1, "numbers go on where they were"
        target.ensure_schema()
        assert not check_integrity(target.url.render_as_string(hide_password=False)).problems
        with pytest.raises(LedgerMovedError, match="has moved to postgresql://squire@"):
            source.ensure_schema()
        again = rows_of(target)
        with closing(Ledger(target.url.render_as_string(hide_password=False))) as other, other.read():  # noqa: SIM117
            with pytest.raises(RefusedError, match="Squire has the ledger open 1 times"):
                move_ledger(target, source, actor="cli:a", progress=nothing)
        back = move_ledger(target, source, actor="cli:a", progress=nothing)
        assert back.replaced.startswith("the ledger as it was at ")
        assert back.aside is not None
        assert back.aside.is_file()
        home = rows_of(source)
        home["audit"] = [row for row in home["audit"] if row["id"] <= last + 1]
        assert home == again
        assert not check_integrity(str(source.url)).problems
        assert counters(source) == last + 3
        # Forward again: what is in the database is older, and gives way.
        killed = dies_at("noting the move", Killed())
        with pytest.raises(Killed):
            move_ledger(source, target, actor="cli:a", progress=killed)
        with pytest.raises(LedgerMovedError, match="has not ended"):
            target.ensure_schema()
        source.ensure_schema()
        assert plan_move(source, target).replaced == "the rest of a move that was killed"
        with pytest.raises(LookupError):
            move_ledger(source, target, actor="cli:a", progress=dies_at("noting the move", LookupError()))
        assert not any(rows_of(target).values()), "what failed leaves nothing"
        assert target.revision() is not None
        move_ledger(source, target, actor="cli:a", progress=nothing)
        assert len(rows_of(target)["tasks"]) == len(before["tasks"])


@pytest.mark.parametrize("step", ["copying", "noting the move"])
def test_a_kill_before_the_decision_leaves_the_source_and_the_next_move_works(
    source: Ledger, tmp_path: Path, step: str
) -> None:
    before, target = rows_of(source), sqlite_target(tmp_path)
    with pytest.raises(Killed):
        move_ledger(source, target, actor="cli:a", progress=dies_at(step, Killed()))
    source.ensure_schema()
    assert rows_of(source) == before
    if target.path.exists():
        with pytest.raises(LedgerMovedError):
            target.ensure_schema()
    target.close()
    moved = move_ledger(source, target, actor="cli:a", progress=nothing)
    assert moved.aside is None
    assert sum(table.rows for table in moved.tables) == sum(map(len, before.values()))
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".part") == []
    target.ensure_schema()


def test_a_kill_after_the_decision_is_ended_by_the_next_move(source: Ledger, tmp_path: Path) -> None:
    target = sqlite_target(tmp_path)
    with pytest.raises(Killed):
        move_ledger(source, target, actor="cli:a", progress=dies_at("opening", Killed()))
    for ledger in (source, target):  # neither is used, so that nothing is written twice
        with pytest.raises(LedgerMovedError):
            ledger.ensure_schema()
    with pytest.raises(RefusedError, match="has moved to"):
        move_ledger(source, sqlite_target(tmp_path, "c.sqlite"), actor="cli:a", progress=nothing)
    assert move_ledger(source, target, actor="cli:a", progress=nothing).tables == ()
    target.ensure_schema()


@pytest.mark.parametrize("fault", [{"progress": dies_at("noting the move", LookupError())}, {"before_end": fails}])
def test_a_failure_leaves_no_target(source: Ledger, tmp_path: Path, fault: dict[str, Any]) -> None:
    target = sqlite_target(tmp_path)
    with pytest.raises(LookupError):
        move_ledger(source, target, actor="cli:a", **{"progress": nothing, **fault})
    assert sorted(path.name for path in tmp_path.glob("*b.sqlite*")) == []
    source.ensure_schema()


def test_a_ledger_that_is_open_elsewhere_is_not_moved(source: Ledger, tmp_path: Path) -> None:
    with closing(sqlite3.connect(source.path)) as other:
        other.execute("SELECT count(*) FROM tasks").fetchone()
        with pytest.raises(RefusedError, match="another process has the ledger"):
            move_ledger(source, sqlite_target(tmp_path), actor="cli:a", progress=nothing)
    assert source.revision() is not None


def test_what_is_somebodys_is_not_overwritten(source: Ledger, tmp_path: Path) -> None:
    other = Ledger(f"sqlite:///{sqlite_ledger_file(tmp_path / 'other.sqlite')}")
    with pytest.raises(RefusedError, match="is there already"):
        plan_move(source, other)
    with pytest.raises(RefusedError, match="already"):
        plan_move(source, source)
    with source.write() as tx:
        tx.execute(text("DELETE FROM task_events"))
    with pytest.raises(RefusedError, match="is not sound"):
        plan_move(source, sqlite_target(tmp_path))


def test_a_ledger_that_has_moved_can_be_used_again(source: Ledger, tmp_path: Path) -> None:
    before = rows_of(source)
    with pytest.raises(RefusedError, match="has not moved"):
        undo_move(source)
    move_ledger(source, sqlite_target(tmp_path), actor="cli:a", progress=nothing)
    assert undo_move(source).place == str(tmp_path / "b.sqlite")
    source.ensure_schema()
    assert rows_of(source) == before
    with pytest.raises(RefusedError, match="is the ledger of another home"):
        plan_move(source, sqlite_target(tmp_path))


class _Forgetful(Transaction):
    """Loses a row of the audit trail."""

    def execute(self, statement: Executable, parameters: Any = None) -> Any:
        if isinstance(statement, Insert) and statement.table is tables.audit and isinstance(parameters, list):
            parameters = parameters[1:]
        return super().execute(statement, parameters)


def test_rows_that_postgres_cannot_store_are_named_and_those_that_get_lost_are_noticed(
    source: Ledger, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with source.write() as tx:
        as_it_is = type_coerce("a\0b", Text())
        values = {"at": tx.now, "actor": "cli:a", "action": "x", "subject": as_it_is, "detail": {}}
        tx.execute(insert(tables.audit).values(values))
    with closing(Ledger(postgres.new_database())) as target:
        with pytest.raises(RefusedError, match=r"audit.subject of the row with id \d+ has the sign NUL"):
            move_ledger(source, target, actor="cli:a", progress=nothing)
        assert target.revision() is None, "the database is as empty as it was"
        monkeypatch.setattr("squire_pipelines.ledger.store.Transaction", _Forgetful)
        with pytest.raises(LedgerError, match="rows and not the"):
            move_ledger(source, target, actor="cli:a", progress=nothing, replaces_signs=True)
        monkeypatch.undo()
        moved = move_ledger(source, target, actor="cli:a", progress=nothing, replaces_signs=True)
        assert moved.changed_texts == 1
        with target.read() as tx:
            query = select(tables.audit.c.subject).where(tables.audit.c.subject.startswith("a"))
            assert tx.execute(query).scalar_one() == "a\ufffdb"
