"""Opening the ledger and its transactions: URLs, clocks, isolation, what databases refuse."""

import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError, StatementError

from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import ConfigError, LedgerError, StateConflictError
from squire_pipelines.ledger import HEAD_REVISION, tasks
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.sqlite import MAX_WAL_BYTES
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.ledger.tables import audit
from squire_pipelines.ledger.transitions import change_attempt, change_task
from tests.support.ledgers import START, TRACE, Clock, PostgresServer, add_task, start_attempt

Open = Callable[..., Ledger]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "'nonsense' is not a database URL"),
        ("postgresql://ann:geheim@host:port/db", "'host:port/db' is not a database URL"),
        ("mysql://host/db", "'mysql'"),
        ("duckdb:///x", "'duckdb'"),
    ],
)
def test_a_url_that_cannot_be_used_is_a_configuration_error(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match="ledger_url") as caught:
        Ledger(url)
    assert says in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert "sqlite:///" in caught.value.hint


def test_without_the_postgres_driver_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError) as caught:
        Ledger("postgresql://localhost/squire")
    assert "squire-pipelines[postgres]" in caught.value.hint


def test_a_server_that_does_not_answer_is_a_ledger_error_without_the_password(open_at: Open) -> None:
    pytest.importorskip("psycopg")
    ledger = open_at("postgresql://ann:geheim@127.0.0.1:1/squire")
    with pytest.raises(LedgerError, match="does not answer") as caught:
        ledger.ensure_schema()
    assert "geheim" not in str(caught.value)
    assert "server running" in caught.value.hint


def test_a_connection_that_the_server_ended_is_replaced(postgres: PostgresServer, open_at: Open) -> None:
    url = postgres.empty_ledger()
    first, other = open_at(url, fresh_s=0), open_at(url)
    own = text("SELECT pg_backend_pid()")
    with first.read() as tx:
        before = tx.execute(own).scalar_one()
    with other.write() as tx:
        assert tx.execute(text(f"SELECT pg_terminate_backend({before:d}, 5000)")).scalar_one()
    with first.read() as tx:
        assert tx.execute(own).scalar_one() != before


def test_a_database_that_does_not_exist_is_named(postgres: PostgresServer) -> None:
    with pytest.raises(LedgerError, match="nowhere"):
        open_ledger(f"postgresql://squire@127.0.0.1:{postgres.port}/nowhere")


@pytest.mark.slow
def test_open_ledger_makes_the_schema(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'a folder with % and spaces' / 'ledger.sqlite'}")
    assert ledger.revision() == HEAD_REVISION
    ledger.close()


@pytest.mark.slow
def test_sqlite_is_durable_and_guards_its_references(tmp_path: Path, open_at: Open) -> None:
    ledger = open_at(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger.ensure_schema()
    with ledger.read() as tx:
        pragmas = {
            name: tx.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "journal_size_limit")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "journal_size_limit": MAX_WAL_BYTES,
    }


def test_a_block_that_raises_leaves_nothing(ledger: Ledger) -> None:
    def write_and_fail() -> None:
        with ledger.write() as tx:
            record_audit(tx, actor="ann", action="try", subject="x", trace_id=TRACE)
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        write_and_fail()
    with ledger.read() as tx:
        assert tx.execute(select(audit.c.id)).all() == []


def test_a_reader_sees_one_state_though_others_write_meanwhile(ledger: Ledger) -> None:
    with ledger.read() as reading:
        assert reading.execute(select(audit.c.id)).all() == []
        with ledger.write() as tx:
            record_audit(tx, actor="ann", action="meanwhile", subject="x", trace_id=TRACE)
        assert reading.execute(select(audit.c.id)).all() == []
    with ledger.read() as tx:
        assert len(tx.execute(select(audit.c.id)).all()) == 1


def test_all_rows_of_a_transaction_bear_one_time(ledger: Ledger, clock: Clock) -> None:
    with ledger.write() as tx:
        record_audit(tx, actor="ann", action="one", subject="x", trace_id=TRACE)
        clock.forward(5)
        record_audit(tx, actor="ann", action="two", subject="x", trace_id=TRACE)
    with ledger.read() as tx:
        assert tx.execute(select(audit.c.at)).scalars().all() == [START, START]


def test_without_a_clock_of_the_test_the_time_is_now_and_utc(ledger_url: str, open_at: Open) -> None:
    ledger = open_at(ledger_url)
    with ledger.read() as tx:
        assert tx.now.tzinfo is UTC
        assert abs(tx.now - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_naive_time_cannot_be_stored(ledger: Ledger) -> None:
    naive = START.replace(tzinfo=None)
    with pytest.raises(StatementError, match="naive"), ledger.write() as tx:
        tx.execute(insert(audit).values(at=naive, actor="ann", action="a", subject="s", detail={}))


def test_times_come_back_in_utc_to_the_microsecond_and_sort_as_time_does(ledger: Ledger) -> None:
    moments = [START, START.replace(microsecond=1), START + timedelta(microseconds=10), START + timedelta(days=400)]
    with ledger.write() as tx:
        for moment in reversed(moments):
            tx.execute(insert(audit).values(at=moment, actor="ann", action="a", subject="s", detail={}))
    with ledger.read() as tx:
        assert tx.execute(select(audit.c.at).order_by(audit.c.at)).scalars().all() == moments


def test_text_that_no_database_takes_is_stored_with_a_mark_in_its_place(ledger: Ledger) -> None:
    with ledger.write() as tx:
        record_audit(
            tx, actor="ann\x00", action="a", subject="half a \ud83d pair", detail={"x": "\x00"}, trace_id=TRACE
        )
    with ledger.read() as tx:
        row = tx.execute(select(audit)).one()
    assert (row.actor, row.subject, row.detail) == ("ann\ufffd", "half a \ufffd pair", {"x": "\ufffd"})


def test_a_writer_that_waits_too_long_says_so(ledger_url: str, open_at: Open) -> None:
    first = open_at(ledger_url)
    second = open_at(ledger_url, busy_timeout_s=0.2)
    with first.write() as tx:
        tx.exclusive("a name")
        with pytest.raises(LedgerError, match="does not answer") as caught, second.write() as late:
            late.exclusive("a name")
    assert "try again" in caught.value.hint


def test_exclusive_transactions_of_one_name_follow_one_another(ledger_url: str, open_at: Open) -> None:
    ledger = open_at(ledger_url)
    seen: list[str] = []
    inside = threading.Event()

    def other() -> None:
        inside.wait(10)
        with ledger.write() as tx:
            tx.exclusive("the gate")
            seen.append("other")

    thread = threading.Thread(target=other)
    thread.start()
    with ledger.write() as tx:
        tx.exclusive("the gate")
        inside.set()
        thread.join(0.2)
        seen.append("mine")
    thread.join(10)
    assert seen == ["mine", "other"]


def test_a_broken_rule_of_the_database_is_the_callers_to_judge(ledger: Ledger) -> None:
    with pytest.raises(IntegrityError), ledger.write() as tx:
        tx.execute(insert(audit).values(at=START, actor=None, action="a", subject="s", detail={}))


def test_a_statement_that_makes_no_sense_is_a_ledger_error(ledger: Ledger) -> None:
    with pytest.raises(LedgerError), ledger.read() as tx:
        tx.execute(text("SELECT nonsense FROM"))


def test_a_change_that_no_rule_allows_is_refused(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    with ledger.read() as tx:
        task = tasks.get(tx, attempt.task_id)
    with pytest.raises(StateConflictError, match="cannot go from succeeded to ready"), ledger.write() as tx:
        change_task(tx, task, TaskStatus.SUCCEEDED, TaskStatus.READY, actor="ann", reason="")
    with pytest.raises(StateConflictError, match="cannot go from running to running"), ledger.write() as tx:
        change_attempt(tx, attempt, attempt.status, attempt.status, actor="ann", reason="")


def test_a_change_whose_expected_state_is_not_there_changes_nothing(ledger: Ledger) -> None:
    task_id = add_task(ledger)
    with ledger.read() as tx:
        task = tasks.get(tx, task_id)
    with pytest.raises(StateConflictError, match="is not proposed") as caught, ledger.write() as tx:
        change_task(tx, task, TaskStatus.PROPOSED, TaskStatus.READY, actor="ann", reason="")
    assert caught.value.context == {"task_id": task_id}
