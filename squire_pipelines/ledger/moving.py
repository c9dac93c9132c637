"""Moves a ledger into an empty database: SQLite to Postgres, and back.

At each moment one of the two is the ledger, and all of Squire refuses the other. Both sides are one transaction:

1. The source is locked; no other process has it open.
2. The target gets the schema, the rows and a note that a move into it has not ended; what came is compared with what
   left. It is committed, or nothing is.
3. The source gets a note that it has moved, in the transaction of its lock: from here on the target is the ledger.
4. The target's note says that it has come, and the target can be used.

A kill before the third step leaves the source as it is, and the next move begins anew. After it, the next move finds
both notes and does the fourth step.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import IntegrityError

from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import LedgerError, RefusedError
from squire_pipelines.ledger import HEAD_REVISION, move_files, move_note, sessions
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.ledger.move_note import MoveNote, MoveState
from squire_pipelines.ledger.row_digests import TableDigest
from squire_pipelines.ledger.storable import Storable
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import metadata
from squire_pipelines.ledger.transfer import copy_tables, count_rows, read_rows, refuse_filled

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many rows are done, and how many there are."""

_NOTHING = "nothing was changed"


@dataclass(frozen=True, slots=True)
class MovedTable:
    """A table that was moved, or would be; `digest` is that of its rows on both sides."""

    name: str
    rows: int
    digest: str = ""


@dataclass(frozen=True, slots=True)
class LedgerMove:
    """What was moved, or would be.

    Args:
        source: The place of the ledger so far, without a password.
        target: Its new place.
        tables: All of them; none where an earlier move was ended.
        replaced: What of the target's gives way, in words; empty where that is an empty database.
        aside: Where the target's old file is kept.
        changed_texts: How many texts had signs that the target cannot store.
    """

    source: str
    target: str
    tables: tuple[MovedTable, ...]
    replaced: str = ""
    aside: Path | None = None
    changed_texts: int = 0


def place_of(ledger: Ledger) -> str:
    """Return a ledger's place without its password, by which the two ledgers of a move name each other."""
    if ledger.is_sqlite:
        return str(ledger.path.absolute())
    return ledger.url.set(drivername="postgresql", password=None).render_as_string()


def plan_move(source: Ledger, target: Ledger) -> LedgerMove:
    """Return what a move would do, and change nothing.

    Raises:
        RefusedError: The target is not empty, or is the ledger itself.
        LedgerError: One of the two does not answer, or the source's history does not agree with its rows.
    """
    with source.read() as origin:
        note = move_note.read_note(origin.connection)
        if note is not None and note.state is MoveState.LEFT:
            return _end_of(source, target, note)
        _check_source(origin, source)
        replaced = _look_at_target(source, target, note)
        tables = tuple(MovedTable(table.name, count_rows(origin, table)) for table in metadata.sorted_tables)
    return LedgerMove(place_of(source), place_of(target), tables, replaced)


def move_ledger(
    source: Ledger,
    target: Ledger,
    *,
    actor: str,
    progress: Progress,
    before_end: Callable[[], None] = lambda: None,
    replaces_signs: bool = False,
) -> LedgerMove:
    """Move a ledger, or end a move that was killed.

    Args:
        source: The ledger.
        target: An empty database, a ledger that has moved into `source`, or the rest of a move that was killed.
        actor: Who moves it, for the audit trail.
        progress: See `Progress`.
        before_end: Called when all rows are there, while nothing is decided: what it raises undoes the move.
        replaces_signs: Whether U+FFFD takes the place of signs that the target cannot store.

    Raises:
        RefusedError: As `plan_move`; or another process has the ledger open; or the target cannot store a row as it is.
        LedgerError: One of the two does not answer, or what arrived is not what left.
    """
    plan = plan_move(source, target)
    if not plan.tables:
        return _finish(source, target, plan)
    progress("locking", 0, 1)
    with source.alone() as origin:
        earlier = move_note.read_note(origin.connection)
        _look_at_target(source, target, earlier)
        note = move_note.new_note(
            secrets.token_hex(16), MoveState.ARRIVING, place_of(source), HEAD_REVISION, origin.now
        )
        storable = Storable(is_postgres=not target.is_sqlite, replaces_signs=replaces_signs)
        copy = _Copy(origin, note, storable, actor=actor, progress=progress, before_end=before_end)
        with copy.filled(target) as aside:
            progress("noting the move", 1, 1)
            if not source.is_sqlite:
                sessions.refuse_others(origin.connection)  # who came meanwhile waits for the lock
            left = replace(note, state=MoveState.LEFT, place=place_of(target))
            move_note.write_note(origin.connection, left)
    progress("opening", 1, 1)
    _open_target(target)
    tables = tuple(MovedTable(name, one.rows, one.text()) for name, one in copy.digests.items())
    return replace(plan, tables=tables, aside=aside, changed_texts=storable.changed)


def undo_move(source: Ledger) -> MoveNote:
    """Have a ledger that has moved be used again as it was then. What was written elsewhere since stays there.

    Raises:
        RefusedError: It has not moved.
    """
    with source.alone() as tx:
        note = move_note.read_note(tx.connection)
        if note is None or note.state is not MoveState.LEFT:
            raise RefusedError(f"the ledger {source.describe()} has not moved", hint=_NOTHING)
        move_note.remove_note(tx.connection, note)
    return note


def _check_source(origin: Transaction, source: Ledger) -> None:
    revision = origin.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    if revision != HEAD_REVISION:
        raise LedgerError(
            f"the ledger {source.describe()} has schema {revision}, this Squire needs {HEAD_REVISION}",
            hint="start this Squire once, which upgrades the ledger",
        )
    problem = next(history_problems(origin), None)
    if problem is not None:
        raise RefusedError(
            f"the ledger {source.describe()} is not sound: {problem}",
            hint=f"`squire ledger check` shows all; {_NOTHING}",
        )


def _look_at_target(source: Ledger, target: Ledger, note_of_source: MoveNote | None) -> str:
    """Return what of the target's would give way, in words. Raises RefusedError where that is somebody's."""
    if place_of(source) == place_of(target):
        raise RefusedError(f"the ledger is in {place_of(target)} already", hint=_NOTHING)
    if target.is_sqlite and not target.path.exists():
        return ""
    with closing(Ledger(target.url.render_as_string(hide_password=False))) as reading, reading.read() as tx:
        note = move_note.read_note(tx.connection)
        if note is None:
            if target.is_sqlite:
                raise RefusedError(f"{target.path} is there already", hint=f"name a new file; {_NOTHING}")
            if reading.revision() == HEAD_REVISION:
                refuse_filled(tx, target)
            return ""
        if note.state is MoveState.ARRIVING:
            return "the rest of a move that was killed"
        if note.state is MoveState.LEFT and note_of_source is not None and note_of_source.move_id == note.move_id:
            return f"the ledger as it was at {note.at}"
    raise RefusedError(
        f"{target.describe()} is the ledger of another home, or was one", hint=f"name an empty database; {_NOTHING}"
    )


class _Copy:
    """Copies the ledger of an open transaction."""

    def __init__(
        self,
        origin: Transaction,
        note: MoveNote,
        storable: Storable,
        *,
        actor: str,
        progress: Progress,
        before_end: Callable[[], None],
    ) -> None:
        self.digests = {table.name: TableDigest() for table in metadata.sorted_tables}
        self._origin = origin
        self._note = note
        self._storable = storable
        self._actor = actor
        self._progress = progress
        self._before_end = before_end
        self._done = 0
        self._total = 2 * sum(count_rows(origin, table) for table in metadata.sorted_tables)

    @contextmanager
    def filled(self, target: Ledger) -> Iterator[Path | None]:
        """Fill the target, and yield where its old file is; where the block fails, it is as it was, or empty."""
        if target.is_sqlite:
            with move_files.file_beside(target.path) as part:
                with closing(Ledger(f"sqlite:///{part}")) as store:
                    self._fill(store, place_of(target))
                with move_files.in_place(part, target.path, self._origin.now, keeps=not _is_rest(target)) as aside:
                    yield aside
            return
        self._fill(target, place_of(target))
        try:
            with target.write() as tx:  # until Postgres counts by itself, it plans as for empty tables
                for table in metadata.sorted_tables:
                    tx.execute(text(f"ANALYZE {table.name}"))
            yield None
        except Exception:  # whatever failed: the target is empty again, and the failure goes on
            with target.rebuild() as tx:
                _empty(tx.connection)
                move_note.remove_note(tx.connection, self._note)
            raise

    def _fill(self, store: Ledger, place: str) -> None:
        from squire_pipelines.ledger.migrate import upgrade  # noqa: PLC0415 - Alembic is slow to import, and seldom needed

        with store.rebuild() as tx:
            connection = tx.connection
            if (old := move_note.read_note(connection)) is not None:
                move_note.remove_note(connection, old)
            upgrade(connection)
            if old is not None:
                _empty(connection)
            refuse_filled(tx, store)
            try:
                copy_tables(self._origin, tx, prepare=self._take)
            except IntegrityError as error:
                reason = " ".join(str(error.orig).split())[:300]
                raise RefusedError(
                    f"a row breaks a rule of {place}: {reason}",
                    hint=f"`squire ledger check` shows what is wrong with the ledger; {_NOTHING}",
                ) from error
            self._verify(tx)
            detail: dict[str, JsonValue] = {"from": self._note.place}
            record_audit(
                tx, actor=self._actor, action="ledger.move", subject=place, trace_id=new_trace_id(), detail=detail
            )
            self._before_end()
            move_note.write_note(connection, self._note)

    def _take(self, table: Table, rows: list[dict[str, Any]]) -> None:
        self._storable.make_storable(table, rows)
        self.digests[table.name].add(tuple(row.values()) for row in rows)
        self._done += len(rows)
        self._progress("copying", self._done, self._total)

    def _verify(self, tx: Transaction) -> None:
        """Compare what is there with what was copied, and the tasks with their history. Raises LedgerError."""
        for table in metadata.sorted_tables:
            expected, arrived = self.digests[table.name], TableDigest()
            for rows in read_rows(tx, table):
                arrived.add(tuple(row.values()) for row in rows)
                self._done += len(rows)
                self._progress("verifying", self._done, self._total)
            if arrived != expected:
                raise LedgerError(
                    f"{table.name} has {arrived.rows} rows and not the {expected.rows} that were copied, or other ones",
                    hint=f"{_NOTHING}; report this with the two kinds of database",
                )
        problem = next(history_problems(tx), None)
        if problem is not None:
            raise LedgerError(f"what was copied is not sound: {problem}", hint=_NOTHING)


def _is_rest(target: Ledger) -> bool:
    """Return whether a file is what a move that was killed has left, and nothing that anybody has used."""
    if not target.path.exists():
        return False
    with target.read() as tx:
        note = move_note.read_note(tx.connection)
    target.close()
    return note is not None and note.state is MoveState.ARRIVING


def _empty(connection: Connection) -> None:
    """Delete all rows, which triggers refuse to a DELETE; a file on SQLite is made anew instead."""
    names = ", ".join(table.name for table in metadata.sorted_tables)
    connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))


def _end_of(source: Ledger, target: Ledger, note: MoveNote) -> LedgerMove:
    """Return the end of a move that was killed after its decision. Raises RefusedError where that went elsewhere."""
    if not target.is_sqlite or target.path.exists():
        with target.read() as tx:
            there = move_note.read_note(tx.connection)
        if there is not None and there.move_id == note.move_id and there.state is not MoveState.LEFT:
            return LedgerMove(place_of(source), place_of(target), ())
    raise RefusedError(
        f"the ledger {source.describe()} has moved to {note.place} at {note.at}",
        hint="name that place in `ledger_url` or SQUIRE_LEDGER_URL",
    )


def _finish(source: Ledger, target: Ledger, plan: LedgerMove) -> LedgerMove:
    source.close()
    _open_target(target)
    return plan


def _open_target(target: Ledger) -> None:
    """Have the target be used from now on."""
    with target.write() as tx:
        note = move_note.read_note(tx.connection)
        if note is not None and note.state is MoveState.ARRIVING:
            move_note.write_note(tx.connection, replace(note, state=MoveState.ARRIVED))
