"""Many processes on one ledger: nothing is done twice, nothing is lost, whoever is killed whenever."""

import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from squire_pipelines.domain.budgets import BudgetLimits, Limit, Scope
from squire_pipelines.ledger import HEAD_REVISION, budgets
from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts as attempt_table
from squire_pipelines.ledger.tables import deliveries as delivery_table
from squire_pipelines.ledger.tables import metadata, task_events
from tests.support import ledger_load, ledger_workers
from tests.support.forked import processes
from tests.support.ledger_schema import tables_of
from tests.support.ledgers import (
    PostgresServer,
    add_task,
    add_tasks,
    dispatch,
    rows_as_stored,
    rows_as_told_by_events,
    spec,
    sqlite_ledger_file,
)

WAIT_S = 90


def run_together(work: Callable[..., None], calls: list[tuple[Any, ...]]) -> list[Any]:
    """Run `work` in a process for each of `calls`, all beginning at once; their answers in order."""
    url, *_ = calls[0]
    barrier = processes.Barrier(len(calls))
    pipes: list[Connection] = []
    children = []
    for _, *rest in calls:
        receiver, sender = processes.Pipe(duplex=False)
        child = processes.Process(target=work, args=(url, barrier, *rest, sender), daemon=True)
        child.start()
        sender.close()
        pipes.append(receiver)
        children.append(child)
    try:
        answers = []
        for pipe in pipes:
            assert pipe.poll(WAIT_S), "a process gave no answer"
            answers.append(pipe.recv())
        for child in children:
            child.join(WAIT_S)
        assert [child.exitcode for child in children] == [0] * len(children)
        return answers
    finally:
        for child, pipe in zip(children, pipes, strict=True):
            child.kill()
            child.join(WAIT_S)
            pipe.close()


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """A ledger in a file on the disk that syncs."""
    return f"sqlite:///{sqlite_ledger_file(tmp_path / 'ledger.sqlite')}"


@pytest.mark.slow
def test_starters_at_once_migrate_once(
    database: str, request: pytest.FixtureRequest, tmp_path: Path, open_at: Callable[..., Ledger]
) -> None:
    if database == "sqlite":
        url = f"sqlite:///{tmp_path / 'new' / 'ledger.sqlite'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new_database()
    assert run_together(ledger_workers.open_together, [(url,)] * 8) == [HEAD_REVISION] * 8
    assert tables_of(open_at(url)) == {"alembic_version", *metadata.tables}


@pytest.mark.slow
def test_eight_processes_write_fifty_changes_each_and_none_is_lost(
    file_url: str, open_at: Callable[..., Ledger]
) -> None:
    ledger = open_at(file_url)
    own = add_tasks(ledger, *(spec(f"k{number}") for number in range(8)))
    shared = add_task(ledger)
    calls: list[tuple[Any, ...]] = [(file_url, (task_id, shared)) for task_id in own]
    changes = run_together(ledger_workers.cancel_and_retry, calls)
    with ledger.read() as tx:
        rows = tx.execute(select(task_events.c.task_id, func.count()).group_by(task_events.c.task_id))
        counted = {row[0]: row[1] for row in rows}
    assert counted == {**dict.fromkeys(own, 1 + ledger_workers.CHANGES), shared: 1 + sum(changes)}
    assert rows_as_told_by_events(ledger) == rows_as_stored(ledger)


@pytest.mark.slow
def test_sixteen_processes_claim_two_hundred_attempts_each_exactly_once(
    ledger_url: str, open_at: Callable[..., Ledger]
) -> None:
    ledger = open_at(ledger_url)
    add_tasks(ledger, *(spec(f"k{number}") for number in range(200)))
    ids = [attempt.id for attempt in dispatch(ledger, concurrent=200, per_repository=200)]
    calls: list[tuple[Any, ...]] = [  # four processes want each attempt, at about the same time
        (ledger_url, f"run-{number}", ids[number % 4 :: 4]) for number in range(16)
    ]
    claimed = run_together(ledger_workers.claim_all, calls)
    assert Counter(attempt_id for ids_of_one in claimed for attempt_id in ids_of_one) == Counter(ids)
    with ledger.read() as tx:
        owners = {row.id: row.run_id for row in tx.execute(select(attempt_table))}
    assert owners == {
        attempt_id: f"run-{number}" for number, ids_of_one in enumerate(claimed) for attempt_id in ids_of_one
    }
    assert rows_as_told_by_events(ledger) == rows_as_stored(ledger)


def test_dispatchers_in_many_processes_never_exceed_the_slots(ledger_url: str, open_at: Callable[..., Ledger]) -> None:
    ledger = open_at(ledger_url)
    add_tasks(ledger, *(spec(f"k{number}") for number in range(30)))
    started = run_together(ledger_workers.dispatch_often, [(ledger_url, 5, 12)] * 6)
    flat = [attempt_id for ids_of_one in started for attempt_id in ids_of_one]
    assert len(flat) == len(set(flat)) == 12
    with ledger.read() as tx:
        assert tx.execute(select(func.count()).select_from(attempt_table)).scalar_one() == 12


def _kill_after(url: str, name: str, task_ids: tuple[str, ...], acknowledged: int) -> list[str | int]:
    """Let writers work until one has acknowledged so many changes, kill them all; everything acknowledged."""
    pipes, children = [], []
    for number, task_id in enumerate(task_ids):
        receiver, sender = processes.Pipe(duplex=False)
        child = processes.Process(
            target=ledger_workers.acknowledge, args=(url, f"{name}-{number}", task_id, sender), daemon=True
        )
        child.start()
        sender.close()
        pipes.append(receiver)
        children.append(child)
    received: list[str | int] = []
    try:
        for _ in range(acknowledged):
            assert pipes[0].poll(WAIT_S), "the writer does not write"
            received.append(pipes[0].recv())
    finally:
        for child in children:
            child.kill()
        for child, pipe in zip(children, pipes, strict=True):
            child.join(WAIT_S)
            received += _rest_of(pipe)
            pipe.close()
    return received


def _rest_of(pipe: Connection) -> list[str | int]:
    received: list[str | int] = []
    try:
        while True:
            received.append(pipe.recv())
    except (EOFError, OSError):  # the end, or half a message of one who was killed while sending it
        return received


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9(file_url: str, open_at: Callable[..., Ledger]) -> None:
    ledger = open_at(file_url)
    task_ids = add_tasks(ledger, spec("a"), spec("b"))
    ledger.close()  # nobody but the writers has it open when they die
    chance = random.Random(11)  # noqa: S311 - not for secrets; when to kill
    acknowledged: list[str | int] = []
    for number in range(10):  # two writers each: twenty kills
        acknowledged += _kill_after(file_url, f"round{number}", task_ids, chance.randint(1, 12))
        with sqlite3.connect(ledger.path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
    with ledger.read() as tx:
        stored = set(tx.execute(select(delivery_table.c.delivery_id)).scalars())
        events = set(tx.execute(select(task_events.c.id)).scalars())
    assert {mark for mark in acknowledged if isinstance(mark, str)} <= stored
    assert {mark for mark in acknowledged if isinstance(mark, int)} <= events
    assert len(acknowledged) > 50
    assert rows_as_told_by_events(ledger) == rows_as_stored(ledger)


@pytest.mark.slow
def test_sixteen_processes_together_spend_no_more_than_the_budgets(
    ledger_url: str, open_at: Callable[..., Ledger]
) -> None:
    limits = BudgetLimits(
        plan=Limit(usd=1, tokens=100),
        repository=Limit(usd=30, tokens=3000),
        day=Limit(usd=70, tokens=9000),
        month=Limit(usd=100, tokens=6500),
    )
    ledger = open_at(ledger_url)
    calls: list[tuple[Any, ...]] = [(ledger_url, number, limits.model_dump_json()) for number in range(16)]
    got = run_together(ledger_workers.reserve_and_spend, calls)
    with ledger.read() as tx:
        used = budgets.used(tx, limits, repository="acme/r0")
        assert len(budgets.reservations(tx, limit=1000)) == sum(got)
    assert sum(got) < 16 * ledger_workers.TURNS, "nobody was refused: the test shows nothing"
    for scope, amount in used.items():
        assert amount.fits(limits.of(scope))
    assert used[Scope.MONTH].tokens > 6000


@pytest.mark.slow
def test_a_hundred_writers_killed_at_random_lose_nothing_and_double_nothing(
    file_url: str, open_at: Callable[..., Ledger]
) -> None:
    ledger = open_at(file_url)
    task_ids = add_tasks(ledger, *(spec(f"k{number}") for number in range(4)))
    ledger.close()
    (report,) = ledger_load.together(ledger_load.kill_writers, [(ledger.path, task_ids, 100, 7)])
    assert report.problems == []
    assert report.kills >= 100
    assert report.acknowledged
    with ledger.read() as tx:
        assert list(history_problems(tx)) == []


@pytest.mark.slow
def test_writers_that_never_pause_take_turns(file_url: str, open_at: Callable[..., Ledger]) -> None:
    ledger = open_at(file_url)
    task_ids = add_tasks(ledger, *(spec(f"k{number}") for number in range(4)))
    ledger.close()
    calls = [(file_url, (task_id,), 1.5) for task_id in task_ids]
    loads = ledger_load.together(ledger_load.change_without_pause, calls)
    waits = sorted(wait for load in loads for wait in load.waits_s)
    assert waits[int(len(waits) * 0.99)] <= 1
    assert min(load.changes for load in loads) * 5 > max(load.changes for load in loads)
