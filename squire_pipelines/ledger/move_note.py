"""The note in a ledger that says that it has moved elsewhere, or that it came from elsewhere.

It is a table of its own and no part of the schema: a ledger that has never moved has none. While a ledger is no longer
to be used, or not yet, its revision is none of Squire's, so that every Squire refuses it, older ones included.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, Connection, MetaData, String, Table, Text, delete, insert, select, update

from squire_pipelines.domain.moments import moment_text
from squire_pipelines.errors import ExitCode, LedgerError

MOVED = "moved"
"""The revision of a ledger that must not be used."""

_note = Table(
    "squire_move",
    MetaData(),
    Column("move_id", String(40), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("place", Text, nullable=False),
    Column("revision", String(32), nullable=False),
    Column("at", String(40), nullable=False),
)
_version = Table("alembic_version", MetaData(), Column("version_num", String(32)))
NOTE_TABLE = _note.name


class LedgerMovedError(LedgerError):
    """The ledger has moved elsewhere and this copy is no longer used, or a move into it has not ended."""

    code = "ledger_moved"
    exit_code = ExitCode.CONFIGURATION


class MoveState(StrEnum):
    """What a ledger's note says of it."""

    LEFT = "left"  # it has moved to the other place
    ARRIVING = "arriving"  # a move into it has not ended
    ARRIVED = "arrived"  # it has come from the other place, and is the ledger


@dataclass(frozen=True, slots=True)
class MoveNote:
    """One note.

    Args:
        move_id: The same in both ledgers.
        state: Of this one.
        place: Of the other one, without a password.
        revision: The schema's, which the ledger has again when it is used.
        at: When, as text.
    """

    move_id: str
    state: MoveState
    place: str
    revision: str
    at: str


def read_note(connection: Connection) -> MoveNote | None:
    """Return the note of a ledger; None where there is none."""
    names: Any = connection.dialect.get_table_names(connection)
    return _read(connection) if NOTE_TABLE in names else None


def _read(connection: Connection) -> MoveNote | None:
    row = connection.execute(select(_note)).first()
    return None if row is None else MoveNote(row.move_id, MoveState(row.state), row.place, row.revision, row.at)


def write_note(connection: Connection, note: MoveNote) -> None:
    """Write a note in the place of any other, and the revision that goes with it."""
    _note.create(connection, checkfirst=True)
    connection.execute(delete(_note))
    values = {"move_id": note.move_id, "state": note.state.value, "place": note.place, "at": note.at}
    connection.execute(insert(_note).values(**values, revision=note.revision))
    in_use = note.state is MoveState.ARRIVED
    connection.execute(update(_version).values(version_num=note.revision if in_use else MOVED))


def remove_note(connection: Connection, note: MoveNote) -> None:
    """Have a ledger be used as it was before the note."""
    _note.drop(connection, checkfirst=True)
    connection.execute(update(_version).values(version_num=note.revision))


def new_note(move_id: str, state: MoveState, place: str, revision: str, now: datetime) -> MoveNote:
    """Return a note of this moment."""
    return MoveNote(move_id, state, place, revision, moment_text(now))


def refuse_moved(connection: Connection, place: str) -> None:
    """Raise LedgerMovedError where a ledger, known to have a note, must not be used.

    Args:
        connection: To the ledger.
        place: Its own, for the message.
    """
    note = _read(connection)
    if note is None or note.state is MoveState.ARRIVED:
        return
    if note.state is MoveState.LEFT:
        raise LedgerMovedError(
            f"the ledger {place} has moved to {note.place} at {note.at}",
            hint="name that place in ledger_url or SQUIRE_LEDGER_URL; `squire ledger move --undo` uses this one",
        )
    raise LedgerMovedError(
        f"a move of {note.place} into the ledger {place} has not ended",
        hint="run `squire ledger move` again, with the settings of before",
    )
