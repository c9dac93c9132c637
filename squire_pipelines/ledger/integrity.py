"""Checks of a ledger: its file, its references, and that its rows agree with their history. Read only."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import func, select, text
from sqlalchemy.exc import DatabaseError

from squire_pipelines.errors import LedgerError, NotFoundError, SchemaVersionError
from squire_pipelines.ledger import HEAD_REVISION, tables
from squire_pipelines.ledger.replay import Replay
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import attempts, outcomes, task_events, tasks

MAX_PROBLEMS = 20
COUNTED_TABLES = ("tasks", "attempts", "plans", "signals", "deliveries", "outcomes")
_BATCH = 500
_HINT = "stop Squire, keep a copy of the file, restore a backup"


@dataclass(frozen=True, slots=True)
class IntegrityReport:
    """The result of a check of the ledger; without `problems` it is sound."""

    place: str
    revision: str | None
    problems: tuple[str, ...]
    rows: dict[str, int]


def check_integrity(url: str, *, quick: bool = False) -> IntegrityReport:
    """Check the ledger at `url`, changing nothing.

    `quick` reads the file's pages alone, and compares neither indexes with tables nor history with rows: it takes
    seconds where the whole check takes minutes.

    Raises:
        ConfigError: It is no URL of a ledger.
        NotFoundError: There is no ledger yet.
        LedgerError: It does not answer, or is no database.
        SchemaVersionError: Its schema is newer than this code.
    """
    store = Ledger(url, busy_timeout_s=5)
    try:
        if store.is_sqlite and not store.path.exists():
            raise NotFoundError(
                f"there is no ledger at {store.describe()} yet", hint="`squire run` or `squire demo` makes one"
            )
        return _check_all(store, quick=quick)
    except (DatabaseError, sqlite3.DatabaseError) as error:
        raise LedgerError(f"the ledger {store.describe()} is damaged: {error}", hint=_HINT) from error
    finally:
        store.close()


def _check_all(store: Ledger, *, quick: bool) -> IntegrityReport:
    schema = store.schema()
    revision, is_usable = schema.revision, schema.fits(HEAD_REVISION)
    if schema.is_newer(HEAD_REVISION) and not is_usable:
        raise SchemaVersionError(
            f"the ledger {store.describe()} has schema {revision}, this Squire knows {HEAD_REVISION}",
            hint="install the newer Squire again",
        )
    with store.read() as tx:
        problems = list(_file_problems(tx, quick=quick)) if store.is_sqlite else []
        if not is_usable:
            problems.append(f"the schema is {revision or 'missing'}, not {HEAD_REVISION}; the next start upgrades it")
            return IntegrityReport(store.describe(), revision, tuple(problems), {})
        if not quick:
            problems += islice(history_problems(tx), MAX_PROBLEMS)
        rows = {
            name: tx.execute(select(func.count()).select_from(tables.metadata.tables[name])).scalar_one()
            for name in COUNTED_TABLES
        }
    return IntegrityReport(store.describe(), revision, tuple(problems), rows)


def _file_problems(tx: Transaction, *, quick: bool) -> Iterator[str]:
    check = "quick_check" if quick else "integrity_check"
    for line in tx.execute(text(f"PRAGMA {check}({MAX_PROBLEMS})")).scalars():
        if line != "ok":
            yield " ".join(str(line).split())
    for row in tx.execute(text("PRAGMA foreign_key_check")).fetchmany(MAX_PROBLEMS):
        yield f"{row[0]}: row {row[1]} refers to a row of {row[2]} that is not there"


def history_problems(tx: Transaction) -> Iterator[str]:
    """Say where the history of tasks and attempts differs from their rows, or contradicts itself.

    Some hundred tasks at a time, so that a ledger of any size fits into memory.
    """
    last = ""
    while True:
        columns = (tasks.c.id, tasks.c.status, tasks.c.attempts, tasks.c.ended_at, tasks.c.cancel_requested_at)
        query = select(*columns).where(tasks.c.id > last).order_by(tasks.c.id).limit(_BATCH)
        rows = tx.execute(query).all()
        if not rows:
            return
        first, last = rows[0].id, rows[-1].id
        history = Replay()
        events = select(task_events).where(task_events.c.task_id.between(first, last))
        for event in tx.execute(events.order_by(task_events.c.task_id, task_events.c.id)):
            history.apply(event)
        yield from history.problems
        for row in rows:
            task = history.tasks.get(row.id)
            if task is None:
                yield f"task {row.id} is {row.status}, and its history has no event"
                continue
            stored = (row.status, row.attempts, row.ended_at is not None, row.cancel_requested_at is not None)
            expected = (task.status, task.attempts, task.ended_at is not None, task.cancel_requested)
            yield from _differences(f"task {row.id}", _TASK_WORDS, stored, expected)
        yield from _attempt_problems(tx, history, first, last)
        pull_requests = select(outcomes.c.task_id, outcomes.c.state, outcomes.c.checks)
        for row in tx.execute(pull_requests.where(outcomes.c.task_id.between(first, last))):
            if (outcome := history.outcomes.get(row.task_id)) is not None:
                subject = f"the pull request of task {row.task_id}"
                yield from _differences(subject, ("state", "checks"), (row.state, row.checks), outcome)


_TASK_WORDS = ("status", "attempts", "ended", "cancel requested")
_ATTEMPT_WORDS = ("task", "number", "status", "cause")


def _attempt_problems(tx: Transaction, history: Replay, first: str, last: str) -> Iterator[str]:
    columns = (attempts.c.id, attempts.c.task_id, attempts.c.number, attempts.c.status, attempts.c.cause)
    seen = set()
    for row in tx.execute(select(*columns).where(attempts.c.task_id.between(first, last))):
        seen.add(row.id)
        attempt = history.attempts.get(row.id)
        if attempt is None:
            yield f"attempt {row.id} is {row.status}, and its history has no event"
            continue
        stored = (row.task_id, row.number, row.status, row.cause)
        expected = (attempt.task_id, attempt.number, attempt.status, attempt.cause or row.cause)
        yield from _differences(f"attempt {row.id}", _ATTEMPT_WORDS, stored, expected)
    for name in history.attempts.keys() - seen:
        yield f"attempt {name} has a history and no row"


def _differences(
    subject: str, words: tuple[str, ...], stored: tuple[object, ...], expected: tuple[object, ...]
) -> Iterator[str]:
    for word, value, by_history in zip(words, stored, expected, strict=True):
        if value != by_history:
            yield f"{subject}: {word} is {value}, by its history {by_history}"
