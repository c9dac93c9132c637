"""The chain of the audit trail: what was done to a sealed row is found, whoever seals whenever."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from squire_pipelines.errors import ConfigError
from squire_pipelines.ledger import audit_sealing
from squire_pipelines.ledger.audit_export import export_trail, verify_export
from squire_pipelines.ledger.audit_sealing import chain_head, seal
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import audit, audit_batches
from tests.integration.ledger.test_processes import run_together
from tests.support import ledger_workers
from tests.support.audit_trail import add_batches, add_rows, unguarded, verdict_of
from tests.support.forked import processes
from tests.support.ledgers import START, Clock, empty_tables, sqlite_ledger_file

SIZES = (3, 1, 4, 2)
ROWS = sum(SIZES)
PROCESSES = 6


def ids_of(ledger: Ledger, table: Any = audit) -> list[int]:
    """The ids of a table's rows, in order."""
    with ledger.read() as tx:
        return list(tx.execute(select(table.c.id).order_by(table.c.id)).scalars())


def head_of(ledger: Ledger) -> str:
    """The newest digest."""
    with ledger.read() as tx:
        return chain_head(tx).digest


def test_a_whole_trail_is_whole_and_its_newest_digest_is_found_later(ledger: Ledger) -> None:
    assert verdict_of(ledger).ok
    add_batches(ledger, *SIZES)
    kept = head_of(ledger)
    assert seal(ledger) == 0
    add_batches(ledger, 2)
    add_rows(ledger, 1)
    verdict = verdict_of(ledger, expected=kept)
    assert (verdict.problems, verdict.batches, verdict.rows, verdict.unsealed) == ((), 5, ROWS + 2, 1)
    assert verdict.head == head_of(ledger) != kept
    assert not verdict_of(ledger, expected="0" * 63 + "1").ok


def test_many_rows_are_sealed_in_batches_of_a_bounded_size(ledger: Ledger) -> None:
    with ledger.write() as tx:
        row = {"at": START, "actor": "a", "action": "b", "subject": "c", "detail": {}}
        tx.execute(insert(audit), [row] * (audit_sealing.ROWS_PER_BATCH + 1))
    assert seal(ledger) == audit_sealing.ROWS_PER_BATCH + 1
    with ledger.read() as tx:
        assert list(tx.execute(select(audit_batches.c.rows)).scalars()) == [audit_sealing.ROWS_PER_BATCH, 1]
    assert verdict_of(ledger).ok


def test_rows_wait_for_others_to_be_sealed_with_but_not_for_long(ledger: Ledger, clock: Clock) -> None:
    add_rows(ledger, 2)
    wait = timedelta(minutes=10)
    clock.forward(599)
    add_rows(ledger, 1)
    assert seal(ledger, wait=wait) == 0
    clock.forward(2)
    assert seal(ledger, wait=wait) == 3
    add_rows(ledger, audit_sealing.ROWS_PER_BATCH - 1)
    assert seal(ledger, wait=wait) == 0
    add_rows(ledger, 1)
    assert seal(ledger, wait=wait) == audit_sealing.ROWS_PER_BATCH


_OF_ROW = ("actor", "action", "subject", "trace_id", "detail", "at")
_OF_BATCH = ("previous", "digest", "rows", "first_id", "last_id", "sealed_at", "members")
_VALUES: dict[str | int | None, Any] = {
    "actor": "eve",
    "action": "b.done",
    "subject": "x",
    "trace_id": "cd" * 16,
    "detail": {"number": -1},
    "at": START.replace(year=2020),
    "previous": "1" * 64,
    "digest": "2" * 64,
    "rows": 99,
    "first_id": 0,
    "last_id": 0,
    "sealed_at": START.replace(year=2020),
    "members": [[1, "f" * 64]],
}
tampering = st.one_of(
    st.tuples(st.just("alter"), st.integers(0, ROWS - 1), st.sampled_from(_OF_ROW)),
    st.tuples(st.just("remove"), st.integers(0, ROWS - 1), st.none()),
    st.tuples(st.just("insert"), st.integers(1, len(SIZES)), st.none()),
    st.tuples(st.just("swap"), st.integers(0, ROWS - 1), st.integers(0, ROWS - 1)),
    st.tuples(st.just("move"), st.integers(0, ROWS - 1), st.integers(1, len(SIZES))),
    st.tuples(st.just("unseal"), st.integers(0, ROWS - 1), st.none()),
    st.tuples(st.just("remove batch"), st.integers(1, len(SIZES)), st.none()),
    st.tuples(st.just("alter batch"), st.integers(1, len(SIZES)), st.sampled_from(_OF_BATCH)),
    st.tuples(st.just("swap batches"), st.integers(1, len(SIZES)), st.integers(1, len(SIZES))),
)


def _swap_rows(tx: Transaction, first: int, second: int) -> bool:
    rows = [tx.execute(select(audit).where(audit.c.id == row_id)).one() for row_id in (first, second)]
    for row, other in (rows, rows[::-1]):
        tx.execute(update(audit).where(audit.c.id == row.id).values(subject=other.subject, detail=other.detail))
    return bool(rows[0].subject != rows[1].subject)


def _swap_batches(tx: Transaction, first: int, second: int) -> bool:
    for before, after in ((first, 99), (second, first), (99, second)):
        tx.execute(update(audit_batches).where(audit_batches.c.id == before).values(id=after))
    return first != second


def _move_row(tx: Transaction, row_id: int, batch: int | None) -> bool:
    before = tx.execute(select(audit.c.batch).where(audit.c.id == row_id)).scalar_one()
    tx.execute(update(audit).where(audit.c.id == row_id).values(batch=batch))
    return bool(before != batch)


def tamper(ledger: Ledger, kind: str, first: int, second: Any) -> bool:
    """Do one thing to a trail with the triggers off; whether it changed anything."""
    ids = ids_of(ledger)
    forged = {"at": START, "actor": "eve", "action": "a", "subject": "s", "detail": {}, "batch": first}
    of_row = audit.c.id == ids[first]
    of_batch = audit_batches.c.id == first
    values: Any = {second: _VALUES.get(second)}
    changes: dict[str, Callable[[Transaction], object]] = {
        "alter": lambda tx: tx.execute(update(audit).where(of_row).values(values)),
        "remove": lambda tx: tx.execute(delete(audit).where(of_row)),
        "insert": lambda tx: tx.execute(insert(audit).values(forged)),
        "swap": lambda tx: _swap_rows(tx, ids[first], ids[second]),
        "move": lambda tx: _move_row(tx, ids[first], second),
        "unseal": lambda tx: _move_row(tx, ids[first], None),
        "remove batch": lambda tx: tx.execute(delete(audit_batches).where(of_batch)),
        "alter batch": lambda tx: tx.execute(update(audit_batches).where(of_batch).values(values)),
        "swap batches": lambda tx: _swap_batches(tx, first, second),
    }
    with ledger.write() as tx, unguarded(tx):
        return changes[kind](tx) is not False


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=tampering)
def test_whatever_one_thing_is_done_to_a_sealed_trail_is_found(ledger: Ledger, change: tuple[str, int, Any]) -> None:
    empty_tables(ledger)
    add_batches(ledger, *SIZES)
    kept = head_of(ledger)
    changed = tamper(ledger, *change)
    verdict = verdict_of(ledger, expected=kept)
    assert verdict.ok is not changed, change
    seal(ledger)  # what is sealed afterwards covers nothing up
    assert verdict_of(ledger, expected=kept).ok is not changed, change


def test_a_verdict_names_the_row(ledger: Ledger) -> None:
    add_batches(ledger, *SIZES)
    altered, removed = ids_of(ledger)[1], ids_of(ledger)[-1]
    tamper(ledger, "alter", 1, "actor")
    tamper(ledger, "remove", ROWS - 1, None)
    assert [(problem.batch, problem.row) for problem in verdict_of(ledger).problems] == [(1, altered), (4, removed)]


def test_the_database_refuses_what_is_no_sealing(ledger: Ledger) -> None:
    add_batches(ledger, 2)
    add_rows(ledger, 1)
    *_, unsealed = ids_of(ledger)
    statements = [
        update(audit).values(batch=7),
        update(audit).where(audit.c.id == unsealed).values(batch=7, actor="eve"),
        update(audit).where(audit.c.id == unsealed).values(batch=7, detail={}),
        update(audit).where(audit.c.id == unsealed).values(actor="eve"),
        delete(audit).where(audit.c.id == unsealed),
        delete(audit).where(audit.c.batch == 1),
        update(audit_batches).values(digest="0" * 64),
        update(audit_batches).values(members=[], archived_at=START),
        delete(audit_batches),
    ]
    for statement in statements:
        with pytest.raises(IntegrityError, match=r"audit(_batches)?: "), ledger.write() as tx:
            tx.execute(statement)
    assert verdict_of(ledger).ok


@pytest.mark.slow
def test_a_row_whose_transaction_ends_late_is_sealed_in_a_later_batch(
    postgres_only: str, open_at: Callable[..., Ledger]
) -> None:
    ledger = open_at(postgres_only)
    late = ledger.engine.connect()
    row = {"at": START, "actor": "late", "action": "b", "subject": "c", "detail": {}}
    late.execute(insert(audit).values(row))  # it has the first id
    add_batches(ledger, 3)
    late.commit()
    late.close()
    assert seal(ledger) == 1
    with ledger.read() as tx:
        batch = tx.execute(select(audit.c.batch).where(audit.c.actor == "late")).scalar_one()
    assert batch == 2
    assert verdict_of(ledger).problems == ()


@pytest.fixture
def postgres_only(request: pytest.FixtureRequest) -> str:
    """An empty ledger on Postgres, where transactions run beside each other."""
    return str(request.getfixturevalue("postgres").empty_ledger())


def test_an_export_is_verified_without_the_ledger_and_shows_whatever_is_done_to_it(ledger: Ledger) -> None:
    add_batches(ledger, *SIZES)
    add_rows(ledger, 1)
    kept = head_of(ledger)
    with ledger.read() as tx:
        lines = [json.dumps(values) for values in export_trail(tx, ids_in_order=ledger.is_sqlite)]
    verdict = verify_export(lines, expected=kept)
    assert (verdict.problems, verdict.batches, verdict.rows, verdict.unsealed) == ((), 4, ROWS, 1)
    for number in range(1, len(lines)):
        without = lines[:number] + lines[number + 1 :]
        assert not verify_export(without).ok, lines[number]
        other = 0 if number + 1 == len(lines) else number + 1
        swapped = [*lines[:number], lines[other], lines[number], *lines[number + 2 :]]
        rows = lines[number].startswith('{"row"') and swapped[number].startswith('{"row"')
        in_one = rows and json.loads(lines[number])["row"]["batch"] == json.loads(swapped[number])["row"]["batch"]
        assert verify_export(swapped).ok is in_one, number  # rows of one batch have an order of their own
        assert not verify_export(lines[:number]).ok
    assert not verify_export([*lines[:2], lines[2].replace("ann", "eve"), *lines[3:]]).ok
    assert not verify_export([*lines, lines[1]]).ok
    for junk in ("{}", "[]", "[" * 100_000, "nothing", '{"row": 1}', '{"batch": {}}'):
        assert not verify_export([*lines[:3], junk, *lines[3:]]).ok
    assert not verify_export([*lines[:-1], '{"end": {"batches": Infinity, "rows": 1}}']).ok
    for first in ("", "{}", "[1]", lines[1], '{"squire_audit": 1, "head": {"batch": Infinity, "digest": ""}}'):
        with pytest.raises(ConfigError, match="no export"):
            verify_export([first, *lines[1:]])


@pytest.mark.slow
def test_processes_that_write_and_seal_at_once_make_one_chain(ledger_url: str, open_at: Callable[..., Ledger]) -> None:
    counts = run_together(ledger_workers.write_and_seal, [(ledger_url, number) for number in range(PROCESSES)])
    ledger = open_at(ledger_url)
    seal(ledger)
    verdict = verdict_of(ledger)
    assert (verdict.problems, verdict.unsealed) == ((), 0)
    assert verdict.rows == PROCESSES * ledger_workers.CHANGES // 2
    assert sum(count > 0 for count in counts) > 1, "one process alone sealed: the test shows nothing"


@pytest.mark.slow
def test_kill_9_while_sealing_leaves_a_trail_that_is_whole(tmp_path: Path, open_at: Callable[..., Ledger]) -> None:
    url = f"sqlite:///{sqlite_ledger_file(tmp_path / 'ledger.sqlite')}"
    for kill in range(4):
        receiver, sender = processes.Pipe(duplex=False)
        child = processes.Process(target=ledger_workers.seal_until_killed, args=(url, f"w{kill}", sender), daemon=True)
        child.start()
        try:
            for _ in range(3 + 4 * kill):
                assert receiver.poll(60), "the writer does not write"
                receiver.recv()
        finally:
            with suppress(ProcessLookupError):
                os.kill(child.pid or 0, signal.SIGKILL)
            child.join(60)
            sender.close()
            receiver.close()
        ledger = open_at(url)
        verdict = verdict_of(ledger)
        assert verdict.problems == ()
        seal(ledger)
        ledger.close()
    ledger = open_at(url)
    verdict = verdict_of(ledger)
    assert (verdict.problems, verdict.unsealed) == ((), 0)
    with ledger.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM audit")).scalar_one() == verdict.rows
