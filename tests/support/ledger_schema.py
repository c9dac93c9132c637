"""The whole schema of the ledger, as the tables say it and as a migrated database has it."""

from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Index, MetaData, text

from squire_pipelines.ledger.migrate import config_for
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import attempts, metadata, tasks

SEARCH = "task_search"
"""SQLite's index of words; the tables in which it keeps its content have names that begin like this."""

GIN_INDEX = "ix_tasks_title_words"
"""Postgres' index of words, of an expression that SQLite does not know."""


def full_metadata() -> MetaData:
    """Return all tables with their partial indexes.

    Migrations alone create those: to name Postgres in `ledger.tables` would import all of its dialect at every start.
    """
    name = "uq_attempts_one_open"
    if name not in {index.name for index in attempts.indexes}:
        # At most one attempt of a task is under way, whatever the code does.
        under_way = attempts.c.status != "ended"
        Index(name, attempts.c.task_id, unique=True, sqlite_where=under_way, postgresql_where=under_way)
        for known, names in (
            ("cause", ("cause", "created_at", "id")),
            ("cause", ("cause", "updated_at", "id")),
            ("cause", ("cause", "priority", "created_at", "id")),
            ("cause", ("repository", "cause", "created_at", "id")),
            ("cause", ("repository", "cause", "updated_at", "id")),
            ("ended_at", ("ended_at", "id", "priority", "created_at")),  # all that an order of those that ended needs
        ):
            is_known = tasks.c[known].is_not(None)
            Index(None, *(tasks.c[column] for column in names), sqlite_where=is_known, postgresql_where=is_known)
        is_scheduled = tasks.c.schedule_id.is_not(None)
        Index(None, tasks.c.schedule_id, sqlite_where=is_scheduled, postgresql_where=is_scheduled)
        # Hardly any: a task changes for the last time as it ends.
        late = tasks.c.updated_at != tasks.c.ended_at
        columns = (tasks.c.updated_at, tasks.c.id)
        Index("ix_tasks_changed_later", *columns, sqlite_where=late, postgresql_where=late)
    return metadata


def differences(tx: Transaction) -> list[Any]:
    """Return where a migrated database differs from the tables, but for the index of words."""

    def is_declared(_item: object, name: str | None, *_: object) -> bool:
        return not str(name).startswith((SEARCH, GIN_INDEX))

    options = {"compare_type": True, "include_object": is_declared}
    return list(compare_metadata(MigrationContext.configure(tx.connection, opts=options), full_metadata()))


def set_schema(tx: Transaction, revision: str, *, oldest_program: str) -> None:
    """Say which schema this is and which programs go on with it, as a newer version's migrations do."""
    statement = "UPDATE alembic_version SET version_num = :next, oldest_program_of = :next, oldest_program = :oldest"
    tx.execute(text(statement), {"next": revision, "oldest": oldest_program})


def tables_of(ledger: Ledger) -> set[str]:
    """Return the names of a database's tables, but for those in which SQLite keeps its index of words."""
    with ledger.read() as tx:
        names = tx.connection.dialect.get_table_names(tx.connection)
    return {name for name in names if not name.startswith(SEARCH)}


def upgrade(ledger: Ledger, revision: str) -> None:
    """Bring the schema up to `revision`."""
    with ledger.rebuild() as tx:
        command.upgrade(config_for(tx.connection), revision)


def downgrade(ledger: Ledger, revision: str) -> None:
    """Take the schema down to `revision`."""
    with ledger.rebuild() as tx:
        command.downgrade(config_for(tx.connection), revision)
